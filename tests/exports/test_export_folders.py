"""`latest` names the newest complete export; RETENTION_EXPORTS limits how many stay."""

from __future__ import annotations

import json
import os
from datetime import date, timedelta
from pathlib import Path

import pytest

from conftest import Home, Start
from dashboard_scraper.cli.exporting import export_files
from dashboard_scraper.errors import DaysMissing, SignInRequired
from dashboard_scraper.exports.manifest import MANIFEST
from dashboard_scraper.model.dates import Window
from dashboard_scraper.simulator import Fault, Organization, Simulator, status
from stored_days import NOON, TODAY, USERS, fetch, march, settings_of

Log = pytest.LogCaptureFixture


@pytest.fixture
def spring(start: Start, home: Home) -> Simulator:
    """A simulator of two users whose today is the 10th of March, 2025."""
    home.settings["MAX_RETRIES"] = "0"
    home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
    return start(Organization(users=2, today=TODAY))


def name_of(first: date, last: date | None = None) -> str:
    return f"daily_exports_{first}_to_{last or first}"


def one_day(home: Home, *days: int) -> None:
    """Exports of single days, one after another."""
    for day in days:
        fetch(home, march(day), march(day))


def latest(home: Home) -> str | None:
    link = home.data / "latest"
    return str(link.readlink()) if link.is_symlink() else None


def make_older(home: Home, day: date) -> None:
    """Reduce the manifest to that of the first version, which wrote no GitHub reports."""
    path = home.data / name_of(day) / MANIFEST
    first = ("source", "start", "end", "days", "aggregated")
    manifest = json.loads(path.read_bytes())
    path.write_text(json.dumps({name: manifest[name] for name in first}))


def exports(home: Home) -> set[int]:
    """The days of March that have their own export."""
    days = {name_of(march(day)): day for day in range(1, 10)}
    return {days[path.name] for path in home.data.iterdir() if path.name in days}


def export(home: Home, first: date, last: date, folder: Path | None = None) -> None:
    export_files(settings_of(home), Window(first, last), folder)


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.usefixtures("spring")
@pytest.mark.slow
def test_latest_names_the_newest_window(home: Home) -> None:
    """Also if other windows are exported later."""
    one_day(home, 4)
    assert latest(home) == name_of(march(4))
    assert (home.data / "latest" / "manifest.json").is_file()
    one_day(home, 6)
    assert latest(home) == name_of(march(6))
    one_day(home, 5)
    export(home, march(4), march(5))
    export(home, march(6), march(6), home.path / "elsewhere")
    assert latest(home) == name_of(march(6))
    fetch(home, march(5), march(6))
    assert latest(home) == name_of(march(5), march(6)), "of the same end, the last one written"


@pytest.mark.usefixtures("csv_alone", "spring")
@pytest.mark.slow
def test_latest_skips_exports_of_a_clock_that_was_ahead(home: Home) -> None:
    """And retention does not keep such an export in place of the one that `latest` names."""
    home.settings["RETENTION_EXPORTS"] = "1"
    one_day(home, 8)
    now = NOON - timedelta(2)
    fetch(home, march(7), march(7), now)
    assert latest(home) == name_of(march(7))
    fetch(home, march(5), march(5), now)
    assert (latest(home), exports(home)) == (name_of(march(7)), {5, 7, 8})


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_latest_skips_exports_with_missing_days(home: Home, spring: Simulator) -> None:
    one_day(home, 5)
    spring.add_fault(Fault(status(500), USERS, march(7)))
    with pytest.raises(DaysMissing):
        fetch(home, march(6), march(7))
    assert latest(home) == name_of(march(5))
    spring.clear_faults()
    fetch(home, march(6), march(7))
    assert latest(home) == name_of(march(6), march(7))
    spring.add_fault(Fault(status(500), USERS, march(7)))
    with pytest.raises(DaysMissing):
        fetch(home, march(6), march(7))
    assert latest(home) == name_of(march(5)), "the export that it named is not complete any more"


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_latest_leaves_a_failed_export(home: Home, spring: Simulator) -> None:
    one_day(home, 5, 8)
    spring.expire()
    with pytest.raises(SignInRequired):
        one_day(home, 9)
    assert latest(home) == name_of(march(8)), "nothing of that window was touched"
    with pytest.raises(SignInRequired):
        one_day(home, 8)
    assert latest(home) == name_of(march(5))


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.usefixtures("spring")
@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_foreign_latest_is_left_alone(home: Home, kind: str, caplog: Log) -> None:
    place = home.data / "latest"
    place.parent.mkdir()
    if kind == "folder":
        (place / "mine").mkdir(parents=True)
    elif kind == "file":
        place.write_text("mine")
    else:
        place.symlink_to("mine")
    one_day(home, 5)
    assert (place / "mine").is_dir() or latest(home) == "mine" or place.read_text() == "mine"
    assert "latest was not created by this program" in caplog.text


@pytest.mark.usefixtures("csv_alone", "spring")
@pytest.mark.slow
def test_latest_is_a_file_without_links(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError

    with monkeypatch.context() as without_links:
        without_links.setattr(os, "symlink", refused)
        one_day(home, 4, 6, 5)
    assert latest(home) is None
    assert (home.data / "latest.txt").read_text() == f"{name_of(march(6))}\n"
    one_day(home, 7)
    assert latest(home) == name_of(march(7))
    assert not (home.data / "latest.txt").exists()


@pytest.mark.usefixtures("spring")
@pytest.mark.slow
def test_retention_removes_older_exports(home: Home) -> None:
    one_day(home, 4, 5, 6)
    assert exports(home) == {4, 5, 6}, "without the setting, all"
    home.settings["RETENTION_EXPORTS"] = "2"
    export(home, march(4), march(4))
    assert exports(home) == {4, 5, 6}, "only runs that fetch remove"
    make_older(home, march(5))
    one_day(home, 7)
    assert (exports(home), latest(home)) == ({6, 7}, name_of(march(7)))
    one_day(home, 3)
    assert exports(home) == {3, 6, 7}, "not what was just written"
    one_day(home, 8)
    assert exports(home) == {7, 8}
    assert {path.name for path in home.data.iterdir()} == {
        "latest",
        "usage.db",
        "usage.db.lock",
        name_of(march(7)),
        name_of(march(8)),
    }


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_retention_spares_the_newest_complete_export(home: Home, spring: Simulator) -> None:
    one_day(home, 3, 4)
    spring.add_fault(Fault(status(500), USERS, march(6)))
    for first in (4, 5):
        with pytest.raises(DaysMissing):
            fetch(home, march(first), march(6))
    home.settings["RETENTION_EXPORTS"] = "1"
    one_day(home, 2)
    assert exports(home) == {2, 4}
    assert latest(home) == name_of(march(4))


@pytest.mark.usefixtures("spring")
@pytest.mark.slow
def test_retention_leaves_foreign_files(home: Home, caplog: Log) -> None:
    one_day(home, 2, 3, 4, 5, 6)
    elsewhere = home.path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("mine")
    folders = {day: home.data / name_of(march(day)) for day in range(2, 7)}
    (folders[2] / "notes.txt").write_text("mine")
    (folders[3] / "augment_metrics_2025-03-03.csv").unlink()
    (folders[3] / "augment_metrics_2025-03-03.csv").symlink_to(elsewhere / "precious")
    for path in (folders[4] / "github_reports").iterdir():
        path.rename(elsewhere / path.name)
    (folders[4] / "github_reports").rmdir()
    (folders[4] / "github_reports").symlink_to(elsewhere)
    (folders[5] / "manifest.json").unlink()
    (home.data / name_of(march(1))).symlink_to(elsewhere)
    before = sorted(elsewhere.iterdir())
    home.settings["RETENTION_EXPORTS"] = "1"
    caplog.clear()
    one_day(home, 7)
    assert exports(home) == {1, 2, 3, 4, 5, 7}
    assert sorted(elsewhere.iterdir()) == before
    (warning,) = [each for each in caplog.messages if "other files" in each]
    assert all(folders[day].name in warning for day in (2, 3, 4))


@pytest.mark.usefixtures("csv_alone", "spring")
@pytest.mark.slow
def test_retention_finishes_what_a_killed_run_began(home: Home) -> None:
    one_day(home, 3)
    begun = home.data / f".{name_of(march(3))}.removed"
    (home.data / name_of(march(3))).rename(begun)
    (begun / "manifest.json").unlink()
    mine = home.data / f".{name_of(march(2))}.removed"
    mine.mkdir()
    (mine / "mine").write_text("mine")
    home.settings["RETENTION_EXPORTS"] = "1"
    one_day(home, 5)
    assert not begun.exists()
    assert (mine / "mine").read_text() == "mine"
