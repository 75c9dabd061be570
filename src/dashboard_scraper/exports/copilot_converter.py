"""The Copilot JSON of the brief's mapping: one pure function, from a user's figures to a record.

Where a metric goes is in `PLACES`. A counter of the top level is the sum of the three features,
unless a metric has that place to itself. A figure that the
source did not say is unknown, `null`, and so is every sum that it is part of: not 0.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any

import msgspec

from dashboard_scraper.github.counters import Counter
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import (
    Picker,
    Sums,
    Values,
    added,
    counts_in,
    picker,
    values_of,
)
from dashboard_scraper.model.listing import NAMED_AT_MOST
from dashboard_scraper.model.metrics import BY_NAME, LINES, METRICS, Metric, parts_of
from dashboard_scraper.model.usage import UserUsage

logger = logging.getLogger(__name__)

Record = dict[str, Any]

_encode_lines = msgspec.json.Encoder().encode_lines
_RECORDS_PER_CHUNK = 500


class Feature(Enum):
    """The three features, in their order."""

    COMPLETION = "code_completion"
    CHAT = "chat_panel"
    AGENT = "agent_edit"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a metric counts in a record; without a feature it is the top level's own."""

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
"""What a metric feeds; all of these are required, so that a source that lacks one is refused."""


def _at(matches: Callable[[Place], bool]) -> list[Metric]:
    return [metric for metric, places in PLACES.items() if any(map(matches, places))]


class _Row(msgspec.Struct, frozen=True):
    """How a feature row, or the top level, is filled: all zeros, but for what the figures feed."""

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
_agent_figures = picker(_at(lambda place: place.feature is Feature.AGENT))
_chat_figures = picker(_at(lambda place: place.feature is Feature.CHAT))
_parts_of_lines = picker(parts_of(LINES))


class Flags(msgspec.Struct, frozen=True):
    """What a user did at all, whatever the numbers."""

    agent: bool
    chat: bool

    def __or__(self, other: Flags) -> Flags:
        return Flags(self.agent or other.agent, self.chat or other.chat)


# Made once: there is one pair for each user and day.
_FLAGS = [[Flags(agent, chat) for chat in (False, True)] for agent in (False, True)]


def _flags_in(values: Values) -> Flags:
    """Agent: any message to an agent of any kind, or any line by one. Chat: any message."""
    return _FLAGS[any(_agent_figures(values))][any(_chat_figures(values))]


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
    """The same three days stand in every record of a file."""
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

    `day` is the day of a user-day, and the last day of a longer period. `report` is the window of
    the export. `flags` are those of the figures unless given (for figures that were summed).
    """
    values = values_of(user.figures)
    flags = flags or _flags_in(values)
    return {
        "report_start_day": _iso(report.start),
        "report_end_day": _iso(report.end),
        "day": _iso(day),
        "enterprise_id": enterprise_id,
        "user_id": user_id,
        "user_login": user.user,
        **_filled(_TOP_LEVEL, values),
        "totals_by_feature": [_filled(row, values) for row in _FEATURES],
        "used_agent": flags.agent,
        "used_chat": flags.chat,
    }


def md5_user_id(address: str) -> int:
    """The id in the brief's JSON: the first 8 hexadecimal digits of the MD5 of the lower-cased
    address, as a number. GitHub's reports have another, `identity.sha256_user_id`.
    """
    digest = hashlib.md5(address.lower().encode(), usedforsecurity=False)
    return int(digest.hexdigest()[:8], 16)


def user_ids(addresses: Iterable[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """An id for each user of an export, and the pairs (who keeps the id, who had to yield).

    `addresses` are the persons' keys, `Audience.person`: one for all spellings of a person.

    Of users with one natural id, the first in alphabetical order (of the lower-cased address, then
    of the address) keeps it. Each other gets the natural id of `ADDRESS#2`, `ADDRESS#3` and so on,
    the first that no user of the export has or got.
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
    """As `user_ids`; the log names both users of each collision."""
    ids, collisions = user_ids(addresses)
    for keeper, yielding in collisions[:NAMED_AT_MOST]:
        logger.warning(
            "%s and %s have the same user_id by their addresses; the second gets %d instead",
            keeper,
            yielding,
            ids[yielding],
        )
    if len(collisions) > NAMED_AT_MOST:
        logger.warning("so have %d more pairs of users", len(collisions) - NAMED_AT_MOST)
    return ids


class WindowTotals:
    """Adds user-days up to one record a user: sums of the counts, flags or-ed."""

    def __init__(self) -> None:
        self._sums = Sums()
        self._flags: dict[str, Flags] = {}

    def add(self, users: Iterable[UserUsage]) -> list[tuple[UserUsage, Flags]]:
        """Add one day's users with activity; returns each with what they did at all."""
        active = []
        for user in users:
            values = values_of(user.figures)
            name, flags = user.user, _flags_in(values)
            active.append((user, flags))
            self._sums.add(name, counts_in(values))
            before = self._flags.setdefault(name, flags)
            if before is not flags:
                self._flags[name] = before | flags
        return active

    def records(
        self, report: Window, enterprise_id: str, ids: Mapping[str, int]
    ) -> Iterator[Record]:
        """Users with activity in the window, in the order of their addresses."""
        for name in self._sums.names():
            user = UserUsage(name, self._sums[name])
            yield convert(user, report.end, report, enterprise_id, ids[name], self._flags[name])

    def report_open_sums(self) -> None:
        """Warn once, with both numbers, where a user's lines do not add up to the total."""
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


def json_chunks(records: Iterable[Record]) -> Iterator[bytes]:
    """A JSON array with one record a line, in pieces: a day of a large tenant is many megabytes."""
    iterator = iter(records)
    opening = b"[\n"
    while few := list(itertools.islice(iterator, _RECORDS_PER_CHUNK)):
        # In a line of JSON there is no line break.
        yield opening + _encode_lines(few)[:-1].replace(b"\n", b",\n")
        opening = b",\n"
    yield b"[]\n" if opening == b"[\n" else b"\n]\n"
