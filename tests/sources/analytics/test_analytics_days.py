"""Which days the Analytics API has: two years, up to the day before its figures are ready."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from analytics_runs import error_line, message_of
from conftest import Home, Start, today, yesterday
from dashboard_scraper.cli.commands.status import print_status
from dashboard_scraper.cli.fetching import fetch_daily, fetch_period
from dashboard_scraper.errors import (
    DaysMissing,
    NotPublished,
    UsageError,
)
from dashboard_scraper.model.dates import Window, last_complete_days
from dashboard_scraper.simulator import Organization, Simulator
from dashboard_scraper.sources.registry import ANALYTICS
from dashboard_scraper.store import store_at
from stored_days import NOON, TODAY, backfill, settings_of

USERS, USAGE, DAU = "user-activity", "daily-usage", "dau-count"
DAY = yesterday()
Log = pytest.LogCaptureFixture
Capture = pytest.CaptureFixture[str]


LATER = today() + timedelta(1)
TOO_LATE = {
    "period, today": [f"{today()}"],
    "period, a range to today": [f"{DAY}", f"{today()}"],
    "period, the future": [f"{LATER}"],
    "daily, today": ["--daily", f"{DAY}", f"{today()}"],
    "daily, the future": ["--daily", f"{LATER}", f"{LATER}"],
    "backfill, today": ["backfill", f"{DAY}", f"{today()}"],
    "backfill, the future": ["backfill", f"{LATER}", f"{LATER}"],
}


@pytest.mark.parametrize("name", TOO_LATE)
def test_today_and_future_are_refused(home: Home, api: Simulator, name: str) -> None:
    result = home.run(*TOO_LATE[name])
    assert result.code == 2, result.err
    assert f"in UTC, today is {today()}" in error_line(result)
    assert (api.requests, home.files()) == ([], set())


OLDEST = TODAY - timedelta(730)


@pytest.fixture
def spring(home: Home, start_api: Start) -> Simulator:
    """A simulator whose today is the 10th of March, 2025, with the API's own ready hour."""
    home.settings |= {"FETCH_EDITOR_LANGUAGE": "false", "MAX_RETRIES": "0"}
    sim = start_api(Organization(users=12, today=TODAY))
    del home.settings["ANALYTICS_READY_HOUR"]
    return sim


def daily(home: Home, now: datetime, window: Window | None = None) -> None:
    fetch_daily(settings_of(home), window, clock=lambda: now)


def test_day_over_two_years_old_is_refused(home: Home, spring: Simulator) -> None:
    old = OLDEST - timedelta(1)
    runs: list[Callable[[], None]] = [
        lambda: backfill(home, old, old),
        lambda: backfill(home, old, OLDEST),
        lambda: daily(home, NOON, Window(old, OLDEST)),
    ]
    for run in runs:
        message = message_of(UsageError, run)
        assert "two years" in message
        assert str(old) in message
        assert str(OLDEST) in message, "the day to begin with"
    assert (spring.requests, home.files()) == ([], set())


def test_period_over_two_years_old_is_refused(home: Home, api: Simulator) -> None:
    result = home.run(f"{today() - timedelta(731)}")
    assert result.code == 2, result.err
    assert "two years" in error_line(result)
    assert (api.requests, home.files()) == ([], set())


def test_a_day_exactly_two_years_old_is_fetched(home: Home, spring: Simulator) -> None:
    backfill(home, OLDEST, OLDEST)
    assert spring.count(USAGE, OLDEST) == 1
    assert {request.status for request in spring.requests} == {200}


def test_period_over_90_days_is_refused(home: Home, api: Simulator) -> None:
    result = home.run(f"{today() - timedelta(91)}", f"{DAY}")
    assert result.code == 2, result.err
    line = error_line(result)
    assert "90 days" in line
    assert "--daily" in line
    home.settings["LOOKBACK_DAYS"] = "91"
    message = message_of(
        UsageError,
        lambda: fetch_period(settings_of(home), datetime.now(NOON.tzinfo), None, None),
    )
    assert "LOOKBACK_DAYS" in message
    assert (api.requests, home.files()) == ([], set())


def test_period_of_90_days_costs_one_request_each(home: Home, api: Simulator) -> None:
    window = last_complete_days(90, today())
    fetch_period(settings_of(home), datetime.now(NOON.tzinfo), window, None)
    assert [request.endpoint for request in api.requests] == [USERS, USAGE, DAU]
    assert len(home.files()) == 2


# Before yesterday's figures are ready


BEFORE = datetime(2025, 3, 10, 1, 59, 59, 999_999, tzinfo=NOON.tzinfo)
READY = datetime(2025, 3, 10, 2, tzinfo=NOON.tzinfo)
LAST = TODAY - timedelta(1)
WINDOW = last_complete_days(28, TODAY)
FOLDER = f"daily_exports_{WINDOW.start}_to_{WINDOW.end}"


def manifest(home: Home) -> dict[date, dict[str, Any]]:
    days = json.loads((home.data / FOLDER / "manifest.json").read_bytes())["days"]
    return {date.fromisoformat(entry["day"]): entry for entry in days}


def stored(home: Home) -> set[date]:
    with store_at(settings_of(home).store_url).reading() as reader:
        return set(reader.ledger(ANALYTICS))


def asked_days(sim: Simulator) -> set[date]:
    """Every day that any request included."""
    days: set[date] = set()
    for request in sim.requests:
        query = request.query
        first = date.fromisoformat(query.get("start_date", query.get("date", "")))
        last = date.fromisoformat(query.get("end_date", query.get("date", "")))
        days |= set(Window(first, last).days())
    return days


def files_of(*days: date) -> set[str]:
    return {
        f"{FOLDER}/{name}"
        for day in days
        for name in (f"augment_metrics_{day}.csv", f"copilot_metrics_{day}.json")
    }


@pytest.mark.slow
def test_yesterday_is_unpublished_before_the_hour(
    home: Home, spring: Simulator, caplog: Log
) -> None:
    """Neither failed nor empty: exit 6, no request for it, and no sum without it, except in
    GitHub's report, which leaves missing days out.
    """
    caplog.set_level(logging.INFO, "dashboard_scraper")
    others = [day for day in WINDOW.days() if day != LAST]
    missing = f"1 of 28 days are missing: {LAST}; run it again when the source has published them"
    with pytest.raises(DaysMissing, match=missing) as caught:
        daily(home, BEFORE)
    assert caught.value.exit_code == 6
    entries = manifest(home)
    assert entries.pop(LAST) | {"reason": ""} == {
        "day": f"{LAST}",
        "status": "unpublished",
        "reason": "",
    }
    assert {entry["status"] for entry in entries.values()} == {"complete"}
    assert stored(home) == asked_days(spring) == set(others)
    window = {"manifest.json", "report.html", "github_reports/enterprise-28-day.json"}
    assert home.files() == {*files_of(*others), *(f"{FOLDER}/{name}" for name in window)}
    assert not any(record.levelno >= logging.ERROR for record in caplog.records)
    assert any(f"{LAST} is not published yet" in text for text in caplog.messages)


@pytest.mark.slow
def test_yesterday_is_fetched_from_the_hour_on(home: Home, spring: Simulator) -> None:
    with pytest.raises(DaysMissing):
        daily(home, BEFORE)
    daily(home, READY)
    assert spring.count(USERS, LAST) == 1
    assert {entry["status"] for entry in manifest(home).values()} == {"complete"}
    assert stored(home) == set(WINDOW.days())
    assert files_of(LAST) < home.files()
    assert f"{FOLDER}/copilot_metrics_aggregated.json" in home.files()


@pytest.mark.parametrize("hour", [0, 5, 23])
@pytest.mark.slow
def test_the_hour_is_a_setting(home: Home, spring: Simulator, hour: int) -> None:
    home.settings["ANALYTICS_READY_HOUR"] = f"{hour}"
    ready = READY.replace(hour=hour)
    backfill(home, LAST, LAST, ready)
    backfill(home, LAST - timedelta(1), LAST - timedelta(1), ready - timedelta(microseconds=1))
    assert stored(home) == {LAST - timedelta(1), LAST}
    tomorrow = ready + timedelta(1) - timedelta(microseconds=1)
    spring.requests.clear()
    if hour:
        with pytest.raises(NotPublished, match=f"{TODAY} is not published yet"):
            backfill(home, TODAY, TODAY, tomorrow)
        assert spring.requests == []


def test_backfill_of_unpublished_day_is_reported(home: Home, spring: Simulator) -> None:
    newest = LAST - timedelta(1)
    reason = f"{LAST} is not published yet: .* days up to {newest}"
    with pytest.raises(NotPublished, match=reason) as caught:
        backfill(home, LAST, LAST, BEFORE)
    assert caught.value.exit_code == 6
    assert spring.requests == []
    assert stored(home) == set()


def test_backfill_stores_days_before_yesterday(home: Home, spring: Simulator) -> None:
    with pytest.raises(DaysMissing, match=f"1 of 3 days are missing: {LAST}"):
        backfill(home, LAST - timedelta(2), LAST, BEFORE)
    assert stored(home) == asked_days(spring) == {LAST - timedelta(2), LAST - timedelta(1)}


def test_period_with_yesterday_is_unpublished(home: Home, spring: Simulator) -> None:
    """A sum without its last day would look like that of the whole period."""
    window = Window(LAST - timedelta(6), LAST)
    with pytest.raises(NotPublished, match=str(LAST)):
        fetch_period(settings_of(home), BEFORE, window, None)
    assert (spring.requests, home.files()) == ([], set())
    fetch_period(settings_of(home), READY, window, None)
    assert len(home.files()) == 2


def test_status_reports_unpublished_day_as_missing(
    home: Home, spring: Simulator, capsys: Capture
) -> None:
    with pytest.raises(DaysMissing):
        backfill(home, LAST - timedelta(1), LAST, BEFORE)
    assert spring.requests
    capsys.readouterr()
    print_status(settings_of(home), BEFORE, as_json=True, max_age=None, check=False)
    (source,) = msgspec.json.decode(capsys.readouterr().out)["sources"]
    assert (source["source"], source["missing"], source["empty"]) == (ANALYTICS, [f"{LAST}"], [])
    assert source["last_success"] is None


def check(home: Home, now: datetime) -> None:
    print_status(settings_of(home), now, as_json=False, max_age=None, check=True)


def test_check_asks_for_a_day_that_is_published(spring: Simulator, home: Home) -> None:
    check(home, BEFORE)
    assert [request.day for request in spring.requests] == [TODAY - timedelta(2)]
