"""A full disk and a read-only folder cost a run, never a day or a file that others read."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest

from conftest import Home, Result, Start, all_files, today
from crash_child import Forks, Kept, Trap, empty, files_in, until, whole_days
from dashboard_scraper.files import STALE_SUFFIX
from dashboard_scraper.model.dates import last_complete_days
from dashboard_scraper.settings.groups import sqlite_url
from dashboard_scraper.simulator import Organization, Simulator
from dashboard_scraper.sources.dashboard.settings import Endpoint

WINDOW = last_complete_days(28, today())
JOB = ("--last-28-days",)
EXPORT = ("export", f"{WINDOW.start}", f"{WINDOW.end}")
USERS = Endpoint.USERS.value
OUTPUT, MANIFEST = ".tmp", "manifest.json"
SIZE = 4096  # kilobytes
FULL = "No space left on device"


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as server:
        yield server


def mount(*words: str) -> bool:
    with contextlib.suppress(OSError):
        return not subprocess.run(words, capture_output=True, timeout=10, check=False).returncode
    return False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount("mount", "-t", "tmpfs", "-o", f"size={SIZE}k", "none", str(folder)):
        assert "CI" not in os.environ, "where all is to be proved, a file system must be had"
        pytest.skip("mounting needs root, and a mount command")
    yield folder
    subprocess.run(["umount", str(folder)], timeout=10, check=True)


def remount(folder: Path, how: str) -> None:
    assert mount("mount", "-o", f"remount,{how},size={SIZE}k", str(folder))


@contextlib.contextmanager
def filled(folder: Path, room: int) -> Iterator[None]:
    """So many kilobytes are left."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    os.truncate(ballast, ballast.stat().st_size - room * 1024)
    yield
    ballast.unlink()


@dataclass(frozen=True)
class Place:
    """A home, and what its runs leave where nothing is in their way."""

    home: Home
    forks: Forks
    simulator: Simulator
    url: str
    folder: Path
    files: dict[str, bytes]
    days: Kept

    def fresh(self) -> dict[str, bytes]:
        """The files that are not set aside."""
        found = files_in(self.folder)
        return {name: data for name, data in found.items() if not name.endswith(STALE_SUFFIX)}

    def failed(self, words: tuple[str, ...], trap: Trap | None = None) -> Result:
        """A run that could not write and said so; all that there is is whole."""
        result = self.forks.run(self.home, *words, trap=trap)
        assert (result.code, result.out) == (1, ""), (trap, result.err)
        assert "Traceback" not in result.err
        assert " ERROR " in result.err.splitlines()[-1]
        fresh = self.fresh()
        if MANIFEST in fresh and json.loads(fresh[MANIFEST])["failed"]:
            del fresh[MANIFEST]
        assert fresh == {name: self.files[name] for name in fresh}
        return result

    def finish(self, words: tuple[str, ...] = JOB) -> None:
        """The next run finishes as if nothing had been in its way."""
        result = self.forks.run(self.home, *words)
        assert result.code == 0, result.err
        assert self.fresh() == self.files
        assert whole_days(self.url) == self.days


@pytest.fixture
def simulator(start: Start, home: Home) -> Simulator:
    home.settings |= {"SETTLE_DAYS": "0", "MAX_CONCURRENCY": "4"}
    return start(Organization(users=5, today=today()))


def undisturbed(home: Home, forks: Forks, simulator: Simulator, url: str, parent: Path) -> Place:
    home.settings |= {"EXPORT_DIR": str(parent), "STORE_URL": url}
    result = forks.run(home, *JOB)
    assert result.code == 0, result.err
    folder = parent / home.daily_folder.name
    files, days = files_in(folder), whole_days(url)
    assert (len(files), len(days)) == (2 * 28 + 3 + 4, 28)
    return Place(home, forks, simulator, url, folder, files, days)


@pytest.fixture
def place(home: Home, forks: Forks, simulator: Simulator, store_url: str) -> Place:
    return undisturbed(home, forks, simulator, store_url, home.data)


@pytest.fixture
def outputs(home: Home, forks: Forks, simulator: Simulator, store_url: str, disk: Path) -> Place:
    """The files, and they alone, are on the disk."""
    return undisturbed(home, forks, simulator, store_url, disk)


@pytest.fixture
def store(home: Home, forks: Forks, simulator: Simulator, disk: Path) -> Place:
    """The store, and it alone, is on the disk."""
    return undisturbed(home, forks, simulator, sqlite_url(disk / "usage.db"), home.data)


def remove(folder: Path) -> None:
    for path in all_files(folder):
        path.unlink()


@pytest.mark.parametrize("room", [0, 4, 40, 300])
def test_a_store_on_a_disk_that_is_full_keeps_whole_days_or_none(
    store: Place, disk: Path, room: int
) -> None:
    remove(disk)
    remove(store.folder)
    with filled(disk, room):
        result = store.failed(JOB)
        assert str(disk / "usage.db") in result.err.splitlines()[-1]
        assert store.fresh() == {}
        kept = whole_days(store.url)
        assert kept == {day: store.days[day] for day in kept}
        assert bool(kept) == (room == 300)
        assert len(kept) < 28
    asked = store.simulator.count(USERS)
    store.finish()
    assert store.simulator.count(USERS) - asked == 28 - len(kept)


@pytest.mark.parametrize("words", [JOB, EXPORT], ids=["job", "export"])
@pytest.mark.parametrize("room", [0, 8, 120])
def test_files_that_find_the_disk_full_are_not_there_and_the_days_are(
    outputs: Place, disk: Path, room: int, words: tuple[str, ...]
) -> None:
    asked = outputs.simulator.count(USERS)
    with filled(disk, room):
        result = outputs.failed(words)
        last = result.err.splitlines()[-1]
        assert f"{outputs.folder}/" in last
        assert f"could not be written: {FULL}" in last
        assert outputs.fresh() == {}
        assert len(files_in(outputs.folder)) == len(outputs.files)
        assert whole_days(outputs.url) == outputs.days
    outputs.finish(words)
    assert outputs.simulator.count(USERS) == asked


POINTS = [
    Trap("open", 62, OUTPUT, "full"),
    *(Trap("fsync", nth, then="full") for nth in (1, 59, 64)),
    *(Trap("os.rename", nth, OUTPUT, "full") for nth in (1, 58, 62)),
]


@pytest.mark.parametrize("words", [JOB, EXPORT], ids=["job", "export"])
def test_wherever_the_disk_is_full_once_no_file_of_the_run_that_failed_looks_fresh(
    place: Place, words: tuple[str, ...]
) -> None:
    for trap in POINTS:
        result = place.failed(words, trap)
        last = result.err.splitlines()[-1]
        assert f"{place.folder}" in last, trap
        assert f"could not be written: {FULL}" in last, trap
        assert place.fresh() == {}, trap
        left = {Path(name).name for name in place.home.files()}
        assert left == {f"{name}{STALE_SUFFIX}" for name in place.files}, trap
        place.finish(words)


@pytest.mark.parametrize("words", [JOB, EXPORT], ids=["job", "export"])
@pytest.mark.parametrize("nth", [1, 30])
def test_where_no_file_can_get_its_name_any_more_none_is_in_part(
    place: Place, words: tuple[str, ...], nth: int
) -> None:
    """Not even those of an earlier run can be set aside then."""
    remove(place.folder)
    result = place.failed(words, Trap("os.rename", nth, OUTPUT, "full", times=None))
    assert f"could not be written: {FULL}" in result.err.splitlines()[-1]
    assert place.fresh() == {}
    place.finish(words)


@pytest.mark.parametrize("words", [JOB, EXPORT], ids=["job", "export"])
def test_files_in_a_read_only_folder_stay_as_they_are(
    outputs: Place, disk: Path, words: tuple[str, ...]
) -> None:
    remount(disk, "ro")
    result = outputs.failed(words)
    assert f"{outputs.folder}/" in result.err.splitlines()[-1]
    assert "could not be written: Read-only file system" in result.err.splitlines()[-1]
    assert files_in(outputs.folder) == outputs.files
    assert whole_days(outputs.url) == outputs.days
    remount(disk, "rw")
    outputs.finish(words)


@pytest.mark.parametrize("words", [JOB, EXPORT], ids=["job", "export"])
def test_a_file_in_the_place_of_the_folder_is_named(place: Place, words: tuple[str, ...]) -> None:
    remove(place.folder)
    shutil.rmtree(place.folder)
    place.folder.write_text("in the way")
    result = place.forks.run(place.home, *words)
    assert (result.code, result.out) == (1, ""), result.err
    assert f"{place.folder}" in result.err.splitlines()[-1]
    assert "Traceback" not in result.err
    assert place.folder.read_text() == "in the way"
    place.folder.unlink()
    place.finish(words)


def test_a_store_in_a_read_only_folder_is_named_and_loses_nothing(store: Place, disk: Path) -> None:
    remount(disk, "ro")
    result = store.failed((*JOB, "--refresh"))
    assert str(disk / "usage.db") in result.err.splitlines()[-1]
    remount(disk, "rw")
    assert whole_days(store.url) == store.days
    store.finish()


def test_a_server_that_takes_no_writes_is_named_and_loses_nothing(
    home: Home, forks: Forks, simulator: Simulator, postgres_url: str
) -> None:
    home.settings["RETRY_BUDGET_SECONDS"] = "1"  # as after a failover, it may pass
    place = undisturbed(home, forks, simulator, postgres_url, home.data)
    setting = "ALTER DATABASE {} SET default_transaction_read_only = {}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(setting.format(name, "on"))
        result = place.failed((*JOB, "--refresh"))
        assert f"/{name}: " in result.err.splitlines()[-1]
        assert "read-only transaction" in result.err.splitlines()[-1]
        days = {name for name in place.files if "_metrics_20" in name}
        assert place.fresh().keys() == days | {MANIFEST}
        place.finish(EXPORT)
        connection.execute(setting.format(name, "off"))
    place.finish()


def exports_during(place: Place, parent: Path) -> list[dict[str, bytes]]:
    """What exports wrote, one after another, while a run fetched every day."""
    place.simulator.latency = 0.08
    asked = place.simulator.count(USERS)
    run = place.forks.start(place.home, *JOB, "--refresh")
    until(lambda: place.simulator.count(USERS) >= asked + 4)  # the store is there
    exported: list[dict[str, bytes]] = []
    while place.simulator.count(USERS) < asked + 28:
        folder = parent / f"{len(exported)}"
        result = place.forks.run(place.home, *EXPORT, "--out", str(folder))
        assert result.code in (0, 6), result.err
        exported.append(files_in(folder))
    result = run.wait()
    assert result.code == 0, result.err
    return exported


def days_of(files: dict[str, bytes], version: dict[str, bytes]) -> set[str]:
    """The days of which both files are of the version; the manifest knows no other files."""
    days = set()
    for told in json.loads(files.get(MANIFEST, b'{"days": []}'))["days"]:
        listed = {each["name"]: each["sha256"] for each in told.get("files", [])}
        assert listed == {name: sha256(files[name]).hexdigest() for name in listed}
        if listed and all(files[name] == version[name] for name in listed):
            days.add(told["day"])
    return days


def test_an_export_during_a_run_has_whole_days_only(place: Place, tmp_path: Path) -> None:
    """Of days that are fetched for the first time, and of days that get other figures."""
    empty(place.url)
    partial = 0
    for files in exports_during(place, tmp_path / "first"):
        days = days_of(files, place.files)
        own = [name for name in files if "-day" not in name]  # without GitHub's reports
        assert len(own) == (2 * len(days) + 2 + (len(days) == 28) if days else 0)
        assert any("28-day" in name for name in files) == (len(days) == 28)
        partial += 0 < len(days) < 28
    assert partial
    place.home.settings["SETTLE_DAYS"] = "90"  # days that may still grow are revised at once
    for day in WINDOW.days():
        place.simulator.revise(day)
    exported = exports_during(place, tmp_path / "second")
    revised, mixed = place.fresh(), 0
    for files in exported:
        old, new = days_of(files, place.files), days_of(files, revised)
        assert len(old | new) == 28
        mixed += bool(old - new) and bool(new - old)
    assert mixed


@pytest.mark.parametrize("room", [0, 40, 80, 200])
def test_where_the_disk_fills_while_somebody_is_forgotten_no_copy_is_left_unsaid(
    store: Place, disk: Path, room: int
) -> None:
    """With little room nothing is removed; with some, the rows are and copies of them may be left,
    which the same command removes when there is room.
    """
    user = store.days[WINDOW.end][1].users[0].user
    with filled(disk, room):
        result = store.forks.run(store.home, "forget", user)
        assert result.code == (0 if room == 200 else 1), result.err
        assert "Traceback" not in result.err
        kept = whole_days(store.url)
        if room < 80:
            assert kept == store.days
        else:
            assert user not in {each.user for _, day in kept.values() for each in day.users}
    assert ("copies of them may be left" in result.err) == (room == 80)
    if room < 200:
        again = store.forks.run(store.home, "forget", user)
        assert again.code == 0, again.err  # also without rows: files still show the person
    assert not any(user.encode() in path.read_bytes() for path in all_files(disk))
