"""Figures by editor and language: stored per day, and checked against the day's users."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from conftest import Home, Start, last_working_day, own_warnings
from dashboard_scraper.cli.commands.status import print_status
from dashboard_scraper.cli.fetching import fetch_period
from dashboard_scraper.errors import (
    ContractBroken,
    DaysMissing,
    ScraperError,
    SignInRequired,
    SourceUnavailable,
    UsageError,
)
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import DETAILED
from dashboard_scraper.simulator import (
    Fault,
    Organization,
    Simulator,
    remove_field,
    repeat_user,
    set_value,
    status,
)
from dashboard_scraper.simulator.exchange import Answer, Request
from dashboard_scraper.simulator.faults import Effect
from dashboard_scraper.simulator.fields import analytics_metrics
from dashboard_scraper.sources.analytics.fields import OPTIONAL
from dashboard_scraper.sources.analytics.settings import EDITOR_LANGUAGE_REQUESTS
from dashboard_scraper.sources.registry import ANALYTICS
from dashboard_scraper.store import DetailStatus, store_at
from databases import on_sqlite
from stored_days import (
    NOON,
    TODAY,
    backfill,
    fetch,
    forget,
    ledger,
    march,
    settings_of,
    sql,
    stored_users,
)

pytestmark = pytest.mark.usefixtures("csv_alone")

ENDPOINT, USERS = "daily-user-activity-by-editor-language", "user-activity"
FIRST, LAST = march(3), march(9)
DAYS = list(Window(FIRST, LAST).days())
DAY = march(5)
THREE = DAYS[1:4]
"""Days that have settled, for tests of what is the same for any days."""
NIGHT = timedelta(days=1)
COUNT = DETAILED[0]
COMPLETE, UNRECONCILED = DetailStatus.COMPLETE, DetailStatus.UNRECONCILED
STRANGER = "stranger@example.com"
Json = Any
Log = pytest.LogCaptureFixture
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def spring(start_api: Start, home: Home, caplog: Log) -> Simulator:
    """A simulator whose today is 10 March 2025; requests are not repeated."""
    home.settings["MAX_RETRIES"] = "0"
    caplog.set_level(logging.INFO, "dashboard_scraper")
    return start_api(Organization(users=12, today=TODAY + timedelta(9)))


def in_organization(sim: Simulator, day: date) -> list[tuple[Any, ...]]:
    """The rows that the day should have: user, editor, language and the counts."""
    members, rows = sim.organization.members, []
    for index, total in sim.organization.totals(Window(day, day)).items():
        for part in sim.organization.by_editor(members[index], total.counts):
            counts = analytics_metrics(part.counts)
            figures = tuple(counts[metric.name] for metric in DETAILED)
            rows.append((members[index].name, part.editor, part.language, *figures))
    return sorted(rows)


def rows_of(home: Home, day: date) -> list[tuple[Any, ...]]:
    """The rows that the view has for the day."""
    columns = ", ".join(["user_login", "editor", "language", *(m.name for m in DETAILED)])
    where = f"source = '{ANALYTICS}' AND day = '{day}'"
    url = settings_of(home).store_url
    return sorted(sql(url, f"SELECT {columns} FROM editor_language_days WHERE {where}"))


def statuses(home: Home) -> dict[date, DetailStatus | None]:
    return {day: row.editor_language for day, row in ledger(home, ANALYTICS).items()}


def asked(sim: Simulator, endpoint: str = ENDPOINT) -> list[date]:
    """The requested days, in the order of the requests; several pages of one day count once."""
    found = (r for r in tuple(sim.requests) if r.endpoint == endpoint and "cursor" not in r.query)
    return [request.day for request in found if request.day is not None]


def status_text(home: Home, capsys: Capture, *, as_json: bool, now: datetime = NOON) -> str:
    """The output of `status`."""
    capsys.readouterr()
    print_status(settings_of(home), now, as_json=as_json, max_age=None, check=False)
    return capsys.readouterr().out


def edited(change: Callable[[list[Json]], list[Json]]) -> Effect:
    """Change the answer's records, and the number of users to match."""

    def effect(answer: Answer, _request: Request) -> Answer:
        body = msgspec.json.decode(answer.body)
        body["records"] = change(body["records"])
        body["metadata"]["returned_user_count"] = len(set(map(name_of, body["records"])))
        return replace(answer, body=msgspec.json.encode(body))

    return effect


def name_of(record: Json) -> str:
    name: str = record.get("user_email") or record["service_account_name"]
    return name


def with_stranger(records: list[Json]) -> list[Json]:
    """The first record once more, for somebody who has no user-day."""
    return [*records, {**records[0], "user_email": STRANGER}]


def doubled(raised: int) -> Effect:
    """The first record comes twice, the second time with a count that is higher by this much."""

    def change(records: list[Json]) -> list[Json]:
        metrics = dict(records[0]["metrics"])
        metrics[COUNT.name] += raised
        return [*records, {**records[0], "metrics": metrics}]

    return edited(change)


@on_sqlite
@pytest.mark.slow
def test_stored_rows_add_up_to_user_days(home: Home, in_each_store: Simulator) -> None:
    backfill(home, FIRST, LAST)
    assert statuses(home) == dict.fromkeys(DAYS, COMPLETE)
    editors = set()
    for day in DAYS:
        rows = rows_of(home, day)
        assert rows == in_organization(in_each_store, day)
        for user in stored_users(home, ANALYTICS)[day]:
            counts = [row[3:] for row in rows if row[0] == user.user]
            assert tuple(map(sum, zip(*counts, strict=True))) == tuple(
                user.figures[metric] for metric in DETAILED
            )
        editors |= {row[1] for row in rows}
    assert len(editors) > 2
    assert asked(in_each_store) == DAYS[::-1]


@pytest.mark.slow
def test_day_of_several_pages_is_complete(home: Home, start_api: Start) -> None:
    sim = start_api(Organization(users=160, today=TODAY))
    backfill(home, DAY, DAY)
    assert sim.count(ENDPOINT, DAY) == 3
    rows = rows_of(home, DAY)
    assert len(rows) > 200
    assert rows == in_organization(sim, DAY)


Difference = tuple[Effect, str]
DIFFERENCES: dict[str, Difference] = {
    "a value": (set_value(COUNT.name, 10**6, record=1), f"{COUNT.name} of "),
    "a record less": (edited(lambda records: records[1:]), " is "),
    "a user less": (
        edited(lambda all_: [each for each in all_ if name_of(each) != name_of(all_[0])]),
        " its parts are 0",
    ),
    "a user more": (edited(with_stranger), f"{STRANGER} is not among the users"),
}


@pytest.mark.parametrize("name", DIFFERENCES)
@pytest.mark.slow
def test_unreconciled_rows_are_stored_and_logged(
    home: Home, spring: Simulator, caplog: Log, capsys: Capture, name: str
) -> None:
    """After they were fetched a second time."""
    effect, words = DIFFERENCES[name]
    spring.add_fault(Fault(effect, ENDPOINT, DAY))
    fetch(home, THREE[0], THREE[-1])
    assert [asked(spring).count(day) for day in THREE] == [1 + (day == DAY) for day in THREE]
    assert statuses(home) == {**dict.fromkeys(THREE, COMPLETE), DAY: UNRECONCILED}
    assert rows_of(home, DAY)
    assert rows_of(home, DAY) != in_organization(spring, DAY)
    (warning,) = own_warnings(caplog)
    assert warning.startswith(f"{DAY}: editors and languages do not add up")
    assert words in warning
    (source,) = json.loads(status_text(home, capsys, as_json=True))["sources"]
    assert source["editor_language"] == len(THREE)
    assert source["editor_language_unreconciled"] == [f"{DAY}"]
    assert source["unreconciled"] == []
    text = status_text(home, capsys, as_json=False)
    assert f"  {len(THREE)} days have editors and languages\n" in text
    assert f"    they do not add up to the users' figures: {DAY}\n" in text


@pytest.mark.slow
def test_rows_that_add_up_on_second_fetch_are_complete(
    home: Home, spring: Simulator, caplog: Log, capsys: Capture
) -> None:
    spring.add_fault(Fault(set_value(COUNT.name, 10**6, record=1), ENDPOINT, DAY, times=1))
    backfill(home, THREE[0], THREE[-1])
    assert asked(spring).count(DAY) == 2
    assert statuses(home) == dict.fromkeys(THREE, COMPLETE)
    assert rows_of(home, DAY) == in_organization(spring, DAY)
    assert own_warnings(caplog) == []
    assert "do not add up to the users'" not in status_text(home, capsys, as_json=False)


@pytest.mark.slow
def test_count_missing_by_editor_is_unknown(home: Home, spring: Simulator) -> None:
    """Nor is it a difference."""
    spring.add_fault(Fault(remove_field(OPTIONAL.name), ENDPOINT, DAY))
    backfill(home, DAY, DAY)
    assert (asked(spring), statuses(home)) == ([DAY], {DAY: COMPLETE})
    place = 3 + DETAILED.index(OPTIONAL)
    assert {row[place] for row in rows_of(home, DAY)} == {None}


ERRORS: dict[str, tuple[Effect, type[ScraperError], int]] = {
    "unavailable": (status(503), SourceUnavailable, 4),
    "broken": (set_value(COUNT.name, -1), ContractBroken, 5),
    "not found": (status(404), ContractBroken, 5),
    "forbidden": (status(403), SignInRequired, 3),
    "refused": (status(400), UsageError, 2),
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.slow
def test_error_loses_only_editor_rows(home: Home, spring: Simulator, name: str) -> None:
    """No user-day and no file is lost; the next run fetches the missing rows."""
    effect, kind, code = ERRORS[name]
    spring.add_fault(Fault(effect, ENDPOINT, DAY))
    with pytest.raises(kind, match=f"editors and languages of {DAY}") as caught:
        fetch(home, THREE[0], THREE[-1])
    assert type(caught.value) is kind
    assert caught.value.exit_code == code
    assert list(ledger(home, ANALYTICS)) == THREE
    assert len(home.own_files()) == len(THREE) + 1
    with store_at(settings_of(home).store_url).reading() as reader:
        assert reader.last_success(ANALYTICS) is None
    before = statuses(home)
    lacking = [day for day, state in before.items() if state is None]
    # If the answer for one day is broken, that for the next may still be whole.
    assert lacking == ([DAY] if kind is ContractBroken else [d for d in THREE if d <= DAY])
    assert [rows_of(home, day) for day in lacking] == [[]] * len(lacking)
    spring.clear_faults()
    spring.requests.clear()
    backfill(home, THREE[0], THREE[-1])
    assert asked(spring) == lacking[::-1]
    assert asked(spring, USERS) == []
    assert statuses(home) == dict.fromkeys(THREE, COMPLETE)
    assert [rows_of(home, day) for day in THREE] == [in_organization(spring, d) for d in THREE]


def test_editor_error_sets_exit_code(home: Home, start_api: Start) -> None:
    home.settings["MAX_RETRIES"] = "0"
    start_api().add_fault(Fault(status(503), ENDPOINT))
    result = home.run("--daily", f"{last_working_day()}")
    assert result.code == 4
    assert "editors and languages of" in result.err
    assert len(home.own_files()) == 2


@pytest.mark.slow
def test_error_is_logged_beside_missing_day(home: Home, spring: Simulator, caplog: Log) -> None:
    spring.add_fault(Fault(status(503), USERS, march(4)))
    spring.add_fault(Fault(set_value(COUNT.name, -1), ENDPOINT, DAY))
    with pytest.raises(DaysMissing):
        fetch(home, THREE[0], THREE[-1])
    assert f"editors and languages of {DAY} could not be fetched" in caplog.text
    assert COUNT.name in caplog.text


@on_sqlite
@pytest.mark.slow
def test_refetched_day_gets_new_rows(home: Home, in_each_store: Simulator) -> None:
    home.settings["REVISION_LIMIT"] = "100"
    fetch(home, FIRST, LAST)
    settled, unsettled = march(4), march(8)
    before = {day: rows_of(home, day) for day in DAYS}
    for day in (settled, unsettled):
        in_each_store.revise(day)
    in_each_store.requests.clear()
    fetch(home, FIRST, LAST, NOON + timedelta(hours=1))
    assert sorted(asked(in_each_store)) == [settled, march(7), march(8), march(9)]
    assert statuses(home) == dict.fromkeys(DAYS, COMPLETE)
    for day in DAYS:
        assert rows_of(home, day) == in_organization(in_each_store, day)
        assert (rows_of(home, day) == before[day]) == (day not in (settled, unsettled))


@pytest.mark.slow
def test_refetched_day_loses_old_rows(home: Home, spring: Simulator) -> None:
    """If they are no longer fetched."""
    backfill(home, FIRST, LAST)
    home.settings |= {"FETCH_EDITOR_LANGUAGE": "false", "REVISION_LIMIT": "100"}
    spring.revise(march(4))
    fetch(home, FIRST, LAST, NOON + timedelta(hours=1))
    gone = [march(day) for day in (4, 7, 8, 9)]
    assert [day for day, state in statuses(home).items() if state is None] == gone
    assert [rows_of(home, day) for day in gone] == [[]] * len(gone)
    assert rows_of(home, FIRST) == in_organization(spring, FIRST)


@pytest.mark.slow
def test_settled_days_are_not_requested_again(home: Home, spring: Simulator) -> None:
    home.settings["SETTLE_DAYS"] = "0"
    for number in (1, 0):
        fetch(home, THREE[0], THREE[-1])
        assert len(asked(spring)) == number * len(THREE)
        spring.requests.clear()


@pytest.mark.slow
def test_switched_off_endpoint_is_not_requested(
    home: Home, spring: Simulator, caplog: Log, capsys: Capture
) -> None:
    home.settings["FETCH_EDITOR_LANGUAGE"] = "false"
    fetch(home, THREE[0], THREE[-1])
    assert asked(spring, USERS)
    assert asked(spring) == []
    assert statuses(home) == dict.fromkeys(THREE)
    assert "editors" not in caplog.text + status_text(home, capsys, as_json=False)


@pytest.mark.slow
def test_empty_day_needs_no_request(home: Home, start_api: Start) -> None:
    sim = start_api(Organization(users=1, service_accounts=0, today=TODAY))
    days = list(Window(TODAY - timedelta(14), TODAY - timedelta(1)).days())
    quiet = [day for day in days if not sim.organization.totals(Window(day, day))]
    assert 0 < len(quiet) < len(days)
    backfill(home, days[0], days[-1])
    assert sorted(asked(sim)) == [day for day in days if day not in quiet]
    assert statuses(home) == dict.fromkeys(days, COMPLETE)


@pytest.mark.parametrize("setting", ["FETCH_EDITOR_LANGUAGE", "FETCH_CREDITS"])
@pytest.mark.slow
def test_day_out_of_range_of_api_is_not_requested(
    home: Home, start_api: Start, setting: str
) -> None:
    """The API has figures of two years; older stored days are still exported."""
    home.settings["FETCH_EDITOR_LANGUAGE"] = "false"
    start_api(Organization(users=2, today=TODAY))
    backfill(home, DAY, DAY, NOON + 9 * NIGHT)
    home.settings[setting] = "true"
    sim = start_api(Organization(users=2, today=TODAY + 900 * NIGHT))
    fetch(home, DAY, DAY, NOON + 900 * NIGHT)
    assert sim.requests == []
    assert len(home.own_files()) == 2


def days_within(sim: Simulator, days: Sequence[date], requests: int) -> list[date]:
    """The days, newest first, for which this many requests suffice; the last is finished."""
    found: list[date] = []
    for day in sorted(days, reverse=True):
        if requests <= 0:
            break
        found.append(day)
        requests -= -(-len(in_organization(sim, day)) // 100)
    return found


@pytest.mark.slow
def test_run_spends_100_requests_by_default(home: Home, start_api: Start, caplog: Log) -> None:
    """It spends them on the newest days, most of which have several pages."""
    caplog.set_level(logging.INFO, "dashboard_scraper")
    sim = start_api(Organization(users=90, today=TODAY))
    days = list(Window(TODAY - timedelta(62), TODAY - NIGHT).days())
    backfill(home, days[0], days[-1])
    within = days_within(sim, days, EDITOR_LANGUAGE_REQUESTS)
    assert 0 < len(within) < len(days)
    assert [day for day, state in statuses(home).items() if state] == sorted(within)
    spent = sim.count(ENDPOINT)
    assert EDITOR_LANGUAGE_REQUESTS <= spent <= EDITOR_LANGUAGE_REQUESTS + 3
    assert f"{len(days) - len(within)} days are left to later runs" in caplog.text
    first = next(n for n, r in enumerate(sim.requests) if r.endpoint == ENDPOINT)
    assert {r.endpoint for r in sim.requests[first:]} == {ENDPOINT}
    home.settings["SETTLE_DAYS"] = "0"
    backfill(home, days[0], days[-1])
    assert statuses(home) == dict.fromkeys(days, COMPLETE)


@pytest.mark.slow
def test_setting_true_fetches_all_days(home: Home, start_api: Start, caplog: Log) -> None:
    caplog.set_level(logging.INFO, "dashboard_scraper")
    home.settings["FETCH_EDITOR_LANGUAGE"] = "true"
    sim = start_api(Organization(users=6, today=TODAY))
    days = list(Window(TODAY - timedelta(116), TODAY - NIGHT).days())
    backfill(home, days[0], days[-1])
    assert statuses(home) == dict.fromkeys(days, COMPLETE)
    assert sim.count(ENDPOINT) > EDITOR_LANGUAGE_REQUESTS
    assert "left to later runs" not in caplog.text


@pytest.mark.parametrize("effect", [doubled(0), repeat_user()], ids=["at the end", "last again"])
def test_repeated_editor_record_counts_once(home: Home, spring: Simulator, effect: Effect) -> None:
    spring.add_fault(Fault(effect, ENDPOINT, DAY))
    backfill(home, DAY, DAY)
    assert asked(spring) == [DAY]
    assert statuses(home) == {DAY: COMPLETE}
    assert rows_of(home, DAY) == in_organization(spring, DAY)


def test_contradicting_editor_records_are_an_error(home: Home, spring: Simulator) -> None:
    spring.add_fault(Fault(doubled(1), ENDPOINT, DAY))
    with pytest.raises(ContractBroken, match="came twice, with different figures") as caught:
        backfill(home, DAY, DAY)
    rows = [", ".join(row[:3]) for row in in_organization(spring, DAY)]
    assert any(f"{ENDPOINT}: {row} came twice" in str(caught.value) for row in rows)
    assert statuses(home) == {DAY: None}
    assert stored_users(home, ANALYTICS)[DAY]
    assert rows_of(home, DAY) == []


def busiest(home: Home) -> str:
    names: list[str] = [row[0] for day in THREE for row in rows_of(home, day) if "@" in row[0]]
    return max(sorted(set(names)), key=names.count)


@on_sqlite
@pytest.mark.usefixtures("in_each_store")
@pytest.mark.slow
def test_forget_removes_editor_rows(home: Home) -> None:
    backfill(home, THREE[0], THREE[-1])
    user, before = busiest(home), {day: rows_of(home, day) for day in THREE}
    forget(home, user.upper())
    for day in THREE:
        assert rows_of(home, day) == [row for row in before[day] if row[0] != user]
    assert any(rows_of(home, day) != before[day] for day in THREE)
    assert statuses(home) == dict.fromkeys(THREE, COMPLETE)


@pytest.mark.slow
def test_forget_removes_person_with_only_editor_rows(
    home: Home, spring: Simulator, capsys: Capture
) -> None:
    spring.add_fault(Fault(edited(with_stranger), ENDPOINT, DAY))
    backfill(home, DAY, DAY)
    capsys.readouterr()
    forget(home, STRANGER)
    assert capsys.readouterr().out == "1 row removed\n"
    assert rows_of(home, DAY) == in_organization(spring, DAY)


@pytest.mark.slow
def test_forgotten_person_stays_away_from_late_rows(home: Home, spring: Simulator) -> None:
    """Days that are fetched again bring a person back; such a day is not fetched again."""
    home.settings["FETCH_EDITOR_LANGUAGE"] = "false"
    backfill(home, DAY, march(6))
    user = max(each.user for each in stored_users(home, ANALYTICS)[DAY] if "@" in each.user)
    forget(home, user)
    home.settings["FETCH_EDITOR_LANGUAGE"] = "true"
    spring.requests.clear()
    backfill(home, DAY, march(6))
    assert asked(spring, USERS) == []
    assert user not in [each.user for each in stored_users(home, ANALYTICS)[DAY]]
    assert rows_of(home, DAY) == [r for r in in_organization(spring, DAY) if r[0] != user]
    assert statuses(home)[DAY] is COMPLETE


@pytest.mark.slow
def test_single_day_keeps_rows_unless_it_changed(home: Home, spring: Simulator) -> None:
    backfill(home, DAY, DAY)
    later = NOON + timedelta(days=5)
    fetch_period(settings_of(home), later, Window(DAY, DAY), None)
    assert rows_of(home, DAY) == in_organization(spring, DAY)
    assert ledger(home, ANALYTICS)[DAY].fetched_at == later
    spring.revise(DAY)
    fetch_period(settings_of(home), later, Window(DAY, DAY), None)
    assert rows_of(home, DAY) == []
    assert statuses(home) == {DAY: None}
