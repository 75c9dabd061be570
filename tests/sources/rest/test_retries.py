"""Temporary faults are retried, within bounds; others are not."""

from __future__ import annotations

import email.utils
import itertools
import signal
import threading
import time
from collections import Counter as Tally
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Home, Result, Start, last_working_day
from crash_child import Forks, until
from dashboard_scraper.settings.config import load_settings
from dashboard_scraper.simulator import (
    Fault,
    Request,
    Simulator,
    cut_body,
    drip,
    hang,
    raw_body,
    reset,
    reset_mid_body,
    status,
)
from dashboard_scraper.simulator.exchange import Answer
from dashboard_scraper.simulator.faults import Effect
from dashboard_scraper.sources.dashboard.settings import Endpoint
from dashboard_scraper.sources.rest.retrying import MAX_WAIT, RetryPolicy, seconds_of

pytestmark = pytest.mark.usefixtures("csv_alone")

USERS, TENANT = Endpoint.USERS.value, Endpoint.TENANT.value
DAY = last_working_day()
CSV_NAME = f"metrics_{DAY:%Y%m%d}.csv"
JOB = ("backfill", f"{DAY - timedelta(27)}", f"{DAY}")  # 28 requests, and no files to write

PASSING: dict[str, Effect] = {
    "503": status(503),  # test_statuses.py has the others
    "503, wait 0 s": status(503, "0"),
    "reset": reset(),
    "reset mid-body": reset_mid_body(),
    "hang": hang(300),
    "cut, length": cut_body("length"),
    "cut, chunked": cut_body("chunked"),
    "cut, close": cut_body("close"),
}
# Values of Retry-After that give no time to wait: the program uses its own.
NO_WAIT = {
    "negative": "-5",
    "empty": "",
    "words": "soon",
    "decimals": "0.5",
    "past date": "Wed, 21 Oct 2015 07:28:00 GMT",
    "past date, other zone": "Wed, 21 Oct 2015 09:28:00 +0200",
    "no such date": "Wed, 99 Oct 2025 07:28:00 GMT",
    "year too large": "Wed, 21 Oct 99999 07:28:00 GMT",
    "zone too large": "Wed, 21 Oct 2015 07:28:00 +99999999999999",
}


@pytest.fixture
def users_only(home: Home) -> Home:
    """One request per day, so that each counted request is an attempt."""
    home.settings["SCRAPE_ENDPOINTS"] = USERS
    return home


def add_passing_fault(home: Home, sim: Simulator, name: str, times: int | None = None) -> None:
    if name == "hang":
        home.settings["REQUEST_TIMEOUT_SECONDS"] = "1.5"
    sim.add_fault(Fault(PASSING[name], times=times))


def assert_gave_up(result: Result, home: Home, *words: str) -> None:
    assert result.code == 4, result.err
    assert all(word in result.err for word in words), result.err
    assert "Traceback" not in result.err
    assert (result.out, home.files()) == ("", set())


@pytest.mark.parametrize("name", PASSING)
@pytest.mark.slow
def test_temporary_fault_costs_only_requests(
    users_only: Home, sim: Simulator, users_csv: bytes, name: str
) -> None:
    """Two failed attempts, then the answer: exit 0, three requests, and the same file."""
    add_passing_fault(users_only, sim, name, times=2)
    result = users_only.run(f"{DAY}")
    assert result.code == 0, result.err
    assert sim.count() == 3
    assert "attempt 2 of 4" in result.err
    assert (users_only.data / CSV_NAME).read_bytes() == users_csv


@pytest.mark.parametrize("name", ["503", "reset", "hang", "cut, close"])
@pytest.mark.slow
def test_permanent_fault_ends_with_the_attempts(
    users_only: Home, sim: Simulator, name: str
) -> None:
    """There are MAX_RETRIES + 1 attempts; exit 4, and earlier files are set aside."""
    users_only.settings["MAX_RETRIES"] = "1"
    users_only.data.mkdir()
    (users_only.data / CSV_NAME).write_text("of an earlier run")
    add_passing_fault(users_only, sim, name)
    result = users_only.run(f"{DAY}")
    assert result.code == 4, result.err
    assert "gave up after 2 attempts" in result.err
    assert sim.count() == 2
    assert (result.out, users_only.files()) == ("", {f"{CSV_NAME}.stale"})


def test_without_retries_there_is_one_attempt(users_only: Home, sim: Simulator) -> None:
    users_only.settings["MAX_RETRIES"] = "0"
    sim.add_fault(Fault(status(503, "0"), times=1))
    assert_gave_up(users_only.run(f"{DAY}"), users_only, "HTTP 503", "after 1 attempt\n")
    assert sim.count() == 1


@pytest.mark.parametrize(
    ("effect", "code"),
    [
        (status(400), 5),
        (status(401), 3),
        (status(403), 3),
        (status(404), 5),
        (raw_body(b"null"), 5),
        (raw_body(b'{"userFeatureStats":[}'), 5),
    ],
)
def test_other_faults_are_not_retried(
    users_only: Home, sim: Simulator, effect: Effect, code: int
) -> None:
    sim.add_fault(Fault(effect, times=1))
    assert users_only.run(f"{DAY}").code == code
    assert (sim.count(), users_only.files()) == (1, set())


@pytest.mark.slow
def test_time_budget_ends_retries_early(users_only: Home, sim: Simulator) -> None:
    """Waits of at least 0.3, 0.6, 1.2 and 2.4 s: no fifth attempt fits in three seconds."""
    users_only.settings |= {
        "RETRY_BACKOFF_SECONDS": "0.3",
        "RETRY_BUDGET_SECONDS": "3",
        "MAX_RETRIES": "20",
    }
    sim.add_fault(Fault(status(503)))
    assert_gave_up(users_only.run(f"{DAY}"), users_only, "RETRY_BUDGET_SECONDS=3 is spent")
    assert 2 <= sim.count() <= 4


@pytest.mark.parametrize("effect", [hang(300), drip(0.2)], ids=["silence", "drip"])
@pytest.mark.slow
def test_slow_answer_cannot_exceed_the_budget(
    users_only: Home, sim: Simulator, effect: Effect
) -> None:
    """Silence within the timeout and slowly arriving bytes both allow one attempt, then the end."""
    users_only.settings |= {"REQUEST_TIMEOUT_SECONDS": "300", "RETRY_BUDGET_SECONDS": "1.5"}
    sim.add_fault(Fault(effect))
    assert_gave_up(users_only.run(f"{DAY}"), users_only, "RETRY_BUDGET_SECONDS=1.5 is spent")
    assert sim.count() == 1


@pytest.mark.parametrize("name", NO_WAIT)
def test_invalid_retry_after_is_ignored(users_only: Home, sim: Simulator, name: str) -> None:
    sim.add_fault(Fault(status(429, NO_WAIT[name]), times=1))
    result = users_only.run(f"{DAY}")
    assert "Traceback" not in result.err
    assert result.code == 0, result.err
    assert sim.count() == 2
    assert "the next in 0.0 s" in result.err


def after_seconds() -> str:
    return "1"


def after_date() -> str:
    """In whole seconds, so 1 to 2 s from now."""
    return email.utils.formatdate(time.time() + 2, usegmt=True)


@pytest.mark.parametrize(("code", "spelling"), [(429, after_seconds), (503, after_date)])
@pytest.mark.slow
def test_retry_after_is_obeyed(
    users_only: Home, sim: Simulator, spelling: Callable[[], str], code: int
) -> None:
    def refuse(answer: Answer, request: Request) -> Answer:
        return status(code, spelling())(answer, request)

    sim.add_fault(Fault(refuse, times=1))
    result = users_only.run(f"{DAY}")
    assert result.code == 0, result.err
    first, second = sim.requests
    assert second.arrived - first.arrived > 0.99


@pytest.mark.parametrize(
    "value",
    ["7200", email.utils.formatdate(time.time() + 7200, usegmt=True), "9" * 30, "9" * 400],
    ids=["two hours", "date in two hours", "30 digits", "400 digits"],
)
class TestLongRetryAfter:
    @pytest.mark.slow
    def test_beyond_the_budget_ends_the_request(
        self, users_only: Home, sim: Simulator, value: str
    ) -> None:
        users_only.settings["RETRY_BUDGET_SECONDS"] = "30"
        sim.add_fault(Fault(status(429, value), times=1))
        assert_gave_up(users_only.run(f"{DAY}"), users_only, "RETRY_BUDGET_SECONDS=30 is spent")
        assert sim.count() == 1

    @pytest.mark.slow
    def test_is_clamped_to_a_minute(
        self, users_only: Home, sim: Simulator, forks: Forks, value: str
    ) -> None:
        """The run is stopped as soon as it has logged how long it will wait."""
        if value != "7200":
            policy = RetryPolicy(retries=1, backoff=0.5, timeout=30, budget=180)
            assert policy.wait(1, seconds_of(value)) == MAX_WAIT == 60
            return
        sim.add_fault(Fault(status(429, value), times=1))
        run = forks.start(users_only, f"{DAY}")
        try:
            until(lambda: "HTTP 429" in run.logged())
            run.kill(signal.SIGTERM)
            result = run.wait()
        finally:
            run.kill()
        assert "the next in 60.0 s" in result.err
        assert (result.code, sim.count()) == (128 + signal.SIGTERM, 1)


@pytest.mark.slow
def test_retry_after_pauses_all_requests(users_only: Home, start: Start) -> None:
    """After the refusal, only requests in flight arrive; then none for the whole pause."""
    workers, refused_at, seconds = 4, 6, 2
    users_only.settings["MAX_CONCURRENCY"] = f"{workers}"
    sim = start(latency=0.05)
    sim.add_fault(Fault(status(429, f"{seconds}"), times=1, after=refused_at))
    assert users_only.run(*JOB).code == 0
    assert sim.count() == 29
    arrived = sorted(request.arrived for request in sim.requests)
    gaps = [later - earlier for earlier, later in itertools.pairwise(arrived)]
    before_the_pause = refused_at + 2 * workers
    # A request that was already sent may arrive a while after the refusal.
    assert max(gaps[:before_the_pause]) > seconds / 2


@pytest.mark.slow
def test_extended_pause_holds_waiting_requests(users_only: Home, sim: Simulator) -> None:
    """One refusal asks for 2 s, a later one for 4 s more: nothing is sent until both are over."""
    users_only.settings["MAX_CONCURRENCY"] = "3"
    first, second, third = (DAY - timedelta(n) for n in (27, 26, 25))
    sim.add_fault(Fault(status(429, "2"), day=first, times=1))
    sim.add_fault(Fault(status(503, "4"), day=second, times=1))
    # Early enough that even a busy machine has this answer before the first pause ends.
    sim.add_fault(Fault(hang(0.3), day=second, times=1))
    sim.add_fault(Fault(hang(0.1), day=third, times=1))
    assert users_only.run(*JOB).code == 0
    refused = next(request for request in sim.requests if request.day == second)
    inside = [
        request.day
        for request in sim.requests
        if refused.arrived + 0.6 < request.arrived < refused.arrived + 4.2
    ]
    assert inside == []


@pytest.mark.slow
def test_pause_of_another_request_costs_no_budget(users_only: Home, sim: Simulator) -> None:
    """The budget covers a request and its retries, not the pause before its first attempt.

    The refused day has no time to wait; it succeeds in the second round.
    """
    users_only.settings |= {"MAX_CONCURRENCY": "1", "RETRY_BUDGET_SECONDS": "2.5"}
    sim.add_fault(Fault(status(429, "3"), times=1))
    result = users_only.run(*JOB)
    assert result.code == 0, result.err
    assert result.err.count("RETRY_BUDGET_SECONDS=2.5 is spent") == 1
    assert sim.count() == 29


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.slow
def test_requests_in_flight_reach_the_limit(users_only: Home, start: Start, workers: int) -> None:
    """The first answers come only once this many requests have arrived; the others take a while."""
    users_only.settings["MAX_CONCURRENCY"] = f"{workers}"
    sim, together = start(latency=0.03), threading.Barrier(workers)

    def wait(answer: Answer, _request: Request) -> Answer:
        together.wait(60)
        return answer

    sim.add_fault(Fault(wait, times=workers))
    assert users_only.run(*JOB).code == 0
    assert (sim.count(), sim.max_in_flight) == (28, workers)


@pytest.mark.slow
def test_requests_of_a_day_are_sent_side_by_side(home: Home, start: Start) -> None:
    """No answer comes before both requests of seven days and the one for their sums arrived."""
    days = [DAY - timedelta(6 - number) for number in range(7)]
    expected = [*itertools.product((USERS, TENANT), days), (TENANT, None)]
    sim, together = start(), threading.Barrier(len(expected))

    def wait(answer: Answer, _request: Request) -> Answer:
        together.wait(60)
        return answer

    sim.add_fault(Fault(wait))
    assert home.run("--daily", f"{days[0]}", f"{DAY}").code == 0
    assert Tally((request.endpoint, request.day) for request in sim.requests) == Tally(expected)


@pytest.mark.parametrize(
    ("requests", "days"), [(1, 1), (4, 4), (8, 8), (15, 8), (16, 7), (17, 8), (64, 31)]
)
def test_days_at_once_follow_from_requests_at_once(
    tmp_path: Path, requests: int, days: int
) -> None:
    assert load_settings(tmp_path, max_concurrency=requests).days_at_once == days


@pytest.mark.slow
def test_broken_day_costs_attempts_in_both_rounds(users_only: Home, sim: Simulator) -> None:
    users_only.settings["MAX_RETRIES"] = "1"
    broken = DAY - timedelta(5)
    sim.add_fault(Fault(reset(), day=broken))
    result = users_only.run(*JOB)
    assert result.code == 6, result.err
    assert (sim.count(day=broken), sim.count()) == (4, 31)


seconds = st.floats(0, 3600)


@settings(deadline=None)
@given(st.integers(1, 21), seconds, st.none() | st.floats(0, 1e9))
def test_wait_stays_within_its_bounds(
    attempt: int, backoff: float, retry_after: float | None
) -> None:
    policy = RetryPolicy(retries=20, backoff=backoff, timeout=30, budget=180)
    asked = retry_after or 0
    doubled = backoff * 2 ** (attempt - 1)
    least, most = max(doubled, asked), max(doubled * 1.5, asked)
    assert min(least, MAX_WAIT) <= policy.wait(attempt, retry_after) <= min(most, MAX_WAIT)


def test_waits_double_with_jitter() -> None:
    policy = RetryPolicy(retries=20, backoff=0.5, timeout=30, budget=180)
    for attempt in (1, 2, 5):
        waits = [policy.wait(attempt, None) for _ in range(500)]
        least = 0.5 * 2 ** (attempt - 1)
        assert least <= min(waits) < 1.1 * least
        assert 1.4 * least < max(waits) <= 1.5 * least
