"""Nights after the first: only new data is read and written, and every file is right."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from conftest import Home
from dashboard_scraper import leftovers
from dashboard_scraper.cli.exporting import export_files, export_parquet
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.publication import Publication, WrittenFile, write_whole
from dashboard_scraper.sources.registry import COPILOT, CURSOR, DASHBOARD
from dashboard_scraper.store import store_at
from made_up_days import FETCHED, LAST, figures_of, store_days, users
from stored_days import settings_of, sql

WEEK = Window(LAST - timedelta(8), LAST)
NIGHT, NEXT = Window(LAST - timedelta(4), LAST - timedelta(1)), Window(LAST - timedelta(3), LAST)
BOTH = [day for day in NIGHT.days() if day in NEXT]
FIRST = BOTH[0]


@pytest.fixture
def stored(home: Home) -> Home:
    """A home with nine days of four people."""
    store_days(home, users(4), WEEK)
    return home


def folder_of(home: Home, window: Window) -> Path:
    return home.data / f"daily_exports_{window.start}_to_{window.end}"


def export(home: Home, window: Window, *options: str) -> Path:
    result = home.run("export", f"{window.start}", f"{window.end}", *options)
    assert result.code == 0, result.err
    return Path(result.out.splitlines()[0])


def csv_of(folder: Path, day: date) -> Path:
    return folder / f"augment_metrics_{day}.csv"


def json_of(folder: Path, day: date) -> Path:
    return folder / f"copilot_metrics_{day}.json"


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def as_if_first(home: Home, window: Window) -> dict[str, bytes]:
    """The files of an export that finds no earlier one."""
    apart = home.data.parent / "apart"
    before, home.settings["EXPORT_DIR"] = home.settings.get("EXPORT_DIR"), str(apart)
    try:
        assert home.run("export", f"{window.start}", f"{window.end}").code == 0
        return contents(apart / folder_of(home, window).name)
    finally:
        shutil.rmtree(apart)
        home.settings.pop("EXPORT_DIR")
        if before:
            home.settings["EXPORT_DIR"] = before


def put(home: Home, day: date, people: list[UserUsage], hours: int = 1) -> None:
    store = store_at(home.settings["STORE_URL"])
    with store.locked(), store.opened():
        store.put(DASHBOARD, DayUsage(day, people, {}), FETCHED + timedelta(hours=hours))


@pytest.mark.slow
def test_next_night_reads_and_writes_what_is_new(stored: Home, reads: Counter[str]) -> None:
    """CSV files and GitHub's reports on users are links to the earlier ones; the JSON has the same
    records with another window.
    """
    before = export(stored, NIGHT)
    reads.clear()
    after = export(stored, NEXT)
    assert reads == {f"{LAST}": 1}
    for day in BOTH:
        assert csv_of(after, day).samefile(csv_of(before, day))
        assert not json_of(after, day).samefile(json_of(before, day))
    assert contents(after) == as_if_first(stored, NEXT)


@pytest.mark.slow
def test_revised_day_alone_is_read_again(home: Home, reads: Counter[str]) -> None:
    """In a second export of 28 days, only the revised day is read, and the last for its lines."""
    month = Window(LAST - timedelta(27), LAST)
    store_days(home, users(3), month)
    folder = export(home, month)
    inodes = {path: path.stat().st_ino for path in folder.rglob("*") if path.is_file()}
    revised = LAST - timedelta(9)
    put(home, revised, [UserUsage("new@example.com", figures_of({"chat_messages": 3}))])
    reads.clear()
    export(home, month)
    assert reads == {f"{revised}": 1, f"{LAST}": 1}
    rewritten = {path.name for path, inode in inodes.items() if path.stat().st_ino != inode}
    whole = {path.name for path in inodes if not path.name.startswith(("augment", "copilot"))}
    of_day = {csv_of(folder, revised).name, json_of(folder, revised).name}
    assert rewritten == whole | of_day | {"copilot_metrics_aggregated.json"}
    assert contents(folder) == as_if_first(home, month)


def _damage_files(home: Home) -> None:
    """Every file of a day is changed, missing, or a pipe on which reading would wait for ever."""
    changed, lost, piped = (
        [file_of(folder_of(home, NIGHT), day) for file_of in (csv_of, json_of)] for day in BOTH
    )
    for path in changed:
        path.write_bytes(path.read_bytes().replace(b"1", b"2"))
    for path in (*lost, *piped):
        path.unlink()
    for path in piped:
        os.mkfifo(path)


def _revise(home: Home) -> None:
    put(home, FIRST, [UserUsage("zoe@example.com", figures_of({"chat_messages": 9}))])


def _respell(home: Home) -> None:
    """Every record has the newest spelling of the person's name in the window."""
    people = [UserUsage(name.title(), figures_of({"chat_messages": 1})) for name in users(4)]
    put(home, LAST, people)


def _forget(home: Home) -> None:
    assert home.run("forget", users(4)[0]).code == 0


def _add_pseudonyms(home: Home) -> None:
    key = home.path / "key"
    key.write_text("k" * 64)
    key.chmod(0o600)
    home.settings["PSEUDONYM_KEY_FILE"] = str(key)


def _change_enterprise(home: Home) -> None:
    home.settings["ENTERPRISE_ID"] = "4711"


def _damage_manifest(home: Home) -> None:
    manifest = folder_of(home, NIGHT) / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-20])


def _put_pipe_for_manifest(home: Home) -> None:
    (folder_of(home, NIGHT) / "manifest.json").unlink()
    os.mkfifo(folder_of(home, NIGHT) / "manifest.json")


def _widen_mode(home: Home) -> None:
    home.settings["OUTPUT_MODE"] = "640"


@pytest.mark.parametrize(
    "change",
    [
        _damage_files,
        _revise,
        _respell,
        _forget,
        _add_pseudonyms,
        _change_enterprise,
        _damage_manifest,
        _put_pipe_for_manifest,
        _widen_mode,
    ],
)
@pytest.mark.slow
def test_what_changed_is_written_again(stored: Home, change: Callable[[Home], None]) -> None:
    """Whatever changed since an earlier export, the next one is as if there were no earlier one."""
    export(stored, NIGHT)
    change(stored)
    after = export(stored, NEXT)
    assert contents(after) == as_if_first(stored, NEXT)
    mode = int(stored.settings.get("OUTPUT_MODE", "600"), 8)
    assert {path.stat().st_mode & 0o777 for path in after.glob("*.*")} == {mode}


@pytest.mark.parametrize("options", [(), ("--as-of", f"{FETCHED.date()}")], ids=["now", "as of"])
@pytest.mark.slow
def test_mention_of_forgotten_person_leaves_files(stored: Home, options: tuple[str, ...]) -> None:
    """Also in a field of another user, on a day on which the person has no row."""
    boss = users(4)[1]
    report = UserUsage(users(4)[0], figures_of({"chat_messages": 1}), {"manager": boss})
    put(stored, FIRST, [report])
    before = csv_of(export(stored, NIGHT, *options), FIRST)
    assert boss in before.read_text()
    assert stored.run("forget", boss).code == 0
    after = csv_of(export(stored, NIGHT if options else NEXT, *options), FIRST)
    assert boss not in after.read_text()


@pytest.mark.parametrize(("source", "name"), [(COPILOT, "Octo"), (CURSOR, "71")])
def test_name_matched_to_an_address_is_written_again(home: Home, source: str, name: str) -> None:
    """With pseudonyms, only the address that the name now has shows that it is another person."""
    store_days(home, [name, "ben@example.com"], NIGHT, source=source)
    _add_pseudonyms(home)
    home.settings |= {"METRICS_SOURCE": source, "IDENTITY_FILE": "people.csv"}

    def files(folder: str) -> dict[str, bytes]:
        export_files(settings_of(home), NIGHT, home.path / folder)
        export_parquet(settings_of(home), NIGHT, f"{home.path / folder / 'parquet'}")
        return contents(home.path / folder)

    for row in ("zoe@example.com,zoe,1,2", "ada@example.com,octo,7,71"):
        (home.path / "people.csv").write_text(f"email,login,id,cursor_id\n{row}\n")
        written = files("again")
    assert written == files("anew")


@pytest.mark.slow
def test_week_of_nights_stores_a_csv_once(stored: Home) -> None:
    """Each night writes one day; the files of the others are links to earlier ones."""
    windows = [Window(day - timedelta(3), day) for day in WEEK.days()][3:]
    folders = [export(stored, window) for window in windows]
    inodes = {path.stat().st_ino for folder in folders for path in folder.glob("augment_*.csv")}
    assert len(inodes) == len(list(WEEK.days()))
    (manifest,) = [json.loads((folders[-1] / "manifest.json").read_bytes())]
    listed = [file for day in manifest["days"] for file in day["files"]]
    assert len({file["made_from"] for file in listed}) == len(listed) == 8


@pytest.mark.slow
def test_damaged_rows_of_unchanged_days_are_an_error(home: Home) -> None:
    """The day's own files are right and not written again, but the window's sums would be wrong."""
    store_days(home, users(3), NIGHT)
    export(home, NIGHT)
    damage = f"UPDATE user_day SET chat_messages = 7777 WHERE day = '{FIRST}'"
    sql(home.settings["STORE_URL"], damage)
    result = home.run("export", f"{NIGHT.start}", f"{NIGHT.end}")
    assert (result.code, "do not match the ledger" in result.err) == (1, True)


def take(target: Path, source: Path, listed: WrittenFile, mode: int = 0o600) -> bool:
    with Publication(mode) as publication:
        taken = publication.take(target, source, listed)
        publication.publish()
    return taken


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, WrittenFile]:
    """A published file."""
    with Publication() as publication:
        listed = publication.add(tmp_path / "a.csv", b"figures")
        publication.publish()
    return tmp_path / "a.csv", listed


def test_file_of_another_mode_is_copied(tmp_path: Path, written: tuple[Path, WrittenFile]) -> None:
    """A link would have the mode of the earlier file, or change it there."""
    source, listed = written
    assert take(tmp_path / "b.csv", source, listed, 0o640)
    assert (tmp_path / "b.csv").read_bytes() == b"figures"
    assert not (tmp_path / "b.csv").samefile(source)
    modes = [path.stat().st_mode & 0o777 for path in (source, tmp_path / "b.csv")]
    assert modes == [0o600, 0o640]


def test_file_is_copied_where_links_are_refused(
    tmp_path: Path, written: tuple[Path, WrittenFile]
) -> None:
    """Such as between two file systems."""
    source, listed = written
    device = tmp_path.stat().st_dev
    places = (Path(place) for place in ("/dev/shm", "/tmp", "/var/tmp"))
    other = next(place for place in places if place.is_dir() and place.stat().st_dev != device)
    elsewhere = Path(tempfile.mkdtemp(dir=other))
    try:
        assert take(elsewhere / "b.csv", source, listed)
        assert contents(elsewhere) == {"b.csv": b"figures"}
    finally:
        shutil.rmtree(elsewhere)


def test_file_in_its_place_stays(tmp_path: Path, written: tuple[Path, WrittenFile]) -> None:
    """Renaming a link over another link to the same file would leave both names."""
    source, listed = written
    os.link(source, tmp_path / "b.csv")
    assert take(tmp_path / "b.csv", source, listed)
    assert take(source, source, listed)
    assert sorted(contents(tmp_path)) == ["a.csv", "b.csv"]


def test_file_in_its_place_is_that_of_the_newest_set(
    tmp_path: Path, written: tuple[Path, WrittenFile]
) -> None:
    """If another program has replaced it meanwhile, the manifest would list the wrong content."""
    source, listed = written
    with Publication() as publication:
        assert publication.take(source, source, listed)
        write_whole(source, b"figures of others")
        publication.publish()
    assert contents(tmp_path) == {"a.csv": b"figures"}


def test_files_of_two_folders_do_not_mix(tmp_path: Path) -> None:
    """While the files of one folder are renamed, that of the last file is locked, too."""
    below, free = tmp_path / "below", list[str]()
    below.mkdir()

    def look() -> bool:
        descriptor = os.open(tmp_path, os.O_RDONLY)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free.append(f"{tmp_path}")
        os.close(descriptor)
        return True

    with Publication() as publication:
        for path in (tmp_path / "a", below / "b", tmp_path / "manifest"):
            publication.add(path, b"figures")
        publication.publish(look)
    assert sorted(contents(tmp_path)) == ["a", "below/b", "manifest"]
    assert free == []


def test_file_in_its_place_gets_the_mode(tmp_path: Path, written: tuple[Path, WrittenFile]) -> None:
    """Others could read it otherwise; another link to the same file keeps its mode."""
    source, listed = written
    os.link(source, tmp_path / "b.csv")
    source.chmod(0o644)
    assert take(source, source, listed)
    assert contents(tmp_path) == {"a.csv": b"figures", "b.csv": b"figures"}
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("a.csv", "b.csv")]
    assert modes == [0o600, 0o644]


@pytest.mark.parametrize("what", ["changed", "missing", "symbolic link"])
def test_unlike_file_is_not_taken(
    tmp_path: Path, written: tuple[Path, WrittenFile], what: str
) -> None:
    source, listed = written
    if what == "changed":
        source.write_bytes(b"Figures")
    else:
        source.rename(tmp_path / "moved")
    if what == "symbolic link":
        source.symlink_to(tmp_path / "moved")
    assert not take(tmp_path / "b.csv", source, listed)
    assert [path.name for path in tmp_path.glob("*b.csv*")] == []
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_cleanup_spares_new_links_to_old_files(
    tmp_path: Path, written: tuple[Path, WrittenFile]
) -> None:
    """A link has the age of its file, but the program that has just made it is still running."""
    source, listed = written
    os.utime(source, (0, 0))
    with Publication() as publication:
        assert publication.take(tmp_path / "b.csv", source, listed)
        leftovers.remove_leftovers([tmp_path])
        publication.publish()
    assert sorted(contents(tmp_path)) == ["a.csv", "b.csv"]
