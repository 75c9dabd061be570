"""When the nightly job is due, also when daylight saving begins and ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dashboard_scraper.watch.schedule import Schedule, read_time_zone


def schedule(expression: str = "30 2 * * *", zone: str = "Europe/Berlin") -> Schedule:
    return Schedule.read(expression, read_time_zone(zone))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def due_between(asked: Schedule, start: str, end: str) -> list[str]:
    """When a process that always waits for the next moment runs the job."""
    found, moment = [], at(start)
    while (moment := asked.after(moment)) < at(end):
        found.append(f"{moment:%d %H:%M}")
    return found


def test_time_that_does_not_exist_is_due_once() -> None:
    """Berlin's clock goes from 01:59 to 03:00 on 29 March 2026, at 01:00 UTC."""
    due = due_between(schedule(), "2026-03-28", "2026-03-31")
    assert due == ["28 01:30", "29 01:00", "30 00:30"]


def test_time_that_comes_twice_is_due_once() -> None:
    """Berlin's clock goes back from 03:00 to 02:00 on 25 October 2026, at 01:00 UTC."""
    due = due_between(schedule(), "2026-10-24", "2026-10-27")
    assert due == ["24 00:30", "25 00:30", "26 01:30"]


@pytest.mark.parametrize("expression", ["30 2 * * *", "0,30 1-3 * * *"])
@pytest.mark.parametrize(
    ("day", "zone"),
    [
        ("2026-03-29", "Europe/Berlin"),
        ("2026-10-25", "Europe/Berlin"),
        ("2026-11-01", "America/New_York"),
    ],
)
def test_start_at_any_minute_knows_same_moments(expression: str, day: str, zone: str) -> None:
    """Also if it starts within the hour that occurs twice."""
    asked = schedule(expression, zone)
    moment, end = at(day) - timedelta(hours=2), at(day) + timedelta(hours=8)
    while moment < end:
        latest, after = asked.latest(moment), asked.after(moment)
        assert latest is not None
        assert latest <= moment < after
        assert asked.after(latest) == after
        assert asked.latest(after) == after
        moment += timedelta(minutes=30)


def test_moment_itself_is_latest() -> None:
    moment = at("2026-06-01 00:30")
    assert schedule().latest(moment) == moment
    assert schedule().latest(moment - timedelta(microseconds=1)) == moment - timedelta(1)


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("5 3 * *", "five fields"),
        ("0 5 3 * * *", "five fields"),
        ("@daily", "five fields"),
        ("61 3 * * *", "bad minute"),
        ("5 3 30 2 *", "bad day-of-month"),
        ("5 3 */20 * 1L", "no such day"),
    ],
)
def test_wrong_expression_is_refused(expression: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        schedule(expression)


@pytest.mark.parametrize("name", ["Europe/Atlantis", "Europe", "../etc/passwd", "CEST"])
def test_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a time zone"):
        read_time_zone(name)
