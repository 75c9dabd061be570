"""Temporary files of killed programs are removed at once; those of running programs stay."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from conftest import Home, Start
from dashboard_scraper.cli.conversion import convert
from dashboard_scraper.cli.exporting import export_files, export_parquet
from dashboard_scraper.cli.fetching import fetch_period
from dashboard_scraper.cli.reporting import write_report
from dashboard_scraper.leftovers import remove_leftovers
from dashboard_scraper.model.dates import Window
from dashboard_scraper.publication import Publication, write_whole
from dashboard_scraper.simulator import Organization, Simulator
from saved_cookies import save_cookies
from stored_days import NOON, TODAY, fetch, march, settings_of

_KILLED = """
import os, sys
from pathlib import Path
from dashboard_scraper.publication import Publication
for folder in map(Path, sys.argv[1:]):
    folder.mkdir(parents=True, exist_ok=True)
    publication = Publication()
    publication.add(folder / "first", b"figures")
    publication.add(folder / "second", b"figures")
    globals()[folder] = publication
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def spring(start: Start, home: Home) -> Simulator:
    """A simulator of two users whose today is the 10th of March, 2025."""
    home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
    return start(Organization(users=2, today=TODAY))


def kill_a_program_that_writes_in(folders: Iterable[Path]) -> None:
    command = [sys.executable, "-c", _KILLED, *map(str, folders)]
    assert subprocess.run(command, timeout=300, check=False).returncode == -9


def temporary(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.suffix in (".tmp", ".lock", ".new")]


def test_only_leftovers_of_killed_programs_are_removed(tmp_path: Path) -> None:
    kill_a_program_that_writes_in([tmp_path])
    assert len(temporary(tmp_path)) == 3
    with Publication() as living:
        living.add(tmp_path / "third", b"figures")
        remove_leftovers([tmp_path])
        assert len(temporary(tmp_path)) == 2
        living.publish()
    assert [path.name for path in tmp_path.iterdir()] == ["third"]


def test_publication_leaves_no_descriptor_open(tmp_path: Path) -> None:
    """An open descriptor of a folder or temporary file would hold a lock until the end."""
    for data in (b"first", b"second"):
        write_whole(tmp_path / "file", data)
        assert not [path for path in open_paths() if path.is_relative_to(tmp_path)]


def open_paths() -> Iterator[Path]:
    """The paths that this process has open; other threads may open and close files at any time."""
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield descriptor.readlink()


def test_living_programs_files_stay_in_other_folders(tmp_path: Path) -> None:
    """As with days in Parquet: one program writes to a folder for each file."""
    days = [tmp_path / name for name in ("day=1", "day=2")]
    with Publication() as living:
        for day in days:
            day.mkdir()
            living.add(day / "file", b"figures")
        remove_leftovers([*days, tmp_path])
        remove_leftovers([days[1]])
        living.publish()
    assert [(day / "file").read_bytes() for day in days] == [b"figures"] * 2
    assert temporary(tmp_path) == []


def test_program_replaces_a_lock_that_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program may clean up after the file was made and before it is locked."""
    import fcntl  # noqa: PLC0415 - as the program does, of which Windows has none

    original = fcntl.flock
    looked: list[bool] = []

    def flock(descriptor: int, how: int) -> None:
        if how == fcntl.LOCK_EX and not looked:
            looked.append(True)
            remove_leftovers([tmp_path])
        original(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with Publication() as publication:
        publication.add(tmp_path / "file", b"figures")
        assert len([*tmp_path.glob(".*.lock")]) == 1
        remove_leftovers([tmp_path])
        publication.publish()
    assert looked
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.usefixtures("spring")
@pytest.mark.parametrize("form", ["daily", "period"])
@pytest.mark.slow
def test_run_removes_leftovers_in_every_folder(home: Home, form: str) -> None:
    other = home.data / "daily_exports_2025-03-01_to_2025-03-02"
    folders = [
        home.data,
        home.data / f"daily_exports_{march(5)}_to_{march(5)}",
        other,
        other / "github_reports",
        home.data / "parquet" / "day=2025-03-01",
    ]
    fetch(home, march(4), march(4))
    kill_a_program_that_writes_in(folders)
    for end in ("", "-journal"):
        (home.data / f".usage.db.new{end}").write_text("begun")
    assert len(temporary(home.data)) == 3 * len(folders) + 1
    if form == "daily":
        fetch(home, march(5), march(5))
    else:
        fetch_period(settings_of(home), NOON, Window(march(5), march(5)), None)
    assert temporary(home.data) == []
    assert not (home.data / ".usage.db.new-journal").exists()


@pytest.mark.usefixtures("spring")
@pytest.mark.slow
def test_commands_without_lock_clean_their_folder(home: Home) -> None:
    fetch(home, march(5), march(5))
    window, settings = Window(march(5), march(5)), settings_of(home)
    (csv,) = home.data.glob("daily_*/*.csv")
    export, parquet, conversion, period = (home.path / name for name in "abcd")
    commands: list[tuple[list[Path], Callable[[], object]]] = [
        (
            [export, export / "github_reports"],
            lambda: export_files(settings, window, export),
        ),
        (
            [parquet / f"day={march(5)}"],
            lambda: export_parquet(settings, window, str(parquet)),
        ),
        ([home.data], lambda: write_report(settings, window, NOON)),
        (
            [conversion],
            lambda: convert(settings, csv, (march(5), None, None), conversion / "figures.json"),
        ),
        ([period], lambda: fetch_period(settings, NOON, window, period / "figures.csv")),
        (
            [home.cookie_file.parent],
            lambda: save_cookies(home.cookie_file, {"_session": "x"}, "http://127.0.0.1:1"),
        ),
    ]
    kill_a_program_that_writes_in(folder for folders, _ in commands for folder in folders)
    for folders, command in commands:
        # Names of folders inside are found too.
        assert all(temporary(folder) for folder in folders), "another command cleaned it"
        command()
        assert [left for folder in folders for left in temporary(folder)] == []


def test_leftovers_behind_link_are_removed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    kill_a_program_that_writes_in([elsewhere])
    (tmp_path / "link").symlink_to(elsewhere / "real")
    write_whole(tmp_path / "link", b"figures")
    assert [path.name for path in elsewhere.iterdir()] == ["real"]
