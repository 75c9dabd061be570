"""What shows that figures are right: they close, and the source still says the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

import msgspec

from dashboard_scraper.date_utils import Window, runs_of_days
from dashboard_scraper.metrics import COUNTS, TENANT_PARTS, TENANT_TOTALS, Sums, Totals


class Difference(msgspec.Struct, frozen=True):
    """One of the tenant's figures of a day that is not the sum of its users' figures."""

    metric: str
    users: int
    tenant: int

    def __str__(self) -> str:
        return f"{self.metric} is {self.tenant}, the users' sum is {self.users}"


def closing_differences(sums: Sums, totals: Totals | None) -> list[Difference]:
    """Where users and tenant disagree; a sum that is unknown cannot be compared."""
    if totals is None:
        return []
    found = []
    for total, parts, tenant in zip(TENANT_TOTALS, TENANT_PARTS, totals, strict=True):
        counts = [sums[i] for i in parts]
        users = None if None in counts else sum(count for count in counts if count is not None)
        if users is not None and users != tenant:
            found.append(Difference(total.name, users, tenant))
    return found


def revision(old: Sums, new: Sums) -> str:
    """Each sum that changed, as `chat_messages 12 -> 14`; empty where none did."""
    changed: list[str] = []
    for metric, before, after in zip(COUNTS, old, new, strict=True):
        if before != after:
            changed.append(f"{metric.name} {_shown(before)} -> {_shown(after)}")
    return ", ".join(changed)


def _shown(count: int | None) -> str:
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
    gain: tuple[int, ...],
    totals_now: Callable[[Window], Totals],
) -> list[date]:
    if not any(gain):
        return []
    if window.start == window.end:
        return [window.start]
    middle = window.start + timedelta(days=(window.end - window.start).days // 2)
    first, second = Window(window.start, middle), Window(middle + timedelta(days=1), window.end)
    first_gain = _gain(kept, first, totals_now)
    second_gain = tuple(whole - part for whole, part in zip(gain, first_gain, strict=True))
    return [
        *_changed_within(kept, first, first_gain, totals_now),
        *_changed_within(kept, second, second_gain, totals_now),
    ]


def _gain(
    kept: Mapping[date, Totals], window: Window, totals_now: Callable[[Window], Totals]
) -> tuple[int, ...]:
    before: list[Any] = [sum(column) for column in zip(*map(kept.get, window.days()), strict=True)]
    return tuple(now - old for now, old in zip(totals_now(window), before, strict=True))
