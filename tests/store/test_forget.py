"""`forget USER`: one person is removed from the store, and the remaining figures still add up."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from datetime import date, timedelta

import pytest

from conftest import Home, Start, all_files
from dashboard_scraper.cli.commands.status import print_status
from dashboard_scraper.cli.exporting import export_files
from dashboard_scraper.errors import NotReconciled, UsageError
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import is_active
from dashboard_scraper.model.metrics import COUNTS
from dashboard_scraper.model.usage import UserUsage, sums_of
from dashboard_scraper.simulator import Fault, Organization, Simulator, raw_body
from dashboard_scraper.sources.dashboard.fields import FIELDS
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.store import LedgerDay
from databases import on_sqlite
from stored_days import (
    NOON,
    TENANT,
    TODAY,
    USERS,
    backfill,
    fetch,
    forget,
    ledger,
    march,
    record_of,
    settings_of,
    sql,
    stored_users,
)

Capture = pytest.CaptureFixture[str]
StoredUsers = dict[date, list[UserUsage]]
FIRST, LAST = march(3), march(9)
SETTLED, UNSETTLED = [march(day) for day in (3, 4, 5, 6)], [march(day) for day in (7, 8, 9)]


@pytest.fixture
def spring(start: Start, store_url: str) -> Simulator:
    """A simulator of six users whose today is 10 March 2025; on each database in turn."""
    assert store_url
    return start(Organization(users=6, today=TODAY))


def busiest(home: Home) -> str:
    """The user who was active on most of the days in the store."""
    users = [user for users in stored_users(home).values() for user in users]
    active = [user.user for user in users if is_active(user.figures)]
    return max(sorted(set(active)), key=active.count)


def without(stored: StoredUsers, user: str) -> StoredUsers:
    return {day: [each for each in users if each.user != user] for day, users in stored.items()}


def answer(*records: dict[str, object]) -> bytes:
    return json.dumps({"userFeatureStats": records}).encode()


def stands_in_files(home: Home, user: str) -> bool:
    """Whether any file in the store's folder contains the address."""
    files = [path.read_bytes() for path in home.data.rglob("*") if path.is_file()]
    return any(re.search(re.escape(user.encode()), data, re.IGNORECASE) for data in files)


def assert_counted(row: LedgerDay, users: list[UserUsage]) -> None:
    """The ledger's figures of a day are those of the remaining users."""
    assert row.users == len(users)
    assert row.active_users == sum(is_active(user.figures) for user in users)
    assert row.sums == sums_of(users)


@pytest.mark.usefixtures("spring")
@pytest.mark.slow
def test_forget_removes_a_person_from_rows_and_sums_of_all_days(home: Home) -> None:
    backfill(home, FIRST, LAST)
    stored, before, user = stored_users(home), ledger(home), busiest(home)
    activity = {
        day: [is_active(each.figures) for each in users if each.user == user]
        for day, users in stored.items()
    }
    assert {True, False} == {active for days in activity.values() for active in days}
    days = [day for day, found in activity.items() if found]
    assert len(days) > 3
    result = home.run("forget", user)
    assert result.code == 0, result.err
    assert result.out == f"{len(days)} rows removed\n"
    assert "export them again" in result.err
    after, users = ledger(home), stored_users(home)
    assert users == without(stored, user)
    assert sum(map(len, users.values())) > 10
    for day, row in after.items():
        assert_counted(row, users[day])
        assert row.users == before[day].users - len(activity[day])
        assert row.active_users == before[day].active_users - sum(activity[day])
        assert row.forgotten == len(activity[day])
        assert (row.totals, row.status) == (before[day].totals, before[day].status)
        assert row.fetched_at == before[day].fetched_at
    assert any(row.sums != before[day].sums for day, row in after.items())
    again = home.run("forget", user)
    assert (again.code, again.out) == (2, "")
    assert stored_users(home) == users


@pytest.mark.parametrize(
    ("store_url", "written"),
    [
        ("sqlite", "ADA@EXAMPLE.COM"),
        ("postgresql", "aDa@example.COM"),
    ],
    indirect=["store_url"],
)
@pytest.mark.slow
def test_forget_ignores_capitals_in_addresses(
    home: Home, spring: Simulator, capsys: Capture, written: str
) -> None:
    two = answer(*map(record_of, ("Ada@Example.com", "ada@example.com", "bob@example.com")))
    spring.add_fault(Fault(raw_body(two), USERS, FIRST))
    spring.add_fault(Fault(raw_body(answer(record_of("ada@example.com"))), USERS, march(4)))
    with pytest.raises(NotReconciled):  # the dashboard's totals are still everybody's
        backfill(home, FIRST, march(4))
    capsys.readouterr()
    forget(home, written)
    assert capsys.readouterr().out == "3 rows removed\n"
    names = {day: [user.user for user in users] for day, users in stored_users(home).items()}
    assert names == {FIRST: ["bob@example.com"], march(4): []}
    assert [row.forgotten for row in ledger(home).values()] == [2, 1]


@on_sqlite
@pytest.mark.usefixtures("spring")
@pytest.mark.slow
def test_forget_refuses_unknown_user(home: Home) -> None:
    backfill(home, FIRST, march(4))
    before, rows, user = ledger(home), stored_users(home), busiest(home)
    for unknown in ("nobody@example.com", user[:-1], f"{user} x", "%", user.replace("@", "_")):
        with pytest.raises(UsageError, match="has no day of"):
            forget(home, unknown)
    assert (ledger(home), stored_users(home)) == (before, rows)


def test_forget_without_store_creates_nothing(home: Home, empty_place: str) -> None:
    result = home.run("forget", "ada@example.com")
    assert (result.code, result.out) == (2, "")
    assert "there is no store" in result.err
    assert list(home.path.iterdir()) == []
    if empty_place.startswith("postgresql"):
        tables = "SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        assert sql(empty_place, tables) == []


@on_sqlite
@pytest.mark.usefixtures("spring")
@pytest.mark.slow
def test_manifest_counts_forgotten_users(home: Home, capsys: Capture) -> None:
    backfill(home, FIRST, march(5))
    user = busiest(home)
    forget(home, user)
    capsys.readouterr()
    export_files(settings_of(home), Window(FIRST, march(5)), home.path / "out")
    manifest = json.loads((home.path / "out" / "manifest.json").read_bytes())
    assert [day["forgotten"] for day in manifest["days"]] == [1, 1, 1]
    assert [day["users"] for day in manifest["days"]] == [
        len(users) for users in stored_users(home).values()
    ]
    written = b"".join(path.read_bytes() for path in all_files(home.path / "out"))
    assert b"@example.com" in written
    assert user.encode() not in written
    capsys.readouterr()
    print_status(settings_of(home), NOON, as_json=True, max_age=None, check=False)
    found = json.loads(capsys.readouterr().out)
    assert found["sources"][0]["forgotten"] == [f"{march(day)}" for day in (3, 4, 5)]


@on_sqlite
def test_sum_is_known_once_unknown_user_is_forgotten(home: Home, spring: Simulator) -> None:
    unknown, other = COUNTS[0], COUNTS[2]
    hidden = {FIELDS[unknown]: None}
    bob = record_of("bob@example.com", **{FIELDS[other]: 5})
    users = [record_of("ada@example.com", **hidden), bob]
    both = [*users, record_of("cyd@example.com", **hidden)]
    spring.add_fault(Fault(raw_body(answer(*users)), USERS, FIRST))
    spring.add_fault(Fault(raw_body(answer(*both)), USERS, march(4)))
    with pytest.raises(NotReconciled):
        backfill(home, FIRST, march(4))
    assert [row.sums[unknown] for row in ledger(home).values()] == [None, None]
    forget(home, "ada@example.com")
    ledger_before = ledger(home)
    assert [row.sums[unknown] for row in ledger_before.values()] == [1, None]
    assert [row.sums[other] for row in ledger_before.values()] == [5, 6]
    for day, left in stored_users(home).items():
        assert_counted(ledger_before[day], left)


@on_sqlite
@pytest.mark.slow
def test_day_without_remaining_users_has_zero_sums(home: Home, spring: Simulator) -> None:
    spring.add_fault(Fault(raw_body(answer(record_of("ada@example.com"))), USERS, FIRST))
    with pytest.raises(NotReconciled):
        backfill(home, FIRST, FIRST)
    forget(home, "ada@example.com")
    row = ledger(home)[FIRST]
    assert (row.users, row.active_users, row.forgotten) == (0, 0, 1)
    known = info_of(row.source).metrics
    # Nobody is left from whom the other metrics could be known.
    assert all(row.sums[metric] == (0 if metric in known else None) for metric in COUNTS)
    assert stored_users(home) == {FIRST: []}


@pytest.mark.slow
def test_no_sqlite_file_contains_a_forgotten_address(home: Home, start: Start) -> None:
    """Even while another program has the store open, and after days were replaced, whose old rows
    are in freed pages. With many users, because SQLite leaves copies where it has moved rows
    between pages; `secure_delete` does not overwrite them, here of user 136.
    """
    start(Organization(users=150, today=TODAY))
    file = home.data / "usage.db"
    home.settings |= {"STORE_URL": f"sqlite:///{file}", "MAX_CONCURRENCY": "1"}
    for day in (9, 3, 7, 5, 8, 4, 6):
        backfill(home, march(day), march(day))
    backfill(home, march(6), LAST, NOON + timedelta(hours=1))
    users = [user.user for user in stored_users(home)[LAST]]
    whole = file.read_bytes()
    for number, user in list(enumerate(users))[::34]:
        file.write_bytes(whole)
        assert stands_in_files(home, user)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            if number % 68 == 34:
                assert other.execute("SELECT count(*) FROM user_days").fetchone()[0] > 100
            forget(home, user)
        assert not stands_in_files(home, user), user
        assert stands_in_files(home, users[number - 1])


@on_sqlite
@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_forget_is_not_a_revision_of_settled_days(home: Home, spring: Simulator) -> None:
    """Fetching unsettled days again brings the person back, as the log says."""
    backfill(home, FIRST, LAST)
    before, user = stored_users(home), busiest(home)
    found = home.run("forget", user)
    assert "fetched again bring the person back" in " ".join(found.err.split())
    asked = len(spring.requests)
    fetch(home, FIRST, LAST, NOON + timedelta(hours=1))
    later = spring.requests[asked:]
    assert {each.day for each in later if each.endpoint == USERS} == set(UNSETTLED)
    assert [each.day for each in later if each.endpoint == TENANT].count(None) == 1
    after, gone = stored_users(home), without(before, user)
    assert after == {
        day: gone[day] if day in SETTLED else before[day] for day in [*SETTLED, *UNSETTLED]
    }
    assert [ledger(home)[day].forgotten for day in SETTLED] == [1] * len(SETTLED)
    assert [ledger(home)[day].forgotten for day in UNSETTLED] == [0] * len(UNSETTLED)


@on_sqlite
@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_revised_day_brings_a_forgotten_person_back(home: Home, spring: Simulator) -> None:
    backfill(home, FIRST, march(6))
    user = busiest(home)
    forget(home, user)
    spring.revise(march(4))
    fetch(home, FIRST, march(6), NOON + timedelta(hours=1))
    back = [day for day, users in stored_users(home).items() if user in {u.user for u in users}]
    assert back == [march(4)]
    assert [row.forgotten for row in ledger(home).values()] == [1, 0, 1, 1]
