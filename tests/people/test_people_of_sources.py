"""A name without `@` is a login, an id or a service account, depending on the source."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from conftest import Home, all_files
from dashboard_scraper.cli import forgetting
from dashboard_scraper.cli.exporting import export_files
from dashboard_scraper.cli.several import for_each_source
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.costs import Account, Cost, CostDay, CostFigures
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.seats import Seat
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.people.identity import people_of, read_identities
from dashboard_scraper.people.people import People
from dashboard_scraper.store import Store, store_at
from filled_store import FETCHED, LAST, SOURCE, figures_of
from stored_days import forget, settings_of, sql
from toy_ids import NAME as IDS
from toy_logins import NAME as LOGINS

pytestmark = pytest.mark.usefixtures("kinds_of_names")

ADA, OLD, BEN = (f"{name}@example.com" for name in ("ada", "ada.old", "ben"))
WINDOW = Window(LAST - timedelta(1), LAST)
ROSTER = "roster.csv"
IDENTITIES = f"""\
email,login,id,{IDS}_id
{ADA},Ada-M,11,71
{OLD},Ada-M,11,
"""


@pytest.fixture
def people(tmp_path: Path) -> People:
    file = tmp_path / "identities.csv"
    file.write_text(IDENTITIES)
    return people_of(read_identities(file))


def person(name: str, *, service: bool = False, record: str | None = None) -> UserUsage:
    return UserUsage(name, figures_of(chat_messages=1), {}, service, record)


def fill(store: Store) -> None:
    """Ada is in every source; one service account is named like her login, another like her id."""
    records = [person("ada-m", record='{"user_login": "Ada-M"}'), person("zed")]
    with store.locked(), store.opened():
        for day in (LAST - timedelta(1), LAST):
            bots = [person("71", service=True), person("ada-m", service=True)]
            store.put(SOURCE, DayUsage(day, [*bots, person(ADA), person(BEN)]), FETCHED)
            store.put(LOGINS, DayUsage(day, records), FETCHED)
            store.put(IDS, DayUsage(day, [person("71"), person(OLD), person("ada-m")]), FETCHED)
            costs = [
                Cost(name, account, "MODEL", "m", CostFigures(input_tokens=1))
                for name, account in (
                    ("71", Account.PERSON),
                    (OLD, Account.PERSON),
                    ("ada-m", Account.SERVICE_ACCOUNT),
                )
            ]
            store.put_costs(IDS, CostDay(day, costs, None), FETCHED)
        store.put_seats(LOGINS, [Seat("ada-m"), Seat("zed")], FETCHED)


def test_views_have_one_person_for_all_names(store_url: str, people: People) -> None:
    fill(store_at(store_url, people))
    found = sql(
        store_url,
        "SELECT DISTINCT source, user_login, person FROM user_days WHERE user_login IN"
        " ('71', 'ada-m', 'zed') ORDER BY source, user_login",
    )
    assert found == [
        (SOURCE, "71", "71"),
        (SOURCE, "ada-m", "ada-m"),
        (IDS, "71", ADA),
        (IDS, "ada-m", f"{IDS}:ada-m"),
        (LOGINS, "ada-m", ADA),
        (LOGINS, "zed", "github:zed"),
    ]
    assert sql(store_url, f"SELECT person FROM cost_days WHERE user_login = '{OLD}'") == [
        (ADA,),
        (ADA,),
    ]
    later = store_at(store_url, People())
    with later.locked(), later.opened():
        pass
    without = sql(store_url, "SELECT person FROM seats ORDER BY user_login")
    assert without == [("github:ada-m",), ("github:zed",)]


def test_forget_removes_person_from_every_source(store_url: str, people: People) -> None:
    store = store_at(store_url, people)
    fill(store)
    with store.locked(), store.opened():
        assert store.forget("ADA@example.com") == 2 * (1 + 2 + 2 + 2) + 1
        assert store.forget("ADA@example.com") == 0
    tables = {
        table: {
            tuple(row) for row in sql(store_url, f"SELECT DISTINCT source, user_login FROM {table}")
        }
        for table in ("user_day", "cost_day", "seat", "record_day", "source_person")
    }
    others = {(IDS, "ada-m"), (LOGINS, "zed")}
    assert tables == {
        "user_day": {(SOURCE, "71"), (SOURCE, "ada-m"), (SOURCE, BEN), *others},
        "cost_day": {(IDS, "ada-m")},
        "seat": {(LOGINS, "zed")},
        "record_day": set(),
        "source_person": others,
    }
    names = {name for (name,) in sql(store_url, "SELECT user_login FROM person")}
    assert names == {"71", "ada-m", "zed", BEN}
    with store.reading() as reader:
        assert [day for each in reader.sources() for day in reader.damaged_days(each)] == []
        assert {row.forgotten for row in reader.ledger(IDS).values()} == {2}
        assert {row.forgotten for row in reader.ledger(LOGINS).values()} == {1}


@pytest.fixture
def at_home(home: Home, people: People, tmp_path: Path) -> Home:
    """Files of each source in its own folder, and a file that somebody else has written."""
    home.settings |= {"STORE_URL": f"sqlite:///{home.data / 'usage.db'}"}
    home.settings |= {"SOURCES": f"{SOURCE},{LOGINS},{IDS}", "METRICS_SOURCE": "all"}
    home.settings["IDENTITY_FILE"] = f"{tmp_path / 'identities.csv'}"
    home.settings["ROSTER_FILE"] = f"{home.data / 'roster.csv'}"
    home.data.mkdir(exist_ok=True)
    fill(store_at(home.settings["STORE_URL"], people))
    (home.data / "roster.csv").write_text(f"email\n{ADA}\n")
    for_each_source(settings_of(home), lambda each: export_files(each, WINDOW, None))
    return home


def shown_in(home: Home, pattern: str) -> set[str]:
    return {
        f"{path.relative_to(home.data).parts[0]}/{path.name}"
        for path in all_files(home.data)
        if path.suffix in (".csv", ".json", ".ndjson")
        and re.search(pattern, path.read_text(), re.MULTILINE)
    }


@pytest.mark.slow
def test_forget_rewrites_the_files_of_every_source(
    at_home: Home, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = rf"{ADA}|{OLD}"
    assert {each.partition("/")[0] for each in shown_in(at_home, theirs)} == {SOURCE, IDS, ROSTER}
    namesakes = shown_in(at_home, r'(^|")(ada-m|71)[",]')
    assert {each.partition("/")[0] for each in namesakes} >= {SOURCE, IDS, LOGINS}
    capsys.readouterr()
    forget(at_home, ADA, files=True)
    assert shown_in(at_home, theirs) == {f"{ROSTER}/{ROSTER}"}
    left = shown_in(at_home, '"?ada-m[",]')
    assert {each.partition("/")[0] for each in left} == {SOURCE, IDS}, "a service account, an id"
    assert "removed " not in capsys.readouterr().out.replace("rows removed", "")
    assert f"also that of somebody else in {SOURCE}" in caplog.text
    assert f"{ROSTER} may still name the person" in caplog.text


@pytest.mark.slow
def test_forget_asks_whose_name_it_is(at_home: Home) -> None:
    with pytest.raises(UsageError, match=f"same account in {SOURCE} and in {IDS} and in {LOGINS}"):
        forget(at_home, "ada-m")
    forgetting.forget(settings_of(at_home), "ada-m", files=False, source=SOURCE)
    url = at_home.settings["STORE_URL"]
    rows = sql(url, "SELECT DISTINCT source FROM user_day WHERE user_login = 'ada-m'")
    assert {row[0] for row in rows} == {IDS, LOGINS}


@pytest.mark.parametrize(
    ("source", "left"),
    [(SOURCE, {LOGINS, IDS}), (IDS, {SOURCE, LOGINS}), (LOGINS, {SOURCE, IDS})],
)
def test_forget_removes_a_name_as_one_source_means_it(
    tmp_path: Path, source: str, left: set[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'usage.db'}"
    store = store_at(url)
    fill(store)
    with store.locked(), store.opened():
        assert store.forget("ada-m", source) > 0
    found = sql(url, "SELECT DISTINCT source FROM user_day WHERE user_login = 'ada-m'")
    assert {row[0] for row in found} == left
