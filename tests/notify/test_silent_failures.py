"""Failures that nobody would notice: in work for all sources together, and of runs that were killed
or terminated before they could report anything.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

import toy_source
from conftest import Home, Start, today, yesterday
from crash_child import Forks, until
from dashboard_scraper.across.tables import USAGE_CSV
from dashboard_scraper.model.dates import end_of_day
from dashboard_scraper.model.listing import listed_days
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.simulator import Fault, Organization, Simulator, hang
from dashboard_scraper.sources.registry import ANALYTICS, SOURCES
from dashboard_scraper.store import RunCounts, store_at
from databases import on_sqlite
from notification_sinks import HttpSink, http_sink

DAY = f"{yesterday()}"
DAILY = ("--daily", DAY, DAY)
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("csv_alone")]


@pytest.fixture
def sink(home: Home) -> Iterator[HttpSink]:
    with http_sink() as started:
        home.settings |= {
            "NOTIFY_URLS": f"json://127.0.0.1:{started.port}/",
            "FETCH_EDITOR_LANGUAGE": "false",
        }
        yield started


@pytest.fixture
def api(home: Home, start_api: Start, sink: HttpSink) -> Simulator:
    assert home.settings["NOTIFY_URLS"].endswith(f":{sink.port}/")
    return start_api(Organization(users=2, today=today()))


def subjects(sink: HttpSink) -> list[str]:
    return [message["title"].partition(": ")[2] for message in sink.take()]


@on_sqlite
def test_failure_of_no_single_source_is_told_once_and_its_end(
    home: Home, api: Simulator, sink: HttpSink, monkeypatch: pytest.MonkeyPatch, store_url: str
) -> None:
    """Every source is complete, but the table over all of them cannot be written."""
    monkeypatch.setitem(SOURCES, toy_source.NAME, toy_source.__name__)
    home.settings["SOURCES"] = f"{ANALYTICS},{toy_source.NAME}"
    in_the_way = home.data / USAGE_CSV
    in_the_way.mkdir(parents=True)
    assert [home.run(*DAILY).code for _ in range(2)] == [1, 1]
    assert subjects(sink) == ["all sources: the run failed (exit code 1)"]
    assert "all sources: the run failed (exit code 1), since 20" in home.run("status").out
    # A failed source is reported with its own advice, which the table's failure does not hide.
    home.settings["AUGMENT_API_TOKEN"] = "wrong-token"
    result = home.run(*DAILY, "--refresh")
    assert result.code == 3
    assert f"{USAGE_CSV} is not a regular file" in result.err
    assert subjects(sink) == ["analytics: the run failed (exit code 3)"]
    home.settings["AUGMENT_API_TOKEN"] = api.token
    in_the_way.rmdir()
    assert home.run(*DAILY).code == 0
    assert subjects(sink) == ["analytics: all is well again, and 1 more"]
    assert json.loads(home.run("status", "--json").out)["notices"]["open"] == []
    assert store_url


@on_sqlite
def test_days_of_a_break_longer_than_the_window_are_told_until_they_are_fetched(
    home: Home, api: Simulator, sink: HttpSink, store_url: str
) -> None:
    """The figures of the day before the break were still growing, and no night fetches it."""
    before = today() - timedelta(35)
    store = store_at(store_url)
    with store.locked(), store.opened():
        for day, later in ((before - timedelta(1), timedelta(4)), (before, timedelta(hours=3))):
            store.put(ANALYTICS, DayUsage(day, [], None), end_of_day(day) + later)
    backfill = ("backfill", f"{before}", f"{today() - timedelta(29)}")
    missing = listed_days([before + timedelta(number) for number in range(1, 7)])
    for _ in range(2):
        result = home.run("--last-28-days")
        assert result.code == 0
        assert f"had settled: {before}; missing: {missing}; no nightly run" in result.err
        assert f"run `{' '.join(backfill)}`\n" in result.err
    assert api.requests
    (message,) = sink.take()
    assert message["title"] == "dashboard-scraper: analytics: 6 days are missing"
    assert f"Not in the store: {missing}." in message["message"]
    assert home.run("backfill", f"{before}", f"{before}").code == 0  # only the missing days remain
    assert f", missing: {missing}; no nightly run" in home.run("--last-28-days").err
    assert sink.take() == []
    assert home.run(*backfill).code == 0
    assert subjects(sink) == ["analytics: all is well again"]
    result = home.run("--last-28-days")
    assert "no nightly run" not in result.err
    assert sink.take() == []
    oldest = today() - timedelta(730)  # that the source still has
    long_ago = oldest - timedelta(3)
    with store.locked(), store.opened():
        store.put(ANALYTICS, DayUsage(long_ago, [], None), end_of_day(long_ago))
    assert home.run("--last-28-days").code == 0
    (message,) = sink.take()
    lost = listed_days([oldest - timedelta(2), oldest - timedelta(1)])
    assert f"The source no longer has {lost}.\n" in message["message"]
    assert f"`backfill {oldest} {before - timedelta(2)}`" in message["message"]


@on_sqlite
def test_killed_run_is_told_by_the_next_before_it_works(
    home: Home, api: Simulator, sink: HttpSink, store_url: str, forks: Forks
) -> None:
    """It is reported first, since the next run may be killed too."""
    api.add_fault(Fault(hang(60)))
    run = forks.start(home, *DAILY)
    until(lambda: bool(api.requests))
    run.kill()
    assert run.wait().code == -signal.SIGKILL
    assert sink.messages == []
    api.clear_faults()
    api.requests.clear()
    asked: list[bool] = []
    sink.on_message = lambda: asked.append(bool(api.requests))
    assert home.run(*DAILY).code == 0
    assert subjects(sink) == ["analytics: the last run was cut off", "analytics: all is well again"]
    assert asked == [False, True]
    assert store_url


@on_sqlite
def test_run_that_still_works_was_not_killed(
    home: Home, api: Simulator, sink: HttpSink, store_url: str
) -> None:
    store = store_at(store_url)
    with store.locked(), store.opened():
        store.start_run(ANALYTICS, "daily", datetime.now(UTC), "1")
        assert home.run(*DAILY).code == 7
    assert subjects(sink) == ["analytics: the run failed (exit code 7), and 1 more"]
    assert not api.requests


@on_sqlite
@pytest.mark.parametrize(
    ("codes", "told"),
    [
        ([143], []),
        ([0, 143, 143], ["the last two runs were terminated", "all is well again"]),
        ([None, 143], ["the last two runs were terminated", "all is well again"]),
        ([143, 0], []),
    ],
)
def test_runs_that_are_terminated_again_and_again_are_told(
    home: Home,
    api: Simulator,
    sink: HttpSink,
    codes: list[int | None],
    told: list[str],
    store_url: str,
) -> None:
    """As by a time limit; if it happens once, whoever did it knows."""
    store, began = store_at(store_url), datetime.now(UTC) - timedelta(days=3)
    with store.locked(), store.opened():
        for code in codes:
            number = store.start_run(ANALYTICS, "daily", began, "1")
            if code is not None:
                store.end_run(number, began, code, RunCounts(0, 0, 0, 0))
    assert home.run(*DAILY).code == 0
    assert subjects(sink) == [f"analytics: {each}" for each in told]
    assert api.requests


@on_sqlite
def test_session_is_not_said_to_be_over_where_it_is_not(
    home: Home, start: Start, sink: HttpSink, store_url: str
) -> None:
    """`keep-alive` fails for another reason: others can read the session's file."""
    start(Organization(users=2, today=today()))
    assert home.run(*DAILY).code == 0
    home.cookie_file.chmod(0o644)
    assert home.run("keep-alive").code == 2
    home.cookie_file.chmod(0o600)
    assert home.run("keep-alive").code == 0
    assert store_url
    assert subjects(sink) == [
        "dashboard: the session could not be kept alive (exit code 2)",
        "dashboard: all is well again",
    ]
