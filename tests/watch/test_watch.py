"""`watch` over simulated days, with a fast clock: which runs took place, and what is stored."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

import claude_code_runs
from conftest import Home, Start
from dashboard_scraper.cli.watching import watch
from dashboard_scraper.model.dates import Window
from dashboard_scraper.simulator import Fault, Organization, Request, Simulator, status
from dashboard_scraper.simulator.exchange import Answer
from dashboard_scraper.sources.registry import CLAUDE_CODE, DASHBOARD
from dashboard_scraper.store import store_at
from fast_time import FastTime
from notification_sinks import HttpSink, http_sink
from reads_and_writes import only_csv
from stored_days import USERS, begin_with, settings_of, stored_users

pytestmark = [pytest.mark.usefixtures("csv_alone", "store"), pytest.mark.slow]

FIRST = datetime(2026, 3, 2, tzinfo=UTC)
NOON = FIRST + timedelta(hours=12)
PEOPLE = 2


@pytest.fixture
def store(home: Home) -> None:
    home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
    home.settings["KEEP_ALIVE_MINUTES"] = "240"


@pytest.fixture
def sim(start: Start) -> Simulator:
    return start(organization())


def organization() -> Organization:
    return Organization(users=PEOPLE, today=date(2026, 3, 12))


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a home in which the process ran at NOON for the first time."""
    home = Home(tmp_path_factory.mktemp("first"))
    with Simulator(organization()) as simulator, only_csv():
        home.settings["METRICS_API_BASE_URL"] = simulator.url
        home.sign_in(simulator)
        watch_until(home, FastTime(NOON, NOON + timedelta(minutes=10)))
    return home.data


@pytest.fixture
def begun(home: Home, sim: Simulator, first_run: Path) -> None:
    """The first run is over, and the process has stopped."""
    assert sim.url
    begin_with(home, first_run)


@pytest.fixture
def sink(home: Home) -> Iterator[HttpSink]:
    with http_sink() as started:
        home.settings["NOTIFY_URLS"] = f"json://127.0.0.1:{started.port}/"
        yield started


def subjects(sink: HttpSink) -> list[str]:
    """The subjects of messages since the last call, without the program and the source."""
    return [message["title"].split(": ", 2)[2] for message in sink.take()]


def at(text: str) -> datetime:
    """A moment in March."""
    return datetime.fromisoformat(f"2026-03-{text}").replace(tzinfo=UTC)


def ran(home: Home) -> list[str]:
    """When each run began, and its exit code."""
    with store_at(home.settings["STORE_URL"]).reading() as reader:
        return [f"{run.started_at:%d %H:%M} {run.exit_code}" for run in reader.runs(100)[::-1]]


def watch_until(home: Home, time: FastTime) -> None:
    """Run the process until the time is over, as after a (re)start."""
    watch(settings_of(home), time)


def sign_in(home: Home, sim: Simulator) -> None:
    sim.sign_in()
    home.sign_in(sim)


def assert_days_are_true(home: Home, sim: Simulator, last: date) -> None:
    """The store has every day up to `last`, each with the organization's true figures."""
    stored = stored_users(home)
    assert list(stored) == [last - timedelta(n) for n in reversed(range(len(stored)))]
    assert len(stored) >= 28
    for day, users in stored.items():
        totals = sim.organization.totals(Window(day, day))
        truth = sum(total.counts.chat for index, total in totals.items() if index < PEOPLE)
        assert sum(user.figures.chat_messages or 0 for user in users) == truth, day


def test_nights_run_once_each_and_miss_nothing(home: Home, sim: Simulator) -> None:
    """The third night comes after a restart, and the fifth after a day without the process."""
    watch_until(home, FastTime(FIRST, at("03 02:00")))
    watch_until(home, FastTime(at("03 02:10"), at("03 12:00")))
    sim.requests.clear()
    watch_until(home, FastTime(at("05 15:00"), at("05 16:00")))
    watch_until(home, FastTime(at("05 17:00"), at("05 18:00")))
    assert ran(home) == ["02 00:00 0", "02 03:05 0", "03 03:05 0", "05 15:00 0"]
    days = [request.day for request in sim.requests if request.endpoint == USERS]
    # The missing days, and those that had not settled.
    assert sorted(day for day in days if day) == [
        date(2026, 2, 27) + timedelta(number) for number in range(1, 6)
    ]
    assert_days_are_true(home, sim, date(2026, 3, 4))
    state = json.loads((home.data / "watch.json").read_bytes())
    assert state["state"] == "ended"


def test_exit_without_a_signal_is_no_stop(home: Home) -> None:
    """Whoever starts the process again must see that it failed."""
    time = FastTime(FIRST, at("03 02:00"))
    time.at.append((FIRST, lambda: sys.exit(3)))
    with pytest.raises(SystemExit) as ending:
        watch_until(home, time)
    assert ending.value.code == 3


@pytest.mark.usefixtures("begun")
def test_night_is_not_taken_for_done_by_a_run_of_a_clock_that_was_ahead(
    home: Home, sim: Simulator
) -> None:
    """For an hour of the first evening, the clock shows a time after the next night but one."""
    watch_until(home, FastTime(at("02 19:00"), at("02 20:00")))
    watch_until(home, FastTime(at("04 03:05"), at("04 04:00")))
    watch_until(home, FastTime(at("02 21:00"), at("04 04:00")))
    nights = ["02 12:00 0", "04 03:05 0", "03 03:05 0", "04 03:05 0"]
    assert ran(home) == nights
    assert_days_are_true(home, sim, date(2026, 3, 3))


@pytest.mark.usefixtures("begun")
def test_source_that_is_down_is_tried_every_hour(
    home: Home, sim: Simulator, sink: HttpSink
) -> None:
    home.settings |= {"MAX_RETRIES": "0", "MAX_CONCURRENCY": "1"}
    time = FastTime(at("03 02:00"), at("03 08:00"))
    time.at = [
        (at("03 03:00"), lambda: sim.add_fault(Fault(status(503)))),
        (at("03 04:30"), sim.clear_faults),
    ]
    watch_until(home, time)
    assert ran(home)[1:] == ["03 03:05 6", "03 04:05 6", "03 05:05 0"]
    assert subjects(sink) == ["1 day is missing", "all is well again"]
    assert_days_are_true(home, sim, date(2026, 3, 2))


@pytest.mark.usefixtures("begun")
def test_night_that_ends_on_another_day_misses_none_of_its_days(
    home: Home, sim: Simulator, sink: HttpSink
) -> None:
    """A day that ended meanwhile is left to the next night."""
    home.settings["SCHEDULE"] = "50 23 * * *"
    time = FastTime(at("02 22:00"), at("03 08:00"))

    def slow(answer: Answer, _request: Request) -> Answer:
        time.spend(timedelta(minutes=20))
        return answer

    time.at = [(at("02 23:40"), lambda: sim.add_fault(Fault(slow, times=1)))]
    watch_until(home, time)
    assert ran(home)[1:] == ["02 23:50 0"]
    assert subjects(sink) == []
    assert_days_are_true(home, sim, date(2026, 3, 1))


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize(
    ("until", "runs", "told"),
    [
        ("03 03:30", ["03 04:05 0"], []),
        ("03 04:30", ["03 05:05 0"], ["the run failed (exit code 7), and 1 more"]),
    ],
)
def test_store_that_another_run_has_is_told_at_the_second_attempt(
    home: Home, sim: Simulator, sink: HttpSink, until: str, runs: list[str], told: list[str]
) -> None:
    """Most likely another `watch` does the same job; the monitor receives no failure either."""
    home.settings["HEARTBEAT_URL"] = f"{sink.url}/ping"
    with contextlib.ExitStack() as other:
        time = FastTime(at("03 02:00"), at("03 08:00"))
        store = store_at(home.settings["STORE_URL"])
        time.at = [
            (at("03 03:00"), lambda: other.enter_context(store.locked())),
            (at(until), other.close),
        ]
        watch_until(home, time)
    assert ran(home)[1:] == runs
    assert subjects(sink) == told
    failures = ["/ping/7"] if told else []
    assert [path for path in sink.paths if not path.endswith(("/ping", "/start"))] == failures
    assert_days_are_true(home, sim, date(2026, 3, 2))


@pytest.mark.usefixtures("begun")
def test_expired_session_waits_for_a_sign_in(home: Home, sim: Simulator, sink: HttpSink) -> None:
    """The night without a session sends one request, and nothing more until somebody signs in, as a
    notification had asked before that night.
    """
    time = FastTime(at("02 20:00"), at("03 09:00"))
    asked: list[int] = []
    notified: list[str] = []
    time.at = [
        (at("02 22:00"), sim.expire),
        (at("03 03:00"), lambda: notified.extend(subjects(sink))),
        (at("03 04:00"), lambda: asked.append(sim.count())),
        (at("03 08:30"), lambda: asked.append(sim.count())),  # after a touch would be due
        (at("03 08:30"), lambda: sign_in(home, sim)),
    ]
    watch_until(home, time)
    assert ran(home)[1:] == ["03 03:05 3", "03 08:30 0"]
    assert asked[0] == asked[1]
    assert notified == ["the session is over, and the next run will fail"]
    assert subjects(sink) == ["1 day is missing", "all is well again"]
    assert_days_are_true(home, sim, date(2026, 3, 2))


def test_sign_in_while_another_source_is_fetched_is_used_at_once(home: Home, start: Start) -> None:
    """After the refusal, and before the end of the run."""
    sim = start(organization(), rate_limit=False)
    claude_code_runs.use(home, sim)
    del home.settings["METRICS_SOURCE"]
    home.settings |= {"SOURCES": f"{DASHBOARD},{CLAUDE_CODE}", "FETCH_COST": "false"}
    sim.expire()

    def meanwhile(answer: Answer, _request: Request) -> Answer:
        sign_in(home, sim)
        return answer

    sim.add_fault(Fault(meanwhile, claude_code_runs.ENDPOINT, times=1))
    watch_until(home, FastTime(NOON, at("02 14:00")))
    assert ran(home) == ["02 12:00 3", "02 12:00 0", "02 12:00 0"]
    assert_days_are_true(home, sim, date(2026, 3, 1))
