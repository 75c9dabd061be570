"""`history` shows every version of a day's costs, and whose figures changed by how much."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from conftest import Home, Start
from dashboard_scraper.errors import SourceUnavailable
from dashboard_scraper.model.costs import BILLED, COSTS_BY_NAME, Cost
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.simulator import Fault, Organization, Simulator, status
from dashboard_scraper.sources.registry import ANALYTICS
from dashboard_scraper.store import store_at
from filled_store import user
from stored_costs import cost, day_of
from stored_days import NOON, TODAY, backfill, forget, march, settings_of

DAY = march(3)


@pytest.fixture
def spring(start_api: Start, home: Home) -> Simulator:
    home.settings |= {"FETCH_COST": "auto", "FETCH_EDITOR_LANGUAGE": "false"}
    return start_api(Organization(users=12, today=TODAY + timedelta(9)))


def fetched(home: Home, days_later: int = 0) -> list[Cost]:
    """The day's costs in the store after a run."""
    backfill(home, DAY, DAY, NOON + timedelta(days_later))
    with store_at(settings_of(home).store_url).reading() as reader:
        return reader.costs(reader.cost_ledger(ANALYTICS, Window(DAY, DAY))[DAY])


def history(home: Home) -> list[dict[str, Any]]:
    result = home.run("history", f"{DAY}", "--json")
    assert result.code == 0, result.err
    costs: list[dict[str, Any]] = json.loads(result.out)["costs"]
    return costs


def figure(costs: list[Cost], change: dict[str, Any]) -> Decimal:
    """The figure that a change is about; 0 if there is no such row."""
    key = (change["user"], change["account"], change["resource_type"], change["resource"])
    found = [
        cost.figures[COSTS_BY_NAME[change["metric"]]]
        for cost in costs
        if (cost.user, cost.account.value, cost.resource_type, cost.resource) == key
    ]
    return Decimal(found[0] or 0) if found else Decimal(0)


def test_every_changed_figure_is_shown_before_and_after(home: Home, spring: Simulator) -> None:
    first = fetched(home)
    spring.revise_costs(DAY)
    second = fetched(home, 1)
    before, after = history(home)
    assert (before["version"], after["version"]) == (1, 2)
    assert before["changes"] == []
    changes = after["changes"]
    assert changes
    for change in changes:
        assert Decimal(change["before"]) == figure(first, change)
        assert Decimal(change["after"]) == figure(second, change)
    raised = sum(
        Decimal(change["after"]) - Decimal(change["before"])
        for change in changes
        if change["metric"] == BILLED.name
    )
    billed = [Decimal(version["sums"][BILLED.name]) for version in (before, after)]
    assert raised == billed[1] - billed[0] > 0
    text = home.run("history", f"{DAY}").out
    for change in changes:
        who, metric = change["user"] or change["account"], change["metric"]
        line = f"{who}, {change['resource']}: {metric} {change['before']} -> {change['after']}\n"
        assert line in text


def test_row_that_is_new_or_gone_is_compared_with_zero(home: Home, spring: Simulator) -> None:
    first = fetched(home)
    _, taker = spring.move_costs(DAY)
    second = fetched(home, 1)
    taken = [change for change in history(home)[1]["changes"] if change["user"] == taker.user]
    assert {change["resource"] for change in taken} == {taker.resource}
    for change in taken:
        assert Decimal(change["before"]) == figure(first, change)
        assert Decimal(change["after"]) == figure(second, change)


def test_another_spelling_is_neither_new_nor_gone(home: Home) -> None:
    home.settings["METRICS_SOURCE"] = ANALYTICS
    home.data.mkdir()
    store = store_at(settings_of(home).store_url)
    for hours, name, number in ((0, "Ada@example.com", 2), (1, "ada@example.com", 3)):
        answer = DayUsage(DAY, [user(name, chat_messages=number, total_messages=number)])
        with store.locked(), store.opened():
            store.put(ANALYTICS, answer, NOON + timedelta(hours=hours))
            store.put_costs(
                ANALYTICS, day_of(DAY, [cost(name, f"{number}")]), NOON + timedelta(hours=hours)
            )
    text = home.run("history", f"{DAY}").out
    assert "    ada@example.com: chat_messages 2 -> 3\n" in text
    assert "    ada@example.com, model-large: billed 2 -> 3\n" in text
    assert not [word for word in (": new", ": gone", "Ada@", "-> 0") if word in text]


@pytest.mark.usefixtures("spring")
def test_day_without_costs_has_none(home: Home) -> None:
    home.settings["FETCH_COST"] = "false"
    backfill(home, DAY, DAY)
    assert history(home) == []


def test_day_with_costs_alone_shows_them(home: Home, spring: Simulator) -> None:
    spring.add_fault(Fault(status(500), "user-activity"))
    home.settings["MAX_RETRIES"] = "0"
    with pytest.raises(SourceUnavailable):
        fetched(home)
    assert [version["version"] for version in history(home)] == [1]
    head, _, version, *_ = home.run("history", f"{DAY}").out.splitlines()
    assert head == f"{DAY} ({ANALYTICS}): only its costs are in the store"
    assert version.startswith("version 1 of its costs, since ")


def test_forgotten_person_is_in_no_version(home: Home, spring: Simulator) -> None:
    person = next(cost.user for cost in fetched(home) if "@" in cost.user)
    spring.revise_costs(DAY)
    fetched(home, 1)
    assert person in home.run("history", f"{DAY}").out
    forget(home, person)
    assert len(history(home)) == 2
    assert person not in home.run("history", f"{DAY}").out


def test_pseudonyms_hold(home: Home, spring: Simulator) -> None:
    fetched(home)
    spring.revise_costs(DAY)
    people = {cost.user for cost in fetched(home, 1) if "@" in cost.user}
    key = home.path / "key"
    key.write_text("k" * 40)
    key.chmod(0o600)
    home.settings["PSEUDONYM_KEY_FILE"] = f"{key}"
    text = home.run("history", f"{DAY}").out
    assert "version 2 of its costs" in text
    assert not [person for person in people if person in text]
