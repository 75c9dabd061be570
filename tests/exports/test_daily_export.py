"""The daily job and `demo`: the folder, each day's files, their sum, and the manifest."""

from __future__ import annotations

import csv
import json
import os
import pty
import shutil
import subprocess
from collections import Counter as Tally
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from conftest import (
    Home,
    Result,
    Start,
    all_files,
    content_of,
    last_working_day,
    own_files,
    today,
    yesterday,
)
from dashboard_scraper.github.counters import Counter
from dashboard_scraper.model.dates import Window, last_complete_days
from dashboard_scraper.model.metrics import LINES, USER_TITLE, Kind, parts_of
from dashboard_scraper.simulator import (
    Fault,
    Organization,
    Simulator,
    add_field,
    raw_body,
    set_value,
)
from dashboard_scraper.sources.dashboard.fields import FIELDS, USER_FIELD
from dashboard_scraper.sources.registry import DASHBOARD

WINDOW = last_complete_days(4, today())
"""Few days, but one of them is a working day."""

DAYS = [*WINDOW.days()]
JOB = ("--daily", f"{WINDOW.start}", f"{WINDOW.end}")
DAY = last_working_day()
USERS = "user-feature-stats"
COUNTS = [FIELDS[m] for m in FIELDS if m.kind is Kind.COUNT]
COUNTERS = [counter.value for counter in Counter]
AGGREGATED, MANIFEST = "copilot_metrics_aggregated.json", "manifest.json"
REPORT = "report.html"


def daily(home: Home, code: int = 0) -> Result:
    result = home.run(*JOB)
    assert result.code == code, result.err
    assert "Traceback" not in result.err
    return result


def csv_name(day: date) -> str:
    return f"augment_metrics_{day}.csv"


def json_name(day: date) -> str:
    return f"copilot_metrics_{day}.json"


def read(home: Home, name: str) -> Any:
    return json.loads((home.folder_of(WINDOW) / name).read_bytes())


def manifest_days(home: Home) -> dict[str, dict[str, Any]]:
    return {each["day"]: each for each in read(home, MANIFEST)["days"]}


def counters(record: dict[str, Any]) -> Tally[tuple[str, str]]:
    """Every counter of a record, at the top level and of its features, as a multiset."""
    rows = [("top", record), *((row["feature"], row) for row in record["totals_by_feature"])]
    return Tally({(name, counter): row[counter] for name, row in rows for counter in COUNTERS})


@pytest.mark.slow
def test_files_have_the_names_of_the_brief(home: Home, sim: Simulator) -> None:
    result = home.run("--last-28-days")
    assert result.code == 0, result.err
    assert "Traceback" not in result.err
    days = [yesterday() - timedelta(27 - number) for number in range(28)]
    assert home.daily_folder.name == f"daily_exports_{days[0]}_to_{days[-1]}"
    assert result.paths == [home.daily_folder]
    pairs = [name(day) for day in days for name in (csv_name, json_name)]
    names = {
        str(Path(home.daily_folder.name, name)) for name in [*pairs, AGGREGATED, MANIFEST, REPORT]
    }
    assert home.own_files() == names
    for day in days:
        assert sim.count(USERS, day) == 1


@pytest.mark.slow
def test_daily_records_are_of_active_users(home: Home, sim: Simulator) -> None:
    daily(home)
    people = {member.index: member.name for member in sim.organization.people}
    for day in DAYS:
        records = read(home, json_name(day))
        totals = sim.organization.totals(Window(day, day))
        active = {people[index]: total.counts for index, total in totals.items() if index in people}
        assert [each["user_login"] for each in records] == sorted(active)
        for each in records:
            assert (each["day"], each["enterprise_id"]) == (f"{day}", "283613")
            period = (each["report_start_day"], each["report_end_day"])
            assert period == (f"{DAYS[0]}", f"{DAYS[-1]}")
            counts = active[each["user_login"]]
            assert each["user_initiated_interaction_count"] == counts.messages
            assert each["loc_added_sum"] == counts.lines


@pytest.mark.usefixtures("sim")
@pytest.mark.slow
def test_aggregate_sums_days_and_ors_flags(home: Home) -> None:
    home.settings["ENTERPRISE_ID"] = "acme"
    daily(home)
    sums: dict[str, Tally[tuple[str, str]]] = {}
    flags: dict[str, set[str]] = {}
    ids = {}
    for day in DAYS:
        for record in read(home, json_name(day)):
            name = record["user_login"]
            ids[name] = record["user_id"]
            sums.setdefault(name, Tally()).update(counters(record))
            used = {flag for flag in ("used_agent", "used_chat") if record[flag]}
            flags.setdefault(name, set()).update(used)
    aggregated = read(home, AGGREGATED)
    assert [each["user_login"] for each in aggregated] == sorted(sums)
    assert len(sums) > 5
    for each in aggregated:
        name = each["user_login"]
        assert counters(each) == sums[name]
        assert {flag for flag in ("used_agent", "used_chat") if each[flag]} == flags[name]
        assert each["user_id"] == ids[name]
        assert each["enterprise_id"] == "acme"
        period = (each["report_start_day"], each["report_end_day"], each["day"])
        assert period == (f"{DAYS[0]}", f"{DAYS[-1]}", f"{DAYS[-1]}")


@pytest.mark.slow
def test_manifest_lists_every_day(home: Home, sim: Simulator) -> None:
    """With its status, its number of rows, and the checksums of its files."""
    complete, nobody, idle, failed = sorted(DAYS, key=DAY.__ne__)
    sim.add_fault(Fault(raw_body(b'{"userFeatureStats":[]}'), USERS, nobody))
    for field in COUNTS:
        sim.add_fault(Fault(set_value(field, 0), USERS, idle))
    sim.add_fault(Fault(raw_body(b'{"renamed":[]}'), USERS, failed))
    daily(home, 6)
    manifest = read(home, MANIFEST)
    assert (manifest["source"], manifest["start"], manifest["end"]) == (
        "dashboard",
        f"{DAYS[0]}",
        f"{DAYS[-1]}",
    )
    assert [each["day"] for each in manifest["days"]] == [f"{day}" for day in DAYS]
    for day, reported in zip(DAYS, manifest["days"], strict=True):
        if day == failed:
            assert (reported["status"], set(reported)) == ("failed", {"day", "status", "reason"})
            assert "userFeatureStats" in reported["reason"]
            continue
        records = read(home, json_name(day))
        assert reported["status"] == ("complete" if records else "empty")
        with (home.folder_of(WINDOW) / csv_name(day)).open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert (reported["users"], reported["active_users"]) == (len(rows), len(records))
        assert [each["name"] for each in reported["files"]] == [csv_name(day), json_name(day)]
        for each in reported["files"]:
            data = (home.folder_of(WINDOW) / each["name"]).read_bytes()
            assert (each["size"], each["sha256"]) == (len(data), sha256(data).hexdigest())
    days = manifest_days(home)
    assert (days[f"{nobody}"]["status"], days[f"{nobody}"]["users"]) == ("empty", 0)
    assert (days[f"{idle}"]["status"], days[f"{idle}"]["active_users"]) == ("empty", 0)
    assert days[f"{idle}"]["users"] > 0
    assert days[f"{complete}"]["status"] == "complete"
    assert manifest["aggregated"] is None
    assert not (home.folder_of(WINDOW) / AGGREGATED).exists()


@pytest.mark.usefixtures("sim")
@pytest.mark.slow
def test_manifest_lists_the_aggregate(home: Home) -> None:
    daily(home)
    data = (home.folder_of(WINDOW) / AGGREGATED).read_bytes()
    assert read(home, MANIFEST)["aggregated"] == {
        "name": AGGREGATED,
        "size": len(data),
        "sha256": sha256(data).hexdigest(),
    }
    assert {each["status"] for each in manifest_days(home).values()} <= {"complete", "empty"}


@pytest.mark.slow
def test_day_without_an_answer_is_not_empty(home: Home, sim: Simulator) -> None:
    for field in COUNTS:
        sim.add_fault(Fault(set_value(field, None), USERS, DAY))
    result = home.run(*JOB)
    assert result.code in (0, 6), result.err
    assert manifest_days(home)[f"{DAY}"]["status"] != "empty"


@pytest.mark.slow
def test_user_with_unknown_activity_has_a_record(home: Home, sim: Simulator) -> None:
    """The day then does not add up, since that user was really active."""
    listed = [each for each in sim.organization.people if each.belongs(DAY, DAY)]
    active = sim.organization.totals(Window(DAY, DAY))
    place = next(place for place, each in enumerate(listed) if each.index in active)
    for field in COUNTS:
        value = None if field == COUNTS[0] else 0
        sim.add_fault(Fault(set_value(field, value, record=place), USERS, DAY))
    daily(home, 9)
    with (home.folder_of(WINDOW) / csv_name(DAY)).open(newline="") as file:
        (user,) = (row[USER_TITLE] for row in csv.DictReader(file) if not row["Completions"])
    assert user in {each["user_login"] for each in read(home, json_name(DAY))}


def one_user(**fields: object) -> bytes:
    """An answer with one user, who has 1 in every other count."""
    record = {USER_FIELD: "ada@example.com", **dict.fromkeys(COUNTS, 1), **fields}
    return json.dumps({"userFeatureStats": [record]}).encode()


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_impossible_count_costs_only_its_day(home: Home, sim: Simulator) -> None:
    sim.add_fault(Fault(raw_body(one_user(**{COUNTS[0]: 10**30})), USERS, DAY))
    result = daily(home, 6)
    assert manifest_days(home)[f"{DAY}"]["status"] == "failed"
    assert f"{DAY}" in result.err.splitlines()[-1]


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_large_unknown_numbers_stay_exact(home: Home, sim: Simulator) -> None:
    sim.add_fault(Fault(raw_body(one_user(unknown=10**30, least=-(10**30))), USERS, DAY))
    daily(home, 9)
    with (home.folder_of(WINDOW) / csv_name(DAY)).open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["unknown"], row["least"].lstrip("'")) == (f"{10**30}", f"{-(10**30)}")


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_field_named_like_a_column_costs_no_day(home: Home, sim: Simulator) -> None:
    sim.add_fault(Fault(add_field(USER_TITLE, 1), USERS, DAY))
    result = daily(home)
    assert f"with the name of another field, left out: {USER_TITLE} (1)" in result.err
    assert manifest_days(home)[f"{DAY}"]["status"] == "complete"


@pytest.mark.usefixtures("sim")
@pytest.mark.slow
def test_second_run_writes_the_same_bytes(home: Home) -> None:
    daily(home)
    before = contents(home.folder_of(WINDOW))
    home.settings["MAX_CONCURRENCY"] = "1"
    daily(home)
    assert contents(home.folder_of(WINDOW)) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: content_of(path) for path in own_files(folder)}


@pytest.mark.slow
def test_unequal_lines_are_logged_once(home: Home, sim: Simulator) -> None:
    """The log line has both numbers of one user."""
    total = FIELDS[LINES]
    parts = [FIELDS[m] for m in parts_of(LINES)]
    figures = dict.fromkeys(parts, 3) | {total: 17}
    sim.add_fault(Fault(raw_body(one_user(**figures)), USERS))
    (line,) = [line for line in daily(home, 11).err.splitlines() if "its parts are" in line]
    assert "WARNING" in line
    assert "ada@example.com" in line
    assert f"is {len(DAYS) * 17}, its parts are {len(DAYS) * 3 * len(parts)}" in line
    sim.clear_faults()
    shutil.rmtree(home.data)
    assert "add up" not in home.run(*JOB).err


@pytest.mark.usefixtures("csv_alone", "sim")
@pytest.mark.slow
def test_log_has_a_line_per_day_and_a_summary(home: Home) -> None:
    lines = daily(home).err.splitlines()
    assert "\x1b" not in "".join(lines)
    assert not [day for day in DAYS if sum(f"{day} fetched" in line for line in lines) != 1]
    assert "4 of 4 days" in "".join(line for line in lines if "fetched" in line)
    assert lines[-1].endswith(f"{DAYS[0]} to {DAYS[-1]}: 4 of 4 days")


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_summary_names_missing_days_and_reasons(home: Home, sim: Simulator) -> None:
    sim.add_fault(Fault(raw_body(b"null"), USERS, DAY))
    lines = daily(home, 6).err.splitlines()
    assert sim.count(USERS, DAY) == 2
    assert f"{DAY} failed: {USERS}" in lines[-3]
    assert "3 of 4 days" in lines[-2]
    assert "ERROR" in lines[-1]
    assert f"{DAY}" in lines[-1]


@pytest.mark.usefixtures("sim")
@pytest.mark.slow
def test_terminal_shows_a_progress_bar(home: Home) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        home.command("--daily", f"{DAYS[-2]}", f"{DAYS[-1]}"),
        env={**home.environment(), "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:  # how Linux reports that the other end is closed
            pass
    os.close(ours)
    assert process.returncode == 0
    assert b"2/2" in shown
    assert b"\x1b[" in shown
    assert b" fetched" not in shown


@pytest.mark.slow
def test_demo_depends_on_its_seed_alone(start: Start, tmp_path: Path) -> None:
    """It ignores the settings, and writes only below its own folder, beside real files."""
    nowhere = "http://proxy.invalid:9/"
    troubled = {
        "METRICS_API_BASE_URL": "https://dashboard.invalid/",
        "USER_FEATURE_STATS_ENDPOINT": "/elsewhere",
        "SCRAPE_ENDPOINTS": "tenant-feature-stats",
        **dict.fromkeys(["HTTP_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"], nowhere),
        "NO_PROXY": "other.example.com",
    }
    real = start(Organization(users=3, today=today()))
    found = {}
    for name, seed, environment in [
        ("first", "7", {}),
        ("second", "7", troubled),
        ("other", "8", {}),
    ]:
        home = Home(tmp_path / name, environment)
        home.path.mkdir()
        if environment:
            home.sign_in(real)
            daily(Home(home.path, {"METRICS_API_BASE_URL": f"{real.url}/"}))
        before = outside_of_demo(home)
        assert bool(before) == bool(environment)
        result = home.run("demo", "--source", DASHBOARD, "--users", "4", "--seed", seed)
        assert result.code == 0, result.err
        folder = home.data / "demo" / home.daily_folder.name
        assert result.paths == [folder]
        assert len(contents(folder)) == 59
        assert outside_of_demo(home) == before
        found[name] = contents(folder)
    assert found["first"] == found["second"]
    assert found["first"] != found["other"]


def outside_of_demo(home: Home) -> dict[Path, bytes]:
    """The real session, the real store and its files."""
    files = [path for path in all_files(home.path) if home.data / "demo" not in path.parents]
    return {path: path.read_bytes() for path in files}
