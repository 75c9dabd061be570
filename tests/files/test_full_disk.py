"""A full disk or a read-only folder fails a run, but damages no day and no file."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest

from conftest import Home, Result, Start, all_files, today
from crash_child import (
    DAYS,
    FILES,
    JOB,
    WINDOW,
    Forks,
    StoredDays,
    Trap,
    drop_store,
    files_in,
    job_folder,
    stored_days,
    until,
)
from dashboard_scraper.files import STALE_SUFFIX
from dashboard_scraper.settings.groups import sqlite_url
from dashboard_scraper.simulator import Fault, Organization, Request, Simulator
from dashboard_scraper.simulator.exchange import Answer
from dashboard_scraper.sources.dashboard.settings import Endpoint
from mounts import mount

EXPORT = ("export", f"{WINDOW.start}", f"{WINDOW.end}")
USERS = Endpoint.USERS.value
OUTPUT, MANIFEST, STORE = ".tmp", "manifest.json", "usage.db"
SIZE = 4096  # kilobytes
FULL = "No space left on device"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A separate file system."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", f"size={SIZE}k", "none", str(folder)):
        assert "CI" not in os.environ, "CI must be able to mount a file system"
        pytest.skip("mounting needs root, and a mount command")
    yield folder
    subprocess.run(["umount", str(folder)], timeout=300, check=True)


def remount(folder: Path, how: str) -> None:
    assert mount("-o", f"remount,{how},size={SIZE}k", str(folder))


@contextlib.contextmanager
def filled(folder: Path, room: int) -> Iterator[None]:
    """Fill the disk, leaving this many kilobytes free."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    os.truncate(ballast, ballast.stat().st_size - room * 1024)
    yield
    ballast.unlink()


@dataclass(frozen=True)
class Place:
    """A home, and the files and days of an undisturbed run in it."""

    home: Home
    forks: Forks
    simulator: Simulator
    url: str
    folder: Path
    files: dict[str, bytes]
    days: StoredDays

    def fresh(self) -> dict[str, bytes]:
        """The files that are not set aside."""
        found = files_in(self.folder)
        return {name: data for name, data in found.items() if not name.endswith(STALE_SUFFIX)}

    def failed(self, words: tuple[str, ...], trap: Trap | None = None) -> Result:
        """Run without being able to write: it reports that, and leaves only complete files.

        A trap cannot be removed, so a run with a trap has its own process.
        """
        home = self.home
        result = self.forks.run(home, *words, trap=trap) if trap else home.run(*words)
        assert (result.code, result.out) == (1, ""), (trap, result.err)
        assert "Traceback" not in result.err
        assert " ERROR " in result.err.splitlines()[-1]
        fresh = self.fresh()
        if MANIFEST in fresh and json.loads(fresh[MANIFEST])["failed"]:
            del fresh[MANIFEST]
        assert fresh == {name: self.files[name] for name in fresh}
        return result

    def finish(self, words: tuple[str, ...] = JOB) -> None:
        """Run again: the result is as if nothing had happened."""
        result = self.home.run(*words)
        assert result.code == 0, result.err
        assert self.fresh() == self.files
        assert stored_days(self.url) == self.days


SETTINGS = {"SETTLE_DAYS": "0", "MAX_CONCURRENCY": "4"}


def organization() -> Organization:
    return Organization(users=5, today=today())


@pytest.fixture
def simulator(start: Start, home: Home) -> Simulator:
    home.settings |= SETTINGS
    return start(organization())


@dataclass(frozen=True)
class Undisturbed:
    """A home after a run with enough room for everything."""

    home: Home
    files: dict[str, bytes]
    days: StoredDays


def run_undisturbed(home: Home, url: str) -> Undisturbed:
    home.settings["STORE_URL"] = url
    result = home.run(*JOB)
    assert result.code == 0, result.err
    left = Undisturbed(home, files_in(job_folder(home)), stored_days(url))
    assert (len(left.files), len(left.days)) == (FILES, DAYS)
    return left


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """One undisturbed run for all tests; they work with copies."""
    home = Home(tmp_path_factory.mktemp("undisturbed"), dict(SETTINGS))
    with Simulator(organization()) as simulator:
        home.settings["METRICS_API_BASE_URL"] = simulator.url
        home.sign_in(simulator)
        return run_undisturbed(home, sqlite_url(home.data / STORE))


@dataclass(frozen=True)
class Places:
    """Copies the store and files of the undisturbed run."""

    home: Home
    forks: Forks
    simulator: Simulator
    undisturbed: Undisturbed

    def copied(self, store: Path, parent: Path) -> Place:
        """Copy the store to its folder, and the files below the parent folder."""
        done, folder = self.undisturbed, parent / job_folder(self.home).name
        shutil.copytree(job_folder(done.home), folder)
        store.mkdir(exist_ok=True)
        shutil.copy(done.home.data / STORE, store)
        url = sqlite_url(store / STORE)
        self.home.settings |= {"EXPORT_DIR": f"{parent}", "STORE_URL": url}
        return Place(self.home, self.forks, self.simulator, url, folder, done.files, done.days)


@pytest.fixture
def places(home: Home, forks: Forks, simulator: Simulator, undisturbed: Undisturbed) -> Places:
    return Places(home, forks, simulator, undisturbed)


@pytest.fixture
def place(places: Places) -> Place:
    """Files and store in the home; tests that endanger only files use SQLite for both databases."""
    return places.copied(places.home.data, places.home.data)


@pytest.fixture
def outputs(places: Places, disk: Path) -> Place:
    """Only the files are on the disk."""
    return places.copied(places.home.data, disk)


@pytest.fixture
def store(places: Places, disk: Path) -> Place:
    """Only the store is on the disk."""
    return places.copied(disk, places.home.data)


def on_server(home: Home, forks: Forks, simulator: Simulator, url: str) -> Place:
    """The files are in the home, and the store is elsewhere."""
    done = run_undisturbed(home, url)
    return Place(home, forks, simulator, url, job_folder(home), done.files, done.days)


def remove(folder: Path) -> None:
    for path in all_files(folder):
        path.unlink()


@pytest.mark.parametrize("room", [0, 40, 285])
@pytest.mark.slow
def test_full_disk_stores_complete_days_only(store: Place, disk: Path, room: int) -> None:
    remove(disk)
    remove(store.folder)
    with filled(disk, room):
        result = store.failed(JOB)
        assert str(disk / STORE) in result.err.splitlines()[-1]
        assert store.fresh() == {}
        stored = stored_days(store.url)
        assert stored == {day: store.days[day] for day in stored}
        assert bool(stored) == (room == 285)
        assert len(stored) < DAYS
    asked = store.simulator.count(USERS)
    store.finish()
    assert store.simulator.count(USERS) - asked == DAYS - len(stored)


@pytest.mark.parametrize(("room", "words"), [(0, JOB), (80, EXPORT)], ids=["0-job", "80-export"])
@pytest.mark.slow
def test_full_disk_loses_files_but_no_day(
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
        assert stored_days(outputs.url) == outputs.days
    outputs.finish(words)
    assert outputs.simulator.count(USERS) == asked


def forget_what_files_are_made_from(folder: Path) -> None:
    """Rename `made_from` in the manifest, so that the next run writes all files again."""
    manifest = folder / MANIFEST
    manifest.write_bytes(manifest.read_bytes().replace(b'"made_from"', b'"forgotten"'))


POINTS = [
    Trap("open", FILES - 1, OUTPUT, "full"),
    *(Trap("fsync", nth, then="full") for nth in (1, FILES - 4, FILES + 1)),
    *(Trap("os.rename", nth, OUTPUT, "full") for nth in (1, FILES - 5, FILES - 1)),
]


LATER = [Trap("fsync", 1, then="full"), Trap("os.rename", 1, OUTPUT, "full")]


@pytest.mark.parametrize(
    ("words", "traps"),
    [(JOB, [*POINTS, LATER[0]]), (EXPORT, [POINTS[-1], LATER[1]])],
    ids=["job", "export"],
)
@pytest.mark.slow
def test_failed_write_leaves_no_file_that_looks_fresh(
    place: Place, words: tuple[str, ...], traps: list[Trap]
) -> None:
    """The disk is full for one operation: opening, flushing or renaming a file, or flushing its
    folder.

    In the last run, the files of single days have their names already, and keep them until then.
    Both commands write with the same code, so a few of the points are enough for one of them.
    """
    for trap in traps:
        if trap not in LATER:
            forget_what_files_are_made_from(place.folder)
        result = place.failed(words, trap)
        last = result.err.splitlines()[-1]
        assert f"{place.folder}" in last, trap
        assert f"could not be written: {FULL}" in last, trap
        assert place.fresh() == {}, trap
        left = {Path(name).name for name in place.home.files()}
        assert left == {f"{name}{STALE_SUFFIX}" for name in place.files}, trap
        place.finish(words)


@pytest.mark.parametrize(
    ("nth", "words"), [(1, JOB), (FILES // 2, EXPORT)], ids=["1-job", "half-export"]
)
@pytest.mark.slow
def test_failing_renames_leave_no_file(place: Place, words: tuple[str, ...], nth: int) -> None:
    """All renames fail from a certain one on: then files cannot be set aside either."""
    remove(place.folder)
    result = place.failed(words, Trap("os.rename", nth, OUTPUT, "full", times=None))
    assert f"could not be written: {FULL}" in result.err.splitlines()[-1]
    assert place.fresh() == {}
    place.finish(words)


@pytest.mark.parametrize("words", [JOB, EXPORT], ids=["job", "export"])
@pytest.mark.slow
def test_files_in_read_only_folder_stay(outputs: Place, disk: Path, words: tuple[str, ...]) -> None:
    remount(disk, "ro")
    result = outputs.failed(words)
    assert f"{outputs.folder}/" in result.err.splitlines()[-1]
    assert "could not be written: Read-only file system" in result.err.splitlines()[-1]
    assert files_in(outputs.folder) == outputs.files
    assert stored_days(outputs.url) == outputs.days
    remount(disk, "rw")
    outputs.finish(words)


@pytest.mark.parametrize("words", [JOB, EXPORT], ids=["job", "export"])
@pytest.mark.slow
def test_file_in_place_of_folder_is_reported(place: Place, words: tuple[str, ...]) -> None:
    remove(place.folder)
    shutil.rmtree(place.folder)
    place.folder.write_text("in the way")
    result = place.home.run(*words)
    assert (result.code, result.out) == (1, ""), result.err
    assert f"{place.folder}" in result.err.splitlines()[-1]
    assert "Traceback" not in result.err
    assert place.folder.read_text() == "in the way"
    place.folder.unlink()
    place.finish(words)


@pytest.mark.slow
def test_read_only_store_is_reported_and_unharmed(store: Place, disk: Path) -> None:
    remount(disk, "ro")
    result = store.failed((*JOB, "--refresh"))
    assert str(disk / STORE) in result.err.splitlines()[-1]
    remount(disk, "rw")
    assert stored_days(store.url) == store.days
    store.finish()


@pytest.mark.slow
def test_read_only_server_is_reported_and_unharmed(
    home: Home, forks: Forks, simulator: Simulator, postgres_store_url: str
) -> None:
    home.settings["RETRY_BUDGET_SECONDS"] = "1"  # retried, since a failover makes it writable
    place = on_server(home, forks, simulator, postgres_store_url)
    setting = "ALTER DATABASE {} SET default_transaction_read_only = {}"
    with psycopg.connect(postgres_store_url, autocommit=True) as connection:
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
    """The files of exports while a run fetches every day: one export after each stored day."""
    place.home.settings["MAX_CONCURRENCY"] = "1"
    answers = threading.Semaphore(0)

    def wait(answer: Answer, _request: Request) -> Answer:
        answers.acquire(timeout=300)
        return answer

    place.simulator.add_fault(Fault(wait, USERS))
    run = place.forks.start(place.home, *JOB, "--refresh")
    exported: list[dict[str, bytes]] = []
    for number in range(1, DAYS):
        answers.release()
        until(lambda number=number: run.logged().count(" fetched, ") == number)  # type: ignore[misc]
        folder = parent / f"{number}"
        result = place.home.run(*EXPORT, "--out", str(folder))
        assert result.code in (0, 6), result.err
        exported.append(files_in(folder))
    answers.release()
    result = run.wait()
    place.simulator.clear_faults()
    assert result.code == 0, result.err
    return exported


def days_of(files: dict[str, bytes], version: dict[str, bytes]) -> set[str]:
    """The days whose two files are both of this version; the manifest lists no other files."""
    days = set()
    for entry in json.loads(files.get(MANIFEST, b'{"days": []}'))["days"]:
        listed = {each["name"]: each["sha256"] for each in entry.get("files", [])}
        assert listed == {name: sha256(files[name]).hexdigest() for name in listed}
        if listed and all(files[name] == version[name] for name in listed):
            days.add(entry["day"])
    return days


@pytest.mark.slow
def test_export_during_run_has_complete_days_only(
    home: Home, forks: Forks, simulator: Simulator, store_url: str, tmp_path: Path
) -> None:
    """While days are fetched for the first time, and while they are revised."""
    place = on_server(home, forks, simulator, store_url)
    drop_store(place.url)
    partial = 0
    for files in exports_during(place, tmp_path / "first"):
        days = days_of(files, place.files)
        own = [name for name in files if "-day" not in name]  # without GitHub's reports of days
        # Besides the days' files, there are three of the window: the notes say that no run has
        # checked the days yet.
        assert len(own) == (2 * len(days) + 3 + (len(days) == DAYS) if days else 0)
        partial += 0 < len(days) < DAYS
    assert partial
    place.home.settings["SETTLE_DAYS"] = "90"  # revisions of unsettled days are accepted
    for day in WINDOW.days():
        place.simulator.revise(day)
    exported = exports_during(place, tmp_path / "second")
    revised, mixed = place.fresh(), 0
    for files in exported:
        old, new = days_of(files, place.files), days_of(files, revised)
        assert len(old | new) == DAYS
        mixed += bool(old - new) and bool(new - old)
    assert mixed


@pytest.mark.parametrize("room", [0, 80, 300])
@pytest.mark.slow
def test_forget_on_full_disk_reports_leftover_copies(store: Place, disk: Path, room: int) -> None:
    """With little room nothing is removed. With more, the rows are removed, but copies of them may
    be left; the same command removes these once there is enough room.
    """
    user = store.days[WINDOW.end][1].users[0].user
    with filled(disk, room):
        result = store.home.run("forget", user)
        assert result.code == (0 if room == 300 else 1), result.err
        assert "Traceback" not in result.err
        stored = stored_days(store.url)
        if room < 80:
            assert stored == store.days
        else:
            assert user not in {each.user for _, day in stored.values() for each in day.users}
    assert ("copies of them may be left" in result.err) == (room == 80)
    if room < 300:
        again = store.home.run("forget", user)
        assert again.code == 0, again.err  # also without rows, since files still show the person
    assert not any(user.encode() in path.read_bytes() for path in all_files(disk))
