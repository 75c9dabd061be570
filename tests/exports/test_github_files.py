"""GitHub's reports among the files of an export: which are written, and when they must not be."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from conftest import Home, Start, today, yesterday
from dashboard_scraper.github.records import PLACE_OF
from dashboard_scraper.model.dates import DAYS
from dashboard_scraper.model.metrics import LINES
from dashboard_scraper.simulator import Fault, Organization, Simulator, set_value, status
from dashboard_scraper.sources.dashboard.fields import FIELDS
from github_schemas import user_records, whole_record

USERS_ENDPOINT = "user-feature-stats"
DAY = f"{yesterday()}"
OF_28_DAYS = {"users-28-day.ndjson", "enterprise-28-day.json"}
OF_THE_DAY = {f"users-1-day_{DAY}.ndjson", f"enterprise-1-day_{DAY}.json"}
JOB = "--last-28-days"
ALL_REPORTS = {"GITHUB_REPORTS_USERS_28_DAY": "true"}
ACTIVE = ("daily_active_users", "weekly_active_users", "monthly_active_users")
BREAKDOWNS = ("ide", "feature", "language_feature", "language_model", "model_feature")
ORGANIZATION = Organization(users=6, today=today())
ARRAYS = [f"totals_by_{name}" for name in BREAKDOWNS]


def reports_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "github_reports").iterdir()}


def listed(folder: Path) -> dict[str, Any]:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    return {each["name"]: each["sha256"] for each in manifest["github_reports"]}


def people_file(home: Home, text: str) -> None:
    (home.path / "people.csv").write_text(text)
    home.settings["IDENTITY_FILE"] = "people.csv"


@pytest.fixture(scope="module")
def dashboard_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a job that wrote an export from the dashboard; tests use copies."""
    home = Home(tmp_path_factory.mktemp("dashboard"), {"RECHECK_DAYS": "0"} | ALL_REPORTS)
    with Simulator(ORGANIZATION) as simulator:
        sign_in(home, simulator)
        assert home.run(JOB).code == 0
    return home.path


@pytest.fixture(scope="module")
def analytics_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The home of a job that wrote an export from the Analytics API."""
    home = Home(
        tmp_path_factory.mktemp("analytics"), {"INCLUDE_SERVICE_ACCOUNTS": "false"} | ALL_REPORTS
    )
    with Simulator(ORGANIZATION, rate_limit=False) as simulator:
        home.settings |= {
            "ANALYTICS_API_BASE_URL": simulator.url,
            "AUGMENT_API_TOKEN": simulator.token,
            "ANALYTICS_READY_HOUR": "0",
            "ANALYTICS_REQUESTS_PER_MINUTE": "60000",
            "ANALYTICS_BURST": "1000",
            "COST_REQUESTS_PER_MINUTE": "60000",
            "COST_BURST": "1000",
        }
        assert home.run(JOB).code == 0
    return home


@pytest.fixture
def exported(home: Home, dashboard_home: Path) -> Home:
    """A home for one test, with a copy of the job's export."""
    shutil.copytree(dashboard_home, home.path, dirs_exist_ok=True)
    home.settings |= ALL_REPORTS
    return home


def sign_in(home: Home, simulator: Simulator) -> None:
    home.settings["METRICS_API_BASE_URL"] = simulator.url + "/"
    home.sign_in(simulator)


@pytest.fixture
def sim(exported: Home) -> Iterator[Simulator]:
    """A simulator with the same figures as the export, for another run."""
    with Simulator(ORGANIZATION) as simulator:
        sign_in(exported, simulator)
        yield simulator


@pytest.mark.slow
def test_job_writes_reports_of_28_days_and_the_last(exported: Home) -> None:
    home = exported
    files = reports_in(home.daily_folder)
    assert files.keys() == OF_28_DAYS | OF_THE_DAY
    hashes = {f"github_reports/{name}": sha256(data).hexdigest() for name, data in files.items()}
    assert listed(home.daily_folder) == hashes
    month = whole_record(files["enterprise-28-day.json"])
    assert [each["day"] for each in month["day_totals"]] == [
        f"{today() - timedelta(back)}" for back in range(28, 0, -1)
    ]
    records = user_records(files["users-28-day.ndjson"])
    (of_day,) = [each for each in month["day_totals"] if each["day"] == DAY]
    assert whole_record(files[f"enterprise-1-day_{DAY}.json"]) == of_day
    last = user_records(files[f"users-1-day_{DAY}.ndjson"])
    window = {name: month[name] for name in ("report_start_day", "report_end_day")}
    assert [record for record in records if record["day"] == DAY] == [
        {**window, **record} for record in last
    ]
    assert len(last) == of_day["daily_active_users"]


@pytest.mark.slow
def test_users_of_28_days_are_written_on_request(exported: Home, sim: Simulator) -> None:
    """And users' reports from an earlier export do not stay beside newer files."""
    assert sim
    del exported.settings["GITHUB_REPORTS_USERS_28_DAY"]
    assert exported.run(JOB).code == 0
    names = reports_in(exported.daily_folder).keys()
    assert names == {"enterprise-28-day.json", "users-28-day.ndjson.stale"} | OF_THE_DAY
    assert "github_reports/users-28-day.ndjson" not in listed(exported.daily_folder)


def test_consumer_finds_users_and_their_sums(exported: Home) -> None:
    """As a consumer reads the files: line by line, by user_id and day, with strict integers."""
    home = exported
    sums: dict[str, int] = {}
    keys = set()
    for line in reports_in(home.daily_folder)["users-28-day.ndjson"].decode().splitlines():
        record = json.loads(line, parse_float=lambda text: pytest.fail(f"no integer: {text}"))
        assert isinstance(record["user_id"], int)
        assert 0 < record["user_id"] < 2**31
        assert isinstance(record["user_login"], str)
        keys.add((record["user_id"], record["day"]))
        for array in ARRAYS:
            assert isinstance(record[array], list)
        for name, value in record.items():
            if name.endswith(("_count", "_sum")):
                sums[name] = sums.get(name, 0) + value
    assert len(keys) == len(reports_in(home.daily_folder)["users-28-day.ndjson"].splitlines())
    month = json.loads(reports_in(home.daily_folder)["enterprise-28-day.json"])
    for name, value in sums.items():
        assert value == sum(each[name] for each in month["day_totals"])
    for name in ("enterprise-28-day.json", f"enterprise-1-day_{DAY}.json"):
        (line,) = reports_in(home.daily_folder)[name].decode().splitlines()
        line = re.sub(r'"avg_[a-z_]+":[0-9.]+', '"avg":0', line)  # GitHub's are floats, too
        whole = json.loads(line, parse_float=lambda text: pytest.fail(f"no integer: {text}"))
        for each in whole.get("day_totals", [whole]):
            assert date.fromisoformat(each["day"]) < today()
            for count in ACTIVE:
                assert type(each[count]) is int
            for row in (row for array in ARRAYS for row in each[array]):
                assert {type(value) for value in row.values()} == {int, str}


def test_other_windows_have_a_report_per_day(exported: Home) -> None:
    home = exported
    first = f"{today() - timedelta(2)}"
    (folder,) = home.run("export", first, DAY).paths
    expected = {name.replace(DAY, day) for name in OF_THE_DAY for day in (first, DAY)}
    assert reports_in(folder).keys() == expected
    assert {f"github_reports/{name}" for name in expected} == listed(folder).keys()


@pytest.mark.slow
def test_28_stored_days_have_the_28_day_report(exported: Home) -> None:
    """An export of the job's days has the same bytes; a day earlier, the first day is missing."""
    home = exported
    before = reports_in(home.daily_folder)
    (folder,) = home.run("export", f"{today() - timedelta(28)}", DAY).paths
    assert reports_in(folder) == before
    first, last = today() - timedelta(29), today() - timedelta(2)
    assert home.run("export", f"{first}", f"{last}").code == 6
    earlier = home.data / f"daily_exports_{first}_to_{last}"
    names = {name.replace(DAY, f"{last}") for name in OF_THE_DAY}
    assert reports_in(earlier).keys() == names | OF_28_DAYS
    totals = whole_record(reports_in(earlier)["enterprise-28-day.json"])["day_totals"]
    assert totals[0]["day"] == f"{first + timedelta(1)}"


@pytest.mark.slow
def test_offline_reports_are_the_same_bytes(exported: Home) -> None:
    home = exported
    before = reports_in(home.daily_folder)
    assert home.run(JOB, "--offline").code == 0
    assert reports_in(home.daily_folder) == before


@pytest.mark.slow
def test_28_day_report_lacks_missing_day_and_manifest_says_so(home: Home, sim: Simulator) -> None:
    day = today() - timedelta(9)
    sim.add_fault(Fault(status(500), USERS_ENDPOINT, day))
    home.settings |= {"MAX_RETRIES": "0", "GITHUB_REPORTS_USERS_28_DAY": "true"}
    assert home.run(JOB, "--refresh").code == 6
    found = reports_in(home.daily_folder)
    assert not [name for name in found if name.endswith(".stale")]
    manifest = json.loads((home.daily_folder / "manifest.json").read_bytes())
    assert manifest["missing_from_github_reports"] == [f"{day}"]
    totals = whole_record(found["enterprise-28-day.json"])["day_totals"]
    there = [today() - timedelta(back) for back in range(DAYS, 0, -1)]
    assert [total["day"] for total in totals] == [f"{each}" for each in there if each != day]
    records = user_records(found["users-28-day.ndjson"])
    assert f"{day}" not in {record["day"] for record in records}


@pytest.mark.slow
def test_missing_last_day_sets_its_reports_aside(home: Home, sim: Simulator) -> None:
    sim.add_fault(Fault(status(500), USERS_ENDPOINT, yesterday()))
    home.settings["MAX_RETRIES"] = "0"
    assert home.run(JOB, "--refresh").code == 6
    expected = {f"{name}.stale" for name in OF_THE_DAY} | OF_28_DAYS
    assert reports_in(home.daily_folder).keys() == expected


def test_failed_run_sets_all_reports_aside(home: Home, sim: Simulator) -> None:
    sim.expire()
    assert home.run(JOB).code == 3
    expected = {f"{name}.stale" for name in OF_28_DAYS | OF_THE_DAY}
    assert reports_in(home.daily_folder).keys() == expected


@pytest.mark.slow
def test_organization_id_adds_its_reports(exported: Home) -> None:
    home = exported
    home.settings["ORGANIZATION_ID"] = "77"
    assert home.run(JOB, "--offline").code == 0
    files = reports_in(home.daily_folder)
    own = {
        "organization-28-day.json",
        "organization-users-28-day.ndjson",
        f"organization-1-day_{DAY}.json",
        f"organization-users-1-day_{DAY}.ndjson",
    }
    assert files.keys() == OF_28_DAYS | OF_THE_DAY | own
    assert {
        r["organization_id"] for r in user_records(files["organization-users-28-day.ndjson"])
    } == {"77"}
    assert whole_record(files["organization-28-day.json"])["organization_id"] == "77"
    del home.settings["ORGANIZATION_ID"]
    assert home.run(JOB, "--offline").code == 0
    stale = {f"{name}.stale" for name in own}
    assert reports_in(home.daily_folder).keys() == OF_28_DAYS | OF_THE_DAY | stale


@pytest.mark.slow
def test_teams_have_a_report_if_somebody_is_in_one(exported: Home) -> None:
    home, name = exported, ORGANIZATION.people[0].name
    people_file(home, f"email,login,id,team\n{name.upper()},ada-l,11,core\n")
    assert home.run(JOB, "--offline").code == 0
    files = reports_in(home.daily_folder)
    teams = f"user-teams-1-day_{DAY}.ndjson"
    assert files.keys() == OF_28_DAYS | OF_THE_DAY | {teams}
    row = json.loads(files[teams])
    assert (row["user_login"], row["user_id"], row["slug"], row["day"]) == (
        "ada-l",
        11,
        "core",
        DAY,
    )
    logins = {record["user_login"] for record in user_records(files["users-28-day.ndjson"])}
    assert "ada-l" in logins
    assert name not in logins
    people_file(home, f"email,login,id\n{name},ada-l,11\n")
    assert home.run(JOB, "--offline").code == 0
    assert f"{teams}.stale" in reports_in(home.daily_folder)


@pytest.mark.slow
def test_both_sources_agree_on_what_both_know(exported: Home, analytics_home: Home) -> None:
    """The Analytics API also has suggested lines, editors and languages; it lacks instructions."""
    dashboard, analytics = (
        user_records(reports_in(home.daily_folder)["users-28-day.ndjson"])
        for home in (exported, analytics_home)
    )
    assert any(row["ide"] != "unknown" for record in analytics for row in record["totals_by_ide"])

    def known(records: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[object, ...]]:
        names = (
            "user_id",
            "user_initiated_interaction_count",
            "code_generation_activity_count",
            "code_acceptance_activity_count",
            "used_agent",
            "used_cli",
        )
        return {(r["user_login"], r["day"]): tuple(r[name] for name in names) for r in records}

    assert known(analytics) == known(dashboard)


@pytest.mark.slow
@pytest.mark.parametrize("merged", ["true", "false"])
def test_editors_are_merged_on_the_whole_alone(
    merged: str, home: Home, analytics_home: Home
) -> None:
    shutil.copytree(analytics_home.path, home.path, dirs_exist_ok=True)
    home.settings |= {"METRICS_SOURCE": "analytics", "GITHUB_REPORTS_MERGE_IDES": merged}
    home.settings |= ALL_REPORTS
    result = home.run(JOB, "--offline")
    assert result.code == 0
    found = reports_in(home.daily_folder)
    records = user_records(found["users-28-day.ndjson"])
    assert {"vscode", "intellij"} < {row["ide"] for r in records for row in r["totals_by_ide"]}
    days = whole_record(found["enterprise-28-day.json"])["day_totals"]
    ides = {row["ide"] for day in days for row in day["totals_by_ide"]}
    assert ides == {"unknown"} if merged == "true" else {"vscode", "intellij"} < ides
    assert {row["language"] for r in records for row in r["totals_by_language_feature"]} > {
        "python"
    }
    # The limits of the format are logged once, not once per report.
    about = [line for line in result.err.splitlines() if "in GitHub's reports" in line]
    assert sum("differ from the source's own total" in line for line in about) == 1
    assert sum("active users are counted without 27 days" in line for line in about) == 1


@pytest.mark.slow
def test_differing_totals_are_logged_once(home: Home, start: Start) -> None:
    """Once for all days together, with both numbers of one user-day; unknown figures likewise."""
    sim = start(ORGANIZATION)
    sim.add_fault(Fault(set_value(FIELDS[LINES], 987654), USERS_ENDPOINT))
    unknown = next(m for m in FIELDS if m in PLACE_OF and m.required)
    sim.add_fault(Fault(set_value(FIELDS[unknown], None, 0), USERS_ENDPOINT))
    quiet = home.run(JOB)
    home.settings |= ALL_REPORTS
    result = home.run(JOB)
    assert result.code == 9, result.err
    about, without = (
        [
            line.partition("in GitHub's reports")[2]
            for line in log.splitlines()
            if "in GitHub's" in line
        ]
        for log in (result.err, quiet.err)
    )
    assert about == without, "the reports on the whole differ as much without a line for each user"
    (differing,) = [line for line in about if "differ from the source's own total" in line]
    reported, added = re.findall(r" is (\d+)", differing)
    (day,) = re.findall(r" on ([-\d]+):", differing)
    name = differing.split(" such as of ")[1].split(" on ")[0]
    records = user_records(reports_in(home.daily_folder)["users-28-day.ndjson"])
    (record,) = [r for r in records if (r["user_login"], r["day"]) == (name, day)]
    assert (int(reported), int(added)) == (987654, record["loc_added_sum"])
    assert sum("unknown figures of" in line for line in about) == 1
