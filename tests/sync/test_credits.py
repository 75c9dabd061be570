"""Credits of users per day: fetched if requested, and never at the cost of a day."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest

from conftest import Home, Start, last_working_day, without_github
from dashboard_scraper.cli.commands.status import print_status
from dashboard_scraper.errors import (
    ContractBroken,
    ScraperError,
    SignInRequired,
    SourceUnavailable,
    UsageError,
)
from dashboard_scraper.model.dates import Window, last_complete_days
from dashboard_scraper.simulator import (
    Fault,
    Organization,
    Simulator,
    add_beside,
    add_field,
    remove_field,
    repeat_user,
    set_value,
    status,
)
from dashboard_scraper.simulator.analytics_api import CREDITS
from dashboard_scraper.simulator.exchange import Answer, Request
from dashboard_scraper.simulator.faults import Effect
from dashboard_scraper.sources.analytics.client import AnalyticsSource
from dashboard_scraper.sources.registry import ANALYTICS
from dashboard_scraper.sources.rest.pacing import Pace
from dashboard_scraper.store import DetailStatus, store_at
from databases import on_sqlite
from stored_days import NOON, TODAY, backfill, fetch, forget, ledger, march, settings_of, sql

pytestmark = pytest.mark.usefixtures("csv_alone")

USERS = "user-activity"
FIRST, LAST = march(3), march(9)
DAYS = list(Window(FIRST, LAST).days())
DAY = march(5)
AMOUNT = "credits_consumed"
STRANGER = "stranger@example.com"
Credits = dict[tuple[str, str], float]
Json = Any
Log = pytest.LogCaptureFixture
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def spring(start_api: Start, home: Home, caplog: Log) -> Simulator:
    """A simulator whose today is 10 March 2025; credits are requested only once each."""
    home.settings |= {
        "MAX_RETRIES": "0",
        "FETCH_CREDITS": "true",
        "FETCH_EDITOR_LANGUAGE": "false",
    }
    caplog.set_level(logging.INFO, "dashboard_scraper")
    return start_api(Organization(users=12, today=TODAY + timedelta(9)), billing="credits")


def in_organization(sim: Simulator, first: date = FIRST, last: date = LAST) -> Credits:
    """What everybody consumed, by day and name."""
    return {
        (f"{day}", sim.organization.members[index].name): total.counts.credits / 100
        for day in Window(first, last).days()
        for index, total in sim.organization.totals(Window(day, day)).items()
    }


def stored_credits(home: Home) -> Credits:
    """The credits that the view has."""
    query = (
        f"SELECT day, user_login, credits_consumed FROM credit_days WHERE source = '{ANALYTICS}'"
    )
    rows = sql(settings_of(home).store_url, query)
    found = {(f"{day}", user): consumed for day, user, consumed in rows}
    assert len(found) == len(rows)
    return found


def days_with(home: Home) -> list[date]:
    """The days with credits in the ledger."""
    return [
        day for day, row in ledger(home, ANALYTICS).items() if row.credits is DetailStatus.COMPLETE
    ]


def asked(sim: Simulator) -> list[Window]:
    """The windows for which credits were requested, each once whatever its pages."""
    return [
        Window(date.fromisoformat(r.query["start_date"]), date.fromisoformat(r.query["end_date"]))
        for r in tuple(sim.requests)
        if r.endpoint == CREDITS and "cursor" not in r.query
    ]


def edited(change: Callable[[list[Json]], list[Json]]) -> Effect:
    """Change the answer's records, and the number of users to match."""

    def effect(answer: Answer, _request: Request) -> Answer:
        body = msgspec.json.decode(answer.body)
        body["records"] = change(body["records"])
        names = {r.get("user_email") or r.get("service_account_name") for r in body["records"]}
        body["metadata"]["returned_user_count"] = len(names)
        return replace(answer, body=msgspec.json.encode(body))

    return effect


@on_sqlite
@pytest.mark.slow
def test_stored_credits_equal_the_source(
    home: Home, in_each_store: Simulator, capsys: Capture
) -> None:
    """With their fractions."""
    fetch(home, FIRST, LAST)
    stored = stored_credits(home)
    assert stored == in_organization(in_each_store)
    assert any(not consumed.is_integer() for consumed in stored.values())
    assert any("@" not in user for _, user in stored)  # service accounts consume them too
    assert days_with(home) == DAYS
    assert asked(in_each_store) == [Window(FIRST, LAST)]
    capsys.readouterr()
    print_status(settings_of(home), NOON, as_json=False, max_age=None, check=False)
    assert f"  {len(DAYS)} days have credits\n" in capsys.readouterr().out


@pytest.mark.slow
def test_credits_are_not_requested_by_default(home: Home, spring: Simulator) -> None:
    del home.settings["FETCH_CREDITS"]
    fetch(home, FIRST, LAST)
    assert spring.count(USERS) == len(DAYS)
    assert spring.count(CREDITS) == 0
    assert (days_with(home), stored_credits(home)) == ([], {})


@pytest.mark.slow
def test_credits_are_fetched_after_all_users(home: Home, spring: Simulator) -> None:
    home.settings["FETCH_EDITOR_LANGUAGE"] = "true"
    fetch(home, FIRST, LAST)
    assert [request.endpoint == CREDITS for request in spring.requests].index(True) == (
        len(spring.requests) - 1
    )


@pytest.mark.parametrize("code", [403, 404])
@pytest.mark.slow
def test_missing_endpoint_is_not_an_error(home: Home, start_api: Start, code: int) -> None:
    home.settings["FETCH_CREDITS"] = "true"
    sim = start_api(credits_available=code != 404)
    if code == 403:
        sim.add_fault(Fault(status(403), CREDITS))
    day = sim.organization.today - timedelta(1)
    result = home.run("--daily", f"{day - timedelta(3)}", f"{day}")
    assert result.code == 0, result.err
    assert result.err.count("credits") == 1
    assert "ERROR" not in result.err
    assert "WARNING" not in without_github(result.err)
    assert sim.count(CREDITS) == 1
    assert (days_with(home), stored_credits(home)) == ([], {})
    assert len(ledger(home, ANALYTICS)) == 4
    with store_at(settings_of(home).store_url).reading() as reader:
        assert reader.last_success(ANALYTICS) is not None


@pytest.mark.parametrize("code", [403, 404])
def test_endpoint_that_is_gone_is_an_error(home: Home, spring: Simulator, code: int) -> None:
    fetch(home, FIRST, DAY)
    spring.add_fault(Fault(status(code), CREDITS))
    with pytest.raises(ContractBroken, match="does not offer credits any more"):
        fetch(home, FIRST, LAST)
    assert list(ledger(home, ANALYTICS)) == DAYS


def test_endpoint_that_is_gone_on_a_later_page_is_an_error(home: Home, spring: Simulator) -> None:
    more = {"has_more": True, "next_cursor": "next"}
    spring.add_fault(Fault(add_beside("pagination", value=more), CREDITS, times=1))
    spring.add_fault(Fault(status(404), CREDITS, after=1))
    with pytest.raises(ContractBroken, match="credit-usage-by-user: HTTP 404"):
        fetch(home, FIRST, LAST)


def twice(difference: float) -> Effect:
    """The first record comes again, with that many more credits."""
    return edited(
        lambda records: [*records, {**records[0], AMOUNT: records[0][AMOUNT] + difference}]
    )


BROKEN: dict[str, tuple[Effect, str]] = {
    "another day": (set_value("date", "2025-03-10", record=5), "2025-03-10 too"),
    "no day": (set_value("date", "March", record=5), r"records\[5\].*date"),
    "day missing": (remove_field("date", record=5), r"records\[5\].*date"),
    "negative": (set_value(AMOUNT, -0.01, record=5), rf"records\[5\].*{AMOUNT}"),
    "text": (set_value(AMOUNT, "1.5", record=5), rf"records\[5\].*{AMOUNT}"),
    "null": (set_value(AMOUNT, None, record=5), rf"records\[5\].*{AMOUNT}"),
    "two values": (twice(0.5), "came twice, with different figures"),
    "two names": (add_field("service_account_name", "bot"), "both of user_email"),
    "no name": (remove_field("user_email"), "none of user_email"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_answer_is_refused(home: Home, spring: Simulator, name: str) -> None:
    effect, words = BROKEN[name]
    spring.add_fault(Fault(effect, CREDITS))
    source = AnalyticsSource(
        settings_of(home), Pace(60_000, 1000), Pace(60_000, 1000), lambda: NOON
    )
    with closing(source), pytest.raises(ContractBroken, match=words):
        source.details.fetch_credits(Window(FIRST, LAST))


ERRORS: dict[str, tuple[Effect, type[ScraperError], str]] = {
    "unavailable": (status(503), SourceUnavailable, "HTTP 503"),
    "refused": (status(400), UsageError, "HTTP 400"),
    "unauthorised": (status(401), SignInRequired, "HTTP 401"),
    "two values": (twice(0.5), ContractBroken, "came twice, with different figures"),
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.slow
def test_error_loses_only_credits(home: Home, spring: Simulator, name: str) -> None:
    """No user-day and no file is lost; nothing of the wrong answer is stored."""
    effect, kind, words = ERRORS[name]
    spring.add_fault(Fault(effect, CREDITS))
    first, last = march(4), march(5)
    with pytest.raises(kind, match=words) as caught:
        fetch(home, first, last)
    assert f"credits of {first} to {last} could not be fetched" in str(caught.value)
    code = {UsageError: 2, SourceUnavailable: 4, ContractBroken: 5, SignInRequired: 3}[kind]
    assert (type(caught.value), caught.value.exit_code) == (kind, code)
    assert list(ledger(home, ANALYTICS)) == [first, last]
    assert len(home.own_files()) == 2 + 1
    assert (days_with(home), stored_credits(home)) == ([], {})
    spring.clear_faults()
    backfill(home, first, last)
    assert stored_credits(home) == in_organization(spring, first, last)


@pytest.mark.parametrize("effect", [twice(0), repeat_user()], ids=["at the end", "last again"])
@pytest.mark.slow
def test_repeated_credit_record_counts_once(home: Home, spring: Simulator, effect: Effect) -> None:
    spring.add_fault(Fault(effect, CREDITS))
    backfill(home, FIRST, march(4))
    assert stored_credits(home) == in_organization(spring, FIRST, march(4))


@pytest.mark.usefixtures("spring")
def test_credit_error_sets_exit_code(home: Home, start_api: Start) -> None:
    sim = start_api(billing="credits")
    sim.add_fault(Fault(set_value(AMOUNT, -1), CREDITS))
    result = home.run("--daily", f"{last_working_day()}")
    assert result.code == 5
    assert AMOUNT in result.err
    assert len(home.own_files()) == 2


@on_sqlite
@pytest.mark.slow
def test_refetched_days_get_new_credits(home: Home, in_each_store: Simulator) -> None:
    """No other days are requested."""
    home.settings["REVISION_LIMIT"] = "100"
    fetch(home, FIRST, LAST)
    before = in_organization(in_each_store)
    for day in (march(4), march(8)):
        in_each_store.revise(day)
    in_each_store.requests.clear()
    fetch(home, FIRST, LAST, NOON + timedelta(hours=1))
    assert asked(in_each_store) == [Window(march(4), march(4)), Window(march(7), march(9))]
    assert stored_credits(home) == in_organization(in_each_store) != before
    assert days_with(home) == DAYS


@pytest.mark.slow
def test_refetched_day_loses_old_credits(home: Home, spring: Simulator) -> None:
    """If credits are no longer fetched."""
    backfill(home, FIRST, LAST)
    home.settings["FETCH_CREDITS"] = "false"
    spring.requests.clear()
    fetch(home, FIRST, LAST, NOON + timedelta(hours=1))
    assert asked(spring) == []
    assert days_with(home) == DAYS[:4]
    assert stored_credits(home) == in_organization(spring, FIRST, march(6))


@pytest.mark.slow
def test_week_of_several_pages_is_complete(home: Home, start_api: Start) -> None:
    home.settings["FETCH_CREDITS"] = "true"
    sim = start_api(Organization(users=220, today=TODAY), billing="credits")
    window = last_complete_days(7, TODAY)
    backfill(home, window.start, window.end)
    expected = in_organization(sim, window.start, window.end)
    assert sim.count(CREDITS) == -(-len(expected) // 500) > 1
    assert stored_credits(home) == expected


@pytest.mark.slow
def test_long_window_is_fetched_in_pieces(home: Home, spring: Simulator) -> None:
    first = LAST - timedelta(99)
    backfill(home, first, LAST)
    assert asked(spring) == [
        Window(first, first + timedelta(89)),
        Window(first + timedelta(90), LAST),
    ]
    assert stored_credits(home) == in_organization(spring, first, LAST)


@on_sqlite
@pytest.mark.slow
def test_forget_removes_credits(home: Home, in_each_store: Simulator) -> None:
    backfill(home, FIRST, LAST)
    user = max(name for _, name in stored_credits(home) if "@" in name)
    forget(home, user.upper())
    left = {key: value for key, value in in_organization(in_each_store).items() if key[1] != user}
    assert stored_credits(home) == left != in_organization(in_each_store)
    assert days_with(home) == DAYS


@pytest.mark.slow
def test_forget_removes_person_with_only_credits(
    home: Home, spring: Simulator, capsys: Capture
) -> None:
    def with_stranger(records: list[Json]) -> list[Json]:
        return [*records, {**records[0], "user_email": STRANGER}]

    spring.add_fault(Fault(edited(with_stranger), CREDITS))
    backfill(home, FIRST, LAST)
    assert (f"{FIRST}", STRANGER) in stored_credits(home)
    capsys.readouterr()
    forget(home, STRANGER)
    assert capsys.readouterr().out == "1 row removed\n"
    assert stored_credits(home) == in_organization(spring)


@pytest.mark.slow
def test_forgotten_person_stays_away_from_late_credits(home: Home, spring: Simulator) -> None:
    """Days that are fetched again bring a person back; such a day is not fetched again."""
    home.settings["FETCH_CREDITS"] = "false"
    backfill(home, FIRST, march(6))
    user = max(name for _, name in in_organization(spring, FIRST, march(6)) if "@" in name)
    forget(home, user)
    home.settings["FETCH_CREDITS"] = "true"
    spring.requests.clear()
    backfill(home, FIRST, march(6))
    assert spring.count(USERS) == 0
    assert days_with(home) == DAYS[:4]
    assert user not in {name for _, name in stored_credits(home)}
    assert len(stored_credits(home)) > len(DAYS)
