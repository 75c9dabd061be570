"""Whatever other processes do, an export has the same files as from one process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

import opened_exports
from conftest import Home, all_files
from crash_child import files_in, until
from dashboard_scraper.errors import StoreFailed
from dashboard_scraper.exports.daily_folders import GITHUB_FOLDER
from dashboard_scraper.exports.day_workers import LEAST_USER_DAYS, OpenExport, usable_processors
from dashboard_scraper.model.dates import Window
from made_up_days import LAST, store_days, users
from opened_exports import OPENED, export_opened, opened, opened_by_nobody, opened_in_vain
from stored_days import settings_of

WINDOW = Window(LAST - timedelta(4), LAST)


@pytest.fixture
def stored(home: Home) -> Home:
    """A home with five days of four people."""
    home.settings["ORGANIZATION_ID"] = "7"
    store_days(home, users(4), WINDOW)
    return home


def export_with(
    home: Home, window: Window, folder: Path, open_export: OpenExport | None
) -> dict[str, bytes]:
    """The files of an export with another process, which opens it in this way, or without one.

    Nothing else is left in the folder.
    """
    export_opened(settings_of(home), window, folder, open_export)
    assert not [*folder.rglob(".*")]
    return files_in(folder)


def alone(home: Home, place: Path) -> dict[str, bytes]:
    """The files of an export with one process."""
    return export_with(home, WINDOW, place / "alone", None)


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The inodes that this process flushed to the disk."""
    found: set[int] = set()
    original = os.fsync

    def fsync(descriptor: int) -> None:
        original(descriptor)
        found.add(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


@pytest.mark.slow
def test_last_days_are_made_by_another_process(
    stored: Home, tmp_path: Path, reads: Counter[str], flushed: set[int]
) -> None:
    expected = alone(stored, tmp_path)
    reads.clear()
    open_export = partial(opened, settings_of(stored), WINDOW, tmp_path / "made")
    assert export_with(stored, WINDOW, tmp_path / "made", open_export) == expected
    assert (reads[f"{WINDOW.start}"], reads[f"{LAST}"]) == (1, 0)
    assert {path.stat().st_ino for path in all_files(tmp_path / "made")} <= flushed


@pytest.mark.slow
def test_process_that_dies_is_replaced(
    stored: Home, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = export_with(stored, WINDOW, tmp_path / "made", opened_by_nobody)
    assert made == alone(stored, tmp_path)
    assert caplog.text.count("another process failed to write files") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "error", [StoreFailed("no connection is left"), MemoryError("no memory")], ids=repr
)
def test_process_that_fails_is_replaced(
    stored: Home, tmp_path: Path, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    made = export_with(stored, WINDOW, tmp_path / "made", partial(opened_in_vain, error))
    assert made == alone(stored, tmp_path)
    assert (
        caplog.text.count(f"another process failed to write files; going on without it: {error}")
        == 1
    )


@pytest.mark.slow
def test_files_made_from_other_content_are_not_taken(stored: Home, tmp_path: Path) -> None:
    """Such as a day that is revised before the other process reads it."""
    revised = Home(tmp_path / "revised", {"ORGANIZATION_ID": "7"})
    revised.path.mkdir()
    store_days(revised, users(5), WINDOW)
    open_export = partial(opened, settings_of(revised), WINDOW, tmp_path / "made")
    made = export_with(stored, WINDOW, tmp_path / "made", open_export)
    assert made == alone(stored, tmp_path)


def start(home: Home, folder: Path, seconds: float) -> subprocess.Popen[str]:
    """Start an export with another process, which takes this many seconds to open it."""
    days = f"{WINDOW.start}", f"{WINDOW.end}"
    words = [str(home.path), home.settings["STORE_URL"], *days, str(folder), f"{seconds}"]
    command = [sys.executable, "-W", "error", opened_exports.__file__, *words]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def can_lock(path: Path) -> bool:
    with path.open("rb") as file, contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


@pytest.mark.slow
def test_other_process_ends_with_one_that_is_killed(stored: Home, tmp_path: Path) -> None:
    process = start(stored, tmp_path / "made", 3600)
    assert process.stdout
    assert process.stdout.readline() == OPENED
    process.kill()
    process.wait()
    lock = tmp_path / "made" / "lock"
    until(lambda: can_lock(lock))  # the other process holds it
    process.communicate()
    lock.unlink()
    assert export_with(stored, WINDOW, tmp_path / "made", None) == alone(stored, tmp_path)


def catches_interrupts(process: str) -> bool:
    """Whether Python has started in that process, so that Ctrl-C would print a traceback."""
    (caught,) = re.findall(r"SigCgt:\s*(\w+)", Path(f"/proc/{process}/status").read_text())
    return bool(int(caught, 16) >> (signal.SIGINT - 1) & 1)


@pytest.mark.slow
def test_ctrl_c_leaves_no_file(stored: Home, tmp_path: Path) -> None:
    """Ctrl-C also reaches the other process, which finishes the day that it starts or has begun."""
    process = start(stored, tmp_path / "made", 1)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    until(lambda: len(children.read_text().split()) == len(["the tracker of semaphores", "it"]))
    until(lambda: catches_interrupts(children.read_text().split()[1]))
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == -signal.SIGINT
    # Only from this process; one more if it came while Python handled an error, as `exists` does.
    chained = err.count("During handling of the above exception")
    assert err.count("Traceback") == 1 + chained, err
    left = {path.name for path in (tmp_path / "made").rglob("*")}
    assert left - {"lock"} == {GITHUB_FOLDER}


@pytest.mark.heavy
def test_long_export_uses_another_processor(
    home: Home, tmp_path: Path, reads: Counter[str]
) -> None:
    days = Window(LAST - timedelta(LEAST_USER_DAYS // 2000 - 1), LAST)
    store_days(home, users(2000), days)
    made = {}
    for processes in ("1", "2"):
        home.settings["EXPORT_PROCESSES"] = processes
        reads.clear()
        folder = tmp_path / processes
        result = home.run("export", f"{days.start}", f"{days.end}", "--out", f"{folder}")
        assert result.code == 0, result.err
        made[processes] = files_in(folder), reads[f"{LAST}"]
    assert made["1"][1] == 1
    assert made["2"] == (made["1"][0], int(usable_processors() == 1))


@pytest.mark.heavy
def test_lake_is_read_by_another_process_too(
    stored: Home, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """And it ends without DuckDB's list of objects that were still open."""
    days = f"{WINDOW.start}", f"{WINDOW.end}"
    result = stored.run("export", *days, "--format", "iceberg", "--out", f"{tmp_path / 'lake'}")
    assert result.code == 0, result.err
    stored.settings["STORE_URL"] = f"iceberg:///{tmp_path / 'lake'}"
    expected = alone(stored, tmp_path)
    capfd.readouterr()
    open_export = partial(opened, settings_of(stored), WINDOW, tmp_path / "made")
    assert export_with(stored, WINDOW, tmp_path / "made", open_export) == expected
    assert capfd.readouterr() == ("", "")
