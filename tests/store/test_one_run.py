"""One run at a time works on a store; another says who does, and changes nothing."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from conftest import Home, Result, Start, today, yesterday
from crash_child import Forks, Run, files_in, until, wait_until_gone, whole_days
from dashboard_scraper.errors import LockHeld
from dashboard_scraper.simulator import Fault, Organization, Simulator, hang
from dashboard_scraper.sources.dashboard.settings import Endpoint
from dashboard_scraper.store import Waiting, store_at
from dashboard_scraper.store.sqlite import interruptibly

JOB = "--last-28-days"
USERS = Endpoint.USERS.value
DAY = f"{yesterday()}"
HELD = 7
SECONDS_TO_END = 2

FETCHING: dict[str, tuple[str, ...]] = {
    "28 days": (JOB,),
    "daily": ("--daily", DAY, DAY),
    "refresh": (JOB, "--refresh"),
    "backfill": ("backfill", DAY),
    "one day": (DAY,),
    "period": (f"{yesterday().replace(day=1)}", DAY),
    "no dates": (),
    "forget": ("forget", "ada@example.com"),
}
READING: dict[str, tuple[str, ...]] = {
    "export": ("export", DAY),
    "status": ("status",),
    "offline": (JOB, "--offline"),
}


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as server:
        yield server


@pytest.fixture
def simulator(start: Start, home: Home) -> Simulator:
    """Small, and each day is fetched but once."""
    home.settings |= {"SETTLE_DAYS": "0", "MAX_CONCURRENCY": "4", "STORE_LEASE_SECONDS": "5"}
    return start(Organization(users=5, today=today()))


def all_files(home: Home) -> dict[Path, tuple[int, bytes]]:
    """Every output with the moment of its last change."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in home.data.rglob("*")
        if path.is_file() and not path.name.startswith("usage.db")
    }


def whole(home: Home, forks: Forks) -> dict[str, bytes]:
    """What an undisturbed run writes."""
    result = forks.run(home, JOB)
    assert result.code == 0, result.err
    return files_in(home.daily_folder)


@contextmanager
def run_at_work(home: Home, simulator: Simulator, forks: Forks) -> Iterator[Run]:
    """A run of which every thread waits for a day; it is killed in the end."""
    waiting = simulator.count(USERS) + int(home.settings["MAX_CONCURRENCY"])
    simulator.add_fault(Fault(hang(60), USERS))
    run = forks.start(home, JOB, "--refresh")
    until(lambda: simulator.count(USERS) == waiting)
    try:
        yield run
    finally:
        run.kill()
        assert run.wait().code == -signal.SIGKILL
        simulator.clear_faults()


def names_holder(run: Run) -> Callable[[str], bool]:
    """Whether a message says which process it is, and where."""
    host = re.escape(socket.gethostname())
    who = f"process {run.pid} on {host}, since \\d{{4}}-\\S+Z(, last heartbeat \\d{{4}}-\\S+Z)?"
    pattern = re.compile(rf"another run works on \S+: {who}; wait for it")
    return lambda message: bool(pattern.search(message))


def test_a_run_that_finds_the_store_taken_says_by_whom_and_changes_nothing(
    home: Home, simulator: Simulator, store_url: str, forks: Forks
) -> None:
    """Every form that writes to the store; the next run gets the lock of one that was killed."""
    files = whole(home, forks)
    for form in ("one day", "period", "no dates"):
        assert forks.run(home, *FETCHING[form]).code == 0
    days, before = whole_days(store_url), all_files(home)
    with run_at_work(home, simulator, forks) as run:
        asked = simulator.count()
        is_named = names_holder(run)
        for form, words in FETCHING.items():
            result = forks.run(home, *words)
            assert (result.code, result.out) == (HELD, ""), form
            assert is_named(result.err.splitlines()[-1]), result.err
            assert all_files(home) == before, form
        assert simulator.count() == asked
        assert whole_days(store_url) == days
    wait_until_gone(store_url)
    assert whole(home, forks) == files
    assert all_files(home).keys() == before.keys()


def test_what_only_reads_the_store_works_during_a_run(
    home: Home, simulator: Simulator, store_url: str, forks: Forks
) -> None:
    files = whole(home, forks)
    days = whole_days(store_url)
    with run_at_work(home, simulator, forks):
        for form, words in READING.items():
            result = forks.run(home, *words)
            assert result.code == 0, (form, result.err)
        assert "28 days" in forks.run(home, JOB, "--offline").err
    assert files_in(home.daily_folder) == files
    assert whole_days(store_url) == days


@pytest.mark.usefixtures("store_url")
def test_a_store_of_which_nobody_says_who_holds_it_is_held_all_the_same(
    home: Home, simulator: Simulator, forks: Forks
) -> None:
    """The note beside SQLite's file is for people; the lock is another thing."""
    whole(home, forks)
    with run_at_work(home, simulator, forks):
        for note in home.data.glob("usage.db.holder"):
            note.unlink()
        assert forks.run(home, JOB).code == HELD


@pytest.mark.parametrize(
    ("store_url", "times"),
    [("sqlite", 50), ("postgresql", 10), ("pgbouncer", 5)],
    indirect=["store_url"],
)
@pytest.mark.usefixtures("simulator")
def test_of_two_runs_that_start_together_each_works_alone_or_says_that_it_did_not(
    home: Home, store_url: str, forks: Forks, times: int
) -> None:
    files = whole(home, forks)
    days = whole_days(store_url)
    codes = []
    for number in range(times):
        if number % 5 == 0 and store_url.startswith("sqlite"):
            shutil.rmtree(home.data)
        runs = [forks.start(home, JOB) for _ in range(2)]
        results = [run.wait() for run in runs]
        wait_until_gone(store_url)
        codes += [result.code for result in results]
        assert 0 in codes[-2:], results
        for result, other in zip(results, reversed(runs), strict=True):
            assert_done_or_refused(result, other)
        assert files_in(home.daily_folder) == files
    assert set(codes) == {0, HELD}
    assert whole_days(store_url) == days


def assert_done_or_refused(result: Result, other: Run) -> None:
    """Between the lock and the note of its holder, and after its end, there is nobody to name."""
    last = result.err.splitlines()[-1]
    if result.code == 0:
        return
    assert result.code == HELD, result.err
    nobody = re.search(r"another run works on \S+: it has just (begun|ended); wait", last)
    assert nobody or names_holder(other)(last), last


SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("hanging", [False, True], ids=["busy", "hanging"])
def test_a_run_that_is_told_to_end_does_and_the_next_fetches_only_what_is_missing(
    home: Home,
    simulator: Simulator,
    store_url: str,
    forks: Forks,
    number: signal.Signals,
    hanging: bool,
) -> None:
    fetched_first = 10
    if hanging:
        simulator.add_fault(Fault(hang(60), USERS, after=fetched_first))
    simulator.latency = 0.02
    run = forks.start(home, JOB)
    until(lambda: simulator.count(USERS) > fetched_first and len(whole_days(store_url)) > 4)
    began = time.monotonic()
    run.kill(number)
    result = run.wait()
    seconds = time.monotonic() - began
    assert result.code == SIGNALS[number], result.err
    assert seconds < SECONDS_TO_END
    assert "Traceback" not in result.err
    wait_until_gone(store_url)
    kept = whole_days(store_url)
    assert 4 < len(kept) < 28
    assert files_in(home.daily_folder) == {}
    simulator.clear_faults()
    before = {day: simulator.count(USERS, day) for day in kept}
    asked = simulator.count(USERS)
    assert forks.run(home, JOB).code == 0
    assert {day: simulator.count(USERS, day) for day in kept} == before
    assert simulator.count(USERS) - asked == 28 - len(kept)
    assert len(whole_days(store_url)) == 28


class Told(Exception):
    """What the signal's handler raises."""


def test_a_long_statement_of_sqlite_is_cut_off_by_a_signal_and_its_connection_is_free() -> None:
    """The file is rewritten when somebody is forgotten: of a large one, for minutes."""
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"

    def tell(*_: object) -> None:
        raise Told

    before = signal.signal(signal.SIGALRM, tell)
    try:
        with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(Told):
                interruptibly(connection, endless)
            assert connection.execute("SELECT 1").fetchall() == [(1,)]
            with pytest.raises(sqlite3.OperationalError, match="no such table"):
                interruptibly(connection, "SELECT * FROM absent")
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_run_may_begin_as_soon_as_another_has_ended(store_url: str) -> None:
    store = store_at(store_url)
    with store.locked(), store.opened():
        pass
    for _ in range(400 if store_url.startswith("sqlite") else 40):
        with store.locked():
            pass


@pytest.mark.parametrize("fails", [False, True], ids=["ended", "failed"])
def test_lock_is_free_for_others_once_its_run_has_ended(
    home: Home, store_url: str, fails: bool
) -> None:
    """Also in the same process, whose end would free it anyway."""
    ended, other = (store_at(store_url, waiting=Waiting(lease_seconds=10)) for _ in range(2))
    with suppress(ZeroDivisionError), ended.locked(), ended.opened():
        with pytest.raises(LockHeld):
            other.locked().__enter__()
        if fails:
            raise ZeroDivisionError
    assert not list(home.path.rglob("*.holder"))
    began = time.monotonic()
    with other.locked():
        assert time.monotonic() - began < 5
