"""When a later answer is accepted, and when a first one looks odd: the edges of each rule."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from dashboard_scraper.model.checks import Difference
from dashboard_scraper.model.dates import Window, end_of_day
from dashboard_scraper.model.figures import sum_of
from dashboard_scraper.model.metrics import COUNTS, Figures
from dashboard_scraper.model.tolerance import EXACT, Tolerance
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import Change, LedgerDay, Movement, Status
from dashboard_scraper.store.settling import is_settled
from dashboard_scraper.sync.plausibility import doubts_of, history_for, implausible
from dashboard_scraper.sync.revisions import NOT_JUDGED, Caution, judge

DAY = date(2025, 3, 10)
NOW = end_of_day(date(2025, 5, 1))
SETTLE_DAYS = 3
WEEK, NIGHT = timedelta(weeks=1), timedelta(days=1)
ACCEPTED = "completions_accepted"  # neither a sum of others nor a part
CHAT, MESSAGES = "chat_messages", "total_messages"
OFF, TOLERATED = Difference(MESSAGES, 7, 10), Difference(MESSAGES, 8, 10)


def sums(**counts: int | None) -> Figures:
    """Of the other metrics, the sums are 0."""
    return msgspec.structs.replace(sum_of(()), **counts)


THOUSAND = sums(completions_accepted=1000)


def ledger_day(day: date = DAY, **fields: Any) -> LedgerDay:
    """Of ten people with a thousand accepted completions, long after the day had settled."""
    expected = {
        "status": Status.COMPLETE,
        "fetched_at": NOW - NIGHT,
        "users": 10,
        "active_users": 10,
    }
    whole = {"sums": THOUSAND, "totals": {MESSAGES: 0}, "unreconciled": [], "forgotten": 0}
    return LedgerDay(**{"source": DASHBOARD, "day": day, **expected, **whole, **fields})


def young(day: date = DAY, **fields: Any) -> LedgerDay:
    """The same, fetched before it had settled."""
    return ledger_day(day, fetched_at=end_of_day(day), **fields)


def caution(limit: float = 0.5) -> Caution:
    return Caution(limit, 2, SETTLE_DAYS, lambda: NOW, EXACT)


def changed(before: LedgerDay, moved: Movement | None = None, **after: Any) -> Change:
    return Change(before, msgspec.structs.replace(before, **after), moved or Movement())


def lost(count: int, **more: Any) -> Movement:
    return Movement(lost={ACCEPTED: count}, **more)


def gained(count: int) -> Movement:
    return Movement(gained={ACCEPTED: count})


def by_day(rows: Iterable[LedgerDay]) -> dict[date, LedgerDay]:
    return {row.day: row for row in rows}


def reason(change: Change, *others: LedgerDay, limit: float = 0.5) -> str | None:
    """Why the change alone is held; None if it is accepted."""
    (judgement,) = judge([change], by_day([change.before, *others]), caution(limit))
    assert judgement.note is None
    return judgement.reason


# When a day has settled


@pytest.mark.parametrize(
    ("fetched_at", "settled"),
    [
        (end_of_day(DAY) + timedelta(days=3), True),
        (end_of_day(DAY) + timedelta(days=3, microseconds=-1), False),
        (NOW, True),
        (NOW + timedelta(microseconds=1), False),
    ],
)
def test_day_is_settled_from_its_last_moment_to_now(fetched_at: datetime, settled: bool) -> None:
    row = ledger_day(fetched_at=fetched_at)
    assert is_settled(row, SETTLE_DAYS, NOW) is settled
    assert caution().is_settled(row) is settled


# Which days are asked for again


@pytest.mark.parametrize(
    ("fields", "is_open"),
    [
        ({}, False),
        ({"repeats": 0, "suspicious": "odd"}, True),
        ({"repeats": 1, "suspicious": "odd"}, True),
        ({"repeats": 2, "suspicious": "odd"}, False),
        ({"repeats": 1, "unreconciled": [OFF]}, True),
        ({"repeats": 2, "unreconciled": [OFF]}, False),
        ({"repeats": 9, "held": "odd"}, True),
    ],
)
def test_doubtful_day_is_open_until_it_was_repeated(fields: Any, is_open: bool) -> None:
    assert caution().is_open(ledger_day(**fields)) is is_open


def test_tolerated_difference_leaves_no_day_open() -> None:
    tolerance = Tolerance({MESSAGES: Decimal(20)})
    tolerant = Caution(0.5, 2, SETTLE_DAYS, lambda: NOW, tolerance)
    assert tolerant.differences(ledger_day(unreconciled=[TOLERATED, OFF])) == [OFF]
    assert not tolerant.is_open(ledger_day(unreconciled=[TOLERATED]))


# What waits for the end of the run


OPEN = sums(chat_messages=5, total_messages=6)
CLOSED = sums(chat_messages=6, total_messages=6)


@pytest.mark.parametrize(
    ("change", "waits"),
    [
        (changed(young(), gained(10**6)), False),
        (changed(young(), lost(9)), False),
        (changed(young(), lost(10)), True),
        (changed(young(), Movement(lost_people=1)), True),
        (changed(young(), sums=sums(completions_accepted=None)), True),
        (changed(young(), sums=sums(completions_accepted=1000, total_tool_calls=None)), False),
        (changed(young(sums=CLOSED), sums=OPEN), True),
        (changed(young(sums=OPEN), sums=OPEN), False),
        (changed(ledger_day()), True),
    ],
)
def test_gain_of_unsettled_day_is_accepted_at_once(change: Change, waits: bool) -> None:
    assert caution().reason_to_hold(change) == (NOT_JUDGED if waits else None)


# What is held


def test_answer_repeated_often_enough_is_accepted() -> None:
    emptied = [
        changed(ledger_day(), status=Status.EMPTY, repeats=repeats) for repeats in (0, 1, 2, 3)
    ]
    judgements = judge(emptied, {}, caution())
    expected = "nobody is active any more, where 10 were"
    assert [each.reason for each in judgements] == [expected, expected, None, None]
    assert {each.change.after.repeats: each.note for each in judgements} == {
        0: None,
        1: None,
        2: "the source said the same on 2 later days",
        3: "the source said the same on 3 later days",
    }
    assert [each.is_first for each in judgements] == [True, False, False, False]


def test_empty_day_that_stays_empty_is_not_held() -> None:
    empty = ledger_day(status=Status.EMPTY, active_users=0, sums=sums())
    assert reason(changed(empty)) is None


@pytest.mark.parametrize(("count", "is_twin"), [(19, False), (20, True)])
def test_figures_of_another_day_are_held_unless_they_are_few(count: int, is_twin: bool) -> None:
    few: dict[str, Any] = {
        "sums": sums(completions_accepted=count, total_tool_calls=None),
        "digest": "same",
    }
    change = changed(young(sums=few["sums"], digest="own"), **few)
    other = ledger_day(DAY - NIGHT, **few)
    held = f"the same figures as {other.day}" if is_twin else None
    assert reason(change, other) == held
    assert reason(change, ledger_day(DAY - NIGHT, digest="another")) is None
    assert reason(changed(young(**few)), young(DAY - NIGHT, digest=None)) is None
    no_digest = changed(young(digest="own"), digest=None)
    assert reason(no_digest, ledger_day(DAY - NIGHT, digest=None)) is None


def test_metric_that_becomes_unknown_is_named() -> None:
    change = changed(young(), sums=sums(completions_accepted=None, total_tool_calls=None))
    assert reason(change) == f"{ACCEPTED} is unknown now"


def test_sum_that_loses_its_parts_is_named() -> None:
    assert reason(changed(young(sums=CLOSED), sums=OPEN)) == (
        f"{MESSAGES} is not the sum of its parts any more"
    )
    assert reason(changed(young(sums=OPEN), sums=sums(chat_messages=5, total_messages=9))) is None
    unknown = sums(chat_messages=None, total_messages=6)
    assert reason(changed(young(sums=unknown), sums=OPEN)) is None


@pytest.mark.parametrize(("count", "held"), [(500, False), (501, True)])
def test_loss_beyond_limit_is_held_in_any_day(count: int, held: bool) -> None:
    after = {"sums": sums(completions_accepted=1000 - count)}
    expected = f"{ACCEPTED} 1000 -> {1000 - count}" if held else None
    assert reason(changed(ledger_day(), lost(count), **after)) == expected
    assert reason(changed(young(), lost(count), **after)) == expected


@pytest.mark.parametrize(("count", "held"), [(500, False), (501, True)])
def test_gain_beyond_limit_is_held_in_settled_day(count: int, held: bool) -> None:
    after = {"sums": sums(completions_accepted=1000 + count)}
    expected = f"{ACCEPTED} 1000 -> {1000 + count}" if held else None
    assert reason(changed(ledger_day(), gained(count), **after)) == expected
    assert reason(changed(young(), gained(count), **after)) is None


def test_move_between_people_is_loss_and_gain() -> None:
    moved = Movement(lost={ACCEPTED: 600}, gained={ACCEPTED: 1600})
    assert reason(changed(ledger_day(), moved, sums=sums(completions_accepted=2000))) == (
        f"{ACCEPTED} 1000 -> 2000 (600 less, 1,600 more)"
    )


def test_three_large_changes_are_named() -> None:
    """The others are counted."""
    names = [metric.name for metric in COUNTS if not metric.whole and not metric.part_of][:4]
    row = young(sums=sums(**dict.fromkeys(names, 100)))
    found = reason(changed(row, Movement(lost=dict.fromkeys(names, 90)))) or ""
    assert found.startswith(f"{names[0]} 100 -> 100, {names[1]} ")
    assert found.endswith(f"{names[2]} 100 -> 100 and 1 more")


def test_change_of_people_is_a_share_of_those_before() -> None:
    went = Movement(lost_people=6, gained_people=1)
    assert reason(changed(young(), went, active_users=5)) == (
        "active users 10 -> 5 (6 less, 1 more)"
    )
    assert reason(changed(young(), Movement(lost_people=5), active_users=5)) is None
    nobody = ledger_day(active_users=0, sums=sums())
    assert reason(changed(nobody, Movement(gained_people=1), active_users=1)) == (
        "active users 0 -> 1 (0 less, 1 more)"
    )


def test_gain_on_zero_is_total_and_on_unknown_is_none() -> None:
    nothing = ledger_day(sums=sums())
    assert reason(changed(nothing, gained(9))) is None
    assert reason(changed(nothing, gained(10), sums=sums(completions_accepted=10)), limit=9) == (
        f"{ACCEPTED} 0 -> 10"
    )
    unknown = ledger_day(sums=sums(completions_accepted=None))
    assert reason(changed(unknown, gained(10**6), sums=THOUSAND)) is None


@pytest.mark.parametrize(
    ("doubtful", "after", "accepted"),
    [
        ({"unreconciled": [OFF]}, {"unreconciled": []}, True),
        ({"unreconciled": [OFF]}, {"unreconciled": [], "totals": None}, False),
        ({"unreconciled": [OFF]}, {"unreconciled": [TOLERATED]}, False),
        ({"suspicious": "odd"}, {}, True),
        ({"forgotten": 1, "totals": None}, {"unreconciled": [OFF]}, True),
        ({}, {}, False),
    ],
)
def test_large_change_that_ends_a_doubt_is_accepted(
    doubtful: Any, after: Any, accepted: bool
) -> None:
    change = changed(
        ledger_day(**doubtful), lost(900), sums=sums(completions_accepted=100), **after
    )
    assert (reason(change) is None) is accepted


def test_figures_of_another_day_do_not_end_a_doubt() -> None:
    change = changed(ledger_day(suspicious="odd"), digest="same")
    twin = ledger_day(DAY - NIGHT, digest="same")
    assert reason(change, twin) == f"the same figures as {twin.day}"


def test_settled_day_that_stops_adding_up_is_held() -> None:
    off: dict[str, Any] = {"unreconciled": [OFF]}
    assert reason(changed(ledger_day(), **off)) == f"does not add up: {OFF}"
    assert reason(changed(young(), **off)) is None
    assert reason(changed(ledger_day(**off), **off)) is None


# Small changes of several days


def together(*changes: Change, limit: float = 0.5) -> list[str | None]:
    """Why each is held beside the others, by its day."""
    judgements = judge(changes, by_day(each.before for each in changes), caution(limit))
    return [each.reason for each in sorted(judgements, key=lambda each: each.change.before.day)]


def series(moved: Movement, count: int, row: Any = ledger_day) -> list[Change]:
    return [changed(row(DAY + n * NIGHT), moved) for n in range(count)]


def test_two_days_may_change_by_the_limit_together() -> None:
    assert together(*series(lost(250), 2)) == [None, None]
    assert together(*series(lost(251), 2)) == [f"2 days lose {ACCEPTED} at once"] * 2
    assert together(*series(gained(250), 2)) == [None, None]
    assert together(*series(gained(251), 2)) == [f"2 days gain {ACCEPTED} at once"] * 2


def test_three_days_are_too_many_in_one_direction() -> None:
    assert together(*series(lost(10), 3)) == [f"3 days lose {ACCEPTED} at once"] * 3
    assert together(*series(gained(10), 3)) == [f"3 days gain {ACCEPTED} at once"] * 3
    assert together(*series(lost(9), 3)) == [None] * 3


def test_days_in_different_directions_are_not_added() -> None:
    assert together(*series(lost(250), 2), changed(ledger_day(DAY - NIGHT), gained(250))) == (
        [None] * 3
    )


def test_only_losses_of_unsettled_days_are_added() -> None:
    assert together(*series(gained(400), 3, young)) == [None] * 3
    assert together(*series(lost(10), 3, young)) == [f"3 days lose {ACCEPTED} at once"] * 3


def test_limit_of_whole_day_accepts_all_but_more() -> None:
    assert together(*series(lost(250), 4), limit=1) == [None] * 4
    assert together(*series(lost(251), 4), limit=1) == [f"4 days lose {ACCEPTED} at once"] * 4


def test_loss_is_named_before_a_gain() -> None:
    both = Movement(lost={ACCEPTED: 10}, gained={ACCEPTED: 10})
    found = together(*series(both, 3), changed(ledger_day(DAY - NIGHT), gained(10)))
    assert found == [f"4 days gain {ACCEPTED} at once", *[f"3 days lose {ACCEPTED} at once"] * 3]


# First answers


def weeks(newest: LedgerDay, *before: LedgerDay | None) -> str | None:
    """What is odd in it after these, the last week first."""
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
    """The others are counted."""
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
