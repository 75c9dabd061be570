"""Records from GitHub leave exports and `serve` exactly as they came."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import dashboard_scraper
from conftest import Home
from dashboard_scraper.cli.wiring import audience_of
from dashboard_scraper.clock import utc_now
from dashboard_scraper.errors import DaysMissing
from dashboard_scraper.github.kinds import GithubOptions, Report, Scope, Subject
from dashboard_scraper.github.recorded import RecordedReports, recorded_persons
from dashboard_scraper.github.views import GithubViews
from dashboard_scraper.model.columns import sum_of
from dashboard_scraper.model.seats import Seat
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.simulator import Organization, Simulator
from dashboard_scraper.simulator.copilot import NOTHING, Copilot
from dashboard_scraper.simulator.copilot_records import day_record as day_record_of
from dashboard_scraper.simulator.copilot_records import user_record as user_record_of
from dashboard_scraper.store import store_at
from dashboard_scraper.store.cache import StoreCache
from dashboard_scraper.store.settling import Settling
from github_requests import error_of
from recorded_days import (
    CUSTOMISED,
    EVERY_DAY_FIELD,
    EVERY_USER_FIELD,
    FETCHED,
    LAST,
    MONTH,
    ORGANIZATION,
    SOURCE,
    Json,
    day_record,
    put_records,
    text_of,
    user_record,
)
from serving import serving
from stored_days import settings_of, sql

BEFORE = LAST - timedelta(1)
NUMBERS = ("0", "-0", "1.0", "2.50", "1e2", "1E-3", "123456789012345678901234567890", "0.1")
PEOPLE = 12
KEPT = ("user_id", "user_login", "day", "enterprise_id", "organization_id")
"""The fields of a record that the program needs."""

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def varied(value: Any, draw: random.Random, unknown: list[Any]) -> Any:
    """The value with fields that are missing, null or unknown, and with any spelling of numbers."""
    if isinstance(value, dict):
        changed: dict[str, Any] = {}
        for name, each in value.items():
            fate = draw.randrange(8)
            if name in KEPT:
                changed[name] = each
            elif fate:
                changed[name] = None if fate == 1 else varied(each, draw, unknown)
        if draw.randrange(4) == 0:
            changed[f"new_{draw.randrange(9)}"] = draw.choice(unknown)
        return dict(draw.sample([*changed.items()], len(changed)))
    if isinstance(value, list):
        return [varied(each, draw, unknown) for each in value] * draw.randrange(3)
    if isinstance(value, int | float) and not isinstance(value, bool) and draw.randrange(2):
        return msgspec.Raw(draw.choice(NUMBERS).encode())
    return value


def some_records(seed: int, unknown: list[Any]) -> tuple[list[str], str]:
    """Records of users, and of the whole, as JSON: some have line breaks."""
    draw = random.Random(seed)
    users = [
        varied({**user_record(f"User_{number}", number), **EVERY_USER_FIELD}, draw, unknown)
        for number in range(1, PEOPLE + 1)
    ]
    whole = varied({**day_record(), **EVERY_DAY_FIELD}, draw, unknown)
    texts = [msgspec.json.encode(each) for each in (*users, whole)]
    spaced = [msgspec.json.format(text) if draw.randrange(2) else text for text in texts]
    *of_users, of_whole = (text.decode() for text in spaced)
    return of_users, of_whole


def fields(text: str | bytes) -> dict[str, bytes]:
    """The text of each field, without white space between tokens."""
    data = msgspec.json.format(text.encode() if isinstance(text, str) else text, indent=-1)
    return {
        name: bytes(value)
        for name, value in msgspec.json.decode(data, type=dict[str, msgspec.Raw]).items()
    }


def by_login(lines: list[dict[str, bytes]]) -> list[dict[str, bytes]]:
    return sorted(lines, key=lambda line: line["user_login"])


@contextlib.contextmanager
def views_of(home: Home) -> Iterator[GithubViews]:
    settings = settings_of(home)
    with contextlib.closing(store_at(settings.store_url)) as store:
        yield GithubViews(
            StoreCache(store),
            SOURCE,
            audience_of(settings),
            GithubOptions("another", "1"),
            Settling(3, 7),
            utc_now,
        )


def served(home: Home, subject: Subject, scope: Scope = Scope.ENTERPRISE) -> tuple[bytes, bytes]:
    """The reports of the last day and of 28 days."""
    with views_of(home) as views:
        reports = views.of_day(scope, subject, LAST)[0], views.latest(scope, subject)[0]
        day, month = (b"".join(views.download(report).chunks) for report in reports)
    return day, month


def exported(home: Home, code: int = 0) -> dict[str, bytes]:
    """GitHub's reports of an export of the month, by name."""
    home.settings["GITHUB_REPORTS_USERS_28_DAY"] = "true"
    result = home.run("export", f"{MONTH.start}", f"{MONTH.end}")
    assert result.code == code, result.err
    folder = home.data / f"daily_exports_{MONTH.start}_to_{MONTH.end}" / "github_reports"
    return {path.name: path.read_bytes() for path in folder.glob("*son")}


def export_folder(home: Home) -> Path:
    return home.data / f"daily_exports_{MONTH.start}_to_{MONTH.end}"


@pytest.mark.slow
@settings(
    max_examples=2,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32), unknown=st.lists(any_json, min_size=1, max_size=5))
def test_any_record_comes_out_as_it_came(
    home: Home, store_url: str, seed: int, unknown: list[Any]
) -> None:
    """Every field in any spelling, from both databases, in files and from `serve`."""
    users, whole = some_records(seed, unknown)
    put_records(home, {LAST: users}, {LAST: whole}, store_url=store_url)
    expected = by_login([fields(text) for text in users])
    period = {"report_start_day": f'"{MONTH.start}"', "report_end_day": f'"{MONTH.end}"'}
    of_month = [{**line, **{k: v.encode() for k, v in period.items()}} for line in expected]
    files = exported(home, code=6)  # the other days are missing
    from_files = files[f"users-1-day_{LAST}.ndjson"], files["users-28-day.ndjson"]
    for day, month in (from_files, served(home, Subject.USERS)):
        assert by_login([fields(line) for line in day.splitlines()]) == expected
        assert by_login([fields(line) for line in month.splitlines()]) == of_month
    from_files = files[f"enterprise-1-day_{LAST}.json"], files["enterprise-28-day.json"]
    for day, month in (from_files, served(home, Subject.WHOLE)):
        assert fields(day) == fields(whole)
        wrapper = fields(month)
        (total,) = msgspec.json.decode(wrapper.pop("day_totals"), type=list[msgspec.Raw])
        assert fields(bytes(total)) == fields(whole)
        assert wrapper.keys() == {*period, "enterprise_id", "created_at"}
    with dashboard_scraper.open_store(home.settings["STORE_URL"]) as store:
        found = list(store.github_records(LAST, LAST, "another", SOURCE))
    assert found == [json.loads(line) for line in files[f"users-1-day_{LAST}.ndjson"].splitlines()]


@pytest.mark.slow
def test_what_github_sent_is_served_again(home: Home) -> None:
    """From the API through the store to files and clients of `serve`, the values stay the same."""
    organization = Organization(users=9, today=LAST + timedelta(3))
    copilot, ids = Copilot(organization), {"enterprise_id": "4711"}
    # A Thursday and a Friday: at a weekend, maybe none of nine people works.
    last = LAST - timedelta((LAST.weekday() - 4) % 7)
    days = [last - timedelta(1), last]
    expected = {day: [user_record_of(usage, ids) for usage in copilot.usage(day)] for day in days}
    assert all(expected.values())
    with Simulator(organization, rate_limit=False) as simulator:
        home.settings |= {
            "METRICS_SOURCE": SOURCE,
            "COPILOT_ENTERPRISE": "example-enterprise",
            "COPILOT_TOKEN": simulator.copilot.token,
            "COPILOT_API_BASE_URL": simulator.url,
        }
        result = home.run("--daily", *map(str, days))
    assert result.code == 0, result.err
    (folder,) = home.data.glob("daily_exports_*/github_reports")
    for day in days:
        lines = (folder / f"users-1-day_{day}.ndjson").read_bytes().splitlines()
        assert in_order(map(json.loads, lines)) == in_order(expected[day])
        whole = json.loads((folder / f"enterprise-1-day_{day}.json").read_bytes())
        assert whole == day_record_of(copilot, day, ids, NOTHING)
    with serving(home) as server:
        reports = "/enterprises/any/copilot/metrics/reports"
        lines = server.report(f"{reports}/users-1-day?day={last}").splitlines()
        assert in_order(map(json.loads, lines)) == in_order(expected[last])
        month = json.loads(server.report(f"{reports}/enterprise-28-day/latest"))
        assert month["day_totals"][-1] == whole
        absent = server.get(f"/orgs/any/copilot/metrics/reports/users-1-day?day={last}")
        assert "are not those of an organization" in error_of(absent, 404)


def in_order(records: Iterable[Json]) -> list[Json]:
    return sorted(records, key=lambda record: str(record["user_login"]))


def test_days_of_28_are_in_order_and_nothing_is_computed(home: Home) -> None:
    """Weekly and monthly users are GitHub's numbers; engagement has its own report."""
    days = [*MONTH.days()]
    put_records(home, {day: [user_record("ada", 1, day)] for day in days})
    whole = json.loads(exported(home)["enterprise-28-day.json"])
    assert whole["day_totals"] == [day_record(day) for day in days]
    assert "copilot_feature_engagement" not in whole
    manifest = json.loads((export_folder(home) / "manifest.json").read_bytes())
    assert "missing_from_github_reports" not in manifest
    assert [each["output"] for each in manifest["unwritten"]] == ["Copilot JSON files"]
    with views_of(home) as views:
        assert views.missing_from_latest() == {SOURCE: 0}


def test_day_without_records_is_left_out(home: Home) -> None:
    """As stored by an earlier version: it is named everywhere, and nothing replaces it."""
    put_records(home, {day: [user_record("ada", 1, day)] for day in MONTH.days()})
    sql(home.settings["STORE_URL"], f"DELETE FROM record_day WHERE day = '{LAST}'")
    files = exported(home)
    assert {name for name in files if f"{LAST}" in name} == set()
    lines = files["users-28-day.ndjson"].splitlines()
    assert [json.loads(line)["day"] for line in lines] == [f"{day}" for day in MONTH.days()][:-1]
    assert len(json.loads(files["enterprise-28-day.json"])["day_totals"]) == 27
    manifest = json.loads((export_folder(home) / "manifest.json").read_bytes())
    assert manifest["missing_from_github_reports"] == [f"{LAST}"]
    reason = manifest["unwritten"][-1]["reason"]
    assert f"without records: {LAST}" in reason
    assert reason in (export_folder(home) / "NOTES.txt").read_text()
    with views_of(home) as views:
        for subject in (Subject.USERS, Subject.WHOLE):
            with pytest.raises(DaysMissing, match=f"days without records: {LAST}.*--refresh"):
                views.of_day(Scope.ENTERPRISE, subject, LAST)
            assert views.latest(Scope.ENTERPRISE, subject)[1].missing == [LAST]
        assert views.missing_from_latest() == {SOURCE: 1}
    with (
        dashboard_scraper.open_store(home.settings["STORE_URL"]) as store,
        pytest.raises(DaysMissing, match="--refresh"),
    ):
        list(store.github_records(MONTH.start, MONTH.end, "1", SOURCE))


def test_records_of_some_users_are_not_a_report(home: Home) -> None:
    put_records(home, {LAST: [user_record("ada", 1), user_record("ben", 2)]})
    sql(home.settings["STORE_URL"], "DELETE FROM record_day WHERE user_login = 'ben'")
    with views_of(home) as views, pytest.raises(DaysMissing, match="days without records"):
        views.of_day(Scope.ENTERPRISE, Subject.USERS, LAST)


def test_records_of_organization_are_none_of_enterprise(home: Home) -> None:
    """A day of nobody has no record from GitHub, and must not make an empty 28-day report."""
    put_records(
        home,
        {LAST: [user_record("ada", 1) | ORGANIZATION], BEFORE: []},
        {LAST: day_record() | ORGANIZATION},
    )
    sql(home.settings["STORE_URL"], f"DELETE FROM record_day WHERE day = '{BEFORE}'")
    files = exported(home, code=6)
    assert {name.partition("-")[0] for name in files} == {"organization"}
    assert json.loads(files["organization-28-day.json"])["organization_id"] == "815"
    with views_of(home) as views:
        for subject in (Subject.USERS, Subject.WHOLE):
            views.of_day(Scope.ORGANIZATION, subject, LAST)
            views.latest(Scope.ORGANIZATION, subject)
            with pytest.raises(DaysMissing, match="are not those of an enterprise"):
                views.of_day(Scope.ENTERPRISE, subject, LAST)
            with pytest.raises(DaysMissing, match="are not those of an enterprise"):
                views.latest(Scope.ENTERPRISE, subject)


def test_day_of_nobody_is_report_without_people(home: Home) -> None:
    put_records(home, {LAST: [user_record("ada", 1)], BEFORE: []})
    sql(home.settings["STORE_URL"], f"DELETE FROM record_day WHERE day = '{BEFORE}'")
    with views_of(home) as views:
        report, caveats = views.of_day(Scope.ENTERPRISE, Subject.USERS, BEFORE)
        assert (list(views.download(report).chunks), caveats.missing) == ([], [])
        with pytest.raises(DaysMissing):
            views.of_day(Scope.ENTERPRISE, Subject.WHOLE, BEFORE)


def planted(value: Any, name: str) -> Any:
    """The value with a name in every text, and with an unknown field in each object."""
    if isinstance(value, dict):
        inner = {key: planted(each, name) for key, each in value.items()}
        return {**inner, "reviewer_id": 777_001, "reviewer": {"login": name, "number": 777_002}}
    if isinstance(value, list):
        return [planted(each, name) for each in value]
    return f"{name}@example.com" if isinstance(value, str) else value


def numbers_in(value: Any) -> list[Any]:
    """Every number and flag, in their order."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [number for each in inner for number in numbers_in(each)]
    return [value] if isinstance(value, int | float) else []


def shown_of(every_field: Json) -> Json:
    """The fields without names chosen by companies and without GitHub's bookkeeping."""
    left_out = {"entity_id_partition", *(f"totals_by_{name}" for name in CUSTOMISED)}
    return {name: value for name, value in every_field.items() if name not in left_out}


@pytest.fixture
def key_file(home: Home) -> Path:
    """A key for pseudonyms, which the settings name."""
    path = home.path / "pseudonyms.key"
    path.write_text("k" * 64)
    path.chmod(0o600)
    home.settings["PSEUDONYM_KEY_FILE"] = f"{path}"
    return path


@pytest.mark.slow
@pytest.mark.usefixtures("key_file")
def test_pseudonyms_leave_nothing_that_names_somebody(home: Home) -> None:
    """Not even in unknown fields; the counts by which people are compared stay."""
    names = ("Ada_Corp", "Ben_Corp", "Cyd_Corp", "Deb_Corp")
    own = {name: 880_000 + number for number, name in enumerate(names)}
    records = [
        {**user_record(name, own[name]), **planted(EVERY_USER_FIELD, name)} for name in names
    ]
    whole = {**planted(EVERY_DAY_FIELD, names[0]), "day": f"{LAST}", "enterprise_id": "9"}
    put_records(home, {LAST: records}, {LAST: whole})
    files = exported(home, code=6)
    text = b"".join(files.values()).lower()
    assert text.count(b"user-") >= 2 * len(names)
    hidden = [*names, "777001", "777002", "880000", "880001", "reviewer", "etl_id", "sampled_at"]
    assert [each for each in hidden if each.lower().encode() in text] == []
    lines = [json.loads(line) for line in files[f"users-1-day_{LAST}.ndjson"].splitlines()]
    assert [line["user_login"] for line in lines] == sorted(line["user_login"] for line in lines)
    assert {line["user_id"] for line in lines} == {
        json.loads(line)["user_id"] for line in files["users-28-day.ndjson"].splitlines()
    }
    for line in lines:
        del line["user_id"]
        assert sorted(numbers_in(line)) == sorted(numbers_in(shown_of(EVERY_USER_FIELD)))
    day = json.loads(files[f"enterprise-1-day_{LAST}.json"])
    assert sorted(numbers_in(day)) == sorted(numbers_in(shown_of(EVERY_DAY_FIELD)))
    log = home.run("export", f"{LAST}").err
    assert "without fields that may name somebody" in log
    assert "reviewer" in log
    assert "user_login" not in log


def test_days_of_a_failed_run_are_left_out(home: Home) -> None:
    """What an earlier run stored for these days may be outdated."""
    put_records(home, {day: [user_record("ada", 1, day)] for day in (BEFORE, LAST)})
    report = Report(Scope.ENTERPRISE, Subject.USERS, MONTH, latest=True)
    with store_at(home.settings["STORE_URL"]).reading() as reader:
        persons = recorded_persons(reader, SOURCE, Audience())
        reports = RecordedReports(reader, SOURCE, Audience(), persons, [LAST])
        (line,) = b"".join(reports.chunks(report)).splitlines()
    assert json.loads(line)["day"] == f"{BEFORE}"


def test_teams_join_with_records(home: Home) -> None:
    """By GitHub's own id and spelling of the login, whatever is in IDENTITY_FILE."""
    (home.path / "people.csv").write_text(
        "email,login,id,team\nada@example.com,ada_corp,5,core\nben@example.com,ben,6,\n"
    )
    home.settings["IDENTITY_FILE"] = "people.csv"
    put_records(home, {LAST: [user_record("Ada_Corp", 41), user_record("ben", 42)]})
    (row,) = exported(home, code=6)[f"user-teams-1-day_{LAST}.ndjson"].splitlines()
    shown = json.loads(row)
    assert (shown["user_login"], shown["user_id"], shown["slug"]) == ("Ada_Corp", 41, "core")
    assert shown["enterprise_id"] == "9"


@pytest.mark.slow
def test_forgotten_person_is_in_no_record(home: Home) -> None:
    put_records(
        home,
        {
            day: [user_record("Ada_Corp", 41, day), user_record("ben", 42, day)]
            for day in (BEFORE, LAST)
        },
    )
    assert b"Ada_Corp" in exported(home, code=6)["users-28-day.ndjson"]
    result = home.run("forget", "ada_corp", "--files")
    assert result.code == 0, result.err
    assert b"ada_corp" not in b"".join(exported(home, code=6).values()).lower()
    assert [
        row
        for row in sql(home.settings["STORE_URL"], "SELECT * FROM record_day")
        if "Ada" in str(row)
    ] == []
    for report in served(home, Subject.USERS):
        assert {json.loads(line)["user_login"] for line in report.splitlines()} == {"ben"}


def test_service_accounts_records_are_left_out(home: Home) -> None:
    put_records(home, {LAST: [user_record("ada", 1)]})
    store = store_at(home.settings["STORE_URL"])
    bot = UserUsage(
        "bot",
        msgspec.structs.replace(sum_of(())),
        service=True,
        record=text_of(user_record("bot", 2)),
    )
    ada = UserUsage("ada", bot.figures, record=text_of(user_record("ada", 1)))
    with store.locked(), store.opened():
        store.put(SOURCE, DayUsage(BEFORE, [ada, bot], {}, text_of(day_record(BEFORE))), FETCHED)
    for include, expected in (("true", 2), ("false", 1)):
        home.settings["INCLUDE_SERVICE_ACCOUNTS"] = include
        with views_of(home) as views:
            report, _ = views.of_day(Scope.ENTERPRISE, Subject.USERS, BEFORE)
            assert b"".join(views.download(report).chunks).count(b"\n") == expected


def test_reported_seats_are_served(home: Home) -> None:
    """With GitHub's ids for people with a record; somebody who lost the seat is not listed."""
    put_records(home, {LAST: [user_record("Ada_Corp", 41)]})
    store = store_at(home.settings["STORE_URL"])
    seats = [
        Seat("ada_corp", "business", MONTH.start, FETCHED, LAST),
        Seat("idle", "business", MONTH.start),
    ]
    with store.locked(), store.opened():
        store.put_seats(SOURCE, [*seats, Seat("gone")], FETCHED - timedelta(1))
        store.put_seats(SOURCE, seats, FETCHED)
    with views_of(home) as views:
        ada, idle = views.seats().seats
    assert (ada.person.login, ada.person.id, ada.plan, ada.ends) == (
        "Ada_Corp",
        41,
        "business",
        LAST,
    )
    assert (ada.since.date(), ada.last_activity) == (MONTH.start, FETCHED)
    assert (idle.person.login, idle.last_activity) == ("idle", None)


def test_seats_of_one_person_are_one(home: Home) -> None:
    """It began with the first seat, was used when either was, and ends only when both do."""
    (home.path / "people.csv").write_text(
        "email,login,id\nada@example.com,ada,5\nada@old.example.com,ada,5\n"
    )
    home.settings["IDENTITY_FILE"] = "people.csv"
    put_records(home, {LAST: [user_record("ben", 42)]})
    newer = Seat("ada@example.com", "business", LAST, FETCHED - timedelta(9), LAST)
    older = Seat("ada@old.example.com", "business", MONTH.start, FETCHED)
    store = store_at(home.settings["STORE_URL"])
    with store.locked(), store.opened():
        store.put_seats(SOURCE, [newer, older], FETCHED)
    with views_of(home) as views:
        (ada,) = views.seats().seats
    assert (ada.person.login, ada.plan, ada.ends) == ("ada", "business", None)
    assert (ada.since.date(), ada.last_activity) == (MONTH.start, FETCHED)
