"""What shows that figures are right: they close, and the source still says the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta

import msgspec

from dashboard_scraper.date_utils import Window, runs_of_days
from dashboard_scraper.metrics import (
    COUNT_PLACES,
    COUNTS,
    TOTALS,
    USER_COUNT,
    Sums,
    Totals,
    parts_of,
)


class Difference(msgspec.Struct, frozen=True):
    """One of the tenant's figures of a day that is not the sum of its users' figures."""

    metric: str
    users: int
    tenant: int

    def __str__(self) -> str:
        return f"{self.metric} is {self.tenant}, the users' sum is {self.users}"


def closing_differences(sums: Sums, users: int, totals: Totals | None) -> list[Difference]:
    """Where the `sums` of so many users and the tenant's figures disagree.

    A sum that is unknown cannot be compared; that of all its parts can, if they are known.
    """
    found = []
    for total in TOTALS:
        own = users if total is USER_COUNT else _sum_of(total.name, sums)
        tenant = (totals or {}).get(total.name)
        if tenant is not None and own is not None and own != tenant:
            found.append(Difference(total.name, own, tenant))
    return found


_PARTS = {metric.name: [part.name for part in parts_of(metric)] for metric in COUNTS}


def _sum_of(name: str, sums: Sums) -> int | None:
    known = sums[COUNT_PLACES[name]]
    parts = [_sum_of(part, sums) for part in _PARTS[name]]
    if known is not None or not parts or None in parts:
        return known
    return sum(part for part in parts if part is not None)


def parts_differences(sums: Sums) -> dict[str, int]:
    """By how much each sum of several metrics differs from its parts, where all are known."""
    found = {}
    for name, parts in _PARTS.items():
        known = [sums[COUNT_PLACES[each]] for each in (name, *parts)]
        if parts and None not in known:
            whole, *rest = (count for count in known if count is not None)
            found[name] = whole - sum(rest)
    return found


def revision(old: Sums, new: Sums) -> str:
    """Each sum that changed, as `chat_messages 12 -> 14`; empty where none did."""
    changed: list[str] = []
    for metric, before, after in zip(COUNTS, old, new, strict=True):
        if before != after:
            changed.append(f"{metric.name} {shown(before)} -> {shown(after)}")
    return ", ".join(changed)


def shown(count: int | None) -> str:
    """A sum for people."""
    return "unknown" if count is None else str(count)


def changed_days(kept: Mapping[date, Totals], totals_now: Callable[[Window], Totals]) -> list[date]:
    """The days whose totals are not what was kept, found by halving ranges that differ.

    Costs one call for each gapless run of days; then, for each day that changed, one call for each
    time its run can be halved: what the first half has gained is known not to be the second's.
    Changes that cancel out within a range are not found.
    """
    found: list[date] = []
    for window in runs_of_days(kept):
        gain = _gain(kept, window, totals_now)
        found += _changed_within(kept, window, gain, totals_now)
    return found


def _changed_within(
    kept: Mapping[date, Totals],
    window: Window,
    gain: Totals,
    totals_now: Callable[[Window], Totals],
) -> list[date]:
    if not any(gain.values()):
        return []
    if window.start == window.end:
        return [window.start]
    middle = window.start + timedelta(days=(window.end - window.start).days // 2)
    first, second = Window(window.start, middle), Window(middle + timedelta(days=1), window.end)
    first_gain = _gain(kept, first, totals_now)
    second_gain = {name: gain[name] - first_gain[name] for name in gain}
    return [
        *_changed_within(kept, first, first_gain, totals_now),
        *_changed_within(kept, second, second_gain, totals_now),
    ]


def _gain(
    kept: Mapping[date, Totals], window: Window, totals_now: Callable[[Window], Totals]
) -> Totals:
    days = [kept[day] for day in window.days()]
    return {name: now - sum(day[name] for day in days) for name, now in totals_now(window).items()}
