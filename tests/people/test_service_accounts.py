"""Service accounts: separate rows with a mark, which outputs leave out if a setting says so."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from conftest import Home, Start, own_warnings, yesterday
from dashboard_scraper.cli.conversion import convert
from dashboard_scraper.cli.exporting import export_files, export_parquet
from dashboard_scraper.csv_text import parse
from dashboard_scraper.errors import ContractBroken, DaysMissing, UsageError
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import SERVICE_ACCOUNT_TITLE, USER_COUNT, USER_TITLE
from dashboard_scraper.people.pseudonyms import rename_of
from dashboard_scraper.report.options import REPORT
from dashboard_scraper.settings.groups import sqlite_url
from dashboard_scraper.simulator import Fault, Organization, Simulator, repeat_user
from dashboard_scraper.sources.registry import ANALYTICS, DASHBOARD
from dashboard_scraper.store import store_at
from databases import on_sqlite
from effects import of_list
from filled_store import LAST as NEWEST
from filled_store import put
from filled_store import user as usage_of
from report_reading import read_report
from stored_days import TODAY, backfill, fetch, forget, march, settings_of, sql, stored_users

FIRST, LAST = march(3), march(5)
WINDOW = Window(FIRST, LAST)
DAYS = list(WINDOW.days())
USERS = "user-activity"
KEY = "0123456789abcdef0123456789abcdef"
AGGREGATED = "copilot_metrics_aggregated.json"
Json = Any
Log = pytest.LogCaptureFixture
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def spring(start_api: Start, home: Home, caplog: Log) -> Simulator:
    """A simulator whose today is the 10th of March, 2025; requests are not repeated."""
    home.settings["MAX_RETRIES"] = "0"
    caplog.set_level(logging.INFO, "dashboard_scraper")
    return start_api(Organization(users=12, today=TODAY), billing="credits")


def left_out(home: Home) -> None:
    home.settings["INCLUDE_SERVICE_ACCOUNTS"] = "false"


def with_key(home: Home) -> Callable[[str], str]:
    """Give the home a key for pseudonyms; returns the function from names to pseudonyms."""
    file = home.path / "key"
    file.write_text(KEY)
    file.chmod(0o600)
    home.settings["PSEUDONYM_KEY_FILE"] = f"{file}"
    return rename_of(file)


def accounts(sim: Simulator, day: date) -> set[str]:
    """The service accounts that were active on the day."""
    found = sim.organization.totals(Window(day, day))
    members = [sim.organization.members[index] for index in found]
    return {member.name for member in members if member.service}


def people(sim: Simulator, day: date) -> set[str]:
    found = sim.organization.totals(Window(day, day))
    members = [sim.organization.members[index] for index in found]
    return {member.name for member in members if not member.service}


def folder_of(home: Home) -> Path:
    return home.data / f"daily_exports_{FIRST}_to_{LAST}"


def marks(path: Path) -> dict[str, str]:
    """What the CSV has in the column of service accounts, by user."""
    header, *rows = parse(path.read_bytes())
    user, mark = header.index(USER_TITLE), header.index(SERVICE_ACCOUNT_TITLE)
    return {row[user]: row[mark] for row in rows}


def csv_marks(home: Home, day: date) -> dict[str, str]:
    return marks(folder_of(home) / f"augment_metrics_{day}.csv")


def logins(home: Home, name: str) -> list[str]:
    """The users of a Copilot file."""
    records = json.loads((folder_of(home) / name).read_bytes())
    return [record["user_login"] for record in records]


def manifest(home: Home) -> dict[str, Any]:
    """The manifest's entry for each day."""
    content = json.loads((folder_of(home) / "manifest.json").read_bytes())
    return {day["day"]: day for day in content["days"]}


def in_view(home: Home, source: str, day: date) -> dict[str, bool]:
    """Whether each of the day's users in the store is a service account."""
    where = f"source = '{source}' AND day = '{day}'"
    query = f"SELECT user_login, service_account FROM user_days WHERE {where}"
    return {user: bool(mark) for user, mark in sql(settings_of(home).store_url, query)}


def in_parquet(home: Home, source: str = ANALYTICS) -> dict[date, dict[str, bool]]:
    """The same for each day of the exported files."""
    settings = settings_of(home).model_copy(update={"metrics_source": source})
    out = home.path / "parquet"
    export_parquet(settings, WINDOW, f"{out}")
    with duckdb.connect() as engine:
        rows = engine.execute(
            "SELECT day, user_login, service_account"
            f" FROM read_parquet('{out}/*/*.parquet', hive_partitioning = true)"
        ).fetchall()
    found: dict[date, dict[str, bool]] = {}
    for day, user, mark in rows:
        found.setdefault(day, {})[user] = mark
    return found


@on_sqlite
@pytest.mark.slow
def test_accounts_have_marked_rows(home: Home, in_each_store: Simulator) -> None:
    fetch(home, FIRST, LAST)
    for day in DAYS:
        of_people, of_accounts = people(in_each_store, day), accounts(in_each_store, day)
        assert of_people
        assert of_accounts
        expected = {**dict.fromkeys(of_people, False), **dict.fromkeys(of_accounts, True)}
        assert in_view(home, ANALYTICS, day) == expected
        assert {user.user: user.service for user in stored_users(home, ANALYTICS)[day]} == expected
        assert in_parquet(home)[day] == expected
        assert csv_marks(home, day) == {
            user: "true" if mark else "false" for user, mark in expected.items()
        }
        assert logins(home, f"copilot_metrics_{day}.json") == sorted(expected)
        counts = manifest(home)[f"{day}"]
        assert (counts["users"], counts["active_users"]) == (len(expected), len(expected))


@on_sqlite
@pytest.mark.slow
def test_excluded_accounts_are_only_in_the_store(
    home: Home, in_each_store: Simulator, caplog: Log
) -> None:
    left_out(home)
    fetch(home, FIRST, LAST)
    everybody = set()
    for day in DAYS:
        expected = people(in_each_store, day)
        everybody |= expected
        assert csv_marks(home, day) == dict.fromkeys(expected, "false")
        assert logins(home, f"copilot_metrics_{day}.json") == sorted(expected)
        assert in_parquet(home)[day] == dict.fromkeys(expected, False)
        counts = manifest(home)[f"{day}"]
        assert (counts["users"], counts["active_users"]) == (len(expected), len(expected))
        assert in_view(home, ANALYTICS, day).keys() == expected | accounts(in_each_store, day)
        with store_at(settings_of(home).store_url).reading() as reader:
            row = reader.ledger(ANALYTICS)[day]
        assert row.unreconciled == []
        assert row.totals is not None
        assert row.users == row.totals[USER_COUNT.name] == len(in_view(home, ANALYTICS, day))
    assert logins(home, AGGREGATED) == sorted(everybody)
    assert own_warnings(caplog) == []
    kinds = (".csv", ".json", ".ndjson")
    written = [path for path in home.path.rglob("*") if path.suffix in kinds]
    names = {member.name.encode() for member in in_each_store.organization.accounts}
    assert len(written) == 4 * len(DAYS) + 2
    assert not [path for path in written for name in names if name in path.read_bytes()]


def test_left_out_account_does_not_name_its_person(home: Home) -> None:
    """Not even if its name is the person's newest one."""
    ada, day = "ada@example.com", NEWEST
    url = sqlite_url(home.path / "usage.db")
    both = [usage_of(ada, chat_messages=4), usage_of("nightly", chat_messages=6)]
    put(url, {day: both})
    people = home.path / "people.csv"
    people.write_text(f"email,login,id\n{ada},ada,7\nnightly,ada,7\n")
    home.settings |= {"STORE_URL": url, "METRICS_SOURCE": ANALYTICS, "IDENTITY_FILE": f"{people}"}
    left_out(home)
    (folder,) = home.run("export", f"{day}").paths
    assert marks(folder / f"augment_metrics_{day}.csv") == {ada: "false"}
    for name in (f"copilot_metrics_{day}.json", AGGREGATED):
        assert [record["user_login"] for record in json.loads((folder / name).read_bytes())] == [
            ada
        ]
    assert [row[0] for row in read_report(folder / REPORT).rows or []] == [ada]


@pytest.mark.slow
def test_including_accounts_again_needs_no_request(home: Home, spring: Simulator) -> None:
    left_out(home)
    fetch(home, FIRST, LAST)
    del home.settings["INCLUDE_SERVICE_ACCOUNTS"]
    spring.requests.clear()
    export_files(settings_of(home), WINDOW, None)
    assert spring.requests == []
    for day in DAYS:
        assert logins(home, f"copilot_metrics_{day}.json") == sorted(
            people(spring, day) | accounts(spring, day)
        )
    assert accounts(spring, FIRST) < set(logins(home, AGGREGATED))


@pytest.mark.parametrize("included", ["true", "false"])
def test_a_period_marks_them_or_leaves_them_out(
    home: Home, start_api: Start, included: str
) -> None:
    sim = start_api()
    home.settings["INCLUDE_SERVICE_ACCOUNTS"] = included
    result = home.run(f"{yesterday()}")
    assert result.code == 0, result.err
    users, _tenant = result.paths
    expected = dict.fromkeys(people(sim, yesterday()), "false")
    if included == "true":
        expected |= dict.fromkeys(accounts(sim, yesterday()), "true")
    assert marks(users) == expected
    assert accounts(sim, yesterday()) <= in_view(home, ANALYTICS, yesterday()).keys()


@pytest.mark.slow
def test_day_of_accounts_alone_is_complete(home: Home, start_api: Start, caplog: Log) -> None:
    start_api(Organization(users=0, service_accounts=2, today=TODAY))
    left_out(home)
    fetch(home, FIRST, LAST)
    assert [logins(home, f"copilot_metrics_{day}.json") for day in DAYS] == [[], [], []]
    assert [counts["users"] for counts in manifest(home).values()] == [0, 0, 0]
    assert "without a single user" not in caplog.text


@pytest.mark.slow
def test_pseudonyms_are_theirs_too(home: Home, spring: Simulator) -> None:
    rename = with_key(home)
    fetch(home, FIRST, LAST)
    for day in DAYS:
        expected = {
            **{rename(name): "false" for name in people(spring, day)},
            **{rename(name): "true" for name in accounts(spring, day)},
        }
        assert csv_marks(home, day) == expected
        assert logins(home, f"copilot_metrics_{day}.json") == sorted(expected)
        assert {f"{mark}".lower() for mark in in_parquet(home)[day].values()} == {"true", "false"}
        assert in_parquet(home)[day].keys() == expected.keys()
    kinds = (".csv", ".json", ".ndjson")
    written = [path for path in home.path.rglob("*") if path.suffix in kinds]
    names = {member.name.encode() for member in spring.organization.members}
    assert not [path for path in written for name in names if name in path.read_bytes()]


@pytest.mark.slow
def test_manifest_hides_account_of_failed_day(home: Home, spring: Simulator) -> None:
    with_key(home)
    spring.add_fault(Fault(repeat_user(changed=True), USERS, LAST))
    with pytest.raises(DaysMissing):
        fetch(home, FIRST, LAST)
    reason = manifest(home)[f"{LAST}"]["reason"]
    assert "came twice" in reason
    assert not [name for name in accounts(spring, LAST) if name in reason]


def test_name_of_person_and_account_is_an_error(home: Home, spring: Simulator) -> None:
    def same_name(users: list[Json]) -> list[Json]:
        """Give the last user, a service account, the first user's address and figures."""
        account = {"service_account_name": users[0]["user_email"]}
        person = {name: value for name, value in users[0].items() if name != "user_email"}
        return [*users[:-1], {**account, **person}]

    spring.add_fault(Fault(of_list("users", same_name), USERS, FIRST))
    with pytest.raises(ContractBroken, match="came twice"):
        backfill(home, FIRST, FIRST)


@pytest.mark.parametrize("fields", ["both", "none"])
def test_user_is_person_or_account(home: Home, spring: Simulator, fields: str) -> None:
    def change(users: list[Json]) -> list[Json]:
        names = {"user_email": "ada@example.com", "service_account_name": "bot"}
        rest = {name: value for name, value in users[0].items() if name not in names}
        return [{**rest, **(names if fields == "both" else {})}, *users[1:]]

    spring.add_fault(Fault(of_list("users", change), USERS, FIRST))
    with pytest.raises(ContractBroken, match=f"{fields} of user_email and service_account_name"):
        backfill(home, FIRST, FIRST)


@on_sqlite
@pytest.mark.slow
def test_one_of_them_is_forgotten_by_its_name(
    home: Home, in_each_store: Simulator, capsys: Capture
) -> None:
    home.settings |= {"FETCH_CREDITS": "true"}
    backfill(home, FIRST, LAST)
    name = min(accounts(in_each_store, FIRST))
    days = [day for day in DAYS if name in accounts(in_each_store, day)]
    capsys.readouterr()
    views = ("user_days", "editor_language_days", "credit_days")
    with pytest.raises(UsageError, match=f"did you mean {name}"):
        forget(home, name.upper())
    forget(home, name)
    # One row in every view for each day: a service account works only on the command line.
    assert capsys.readouterr().out == f"{len(days) * len(views)} rows removed\n"
    for day in DAYS:
        everybody = people(in_each_store, day) | accounts(in_each_store, day)
        assert in_view(home, ANALYTICS, day).keys() == everybody - {name}
    for view in views:
        query = f"SELECT count(*) FROM {view} WHERE user_login = '{name}'"
        assert sql(settings_of(home).store_url, query) == [(0,)]


@on_sqlite
@pytest.mark.slow
def test_the_dashboards_users_are_all_people(home: Home, in_each_store: Simulator) -> None:
    home.sign_in(in_each_store)
    home.settings |= {"METRICS_API_BASE_URL": in_each_store.url, "METRICS_SOURCE": DASHBOARD}
    fetch(home, FIRST, LAST)
    exported = in_parquet(home, DASHBOARD)
    for day in DAYS:
        found = in_view(home, DASHBOARD, day)
        assert people(in_each_store, day) <= found.keys()
        assert set(found.values()) == {False}
        assert exported[day] == found
        header, *_ = parse((folder_of(home) / f"augment_metrics_{day}.csv").read_bytes())
        assert SERVICE_ACCOUNT_TITLE not in header


@pytest.mark.parametrize("shown", ["true", "false"])
@pytest.mark.slow
def test_convert_follows_service_account_setting(home: Home, spring: Simulator, shown: str) -> None:
    fetch(home, FIRST, LAST)
    home.settings["INCLUDE_SERVICE_ACCOUNTS"] = shown
    target = home.path / "converted.json"
    file = folder_of(home) / f"augment_metrics_{FIRST}.csv"
    convert(settings_of(home), file, (None, None, None), target)
    logins = {record["user_login"] for record in json.loads(target.read_bytes())}
    assert bool(logins & accounts(spring, FIRST)) == (shown == "true")
    assert logins - accounts(spring, FIRST) == people(spring, FIRST)
