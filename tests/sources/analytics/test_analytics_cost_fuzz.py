"""Any JSON at any place in the answers about costs is either an error or read as it stands."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings

from conftest import Home, Start
from dashboard_scraper.errors import ContractBroken, SourceUnavailable
from dashboard_scraper.model.addresses import cleaned
from dashboard_scraper.model.costs import COST_METRICS, MAX_TOKENS, CostFigures, CostKind
from dashboard_scraper.model.dates import Window
from dashboard_scraper.simulator import Fault, Organization, Simulator, raw_body
from dashboard_scraper.simulator.cost_api import (
    BUDGETS,
    BY_DAY,
    BY_RESOURCE,
    BY_USER,
    COSTS,
    KINDS,
    MONTHLY,
    answer,
)
from dashboard_scraper.sources.analytics.client import AnalyticsSource
from dashboard_scraper.sources.analytics.cost_answers import WIRE_METRICS
from dashboard_scraper.sources.rest.pacing import Pace
from json_changes import Json, changes_of
from stored_days import NOON, TODAY, settings_of

DAY = TODAY - timedelta(4)
DAYS = Window(DAY - timedelta(1), DAY)
ORGANIZATION = Organization(users=3, today=TODAY)
USERS = [budget.user for budget in ORGANIZATION.costs.budgets()]
QUERY = {"start_date": f"{DAYS.start}", "end_date": f"{DAYS.end}", "granularity": BY_DAY}
MONEY = next(iter(KINDS))
ASKED: dict[str, tuple[str, Json]] = {
    "totals": (COSTS, QUERY),
    "rows": (COSTS, {**QUERY, "group_by_keys": [BY_USER, BY_RESOURCE]}),
    "budgets": (BUDGETS, {"user_emails": USERS, "resource": MONEY, "period": MONTHLY}),
}
GOOD: dict[str, Json] = {
    name: answer(ORGANIZATION, endpoint, msgspec.json.encode(query))
    for name, (endpoint, query) in ASKED.items()
}
NAMES = [*WIRE_METRICS, "currency", "billed_amount_eur", "user_email", "limit"]
_WIRE = {metric: name for name, metric in WIRE_METRICS.items()}


@pytest.fixture
def served(start_api: Start, home: Home) -> Iterator[tuple[Simulator, AnalyticsSource]]:
    """A simulator whose answers a fault may change, and its source; nothing is retried."""
    home.settings["MAX_RETRIES"] = "0"
    simulator = start_api(ORGANIZATION)
    paces = (Pace(60_000, 1000), Pace(60_000, 1000))
    source = AnalyticsSource(settings_of(home), *paces, lambda: NOON)
    yield simulator, source
    source.close()


def figures_of(point: Json) -> CostFigures:
    """The answer's figures, with numbers read by Python itself."""
    values: list[Any] = []
    for metric in COST_METRICS:
        sent = point["cost_metrics"].get(_WIRE[metric])
        assert not isinstance(sent, bool)
        if metric.kind is CostKind.TOKENS and sent is not None:
            assert isinstance(sent, int | str)
            assert 0 <= int(sent) <= MAX_TOKENS
        # JSON has a number's shortest text.
        kind = int if metric.kind is CostKind.TOKENS else Decimal
        values.append(None if sent is None else kind(sent if isinstance(sent, str) else repr(sent)))
    return CostFigures(*values)


def row_of(point: Json) -> tuple[object, ...]:
    group = point["group_by_values"]
    user = cleaned(group.get("user_email") or group.get("service_account_name") or "")
    day = point["start_date"]
    return day, user, group["resource_type"], group["resource_display_name"], figures_of(point)


def assert_right(source: AnalyticsSource, name: str, body: Json) -> None:
    """Check that the source accepted the answer, and that it fits the request."""
    if name == "totals":
        totals = source.costs.fetch_totals(DAYS)
        assert totals is not None
        sent = {point["start_date"]: figures_of(point) for point in body["data_points"]}
        assert {f"{day}": totals[day] for day in DAYS.days() if f"{day}" in sent} == sent
    elif name == "rows":
        found = source.costs.fetch_costs(DAYS)
        rows = [
            (f"{day}", cost.user, cost.resource_type, cost.resource, cost.figures)
            for day, costs in found.items()
            for cost in costs
        ]
        assert sorted(rows, key=str) == sorted(map(row_of, body["data_points"]), key=str)
    else:
        budgets = source.costs.fetch_budgets(USERS) or []
        limits = {budget.user: budget.limit for budget in budgets}
        sent_limits = {
            each["user_email"].lower().strip(): Decimal(f"{each['config']['limit']}")
            for each in body["overrides"]
        }
        assert limits == sent_limits
        return
    metadata = body["metadata"]
    assert metadata["returned_data_point_count"] == len(body["data_points"])
    assert metadata["effective_start_date"] == f"{DAYS.start}"
    assert metadata["effective_end_date"] == f"{DAYS.end}"
    assert body["pagination"]["has_more"] is False
    for point in body["data_points"]:
        assert point["start_date"] == point["end_date"]


@pytest.mark.slow
def test_any_value_is_refused_or_read_as_it_stands(
    served: tuple[Simulator, AnalyticsSource],
) -> None:
    simulator, source = served
    seen: dict[str, set[bool]] = defaultdict(set)

    @settings(max_examples=120, deadline=None, derandomize=True)
    @given(changes_of(GOOD, DAY, NAMES))
    def fuzz(change: tuple[str, Json]) -> None:
        name, body = change
        assume(body != GOOD[name])
        endpoint = ASKED[name][0]
        simulator.clear_faults()
        # The second request for budgets is for the other kind, which has none.
        fault = Fault(raw_body(json.dumps(body).encode()), endpoint, times=1)
        simulator.add_fault(fault)
        try:
            assert_right(source, name, body)
        except (ContractBroken, SourceUnavailable) as error:
            assert endpoint in str(error)
            seen[name].add(False)
        else:
            seen[name].add(True)

    fuzz()
    # Both happened for every answer: not all changes are refused, nor all accepted.
    assert seen == {name: {True, False} for name in GOOD}
