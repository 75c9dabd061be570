"""Values computed from a store: each computed once, and never older than an earlier commit."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import psycopg
import pytest

from dashboard_scraper.errors import DaysMissing, StoreFailed
from dashboard_scraper.store import store_at
from dashboard_scraper.store.cache import CachedView, StoreCache
from filled_store import SOURCE, put, user

DAY = date(2026, 11, 3)
THREADS = 8
ASKED = 200

_DELETES = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1])
other.execute("DELETE FROM day_ledger")
other.commit()
print("done", flush=True)
sys.stdin.read()
other.close()
"""


class Count:
    """Computes how many days are stored, and counts how often it did."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, view: CachedView) -> int:
        self.calls += 1
        return len(view.reader.ledger(SOURCE))


@contextlib.contextmanager
def cache_of(url: str) -> Iterator[StoreCache]:
    with contextlib.closing(store_at(url)) as store:
        yield StoreCache(store)


def put_day(url: str, number: int = 0) -> None:
    put(url, {DAY + timedelta(number): [user("ada@example.com", chat_messages=1)]})


def test_value_is_computed_once(store_url: str) -> None:
    put_day(store_url)
    count, known = Count(), None
    with cache_of(store_url) as cache:
        for _ in range(ASKED):
            before, calls = cache.state(), count.calls
            assert cache.get("days", count) == 1
            # A commit to another database of the server changes the state too: the cache looks
            # again then.
            is_same = cache.state() == before
            if is_same and before == known:
                assert count.calls == calls
            known = before if is_same else None
    assert count.calls == 1 or not store_url.startswith("sqlite")


def test_commit_of_another_program_is_noticed(store_url: str) -> None:
    put_day(store_url)
    count = Count()
    with cache_of(store_url) as cache:
        for number in range(1, 4):
            assert cache.get("days", count) == number
            put_day(store_url, number)
        assert cache.get("days", count) == 4


def test_concurrent_requests_compute_once(home_url: str) -> None:
    put_day(home_url)
    count, together = Count(), threading.Barrier(THREADS)

    def ask(cache: StoreCache) -> int:
        together.wait()
        return cache.get("days", count)

    with cache_of(home_url) as cache, ThreadPoolExecutor(THREADS) as pool:
        assert [*pool.map(ask, [cache] * THREADS)] == [1] * THREADS
    assert count.calls == 1


@pytest.mark.slow
def test_commit_while_computing_is_noticed(store_url: str) -> None:
    """The value belongs to the state before the commit; the next request gets a new one."""
    put_day(store_url)

    def interrupted(view: CachedView) -> int:
        found = len(view.reader.ledger(SOURCE))
        if found == 1:
            put_day(store_url, 1)
        return found

    with cache_of(store_url) as cache:
        assert [cache.get("days", interrupted) for _ in range(2)] == [1, 2]


@pytest.mark.slow
def test_values_of_a_view_are_of_its_snapshot(store_url: str) -> None:
    put_day(store_url)
    with cache_of(store_url) as cache, cache.view() as view:
        put_day(store_url, 1)
        assert cache.get("days", Count()) == 2
        assert view.get("days", Count()) == 1


@pytest.mark.slow
def test_value_is_never_older_than_the_last_commit(home_url: str) -> None:
    """While another thread stores one day after another."""
    put_day(home_url)
    stored = [1]

    def write() -> None:
        for number in range(1, 25):
            put_day(home_url, number)
            stored[0] = number + 1

    writer = threading.Thread(target=write)
    with cache_of(home_url) as cache:
        writer.start()
        while writer.is_alive():
            before = stored[0]
            assert cache.get("days", Count()) >= before
            with cache.view() as view:
                assert view.get("days", Count()) == len(view.reader.ledger(SOURCE))
        writer.join()
        assert cache.get("days", Count()) == 25


def test_error_is_not_cached(home_url: str) -> None:
    put_day(home_url)

    def fail(_view: CachedView) -> int:
        raise ZeroDivisionError

    with cache_of(home_url) as cache:
        with pytest.raises(ZeroDivisionError):
            cache.get("days", fail)
        assert cache.get("days", Count()) == 1


def test_missing_store_is_noticed_once_it_is_there(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'usage.db'}"
    with cache_of(url) as cache:
        with pytest.raises(DaysMissing, match="no day has been fetched yet"):
            cache.get("days", Count())
        put_day(url)
        assert cache.get("days", Count()) == 1


def copy_over(path: Path, backup: Path) -> None:
    """Restore a backup as docs/stored-days.md says, into the same file."""
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    shutil.copy(backup, path)


def test_restored_backup_is_noticed(tmp_path: Path) -> None:
    """A connection that stays open would go on reading the replaced file."""
    path, backup = tmp_path / "usage.db", tmp_path / "backup.db"
    url = f"sqlite:///{path}"
    put_day(url)
    shutil.copy(path, backup)
    put_day(url, 1)
    with cache_of(url) as cache:
        assert cache.get("days", Count()) == 2
        backup.replace(path)
        assert cache.get("days", Count()) == 1


def test_commit_after_a_restored_backup_is_noticed(tmp_path: Path) -> None:
    """Even while it is only in the write-ahead log, and the file itself does not change."""
    path, backup = tmp_path / "usage.db", tmp_path / "backup.db"
    url = f"sqlite:///{path}"
    put_day(url)
    shutil.copy(path, backup)
    with cache_of(url) as cache:
        assert cache.get("days", Count()) == 1
        backup.replace(path)
        assert cache.get("days", Count()) == 1
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute("DELETE FROM day_ledger")
            other.commit()
            assert cache.get("days", Count()) == 0


@pytest.mark.slow
def test_backup_copied_over_the_file_is_noticed(tmp_path: Path) -> None:
    """The file is still the same one, and SQLite has counted no commit."""
    path, backup = tmp_path / "usage.db", tmp_path / "backup.db"
    url = f"sqlite:///{path}"
    put_day(url)
    shutil.copy(path, backup)
    put_day(url, 1)
    with cache_of(url) as cache:
        assert cache.get("days", Count()) == 2
        shutil.copy(backup, path)
        assert cache.get("days", Count()) == 1


def test_smaller_backup_copied_over_the_file_is_read(tmp_path: Path) -> None:
    """The open connection still knows the file size of the store before it."""
    path, backup = tmp_path / "usage.db", tmp_path / "backup.db"
    url = f"sqlite:///{path}"
    put_day(url)
    shutil.copy(path, backup)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE large AS SELECT randomblob(100000)")
        other.commit()
    with cache_of(url) as cache:
        assert cache.get("days", Count()) == 1
        copy_over(path, backup)
        assert cache.get("days", Count()) == 1


@pytest.mark.slow
def test_commit_after_a_backup_was_copied_over_the_file_is_noticed(tmp_path: Path) -> None:
    """By another process, while it is only in the write-ahead log: the open connection still looks
    at the log that was removed.
    """
    path, backup = tmp_path / "usage.db", tmp_path / "backup.db"
    url = f"sqlite:///{path}"
    put_day(url)
    shutil.copy(path, backup)
    with cache_of(url) as cache:
        assert cache.get("days", Count()) == 1
        copy_over(path, backup)
        assert cache.get("days", Count()) == 1
        with subprocess.Popen(
            [sys.executable, "-c", _DELETES, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other:
            assert other.stdout
            assert other.stdout.readline() == b"done\n"
            assert cache.get("days", Count()) == 0
            other.communicate()


def test_file_that_vanished_is_no_value(tmp_path: Path) -> None:
    """Before there ever was a file, no day was fetched; afterwards, saying so would be wrong."""
    url = f"sqlite:///{tmp_path / 'usage.db'}"
    with cache_of(url) as cache:
        with pytest.raises(DaysMissing):
            cache.get("days", Count())
        put_day(url)
        assert cache.get("days", Count()) == 1
        (tmp_path / "usage.db").unlink()
        with pytest.raises(StoreFailed, match=r"usage\.db has gone"):
            cache.get("days", Count())


def test_damaged_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    path.write_bytes(b"not a database" * 100)
    with cache_of(f"sqlite:///{path}") as cache, pytest.raises(StoreFailed, match=r"usage\.db"):
        cache.get("days", Count())


@pytest.mark.slow
def test_closed_session_is_replaced(postgres_store_url: str) -> None:
    """Servers and gateways close connections that were silent for long."""
    put_day(postgres_store_url)
    with cache_of(postgres_store_url) as cache, psycopg.connect(postgres_store_url) as other:
        assert cache.get("days", Count()) == 1
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        other.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        assert cache.get("days", Count()) == 1
        put_day(postgres_store_url, 1)
        assert cache.get("days", Count()) == 2


@pytest.mark.parametrize("store_url", ["pgbouncer"], indirect=True)
def test_pooler_notices_commits(store_url: str) -> None:
    put_day(store_url)
    with cache_of(store_url) as cache:
        assert cache.get("days", Count()) == 1
        put_day(store_url, 1)
        assert cache.get("days", Count()) == 2


@pytest.fixture
def home_url(tmp_path: Path) -> str:
    """STORE_URL of a file."""
    return f"sqlite:///{tmp_path / 'usage.db'}"
