"""What is due and what is tried again, decided from the runs since the scheduled moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dashboard_scraper.watch.plan import Attempt, Rules, next_step
from dashboard_scraper.watch.schedule import Schedule

RULES = Rules(Schedule.read("5 3 * * *", UTC))
DUE = datetime(2026, 3, 2, 3, 5, tzinfo=UTC)
TOMORROW = DUE + timedelta(1)
NOON = DUE.replace(hour=12)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def attempt(code: int | None, after: timedelta = MINUTE, source: str = "toy") -> Attempt:
    """A run that began this long after the scheduled moment, and took a minute."""
    started = DUE + after
    return Attempt(source, started, None if code is None else started + MINUTE, code)


def due(*attempts: Attempt, now: datetime = NOON, refused: tuple[str, ...] = ()) -> datetime:
    return next_step(RULES, ["toy"], attempts, now, refused=refused).moment


def test_missed_run_is_due_at_once() -> None:
    assert due() == DUE
    assert due(attempt(0, -HOUR)) == DUE


@pytest.mark.parametrize("code", [0, 9, 10, 11])
def test_run_that_wrote_everything_is_done(code: int) -> None:
    assert due(attempt(code)) == TOMORROW
    assert due(attempt(code), attempt(7, 2 * MINUTE)) == TOMORROW


@pytest.mark.parametrize("code", [1, 2, 4, 5, 6, 7])
def test_failed_run_is_due_an_hour_later(code: int) -> None:
    assert due(attempt(code)) == DUE + 2 * MINUTE + HOUR


@pytest.mark.parametrize("code", [None, 130, 143])
def test_run_that_was_stopped_is_due_at_once(code: int | None) -> None:
    assert due(attempt(code)) == DUE


def test_seventh_attempt_is_the_last() -> None:
    failed = [attempt(4, number * HOUR) for number in range(7)]
    assert due(*failed[:6]) < NOON
    assert due(*failed) == TOMORROW
    killed = [attempt(None, number * MINUTE) for number in range(7)]
    assert due(*killed) == TOMORROW


def test_refused_source_waits_for_a_sign_in() -> None:
    assert due(attempt(3), refused=("toy",)) == TOMORROW
    assert due(attempt(3)) == DUE


def test_retry_does_not_pass_next_scheduled_run() -> None:
    late = Attempt("toy", TOMORROW - 10 * MINUTE, TOMORROW - 5 * MINUTE, 4)
    assert due(late, now=TOMORROW - MINUTE) == TOMORROW


def test_run_of_a_clock_that_was_ahead_does_not_count() -> None:
    assert due(attempt(0, timedelta(hours=20)), now=NOON) == DUE


def test_only_failed_sources_run_again() -> None:
    attempts = [attempt(0, source="a"), attempt(4, source="b"), attempt(6, 9 * MINUTE, source="c")]
    step = next_step(RULES, ["a", "b", "c"], attempts, NOON)
    assert (step.moment, step.sources) == (DUE + 2 * MINUTE + HOUR, ("b", "c"))
    done = next_step(RULES, ["a"], attempts, NOON)
    assert (done.moment, done.sources) == (TOMORROW, ("a",))


def test_retry_shortly_before_the_schedule_takes_nobody_along() -> None:
    late = Attempt("b", TOMORROW - 90 * MINUTE, TOMORROW - 80 * MINUTE, 4)
    step = next_step(RULES, ["a", "b"], [attempt(0, source="a"), late], TOMORROW - HOUR)
    assert (step.moment, step.sources) == (TOMORROW - 20 * MINUTE, ("b",))
