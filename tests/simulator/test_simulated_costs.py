"""Costs and budgets of the simulator, over real sockets: what the other tests take for granted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests

from dashboard_scraper.model.costs import Account, CostDay
from dashboard_scraper.model.dates import Window
from dashboard_scraper.simulator import Billing, Organization, Simulator
from dashboard_scraper.simulator.cost_api import (
    BY_DAY,
    BY_RESOURCE,
    BY_USER,
    COSTS,
    IN_TOTAL,
)

TODAY = date(2025, 10, 31)
START, END = date(2025, 10, 10), date(2025, 10, 21)
DAY = END
DOLLARS = {
    "base_cost_usd": "base",
    "billed_amount_usd": "billed",
    "estimated_customer_cost_usd": "estimated",
}
CREDITS = {"credits_consumed": "credits"}
AMOUNTS = {**DOLLARS, **CREDITS}
TOKENS = {
    name: name
    for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
}
Json = dict[str, Any]
Sums = dict[str, Decimal]


@pytest.fixture(params=["dollars", "credits"])
def billing(request: pytest.FixtureRequest) -> Billing:
    found: Billing = request.param
    return found


@pytest.fixture
def sim(billing: Billing) -> Iterator[Simulator]:
    """A simulator without a limit, of each kind of contract."""
    organization = Organization(users=12, seed=3, today=TODAY)
    with Simulator(organization, rate_limit=False, billing=billing) as running:
        yield running


def post(sim: Simulator, endpoint: str, body: object) -> requests.Response:
    headers = {"Authorization": f"Bearer {sim.token}", "Connection": "close"}
    url = f"{sim.url}/analytics/v0/{endpoint}"
    return requests.post(url, json=body, headers=headers, timeout=5)


def query(start: date = DAY, end: date = DAY, *keys: str, **more: object) -> Json:
    return {
        "start_date": f"{start}",
        "end_date": f"{end}",
        "granularity": BY_DAY,
        "group_by_keys": list(keys),
        **more,
    }


def points(sim: Simulator, asked: Json) -> list[Json]:
    """The data points of all pages."""
    found: list[Json] = []
    while True:
        answer = post(sim, COSTS, asked)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert page["metadata"]["returned_data_point_count"] == len(page["data_points"])
        found += page["data_points"]
        if not page["pagination"]["has_more"]:
            assert page["pagination"]["next_cursor"] == ""
            return found
        asked = {**asked, "cursor": page["pagination"]["next_cursor"]}


def rows(sim: Simulator, start: date = DAY, end: date = DAY) -> list[Json]:
    return points(sim, query(start, end, BY_USER, BY_RESOURCE))


def sums(found: list[Json]) -> dict[str, Sums]:
    """The exact sums of each day."""
    days: dict[str, Sums] = {}
    for point in found:
        day = days.setdefault(point["start_date"], {})
        for name, value in point["cost_metrics"].items():
            day[name] = day.get(name, Decimal(0)) + Decimal(value)
    return days


def as_points(day: CostDay) -> set[tuple[object, ...]]:
    """The truth, as `as_read` has an answer."""
    names = (*TOKENS, *AMOUNTS.values())
    return {
        (
            *(cost.user, cost.account, cost.resource_type, cost.resource),
            *(getattr(cost.figures, name) or Decimal(0) for name in names),
        )
        for cost in day.costs
    }


def as_read(found: list[Json]) -> set[tuple[object, ...]]:
    read = set()
    for point in found:
        group, metrics = point["group_by_values"], point["cost_metrics"]
        account = Account.PERSON if "user_email" in group else Account.UNATTRIBUTED
        account = Account.SERVICE_ACCOUNT if "service_account_name" in group else account
        user = group.get("user_email") or group.get("service_account_name") or ""
        figures = tuple(Decimal(metrics.get(name, "0")) for name in (*TOKENS, *AMOUNTS))
        read.add((user, account, group["resource_type"], group["resource_display_name"], *figures))
    assert len(read) == len(found)
    return read


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("days", [1, 12])
def test_groups_sum_to_ungrouped_answer(billing: Billing, seed: int, days: int) -> None:
    organization = Organization(9, seed, today=TODAY, billing=billing)
    start = END - timedelta(days - 1)
    with Simulator(organization, rate_limit=False) as sim:
        whole = sums(points(sim, query(start, END)))
        for keys in ([BY_USER], [BY_RESOURCE], [BY_USER, BY_RESOURCE]):
            assert sums(points(sim, query(start, END, *keys, page_size=7))) == whole
        (total,) = points(sim, query(start, END, granularity=IN_TOTAL))
    active = [day for day in Window(start, END).days() if organization.costs.of_day(day).costs]
    assert whole.keys() == {f"{day}" for day in active}
    for name, value in total["cost_metrics"].items():
        assert Decimal(value) == sum(day[name] for day in whole.values())


def test_answers_equal_the_truth(sim: Simulator) -> None:
    costs = sim.organization.costs
    for day in Window(START, END).days():
        truth = costs.of_day(day)
        assert as_read(rows(sim, day, day)) == as_points(truth)
        assert truth.differences == []
        order = [(cost.user, cost.resource_type, cost.resource) for cost in truth.costs]
        assert order == sorted(order)
    member = sim.organization.members[-1]
    assert costs.of_member(member, DAY) == [
        c for c in costs.of_day(DAY).costs if c.user == member.name
    ]
