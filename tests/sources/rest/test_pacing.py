"""The token bucket: never ahead of the server's, saved between runs, and every thread waits for it.

Alone, it reads a clock that only the test advances; over sockets, the real clock.
"""

from __future__ import annotations

import heapq
import itertools
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conftest import Home, Start, today, twelve_users
from crash_child import Forks, until
from dashboard_scraper.simulator import Fault, Simulator, status
from dashboard_scraper.sources.registry import ANALYTICS
from dashboard_scraper.sources.rest import pacing
from dashboard_scraper.sources.rest.auth import BearerToken
from dashboard_scraper.sources.rest.http import Http
from dashboard_scraper.sources.rest.pacing import Pace
from dashboard_scraper.sources.rest.retrying import RetryPolicy
from dashboard_scraper.store import store_at
from stored_days import settings_of

MOMENT = datetime(2025, 3, 10, 12, tzinfo=UTC)
PER_MINUTE, BURST = 60.0, 20  # a token a second
TINY = 1e-6  # seconds; less than this may be lost in a sum
DAU_COUNT = "dau-count"


class Clock:
    """Seconds that pass only if a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def clocked() -> tuple[pytest.MonkeyPatch, Clock]:
    """A clock that buckets read until the patch is undone."""
    patch, clock = pytest.MonkeyPatch(), Clock()
    patch.setattr(pacing, "time", SimpleNamespace(monotonic=clock))
    return patch, clock


@pytest.fixture
def clock() -> Iterator[Clock]:
    patch, clock = clocked()
    yield clock
    patch.undo()


def full(burst: int = BURST) -> Pace:
    return Pace(PER_MINUTE, burst)


def take_all(pace: Pace) -> int:
    """How many requests may be sent at once; each is answered before the next one."""
    taken = 0
    while not pace.take():
        pace.answered()
        taken += 1
    return taken


def test_burst_is_sent_at_once(clock: Clock) -> None:
    pace = full()
    assert take_all(pace) == BURST
    for _ in range(50):
        wait = pace.take()
        assert wait == pytest.approx(1)
        clock.now += wait / 2
        assert pace.take() == pytest.approx(wait / 2)
        clock.now += wait / 2 + 1e-9
        assert take_all(pace) == 1
    assert pace.taken == BURST + 50


def test_bucket_fills_up_to_the_burst(clock: Clock) -> None:
    pace = full()
    assert take_all(pace) == BURST
    clock.now += 7.5
    assert take_all(pace) == 7
    clock.now += 24 * 3600
    assert take_all(pace) == BURST


def test_bucket_does_not_fill_during_a_request(
    clock: Clock,
) -> None:
    pace = full()
    for _ in range(BURST):
        assert pace.take() == 0
    clock.now += 3600
    assert 0 < pace.take() <= 0.1, "to be asked again soon: an answer may come at any moment"
    pace.answered()
    assert pace.take() > 0
    clock.now += 1 + 1e-9
    assert pace.take() == 0


class Server:
    """The server's bucket: takes a token when a request arrives, and fills from the first on."""

    def __init__(self, burst: int, now: float) -> None:
        self._burst, self._tokens, self._filled = float(burst), float(burst), now

    def admits(self, now: float) -> bool:
        gained = (now - self._filled) * PER_MINUTE / 60
        self._tokens, self._filled = min(self._burst, self._tokens + gained), now
        admitted = self._tokens > 1 - 1e-6
        self._tokens -= admitted
        return admitted


Times = list[tuple[float, float, float]]
seconds = st.floats(0, 4) | st.sampled_from([0.0, 0.0, 1.0, 4.0])


def refused(burst: int, workers: int, times: Times) -> list[float]:
    """When the server refused requests, in seconds from the beginning; simulated without threads.

    `times` has for each request how long its thread waits first, and how long both ways take.
    """
    patch, clock = clocked()
    begin, pace = clock.now, Pace(PER_MINUTE, burst)
    server = Server(burst, begin)
    refusals = []
    left = iter(times)
    order = itertools.count()
    events: list[tuple[float, int, str, tuple[float, float]]] = []

    def plan(after: float, what: str, ways: tuple[float, float]) -> None:
        heapq.heappush(events, (clock.now + after, next(order), what, ways))

    def next_request() -> None:
        for idle, *ways in itertools.islice(left, 1):
            plan(idle, "ask", (ways[0], ways[1]))

    for _ in range(workers):
        next_request()
    while events:
        clock.now, _, what, ways = heapq.heappop(events)
        assert clock.now < begin + 20 * len(times), "a request waits for ever"
        if what == "ask":
            wait = pace.take()
            plan(max(wait, TINY) if wait else ways[0], "ask" if wait else "arrive", ways)
        elif what == "arrive":
            if not server.admits(clock.now):
                refusals.append(clock.now - begin)
            plan(ways[1], "answer", ways)
        else:
            pace.answered()
            next_request()
    patch.undo()
    return refusals


# Requests that take long to arrive, while the server's bucket is already full.
@example(2, 3, [*[(0.0, 0.0, 0.0)] * 3, (0.0, 3.0, 0.0), (4.0, 0.0, 0.0), (0.0, 1.0, 0.0)])
@settings(deadline=None, max_examples=100)
@given(st.integers(1, 5), st.integers(1, 8), st.lists(st.tuples(seconds, seconds, seconds)))
@pytest.mark.slow
def test_server_refuses_nothing_at_any_latency(burst: int, workers: int, times: Times) -> None:
    assert refused(burst, workers, times) == []


def test_a_refusal_empties_the_bucket(clock: Clock) -> None:
    pace = full()
    assert pace.take() == 0
    pace.answered()
    pace.refused()
    assert pace.take() == pytest.approx(1)
    assert pace.seconds_for(3) == pytest.approx(3)
    clock.now += 2.5
    assert take_all(pace) == 2


def test_estimate_depends_on_tokens_left(clock: Clock) -> None:
    pace = full()
    assert (pace.seconds_for(0), pace.seconds_for(BURST)) == (0, 0)
    assert pace.seconds_for(BURST + 30) == pytest.approx(30)
    assert take_all(pace) == BURST
    assert pace.seconds_for(30) == pytest.approx(30)
    clock.now += 10
    assert pace.seconds_for(30) == pytest.approx(20)


class TestKept:
    """From one run to the next, whose clock may start at any number."""

    @pytest.fixture
    def left(self, clock: Clock) -> str:
        """The state saved by a run that has five and a half requests left."""
        pace = full()
        assert take_all(pace) == BURST
        clock.now += 5.5
        text = pace.save(MOMENT)
        clock.now = 3.0
        return text

    def resumed(self, saved: str | None, seconds: float = 0, burst: int = BURST) -> int:
        """How many requests the next run may send at once, this many seconds after the moment."""
        pace = full(burst)
        pace.resume(saved, MOMENT + timedelta(seconds=seconds))
        return take_all(pace)

    @pytest.mark.parametrize(
        ("after", "tokens"), [(0, 5), (0.6, 6), (10, 15), (14.4, 19), (14.6, 20), (1e8, BURST)]
    )
    def test_a_bucket_fills_with_the_time_that_passed(
        self, left: str, after: float, tokens: int
    ) -> None:
        assert self.resumed(left, after) == tokens

    @pytest.mark.parametrize("ahead", [1, 3600, 1e9])
    def test_a_note_from_the_future_adds_nothing(self, left: str, ahead: float) -> None:
        assert self.resumed(left, -ahead) == 5

    def test_it_goes_on_filling_as_the_run_goes_on(self, clock: Clock, left: str) -> None:
        pace = full()
        pace.resume(left, MOMENT)
        assert take_all(pace) == 5
        clock.now += 0.6
        assert take_all(pace) == 1

    def test_resumed_bucket_is_at_most_full(self, left: str) -> None:
        assert self.resumed(left, burst=3) == 3

    def test_what_no_answer_came_to_counts_as_sent(self, clock: Clock) -> None:
        assert clock
        pace = full()
        assert [pace.take() for _ in range(7)] == [0] * 7
        assert self.resumed(pace.save(MOMENT)) == BURST - 7

    def test_saved_moment_may_be_in_any_time_zone(self, clock: Clock) -> None:
        pace = full()
        take_all(pace)
        saved = pace.save(MOMENT.astimezone(timezone(timedelta(hours=9))))
        clock.now += 3600
        assert self.resumed(saved, 4.5) == 4

    @pytest.mark.parametrize(
        "note",
        [
            None,
            "",
            "null",
            "[]",
            "{}",
            "no JSON",
            '{"tokens":"3","moment":"2025-03-10T12:00:00Z"}',
            '{"tokens":3}',
            '{"tokens":3,"moment":"yesterday"}',
            '{"tokens":3,"moment":"2025-03-10T12:00:00"}',
            '{"tokens":-1e9,"moment":"2025-03-10T12:00:00Z"}',
            '{"tokens":3,"moment":"2025-03-10T12:00:00Z"',
        ],
    )
    def test_missing_or_damaged_note_is_a_full_bucket(self, clock: Clock, note: str | None) -> None:
        assert clock
        assert self.resumed(note) == BURST


def test_threads_share_one_bucket(clock: Clock) -> None:
    """The interpreter may switch threads at every step; tokens arrive while they take them."""
    pace = Pace(PER_MINUTE, 1000)
    pace.refused()
    clock.now += 500 + 1e-6
    granted = [0] * 8

    def take(number: int) -> None:
        for _ in range(500):
            if not pace.take():
                granted[number] += 1
                pace.answered()

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert sum(granted) == pace.taken == 500


def http(sim: Simulator, pace: Pace, budget: float = 30) -> Http:
    policy = RetryPolicy(retries=3, backoff=0.01, timeout=10, budget=budget)
    return Http(policy, BearerToken(sim.token), 8, pace)


def ask(over: Http, sim: Simulator) -> int:
    """The status of the answer to a small request."""
    day = today() - timedelta(1)
    return over.get(f"{sim.url}/analytics/v0/{DAU_COUNT}?start_date={day}&end_date={day}").status


@pytest.mark.slow
def test_threads_of_one_session_are_never_refused(start_api: Start) -> None:
    scale, each = 300, 6
    sim = start_api(rate_limit=True, clock_scale=scale)
    with closing(http(sim, Pace(10 * scale, BURST))) as over:

        def work() -> None:
            for _ in range(each):
                ask(over, sim)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [request.status for request in sim.requests] == [200] * 8 * each


@pytest.mark.slow
def test_waiting_for_the_pace_costs_no_budget(api: Simulator) -> None:
    """The second request waits for longer than a request and its retries may take."""
    with closing(http(api, Pace(60 / 2, 1), budget=1.8)) as over:
        assert [ask(over, api) for _ in range(2)] == [200] * 2
    first, second = (request.arrived for request in api.requests)
    assert second - first > 1.9


@pytest.mark.slow
def test_a_retry_waits_for_its_turn_too(api: Simulator) -> None:
    api.add_fault(Fault(status(503), times=1))
    with closing(http(api, Pace(60 / 0.3, 1))) as over:
        assert ask(over, api) == 200
    first, second = (request.arrived for request in api.requests)
    assert second - first > 0.25


@pytest.mark.slow
def test_after_a_refusal_the_burst_is_gone(api: Simulator) -> None:
    """After the second that the server asks for, only what its bucket gained since is left."""
    api.add_fault(Fault(status(429, "1"), times=1, after=1))
    with closing(http(api, Pace(60 / 0.4, BURST))) as over:
        assert [ask(over, api) for _ in range(5)] == [200] * 5
    assert [request.status for request in api.requests] == [200, 429, 200, 200, 200, 200]
    arrived = [request.arrived for request in api.requests]
    assert arrived[2] - arrived[1] > 0.99
    assert arrived[5] - arrived[1] > 4 * 0.4 - 0.05


@pytest.mark.parametrize("burst", [1, 4], ids=["before the totals", "before the days"])
@pytest.mark.slow
def test_waiting_run_stops_and_saves_its_bucket(
    home: Home, start_api: Start, forks: Forks, burst: int
) -> None:
    """The next request would be sent in twenty minutes."""
    sim = start_api(twelve_users())
    home.settings |= {"ANALYTICS_REQUESTS_PER_MINUTE": "0.05", "ANALYTICS_BURST": f"{burst}"}
    home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
    run = forks.start(home, "--last-28-days")
    try:
        until(lambda: sim.count() == burst)
        time.sleep(0.3)  # usually, the next request is waiting for its turn by then
        run.kill(signal.SIGTERM)
        result = run.wait()
    finally:
        run.kill()
    assert result.code == 128 + signal.SIGTERM, result.err
    assert "Traceback" not in result.err
    assert sim.count() == burst
    with store_at(settings_of(home).store_url).reading() as reader:
        pace = Pace(0.05, burst)
        pace.resume(reader.note(f"pace:{ANALYTICS}"), datetime.now(UTC))
    assert pace.seconds_for(1) > 1000
