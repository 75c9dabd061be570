"""Each run that fetches leaves a row in the store: what it did and how it ended."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from conftest import Home, today, yesterday
from dashboard_scraper import __version__
from dashboard_scraper.errors import DaysMissing, LockHeld, SignInRequired
from dashboard_scraper.settings.groups import sqlite_url
from dashboard_scraper.simulator import Fault, Simulator, status
from dashboard_scraper.sources.dashboard.settings import Endpoint
from dashboard_scraper.store import Run, RunCounts, Stored, store_at
from dashboard_scraper.sync.run_record import RunRecord
from serving import serving

pytestmark = pytest.mark.usefixtures("csv_alone")

USERS = Endpoint.USERS.value
FIRST = today() - timedelta(2)
DAILY = ("--daily", f"{FIRST}", f"{yesterday()}")


@pytest.fixture(autouse=True)
def settings(home: Home) -> None:
    home.settings |= {"MAX_RETRIES": "0"}


def runs_of(home: Home, store_url: str = "") -> list[Run]:
    """All recorded runs, oldest first."""
    with store_at(store_url or sqlite_url(home.data / "usage.db")).reading() as reader:
        return reader.runs(10)[::-1]


def test_run_is_recorded(sim: Simulator, home: Home, store_url: str) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    assert home.run(*DAILY).code == 0
    (run,) = runs_of(home, store_url)
    assert run.ended_at is not None
    assert before <= run.started_at <= run.ended_at <= datetime.now(UTC)
    assert (run.number, run.source, run.command) == (1, "dashboard", "daily")
    assert (run.exit_code, run.version) == (0, __version__)
    assert (run.days_fetched, run.days_revised, run.days_failed) == (2, 0, 0)
    assert run.requests == len(sim.requests)


def test_failed_day_is_counted(sim: Simulator, home: Home) -> None:
    sim.add_fault(Fault(status(500), USERS, day=FIRST))
    assert home.run(*DAILY).code == DaysMissing.exit_code
    (run,) = runs_of(home)
    assert (run.exit_code, run.days_fetched, run.days_failed) == (DaysMissing.exit_code, 1, 1)
    assert run.requests == len(sim.requests)


def test_day_that_succeeds_at_last_is_fetched(sim: Simulator, home: Home) -> None:
    sim.add_fault(Fault(status(500), USERS, day=FIRST, times=1))
    assert home.run(*DAILY).code == 0
    (run,) = runs_of(home)
    assert (run.exit_code, run.days_fetched, run.days_failed) == (0, 2, 0)


def test_repeated_answer_stays_a_revision() -> None:
    """A day is fetched twice in one run if the source's totals have changed meanwhile."""
    record = RunRecord()
    for result in (Stored.REVISED, Stored.SAME):
        record.add(FIRST, result)
    assert record.counts() == RunCounts(1, 1, 0, 0)


@pytest.mark.usefixtures("sim")
def test_run_without_session_is_recorded(home: Home) -> None:
    home.cookie_file.unlink()
    assert home.run(*DAILY).code == SignInRequired.exit_code
    (run,) = runs_of(home)
    assert (run.exit_code, run.days_fetched, run.requests) == (SignInRequired.exit_code, 0, 0)


@pytest.mark.usefixtures("sim")
def test_run_stopped_by_locked_store_is_not_recorded(home: Home) -> None:
    """The other run is writing, so nobody else may; its own row says what it did."""
    assert home.run(*DAILY).code == 0
    with store_at(sqlite_url(home.data / "usage.db")).locked():
        assert home.run(*DAILY).code == LockHeld.exit_code
    assert [run.exit_code for run in runs_of(home)] == [0]


def test_revised_day_is_counted(sim: Simulator, home: Home) -> None:
    assert home.run(*DAILY).code == 0
    sim.revise(FIRST)
    assert home.run(*DAILY, "--refresh").code == 0
    assert [run.days_revised for run in runs_of(home)] == [0, 1]


@pytest.mark.parametrize(
    ("words", "command", "days"),
    [
        (("backfill", f"{FIRST}", f"{yesterday()}"), "backfill", 2),
        ((f"{yesterday()}",), "fetch", 1),
        ((f"{FIRST}", f"{yesterday()}"), "fetch", 0),
    ],
    ids=["backfill", "day", "period"],
)
@pytest.mark.usefixtures("sim")
def test_other_commands_are_recorded(
    home: Home, words: tuple[str, ...], command: str, days: int
) -> None:
    """A period of several days is one answer, not one per day: no day is stored."""
    assert home.run(*words).code == 0
    (run,) = runs_of(home)
    assert (run.command, run.exit_code, run.days_fetched) == (command, 0, days)


@pytest.mark.usefixtures("sim")
def test_period_that_is_not_over_leaves_no_store(home: Home) -> None:
    assert home.run(f"{today()}").code == 0
    assert not (home.data / "usage.db").exists()


@pytest.mark.usefixtures("sim")
def test_status_lists_runs(home: Home) -> None:
    assert home.run("status", "--runs").out == "no run is recorded yet\n"
    assert home.run("--daily", f"{yesterday()}").code == 0
    home.cookie_file.unlink()
    assert home.run(*DAILY).code == SignInRequired.exit_code
    newest, oldest = home.run("status", "--runs").out.splitlines()
    assert newest.endswith(
        "Z dashboard daily: exit code 3: 0 days fetched, 0 of them revised, 0 failed; 0 requests"
    )
    assert ": exit code 0: 1 day fetched," in oldest
    listed = json.loads(home.run("status", "--runs", "--json").out)["runs"]
    assert [run["exit_code"] for run in listed] == [3, 0]
    (shown,) = json.loads(home.run("status", "--json").out)["runs"]
    assert shown == listed[0]
    assert f": {newest.partition(': ')[2]}\n" in home.run("status").out


def begin_run(home: Home, source: str) -> None:
    """Record a run that never ends."""
    store = store_at(sqlite_url(home.data / "usage.db"))
    with store.locked(), store.opened():
        store.start_run(source, "backfill", datetime.now(UTC), __version__)


@pytest.mark.usefixtures("sim")
def test_status_lists_the_runs_of_the_source_that_is_named(home: Home) -> None:
    assert home.run(*DAILY).code == 0
    begin_run(home, "analytics")
    for words, sources in (
        ((), ["analytics", "dashboard"]),
        (("--source", "all"), ["analytics", "dashboard"]),
        (("--source", "dashboard"), ["dashboard"]),
        (("--source", "copilot"), []),
    ):
        listed = json.loads(home.run("status", "--runs", "--json", *words).out)["runs"]
        assert [run["source"] for run in listed] == sources, words


@pytest.mark.usefixtures("sim")
def test_killed_run_does_not_look_like_a_success(home: Home) -> None:
    assert home.run(*DAILY).code == 0
    begin_run(home, "dashboard")
    newest = home.run("status", "--runs").out.splitlines()[0]
    assert newest.endswith("did not say how it ended: it is still running, or was killed")
    (ended,) = json.loads(home.run("status", "--json").out)["runs"]
    assert ended["command"] == "daily"


@pytest.mark.slow
@pytest.mark.usefixtures("sim")
def test_page_and_metrics_show_the_newest_run(home: Home) -> None:
    assert home.run(*DAILY).code == 0
    (run,) = runs_of(home)
    assert run.ended_at is not None
    with serving(home) as server:
        page, metrics = server.get("/").text, server.get("/metrics").text
    assert page.count(run.ending) == 1
    assert f"{run.started_at:%Y-%m-%d %H:%M} UTC" in page
    sample = r'^dashboard_scraper_last_run_(\w+){source="dashboard"} (\S+)$'
    found = dict(re.findall(sample, metrics, re.MULTILINE))
    assert float(found.pop("end_timestamp_seconds")) == run.ended_at.timestamp()
    assert {name: float(value) for name, value in found.items()} == {
        name: getattr(run, name)
        for name in ("exit_code", "days_fetched", "days_revised", "days_failed", "requests")
    }
