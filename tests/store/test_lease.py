"""PostgreSQL's lease and connections: poolers, lost connections, and suspended runs."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pytest

from conftest import Home, Start, all_files, today, yesterday
from crash_child import DAYS, JOB, Forks, Trap, files_in, job_folder, stored_days, until
from dashboard_scraper.errors import LockHeld, LockLost
from dashboard_scraper.main import main
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.simulator import Fault, Organization, Request, Simulator, hang
from dashboard_scraper.simulator.exchange import Answer
from dashboard_scraper.sources.dashboard.settings import Endpoint
from dashboard_scraper.store import Store, Waiting, store_at
from dashboard_scraper.store.patience import Patience
from databases import behind_pooler
from middleman import Middleman
from stored_days import sql

DAY = f"{yesterday()}"
USERS = Endpoint.USERS.value
SHORT = Waiting(Patience(60, 0.05), lease_seconds=1)
NOW = datetime.now(UTC)
TODAY = today()
WRITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND state = 'idle in transaction' AND backend_xid IS NOT NULL"
)
OTHERS = (
    "FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
    " AND pid <> pg_backend_pid()"
)
END = f"SELECT count(pg_terminate_backend(pid)) {OTHERS}"


@pytest.fixture
def simulator(start: Start, home: Home) -> Simulator:
    home.settings |= {"SETTLE_DAYS": "0", "MAX_CONCURRENCY": "1", "STORE_LEASE_SECONDS": "1"}
    return start(Organization(users=5, today=today()))


@pytest.fixture(params=["direct", "pgbouncer"])
def lock_url(request: pytest.FixtureRequest, home: Home, postgres_store_url: str) -> str:
    """STORE_URL of a server, and of the same server behind a pooler, in turn."""
    is_direct = request.param == "direct"
    url = postgres_store_url if is_direct else behind_pooler(postgres_store_url)
    home.settings["STORE_URL"] = url
    return url


def put(store: Store, day: date = TODAY) -> None:
    assert store.put("dashboard", DayUsage(day, []), NOW)[1] is None


@pytest.mark.slow
def test_suspended_run_writes_nothing_after_takeover(
    home: Home, simulator: Simulator, lock_url: str, forks: Forks
) -> None:
    """It is suspended while it waits for its first day, and resumes after another run has ended."""
    gate = threading.Event()
    waiting: list[Request] = []

    def wait(answer: Answer, request: Request) -> Answer:
        waiting.append(request)
        gate.wait(300)
        return answer

    simulator.add_fault(Fault(wait, USERS, times=1))
    stopped = forks.start(home, *JOB)
    until(lambda: bool(waiting))
    stopped.kill(signal.SIGSTOP)
    other = forks.run(home, *JOB)
    assert other.code == 0, other.err
    assert f"took over the store from process {stopped.pid}" in other.err
    ledger_before = ledger_of(lock_url)
    written = {path: path.stat().st_mtime_ns for path in all_files(home.data)}
    gate.set()
    stopped.kill(signal.SIGCONT)
    result = stopped.wait()
    assert (result.code, result.out) == (7, ""), result.err
    assert "took over the store; this run wrote nothing since then" in result.err
    assert ledger_of(lock_url) == ledger_before
    assert {path: path.stat().st_mtime_ns for path in all_files(home.data)} == written


def ledger_of(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, prepare_threshold=None) as server:
        return server.execute("SELECT day, fetched_at FROM day_ledger ORDER BY day").fetchall()


@pytest.mark.parametrize(
    "trap",
    [
        pytest.param(Trap("commit", 2, then="stop"), id="sealed, before COMMIT"),
        pytest.param(Trap("statement", 2, "SET writes", "stop"), id="in a transaction"),
    ],
)
@pytest.mark.slow
def test_run_suspended_in_transaction_blocks_nobody(
    home: Home, simulator: Simulator, postgres_store_url: str, forks: Forks, trap: Trap
) -> None:
    home.settings["STORE_URL"] = postgres_store_url
    assert simulator is not None
    stopped = forks.start(home, *JOB, trap=trap)
    until(lambda: "State:\tT" in Path(f"/proc/{stopped.pid}/status").read_text())
    assert sql(postgres_store_url, WRITING) == [(1,)]
    other = forks.run(home, *JOB)
    assert other.code == 0, other.err
    days, files = ledger_of(postgres_store_url), files_in(job_folder(home))
    assert len(days) == DAYS
    stopped.kill(signal.SIGCONT)
    result = stopped.wait()
    assert (result.code, result.out) == (7, ""), result.err
    assert (ledger_of(postgres_store_url), files_in(job_folder(home))) == (days, files)


@pytest.mark.slow
def test_one_run_at_a_time_behind_pooler(
    home: Home, simulator: Simulator, postgres_store_url: str, forks: Forks
) -> None:
    url = behind_pooler(postgres_store_url)
    home.settings |= {"STORE_URL": url, "STORE_LEASE_SECONDS": "10"}
    simulator.add_fault(Fault(hang(600), USERS, after=1))
    first = forks.start(home, *JOB)
    until(lambda: simulator.count(USERS) > 1)
    for _ in range(2):
        assert forks.run(home, "backfill", DAY).code == 7
    first.kill(signal.SIGTERM)
    assert first.wait().code == 143
    simulator.clear_faults()
    for _ in range(2):
        result = forks.run(home, *JOB)
        assert result.code == 0, result.err
    assert len(stored_days(url)) == DAYS


@pytest.mark.slow
def test_session_settings_change_no_figure(postgres_store_url: str) -> None:
    """Settings that are left behind in a pooler, or set for the role."""
    for setting in (
        "TimeZone = 'Pacific/Kiritimati'",
        "DateStyle = 'German'",
        "extra_float_digits = -10",
        "default_transaction_isolation = 'serializable'",
    ):
        name = postgres_store_url.rpartition("/")[2].partition("?")[0]
        sql(postgres_store_url, f"ALTER DATABASE {name} SET {setting}")
    store = store_at(postgres_store_url, waiting=SHORT)
    with store.locked(), store.opened():
        store.put("dashboard", DayUsage(today(), []), NOW)
        store.put_credits("dashboard", today(), {"ada@example.com": 0.1 + 0.2}, NOW)
        time.sleep(0.2)  # heartbeats
        put(store, yesterday())
    with store.reading() as reader:
        assert reader.ledger("dashboard")[today()].fetched_at == NOW
        assert reader.credits_of("dashboard", today()) == {"ada@example.com": 0.1 + 0.2}


@pytest.mark.slow
def test_day_slower_than_idle_timeout_is_stored(
    home: Home, simulator: Simulator, postgres_store_url: str, forks: Forks
) -> None:
    home.settings |= {"STORE_URL": postgres_store_url, "STORE_LEASE_SECONDS": "30"}
    name = postgres_store_url.rpartition("/")[2].partition("?")[0]
    sql(postgres_store_url, f"ALTER DATABASE {name} SET idle_session_timeout = '300ms'")
    simulator.latency = 1
    result = forks.run(home, "backfill", DAY)
    assert result.code == 0, result.err
    assert len(stored_days(postgres_store_url)) == 1


@pytest.mark.parametrize("lose", ["answer", "statement"])
@pytest.mark.slow
def test_commit_whose_answer_is_lost_is_applied_once(postgres_store_url: str, lose: str) -> None:
    with Middleman(postgres_store_url) as gateway:
        gateway.open()
        store = store_at(gateway.url, waiting=SHORT)
        with store.locked(), store.opened():
            gateway.lose = "answer" if lose == "answer" else "statement"
            put(store)  # a second time, it would find the row of the first
            assert gateway.lost == 1
            put(store, yesterday())
    with store_at(postgres_store_url).reading() as reader:
        assert list(reader.ledger("dashboard")) == [yesterday(), today()]


def test_snapshot_that_the_server_ends_after_it_was_read_is_whole(postgres_store_url: str) -> None:
    """For example, if the server restarts while files are written from the snapshot."""
    with store_at(postgres_store_url).reading() as reader:
        assert reader.ledger("dashboard") == {}
        sql(postgres_store_url, END)
        until(lambda: sql(postgres_store_url, f"SELECT count(*) {OTHERS}") == [(0,)])


@pytest.mark.slow
def test_dropped_connections_lose_no_day(
    home: Home, simulator: Simulator, postgres_store_url: str, forks: Forks
) -> None:
    home.settings["STORE_URL"] = postgres_store_url
    simulator.latency = 0.01
    run = forks.start(home, *JOB)
    for fetched in (1, 2, 3):
        until(lambda fetched=fetched: simulator.count(USERS) > fetched)  # type: ignore[misc]
        sql(postgres_store_url, END)
    result = run.wait()
    assert result.code == 0, result.err
    assert len(stored_days(postgres_store_url)) == DAYS


@pytest.mark.slow
def test_run_waits_for_unavailable_server(
    home: Home, simulator: Simulator, postgres_store_url: str, forks: Forks
) -> None:
    with Middleman(postgres_store_url) as gateway:
        home.settings |= {"STORE_URL": gateway.url, "RETRY_BUDGET_SECONDS": "120"}
        run = forks.start(home, "backfill", DAY)
        until(lambda: "trying again" in run.logged())
        assert simulator.requests == []
        gateway.open()
        result = run.wait()
        assert result.code == 0, result.err


@pytest.mark.slow
def test_run_fails_when_retry_budget_is_spent(
    home: Home, simulator: Simulator, postgres_store_url: str, forks: Forks
) -> None:
    home.settings["STORE_URL"] = postgres_store_url
    assert forks.run(home, "backfill", DAY).code == 0
    with Middleman(postgres_store_url) as gateway:
        home.settings |= {"STORE_URL": gateway.url, "RETRY_BUDGET_SECONDS": "0.5"}
        asked = len(simulator.requests)
        result = forks.run(home, "backfill", DAY)
    assert (result.code, result.out) == (1, ""), result.err
    assert "is the server up" in result.err
    assert len(simulator.requests) == asked


def test_missing_database_is_not_retried(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_at(postgres_url + "_not", waiting=Waiting(Patience(60, 10)))
    with pytest.raises(Exception, match="does not exist"):
        store.exists()
    assert "trying again" not in caplog.text


@pytest.mark.slow
def test_dead_holder_is_replaced_whatever_the_clocks(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says once why nothing happens, and once that the lock was taken over."""
    caplog.set_level(logging.INFO)
    store = store_at(postgres_url, waiting=SHORT)
    with store.locked():
        pass
    for moment in ("now() + interval '1 year'", "now() - interval '1 year'"):
        sql(postgres_url, f"UPDATE store_lease SET held = true, token = 'dead', beat_at = {moment}")
        began = time.monotonic()
        with store.locked():
            assert time.monotonic() - began > SHORT.lease_seconds
        said = [record.getMessage().partition(" ")[0] for record in caplog.records]
        assert said == ["process", "took"]
        caplog.clear()


def test_living_holder_is_not_replaced(postgres_url: str) -> None:
    slow = Waiting(Patience(5, 0.05), lease_seconds=20)
    with store_at(postgres_url, waiting=slow).locked():
        sql(postgres_url, "UPDATE store_lease SET beat_at = now() - interval '1 year'")
        other = store_at(postgres_url, waiting=slow)
        with pytest.raises(LockHeld, match=r"last heartbeat .* counts as dead 20 s after"):
            other.locked().__enter__()


@pytest.mark.slow
def test_open_transaction_of_dead_holder_is_ended(postgres_store_url: str) -> None:
    """In the middle of a COPY, where no time limit of the server's ends it."""
    store = store_at(postgres_store_url, waiting=SHORT)
    with store.locked(), store.opened():
        pass
    with contextlib.ExitStack() as dead:
        name = "usage dead0001 process 1"
        connection = dead.enter_context(
            contextlib.closing(psycopg.connect(postgres_store_url, application_name=name))
        )
        connection.execute("INSERT INTO store_info VALUES ('note', 'dead')")
        connection.pgconn.exec_(b"COPY store_info FROM STDIN")
        sql(postgres_store_url, "UPDATE store_lease SET held = true, token = 'dead0001'")
        with store.locked(), store.opened():
            store.put_note("note", "alive")
    with store.reading() as reader:
        assert reader.note("note") == "alive"


def test_lost_lock_stops_every_write(postgres_store_url: str) -> None:
    """Each write checks by itself, and not only after a heartbeat has noticed."""
    store = store_at(postgres_store_url, waiting=Waiting(lease_seconds=60))
    with store.locked(), store.opened():
        put(store)
        sql(postgres_store_url, "UPDATE store_lease SET fence = fence + 1")
        with pytest.raises(LockLost):
            put(store, yesterday())
        with pytest.raises(LockLost):
            store.check_lock()
        with pytest.raises(LockLost):
            store.put_success("dashboard", NOW)
    with store.reading() as reader:
        assert list(reader.ledger("dashboard")) == [today()]
        assert reader.last_success("dashboard") is None


def test_lost_lock_takes_precedence_over_other_errors(postgres_url: str) -> None:
    """With another error, the files of the run that took over would be set aside."""
    store = store_at(postgres_url, waiting=Waiting(lease_seconds=60))
    with store.locked():
        sql(postgres_url, "UPDATE store_lease SET fence = fence + 1")
        sql(postgres_url, "CREATE VIEW user_days AS SELECT 1")
        with pytest.raises(LockLost), store.opened():
            pass


PARAMETERS = {
    "prepare_threshold=0": 0,
    "prepare_threshold=None&pgbouncer=true": 0,
    "sslmode=disable&connect_timeout=60&application_name=usage": 0,
    "prepare_threshold=many": 2,
    "prepare_treshold=0": 2,
    "pool_size=5": 2,
    "sslmode=maybe": 2,
    "connect_timeout=soon": 2,
    "port=70000": 2,
    "sslmode=disable&sslmode=prefer": 2,
}


@pytest.mark.parametrize(("query", "code"), PARAMETERS.items())
def test_url_parameters_are_checked(
    home: Home,
    postgres_store_url: str,
    query: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STORE_URL", f"{postgres_store_url}?{query}")
    monkeypatch.setenv("RETRY_BUDGET_SECONDS", "0.1")
    assert main(["status", "--home", str(home.path)]) == code
    err = capsys.readouterr().err
    assert ("STORE_URL: " in err) == (code == 2), err
