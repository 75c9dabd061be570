"""`people`, `status` and the CSVs of classes: nobody is left out silently."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from conftest import Home
from dashboard_scraper.across.tables import PEOPLE_CSV, USAGE_CSV
from dashboard_scraper.cli.commands.people import print_people
from dashboard_scraper.cli.commands.status import print_status
from dashboard_scraper.errors import DaysMissing, UsageError
from dashboard_scraper.model.costs import Account, Cost, CostDay, CostFigures
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.seats import Seat
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.store import store_at
from filled_store import FETCHED, LAST, SOURCE, figures_of
from source_kinds import register
from stored_days import settings_of
from toy_logins import NAME as LOGINS

Capture = pytest.CaptureFixture[str]
ADA, BEN, CYD = (f"{name}@example.com" for name in ("ada", "ben", "cyd"))
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
WINDOW = Window(LAST - timedelta(1), LAST)


@pytest.fixture
def home_of_two(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Two sources; the second misses a day, has seats, and identifies people by login."""
    register(monkeypatch)
    home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
    home.settings |= {"SOURCES": f"{SOURCE},{LOGINS}", "METRICS_SOURCE": "all"}
    (home.path / "identities.csv").write_text(f"email,login,id,team\n{ADA},ada-m,11,core\n")
    (home.path / "roster.csv").write_text(
        f"email,name,team,seats,left\n{ADA},Ada,core,{SOURCE},\n{CYD},Cyd,core,{SOURCE},2026-10-30\n"
    )
    home.settings |= {"IDENTITY_FILE": "identities.csv", "ROSTER_FILE": "roster.csv"}
    store = store_at(home.settings["STORE_URL"])
    bot = UserUsage("bot", figures_of(chat_messages=7), service=True)
    with store.locked(), store.opened():
        for day in WINDOW.days():
            users = [used(ADA), bot, used(CYD)]
            store.put(SOURCE, DayUsage(day, users), FETCHED)
        store.put(LOGINS, DayUsage(LAST, [used("ada-m", 2), used("zed")]), FETCHED)
        store.put_seats(LOGINS, [Seat("ada-m"), Seat(BEN)], FETCHED)
    return home


def used(name: str, messages: int = 1) -> UserUsage:
    return UserUsage(name, figures_of(chat_messages=messages))


def run(home: Home, window: Window | None = WINDOW, **form: bool) -> None:
    options = {"as_json": False, "as_csv": False} | form
    print_people(settings_of(home), window, NOW, only=None, **options)


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))


def test_everybody_is_listed_with_class_and_seat(home_of_two: Home, capsys: Capture) -> None:
    run(home_of_two)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:6] == [
        f"active                  {ADA}  {SOURCE} ({LAST}, seat); {LOGINS} ({LAST}, seat)",
        f"left but still active   {CYD}  {SOURCE} ({LAST}, seat)",
        f"never seen              {BEN}  {LOGINS} (not active, seat)",
        f"unattributed            bot  {SOURCE} ({LAST})",
        f"unattributed            zed  {LOGINS} ({LAST})",
        f"people from {WINDOW.start} to {WINDOW.end}, each in one class:",
    ]
    assert (
        f"  {LOGINS}: 1 login or id without a known address, which IDENTITY_FILE can give: zed"
        in lines
    )
    assert f"  {LOGINS}: 1 day missing ({WINDOW.start})" in "\n".join(lines)


def test_csv_of_people_has_each_of_them_once(home_of_two: Home, capsys: Capture) -> None:
    run(home_of_two, as_csv=True)
    printed = capsys.readouterr().out.split()
    assert printed == [f"{home_of_two.data / name}" for name in (USAGE_CSV, PEOPLE_CSV)]
    rows = {row["User"]: row for row in rows_of(home_of_two.data / PEOPLE_CSV)}
    assert rows.keys() == {ADA, BEN, CYD, "bot", "zed"}
    assert rows[ADA] == {
        "User": ADA,
        "Class": "active",
        "Name": "Ada",
        "Team": "",
        "Started": "",
        "Left": "",
        f"{SOURCE} class": "active",
        f"{SOURCE} accounts": ADA,
        f"{SOURCE} seat": "yes",
        f"{SOURCE} active days": "2",
        f"{SOURCE} last active": f"{LAST}",
        f"{LOGINS} class": "active",
        f"{LOGINS} accounts": "ada-m",
        f"{LOGINS} seat": "yes",
        f"{LOGINS} active days": "1",
        f"{LOGINS} last active": f"{LAST}",
    }
    assert rows[CYD]["Left"] == "2026-10-30"
    assert (rows[BEN][f"{LOGINS} class"], rows[BEN][f"{SOURCE} seat"]) == ("never_seen", "no")


def test_csv_of_usage_adds_up_in_each_source(home_of_two: Home) -> None:
    run(home_of_two, as_csv=True)
    rows = rows_of(home_of_two.data / USAGE_CSV)
    sums = {
        source: sum(int(row["Chat Messages"]) for row in rows if row["Source"] == source)
        for source in (SOURCE, LOGINS)
    }
    assert sums == {SOURCE: 2 * (1 + 7 + 1), LOGINS: 3}
    people = {(row["Source"], row["Class"]): row["People"] for row in rows}
    assert people[SOURCE, "left_active"] == people["all", "left_active"] == "1"
    assert people["all", "unattributed"] == "2"
    assert {row["Chat Messages"] for row in rows if row["Source"] == "all"} == {""}
    assert {row["Missing Days"] for row in rows if row["Source"] == LOGINS} == {"1"}


def test_days_without_costs_are_counted_beside_them(home_of_two: Home) -> None:
    """A sum over half of the days must not look like one over all of them."""
    store = store_at(home_of_two.settings["STORE_URL"])
    spent = Cost(ADA, Account.PERSON, "MODEL", "m", CostFigures(billed=Decimal("1.5")))
    with store.locked(), store.opened():
        store.put_costs(SOURCE, CostDay(LAST, [spent], None), FETCHED)
    run(home_of_two, as_csv=True)
    rows = rows_of(home_of_two.data / USAGE_CSV)
    found = {(row["Source"], row["Missing Days"], row["Missing Days of Costs"]) for row in rows}
    assert found == {(SOURCE, "0", "1"), (LOGINS, "1", ""), ("all", "", "")}
    assert {row["Billed"] for row in rows if row["Source"] == SOURCE} == {"0", "1.5"}
    assert {row["Billed"] for row in rows if row["Source"] != SOURCE} == {""}


def test_accounts_with_costs_alone_are_listed_as_others(home_of_two: Home, capsys: Capture) -> None:
    """Only in their source; service accounts only if they are shown."""
    accounts = {"deb@example.com": Account.PERSON, "builder": Account.SERVICE_ACCOUNT}
    costs = [Cost(name, each, "MODEL", "m", CostFigures(1)) for name, each in accounts.items()]
    store = store_at(home_of_two.settings["STORE_URL"])
    with store.locked(), store.opened():
        store.put_costs(SOURCE, CostDay(LAST, costs, None), FETCHED)
    lines = {
        f"never seen              deb@example.com  {SOURCE} (not active)",
        f"unattributed            builder  {SOURCE} (not active)",
    }
    run(home_of_two)
    assert lines <= {*capsys.readouterr().out.splitlines()}
    home_of_two.settings["INCLUDE_SERVICE_ACCOUNTS"] = "false"
    run(home_of_two)
    assert "builder" not in capsys.readouterr().out
    run(home_of_two, as_csv=True)
    rows = {row["User"] for row in rows_of(home_of_two.data / PEOPLE_CSV)}
    assert rows == {ADA, BEN, CYD, "deb@example.com", "zed"}


def test_names_are_hidden_where_outputs_hide_them(home_of_two: Home, capsys: Capture) -> None:
    home_of_two.settings["REPORT_USERS"] = "false"
    run(home_of_two, as_csv=True)
    assert not list(home_of_two.data.glob("people_by_class*"))
    (home_of_two.data / PEOPLE_CSV).write_text("of an earlier run")
    run(home_of_two, as_csv=True)
    assert not (home_of_two.data / PEOPLE_CSV).exists()
    capsys.readouterr()
    run(home_of_two)
    print_status(settings_of(home_of_two), NOW, as_json=False, max_age=None, check=False)
    printed = capsys.readouterr().out
    assert "1 login or id without a known address, which IDENTITY_FILE can give\n" in printed
    assert not any(name in printed for name in (ADA, "zed", "bot ", "Cyd"))


def test_pseudonyms_leave_nothing_of_the_person(home_of_two: Home, capsys: Capture) -> None:
    (home_of_two.path / "key").write_text("0123456789abcdef" * 4)
    (home_of_two.path / "key").chmod(0o600)
    home_of_two.settings |= {"PSEUDONYM_KEY_FILE": "key", "MIN_GROUP_SIZE": "1"}
    run(home_of_two, as_csv=True)
    run(home_of_two)
    print_status(settings_of(home_of_two), NOW, as_json=True, max_age=None, check=False)
    text = capsys.readouterr().out + (home_of_two.data / PEOPLE_CSV).read_text()
    assert not any(name in text for name in ("@", "zed", "bot", "Cyd", "Ada", "core", "ada-m"))
    rows = rows_of(home_of_two.data / PEOPLE_CSV)
    assert len({row["User"] for row in rows}) == len(rows) == 5
    known = ("class", "seat", "active days", "last active")
    assert list(rows[0]) == [
        *("User", "Class"),
        *(f"{source} {title}" for source in (SOURCE, LOGINS) for title in known),
    ]


def test_status_counts_classes_and_the_unmatched(home_of_two: Home, capsys: Capture) -> None:
    print_status(settings_of(home_of_two), NOW, as_json=True, max_age=None, check=False)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)["people"]
    logins = found["sources"][1]
    assert (found["start"], found["end"]) == ("2026-10-04", f"{LAST}")
    assert (logins["source"], logins["unmatched_names"]) == (LOGINS, ["zed"])
    assert logins["counts"]["with_seat"] == 2
    assert len(logins["missing"]) == 27
    counted = found["overall"]["classes"]
    assert {each: n for each, n in counted.items() if n} == {
        "unattributed": 2,
        "left_active": 1,
        "active": 1,
        "never_seen": 1,
    }
    assert found["teams"] == [], "a team of two is not shown"


def test_login_with_a_seat_alone_is_listed_as_unmatched(home_of_two: Home, capsys: Capture) -> None:
    store = store_at(home_of_two.settings["STORE_URL"])
    with store.locked(), store.opened():
        store.put_seats(LOGINS, [Seat("ada-m"), Seat("abe")], FETCHED)
    run(home_of_two)
    assert (
        "2 logins or ids without a known address, which IDENTITY_FILE can give: abe, zed\n"
        in capsys.readouterr().out
    )


def test_teams_are_shown_from_a_size_on(home_of_two: Home, capsys: Capture) -> None:
    home_of_two.settings["MIN_GROUP_SIZE"] = "2"
    run(home_of_two)
    assert "by team" not in capsys.readouterr().out, "the third would be known from the total"
    home_of_two.settings["MIN_GROUP_SIZE"] = "1"
    run(home_of_two)
    assert "by team: core 2 of 2 in use, all others 0 of 1 in use" in capsys.readouterr().out


def test_two_seats_do_not_make_somebody_of_a_team_active(
    home_of_two: Home, capsys: Capture
) -> None:
    """Ben is in the class of several identities, whose people may or may not be active."""
    with (home_of_two.path / "identities.csv").open("a") as file:
        file.write(f"{BEN},ben-m,12,core\n")
    store = store_at(home_of_two.settings["STORE_URL"])
    with store.locked(), store.opened():
        store.put_seats(LOGINS, [Seat("ben-m"), Seat(BEN)], FETCHED)
    home_of_two.settings["MIN_GROUP_SIZE"] = "1"
    run(home_of_two)
    printed = capsys.readouterr().out
    assert f"several identities      {BEN}" in printed
    assert "all others 0 of 1 in use" in printed


def test_source_says_whom_it_leaves_out(home_of_two: Home, capsys: Capture) -> None:
    source = "claude_code"
    store = store_at(home_of_two.settings["STORE_URL"])
    with store.locked(), store.opened():
        store.put(source, DayUsage(LAST, []), FETCHED)
    run(home_of_two)
    words = info_of(source).leaves_out
    assert f"{source}: leaves out {words}" in capsys.readouterr().out
    run(home_of_two, as_csv=True)
    rows = rows_of(home_of_two.data / USAGE_CSV)
    assert {row["Leaves Out"] for row in rows if row["Source"] == source} == {words}


def test_people_need_a_day_and_a_right_roster(home_of_two: Home) -> None:
    with pytest.raises(DaysMissing, match="no day of these sources"):
        print_people(
            settings_of(home_of_two), None, NOW, only=("cursor",), as_json=True, as_csv=False
        )
    (home_of_two.path / "roster.csv").write_text("email,seats\nada@example.com,pilot\n")
    with pytest.raises(UsageError, match="row 2: 'pilot' is not an assistant"):
        run(home_of_two)
