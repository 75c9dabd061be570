"""Commands that only read need no write permission, neither for files nor for tables."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from conftest import Home
from dashboard_scraper.errors import StoreFailed, UsageError
from dashboard_scraper.main import main
from dashboard_scraper.store import store_at
from dashboard_scraper.store.schema import VERSION, VIEWS
from filled_store import LAST, SOURCE, put, some_days, user
from serving import serving
from stored_days import set_schema_version, sql

DAYS = some_days(3)
SPAN = (f"{min(DAYS)}", f"{LAST}")
READING: dict[str, tuple[str, ...]] = {
    "status": ("status",),
    "export": ("export", *SPAN),
    "report": ("report", *SPAN),
    "offline": ("--daily", *SPAN, "--offline"),
}
NOBODY = 65534
WAL, SHM = "-wal", "-shm"
Read = Callable[..., int]


@pytest.fixture
def read(home: Home, monkeypatch: pytest.MonkeyPatch) -> Read:
    """The command line within this process; its outputs go to the home."""

    def begin(*words: str) -> int:
        for name, value in home.settings.items():
            monkeypatch.setenv(name, value)
        return main([*words[:1], *words[1:], "--home", str(home.path)])

    home.settings |= {"METRICS_SOURCE": SOURCE, "RETRY_BUDGET_SECONDS": "0.1"}
    return begin


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, for a store."""
    folder = tmp_path / "volume"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)]
    if (
        not shutil.which("mount")
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        assert "CI" not in os.environ, "CI must be able to mount a file system"
        pytest.skip("mounting needs root, and a mount command")
    yield folder
    subprocess.run(["umount", str(folder)], timeout=300, check=True)


def make_read_only(volume: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(volume)], timeout=300, check=True)


@contextlib.contextmanager
def writer_at_work(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program has the file open, with new data in its WAL."""
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("INSERT INTO store_info VALUES ('note', 'new')")
        connection.commit()
        yield connection


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_run_leaves_no_wal_file(home: Home) -> None:
    """Even if a reader has the file open at the end of the run."""
    path = home.data / "usage.db"
    put(f"sqlite:///{path}", DAYS)
    assert names_in(home.data) <= {"usage.db", "usage.db.lock"}
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
        reader.execute("SELECT count(*) FROM user_day").fetchall()
        put(f"sqlite:///{path}", {LAST: [user("ada@example.com")]})
        assert Path(f"{path}{WAL}").stat().st_size == 0


@pytest.mark.parametrize("words", READING.values(), ids=READING)
def test_store_on_a_read_only_volume_is_read(
    home: Home, volume: Path, read: Read, words: tuple[str, ...]
) -> None:
    path = volume / "usage.db"
    put(f"sqlite:///{path}", DAYS)
    home.settings["STORE_URL"] = f"sqlite:///{path}"
    before = names_in(volume)
    make_read_only(volume)
    assert read(*words) == 0
    assert names_in(volume) == before


@pytest.mark.slow
def test_store_on_a_read_only_volume_is_served(home: Home, volume: Path) -> None:
    put(f"sqlite:///{volume / 'usage.db'}", DAYS)
    home.settings |= {"STORE_URL": f"sqlite:///{volume / 'usage.db'}", "METRICS_SOURCE": SOURCE}
    make_read_only(volume)
    with serving(home) as server:
        report = server.report(f"/enterprises/x/copilot/metrics/reports/users-1-day?day={LAST}")
        assert report.count(b"\n") > 1


@pytest.mark.parametrize("left", [{WAL, SHM}, {WAL}], ids=["log and index", "log"])
@pytest.mark.slow
def test_wal_of_killed_run_is_read_or_refused(
    home: Home, volume: Path, read: Read, left: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without its index, the WAL cannot be read, and the file without the WAL is outdated."""
    place = home.path / "elsewhere"
    put(f"sqlite:///{place / 'usage.db'}", DAYS)
    with writer_at_work(place / "usage.db"):
        for suffix in ("", *left):
            shutil.copy(place / f"usage.db{suffix}", volume)
    url = f"sqlite:///{volume / 'usage.db'}"
    home.settings["STORE_URL"] = url
    make_read_only(volume)
    if SHM in left:
        assert read(*READING["export"]) == 0
        with store_at(url).reading() as reader:
            assert reader.note("note") == "new"
        return
    assert read("status") == 1
    assert "usage.db-wal" in (err := capsys.readouterr().err)
    assert "copy both files" in err


@contextlib.contextmanager
def shared(mode: int = 0o555) -> Iterator[Path]:
    """A folder that every user may enter, and only root may write to."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "store"
        folder.mkdir()
        Path(name).chmod(0o755)
        yield folder
        folder.chmod(mode)


def as_nobody(program: str, *words: str) -> tuple[int, str]:
    """Run the program in a forked child, as a user who owns no files."""
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        # From Python 3.12 on, about threads that the child does not have.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:  # the modules are imported already: this user might not be able to read them
        os.close(read_end)
        os.dup2(write_end, 1)
        os.dup2(write_end, 2)
        sys.stdout, sys.stderr = open(1, "w"), open(2, "w")  # noqa: SIM115
        code = 99
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            code = main([program, *words])
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
    os.close(write_end)
    with open(read_end) as said:  # noqa: PTH123
        text = said.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="another user's files need root")


@needs_root
@pytest.mark.parametrize("at_work", [False, True], ids=["alone", "with a writer"])
@pytest.mark.slow
def test_store_of_another_user_is_read(home: Home, read: Read, at_work: bool) -> None:
    with shared() as folder, tempfile.TemporaryDirectory() as own, contextlib.ExitStack() as stack:
        os.chown(own, NOBODY, NOBODY)
        path = folder / "usage.db"
        put(f"sqlite:///{path}", DAYS)
        path.chmod(0o444)
        if at_work:
            stack.enter_context(writer_at_work(path))
        folder.chmod(0o555)
        before = names_in(folder)
        home.settings["STORE_URL"] = f"sqlite:///{path}"
        for words in (READING["status"], READING["export"]):
            assert read(*words) == 0  # which imports everything that is needed
            code, text = as_nobody(*words, "--home", own)
            assert code == 0, text
        assert names_in(folder) == before


@needs_root
@pytest.mark.parametrize("hidden", ["file", "folder"])
def test_store_that_a_user_may_not_even_read_is_reported(
    monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    with shared(0o755) as folder, tempfile.TemporaryDirectory() as own:
        os.chown(own, NOBODY, NOBODY)
        path = folder / "usage.db"
        put(f"sqlite:///{path}", DAYS)
        (path if hidden == "file" else folder).chmod(0o600)
        monkeypatch.setenv("STORE_URL", f"sqlite:///{path}")
        code, text = as_nobody("status", "--home", own)
        assert code == 1
        assert "Traceback" not in text
        assert "may not read" in text or "Permission denied" in text


@needs_root
def test_changed_file_is_detected_while_read(volume: Path) -> None:
    """A reader that may not write has no lock for a run to respect; here the file has two paths."""
    path = volume / "usage.db"
    put(f"sqlite:///{path}", DAYS)
    view = volume.with_name("view")
    view.mkdir()
    subprocess.run(["mount", "--bind", str(volume), str(view)], timeout=300, check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(view)], timeout=300, check=True)
        with store_at(f"sqlite:///{view / 'usage.db'}").reading() as reader:
            ledger = reader.ledger(SOURCE)
            put(f"sqlite:///{path}", {LAST: [user("new@example.com")]})
            with pytest.raises(StoreFailed, match="written to while it was read"):
                reader.day(ledger[LAST])
    finally:
        subprocess.run(["umount", str(view)], timeout=300, check=True)


@pytest.fixture
def reader_url(postgres_store_url: str) -> Iterator[str]:
    """STORE_URL of a role that may only select, in a store with days."""
    put(postgres_store_url, DAYS)
    role = f"reader_{make_url(postgres_store_url).database}"
    for statement in (
        f"CREATE ROLE {role} LOGIN",
        f"GRANT USAGE ON SCHEMA public TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
    ):
        sql(postgres_store_url, statement)
    yield make_url(postgres_store_url).set(username=role).render_as_string(False)
    sql(postgres_store_url, f"DROP OWNED BY {role}")
    sql(postgres_store_url, f"DROP ROLE {role}")


@pytest.mark.slow
def test_role_that_may_only_select_reads(home: Home, reader_url: str, read: Read) -> None:
    home.settings["STORE_URL"] = reader_url
    for words in READING.values():
        assert read(*words) == 0, words


def test_select_only_role_cannot_fetch(
    home: Home, reader_url: str, read: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    home.settings["STORE_URL"] = reader_url
    assert read("forget", "ada@example.com") == 1
    assert "need a role that may write" in capsys.readouterr().err


def test_views_of_an_older_store_keep_their_readers_and_what_depends_on_them(
    postgres_store_url: str, reader_url: str
) -> None:
    """A view of the user's own, such as a dbt model; the older columns stay in their order."""
    older = ("chat_messages", "day", "source", "user_login")
    for statement in (
        "DROP VIEW user_days",
        f"CREATE VIEW user_days AS SELECT {', '.join(older)} FROM user_day",
        f"GRANT SELECT ON user_days TO {make_url(reader_url).username}",
        "CREATE VIEW model AS SELECT day, sum(chat_messages) FROM user_days GROUP BY day",
    ):
        sql(postgres_store_url, statement)
    set_schema_version(postgres_store_url, VERSION - 1)
    with store_at(postgres_store_url).reading():
        pass
    columns = sql(
        reader_url,
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'user_days'"
        " ORDER BY ordinal_position",
    )
    names = [name for (name,) in columns]
    assert names[: len(older)] == [*older]
    assert {*names} == {column.name for column in VIEWS["user_days"].selected_columns}
    assert len(sql(reader_url, "SELECT person FROM user_days")) == sum(map(len, DAYS.values()))
    assert len(sql(postgres_store_url, "SELECT * FROM model")) == len(DAYS)


@pytest.mark.slow
def test_older_store_that_may_only_be_read_is_reported(
    home: Home, postgres_store_url: str, reader_url: str, volume: Path, read: Read
) -> None:
    file = f"sqlite:///{volume / 'usage.db'}"
    put(file, DAYS)
    for writable, url in ((postgres_store_url, reader_url), (file, file)):
        set_schema_version(writable, VERSION - 1)
        if url == file:
            make_read_only(volume)
        home.settings["STORE_URL"] = url
        assert read("status") == 2
        with pytest.raises(UsageError, match="run `status` once"), store_at(url).reading():
            pass


@pytest.mark.slow
def test_reader_waits_for_wal_recovery(home: Home) -> None:
    """Meanwhile SQLite reports busy, with another error code than while somebody writes."""
    path = home.data / "usage.db"
    put(f"sqlite:///{path}", DAYS)
    with closing(sqlite3.connect(path, check_same_thread=False)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        free = threading.Timer(1, other.close)
        free.start()
        with store_at(f"sqlite:///{path}").reading() as reader:
            assert len(reader.ledger(SOURCE)) == len(DAYS)
        free.join()
