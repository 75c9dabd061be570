"""The Copilot JSON of the brief's mapping: one pure function, from a user's figures to a record.

Where a metric goes is the catalogue's knowledge (`Metric.copilot`). A counter of the top level is
the sum of the three features, unless the catalogue gives it a metric of its own. A figure that the
source did not say is unknown, `null`, and so is every sum that it is part of: not 0.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

import msgspec

from dashboard_scraper.date_utils import Window
from dashboard_scraper.metrics import (
    COUNT_INDEXES,
    FIGURES,
    TOTAL_LINES,
    TOTAL_LINES_PARTS,
    Counter,
    Feature,
    Figures,
    is_active,
)
from dashboard_scraper.usage import UserUsage

logger = logging.getLogger(__name__)

Record = dict[str, Any]

_ENCODE = msgspec.json.Encoder().encode
_RECORDS_PER_CHUNK = 500


def _sources(feature: Feature | None, counter: Counter) -> tuple[int, ...]:
    """Which figures add up to a counter."""
    return tuple(
        i
        for i, metric in enumerate(FIGURES)
        for place in metric.copilot
        if (place.feature, place.counter) == (feature, counter)
    )


def _filled(feature: Feature | None) -> dict[str, tuple[int, ...]]:
    return {c.value: sources for c in Counter if (sources := _sources(feature, c))}


_ZEROS: dict[str, int | None] = {counter.value: 0 for counter in Counter}
_FEATURES = [(feature.value, _filled(feature)) for feature in Feature]
_TOP_LEVEL = _filled(None)
_FED = {name: [f for f, filled in _FEATURES if name in filled] for name in _ZEROS}


def _feature_figures(feature: Feature) -> tuple[int, ...]:
    return tuple(i for i, m in enumerate(FIGURES) if any(p.feature is feature for p in m.copilot))


_AGENT_FIGURES = _feature_figures(Feature.AGENT)
_CHAT_FIGURES = _feature_figures(Feature.CHAT)


class Flags(msgspec.Struct, frozen=True):
    """What a user did at all, whatever the numbers."""

    agent: bool
    chat: bool

    def __or__(self, other: Flags) -> Flags:
        return Flags(self.agent or other.agent, self.chat or other.chat)


def flags_of(figures: Figures) -> Flags:
    """Agent: any message to an agent of any kind, or any line by one. Chat: any message."""
    return Flags(any(figures[i] for i in _AGENT_FIGURES), any(figures[i] for i in _CHAT_FIGURES))


def _sum(figures: Figures, sources: Iterable[int]) -> int | None:
    total = 0
    for i in sources:
        figure = figures[i]
        if figure is None:
            return None
        total += figure  # type: ignore[operator] # the catalogue's counts are int
    return total


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
    rows: dict[str, dict[str, Any]] = {}
    for feature, filled in _FEATURES:
        row: dict[str, Any] = {"feature": feature, **_ZEROS}
        for name, sources in filled.items():
            row[name] = _sum(figures, sources)
        rows[feature] = row
    top = _ZEROS.copy()
    for name, fed in _FED.items():
        if name in _TOP_LEVEL:
            top[name] = _sum(figures, _TOP_LEVEL[name])
        elif fed:
            parts = tuple(rows[feature][name] for feature in fed)
            top[name] = _sum(parts, range(len(parts)))
    return {
        "report_start_day": report.start.isoformat(),
        "report_end_day": report.end.isoformat(),
        "day": day.isoformat(),
        "enterprise_id": enterprise_id,
        "user_id": user_id,
        "user_login": user.user,
        **top,
        "totals_by_feature": list(rows.values()),
        "used_agent": flags.agent,
        "used_chat": flags.chat,
    }


def natural_id(address: str) -> int:
    """The first 8 hexadecimal digits of the MD5 of the lower-cased address, as a number."""
    digest = hashlib.md5(address.lower().encode(), usedforsecurity=False)
    return int(digest.hexdigest()[:8], 16)


def user_ids(addresses: Iterable[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """An id for each user of an export, and the pairs (who keeps the id, who had to yield).

    Of users with one natural id, the first in alphabetical order (of the lower-cased address, then
    of the address) keeps it. Each other gets the natural id of `ADDRESS#2`, `ADDRESS#3` and so on,
    the first that no user of the export has or got.
    """
    ordered = sorted(set(addresses), key=lambda address: (address.lower(), address))
    owners: dict[int, str] = {}
    yielding = [a for a in ordered if owners.setdefault(natural_id(a), a) != a]
    collisions = [(owners[natural_id(address)], address) for address in yielding]
    for address in yielding:
        attempt = 2
        while owners.setdefault(natural_id(f"{address}#{attempt}"), address) != address:
            attempt += 1
    return {address: number for number, address in owners.items()}, collisions


def reported_user_ids(addresses: Iterable[str]) -> dict[str, int]:
    """As `user_ids`; the log names both users of each collision."""
    ids, collisions = user_ids(addresses)
    for keeper, yielding in collisions:
        logger.warning(
            "%s and %s have the same user_id by their addresses; the second gets %d instead",
            keeper,
            yielding,
            ids[yielding],
        )
    return ids


class WindowTotals:
    """Adds user-days up to one record a user: sums of the counts, flags or-ed."""

    def __init__(self) -> None:
        self._sums: dict[str, list[object]] = {}
        self._flags: dict[str, Flags] = {}
        self._active: set[str] = set()

    def report_open_sums(self) -> None:
        """Warn once, with both numbers, where a user's lines do not add up to the total."""
        open_sums = []
        for user, sums in self._sums.items():
            total, parts = sums[TOTAL_LINES], _sum(tuple(sums), TOTAL_LINES_PARTS)
            if total is not None and parts is not None and total != parts:
                open_sums.append((user, total, parts))
        if open_sums:
            logger.warning(
                "the lines of %d users do not add up, such as of %s: %s is %d, its parts are %d",
                len(open_sums),
                open_sums[0][0],
                FIGURES[TOTAL_LINES].title,
                *open_sums[0][1:],
            )

    def add(self, users: Iterable[UserUsage]) -> None:
        """Add one day's users."""
        for user in users:
            figures, flags = user.figures, flags_of(user.figures)
            if is_active(figures):
                self._active.add(user.user)
            sums = self._sums.get(user.user)
            if sums is None:
                self._sums[user.user] = list(figures)
                self._flags[user.user] = flags
                continue
            self._flags[user.user] |= flags
            for i in COUNT_INDEXES:
                sums[i] = _sum((sums[i], figures[i]), (0, 1))

    def records(
        self, report: Window, enterprise_id: str, ids: Mapping[str, int]
    ) -> Iterator[Record]:
        """Users with activity in the window, in the order of their addresses."""
        for name in sorted(self._active):
            user = UserUsage(name, tuple(self._sums[name]))
            yield convert(user, report.end, report, enterprise_id, ids[name], self._flags[name])


def json_chunks(records: Iterable[Record]) -> Iterator[bytes]:
    """A JSON array with one record a line, in pieces: a day of a large tenant is many megabytes."""
    lines: list[bytes] = []
    opening = b"[\n"
    for record in records:
        lines.append(_ENCODE(record))
        if len(lines) == _RECORDS_PER_CHUNK:
            yield opening + b",\n".join(lines)
            opening, lines = b",\n", []
    if lines:
        yield opening + b",\n".join(lines)
        opening = b""
    yield b"[]\n" if opening == b"[\n" else b"\n]\n"
