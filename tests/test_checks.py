"""The checks by themselves: what closes, what was revised, and how few calls find it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard_scraper.checks import Difference, changed_days, closing_differences, revision
from dashboard_scraper.date_utils import Window
from dashboard_scraper.metrics import COUNTS, TENANT_PARTS, TENANT_TOTALS, Sums, Totals

FIRST = date(2023, 12, 15)


class Tenant:
    """What the tenant's endpoint says now of any window, and which windows it was asked for."""

    def __init__(self, days: Mapping[date, Totals]) -> None:
        self.days = dict(days)
        self.asked: list[Window] = []

    def totals(self, window: Window) -> Totals:
        self.asked.append(window)
        return tuple(map(sum, zip(*(self.days[day] for day in window.days()), strict=True)))

    def revise(self, day: date, *gain: int) -> None:
        self.days[day] = tuple(a + b for a, b in zip(self.days[day], gain, strict=True))


def kept_days(count: int, first: date = FIRST) -> dict[date, Totals]:
    return {first + timedelta(n): (100 + n, 10 * n, 7) for n in range(count)}


def calls_bound(days: int, changed: int) -> int:
    """One for the whole, and for each changed day one for each time that its run is halved."""
    return 1 + changed * math.ceil(math.log2(max(days, 1)))


gains = st.tuples(*[st.integers(0, 10**12)] * len(TENANT_TOTALS))


@given(
    st.dictionaries(st.integers(0, 60), gains, min_size=1),
    st.dictionaries(st.integers(0, 60), gains.filter(any)),
)
def test_exactly_the_days_that_gained_are_found_in_few_calls_that_never_span_a_gap(
    figures: dict[int, Totals], revised: dict[int, Totals]
) -> None:
    kept = {FIRST + timedelta(number): totals for number, totals in figures.items()}
    tenant = Tenant(kept)
    changed = [FIRST + timedelta(n) for n in revised if n in figures]
    for day in changed:
        tenant.revise(day, *revised[(day - FIRST).days])
    assert changed_days(kept, tenant.totals) == sorted(changed)
    assert all(set(window.days()) <= kept.keys() for window in tenant.asked)
    starts = sum(day - timedelta(1) not in kept for day in kept)
    assert len(tenant.asked) <= starts + len(changed) * math.ceil(math.log2(len(kept)))
    assert len(set(tenant.asked)) == len(tenant.asked)


@given(st.integers(1, 90), st.data())
def test_one_revised_day_is_found_in_one_call_and_one_for_each_halving(
    count: int, data: st.DataObject
) -> None:
    kept = kept_days(count)
    tenant = Tenant(kept)
    day = FIRST + timedelta(data.draw(st.integers(0, count - 1)))
    tenant.revise(day, 0, 0, 1)
    assert changed_days(kept, tenant.totals) == [day]
    assert len(tenant.asked) <= calls_bound(count, 1)


@pytest.mark.parametrize("count", [1, 2, 27, 28])
def test_days_that_did_not_change_cost_one_call_whatever_their_number(count: int) -> None:
    tenant = Tenant(kept_days(count))
    assert changed_days(tenant.days, tenant.totals) == []
    assert tenant.asked == [Window(FIRST, FIRST + timedelta(count - 1))]


def test_without_days_nothing_is_asked() -> None:
    tenant = Tenant({})
    assert changed_days({}, tenant.totals) == []
    assert tenant.asked == []


def test_each_run_of_days_between_gaps_costs_one_call() -> None:
    kept = kept_days(10)
    for number in (3, 4, 8):
        del kept[FIRST + timedelta(number)]
    tenant = Tenant(kept)
    assert changed_days(kept, tenant.totals) == []
    runs = [(0, 2), (5, 7), (9, 9)]
    assert tenant.asked == [Window(FIRST + timedelta(a), FIRST + timedelta(b)) for a, b in runs]


@pytest.mark.parametrize("place", range(len(TENANT_TOTALS)))
@pytest.mark.parametrize("gain", [1, -1])
def test_a_change_of_any_one_total_up_or_down_is_found(place: int, gain: int) -> None:
    kept = kept_days(28)
    tenant = Tenant(kept)
    day = FIRST + timedelta(19)
    tenant.revise(day, *(gain if i == place else 0 for i in range(len(TENANT_TOTALS))))
    assert changed_days(kept, tenant.totals) == [day]


def test_gains_and_losses_of_different_totals_do_not_hide_each_other() -> None:
    kept = kept_days(28)
    tenant = Tenant(kept)
    days = [FIRST + timedelta(4), FIRST + timedelta(21)]
    tenant.revise(days[0], 5, -5, 0)
    tenant.revise(days[1], -5, 6, 0)
    assert changed_days(kept, tenant.totals) == days


SUMS: tuple[int, ...] = tuple(2**place for place in range(len(COUNTS)))
TENANT: Totals = tuple(sum(SUMS[place] for place in parts) for parts in TENANT_PARTS)
PLACES = range(len(TENANT_TOTALS))


def without(place: int) -> Sums:
    return tuple(None if i == place else count for i, count in enumerate(SUMS))


def off_by_one(number: int) -> Totals:
    return tuple(count + (i == number) for i, count in enumerate(TENANT))


def test_each_total_is_the_sum_of_the_counts_that_the_catalogue_names_for_it() -> None:
    for number, total in enumerate(TENANT_TOTALS):
        assert [COUNTS[place].tenant for place in TENANT_PARTS[number]] == [total] * len(
            TENANT_PARTS[number]
        )
        assert TENANT_PARTS[number]
    assert closing_differences(SUMS, TENANT) == []


@pytest.mark.parametrize("number", PLACES)
def test_a_total_that_is_off_is_told_alone_and_with_both_numbers(number: int) -> None:
    (difference,) = closing_differences(SUMS, off_by_one(number))
    users = TENANT[number]
    assert difference == Difference(TENANT_TOTALS[number].name, users, users + 1)
    assert str(difference) == f"{difference.metric} is {users + 1}, the users' sum is {users}"


def test_every_total_that_is_off_is_told() -> None:
    none = (0,) * len(COUNTS)
    assert [d.users for d in closing_differences(none, TENANT)] == [0] * len(TENANT_TOTALS)


@pytest.mark.parametrize("number", PLACES)
def test_a_sum_with_an_unknown_part_is_not_compared_and_the_others_are(number: int) -> None:
    for place in TENANT_PARTS[number]:
        assert closing_differences(without(place), off_by_one(number)) == []
        other = (number + 1) % len(TENANT_TOTALS)
        assert len(closing_differences(without(place), off_by_one(other))) == 1


def test_without_the_tenants_figures_nothing_is_compared() -> None:
    assert closing_differences(SUMS, None) == []


def test_a_revision_names_each_sum_that_changed_with_both_numbers_and_no_other() -> None:
    assert revision(SUMS, SUMS) == ""
    new = (SUMS[0] + 4, *SUMS[1:-1], 0)
    first, last = COUNTS[0].name, COUNTS[-1].name
    assert revision(SUMS, new) == f"{first} 1 -> 5, {last} {SUMS[-1]} -> 0"


def test_a_revision_from_or_to_unknown_is_one_and_unknown_is_not_told_as_zero() -> None:
    name = COUNTS[1].name
    assert revision(without(1), SUMS) == f"{name} unknown -> 2"
    assert revision(SUMS, without(1)) == f"{name} 2 -> unknown"
    assert revision(without(1), without(1)) == ""
    assert revision(without(0), (0, *SUMS[1:])) == f"{COUNTS[0].name} unknown -> 0"
