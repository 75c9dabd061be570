"""Who is one person: every output has the same number of people, whatever their spellings."""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import dashboard_scraper
from conftest import Home
from dashboard_scraper.cli.conversion import convert
from dashboard_scraper.cli.exporting import export_files, export_parquet
from dashboard_scraper.cli.wiring import audience_of, github_options, report_options
from dashboard_scraper.errors import UsageError
from dashboard_scraper.exports.copilot_converter import md5_user_id
from dashboard_scraper.exports.csv_tables import users_csv
from dashboard_scraper.exports.manifest import MANIFEST
from dashboard_scraper.github.kinds import GithubOptions, Subject
from dashboard_scraper.github.reports import persons_in
from dashboard_scraper.github.seats import seats_in
from dashboard_scraper.github.views import GithubViews
from dashboard_scraper.model.addresses import cleaned
from dashboard_scraper.model.columns import sum_of
from dashboard_scraper.model.dates import DAYS, Window
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.metrics import ACCEPT_RATE
from dashboard_scraper.model.usage import EditorLanguageUsage, UserUsage
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.identity import people_of, read_identities
from dashboard_scraper.people.people import People, person_key
from dashboard_scraper.report.figures import movement_of
from dashboard_scraper.report.gather import figures_of
from dashboard_scraper.report.options import REPORT
from dashboard_scraper.server.openmetrics import open_metrics
from dashboard_scraper.settings.groups import SQLITE_PREFIX
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import DetailStatus, store_at
from dashboard_scraper.store.cache import StoreCache
from dashboard_scraper.store.schema import VIEWS
from dashboard_scraper.store.settling import Settling
from filled_store import FETCHED, LAST, MONTH, SOURCE, put, report_of, user
from filled_store import figures_of as figures
from github_schemas import user_records
from report_reading import read_report
from stored_days import forget, set_schema_version, settings_of, sql

ZOE = "Zo\u00eb@example.com"
SPELLINGS = {
    "capitals": ("Ada@Example.com", "ada@example.com"),
    "decomposed": (ZOE, unicodedata.normalize("NFD", ZOE)),
    "sharp s": ("stra\u00dfe@example.com", "STRASSE@example.com"),
    "dotted i": ("\u0130pek@example.com", "i\u0307pek@example.com"),
    "dotless i": ("\u0131lgaz@example.com", "\u0131lgaz@example.com"),
    "its plain namesake": ("ILGAZ@example.com", "ilgaz@example.com"),
    "another domain": ("bob@old.example.com", "Bob@new.example.com"),
    "unchanged": ("cyd@example.com", "cyd@example.com"),
    "service account": ("CI", "CI"),
    "its namesake": ("ci", "ci"),
}
"""Names before and after the change; the key says what changes."""

CHANGE = LAST - timedelta(3)
SHORT = Window(CHANGE - timedelta(1), LAST)
REACH = Window(LAST - timedelta(2 * DAYS - 1), LAST)
IDENTITIES = """\
email,login,id,team
BOB@OLD.example.com,bob-m,11,core
bob@new.example.com,bob-m,11,core
"""
KEY = "0123456789abcdef" * 4


def spelt(day: date) -> set[str]:
    """The source's spellings on the day; on the day of the change, both spellings are there."""
    days = [place for place, there in enumerate((day <= CHANGE, day >= CHANGE)) if there]
    return {names[place] for names in SPELLINGS.values() for place in days}


def fill(home: Home, window: Window = REACH) -> None:
    """Store days on which all these people were active, then run once with the aliases."""
    (home.path / "people.csv").write_text(IDENTITIES)
    home.settings |= {"METRICS_SOURCE": SOURCE, "IDENTITY_FILE": "people.csv"}
    home.settings["GITHUB_REPORTS_USERS_28_DAY"] = "true"
    days = {day: [user(name, chat_messages=1) for name in spelt(day)] for day in window.days()}
    put(home.settings["STORE_URL"], days)
    store = store_at(home.settings["STORE_URL"], audience_of(settings_of(home)).people)
    with store.locked(), store.opened():
        store.put_credits(SOURCE, LAST, dict.fromkeys(spelt(LAST), 1.5), FETCHED)


def json_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_bytes())
    return found


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def csv_users(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return [row["User"] for row in csv.DictReader(file)]


class Counted(NamedTuple):
    """The number of people that an output shows."""

    output: str
    people: int


def in_files(folder: Path) -> Iterable[Counted]:
    for day in MONTH.days():
        yield Counted(f"CSV of {day}", len(csv_users(folder / f"augment_metrics_{day}.csv")))
    records = [r for d in MONTH.days() for r in json_of(folder / f"copilot_metrics_{d}.json")]
    whole = json_of(folder / "copilot_metrics_aggregated.json")
    yield Counted("aggregated records", len(whole))
    yield Counted("aggregated messages", sum(r["user_initiated_interaction_count"] for r in whole))
    for field in ("user_id", "user_login"):
        yield Counted(f"JSON, {field}", len({record[field] for record in [*records, *whole]}))
    reports = folder / "github_reports"
    monthly = lines_of(reports / "users-28-day.ndjson")
    yield Counted("users-28-day", len({record["user_id"] for record in monthly}))
    yield Counted("users-28-day, logins", len({record["user_login"] for record in monthly}))
    yield Counted("records of the last day", len(lines_of(reports / f"users-1-day_{LAST}.ndjson")))
    enterprise = json.loads((reports / "enterprise-28-day.json").read_bytes())
    for day in enterprise["day_totals"]:
        yield Counted(f"active of a month, {day['day']}", day["monthly_active_users"])
        yield Counted(f"active of a day, {day['day']}", day["daily_active_users"])


def in_store(home: Home) -> Iterable[Counted]:
    settings = settings_of(home)
    audience = audience_of(settings)
    with store_at(settings.store_url).reading() as reader:
        seats = seats_in(reader, SOURCE, audience, persons_in(reader, SOURCE, audience))
        shown = figures_of(reader, SOURCE, MONTH, audience, report_options(settings))
    yield Counted("seats", len(seats))
    yield Counted("page", len(shown.now.people))
    yield Counted("page, the period before", len(shown.before.people))
    yield Counted("page, known", shown.known)
    yield from (Counted(f"page, month to {day.day}", day.month or 0) for day in shown.now.days)
    movement = movement_of(shown.now, shown.before)
    assert movement is not None
    assert (movement.new, movement.lapsed) == ([], [])
    yield Counted("page, those who stayed", len(movement.stayed))
    store, github = store_at(settings.store_url), github_options(settings)
    views = GithubViews(
        StoreCache(store), SOURCE, audience, github, Settling(3, 7), lambda: FETCHED
    )
    status, people, now = views.status(), views.people(), views.now()
    text = open_metrics(status, people, {}, {}, now, notices=(), teams={}, amounts=True).decode()
    matched = re.search(
        rf'^dashboard_scraper_people{{source="{SOURCE}"}} (\S+)$', text, re.MULTILINE
    )
    assert matched
    yield Counted("/metrics", int(float(matched[1])))


def in_views(home: Home) -> Iterable[Counted]:
    for view in ("user_days", "credit_days"):
        query = f"SELECT count(DISTINCT person), count(person), count(*) FROM {view}"
        ((persons, known, rows),) = sql(home.settings["STORE_URL"], query)
        assert known == rows
        yield Counted(view, persons)


def in_parquet(home: Home, folder: Path) -> Iterable[Counted]:
    export_parquet(settings_of(home), Window(CHANGE, LAST), f"{folder}")
    rows = pyarrow.parquet.read_table(folder).to_pylist()
    yield Counted("Parquet", len({row["person"] for row in rows}))
    yield Counted("Parquet, each day", len(rows) // (LAST - CHANGE + timedelta(1)).days)


@pytest.mark.slow
def test_every_output_counts_the_same_people(home: Home) -> None:
    home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
    fill(home)
    for name in ("plain", "hidden"):
        folder = home.path / name
        if name == "hidden":
            (home.path / "key").write_text(KEY)
            (home.path / "key").chmod(0o600)
            home.settings["PSEUDONYM_KEY_FILE"] = "key"
        export_files(settings_of(home), MONTH, folder)
        counted = [*in_files(folder), *in_store(home), *in_parquet(home, home.path / f"{name}-p")]
        assert len(counted) > 3 * DAYS
        assert {each for each in counted if each.people != len(SPELLINGS)} == {
            # One message per day, and two on the day of the change from everybody who changed.
            Counted("aggregated messages", sum(len(spelt(day)) for day in MONTH.days()))
        }
    assert {each.people for each in in_views(home)} == {len(SPELLINGS)}
    reports = folder / "github_reports"
    logins = [each["user_login"] for each in lines_of(reports / f"users-1-day_{LAST}.ndjson")]
    assert logins == sorted(logins), "the order of the addresses tells something of them"
    pseudonyms = {name for path in folder.glob("*.csv") for name in csv_users(path)}
    assert len(pseudonyms) == len(SPELLINGS)
    assert all(re.fullmatch("user-[0-9a-f]{20}", name) for name in pseudonyms)


@pytest.mark.slow
def test_window_uses_newest_spelling(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
    fill(home)
    before, after = (set(names) for names in zip(*SPELLINGS.values(), strict=True))
    export_files(settings_of(home), MONTH, home.path / "out")
    capsys.readouterr()
    for day, names in ((MONTH.start, before), (LAST, after)):
        assert set(csv_users(home.path / "out" / f"augment_metrics_{day}.csv")) == names
        records = json_of(home.path / "out" / f"copilot_metrics_{day}.json")
        assert {record["user_login"] for record in records} == after
        github = lines_of(home.path / "out" / "github_reports" / "users-28-day.ndjson")
        logins = {record["user_login"] for record in github if record["day"] == f"{day}"}
        bob = set(SPELLINGS["another domain"])
        changed = {name for name in before if name.casefold() == "ci" and name == "ci"}
        assert logins - {"ci#2"} == (before - bob - changed) | {"bob-m"}


def test_details_match_other_spelling(home: Home, store_url: str) -> None:
    assert home
    ada, other = SPELLINGS["capitals"]
    put(store_url, {LAST: [user(ada, chat_messages=2), user(other, chat_messages=3)]})
    store = store_at(store_url)
    part = replace(sum_of(()), chat_messages=5)
    with store.locked(), store.opened():
        rows = [EditorLanguageUsage("ADA@example.com", "VSCode", "Python", part)]
        store.put_editor_languages(SOURCE, LAST, rows, DetailStatus.COMPLETE, FETCHED)
        store.put_credits(SOURCE, LAST, {"ADA@example.com": 1.5, other: 2.0}, FETCHED)
    options = GithubOptions("1", with_credits=True)
    (record,) = user_records(report_of(store_url, Subject.USERS, LAST, options))
    assert record["ai_credits_used"] == 3.5
    (editor,) = record["totals_by_ide"]
    assert (editor["ide"], editor["user_initiated_interaction_count"]) == ("vscode", 5)


def test_credits_alone_make_a_person_in_views(store_url: str) -> None:
    put(store_url, {LAST: [user("ada@example.com", chat_messages=2)]})
    store = store_at(store_url)
    with store.locked(), store.opened():
        store.put_credits(SOURCE, LAST, {"Ben@example.com": 2.0}, FETCHED)
    assert sql(store_url, "SELECT person FROM credit_days") == [("ben@example.com",)]


def test_convert_merges_spellings(home: Home) -> None:
    file = home.path / f"saved-{LAST}.csv"
    two = [user(name, chat_messages=2) for name in SPELLINGS["capitals"]]
    file.write_bytes(users_csv(two, DASHBOARD))
    convert(settings_of(home), file, (None, None, None), None)
    (record,) = json_of(file.with_suffix(".json"))
    assert record["user_initiated_interaction_count"] == 4
    assert record["user_id"] == md5_user_id("ada@example.com")


def test_what_is_unknown_of_one_spelling_hides_no_flag_of_another(home: Home) -> None:
    """The sum of messages is unknown but above zero, and so it is in every record of the person."""
    two = [
        user(name, chat_messages=chat, ide_agent_messages=agent)
        for name, chat, agent in zip(SPELLINGS["capitals"], (None, 3), (2, None), strict=True)
    ]
    home.settings |= {"STORE_URL": f"sqlite:///{home.path}/usage.db", "METRICS_SOURCE": SOURCE}
    put(home.settings["STORE_URL"], {LAST: two})
    folder, file = home.path / "out", home.path / f"saved-{LAST}.csv"
    export_files(settings_of(home), Window(LAST, LAST), folder)
    file.write_bytes(users_csv(two, DASHBOARD))
    convert(settings_of(home), file, (None, None, None), None)
    with dashboard_scraper.open_store(home.settings["STORE_URL"]) as store:
        records = [*store.copilot_records(LAST, LAST, "1")]
    for path in (*folder.glob("copilot_metrics_*.json"), file.with_suffix(".json")):
        records += json_of(path)
    assert len(records) == 4
    for record in records:
        assert record["user_initiated_interaction_count"] is None
        assert (record["used_chat"], record["used_agent"]) == (True, True)


def test_what_is_unknown_of_an_idle_spelling_is_unknown_in_the_window(home: Home) -> None:
    """As it is for the day, although the spelling has no record and its day is in no sum."""
    one, other = SPELLINGS["capitals"]
    idle = UserUsage(one, figures(chat_messages=None, active_days=0))
    alone = UserUsage("ben@example.com", idle.figures)
    home.settings |= {"STORE_URL": f"sqlite:///{home.path}/usage.db", "METRICS_SOURCE": SOURCE}
    before = LAST - timedelta(1)
    put(
        home.settings["STORE_URL"],
        {
            before: [user(other, chat_messages=2), user(alone.user, chat_messages=3)],
            LAST: [idle, user(other, chat_messages=5), alone],
        },
    )
    export_files(settings_of(home), Window(before, LAST), home.path / "out")
    (of_day,) = json_of(home.path / "out" / f"copilot_metrics_{LAST}.json")
    whole = json_of(home.path / "out" / "copilot_metrics_aggregated.json")
    messages = "user_initiated_interaction_count"
    assert of_day[messages] is None
    assert [(each["user_login"], each[messages]) for each in whole] == [
        (other, None),
        (alone.user, 3),
    ]
    assert [each["used_chat"] for each in whole] == [True, True]
    assert home.run("report", f"{before:%m-%d-%Y}", f"{LAST:%m-%d-%Y}").code == 0
    rows = read_report(home.data / REPORT).rows or []
    assert [(name, messages) for name, messages, *_ in rows] == [(alone.user, 3), (other, None)]


def test_person_is_idle_in_every_output_where_each_spelling_is(home: Home) -> None:
    """One spelling's unknown messages were none; the other's only unknown is its active days."""
    one, other = SPELLINGS["capitals"]
    two = [
        UserUsage(one, figures(chat_messages=None, active_days=0)),
        UserUsage(other, figures(active_days=None)),
    ]
    home.settings |= {"STORE_URL": f"sqlite:///{home.path}/usage.db", "METRICS_SOURCE": SOURCE}
    put(home.settings["STORE_URL"], {LAST: [*two, user("ben@example.com", chat_messages=3)]})
    folder = home.path / "out"
    export_files(settings_of(home), Window(LAST, LAST), folder)
    (day,) = json.loads((folder / MANIFEST).read_bytes())["days"]
    assert day["active_users"] == 1
    for path in (*folder.glob("copilot_metrics_*.json"), *folder.rglob("users-1-day_*.ndjson")):
        records = lines_of(path) if path.suffix == ".ndjson" else json_of(path)
        assert [record["user_login"] for record in records] == ["ben@example.com"], path


def moment(day: int) -> Any:
    return FETCHED.replace(day=day)


def usage(name: str, **known: Any) -> UserUsage:
    extra = known.pop("extra", {})
    return UserUsage(name, replace(sum_of(()), **known), extra)


def of(usage: UserUsage, *names: str) -> list[Any]:
    return [getattr(usage.figures, name) for name in names]


def test_two_spellings_of_a_day_are_added_up() -> None:
    two = [
        usage("Ada@example.com", completions_count=10, completions_accepted=1, chat_messages=None,
              active_days=1, first_seen=moment(3), last_seen=moment(4), extra={"a": 1, "b": "x"}),
        usage("ada@example.com", completions_count=10, completions_accepted=9, chat_messages=5,
              active_days=1, first_seen=moment(2), last_seen=moment(9), extra={"a": 2, "b": "x"}),
        usage("bob@example.com", chat_messages=1),
    ]  # fmt: skip
    ada, bob = Audience().shown(two)
    assert (ada.user, bob) == ("ada@example.com", two[2])
    names = ("completions_count", "completions_accepted", ACCEPT_RATE.name, "chat_messages")
    assert of(ada, *names) == [20, 10, 50.0, None]
    assert of(ada, "first_seen", "last_seen") == [moment(2), moment(9)]
    assert ada.extra == {"a": None, "b": "x"}
    assert of(ada, "active_days") == [1]
    ada, _ = Audience().shown(two, days=30)
    assert of(ada, "active_days") == [None]  # 1 or 2, which cannot be known


@pytest.mark.parametrize("unknown", ["first_seen", "last_seen", "active_days"])
def test_unknown_for_one_spelling_is_unknown(unknown: str) -> None:
    known = {"first_seen": moment(3), "last_seen": moment(4), "active_days": 1}
    two = [usage("Ada@x.example", **known), usage("ada@x.example", **{**known, unknown: None})]
    (ada,) = Audience().shown(two)
    assert of(ada, *known) == [None if name == unknown else known[name] for name in known]


@settings(max_examples=100)
@given(st.text(min_size=1).filter(lambda text: "@" not in text))
def test_key_is_idempotent_over_spellings(text: str) -> None:
    address = f"{text}@example.com"
    key = person_key(address)
    assert person_key(key) == key == unicodedata.normalize("NFC", key)
    for form in ("NFC", "NFD"):
        assert person_key(unicodedata.normalize(form, address)) == key
    assert person_key(text) == cleaned(text) == cleaned(cleaned(text))


@pytest.mark.parametrize("name", ["Ada@Example.com", "CI", "ci"])
def test_key_of_plain_address_is_lower_case(name: str) -> None:
    assert person_key(name) == (name.lower() if "@" in name else name)


def test_next_run_updates_aliases_in_views(home: Home, store_url: str) -> None:
    fill(home, SHORT)
    old, new = SPELLINGS["another domain"]
    query = f"SELECT DISTINCT person FROM user_days WHERE user_login = '{new}'"
    assert sql(store_url, query) == [(old,)]
    store = store_at(store_url, People())
    with store.locked(), store.opened():
        pass
    assert sql(store_url, query) == [(person_key(new),)]


def test_an_older_store_gets_its_persons(home: Home, store_url: str) -> None:
    """An earlier version's store lacks the table, and its views lack the column."""
    fill(home, SHORT)
    for view in VIEWS:
        sql(store_url, f"DROP VIEW {view}")
    sql(store_url, "DROP TABLE person")
    sql(store_url, "CREATE VIEW user_days AS SELECT * FROM user_day")
    set_schema_version(store_url, 2)
    store = store_at(store_url, people_of(read_identities(home.path / "people.csv")))
    with store.locked(), store.opened():
        pass
    assert {each.people for each in in_views(home)} == {len(SPELLINGS)}


@pytest.mark.parametrize(
    ("store_url", "form"),
    [
        pytest.param("sqlite", 1, id="sqlite-after"),
        pytest.param("postgresql", 0, id="postgresql-before"),
    ],
    indirect=["store_url"],
)
@pytest.mark.slow
def test_forget_leaves_nothing_of_any_spelling(home: Home, store_url: str, form: int) -> None:
    """Whether the spelling before or after a change is given."""
    fill(home, SHORT)
    extra: dict[str, Cell] = {"lead": f"by <{ZOE}>", "other": "cyd@example.com"}
    dan = UserUsage("dan@example.com", figures(chat_messages=1), extra)
    put(store_url, {LAST - timedelta(100): [dan]})
    for what, names in SPELLINGS.items():
        forget(home, names[form])
        gone = set(names)
        for view in ("user_days", "credit_days"):
            left = {row[0] for row in sql(store_url, f"SELECT DISTINCT user_login FROM {view}")}
            assert not left & gone, what
        if store_url.startswith(SQLITE_PREFIX) and "account" not in what and "its" not in what:
            data = b"".join(path.read_bytes() for path in home.data.iterdir())
            assert not [name for name in gone if name.encode() in data], what
    with pytest.raises(UsageError, match="has no day of"):
        forget(home, ZOE)
    assert sql(store_url, "SELECT DISTINCT user_login FROM user_days") == [(dan.user,)]
    ((left,),) = sql(store_url, "SELECT extra FROM user_days")
    assert json.loads(left) == {"lead": "by <forgotten>", "other": "forgotten"}


def test_forget_distinguishes_service_case(home: Home, store_url: str) -> None:
    """Otherwise, repeating the same command would remove the other account."""
    put(store_url, {LAST: [user("CI"), user("ci")]})
    forget(home, "CI")
    for again in range(2):
        with pytest.raises(UsageError, match=r"case-sensitive; did you mean ci\?"):
            forget(home, ("CI", "Ci")[again])
    assert sql(store_url, "SELECT user_login FROM user_days") == [("ci",)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a@x.example,ada,1\nb@x.example,ada,2\n", "row 3"),
        ("a@x.example,ada,1\nb@x.example,bob,1\n", "row 3"),
        ("a@x.example,ada,1\nb@x.example,Ada,1\n", "row 3"),
    ],
    ids=["one login, two ids", "one id, two logins", "a login in two spellings"],
)
def test_contradicting_aliases_are_refused(tmp_path: Path, rows: str, message: str) -> None:
    (tmp_path / "people.csv").write_text(f"email,login,id\n{rows}")
    with pytest.raises(UsageError, match=message) as raised:
        read_identities(tmp_path / "people.csv")
    assert "a@x.example and b@x.example" in str(raised.value)


def test_alias_has_all_teams_of_person(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(
        "email,login,id,team\na@x.example,ada,1,core\nb@x.example,ada,1,web\nc@x.example,cyd,2,\n"
    )
    found = read_identities(tmp_path / "people.csv")
    assert found["a@x.example"] == found["b@x.example"]
    assert found["a@x.example"].teams == ("core", "web")
    people = people_of(found)
    assert {people.key(name) for name in ("A@x.example", "b@X.example")} == {"a@x.example"}
    assert people.keys_of("b@x.example") == {"a@x.example", "b@x.example"}
