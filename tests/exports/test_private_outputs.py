"""Who may read what the program writes: only its owner, unless OUTPUT_MODE allows others."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Home, Start
from dashboard_scraper.cli.conversion import convert
from dashboard_scraper.cli.exporting import export_files, export_parquet
from dashboard_scraper.cli.fetching import fetch_period
from dashboard_scraper.cli.reporting import write_report
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.dates import Window
from dashboard_scraper.settings.config import load_settings
from dashboard_scraper.simulator import Organization, Simulator
from dashboard_scraper.store import store_of
from stored_days import NOON, TODAY, backfill, fetch, march, settings_of

WINDOW = Window(march(5), march(5))


@pytest.fixture
def spring(start: Start, home: Home) -> Simulator:
    """A simulator of two users whose today is the 10th of March, 2025."""
    home.settings["STORE_URL"] = f"sqlite:///{home.data / 'store' / 'usage.db'}"
    return start(Organization(users=2, today=TODAY))


@pytest.fixture
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run under a umask; the original one is restored."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def modes(folder: Path) -> dict[bool, set[int]]:
    """The modes of files (False) and folders (True); links are left out."""
    found: dict[bool, set[int]] = {False: set(), True: {mode(folder)}}
    for path in folder.rglob("*"):
        if not path.is_symlink():
            found[path.is_dir()].add(mode(path))
    return found


@pytest.mark.usefixtures("spring", "umask")
@pytest.mark.parametrize(
    ("umask", "text", "of_files", "of_folders"),
    [(0, "", 0o600, 0o700), (0, "640", 0o640, 0o750), (0o077, "640", 0o640, 0o750)],
    indirect=["umask"],
)
@pytest.mark.slow
def test_outputs_have_the_mode_despite_the_umask(
    home: Home, text: str, of_files: int, of_folders: int
) -> None:
    if text:
        home.settings["OUTPUT_MODE"] = text
    settings = settings_of(home)
    fetch(home, march(5), march(5))
    fetch_period(settings, NOON, WINDOW, None)
    fetch_period(settings, NOON, WINDOW, home.data / "mine" / "figures.csv")
    convert(
        settings,
        home.data / "mine" / "figures.csv",
        (march(5), None, None),
        home.data / "converted" / "figures.json",
    )
    export_parquet(settings, WINDOW, None)
    export_files(settings, WINDOW, home.data / "exported")
    write_report(settings, WINDOW, NOON)
    store = store_of(settings)
    with store.locked(), store.opened():
        store.put_note("name", "value")
        names = {path.name for path in (home.data / "store").iterdir()}
        assert names >= {f"usage.db{end}" for end in ("", "-wal", "-shm", ".lock", ".holder")}
        assert modes(home.data) == {False: {of_files}, True: {of_folders}}
    assert modes(home.cookie_file.parent) == {False: {0o600}, True: {0o700}}


@pytest.mark.usefixtures("spring")
def test_replaced_files_get_the_mode(
    home: Home,
) -> None:
    """Folders that exist already keep theirs."""
    home.data.mkdir()
    target = home.data / "metrics_20250305.csv"
    target.write_text("old")
    target.chmod(0o666)
    home.data.chmod(0o2755)
    fetch_period(settings_of(home), NOON, WINDOW, None)
    assert (mode(target), mode(home.data)) == (0o600, 0o2755)


@pytest.mark.usefixtures("spring")
@pytest.mark.slow
def test_next_run_narrows_the_stores_mode(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    """A run never widens it."""
    backfill(home, march(5), march(5))
    store = home.data / "store" / "usage.db"
    store.chmod(0o644)
    backfill(home, march(6), march(6))
    assert mode(store) == 0o600
    assert "could be read by others; its mode is 600 now" in caplog.text
    caplog.clear()
    home.settings["OUTPUT_MODE"] = "640"
    backfill(home, march(7), march(7))
    assert mode(store) == 0o600
    assert "its mode" not in caplog.text
    store.chmod(0o604)
    backfill(home, march(8), march(8))
    assert mode(store) == 0o600, "nothing is given that was not there"


@pytest.mark.parametrize("text", ["0600", "0o600", " 600 "])
def test_output_mode_accepts_octal_prefixes(tmp_path: Path, text: str) -> None:
    assert load_settings(tmp_path, output_mode=text).file_mode == 0o600


@pytest.mark.parametrize("text", ["400", "700", "606", "666", "620", "1600", "rw-------", "-600"])
def test_output_mode_rejects_impossible_modes(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="OUTPUT_MODE"):
        load_settings(tmp_path, output_mode=text)
