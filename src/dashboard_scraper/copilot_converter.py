"""The Copilot JSON of the brief's mapping: one pure function, from a user's figures to a record.

Where a metric goes is the catalogue's knowledge (`Metric.copilot`). A counter of the top level is
the sum of the three features, unless the catalogue gives it a metric of its own. A figure that the
source did not say is unknown, `null`, and so is every sum that it is part of: not 0.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import logging
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import msgspec

from dashboard_scraper.date_utils import Window
from dashboard_scraper.listing import NAMED_AT_MOST
from dashboard_scraper.metrics import (
    COUNT_INDEXES,
    FIGURES,
    TOTAL_LINES,
    Counter,
    Feature,
    Figures,
    Place,
    counts_of,
    is_active,
    parts_of,
)
from dashboard_scraper.usage import UserUsage

logger = logging.getLogger(__name__)

Record = dict[str, Any]

_encode_lines = msgspec.json.Encoder().encode_lines
_RECORDS_PER_CHUNK = 500


# Picks the figures that one counter is the sum of.
Picker = Callable[[Sequence[object]], tuple[Any, ...]]


def _picker(indexes: Sequence[int]) -> Picker:
    if len(indexes) == 1:
        (index,) = indexes
        return lambda figures: (figures[index],)
    return operator.itemgetter(*indexes)


def _indexes(matches: Callable[[Place], bool]) -> list[int]:
    return [i for i, metric in enumerate(FIGURES) for p in metric.copilot if matches(p)]


class _Row(msgspec.Struct, frozen=True):
    """How a feature row, or the top level, is filled: all zeros, but for what the figures feed."""

    zeros: Record
    single: list[tuple[str, int]]
    summed: list[tuple[str, Picker]]


def _row(feature: Feature | None, zeros: Record) -> _Row:
    row = _Row(zeros, [], [])
    for counter in Counter:
        own = _indexes(lambda p, c=counter: p == Place(feature, c))  # type: ignore[misc]
        if feature is None and not own:
            own = _indexes(lambda p, c=counter: p.counter is c)  # type: ignore[misc]
        if len(own) == 1:
            row.single.append((counter.value, own[0]))
        elif own:
            row.summed.append((counter.value, _picker(own)))
    return row


_ZEROS: Record = {counter.value: 0 for counter in Counter}
_TOP_LEVEL = _row(None, _ZEROS)
_FEATURES = [_row(feature, {"feature": feature.value, **_ZEROS}) for feature in Feature]
_agent_figures = _picker(sorted(set(_indexes(lambda p: p.feature is Feature.AGENT))))
_parts_of_total_lines = _picker([FIGURES.index(m) for m in parts_of(FIGURES[TOTAL_LINES])])
_chat_figures = _picker(sorted(set(_indexes(lambda p: p.feature is Feature.CHAT))))


class Flags(msgspec.Struct, frozen=True):
    """What a user did at all, whatever the numbers."""

    agent: bool
    chat: bool

    def __or__(self, other: Flags) -> Flags:
        return Flags(self.agent or other.agent, self.chat or other.chat)


# Made once: there is one pair for each user and day.
_FLAGS = [[Flags(agent, chat) for chat in (False, True)] for agent in (False, True)]


def flags_of(figures: Figures) -> Flags:
    """Agent: any message to an agent of any kind, or any line by one. Chat: any message."""
    return _FLAGS[any(_agent_figures(figures))][any(_chat_figures(figures))]


def _sum(counts: tuple[Any, ...]) -> int | None:
    """What is unknown makes the sum unknown."""
    return None if None in counts else sum(counts)


def _filled(row: _Row, figures: Figures) -> Record:
    filled = row.zeros.copy()
    for name, index in row.single:
        filled[name] = figures[index]
    for name, picked in row.summed:
        filled[name] = _sum(picked(figures))
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
    figures = user.figures
    flags = flags or flags_of(figures)
    return {
        "report_start_day": _iso(report.start),
        "report_end_day": _iso(report.end),
        "day": _iso(day),
        "enterprise_id": enterprise_id,
        "user_id": user_id,
        "user_login": user.user,
        **_filled(_TOP_LEVEL, figures),
        "totals_by_feature": [_filled(row, figures) for row in _FEATURES],
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
        self._counts: dict[str, tuple[int | None, ...]] = {}
        self._flags: dict[str, Flags] = {}

    def add(self, users: Iterable[UserUsage]) -> list[tuple[UserUsage, Flags]]:
        """Add one day's users; returns those with activity, in their order."""
        active = []
        for user in users:
            if not is_active(user.figures):
                continue
            name, counts, flags = user.user, counts_of(user.figures), flags_of(user.figures)
            active.append((user, flags))
            before = self._counts.get(name)
            if before is None:
                self._counts[name], self._flags[name] = counts, flags
            else:
                self._counts[name] = _added(before, counts)
                if self._flags[name] is not flags:
                    self._flags[name] |= flags
        return active

    def records(
        self, report: Window, enterprise_id: str, ids: Mapping[str, int]
    ) -> Iterator[Record]:
        """Users with activity in the window, in the order of their addresses."""
        for name in sorted(self._counts):
            user = UserUsage(name, self._figures(name))
            yield convert(user, report.end, report, enterprise_id, ids[name], self._flags[name])

    def _figures(self, name: str) -> Figures:
        figures: list[object] = [None] * len(FIGURES)
        for i, count in zip(COUNT_INDEXES, self._counts[name], strict=True):
            figures[i] = count
        return tuple(figures)

    def report_open_sums(self) -> None:
        """Warn once, with both numbers, where a user's lines do not add up to the total."""
        open_sums = []
        for name in sorted(self._counts):
            figures = self._figures(name)
            total, parts = figures[TOTAL_LINES], _sum(_parts_of_total_lines(figures))
            if total is not None and parts is not None and total != parts:
                open_sums.append((name, total, parts))
        if open_sums:
            logger.warning(
                "the lines of %d users do not add up, such as of %s: %s is %d, its parts are %d",
                len(open_sums),
                open_sums[0][0],
                FIGURES[TOTAL_LINES].title,
                *open_sums[0][1:],
            )


def _added(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[int | None, ...]:
    try:
        return tuple(map(operator.add, left, right))
    except TypeError:  # one of them is unknown
        return tuple(_sum(pair) for pair in zip(left, right, strict=True))


def json_chunks(records: Iterable[Record]) -> Iterator[bytes]:
    """A JSON array with one record a line, in pieces: a day of a large tenant is many megabytes."""
    iterator = iter(records)
    opening = b"[\n"
    while few := list(itertools.islice(iterator, _RECORDS_PER_CHUNK)):
        # In a line of JSON there is no line break.
        yield opening + _encode_lines(few)[:-1].replace(b"\n", b",\n")
        opening = b",\n"
    yield b"[]\n" if opening == b"[\n" else b"\n]\n"
