"""The checks themselves: which totals match, which days were revised, and how few calls find it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dashboard_scraper.model.checks import Difference, changed_days, closing_differences, revision
from dashboard_scraper.model.columns import sum_of
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import of_counts
from dashboard_scraper.model.metrics import (
    COUNTS,
    TOTALS,
    USER_COUNT,
    Figures,
    Metric,
    Total,
    Totals,
    parts_of,
)
from dashboard_scraper.sources.dashboard.fields import TENANT_TOTALS

FIRST = date(2023, 12, 15)


NAMES = list(TENANT_TOTALS.values())


def totals_of(*values: int) -> Totals:
    return dict(zip(NAMES, values, strict=True))


class Tenant:
    """The tenant's current totals for any window, and the windows it was asked for."""

    def __init__(self, days: Mapping[date, Totals]) -> None:
        self.days = dict(days)
        self.asked: list[Window] = []

    def totals(self, window: Window) -> Totals:
        self.asked.append(window)
        days = [self.days[day] for day in window.days()]
        return {name: sum(day[name] for day in days) for name in NAMES}

    def revise(self, day: date, *gain: int) -> None:
        before = self.days[day]
        self.days[day] = totals_of(*(before[n] + more for n, more in zip(NAMES, gain, strict=True)))


def stored_totals(count: int, first: date = FIRST) -> dict[date, Totals]:
    return {first + timedelta(n): totals_of(100 + n, 10 * n, 7) for n in range(count)}


def calls_bound(days: int, changed: int) -> int:
    """One call for the whole, and for each changed day one per halving of the range."""
    return 1 + changed * math.ceil(math.log2(max(days, 1)))


gains = st.tuples(*[st.integers(0, 10**12)] * len(TENANT_TOTALS))


@given(
    st.dictionaries(st.integers(0, 60), gains, min_size=1),
    st.dictionaries(st.integers(0, 60), gains.filter(any)),
)
@pytest.mark.slow
def test_changed_days_are_found_in_few_calls(
    figures: dict[int, tuple[int, ...]], revised: dict[int, tuple[int, ...]]
) -> None:
    stored = {FIRST + timedelta(number): totals_of(*totals) for number, totals in figures.items()}
    tenant = Tenant(stored)
    changed = [FIRST + timedelta(n) for n in revised if n in figures]
    for day in changed:
        tenant.revise(day, *revised[(day - FIRST).days])
    assert changed_days(stored, tenant.totals) == sorted(changed)
    assert all(set(window.days()) <= stored.keys() for window in tenant.asked)
    starts = sum(day - timedelta(1) not in stored for day in stored)
    assert len(tenant.asked) <= starts + len(changed) * math.ceil(math.log2(len(stored)))
    assert len(set(tenant.asked)) == len(tenant.asked)


@given(st.integers(1, 90), st.data())
@pytest.mark.slow
def test_one_changed_day_costs_a_call_per_halving(count: int, data: st.DataObject) -> None:
    stored = stored_totals(count)
    tenant = Tenant(stored)
    day = FIRST + timedelta(data.draw(st.integers(0, count - 1)))
    tenant.revise(day, 0, 0, 1)
    assert changed_days(stored, tenant.totals) == [day]
    assert len(tenant.asked) <= calls_bound(count, 1)


@pytest.mark.parametrize("count", [1, 2, 27, 28])
def test_unchanged_days_cost_one_call(count: int) -> None:
    tenant = Tenant(stored_totals(count))
    assert changed_days(tenant.days, tenant.totals) == []
    assert tenant.asked == [Window(FIRST, FIRST + timedelta(count - 1))]


def test_without_days_nothing_is_asked() -> None:
    tenant = Tenant({})
    assert changed_days({}, tenant.totals) == []
    assert tenant.asked == []


def test_each_run_of_days_between_gaps_costs_one_call() -> None:
    stored = stored_totals(10)
    for number in (3, 4, 8):
        del stored[FIRST + timedelta(number)]
    tenant = Tenant(stored)
    assert changed_days(stored, tenant.totals) == []
    runs = [(0, 2), (5, 7), (9, 9)]
    assert tenant.asked == [Window(FIRST + timedelta(a), FIRST + timedelta(b)) for a, b in runs]


@pytest.mark.parametrize("place", range(len(TENANT_TOTALS)))
@pytest.mark.parametrize("gain", [1, -1])
def test_change_of_any_total_is_found(place: int, gain: int) -> None:
    stored = stored_totals(28)
    tenant = Tenant(stored)
    day = FIRST + timedelta(19)
    tenant.revise(day, *(gain if i == place else 0 for i in range(len(TENANT_TOTALS))))
    assert changed_days(stored, tenant.totals) == [day]


def test_gains_and_losses_do_not_cancel_out() -> None:
    stored = stored_totals(28)
    tenant = Tenant(stored)
    days = [FIRST + timedelta(4), FIRST + timedelta(21)]
    tenant.revise(days[0], 5, -5, 0)
    tenant.revise(days[1], -5, 6, 0)
    assert changed_days(stored, tenant.totals) == days


SUMS = of_counts([2**place for place in range(len(COUNTS))])
USERS = 7
REPORTED: Totals = {
    **{metric.name: SUMS[metric] for metric in COUNTS},
    USER_COUNT.name: USERS,
}
WHOLES = [metric for metric in COUNTS if parts_of(metric)]


def without(*metrics: Metric) -> Figures:
    return replace(SUMS, **{metric.name: None for metric in metrics})


def parts_sum(metric: Metric) -> int:
    return sum(SUMS[part] for part in parts_of(metric))


def test_totals_are_compared_with_users() -> None:
    assert closing_differences(SUMS, USERS, REPORTED) == []
    assert closing_differences(SUMS, USERS, {}) == []


@pytest.mark.parametrize("total", TOTALS, ids=lambda total: total.name)
def test_difference_has_both_numbers(total: Total) -> None:
    off = {**REPORTED, total.name: REPORTED[total.name] + 1}
    (difference,) = closing_differences(SUMS, USERS, off)
    users = REPORTED[total.name]
    assert difference == Difference(total.name, users, users + 1)
    assert str(difference) == f"{difference.metric} is {users + 1}, the users' sum is {users}"


def test_every_total_that_is_off_is_reported() -> None:
    found = closing_differences(sum_of(()), 0, REPORTED)
    assert [(each.metric, each.users) for each in found] == [(total.name, 0) for total in TOTALS]


@pytest.mark.parametrize("whole", WHOLES, ids=lambda metric: metric.name)
def test_unknown_sum_is_computed_from_its_parts(whole: Metric) -> None:
    if whole.name not in {total.name for total in TOTALS}:
        assert whole.part_of is not None
        return
    parts = {whole.name: parts_sum(whole)}
    assert closing_differences(without(whole), USERS, parts) == []
    (difference,) = closing_differences(without(whole), USERS, {whole.name: 0})
    assert difference.users == parts_sum(whole)


@pytest.mark.parametrize("whole", WHOLES, ids=lambda metric: metric.name)
def test_sum_with_unknown_part_is_not_compared(whole: Metric) -> None:
    for part in parts_of(whole):
        unknown = [whole, part, *parts_of(part)]
        assert closing_differences(without(*unknown), USERS, {whole.name: 1}) == []
        other = {USER_COUNT.name: USERS + 1, whole.name: 1}
        assert len(closing_differences(without(*unknown), USERS, other)) == 1


def test_nothing_is_compared_without_totals() -> None:
    assert closing_differences(SUMS, USERS, None) == []


def test_revision_lists_changed_sums_only() -> None:
    assert revision(SUMS, SUMS) == ""
    first, last = COUNTS[0], COUNTS[-1]
    new = replace(SUMS, **{first.name: 5, last.name: 0})
    assert revision(SUMS, new) == f"{first.name} 1 -> 5, {last.name} {SUMS[last]} -> 0"


def test_revision_shows_unknown_as_unknown() -> None:
    second = COUNTS[1]
    unknown, zero = without(second), replace(SUMS, **{second.name: 0})
    assert revision(unknown, SUMS) == f"{second.name} unknown -> 2"
    assert revision(SUMS, unknown) == f"{second.name} 2 -> unknown"
    assert revision(unknown, unknown) == ""
    assert revision(unknown, zero) == f"{second.name} unknown -> 0"
