"""Costs are fetched day by day, close against the source's own totals, and follow revisions."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from analytics_runs import point_to
from conftest import Home, Start
from dashboard_scraper.cli.commands.status import print_status, verify
from dashboard_scraper.cli.fetching import fetch_daily
from dashboard_scraper.errors import (
    ContractBroken,
    NotReconciled,
    SourceUnavailable,
    Stale,
    StoreFailed,
)
from dashboard_scraper.model.costs import Budget, CostDay
from dashboard_scraper.model.dates import Window
from dashboard_scraper.simulator import Fault, Organization, Simulator, remove_field, status
from dashboard_scraper.simulator.exchange import Answer, Request
from dashboard_scraper.simulator.faults import edited, grouped, ungrouped
from dashboard_scraper.sources.registry import ANALYTICS
from dashboard_scraper.store import CostLedgerDay, store_at
from stored_days import NOON, TODAY, backfill, begin_with, fetch, forget, march, settings_of, sql

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("csv_alone")]

COST, BUDGETS = "cost-analytics", "get-user-budget-overrides"
WINDOW = Window(march(1), march(9))
SETTINGS = {"MAX_RETRIES": "0", "FETCH_COST": "auto", "FETCH_EDITOR_LANGUAGE": "false"}
Log = pytest.LogCaptureFixture


def organization() -> Organization:
    return Organization(users=12, today=TODAY + timedelta(9))


@pytest.fixture
def spring(start_api: Start, home: Home, caplog: Log) -> Simulator:
    """A simulator whose today is 10 March 2025, and settings that ask for costs."""
    home.settings |= SETTINGS
    caplog.set_level(logging.INFO, "dashboard_scraper")
    return start_api(organization())


@pytest.fixture(scope="module")
def first_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a home after a run at NOON."""
    home = Home(tmp_path_factory.mktemp("first"))
    with Simulator(organization(), rate_limit=False) as simulator:
        point_to(home, simulator)
        home.settings |= SETTINGS
        run(home)
    return home.data


@pytest.fixture
def fetched(home: Home, spring: Simulator, first_night: Path) -> Simulator:
    """The same simulator, after a run at NOON."""
    begin_with(home, first_night)
    return spring


def run(home: Home, now: datetime = NOON) -> None:
    backfill(home, WINDOW.start, WINDOW.end, now)


def ledger(home: Home) -> list[CostLedgerDay]:
    """The ledger of costs, oldest day first."""
    with store_at(settings_of(home).store_url).reading() as reader:
        return [*reader.cost_ledger(ANALYTICS).values()]


def stored(home: Home) -> list[CostDay]:
    """Every stored day of costs, in the form of an answer."""
    with store_at(settings_of(home).store_url).reading() as reader:
        rows = reader.cost_ledger(ANALYTICS).values()
        return [CostDay(row.day, reader.costs(row), row.total) for row in rows]


def check_equal_to_truth(home: Home, simulator: Simulator, window: Window = WINDOW) -> None:
    truth = simulator.organization.costs
    assert stored(home) == [truth.of_day(day) for day in window.days()]


def asked(simulator: Simulator) -> Counter[str]:
    """How many requests each endpoint for costs had."""
    return Counter(each.endpoint for each in simulator.requests if each.endpoint in (COST, BUDGETS))


@pytest.mark.parametrize(
    ("store_url", "billing"),
    [("sqlite", "dollars"), ("postgresql", "credits")],
    indirect=["store_url"],
)
def test_stored_costs_are_the_truth(
    home: Home, start_api: Start, store_url: str, billing: str
) -> None:
    assert store_url == home.settings["STORE_URL"]
    home.settings |= {"FETCH_COST": "auto", "FETCH_EDITOR_LANGUAGE": "false"}
    simulator = start_api(organization(), billing=billing)
    simulator.plant_huge_tokens(march(4))
    run(home)
    check_equal_to_truth(home, simulator)
    assert all(row.unreconciled == [] for row in ledger(home))
    with store_at(store_url).reading() as reader:
        budgets = reader.budgets(ANALYTICS)
        users = reader.users(ANALYTICS, WINDOW)
    truth = simulator.organization.costs.budgets()
    assert budgets == [budget for budget in truth if budget.user in users]


def test_second_night_asks_for_unsettled_days_only(home: Home, fetched: Simulator) -> None:
    fetched.requests.clear()
    run(home, NOON + timedelta(1))
    windows = [
        (body["start_date"], body["end_date"])
        for each in fetched.requests
        if each.endpoint == COST and (body := msgspec.json.decode(each.body))["group_by_keys"]
    ]
    # Seven days had passed since the first two days when they were fetched.
    assert windows == [("2025-03-03", "2025-03-03"), ("2025-03-04", "2025-03-09")]


def test_late_revision_is_found_by_the_total(home: Home, fetched: Simulator, caplog: Log) -> None:
    home.settings["COST_SETTLE_DAYS"] = "0"
    fetched.revise_costs(march(3))
    fetched.requests.clear()
    run(home, NOON + timedelta(1))
    check_equal_to_truth(home, fetched)
    versions = {row.day: row.version for row in ledger(home)}
    assert versions == {day: 2 if day == march(3) else 1 for day in WINDOW.days()}
    assert f"the costs of {march(3)} were revised: " in caplog.text


def test_costs_that_settled_after_their_days_left_the_window_are_named(
    home: Home, fetched: Simulator, caplog: Log
) -> None:
    after_a_break = NOON + timedelta(28)
    fetched.speak_for(Organization(users=2, today=after_a_break.date()))
    for fetch_cost, first in (("auto", march(3)), ("false", march(7))):
        home.settings["FETCH_COST"] = fetch_cost
        caplog.clear()
        fetch_daily(settings_of(home), None, clock=lambda: after_a_break)
        assert f"run `backfill {first} {WINDOW.end}`" in caplog.text
    assert fetched.requests


def test_moved_costs_are_found_until_the_day_settles(home: Home, fetched: Simulator) -> None:
    giver, taker = fetched.move_costs(march(8))
    run(home, NOON + timedelta(1))
    rows = next(costs.costs for costs in stored(home) if costs.day == march(8))
    assert giver in rows
    assert taker in rows


def test_tenant_without_costs_is_no_error(home: Home, start_api: Start, caplog: Log) -> None:
    home.settings |= {"FETCH_COST": "auto", "FETCH_EDITOR_LANGUAGE": "false"}
    caplog.set_level(logging.INFO, "dashboard_scraper")
    start_api(Organization(users=3, today=TODAY + timedelta(9)), costs_refused=404)
    run(home)
    assert stored(home) == []
    assert len([each for each in caplog.messages if "cost" in each]) == 1


def test_costs_that_are_not_offered_any_more_are_an_error(home: Home, fetched: Simulator) -> None:
    """There were costs before, so those of the next days are missing, which differs from none."""
    fetched.add_fault(Fault(status(403), COST))
    with pytest.raises(ContractBroken, match="does not offer costs any more"):
        run(home, NOON + timedelta(1))
    check_equal_to_truth(home, fetched)


def test_failing_costs_lose_no_other_figure(home: Home, spring: Simulator) -> None:
    spring.add_fault(Fault(status(500), COST))
    with pytest.raises(SourceUnavailable, match=f"costs of {WINDOW} could not be fetched"):
        run(home)
    with store_at(settings_of(home).store_url).reading() as reader:
        assert [*reader.ledger(ANALYTICS)] == [*WINDOW.days()]
    assert stored(home) == []


def test_failing_budgets_are_named_as_such(home: Home, spring: Simulator) -> None:
    spring.add_fault(Fault(status(500), BUDGETS))
    with pytest.raises(SourceUnavailable, match=r"^budgets could not be fetched: "):
        run(home)
    check_equal_to_truth(home, spring)


def test_days_before_a_failure_stay(home: Home, spring: Simulator) -> None:
    """Each day's costs are stored as they arrive, and the next run fetches the rest."""
    spring.add_fault(Fault(status(500), COST, after=2))  # the totals, and the first day
    with pytest.raises(SourceUnavailable):
        run(home)
    assert [row.day for row in ledger(home)] == [march(1)]
    spring.clear_faults()
    run(home)
    check_equal_to_truth(home, spring)


def test_missing_field_is_an_error(home: Home, spring: Simulator) -> None:
    spring.add_fault(Fault(remove_field("billed_amount_usd"), COST))
    what = rf"^costs of {WINDOW} could not be fetched: cost-analytics.*billed_amount_usd"
    with pytest.raises(ContractBroken, match=what):
        run(home)
    assert stored(home) == []


@pytest.mark.parametrize("what", [grouped, ungrouped], ids=["rows", "totals"])
def test_malformed_day_fails_alone(
    home: Home, spring: Simulator, caplog: Log, what: Callable[[Request], bool]
) -> None:
    """Whether it is requested by itself, as the first day is, or with others."""
    bad = {march(1), march(5)}

    def spoil(body: Any, request: Request) -> Any:
        for point in body["data_points"] if what(request) else ():
            if date.fromisoformat(point["start_date"]) in bad:
                point["cost_metrics"]["input_tokens"] = -1
        return body

    spring.add_fault(Fault(edited(spoil), COST))
    with pytest.raises(ContractBroken, match=f"^costs of {march(1)} could not be fetched: "):
        run(home)
    assert [row.day for row in ledger(home)] == [day for day in WINDOW.days() if day not in bad]
    assert f"costs of {march(5)} could not be fetched: " in caplog.text
    bad.clear()
    run(home)
    check_equal_to_truth(home, spring)


def test_refused_query_is_not_repeated_for_each_day(home: Home, spring: Simulator) -> None:
    spring.add_fault(Fault(status(400), COST, asks=grouped))
    with pytest.raises(ContractBroken, match="does not group by"):
        run(home)
    assert asked(spring)[COST] == 2  # the totals, and the first day


def _without_last_row(answer: Answer, _request: Request) -> Answer:
    body = msgspec.json.decode(answer.body)
    if len(body["data_points"]) > 1 and "group_by_values" in body["data_points"][0]:
        del body["data_points"][-1]
        body["metadata"]["returned_data_point_count"] -= 1
    return replace(answer, body=msgspec.json.encode(body))


def test_difference_is_fetched_again_then_marked(
    home: Home, spring: Simulator, caplog: Log
) -> None:
    spring.add_fault(Fault(_without_last_row, COST))
    with pytest.raises(NotReconciled, match=r"the costs of 2025-03-\d\d.* not add up"):
        run(home)
    marked = [row for row in ledger(home) if row.unreconciled]
    assert marked
    assert "fetching them once more" in caplog.text
    spring.clear_faults()
    run(home, NOON + timedelta(1))
    check_equal_to_truth(home, spring)
    assert not [row for row in ledger(home) if row.unreconciled]


def test_lasting_difference_is_not_fetched_for_ever(home: Home, spring: Simulator) -> None:
    """A settled day that does not add up is confirmed on two more days, then left."""
    home.settings |= {"RECONCILE": "warn", "COST_SETTLE_DAYS": "0"}
    spring.add_fault(Fault(_without_last_row, COST))
    asked_for = []
    for night in range(4):
        spring.requests.clear()
        run(home, NOON + timedelta(night))
        asked_for.append(asked(spring)[COST] > 1)
    assert asked_for == [True, True, True, False]
    assert [row for row in ledger(home) if row.unreconciled]


def test_difference_that_passes_is_not_marked(home: Home, spring: Simulator) -> None:
    spring.add_fault(Fault(_without_last_row, COST, times=2))
    run(home)
    check_equal_to_truth(home, spring)


def test_difference_is_a_warning_where_wished(home: Home, spring: Simulator, caplog: Log) -> None:
    home.settings["RECONCILE"] = "warn"
    spring.add_fault(Fault(_without_last_row, COST))
    run(home)
    assert "the costs of" in caplog.messages[-1]
    assert "not add up" in caplog.messages[-1]


@pytest.mark.usefixtures("fetched")
def test_forgotten_people_do_not_come_back(home: Home) -> None:
    person = next(cost.user for costs in stored(home) for cost in costs.costs if "@" in cost.user)
    forget(home, person)
    run(home, NOON + timedelta(1))
    url = settings_of(home).store_url
    assert sql(url, f"SELECT 1 FROM cost_days WHERE user_login = '{person}'") == []
    gone = [row for row in ledger(home) if row.forgotten]
    assert gone


@pytest.mark.usefixtures("spring")
def test_forgotten_people_do_not_come_with_first_costs(home: Home) -> None:
    """A person who was removed before costs were ever fetched has none afterwards."""
    home.settings["FETCH_COST"] = "false"
    run(home)
    with store_at(settings_of(home).store_url).reading() as reader:
        person = next(user for user in reader.users(ANALYTICS, WINDOW) if "@" in user)
    forget(home, person)
    home.settings |= {"FETCH_COST": "true", "SETTLE_DAYS": "0"}
    run(home)
    rows = [cost.user for costs in stored(home) for cost in costs.costs]
    assert person not in rows
    assert [row for row in ledger(home) if row.forgotten]
    assert len(stored(home)) == len(WINDOW)


def test_removing_somebody_takes_no_costs_of_others(home: Home, fetched: Simulator) -> None:
    """A person with costs but no usage on a day, such as a correction, was not removed from it."""
    day = _corrected(home)
    truth = fetched.organization.costs
    forget(home, person := next(user for user in users_of(home, day) if "@" in user))
    fetched.revise_costs(day)
    run(home, NOON + timedelta(1))
    (row,) = (costs for costs in stored(home) if costs.day == day)
    assert row.costs == [cost for cost in truth.of_day(day).costs if cost.user != person]


def test_day_without_a_removed_person_is_fetched_until_it_settles(
    home: Home, fetched: Simulator
) -> None:
    """The costs of other people may change as on any other day."""
    home.settings["SETTLE_DAYS"] = "0"
    day = march(7)
    giver, taker = fetched.move_costs(day)
    forget(home, person := max(users_of(home, day) - {giver.user, taker.user}))
    run(home, NOON + timedelta(1))
    (row,) = (costs for costs in stored(home) if costs.day == day)
    truth = fetched.organization.costs.of_day(day).costs
    assert row.costs == [cost for cost in truth if cost.user != person]
    assert [each.day for each in ledger(home) if each.forgotten and each.day == day]
    versions = [each.version for each in ledger(home)]
    run(home, NOON + timedelta(2))
    assert [each.version for each in ledger(home)] == versions


def test_log_of_a_revision_has_the_sums_without_removed_people(
    home: Home, fetched: Simulator, caplog: Log
) -> None:
    day = _corrected(home)
    forget(home, next(user for user in users_of(home, day) if "@" in user))
    before = ledger_of(home, day).sums.billed
    fetched.revise_costs(day)
    run(home, NOON + timedelta(1))
    assert before != (after := ledger_of(home, day).sums.billed)
    assert f", billed {before} -> {after}," in caplog.text


def ledger_of(home: Home, day: date) -> CostLedgerDay:
    (row,) = (row for row in ledger(home) if row.day == day)
    return row


def test_somebody_with_costs_alone_does_not_come_back(home: Home, fetched: Simulator) -> None:
    day = _corrected(home)
    rows = next(costs.costs for costs in stored(home) if costs.day == day)
    person = next(cost.user for cost in rows if cost.user and cost.user not in users_of(home, day))
    forget(home, person)
    fetched.revise_costs(day)
    run(home, NOON + timedelta(1))
    (row,) = (costs for costs in stored(home) if costs.day == day)
    assert row.costs == [
        cost for cost in fetched.organization.costs.of_day(day).costs if cost.user != person
    ]


def users_of(home: Home, day: date) -> set[str]:
    """The users who have usage on the day."""
    with store_at(settings_of(home).store_url).reading() as reader:
        return {user.user for user in reader.day(reader.ledger(ANALYTICS)[day]).users}


def _corrected(home: Home) -> date:
    """A day on which somebody has costs without any usage."""
    return next(
        costs.day
        for costs in stored(home)
        if {cost.user for cost in costs.costs} - {""} - users_of(home, costs.day)
    )


def test_export_run_fetches_costs_too(home: Home, spring: Simulator) -> None:
    fetch(home, WINDOW.start, WINDOW.end)
    check_equal_to_truth(home, spring)
    assert asked(spring)[BUDGETS] > 0


def test_run_for_old_days_keeps_budgets(home: Home, fetched: Simulator) -> None:
    """Budgets are current ones, also of people who were not active on the days of the run."""

    def limits() -> list[Budget]:
        with store_at(settings_of(home).store_url).reading() as reader:
            return reader.budgets(ANALYTICS)

    before = limits()
    old = march(1) - timedelta(days=200)
    backfill(home, old, old)
    assert limits() == before == fetched.organization.costs.budgets()[: len(before)] != []


def test_limits_that_nobody_confirms_are_removed(
    home: Home, fetched: Simulator, caplog: Log
) -> None:
    """They would look current for ever."""
    fetched.add_fault(Fault(status(404), BUDGETS))
    run(home, NOON + timedelta(1))
    with store_at(settings_of(home).store_url).reading() as reader:
        assert reader.budgets(ANALYTICS) == []
    assert "does not offer budgets any more" in caplog.text


def test_costs_that_nobody_wants_are_not_asked_for(home: Home, spring: Simulator) -> None:
    home.settings["FETCH_COST"] = "false"
    run(home)
    assert asked(spring) == {}


def test_status_shows_costs(
    home: Home, spring: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    home.settings["RECONCILE"] = "warn"
    spring.add_fault(Fault(_without_last_row, COST, after=2, times=4))
    run(home)
    capsys.readouterr()
    print_status(settings_of(home), NOON, as_json=False, max_age=None, check=False)
    text = capsys.readouterr().out
    assert "  9 days have costs, 2025-03-01 to 2025-03-09\n" in text
    assert "    the costs of 2025-03-09 do not add up: input_tokens is" in text
    print_status(settings_of(home), NOON, as_json=True, max_age=None, check=False)
    costs = msgspec.json.decode(capsys.readouterr().out)["sources"][0]["costs"]
    assert (costs["days"], costs["missing"], len(costs["unsettled"])) == (9, [], 7)
    assert costs["unreconciled"][-1]["day"] == "2025-03-09"


def test_stale_costs_make_status_fail(home: Home, fetched: Simulator) -> None:
    """Fresh figures must not hide that costs stopped arriving."""
    fetched.add_fault(Fault(status(500), COST))
    with pytest.raises(SourceUnavailable):
        backfill(home, march(10), march(11), NOON + timedelta(2))

    def look(days: int) -> None:
        age = timedelta(days=days)
        print_status(settings_of(home), NOON + timedelta(2), as_json=True, max_age=age, check=False)

    look(4)
    with pytest.raises(Stale, match="newest day with costs, 2025-03-09, ended 60 hours ago"):
        look(2)
    home.settings["FETCH_COST"] = "false"
    look(2)


def test_verify_finds_damaged_costs(home: Home, fetched: Simulator) -> None:
    assert fetched.organization
    verify(settings_of(home))
    url = settings_of(home).store_url
    sql(url, "UPDATE cost_day SET billed = '7' WHERE day = '2025-03-04'")
    sql(url, "DELETE FROM cost_ledger WHERE day = '2025-03-06'")
    with pytest.raises(StoreFailed, match="ledger: 2025-03-04, 2025-03-06;"):
        verify(settings_of(home))
