"""When a later answer is accepted: the edges of each rule."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from dashboard_scraper.model.dates import end_of_day
from dashboard_scraper.model.metrics import COUNTS
from dashboard_scraper.model.tolerance import EXACT, Tolerance
from dashboard_scraper.store import Change, LedgerDay, Movement, Status
from dashboard_scraper.store.settling import is_settled
from dashboard_scraper.store.unjudged import NOT_JUDGED
from dashboard_scraper.sync.revisions import Caution, judge
from ledger_days import (
    ACCEPTED,
    CLOSED,
    DAY,
    MESSAGES,
    NIGHT,
    NOW,
    OFF,
    OPEN,
    SETTLE_DAYS,
    THOUSAND,
    TOLERATED,
    by_day,
    ledger_day,
    sums,
)


def young(day: date = DAY, **fields: Any) -> LedgerDay:
    """The same day, fetched before it had settled."""
    return ledger_day(day, fetched_at=end_of_day(day), **fields)


def caution(limit: float = 0.5) -> Caution:
    return Caution(limit, 2, SETTLE_DAYS, lambda: NOW, EXACT)


def changed(before: LedgerDay, moved: Movement | None = None, **after: Any) -> Change:
    return Change(before, msgspec.structs.replace(before, **after), moved or Movement())


def lost(count: int, **more: Any) -> Movement:
    return Movement(lost={ACCEPTED: count}, **more)


def gained(count: int) -> Movement:
    return Movement(gained={ACCEPTED: count})


def reason(change: Change, *others: LedgerDay, limit: float = 0.5) -> str | None:
    """Why this change, the only one of its run, is held; None if it is accepted."""
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


# Which days are fetched again


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


# Which changes wait for the end of the run


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
    """Further changes are only counted."""
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
    """Why each change is held when it comes with the others, by day."""
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
