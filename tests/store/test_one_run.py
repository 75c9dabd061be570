"""Only one run at a time writes to a store; a second run names it and changes nothing."""

from __future__ import annotations

import itertools
import logging
import re
import shutil
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from conftest import Home, Result, Start, today, yesterday
from crash_child import (
    DAYS,
    JOB,
    Forks,
    Run,
    files_in,
    job_folder,
    stored_days,
    until,
    wait_until_disconnected,
)
from dashboard_scraper.errors import LockHeld
from dashboard_scraper.model.dates import last_complete_days
from dashboard_scraper.simulator import Fault, Organization, Simulator, hang
from dashboard_scraper.sources.dashboard.settings import Endpoint
from dashboard_scraper.store import Waiting, store_at
from dashboard_scraper.store.sqlite import interruptibly
from stored_days import sql

USERS = Endpoint.USERS.value
DAY = f"{yesterday()}"
HELD = 7

FETCHING: dict[str, tuple[str, ...]] = {
    "28 days": ("--last-28-days",),
    "daily": JOB,
    "refresh": (*JOB, "--refresh"),
    "backfill": ("backfill", DAY),
    "one day": (DAY,),
    "period": (f"{yesterday().replace(day=1)}", DAY),
    "no dates": (),
    "forget": ("forget", "ada@example.com"),
}
READING: dict[str, tuple[str, ...]] = {
    "export": ("export", DAY),
    "status": ("status",),
    "offline": (*JOB, "--offline"),
}


@pytest.fixture
def simulator(start: Start, home: Home) -> Simulator:
    """A small organization; each day is fetched only once."""
    home.settings |= {"SETTLE_DAYS": "0", "MAX_CONCURRENCY": "4", "STORE_LEASE_SECONDS": "5"}
    # A run that waits for an answer sends one request, however long others take meanwhile.
    home.settings |= {"REQUEST_TIMEOUT_SECONDS": "300", "RETRY_BUDGET_SECONDS": "600"}
    return start(Organization(users=5, today=today()))


def all_files(home: Home) -> dict[Path, tuple[int, bytes]]:
    """Every output with the time of its last change."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in home.data.rglob("*")
        if path.is_file() and not path.name.startswith("usage.db")
    }


def files_of_job(home: Home, forks: Forks) -> dict[str, bytes]:
    """The files that a run writes if nothing disturbs it."""
    result = forks.run(home, *JOB)
    assert result.code == 0, result.err
    return files_in(job_folder(home))


@contextmanager
def run_at_work(home: Home, simulator: Simulator, forks: Forks) -> Iterator[Run]:
    """A run whose threads all wait for an answer; it is killed at the end."""
    waiting = simulator.count(USERS) + int(home.settings["MAX_CONCURRENCY"])
    simulator.add_fault(Fault(hang(600), USERS))
    run = forks.start(home, *JOB, "--refresh")
    until(lambda: simulator.count(USERS) == waiting)
    try:
        yield run
    finally:
        run.kill()
        assert run.wait().code == -signal.SIGKILL
        simulator.clear_faults()


def names_holder(run: Run) -> Callable[[str], bool]:
    """Whether a message names the run's process and host."""
    host = re.escape(socket.gethostname())
    who = f"process {run.pid} on {host}, since \\d{{4}}-\\S+Z(, last heartbeat \\d{{4}}-\\S+Z)?"
    pattern = re.compile(rf"another run works on \S+: {who}; wait for it")
    return lambda message: bool(pattern.search(message))


@pytest.mark.slow
def test_second_run_names_holder_and_changes_nothing(
    home: Home, simulator: Simulator, store_url: str, forks: Forks
) -> None:
    """For every command that writes to the store; after a kill, the next run gets the lock."""
    files = files_of_job(home, forks)
    for form in ("one day", "period", "no dates"):
        assert forks.run(home, *FETCHING[form]).code == 0
    days, before = stored_days(store_url), all_files(home)
    with run_at_work(home, simulator, forks) as run:
        asked = simulator.count()
        is_named = names_holder(run)
        for form, words in FETCHING.items():
            result = forks.run(home, *words)
            assert (result.code, result.out) == (HELD, ""), form
            assert is_named(result.err.splitlines()[-1]), result.err
            assert all_files(home) == before, form
        assert simulator.count() == asked
        assert stored_days(store_url) == days
    wait_until_disconnected(store_url)
    assert files_of_job(home, forks) == files
    assert all_files(home).keys() == before.keys()


@pytest.mark.slow
def test_readers_work_during_a_run(
    home: Home, simulator: Simulator, store_url: str, forks: Forks
) -> None:
    files = files_of_job(home, forks)
    days = stored_days(store_url)
    with run_at_work(home, simulator, forks):
        for form, words in READING.items():
            result = forks.run(home, *words)
            assert result.code == 0, (form, result.err)
        assert f"{DAYS} of {DAYS} days" in forks.run(home, *JOB, "--offline").err
    assert files_in(job_folder(home)) == files
    assert stored_days(store_url) == days


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("store_url")
@pytest.mark.slow
def test_store_is_locked_without_holder_file(
    home: Home, simulator: Simulator, forks: Forks
) -> None:
    """The note beside SQLite's file is only for people; the lock is another file."""
    with run_at_work(home, simulator, forks):
        (home.data / "usage.db.holder").unlink()
        assert forks.run(home, *JOB).code == HELD


@pytest.mark.parametrize(
    ("empty_place", "times"),
    [("sqlite", 5), ("postgresql", 3), ("pgbouncer", 2)],
    indirect=["empty_place"],
)
@pytest.mark.usefixtures("simulator")
@pytest.mark.slow
def test_simultaneous_runs_work_alone_or_refuse(
    home: Home, empty_place: str, forks: Forks, times: int
) -> None:
    """Two runs start together, sometimes without a store."""
    store_url = empty_place
    files = files_of_job(home, forks)
    days = stored_days(store_url)
    codes: list[int] = []
    for number in itertools.count():
        if number >= times and set(codes) == {0, HELD}:
            break
        assert number < 20 * times, "never have two runs met"
        if number % 4 == 0 and store_url.startswith("sqlite"):
            shutil.rmtree(home.data)
        runs = [forks.start(home, *JOB) for _ in range(2)]
        results = [run.wait() for run in runs]
        wait_until_disconnected(store_url)
        codes += [result.code for result in results]
        assert 0 in codes[-2:], results
        for result, other in zip(results, reversed(runs), strict=True):
            assert_done_or_refused(result, other)
        assert files_in(job_folder(home)) == files
    assert stored_days(store_url) == days


def assert_done_or_refused(result: Result, other: Run) -> None:
    """The message names nobody before the holder is noted and after the holder has ended."""
    last = result.err.splitlines()[-1]
    if result.code == 0:
        return
    assert result.code == HELD, result.err
    nobody = re.search(r"another run works on \S+: it has just (begun|ended); wait", last)
    assert nobody or names_holder(other)(last), last


SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.mark.parametrize(
    ("store_url", "number", "hanging"),
    [
        ("sqlite", signal.SIGINT, False),
        ("sqlite", signal.SIGTERM, True),
        ("postgresql", signal.SIGTERM, False),
        ("postgresql", signal.SIGINT, True),
    ],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else None,
    indirect=["store_url"],
)
@pytest.mark.slow
def test_signal_ends_run_and_next_fetches_the_rest(
    home: Home,
    simulator: Simulator,
    store_url: str,
    forks: Forks,
    number: signal.Signals,
    hanging: bool,
) -> None:
    """While busy, or while every thread waits for an answer that does not come.

    The same code catches both signals: each signal meets each state and each store once.
    """
    days = last_complete_days(16, today())  # enough days for the signal to come midway
    job = ("--daily", f"{days.start}", f"{days.end}")
    fetched_first = 8
    # For a busy run only the last days hang, so that it cannot end before the signal comes.
    simulator.add_fault(Fault(hang(600), USERS, after=fetched_first + (0 if hanging else 6)))
    simulator.latency = 0.02
    run = forks.start(home, *job)
    until(lambda: simulator.count(USERS) > fetched_first)
    until(lambda: sql(store_url, "SELECT count(*) > 4 FROM day_ledger") in ([(1,)], [(True,)]))
    run.kill(number)
    result = run.wait()
    assert result.code == SIGNALS[number], result.err
    assert "Traceback" not in result.err
    wait_until_disconnected(store_url)
    assert sql(store_url, "SELECT exit_code FROM runs") == [(SIGNALS[number],)]
    stored = stored_days(store_url)
    assert 4 < len(stored) < 16
    assert not home.files()
    simulator.clear_faults()
    simulator.stop()  # and the answers that it has not sent yet
    simulator.start()
    before = {day: simulator.count(USERS, day) for day in stored}
    asked = simulator.count(USERS)
    assert forks.run(home, *job).code == 0
    assert {day: simulator.count(USERS, day) for day in stored} == before
    assert simulator.count(USERS) - asked == 16 - len(stored)
    assert len(stored_days(store_url)) == 16


class Interrupted(Exception):
    """Raised by the signal's handler."""


@pytest.mark.slow
def test_signal_interrupts_long_sqlite_statement() -> None:
    """VACUUM of a large store, after `forget`, takes minutes; the connection stays usable."""
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(Interrupted):
                interruptibly(connection, endless)
            assert connection.execute("SELECT 1").fetchall() == [(1,)]
            with pytest.raises(sqlite3.OperationalError, match="no such table"):
                interruptibly(connection, "SELECT * FROM absent")
    finally:
        signal.signal(signal.SIGALRM, before)


def test_lock_can_be_taken_right_after_release(store_url: str) -> None:
    store = store_at(store_url)
    with store.locked(), store.opened():
        pass
    for _ in range(100 if store_url.startswith("sqlite") else 10):
        with store.locked():
            pass


@pytest.mark.parametrize("fails", [False, True], ids=["ended", "failed"])
def test_ended_run_releases_lock(
    home: Home, store_url: str, caplog: pytest.LogCaptureFixture, fails: bool
) -> None:
    """Also within one process, whose end would release it in any case."""
    ended, other = (store_at(store_url, waiting=Waiting(lease_seconds=10)) for _ in range(2))
    with suppress(ZeroDivisionError), ended.locked(), ended.opened():
        with pytest.raises(LockHeld):
            other.locked().__enter__()
        if fails:
            raise ZeroDivisionError
    assert not list(home.path.rglob("*.holder"))
    caplog.set_level(logging.INFO)
    with other.locked():
        assert caplog.messages == [], "it has waited for nobody"
