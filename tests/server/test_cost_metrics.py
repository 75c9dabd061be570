"""`/metrics` has what the newest closed day cost, with every digit, and names no person."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from conftest import Home
from dashboard_scraper.model.costs import COST_METRICS, Cost, CostDay, CostKind, sum_costs, text_of
from dashboard_scraper.model.dates import Window, end_of_day
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import store_at
from made_up_days import LAST, store_days, users
from serving import Served, serving
from stored_costs import cost, day_of, store_costs

NAMES = users(3)
DAYS = Window(LAST - timedelta(2), LAST)
SMALL = "0.000000000000000001"


def _odd(each: date, costs: list[Cost]) -> CostDay:
    """The first day differs from the source's own figures; amounts have more digits than floats."""
    more = [*costs, cost(NAMES[0], f"123456789{SMALL[1:]}", "odd")]
    if each != DAYS.start:
        return day_of(each, more)
    return CostDay(each, more, sum_costs([]))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = Home(tmp_path_factory.mktemp("costs"))
    store_days(home, NAMES, DAYS)
    store_costs(home, NAMES, DAYS, change=_odd)
    with serving(home) as server:
        yield server


def samples(text: str) -> dict[str, str]:
    """Every sample's number as written, by name and labels."""
    found = re.findall(r"^dashboard_scraper_(\S+) (\S+)$", text, re.MULTILINE)
    return {name.replace(f'source="{DASHBOARD}"', ""): value for name, value in found}


@pytest.mark.slow
def test_metrics_have_the_newest_costs_exactly(served: Served) -> None:
    text = served.get("/metrics").text
    with store_at(f"sqlite:///{served.home.data / 'usage.db'}").reading() as reader:
        sums = reader.cost_ledger(DASHBOARD)[LAST].sums
    found = samples(text)
    for metric in COST_METRICS:
        value = text_of(sums[metric])
        name = {
            CostKind.MONEY: f'newest_cost_day_amount{{,metric="{metric.name}",currency="USD"}}',
            CostKind.TOKENS: f'newest_cost_day_tokens{{,metric="{metric.name}"}}',
            CostKind.CREDITS: "newest_cost_day_credits{}",
        }[metric.kind]
        assert found.get(name) == value, metric.name
    billed = found['newest_cost_day_amount{,metric="billed",currency="USD"}']
    assert f"{Decimal(billed)}" != f"{Decimal(float(billed))}"
    assert found["cost_unreconciled_days{}"] == "1"
    end = end_of_day(LAST).timestamp()
    assert found["newest_cost_day_end_timestamp_seconds{}"] == f"{end:.0f}"
    assert int(found["newest_cost_day_age_seconds{}"]) > 86400
    assert not any(name in text for name in (*NAMES, "model", "odd"))


@pytest.mark.slow
def test_metrics_with_costs_are_valid(served: Served) -> None:
    text = served.get("/metrics").text
    families = list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
    assert len({family.name for family in families}) == len(families)
    assert "dashboard_scraper_newest_cost_day_tokens" in {family.name for family in families}


@pytest.mark.slow
def test_metrics_without_costs_have_none(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = Home(tmp_path_factory.mktemp("none"))
    store_days(home, NAMES, DAYS)
    with serving(home) as server:
        assert "cost" not in server.get("/metrics").text


@pytest.mark.slow
def test_amounts_are_for_the_token_only(served: Served) -> None:
    """The public part says how old the costs are, but not how high."""
    public = requests.get(f"{served.address}/metrics", timeout=300)
    found = samples(public.text)
    assert public.status_code == 200
    assert found["cost_unreconciled_days{}"] == "1"
    assert not any("amount" in name or "tokens" in name or "credits" in name for name in found)
    assert served.get("/metrics", Authorization="Bearer wrong").status_code == 401


@pytest.mark.slow
def test_newest_closed_day_is_shown(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A newer day whose costs do not add up is counted, but its amounts are not shown. Nor are
    those of a day that was fetched while the clock was ahead.
    """
    home = Home(tmp_path_factory.mktemp("open"))
    store_days(home, NAMES, DAYS)

    def last_is_open(each: date, costs: list[Cost]) -> CostDay:
        return CostDay(each, costs, sum_costs([])) if each == LAST else day_of(each, costs)

    store_costs(home, NAMES, DAYS, change=last_is_open)
    ahead = Window(date(2999, 12, 1), date(2999, 12, 1))
    store_costs(home, NAMES, ahead, fetched=datetime(2999, 12, 30, tzinfo=UTC))
    with serving(home) as server:
        found = samples(server.get("/metrics").text)
    end = end_of_day(LAST - timedelta(1)).timestamp()
    assert found["newest_cost_day_end_timestamp_seconds{}"] == f"{end:.0f}"
