"""When a first answer looks odd: the edges of each rule."""

from __future__ import annotations

import msgspec
import pytest

from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import COUNTS
from dashboard_scraper.store import LedgerDay, Status
from dashboard_scraper.sync.plausibility import doubts_of, history_for, implausible
from ledger_days import (
    ACCEPTED,
    CLOSED,
    DAY,
    MESSAGES,
    NIGHT,
    OPEN,
    WEEK,
    by_day,
    ledger_day,
    sums,
)


def weeks(newest: LedgerDay, *before: LedgerDay | None) -> str | None:
    """What is odd in the newest day after the same weekday of earlier weeks, last week first."""
    days = [DAY - n * WEEK for n in range(1, len(before) + 1)]
    rows = [
        msgspec.structs.replace(row, day=day)
        for day, row in zip(days, before, strict=True)
        if row is not None
    ]
    return doubts_of(DAY, by_day([newest, *rows]))


def people(number: int) -> LedgerDay:
    return ledger_day(active_users=number)


def accepted(count: int | None, number: int = 10) -> LedgerDay:
    return ledger_day(active_users=number, sums=sums(completions_accepted=count))


def test_history_goes_back_four_weeks() -> None:
    week = Window(DAY, DAY + 6 * NIGHT)
    assert history_for(week) == Window(DAY - 4 * WEEK, week.end)


def test_judging_needs_two_of_four_weeks() -> None:
    expected = "active users 1, on the same weekday of 2 weeks before 10 to 12"
    assert weeks(people(1), people(10), None, None, people(12)) == expected
    assert weeks(people(1), people(10)) is None
    assert weeks(people(1), people(10), None, None, None, people(12)) is None
    suspicious = ledger_day(suspicious="odd")
    assert weeks(people(1), people(10), suspicious) is None


@pytest.mark.parametrize(
    ("number", "before", "odd"),
    [
        (4, (12, 13), False),
        (3, (12, 13), True),
        (1, (4, 4), True),
        (0, (3, 3), False),
        (15, (4, 5), False),
        (16, (4, 5), True),
        (12, (1, 2), False),
        (13, (1, 2), True),
    ],
)
def test_people_beyond_three_times_other_weeks_are_odd(
    number: int, before: tuple[int, int], odd: bool
) -> None:
    """Or below a third."""
    assert (weeks(people(number), *map(people, before)) is not None) is odd


@pytest.mark.parametrize(
    ("count", "before", "odd"),
    [
        (30, (300, 400), False),
        (29, (300, 400), True),
        (0, (299, 400), False),
        (4000, (300, 400), False),
        (4001, (300, 400), True),
        (3000, (0, 1), False),
        (3001, (0, 1), True),
        (None, (300, 300), False),
        (4001, (None, 300), False),
    ],
)
def test_sums_beyond_ten_times_other_weeks_are_odd(
    count: int | None, before: tuple[int | None, int | None], odd: bool
) -> None:
    """Or below a tenth."""
    found = weeks(accepted(count), *map(accepted, before))
    assert (found is not None) is odd
    if found:
        assert found.startswith(f"{ACCEPTED} {count:,}, on the same weekday of 2 weeks before ")


def test_sums_of_few_people_may_vary() -> None:
    assert weeks(accepted(10**5, 4), accepted(0, 4), accepted(0, 4)) is not None
    assert weeks(accepted(10**5, 4), accepted(0, 4), accepted(0, 3)) is None


def test_sum_without_its_parts_is_odd_if_it_never_was() -> None:
    opened, closed = ledger_day(sums=OPEN), ledger_day(sums=CLOSED)
    assert weeks(opened, closed, closed) == f"{MESSAGES} is not the sum of its parts"
    assert weeks(opened, closed, opened) is None
    assert weeks(closed, closed, closed) is None


def test_day_with_figures_of_another_is_odd() -> None:
    twin = ledger_day(DAY + NIGHT, digest="same")
    found = doubts_of(DAY, by_day([ledger_day(digest="same"), twin]))
    assert found == f"the same figures as {twin.day}"


def test_three_oddities_are_named() -> None:
    """Further oddities are only counted."""
    names = [metric.name for metric in COUNTS if not metric.whole]
    many = dict.fromkeys(names[:4], 10**6)
    odd = ledger_day(sums=sums(**many), active_users=1000)
    usual = ledger_day(sums=sums())
    found = weeks(odd, usual, usual) or ""
    assert found.count("; ") == 2
    assert "more" in found.rpartition("; ")[2]


# Whole windows


def window_of(*rows: LedgerDay) -> str | None:
    days = [msgspec.structs.replace(row, day=DAY + n * NIGHT) for n, row in enumerate(rows)]
    return implausible(Window(DAY, days[-1].day), by_day(days))


EMPTY = ledger_day(status=Status.EMPTY, active_users=0, sums=sums(), digest="nobody")
SAME = ledger_day(digest="same")


def test_empty_week_is_implausible() -> None:
    week = Window(DAY, DAY + 6 * NIGHT)
    expected = f"nobody is active on any of the 7 days from {week}"
    assert window_of(*[EMPTY] * 7) == expected
    assert window_of(*[EMPTY] * 6) is None
    assert window_of(*[EMPTY] * 6, SAME) is None
    assert implausible(week, by_day([ledger_day(DAY)])) is None


def test_three_equal_days_are_implausible() -> None:
    window = Window(DAY, DAY + 3 * NIGHT)
    expected = f"all 3 days with any activity from {window} have the same figures"
    assert window_of(SAME, EMPTY, SAME, SAME) == expected
    assert window_of(SAME, EMPTY, SAME, EMPTY) is None
    assert window_of(SAME, SAME, SAME, ledger_day(digest="own")) is None
    few = ledger_day(digest="same", sums=sums(completions_accepted=19))
    assert window_of(few, few, few) is None
    missing = by_day([ledger_day(DAY + n * NIGHT, digest="same") for n in range(3)])
    assert implausible(window, missing) is None
