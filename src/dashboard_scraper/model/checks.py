"""Checks of figures: sums against the source's own totals, and stored totals against new totals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta

import msgspec

from dashboard_scraper.model.dates import Window, runs_of_days
from dashboard_scraper.model.figures import added
from dashboard_scraper.model.metrics import (
    BY_NAME,
    COUNTS,
    TOTALS,
    USER_COUNT,
    Count,
    Figures,
    Metric,
    Totals,
    parts_of,
)


class Difference(msgspec.Struct, frozen=True):
    """One of the tenant's figures of a day that differs from the sum of its users' figures."""

    metric: str
    users: int
    tenant: int

    def __str__(self) -> str:
        return f"{self.metric} is {self.tenant}, the users' sum is {self.users}"


def closing_differences(sums: Figures, users: int, totals: Totals | None) -> list[Difference]:
    """Where the users' `sums` and number differ from the tenant's figures.

    If a sum is unknown, the sum of its parts is compared instead, if they are all known.
    """
    found = []
    for total in TOTALS:
        own = users if total is USER_COUNT else _sum_of(BY_NAME[total.name], sums)
        tenant = (totals or {}).get(total.name)
        if tenant is not None and own is not None and own != tenant:
            found.append(Difference(total.name, own, tenant))
    return found


_PARTS = {metric: parts_of(metric) for metric in COUNTS}


def _sum_of(metric: Metric, sums: Figures) -> Count:
    """The metric's own sum or, if it is unknown, the sum of its parts."""
    known: Count = sums[metric]
    if known is None and (parts := _PARTS[metric]):
        return added(_sum_of(part, sums) for part in parts)
    return known


def parts_differences(sums: Figures) -> dict[str, int]:
    """By how much each metric that is a sum differs from the sum of its parts, if all are known."""
    found = {}
    for metric, parts in _PARTS.items():
        whole, rest = sums[metric], added(sums[part] for part in parts)
        if parts and whole is not None and rest is not None:
            found[metric.name] = whole - rest
    return found


def revision(old: Figures, new: Figures) -> str:
    """The sums that changed, as `chat_messages 12 -> 14`; empty if none did."""
    return ", ".join(
        f"{metric.name} {shown(old[metric])} -> {shown(new[metric])}"
        for metric in COUNTS
        if old[metric] != new[metric]
    )


def shown(count: int | None) -> str:
    """A sum as text."""
    return "unknown" if count is None else str(count)


def changed_days(
    stored: Mapping[date, Totals], totals_now: Callable[[Window], Totals]
) -> list[date]:
    """The days whose totals differ from the stored ones, found by bisecting ranges that differ.

    Needs one call for each run of days without gaps; then, for each changed day, one call for each
    halving of its run, since the second half's gain follows from the first half's. Changes that
    cancel each other out within a range are not found.
    """
    found: list[date] = []
    for window in runs_of_days(stored):
        gain = gain_of(stored, window, totals_now)
        found += _changed_within(stored, window, gain, totals_now)
    return found


def _changed_within(
    stored: Mapping[date, Totals],
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
    first_gain = gain_of(stored, first, totals_now)
    second_gain = {name: gain[name] - first_gain[name] for name in gain}
    return [
        *_changed_within(stored, first, first_gain, totals_now),
        *_changed_within(stored, second, second_gain, totals_now),
    ]


def gain_of(
    stored: Mapping[date, Totals], window: Window, totals_now: Callable[[Window], Totals]
) -> Totals:
    """By how much the totals of a window exceed the stored totals of its days."""
    days = [stored[day] for day in window.days()]
    return {name: now - sum(day[name] for day in days) for name, now in totals_now(window).items()}
