"""Why costs changed: the parts of a difference sum exactly, and the largest cause is found."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard_scraper.model.cost_changes import (
    KINDS,
    MODEL,
    PERSON,
    TEAM,
    Amounts,
    Cause,
    Cell,
    Explanation,
    Payer,
    Resource,
    Spending,
    explain,
    share_of,
    share_text,
)
from dashboard_scraper.model.costs import Account
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.money import difference, exact_sum

NOW = Window(date(2026, 11, 2), date(2026, 11, 29))  # four weeks, from a Monday
BEFORE = Window(date(2026, 10, 5), date(2026, 11, 1))
ANN, BEN, BOT, NOBODY = (
    Payer("ann@example.com", Account.PERSON),
    Payer("ben@example.com", Account.PERSON),
    Payer("triage-bot", Account.SERVICE_ACCOUNT),
    Payer("", Account.UNATTRIBUTED),
)
PAYERS = (ANN, BEN, BOT, NOBODY)
SMALL, LARGE = Resource("MODEL", "small"), Resource("MODEL", "large")
RESOURCES = (SMALL, LARGE, Resource("COMPUTE", "small"))
TEAMS = {ANN: "red", BEN: "red, blue", BOT: "(service accounts)", NOBODY: "(unattributed)"}

amounts = st.integers(1 - 10**38, 10**38 - 1).map(lambda digits: Decimal(f"{digits}E-18"))


def spendings(window: Window) -> st.SearchStrategy[Spending]:
    """Amounts for some days of a window and for some cells."""

    def on(days: list[date]) -> st.SearchStrategy[Spending]:
        of_days = st.dictionaries(st.sampled_from(days), amounts) if days else st.just({})
        cells = st.dictionaries(
            st.tuples(st.sampled_from(PAYERS), st.sampled_from(RESOURCES)), of_days, max_size=4
        )
        return cells.map(lambda found: Spending(window, days, found))

    days = st.lists(st.sampled_from(list(window.days())), unique=True, max_size=3)
    return days.map(sorted).flatmap(on)


@pytest.mark.slow
@settings(max_examples=40)
@given(spendings(NOW), spendings(BEFORE))
def test_parts_sum_exactly_to_the_whole(now: Spending, before: Spending) -> None:
    found = explain(now, before, TEAMS.__getitem__)
    assert tuple(found.parts) == KINDS
    every = [
        [amount for days in each.cells.values() for amount in days.values()]
        for each in (now, before)
    ]
    assert found.whole.difference == difference(*map(exact_sum, every))
    for kind, parts in found.parts.items():
        for name in ("now", "before", "difference"):
            assert exact_sum(getattr(part, name) for part in parts) == getattr(found.whole, name)
        sizes = [part.difference.copy_abs() for part in parts]
        assert sizes == sorted(sizes, reverse=True), kind


def steady(window: Window, costs: Mapping[Cell, str]) -> dict[Cell, dict[date, Decimal]]:
    """The same amount on every working day, and a tenth of it on weekends."""
    tenth = Decimal("0.1")
    return {
        cell: {day: Decimal(text) * (tenth if day.weekday() > 4 else 1) for day in window.days()}
        for cell, text in costs.items()
    }


COSTS = {(ANN, SMALL): "12.5", (ANN, LARGE): "3.25", (BEN, LARGE): "40", (BOT, SMALL): "0.001"}


def compared(now: Mapping[Cell, Amounts], before: Mapping[Cell, Amounts]) -> Explanation:
    return explain(
        Spending(NOW, list(NOW.days()), now), Spending(BEFORE, list(BEFORE.days()), before)
    )


@pytest.mark.parametrize("offset", [2, 5], ids=["working day", "weekend"])
def test_spike_of_one_day_is_the_cause(offset: int) -> None:
    now, before = steady(NOW, COSTS), steady(BEFORE, COSTS)
    day = NOW.start + timedelta(offset)
    usual = now[ANN, SMALL][day]
    now[ANN, SMALL][day] = Decimal("112.5")
    found = compared(now, before)
    assert found.cause == Cause(ANN, SMALL, day, Decimal("112.5"), usual)
    assert found.cause.difference == found.whole.difference == Decimal("112.5") - usual


def test_spike_of_the_period_before_is_a_fall() -> None:
    now, before = steady(NOW, COSTS), steady(BEFORE, COSTS)
    day = BEFORE.start + timedelta(9)
    before[BEN, LARGE][day] += 200
    cause = compared(now, before).cause
    assert cause == Cause(BEN, LARGE, day, Decimal(240), Decimal(40), in_before=True)
    assert cause.difference == -200


def test_spike_is_found_beside_an_opposite_change() -> None:
    now, before = steady(NOW, COSTS), steady(BEFORE, COSTS | {(BEN, SMALL): "5"})
    day = NOW.start + timedelta(8)
    now[ANN, LARGE][day] += 90
    found = compared(now, before)
    assert found.cause
    assert (found.cause.payer, found.cause.resource, found.cause.day) == (ANN, LARGE, day)
    assert found.whole.difference < 0
    assert share_of(found.cause.difference, found.whole.difference) is None


def test_lasting_change_is_one_cause() -> None:
    now, before = steady(NOW, COSTS | {(BEN, SMALL): "10"}), steady(BEFORE, COSTS)
    cause = compared(now, before).cause
    assert cause == Cause(BEN, SMALL, None, Decimal(208), Decimal(0))


def test_equal_periods_have_no_cause() -> None:
    found = compared(steady(NOW, COSTS), steady(BEFORE, COSTS))
    assert found.cause is None
    assert found.whole.difference == 0
    assert TEAM not in found.parts


def test_parts_have_own_lines_for_accounts() -> None:
    costs = {(payer, SMALL): "1" for payer in PAYERS} | {(ANN, RESOURCES[2]): "1"}
    parts = compared(steady(NOW, costs), {}).parts
    assert {(part.name, part.account) for part in parts[PERSON]} == set(PAYERS)
    assert {part.name for part in parts[MODEL]} == {"small", "small (compute)"}


@pytest.mark.parametrize(
    ("part", "whole", "share", "text"),
    [
        ("1", "3", 33, "33%"),
        ("1", "200", 1, "1%"),
        ("-1", "-2", 50, "50%"),
        ("5", "2", 250, "250%"),
        ("999", "1000", 100, ">99%"),
        ("1000", "999", 100, "100%"),
        ("10", "1", 1000, ">999%"),
        ("1", "-2", None, ""),
        ("0", "1", None, ""),
        ("1", "0", None, ""),
        ("1E-18", "1E19", 0, "<1%"),
    ],
)
def test_share_is_whole_percent(part: str, whole: str, share: int | None, text: str) -> None:
    assert share_of(Decimal(part), Decimal(whole)) == share
    assert share_text(Decimal(part), Decimal(whole)) == text
