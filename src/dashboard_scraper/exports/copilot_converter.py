"""The Copilot JSON as the brief maps it: `convert`, a pure function from a user's figures to a
record.

`PLACES` maps each metric to its counters. A counter at the top level is the sum of the three
features, unless a metric is mapped to it directly. A figure that the source did not report is
`null`, never 0, and so is every sum that includes it.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from enum import Enum
from typing import Any

import msgspec

from dashboard_scraper.github.counters import Counter
from dashboard_scraper.json_templates import Templates
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import (
    Picker,
    Sums,
    Values,
    added,
    of_counts,
    picker,
    values_of,
)
from dashboard_scraper.model.listing import NAMED_AT_MOST
from dashboard_scraper.model.metrics import (
    BY_NAME,
    LINES,
    METRICS,
    Count,
    Metric,
    parts_of,
)
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.output import Needs
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.store import UserSums
from dashboard_scraper.store.day_columns import DayColumns

logger = logging.getLogger(__name__)

Record = dict[str, Any]

_encode = msgspec.json.Encoder().encode
_RECORDS_PER_CHUNK = 100  # fit into a processor's cache: with 500, it takes half as long again


class Feature(Enum):
    """The three feature rows of a record, in order."""

    COMPLETION = "code_completion"
    CHAT = "chat_panel"
    AGENT = "agent_edit"


class Place(msgspec.Struct, frozen=True):
    """A counter in a record: of a feature row or, without a feature, of the top level."""

    feature: Feature | None
    counter: Counter


_COMPLETION, _CHAT, _AGENT = Feature.COMPLETION, Feature.CHAT, Feature.AGENT
_AGENT_MESSAGES = [Place(_AGENT, Counter.INTERACTIONS)]
_AGENT_LINES = [Place(_AGENT, Counter.ADDED)]

PLACES: dict[Metric, list[Place]] = {
    BY_NAME[name]: places
    for name, places in {
        "completions_count": [Place(_COMPLETION, Counter.GENERATIONS)],
        "completions_accepted": [Place(_COMPLETION, Counter.ACCEPTANCES)],
        "chat_messages": [Place(_CHAT, Counter.INTERACTIONS)],
        "ide_agent_messages": _AGENT_MESSAGES,
        "remote_agent_messages": _AGENT_MESSAGES,
        "cli_agent_interactive_messages": _AGENT_MESSAGES,
        "cli_agent_non_interactive_messages": _AGENT_MESSAGES,
        "total_modified_lines_of_code": [Place(None, Counter.ADDED)],
        "completions_lines_of_code": [
            Place(_COMPLETION, Counter.SUGGESTED),
            Place(_COMPLETION, Counter.ADDED),
        ],
        "ide_agent_lines_of_code": _AGENT_LINES,
        "remote_agent_lines_of_code": _AGENT_LINES,
        "cli_agent_lines_of_code": _AGENT_LINES,
    }.items()
}
"""The counters that each metric adds to. A source that lacks one of these metrics gets no records,
so no counter is `null` just because of the source.
"""

NEEDS = Needs("Copilot JSON files", PLACES.keys())


def _at(matches: Callable[[Place], bool]) -> list[Metric]:
    return [metric for metric, places in PLACES.items() if any(map(matches, places))]


class _Row(msgspec.Struct, frozen=True):
    """How a feature row or the top level is filled: it starts with `zeros`. `single` has the
    counters that are one metric, `summed` those that are a sum of several.
    """

    zeros: Record
    single: list[tuple[str, int]]
    summed: list[tuple[str, Picker]]


def _row(feature: Feature | None, zeros: Record) -> _Row:
    row = _Row(zeros, [], [])
    for counter in Counter:
        own = _at(lambda p, c=counter: p == Place(feature, c))  # type: ignore[misc]
        if feature is None and not own:
            own = _at(lambda p, c=counter: p.counter is c)  # type: ignore[misc]
        if len(own) == 1:
            row.single.append((counter.value, METRICS.index(own[0])))
        elif own:
            row.summed.append((counter.value, picker(own)))
    return row


_ZEROS: Record = {counter.value: 0 for counter in Counter}
_TOP_LEVEL = _row(None, _ZEROS)
_FEATURES = [_row(feature, {"feature": feature.value, **_ZEROS}) for feature in Feature]
_AGENT_METRICS = _at(lambda place: place.feature is Feature.AGENT)
_CHAT_METRICS = _at(lambda place: place.feature is Feature.CHAT)
_agent_figures = picker(_AGENT_METRICS)
_chat_figures = picker(_CHAT_METRICS)
_parts_of_lines = picker(parts_of(LINES))


class Flags(msgspec.Struct, frozen=True):
    """The `used_agent` and `used_chat` of a record."""

    agent: bool
    chat: bool

    def __or__(self, other: Flags) -> Flags:
        return Flags(self.agent or other.agent, self.chat or other.chat)


# Shared: there are only four different ones for all the user-days.
_FLAGS = [[Flags(agent, chat) for chat in (False, True)] for agent in (False, True)]


def _flags_in(values: Values) -> Flags:
    """Agent: any message to any agent, or any line written by one. Chat: any chat message."""
    return _FLAGS[any(_agent_figures(values))][any(_chat_figures(values))]


def flags_by_name(
    users: Iterable[UserUsage], audience: Audience, name_of: Callable[[str], str]
) -> dict[str, Flags]:
    """The flags by the name that `name_of` returns: a flag is set if it is set for any spelling of
    the person. In the sum of the spellings, an unknown figure of one would hide a known one of
    another.
    """
    found: dict[str, Flags] = {}
    for user in users:
        if audience.includes(service=user.service):
            name, flags = name_of(user.user), _flags_in(values_of(user.figures))
            found[name] = flags | found.get(name, flags)
    return found


def _filled(row: _Row, values: Values) -> Record:
    filled = row.zeros.copy()
    for name, place in row.single:
        filled[name] = values[place]
    for name, picked in row.summed:
        counts = picked(values)
        filled[name] = None if None in counts else sum(counts)
    return filled


@functools.lru_cache
def _iso(day: date) -> str:
    """Cached: every record of a file has the same three days."""
    return day.isoformat()


def convert(
    user: UserUsage,
    day: date,
    report: Window,
    enterprise_id: str,
    user_id: int,
    flags: Flags | None = None,
) -> Record:
    """One user's figures of one period as a Copilot record.

    `day` is the period's last day, and `report` the window of the export. By default, `flags`
    follow from the figures. For summed figures, pass the flags of the days or spellings, since an
    unknown sum hides them.
    """
    values = values_of(user.figures)
    return {
        **_stamp(day, report, enterprise_id),
        **_identity(user_id, user.user),
        **_counters(values),
        **_used(flags or _flags_in(values)),
    }


def _stamp(day: date, report: Window, enterprise_id: str) -> Record:
    return {
        "report_start_day": _iso(report.start),
        "report_end_day": _iso(report.end),
        "day": _iso(day),
        "enterprise_id": enterprise_id,
    }


def _identity(user_id: int, login: str) -> Record:
    return {"user_id": user_id, "user_login": login}


def _counters(values: Values) -> Record:
    return {
        **_filled(_TOP_LEVEL, values),
        "totals_by_feature": [_filled(row, values) for row in _FEATURES],
    }


def _used(flags: Flags) -> Record:
    return {"used_agent": flags.agent, "used_chat": flags.chat}


def stamp_of(day: date, report: Window, enterprise_id: str) -> bytes:
    """How every record of a day begins, as JSON: `json_array` puts it before each line."""
    return _encode(_stamp(day, report, enterprise_id))[:-1]


def head_of(user_id: int, login: str) -> bytes:
    """How a user's lines begin, the same on every day."""
    return _encode(_identity(user_id, login))[1:-1]


def line_of(head: bytes, values: Values, flags: Flags | None = None) -> bytes:
    """A user's record without its stamp, many times as fast: a month may have 160,000 records.

    That of `convert` is the stamp, a comma and this line. Records with the same unknown figures
    differ only in their numbers and their end.
    """
    flags, numbers = flags or _flags_in(values), _placed(values)
    try:
        text = _TEMPLATES.text(numbers, _ALL_KNOWN)
    except TypeError:  # a figure is None, which is rare
        known = tuple([number is not None for number in numbers])
        text = _TEMPLATES.text([number or 0 for number in numbers], known)
    return b"%b%b%b" % (head, text, _ENDS[flags.agent][flags.chat])


def lines_of(heads: Mapping[str, bytes], active: DayColumns) -> Iterator[bytes]:
    """`line_of` for everybody who was active, several times as fast; every figure must be known."""
    agent, chat = (
        map(any, zip(*(active.values[metric] for metric in metrics), strict=True))
        for metrics in (_AGENT_METRICS, _CHAT_METRICS)
    )
    ends = (_ENDS[by_agent][by_chat] for by_agent, by_chat in zip(agent, chat, strict=True))
    values = [active.values[metric] for metric in PLACES]
    return _TEMPLATES.whole_texts(map(heads.__getitem__, active.names), values, ends)


_placed = picker(PLACES)
_PLACED = [METRICS.index(metric) for metric in PLACES]
_ALL_KNOWN = (True,) * len(PLACES)
_ENDS = [[b",%b" % _encode(_used(flags))[1:] for flags in row] for row in _FLAGS]


def _between(numbers: Sequence[Count]) -> bytes:
    """The part between a line's head and its end."""
    values: list[Any] = [None] * len(METRICS)
    for place, number in zip(_PLACED, numbers, strict=True):
        values[place] = number
    return b",%b" % _encode(_counters(tuple(values)))[1:-1]


_TEMPLATES = Templates(_between, len(PLACES))


def md5_user_id(address: str) -> int:
    """The id in the brief's JSON: the first 8 hexadecimal digits of the MD5 of the lower-cased
    address, as a number. GitHub's reports use another id, `identity.sha256_user_id`.
    """
    digest = hashlib.md5(address.lower().encode(), usedforsecurity=False)
    return int(digest.hexdigest()[:8], 16)


def user_ids(addresses: Iterable[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """An id for each user of an export, and the colliding pairs (keeps its id, gets another).

    `addresses` are the persons' keys (`Audience.person`), one for all spellings of a person.

    Ids of 32 bits do collide in large tenants. Among users with the same MD5 id, the first in
    alphabetical order (by lower-cased address, then by address) keeps it. Each of the others gets
    the id of `ADDRESS#2`, `ADDRESS#3` and so on: the first id that is free in the export.
    """
    ordered = sorted(set(addresses), key=lambda address: (address.lower(), address))
    owners: dict[int, str] = {}
    yielding = [a for a in ordered if owners.setdefault(md5_user_id(a), a) != a]
    collisions = [(owners[md5_user_id(address)], address) for address in yielding]
    for address in yielding:
        attempt = 2
        while owners.setdefault(md5_user_id(f"{address}#{attempt}"), address) != address:
            attempt += 1
    return {address: number for number, address in owners.items()}, collisions


def reported_user_ids(addresses: Iterable[str]) -> dict[str, int]:
    """The ids of `user_ids`; logs both users of each collision."""
    ids, collisions = user_ids(addresses)
    for keeper, yielding in collisions[:NAMED_AT_MOST]:
        logger.warning(
            "%s and %s would have the same user_id; the second gets %d instead",
            keeper,
            yielding,
            ids[yielding],
        )
    if len(collisions) > NAMED_AT_MOST:
        logger.warning(
            "%d more pairs of users would have the same user_id", len(collisions) - NAMED_AT_MOST
        )
    return ids


class WindowTotals:
    """Records of a window: one per person, with the sums over their days of activity."""

    def __init__(self, users: Iterable[UserSums], name_of: Callable[[str], str]) -> None:
        """Adds up the users to whom `name_of` gives the same name. A flag is set if it is set on
        any of the days: since counts are never negative, that is if the sum of the known ones is
        above 0.
        """
        self._sums = Sums()
        self._flags: dict[str, Flags] = {}
        for user in users:
            name, flags = name_of(user.user), _flags_in(values_of(of_counts(user.known)))
            self._sums.add(name, user.sums)
            self._flags[name] = flags | self._flags.get(name, flags)

    def hide_unknown(self, name: str, counts: tuple[Count, ...]) -> None:
        """Add the counts that `unknown_of_merged` returns for this name."""
        self._sums.add(name, counts)
        self._flags.setdefault(name, _FLAGS[False][False])

    def lines(self, heads: Mapping[str, bytes]) -> Iterator[bytes]:
        """A record without its stamp for each user who was active in the window, by address."""
        for name in self._sums.names():
            yield line_of(heads[name], values_of(self._sums[name]), self._flags[name])

    def report_open_sums(self) -> None:
        """Log how many users' lines do not add up to their total, with one example."""
        open_sums = []
        for name in self._sums.names():
            figures = self._sums[name]
            total, parts = figures[LINES], added(_parts_of_lines(values_of(figures)))
            if total is not None and parts is not None and total != parts:
                open_sums.append((name, total, parts))
        if open_sums:
            logger.warning(
                "the lines of %d users do not add up, such as of %s: %s is %d, its parts are %d",
                len(open_sums),
                open_sums[0][0],
                LINES.title,
                *open_sums[0][1:],
            )


def json_array(stamp: bytes, lines: Iterable[bytes]) -> Iterator[bytes]:
    """A JSON array with one record per line, in chunks: a large tenant's day is many megabytes.

    No line contains a line break, since JSON escapes them in texts. So `lines.replace(b"\\n",
    b",\\n" + stamp + b",")` turns lines joined by line breaks into records with any stamp.
    """
    iterator = iter(lines)
    opening, before = b"[\n", b"%b," % stamp
    separator = b",\n" + before
    while few := list(itertools.islice(iterator, _RECORDS_PER_CHUNK)):
        yield opening + before + separator.join(few)
        opening = b",\n"
    yield b"[]\n" if opening == b"[\n" else b"\n]\n"
