"""Cursor's costs from usage events, compared with the team's own, and the closing of a cycle."""

from __future__ import annotations

import csv
import logging
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow.parquet
import pytest

from conftest import Home
from cursor_runs import (
    DAY,
    EVENTS,
    FOLDER,
    SOUND,
    SPEND,
    cost_ledger,
    dollars,
    opened,
    team_of,
    true_costs,
)
from dashboard_scraper.errors import ContractBroken, NotReconciled, RevisionsHeld, SourceUnavailable
from dashboard_scraper.model.costs import Account
from dashboard_scraper.model.dates import Window, end_of_day, start_of_day, utc_day
from dashboard_scraper.simulator import Fault, Organization, Request, Simulator, status
from dashboard_scraper.simulator.cursor_team import CENT, MILLISECOND, Event, Seat, moment_of
from dashboard_scraper.simulator.faults import edited
from dashboard_scraper.sources.registry import CURSOR
from dashboard_scraper.store import store_at
from stored_days import NOON, TODAY, fetch, settings_of

BOTH = Window(SOUND, DAY)
FIRST, LAST = TODAY - timedelta(11), TODAY - timedelta(1)
Json = Any


def with_costs(home: Home, sim: Simulator) -> Simulator:
    home.settings["FETCH_COST"] = "auto"
    return sim


def event(seat: Seat | None, moment: datetime, cents: int = 100) -> Event:
    return Event(moment, seat, None, "model-z", None, cents * CENT, True, 10)


def a_seat(sim: Simulator) -> Seat:
    return next(seat for seat in team_of(sim).listed() if seat.share == (1, 1))


def spend_more(cents: float, times: int | None = None) -> Fault:
    """The first member was charged more than the events' sum, by this many cents."""

    def change(body: Json, _: Request) -> Json:
        for field in ("spendCents", "overallSpendCents"):
            body["teamMemberSpend"][0][field] += cents
        return body

    return Fault(edited(change), SPEND, times=times)


def marks(home: Home) -> dict[date, list[str]]:
    return {
        day: [each.metric for each in row.unreconciled] for day, row in cost_ledger(home).items()
    }


@pytest.mark.slow
def test_costs_equal_the_truth(home: Home, cursor: Simulator) -> None:
    """A dozen pages a day: costs of people, a service account, a cloud agent and people who left;
    refunds; amounts with the noise of binary floats.
    """
    with_costs(home, cursor)
    with opened(home) as source:
        found = source.costs.fetch_costs(BOTH)
    assert found == {day: true_costs(cursor, day) for day in BOTH.days()}
    costs = [cost for day in found.values() for cost in day]
    assert {cost.account for cost in costs} == set(Account)
    assert {cost.resource_type for cost in costs} == {"MODEL", "REQUEST"}
    assert min(cost.figures.billed or 0 for cost in costs) < 0
    assert any(f"{cost.figures.billed}"[::-1].find(".") == 18 for cost in costs)


def test_what_is_not_charged_by_tokens_has_unknown_tokens(home: Home, cursor: Simulator) -> None:
    """What the subscription includes is on no bill, but in the estimate."""
    with_costs(home, cursor)
    with opened(home) as source:
        costs = source.costs.fetch_costs(Window(DAY, DAY))[DAY]
    included = [each.figures for each in costs if each.resource_type == "REQUEST"]
    assert {figures.input_tokens for figures in included} == {None}
    assert any(figures.estimated and not figures.billed for figures in included)


def test_service_account_named_like_an_address_is_no_person(home: Home, cursor: Simulator) -> None:
    with_costs(home, cursor)

    def rename(body: Json, _: Request) -> Json:
        for each in body["usageEvents"]:
            if "serviceAccountName" in each:
                each["serviceAccountName"] = "ada@example.com"
        return body

    cursor.add_fault(Fault(edited(rename), EVENTS))
    with opened(home) as source:
        costs = source.costs.fetch_costs(Window(DAY, DAY))[DAY]
    services = {each.user for each in costs if each.account is Account.SERVICE_ACCOUNT}
    assert services == {"service account ada@example.com"}


@pytest.mark.slow
def test_costs_of_two_accounts_are_counted_once(home: Home, own_cursor: Simulator) -> None:
    """Events name an address, which may belong to two accounts."""
    with_costs(home, own_cursor)
    team = team_of(own_cursor)
    twins = [seat for seat in team.seats if seat.share != (1, 1)]
    fetch(home, DAY, DAY)
    path = home.data / f"daily_exports_{DAY}_to_{DAY}" / f"cursor_costs_{DAY}.csv"
    with path.open(encoding="utf-8-sig") as file:
        rows = [row for row in csv.DictReader(file) if row["User"] == twins[0].person.email]
    assert len(rows) == len({(row["Resource Type"], row["Resource"]) for row in rows})
    events = team.events(start_of_day(DAY), end_of_day(DAY) - MILLISECOND)
    charged = sum(each.charged for each in events if each.seat in twins)
    found = sum(Decimal(row["Estimated"]) for row in rows)
    assert round(found, 15) == round(dollars(charged // 10), 15)


def test_events_at_the_edges_of_a_day_count_once(home: Home, own_cursor: Simulator) -> None:
    """Requests include both of their ends: if one ended at midnight, events would count twice."""
    with_costs(home, own_cursor)
    team, seat = team_of(own_cursor), a_seat(own_cursor)
    for moment in (start_of_day(DAY), end_of_day(DAY) - MILLISECOND):
        team.add(event(seat, moment))
    with opened(home) as source:
        found = source.costs.fetch_costs(Window(SOUND, DAY + timedelta(1)))
    of_days = {
        day: sum(each.figures.billed or 0 for each in costs if each.resource == "model-z")
        for day, costs in found.items()
    }
    assert of_days == {SOUND: 0, DAY: 2, DAY + timedelta(1): 0}
    assert {r.parameters["endDate"] % 86_400_000 for r in own_cursor.requests} == {86_399_999}


@pytest.mark.slow
def test_files_equal_the_truth(home: Home, own_cursor: Simulator) -> None:
    """CSV, Parquet and FOCUS."""
    with_costs(home, own_cursor)
    fetch(home, SOUND, DAY)
    truth = true_costs(own_cursor, DAY)
    keys = [(each.user, each.resource_type, each.resource) for each in truth]
    with (home.data / FOLDER / f"cursor_costs_{DAY}.csv").open(encoding="utf-8-sig") as file:
        rows = [*csv.DictReader(file)]
    assert [(r["User"], r["Resource Type"], r["Resource"]) for r in rows] == keys
    assert [Decimal(row["Billed"]) for row in rows] == [each.figures.billed for each in truth]
    assert [row["Input tokens"] for row in rows] == [
        "" if each.figures.input_tokens is None else f"{each.figures.input_tokens}"
        for each in truth
    ]
    for kind in ("parquet", "focus"):
        assert home.run("export", f"{DAY}", f"{DAY}", "--format", kind).code == 0
    (path,) = (home.data / "parquet" / "_cost_days").glob(f"day={DAY}/*.parquet")
    table = pyarrow.parquet.read_table(path).to_pylist()
    assert {
        (r["user_login"], r["resource_type"], r["resource"]): r["estimated"] for r in table
    } == {key: each.figures.estimated for key, each in zip(keys, truth, strict=True)}
    with (home.data / "focus" / f"focus_{DAY}.csv").open(encoding="utf-8-sig") as file:
        bill = [*csv.DictReader(file)]
    assert sum(Decimal(row["BilledCost"]) for row in bill) == sum(
        each.figures.billed or 0 for each in truth
    )
    assert {row["ServiceName"] for row in bill} == {"Cursor"}
    assert {row["x_Unreconciled"] for row in bill} == {""}


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_second_night_fetches_unsettled_costs_only(home: Home, own_cursor: Simulator) -> None:
    """Seven days in one request; for the closing, today's and those of the cycle's first day."""
    with_costs(home, own_cursor)
    fetch(home, FIRST, LAST)
    own_cursor.requests.clear()
    fetch(home, FIRST, LAST)
    asked = [r.parameters["startDate"] for r in own_cursor.requests if r.endpoint == EVENTS]
    first = min(asked)
    assert len(asked) <= 4
    cycle = team_of(own_cursor).cycle_start
    assert first == (cycle - start_of_day(date(1970, 1, 1))) // MILLISECOND


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_a_cycle_that_adds_up_is_not_marked(home: Home, own_cursor: Simulator) -> None:
    """It began during a day, and goes on today: neither day is stored as a whole."""
    with_costs(home, own_cursor)
    fetch(home, FIRST, LAST)
    assert marks(home) == {day: [] for day in Window(FIRST, LAST).days()}
    assert own_cursor.count(SPEND) == 2


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_a_cycle_that_does_not_add_up_is_marked(home: Home, own_cursor: Simulator) -> None:
    """Its days are fetched once more, then marked, as any of them may be wrong. The next night
    fetches them again, those outside its window too; once they agree, the marks are removed.
    """
    with_costs(home, own_cursor)

    def charge_more(body: Json, _: Request) -> Json:
        for each in body["usageEvents"]:
            each["chargedCents"] += 1
        return body

    own_cursor.add_fault(Fault(edited(charge_more), EVENTS))
    with pytest.raises(
        NotReconciled, match=r"of \d+ members in the billing cycle since 2025-02-28"
    ):
        fetch(home, FIRST, LAST)
    cycle = Window(team_of(own_cursor).cycle_start.date(), LAST)
    assert {day for day, found in marks(home).items() if found} == set(cycle.days())
    assert own_cursor.count(SPEND) == 4
    own_cursor.clear_faults()
    fetch(home, LAST, LAST, NOON + timedelta(days=1))
    assert not any(marks(home).values())


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_costs_stay_while_the_usage_of_their_day_is_held(home: Home, own_cursor: Simulator) -> None:
    """Otherwise nothing would correct those of a day before the billing cycle."""
    with_costs(home, own_cursor)
    home.settings["COST_SETTLE_DAYS"] = f"{(TODAY - FIRST).days - 1}"
    truth, lower = own_cursor.organization, Organization(users=60, seed=49, today=TODAY)
    for _ in range(4):
        truth.revise(FIRST)
    fetch(home, FIRST, FIRST, NOON - timedelta(days=1))
    costs = [row.sums for row in cost_ledger(home).values()]
    own_cursor.speak_for(lower)
    with pytest.raises(RevisionsHeld):
        fetch(home, FIRST, FIRST, NOON)
    own_cursor.speak_for(truth)
    fetch(home, FIRST, FIRST, NOON + timedelta(days=1))
    assert [row.sums for row in cost_ledger(home).values()] == costs


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_failing_comparison_is_named_as_such(home: Home, own_cursor: Simulator) -> None:
    """The costs themselves arrived, and are stored."""
    with_costs(home, own_cursor)
    own_cursor.add_fault(Fault(status(500), SPEND))
    with pytest.raises(SourceUnavailable, match=r"^the costs of the billing period could not be"):
        fetch(home, FIRST, LAST)
    assert cost_ledger(home).keys() == set(Window(FIRST, LAST).days())


@pytest.mark.usefixtures("csv_alone")
def test_wrong_event_fails_the_costs_of_its_day_alone(home: Home, cursor: Simulator) -> None:
    """Although events of several days arrive together."""
    with_costs(home, cursor)
    first = SOUND - timedelta(3)

    def spoil(body: Json, _: Request) -> Json:
        for event in body["usageEvents"]:
            if utc_day(moment_of(int(event["timestamp"]))) == SOUND:
                event["model"] = 7
        return body

    cursor.add_fault(Fault(edited(spoil), EVENTS))
    with pytest.raises(ContractBroken, match=f"^costs of {SOUND} could not be fetched: "):
        fetch(home, first, DAY)
    assert cost_ledger(home).keys() == {*Window(first, DAY).days()} - {SOUND}


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_late_events_are_found_by_the_closing(home: Home, own_cursor: Simulator) -> None:
    """A settled day is then fetched again."""
    with_costs(home, own_cursor)
    home.settings["COST_SETTLE_DAYS"] = "0"
    fetch(home, FIRST, LAST)
    team_of(own_cursor).add(event(a_seat(own_cursor), start_of_day(SOUND) + timedelta(hours=9)))
    fetch(home, FIRST, LAST)
    with store_at(settings_of(home).store_url).reading() as reader:
        assert reader.costs(reader.cost_ledger(CURSOR)[SOUND]) == true_costs(own_cursor, SOUND)
    assert not any(marks(home).values())


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_events_during_the_closing_are_no_difference(home: Home, own_cursor: Simulator) -> None:
    """Spend is read before and after the events: newer events are only in the second answer."""
    with_costs(home, own_cursor)
    own_cursor.add_fault(spend_more(-0.5, times=1))
    fetch(home, FIRST, LAST)
    assert own_cursor.count(SPEND) == 2
    assert not any(marks(home).values())


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_removed_members_are_not_compared(
    home: Home, own_cursor: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Their events name nobody."""
    with_costs(home, own_cursor)
    caplog.set_level(logging.INFO, "dashboard_scraper")

    def remove(body: Json, _: Request) -> Json:
        body["teamMemberSpend"][0] |= {"role": "removed", "overallSpendCents": 1e6}
        return body

    own_cursor.add_fault(Fault(edited(remove), SPEND))
    fetch(home, FIRST, LAST)
    assert not any(marks(home).values())
    assert "1 accounts in spend without an e-mail address or removed" in caplog.text


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_a_cycle_with_missing_days_is_not_compared(
    home: Home, own_cursor: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    with_costs(home, own_cursor)
    caplog.set_level(logging.INFO, "dashboard_scraper")
    fetch(home, DAY, DAY)
    assert "cannot be compared: 8 of its days are not stored" in caplog.text
    assert own_cursor.count(SPEND) == 1


@pytest.mark.slow
def test_costs_can_be_left_out(home: Home, own_cursor: Simulator) -> None:
    home.settings["FETCH_COST"] = "false"
    fetch(home, DAY, DAY)
    assert own_cursor.count(EVENTS) == own_cursor.count(SPEND) == 0
    assert cost_ledger(home) == {}
