"""`forget` lists files below EXPORT_DIR that show a person; `--files` removes the person there."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import re
import shutil
import sys
import unicodedata
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from signal import SIGKILL
from urllib.parse import quote

import markupsafe
import pyarrow.parquet
import pytest

from conftest import Home, all_files
from crash_child import Forks, Trap, files_in
from dashboard_scraper.cli.exporting import export_files, export_parquet
from dashboard_scraper.cli.reporting import write_report
from dashboard_scraper.csv_text import guard, render
from dashboard_scraper.errors import OutputFailed, UsageError
from dashboard_scraper.exports.csv_tables import users_csv
from dashboard_scraper.model.dates import Window
from filled_store import LAST, SOURCE, put, user
from stored_days import forget, settings_of, sql

NEW, OLD = "zo\u00eb@example.com", "Zo\u00eb@Old.Example.com"
SPELT = (NEW, unicodedata.normalize("NFD", NEW), OLD)
OTHERS = ("azo\u00eb@example.com", "zo\u00eb@example.company", "bob@example.com")
WINDOW = Window(LAST - timedelta(2), LAST)
LONG_AGO = LAST - timedelta(100)
NOW = datetime(2026, 11, 5, tzinfo=UTC)
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def every_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a store, and beside it every kind of file that can show a person."""
    home = Home(tmp_path_factory.mktemp("every_file"))
    make_every_file(home)
    return home.path


def fill(home: Home, every_file: Path) -> None:
    """Copy these files into a home."""
    shutil.copytree(every_file, home.path, dirs_exist_ok=True)
    set_up(home)


def set_up(home: Home) -> None:
    home.settings |= {"STORE_URL": f"sqlite:///{home.data / 'usage.db'}", "METRICS_SOURCE": SOURCE}
    home.settings["IDENTITY_FILE"] = "people.csv"


def make_every_file(home: Home) -> None:
    set_up(home)
    (home.path / "people.csv").write_text(
        f"email,login,id,team\n{OLD},zoe-b,11,core\n{NEW},zoe-b,11,\n", encoding="utf-8"
    )
    for day, name in zip(WINDOW.days(), SPELT, strict=True):
        put(home.settings["STORE_URL"], {day: [user(n, chat_messages=1) for n in (name, *OTHERS)]})
    put(home.settings["STORE_URL"], {LONG_AGO: [user(OLD, chat_messages=1)]})
    settings_read = settings_of(home)
    export_files(settings_read, WINDOW, None)
    export_files(settings_read, Window(LONG_AGO, LONG_AGO), None)
    export_parquet(settings_read, WINDOW, None)
    (home.data / "old").mkdir()
    (stale,) = home.data.glob(f"daily_exports_*/augment_metrics_{LAST}.csv")
    shutil.copy(stale, home.data / "old" / f"{stale.name}.stale")
    # This day is no longer stored, so its export cannot be written again.
    for table in ("user_day", "day_ledger"):
        sql(home.settings["STORE_URL"], f"DELETE FROM {table} WHERE day = '{LONG_AGO}'")


def shown(home: Home, *marks: str) -> set[str]:
    """The files besides the store that contain the person's name, as bytes or in Parquet."""
    found = set()
    for path in all_files(home.data):
        data = path.read_bytes()
        if path.suffix == ".parquet":
            table = pyarrow.parquet.read_table(pyarrow.BufferReader(data))
            data = f"{table.to_pylist()}".encode()
        text = unicodedata.normalize("NFC", data.decode(errors="replace")).lower()
        if "usage.db" not in path.name and re.search(
            "|".join([rf"(?<!a){NEW}(?!pany)", "zo\u00eb@old", "zoe-b", *marks]), text
        ):
            found.add(str(path.relative_to(home.data)))
    return found


@pytest.mark.parametrize("named", SPELT[1:], ids=["decomposed", "alias"])
@pytest.mark.slow
def test_files_with_the_person_are_listed(
    home: Home, every_file: Path, capsys: Capture, named: str
) -> None:
    fill(home, every_file)
    before = shown(home)
    assert len(before) > 2 * 6 + 3
    capsys.readouterr()
    forget(home, named)
    first, *listed = capsys.readouterr().out.splitlines()
    assert first == "3 rows removed"
    assert {line.removeprefix(f"still shown in {home.data}/") for line in listed} == before
    assert shown(home) == before
    with (  # without a buffer, as in the image
        Path("/dev/full").open("wb", buffering=0) as full,
        io.TextIOWrapper(full, write_through=True) as unbuffered,
        contextlib.redirect_stdout(unbuffered),
        pytest.raises(OutputFailed, match="standard output could not be written"),
    ):
        forget(home, named)


@pytest.mark.slow
def test_forget_rewrites_only_files_with_the_person(
    home: Home, every_file: Path, capsys: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    fill(home, every_file)
    before, others = shown(home), [user(name, chat_messages=1) for name in OTHERS]
    period = home.data / "metrics_20261031.csv"
    period.write_bytes(users_csv([user(NEW), *others], SOURCE))
    harmless = home.data / "metrics_20261030.csv"
    harmless.write_bytes(users_csv(others, SOURCE))
    write_report(settings_of(home), WINDOW, NOW)
    capsys.readouterr()
    with caplog.at_level(logging.INFO):
        forget(home, NEW, files=True)
    reported = dict(line.split(" ", 1)[::-1] for line in capsys.readouterr().out.splitlines()[1:])
    assert shown(home) == set()
    folder = home.data / f"daily_exports_{WINDOW.start}_to_{WINDOW.end}"
    lost = home.data / f"daily_exports_{LONG_AGO}_to_{LONG_AGO}"
    assert {reported[f"{home.data / name}"] for name in before if name.startswith("old/")} == {
        "removed"
    }
    assert {reported[f"{path}"] for path in (period, home.data / "report.html")} == {"removed"}
    assert reported[f"{folder / f'augment_metrics_{LAST}.csv'}"] == "rewritten"
    assert reported[f"{lost / f'augment_metrics_{LONG_AGO}.csv'}"] == "removed"
    assert reported[f"{lost / 'manifest.json'}"] == "removed"
    assert reported[f"{home.data / 'parquet' / f'day={LAST}' / 'user_days.parquet'}"] == "rewritten"
    assert harmless.read_bytes() == users_csv(others, SOURCE)
    rows = pyarrow.parquet.read_table(home.data / "parquet").to_pylist()
    assert {row["user_login"] for row in rows} == set(OTHERS)
    logged = [r.getMessage() for r in caplog.records if "forget" in r.name]
    assert len(logged) > 1
    assert not [message for message in logged if "zo\u00eb" in message.lower()]
    vouched = json.loads((folder / "manifest.json").read_bytes())
    for entry in [*(f for day in vouched["days"] for f in day["files"]), vouched["report"]]:
        assert hashlib.sha256((folder / entry["name"]).read_bytes()).hexdigest() == entry["sha256"]
    export_files(settings_of(home), WINDOW, home.path / "fresh")
    assert {path.name: path.read_bytes() for path in all_files(home.path / "fresh")} == {
        path.name: path.read_bytes() for path in all_files(folder) if path.suffix != ".stale"
    }


@pytest.mark.slow
def test_files_are_found_without_rows_in_the_store(
    home: Home, every_file: Path, capsys: Capture
) -> None:
    fill(home, every_file)
    forget(home, NEW)
    capsys.readouterr()
    forget(home, OLD, files=True)
    assert capsys.readouterr().out.startswith("0 rows removed\n")
    assert shown(home) == set()
    with pytest.raises(UsageError, match="has no day of"):
        forget(home, OLD, files=True)


@pytest.mark.slow
def test_run_after_a_killed_one_rewrites_the_rest_of_the_export(home: Home, forks: Forks) -> None:
    """If only files with the person's name were removed, sums would still include the person."""
    home.settings |= {"STORE_URL": f"sqlite:///{home.data / 'usage.db'}", "METRICS_SOURCE": SOURCE}
    users = [user(name, chat_messages=1) for name in (NEW, *OTHERS)]
    put(home.settings["STORE_URL"], dict.fromkeys(WINDOW.days(), users))
    export_files(settings_of(home), WINDOW, None)
    words = ("forget", NEW, "--files")
    killed = forks.run(home, *words, trap=Trap("os.rename", 2, ".tmp"))
    assert killed.code == -SIGKILL, killed.err
    assert home.run(*words).code == 0
    export_files(settings_of(home), WINDOW, home.path / "fresh")
    assert files_in(home.data / f"daily_exports_{WINDOW.start}_to_{WINDOW.end}").items() >= (
        files_in(home.path / "fresh").items()
    )


@pytest.mark.slow
def test_no_manifest_lists_removed_files_after_a_killed_run(home: Home, forks: Forks) -> None:
    """Nothing names the person any more, so that the next run would not find the folder."""
    home.settings |= {"STORE_URL": f"sqlite:///{home.data / 'usage.db'}", "METRICS_SOURCE": SOURCE}
    put(home.settings["STORE_URL"], {LONG_AGO: [user(NEW, chat_messages=1)]})
    export_files(settings_of(home), Window(LONG_AGO, LONG_AGO), None)
    for table in ("user_day", "day_ledger"):  # so that the export cannot be written again
        sql(home.settings["STORE_URL"], f"DELETE FROM {table} WHERE day = '{LONG_AGO}'")
    lost = home.data / f"daily_exports_{LONG_AGO}_to_{LONG_AGO}"
    (lost / "report.html").unlink()
    words = ("forget", NEW, "--files")
    killed = forks.run(home, *words, trap=Trap("os.remove", 1, f"{lost / 'manifest.json'}"))
    assert killed.code == -SIGKILL, killed.err
    home.run(*words)
    assert not (lost / "manifest.json").exists()
    assert shown(home) == set()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every file name is Unicode")
@pytest.mark.slow
def test_files_are_rewritten_in_a_folder_whose_name_is_not_utf_8(
    home: Home, every_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)  # pytest's workers cannot send a log with such a name
    home.path = home.path / os.fsdecode(b"Gr\xf6\xdfe")
    home.path.mkdir()
    fill(home, every_file)
    before = {path.relative_to(home.data) for path in home.data.glob("parquet/*/*.parquet")}
    assert {f"{path}" for path in before} <= shown(home)
    forget(home, NEW, files=True)
    assert shown(home) == set()
    assert {path.relative_to(home.data) for path in home.data.glob("parquet/*/*.parquet")} == before


@pytest.mark.slow
def test_foreign_files_are_left_and_reported(
    home: Home, every_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(home, every_file)
    notes = home.data / "notes.txt"
    notes.write_text(f"ask {NEW.upper()}.\n", encoding="utf-8")
    author = json.dumps({"author": OLD}, ensure_ascii=False)
    (home.data / "package.json").write_text(author, encoding="utf-8")
    escaped = home.data / "manifest.json"  # with escaped characters
    escaped.write_text(json.dumps({"author": OLD, "start": "a"}))
    (home.data / "report.html").write_text(f"<p>{OLD}", encoding="utf-8")
    (home.data / "links.txt").write_text(f"https://example.com/?q={quote(NEW.title())}#x")
    left = {"notes.txt", "package.json", "report.html"}
    people = home.path / "people.csv"
    people = people.rename(home.data / people.name)
    home.settings["IDENTITY_FILE"] = f"{people}"
    shutil.copy(home.data / "usage.db", home.data / "backup")
    with pytest.raises(OutputFailed, match=r"5 files still show the person, such as .*links"):
        forget(home, NEW, files=True)
    assert shown(home) == {*left, "backup", people.name}
    assert escaped.exists()
    assert "1 files could not be searched" in caplog.text
    assert f"{home.data / 'backup'}" in caplog.text


@pytest.mark.slow
def test_pseudonyms_of_the_person_are_found(home: Home, capsys: Capture) -> None:
    (home.path / "key").write_text("0123456789abcdef" * 4)
    (home.path / "key").chmod(0o600)
    home.settings["PSEUDONYM_KEY_FILE"] = "key"
    make_every_file(home)
    (folder,) = home.data.glob(f"daily_exports_{WINDOW.start}*")
    names = {
        name
        for path in folder.glob("*.csv")
        for name in re.findall("user-[0-9a-f]{20}", path.read_text())
    }
    assert len(names) == 1 + len(OTHERS)
    capsys.readouterr()
    forget(home, NEW, files=True)
    left = {
        name
        for path in all_files(home.data)
        if "usage.db" not in path.name and path.suffix != ".parquet"
        for name in re.findall("user-[0-9a-f]{20}", path.read_text())
    }
    assert len(left) == len(OTHERS)
    assert left < names


@pytest.mark.slow
def test_service_account_is_found_by_full_name(home: Home, capsys: Capture) -> None:
    home.settings |= {"STORE_URL": f"sqlite:///{home.data / 'usage.db'}", "METRICS_SOURCE": SOURCE}
    put(home.settings["STORE_URL"], {LAST: [user(n, chat_messages=1) for n in ("ci", "ci-2")]})
    export_files(settings_of(home), Window(LAST, LAST), None)
    (folder,) = home.data.glob("daily_exports*")
    forget(home, "ci", files=True)
    capsys.readouterr()
    assert "ci-2" in (folder / f"augment_metrics_{LAST}.csv").read_text()
    texts = [path.read_text() for path in all_files(folder) if path.suffix != ".html"]
    assert not [text for text in texts if re.search(r'(?m)(^|")ci[",]', text)]


def test_account_is_looked_for_where_parquet_names_people(home: Home, capsys: Capture) -> None:
    """Every row has the name of its source, which here is also the account's name."""
    home.settings |= {"STORE_URL": f"sqlite:///{home.data / 'usage.db'}", "METRICS_SOURCE": SOURCE}
    account, other = user(SOURCE, chat_messages=1), user("bob@example.com", chat_messages=1)
    days = {LAST: [account, other], LONG_AGO: [other]}
    put(home.settings["STORE_URL"], days)
    for day in days:
        export_parquet(settings_of(home), Window(day, day), None)
    capsys.readouterr()
    forget(home, SOURCE)
    (found,) = capsys.readouterr().out.splitlines()[1:2]
    assert f"day={LAST}" in found
    assert f"day={LONG_AGO}" not in found


@pytest.mark.parametrize(
    ("name", "left"),
    [(SOURCE, {LAST, LONG_AGO}), ("active", {LAST})],
    ids=["source", "word of the page"],
)
def test_word_of_every_export_removes_no_manifest(home: Home, name: str, left: set[date]) -> None:
    """If an account had such a word as its name, the manifests and pages written again contained
    it, too: they were removed, and the other files stayed without a manifest. Only a page that
    cannot be written again may show the account, and is removed.
    """
    home.settings |= {"STORE_URL": f"sqlite:///{home.data / 'usage.db'}", "METRICS_SOURCE": SOURCE}
    account, other = user(name, chat_messages=1), user("bob@example.com", chat_messages=1)
    put(home.settings["STORE_URL"], {LAST: [account, other], LONG_AGO: [other]})
    for day in (LAST, LONG_AGO):
        export_files(settings_of(home), Window(day, day), None)
    home.run("people", "--csv")
    for table in ("user_day", "day_ledger"):
        sql(home.settings["STORE_URL"], f"DELETE FROM {table} WHERE day = '{LONG_AGO}'")
    forget(home, name, files=True)
    folders = home.data.glob("daily_exports_*/manifest.json")
    assert {date.fromisoformat(path.parent.name[-10:]) for path in folders} == left
    assert (home.data / "usage_by_class.csv").exists()


def test_no_file_shows_a_name_that_is_also_of_somebody_else(home: Home) -> None:
    """No name is left to search for then; an empty search would find every file."""
    home.settings |= {"STORE_URL": f"sqlite:///{home.data / 'usage.db'}", "METRICS_SOURCE": SOURCE}
    put(home.settings["STORE_URL"], {LAST: [user("ada", chat_messages=1)]})
    put(home.settings["STORE_URL"], {LAST: [user("ada", chat_messages=1)]}, "copilot")
    export_files(settings_of(home), Window(LAST, LAST), None)
    found = home.run("forget", "ada", "--source", "copilot")
    assert found.out.splitlines()[0] == "1 row removed"
    assert "still shown" not in found.out
    assert f"also that of somebody else in {SOURCE}" in found.err


@pytest.mark.parametrize("name", ["ci", '-R&D "new" key', '"r&d"@example.com'])
def test_name_is_found_however_a_file_writes_it(home: Home, capsys: Capture, name: str) -> None:
    home.settings |= {"STORE_URL": f"sqlite:///{home.data / 'usage.db'}", "METRICS_SOURCE": SOURCE}
    home.data.mkdir()
    put(home.settings["STORE_URL"], {LAST: [user(name, chat_messages=1)]})
    (home.data / "old.csv").write_bytes(render(["User", "Row"], [[guard(name), 1]]))
    focus = render(["Cost", "x_Source", "x_User", "x_Tokens"], [[1, SOURCE, guard(name), 1]])
    (home.data / "old.focus.csv").write_bytes(focus)
    (home.data / "old.html").write_text(f"<td>{markupsafe.escape(name)}</td>")
    (home.data / "old.json").write_text(json.dumps({"user": name}))
    forget(home, name)
    lines = capsys.readouterr().out.splitlines()[1:]
    found = [line.rpartition("/")[2] for line in lines if line]
    assert found == ["old.csv", "old.focus.csv", "old.html", "old.json"]


@pytest.mark.parametrize("name", ["", " ", "\u200b"], ids=["empty", "blank", "invisible"])
def test_empty_name_removes_nothing(home: Home, name: str) -> None:
    """Such as the value of a variable that a script did not set: every file contains it."""
    home.settings |= {"STORE_URL": f"sqlite:///{home.data / 'usage.db'}", "METRICS_SOURCE": SOURCE}
    put(home.settings["STORE_URL"], {LAST: [user("ada@example.com", chat_messages=1)]})
    export_files(settings_of(home), Window(LAST, LAST), None)
    before = {path: path.read_bytes() for path in all_files(home.data)}
    result = home.run("forget", name, "--files")
    assert (result.code, result.out) == (2, "")
    assert "name the person" in result.err
    assert {path: path.read_bytes() for path in all_files(home.data)} == before


@pytest.mark.slow
def test_forget_command_takes_the_option(home: Home, every_file: Path) -> None:
    fill(home, every_file)
    result = home.run("forget", OLD, "--files")
    assert result.code == 0, result.err
    assert shown(home) == set()
    assert "files outside of" in result.err
    assert "may still name the person" in result.err
    assert OLD not in result.err
