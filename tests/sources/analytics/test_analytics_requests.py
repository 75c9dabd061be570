"""The cost of runs at the Analytics API: the fewest requests, none refused by its limit.

The simulator's limit is on; its clock runs faster than ours, and the settings match it.
"""

from __future__ import annotations

import itertools
import logging
import re
import signal
import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import date, timedelta

import pytest

from conftest import Home, Start, today
from crash_child import Forks, Run, until
from dashboard_scraper.cli.fetching import fetch_daily
from dashboard_scraper.errors import SignInRequired
from dashboard_scraper.model.dates import Window, last_complete_days
from dashboard_scraper.simulator import Fault, Organization, Request, Simulator, status
from dashboard_scraper.simulator.exchange import Answer
from dashboard_scraper.sources.analytics.client import AnalyticsSource
from dashboard_scraper.sources.analytics.settings import EDITOR_LANGUAGE_REQUESTS
from dashboard_scraper.sources.registry import ANALYTICS
from dashboard_scraper.sources.rest.pacing import Pace
from dashboard_scraper.store import LedgerDay, store_at
from dashboard_scraper.store.rows import DetailStatus, Status
from stored_days import NOON, TODAY, backfill, settings_of

pytestmark = pytest.mark.usefixtures("csv_alone")

PER_MINUTE, BURST, PAGE = 10, 20, 100  # of the API
COST_PER_MINUTE = 30
SCALE = 1200
NIGHT = timedelta(days=1)
DAYS = list(last_complete_days(28, TODAY).days())
SETTLED = Window(TODAY - timedelta(31), TODAY - timedelta(4))
DAILY_USAGE, DAU_COUNT = "daily-usage", "dau-count"
USER_ACTIVITY, EDITOR_LANGUAGE = "user-activity", "daily-user-activity-by-editor-language"
Log = pytest.LogCaptureFixture
Limited = Callable[..., Simulator]


@pytest.fixture
def limited(home: Home, start_api: Start) -> Limited:
    """Start a simulator with its limit on, and its figures computed, also for the next nights."""

    def begin(users: int = 12, *, scale: float = SCALE, service_accounts: int = 2) -> Simulator:
        organization = Organization(users, 1, service_accounts, TODAY + timedelta(9))
        for day in Window(TODAY - timedelta(32), TODAY).days():
            organization.totals(Window(day, day))
        home.settings |= {
            "ANALYTICS_REQUESTS_PER_MINUTE": f"{PER_MINUTE * scale}",
            "ANALYTICS_BURST": f"{BURST}",
            "COST_REQUESTS_PER_MINUTE": f"{COST_PER_MINUTE * scale}",
            "FETCH_EDITOR_LANGUAGE": "false",
        }
        home.settings.setdefault("STORE_URL", f"sqlite:///{home.data / 'usage.db'}")
        return start_api(organization, rate_limit=True, clock_scale=scale)

    return begin


def run(home: Home, nights: int = 0, *, refresh: bool = False) -> None:
    """`--last-28-days`, at noon this many days after TODAY."""
    now = NOON + nights * NIGHT
    fetch_daily(settings_of(home), None, refresh=refresh, clock=lambda: now)


def active(sim: Simulator, day: date) -> int:
    """The number of active users on that day."""
    return len(sim.organization.totals(Window(day, day)))


def pages(sim: Simulator, days: Iterable[date]) -> dict[date, int]:
    """The number of pages of users for each day; one page if nobody was active."""
    return {day: max(1, -(-active(sim, day) // PAGE)) for day in days}


def asked(sim: Simulator, endpoint: str = USER_ACTIVITY) -> Tally[date]:
    """How often each single day was requested."""
    return Tally(r.day for r in tuple(sim.requests) if r.endpoint == endpoint and r.day)


def in_turn(sim: Simulator, endpoint: str) -> list[date]:
    """The single days that were requested, each once, in the order of the requests."""
    requests = [r for r in tuple(sim.requests) if r.endpoint == endpoint]
    return [day for day, _ in itertools.groupby(r.day for r in requests) if day]


def assert_cost(sim: Simulator, totals: int, days: Iterable[date]) -> None:
    """This many requests for totals, the pages of these days, and no others; none was refused."""
    expected = pages(sim, days)
    assert asked(sim) == expected
    assert sim.count(DAILY_USAGE) == sim.count(DAU_COUNT) == totals / 2
    assert [request.status for request in sim.requests] == [200] * (totals + sum(expected.values()))
    sim.requests.clear()


def ledger(home: Home) -> dict[date, LedgerDay]:
    with store_at(home.settings["STORE_URL"]).reading() as reader:
        return reader.ledger(ANALYTICS)


@pytest.mark.slow
def test_first_run_costs_totals_and_all_pages(home: Home, limited: Limited) -> None:
    sim = limited(240)
    assert sum(pages(sim, DAYS).values()) > 2 * BURST, "else the limit would not be felt"
    run(home)
    assert_cost(sim, 2, DAYS)
    assert [(day, row.unreconciled) for day, row in ledger(home).items()] == [
        (day, []) for day in DAYS
    ]


@pytest.mark.slow
def test_run_right_after_fetches_unsettled_days(home: Home, limited: Limited) -> None:
    home.settings["SETTLE_DAYS"] = "1"
    sim = limited()
    backfill(home, DAYS[0], DAYS[-1])
    sim.requests.clear()
    run(home)
    assert_cost(sim, 2, DAYS[-1:])


@pytest.mark.slow
def test_next_night_fetches_unsettled_days(home: Home, limited: Limited) -> None:
    sim = limited()
    backfill(home, DAYS[0], DAYS[-1])
    sim.requests.clear()
    run(home, 1)
    assert_cost(sim, 2, [TODAY - timedelta(n) for n in (3, 2, 1, 0)])


@pytest.mark.slow
def test_settled_days_cost_two_requests(home: Home, limited: Limited) -> None:
    """With SETTLE_DAYS=0, days that were fetched after their end have all settled."""
    sim = limited()
    backfill(home, DAYS[0], DAYS[-1])
    home.settings["SETTLE_DAYS"] = "0"
    sim.requests.clear()
    run(home)
    assert_cost(sim, 2, [])


@pytest.mark.slow
def test_consecutive_runs_share_the_limit(home: Home, limited: Limited) -> None:
    """A run resumes the empty bucket that the previous run left, even if that run failed."""
    sim = limited(scale=60)
    backfill(home, DAYS[0], DAYS[19])
    sim.add_fault(Fault(status(401), times=1))
    with pytest.raises(SignInRequired):
        backfill(home, DAYS[20], DAYS[20])
    assert sim.requests.pop().status == 401
    backfill(home, DAYS[20], DAYS[27])
    assert_cost(sim, 4, DAYS)


@pytest.mark.slow
def test_refresh_costs_as_much_as_the_first_run(home: Home, limited: Limited) -> None:
    home.settings["SETTLE_DAYS"] = "0"
    sim = limited(12)
    backfill(home, DAYS[0], DAYS[-1])
    sim.requests.clear()
    run(home, refresh=True)
    assert_cost(sim, 2, DAYS)


@pytest.mark.slow
def test_revised_settled_day_alone_is_fetched(home: Home, limited: Limited, caplog: Log) -> None:
    home.settings["REVISION_LIMIT"] = "100"
    sim, newest = limited(), DAYS[24]
    backfill(home, DAYS[0], DAYS[-1])
    before = ledger(home)
    sim.revise(newest)
    sim.requests.clear()
    run(home)
    assert_cost(sim, 2, [newest, *DAYS[25:]])
    assert f"the source has revised {newest}; fetching them again" in caplog.text
    after = ledger(home)
    assert [day for day in DAYS[:25] if before[day].totals != after[day].totals] == [newest]
    assert after[newest].unreconciled == []


@pytest.mark.slow
def test_backfill_fetches_totals_per_90_days(home: Home, limited: Limited) -> None:
    sim = limited(3)
    window = last_complete_days(200, TODAY - timedelta(30))
    days = list(window.days())
    backfill(home, days[110], days[129])
    assert_cost(sim, 2, days[110:130])
    backfill(home, window.start, window.end)
    assert_cost(sim, 6, [*days[:110], *days[130:]])
    backfill(home, window.start, window.end)
    assert sim.requests == []
    assert list(ledger(home)) == days


@pytest.mark.slow
def test_day_without_activity_costs_a_page(home: Home, limited: Limited) -> None:
    """Only then is it stored as empty: two totals of zero could be wrong together."""
    sim = limited(3, service_accounts=0)
    busy = [day for day in DAYS if active(sim, day)]
    assert 0 < len(busy) < 28
    run(home)
    assert_cost(sim, 2, DAYS)
    for day, row in ledger(home).items():
        assert row.status is (Status.COMPLETE if day in busy else Status.EMPTY)
    home.settings["SETTLE_DAYS"] = "0"
    run(home)
    assert_cost(sim, 2, [])


def seconds_left(line: str) -> int:
    """The time left according to a line about progress."""
    found = re.search(r"about (\d+) (s|min) left", line)
    assert found, line
    return int(found[1]) * (60 if found[2] == "min" else 1)


def said_by(run: Run, words: str, count: int) -> list[str]:
    """The first lines of the run's log with these words, as soon as there are this many."""

    def lines() -> list[str]:
        return [line for line in run.logged().splitlines() if words in line]

    until(lambda: len(lines()) >= count)
    return lines()[:count]


@pytest.mark.slow
def test_long_run_logs_its_cost_and_what_is_left(
    home: Home, limited: Limited, forks: Forks
) -> None:
    """It is stopped after some days: waiting for its end would take too long for a test."""
    sim = limited()
    first, last = today() - timedelta(90), today() - timedelta(1)
    sim.organization.today = today()
    total = sum(pages(sim, Window(first, last).days()).values())
    a_minute = total * 60 / 66
    home.settings |= {"ANALYTICS_REQUESTS_PER_MINUTE": f"{a_minute}", "ANALYTICS_BURST": "3"}
    home.settings["MAX_CONCURRENCY"] = "1"  # several days at a time would all end late
    read = threading.Event()

    def wait(answer: Answer, _request: Request) -> Answer:
        read.wait(300)
        return answer

    sim.add_fault(Fault(wait, USER_ACTIVITY, after=2))
    run = forks.start(home, "backfill", f"{first}", f"{last}")
    try:
        (announced,) = said_by(run, "at the source's rate limit", 1)
        assert sim.count(USER_ACTIVITY) <= 2
        read.set()
        left = [seconds_left(line) for line in said_by(run, " of 90 days", 6)]
    finally:
        run.kill(signal.SIGTERM)
        run.wait()
    assert f"90 days take {total} requests for pages of users, about 6" in announced
    assert left == sorted(left, reverse=True)
    assert 50 < left[-1] < left[0] <= 66


@pytest.mark.parametrize("users", [0, 3, 200])
def test_number_of_pages_is_known_before_fetching(home: Home, limited: Limited, users: int) -> None:
    """Even if nobody is active on some or all days."""
    sim = limited(users, service_accounts=0)
    pace = Pace(PER_MINUTE * SCALE, BURST)
    with closing(AnalyticsSource(settings_of(home), pace, pace, lambda: NOON)) as source:
        source.prepare(DAYS, [], compared=True)
        assert_cost(sim, 2, [])
        known = pages(sim, DAYS)
        assert source.estimate(DAYS).requests == sum(known.values())
        assert [source.estimate([day]).requests for day in DAYS] == list(known.values())


@pytest.mark.slow
def test_short_run_does_not_log_its_cost(home: Home, limited: Limited, caplog: Log) -> None:
    caplog.set_level(logging.INFO, "dashboard_scraper")
    limited(12)
    run(home)
    assert "28 of 28 days" in caplog.text
    assert "at the source's rate limit" not in caplog.text
    assert " left" not in caplog.text


@pytest.mark.slow
def test_refusal_by_a_shared_limit_is_obeyed(home: Home, limited: Limited) -> None:
    """Requests sent before the refusal came may still arrive; then none does for a while."""
    home.settings["MAX_CONCURRENCY"] = "2"
    sim = limited()
    sim.add_fault(Fault(status(429, "2"), USER_ACTIVITY, times=1, after=9))
    run(home)
    statuses = [request.status for request in sim.requests]
    assert Tally(statuses) == {200: 2 + sum(pages(sim, DAYS).values()), 429: 1}
    refused = next(request.arrived for request in sim.requests if request.status == 429)
    since = sorted(each.arrived for each in sim.requests if each.arrived >= refused)
    assert max(later - earlier for earlier, later in itertools.pairwise(since[:6])) > 1
    assert list(ledger(home)) == DAYS


def with_editors(home: Home) -> list[date]:
    """The days that have figures by editor and language."""
    rows = ledger(home).values()
    return [row.day for row in rows if row.editor_language is DetailStatus.COMPLETE]


@pytest.mark.slow
def test_editors_continue_within_the_next_budget(home: Home, limited: Limited) -> None:
    sim = limited(260)
    home.settings["FETCH_EDITOR_LANGUAGE"] = "auto"
    days = list(SETTLED.days())[::-1]
    backfill(home, SETTLED.start, SETTLED.end)
    endpoints = [request.endpoint for request in sim.requests]
    assert EDITOR_LANGUAGE not in endpoints[: -endpoints[::-1].index(USER_ACTIVITY)]
    spent, done = asked(sim, EDITOR_LANGUAGE), in_turn(sim, EDITOR_LANGUAGE)
    assert done == days[: len(done)]
    assert with_editors(home) == done[::-1]
    assert spent.total() - spent[done[-1]] < EDITOR_LANGUAGE_REQUESTS <= spent.total()
    assert 0 < len(done) < 28
    first = len(sim.requests)
    backfill(home, SETTLED.start, SETTLED.end)
    assert in_turn(sim, EDITOR_LANGUAGE) == days
    assert with_editors(home) == days[::-1]
    assert {request.endpoint for request in sim.requests[first:]} == {EDITOR_LANGUAGE}
    first = len(sim.requests)
    backfill(home, SETTLED.start, SETTLED.end)
    assert sim.count() == first
    assert {request.status for request in sim.requests} == {200}
