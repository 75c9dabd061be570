"""`export START END`: the files of `--daily`, made only from the store."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from conftest import Home, Start, content_of, own_files, today, yesterday
from dashboard_scraper.simulator import Organization, Simulator
from databases import on_sqlite
from stored_days import TODAY, backfill, fetch, march, sql

AGGREGATED, MANIFEST = "copilot_metrics_aggregated.json", "manifest.json"
REPORT = "report.html"


@pytest.fixture
def spring(start: Start) -> Simulator:
    """A simulator of four users whose today is the 10th of March, 2025."""
    return start(Organization(users=4, today=TODAY))


def pair(day: date) -> list[str]:
    return [f"augment_metrics_{day}.csv", f"copilot_metrics_{day}.json"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: content_of(path) for path in own_files(folder)}


def statuses(folder: Path) -> dict[str, str]:
    days = json.loads((folder / MANIFEST).read_bytes())["days"]
    return {each["day"]: each["status"] for each in days}


def folder_of(home: Home, first: date, last: date) -> Path:
    return home.data / f"daily_exports_{first}_to_{last}"


def assert_vouched_for(folder: Path) -> None:
    """Every file except the manifest is listed there with its SHA-256."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    files = [each for day in manifest["days"] for each in day["files"]]
    files += [manifest["aggregated"], manifest["report"]]
    reported = {each["name"]: each["sha256"] for each in files}
    found = contents(folder)
    del found[MANIFEST]
    assert reported == {name: sha256(data).hexdigest() for name, data in found.items()}


@on_sqlite
@pytest.mark.usefixtures("store_url")
@pytest.mark.slow
def test_export_equals_what_the_run_wrote(home: Home, spring: Simulator) -> None:
    first, last = march(3), march(7)
    fetch(home, first, last)
    spring.stop()
    home.cookie_file.unlink()
    folder = folder_of(home, first, last)
    before = contents(folder)
    assert len(before) == 5 * 2 + 3
    for path in own_files(folder):
        path.unlink()
    again = home.run("export", f"{first}", f"{last}")
    assert again.code == 0, again.err
    assert again.paths == [folder]
    assert contents(folder) == before
    elsewhere = home.run("export", "03-03-2025", "03-07-2025", "--out", "deep/elsewhere")
    assert elsewhere.code == 0, elsewhere.err
    assert elsewhere.paths == [home.path / "deep" / "elsewhere"]
    assert contents(home.path / "deep" / "elsewhere") == before


@pytest.mark.slow
def test_files_of_other_days_are_named(home: Home, spring: Simulator) -> None:
    fetch(home, march(3), march(5))
    folder = home.path / "collected"
    for first, last in ((3, 4), (3, 4), (4, 5)):
        words = ("export", f"{march(first)}", f"{march(last)}", "--out", f"{folder}")
        result = home.run(*words)
        assert result.code == 0, result.err
        expected = "2025-03-03 to 2025-03-04, such as augment_metrics_2025-03-03.csv"
        assert (expected in result.err) == (last == 5)
    assert {*pair(march(3))} <= contents(folder).keys()
    assert march(3).isoformat() not in statuses(folder)
    assert spring.requests


@on_sqlite
@pytest.mark.usefixtures("store_url")
@pytest.mark.slow
def test_export_without_end_writes_one_day(home: Home, spring: Simulator) -> None:
    backfill(home, march(3), march(4))
    spring.stop()
    assert home.run("export", "2025-03-03").code == 0
    folder = folder_of(home, march(3), march(3))
    assert set(contents(folder)) == {*pair(march(3)), AGGREGATED, MANIFEST, REPORT}
    assert statuses(folder) == {"2025-03-03": "complete"}


@on_sqlite
@pytest.mark.usefixtures("store_url", "spring")
@pytest.mark.slow
def test_export_reports_missing_days(
    home: Home,
) -> None:
    backfill(home, march(3), march(4))
    backfill(home, march(6), march(6))
    folder = folder_of(home, march(3), march(7))
    folder.mkdir(parents=True)
    earlier = [*pair(march(5)), *pair(march(6)), AGGREGATED, MANIFEST]
    for name in earlier:
        (folder / name).write_text("old")
    result = home.run("export", "2025-03-03", "2025-03-07")
    assert result.code == 6
    last = result.err.splitlines()[-1]
    assert "2 of 5 days are missing: 2025-03-05, 2025-03-07" in last
    assert result.out == ""
    complete = [march(3), march(4), march(6)]
    fresh = {name for day in complete for name in pair(day)} | {MANIFEST, REPORT}
    stale = {f"{name}.stale" for name in [*pair(march(5)), AGGREGATED]}
    found = contents(folder)
    assert found.keys() == fresh | stale
    assert all(found[name] != b"old" for name in fresh)
    assert all(found[name] == b"old" for name in stale)
    missing = dict.fromkeys(["2025-03-05", "2025-03-07"], "missing")
    assert statuses(folder) == {f"{day}": "complete" for day in complete} | missing
    assert json.loads(found[MANIFEST])["aggregated"] is None


@on_sqlite
@pytest.mark.usefixtures("store_url", "spring")
def test_export_of_missing_days_sets_files_aside(home: Home) -> None:
    backfill(home, march(3), march(3))
    folder = folder_of(home, march(4), march(5))
    folder.mkdir(parents=True)
    for name in [*pair(march(4)), MANIFEST]:
        (folder / name).write_text("old")
    result = home.run("export", "2025-03-04", "2025-03-05")
    assert (result.code, result.out) == (6, "")
    assert "2 of 2 days are missing" in result.err.splitlines()[-1]
    stale = {f"{name}.stale": b"old" for name in [*pair(march(4)), MANIFEST]}
    assert contents(folder) == stale


@pytest.mark.usefixtures("spring")
def test_export_without_a_store_writes_nothing(home: Home, empty_place: str) -> None:
    """Older files are set aside, so that they do not look fresh."""
    first = home.run("export", "2025-03-03")
    assert (first.code, first.out) == (2, "")
    assert "there is no store at" in first.err
    assert not home.data.exists()
    if empty_place.startswith("postgresql"):
        tables = "SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        assert sql(empty_place, tables) == []
    folder = folder_of(home, march(3), march(3))
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text("old")
    assert home.run("export", "2025-03-03").code == 2
    assert contents(folder) == {f"{MANIFEST}.stale": b"old"}


@on_sqlite
@pytest.mark.usefixtures("spring")
def test_damaged_day_refuses_the_export(home: Home, store_url: str) -> None:
    backfill(home, march(3), march(4))
    sql(store_url, "UPDATE user_day SET chat_messages = 777 WHERE day = '2025-03-04'")
    result = home.run("export", "2025-03-03", "2025-03-04")
    assert (result.code, result.out) == (1, "")
    assert "the rows of 2025-03-04 do not match the ledger" in result.err
    assert "Traceback" not in result.err
    assert contents(folder_of(home, march(3), march(4))) == {}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["2025-03-03", "--out", "s3://bucket/prefix"], "--format parquet"),
        (["2025-03-03", f"{today()}"], "has not ended yet"),
        ([f"{today()}"], "has not ended yet"),
        (["2025-03-03", f"{today() + timedelta(400)}"], "has not ended yet"),
        (["2025-03-04", "2025-03-03"], "swap the dates"),
        (["2025-02-30"], "not a date"),
        ([], "START"),
        (["2025-03-03", "--format", "csv"], "parquet"),
    ],
)
def test_impossible_exports_are_usage_errors(home: Home, words: list[str], reason: str) -> None:
    result = home.run("export", *words)
    assert (result.code, result.out) == (2, "")
    assert reason in result.err
    assert list(home.path.iterdir()) == []


@pytest.mark.slow
def test_newest_exportable_day_is_yesterday(home: Home, start: Start) -> None:
    start(Organization(users=2))
    assert home.run("backfill", f"{yesterday()}").code == 0
    assert home.run("export", f"{yesterday()}").code == 0


# Every rename takes a random time, as on a slow disk, so that two simultaneous exports are certain
# to interleave.
SLOW_EXPORT = """
import random, sys, time
sys.addaudithook(lambda event, _: time.sleep(random.random() / 20) if event == "os.rename" else 0)
from dashboard_scraper.main import run
run()
"""


@pytest.mark.usefixtures("spring")
@pytest.mark.slow
def test_one_of_two_exports_at_once_is_whole(home: Home) -> None:
    backfill(home, march(3), march(5))
    folder = folder_of(home, march(3), march(5))
    words = ["export", "--home", f"{home.path}", "2025-03-03", "2025-03-05"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", SLOW_EXPORT, *words],
            env={**home.environment(), "ENTERPRISE_ID": enterprise},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for enterprise in ("first", "second")
    ]
    errors = [process.communicate(timeout=300)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert_vouched_for(folder)
