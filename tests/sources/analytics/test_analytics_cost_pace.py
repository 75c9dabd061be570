"""The API's two limits together: one for usage, and one for costs, budgets and credits.

The simulator's limits are on; its clock runs faster than ours, and the settings match it.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import Home, Start
from dashboard_scraper.model.dates import Window
from dashboard_scraper.simulator import Organization, Simulator
from dashboard_scraper.simulator.analytics_api import CREDITS
from dashboard_scraper.simulator.cost_api import BUDGETS, COSTS
from dashboard_scraper.sources.analytics.client import AnalyticsSource
from dashboard_scraper.sources.analytics.info import INFO
from dashboard_scraper.store import store_at
from stored_days import NOON, TODAY, march, settings_of

PER_MINUTE, COST_PER_MINUTE, SCALE = 10, 30, 600
SERVER_BURST = 30
ONE_DAY = Window(march(5), march(5))


def limited(home: Home, start_api: Start, scale: float = SCALE) -> Simulator:
    home.settings |= {
        "ANALYTICS_REQUESTS_PER_MINUTE": f"{PER_MINUTE * scale}",
        "COST_REQUESTS_PER_MINUTE": f"{COST_PER_MINUTE * scale}",
        "STORE_URL": f"sqlite:///{home.data / 'usage.db'}",
    }
    organization = Organization(2, today=TODAY)
    organization.costs.of_day(ONE_DAY.start)
    return start_api(organization, rate_limit=True, clock_scale=scale)


@contextlib.contextmanager
def opened(home: Home) -> Iterator[AnalyticsSource]:
    """The source as a run opens it, resuming the buckets of the run before."""
    settings = settings_of(home)
    home.data.mkdir(exist_ok=True)
    store = store_at(settings.store_url)
    with store.locked(), store.opened(), INFO.open(settings, store, lambda: NOON) as source:
        assert isinstance(source, AnalyticsSource)
        yield source


def fetches(source: AnalyticsSource) -> list[Callable[[], object]]:
    """Fetches of one request each; the first two are for usage."""
    return [
        source.check,
        lambda: source.fetch_editor_languages(ONE_DAY.start),
        lambda: source.costs.fetch_totals(ONE_DAY),
        lambda: source.costs.fetch_costs(ONE_DAY),
        lambda: source.fetch_credits(ONE_DAY),
    ]


@pytest.mark.slow
def test_both_limits_hold_at_once(home: Home, start_api: Start) -> None:
    """Several threads send requests. Neither limit delays the other: each takes its own time."""
    sim = limited(home, start_api)
    count = 50
    with opened(home) as source, ThreadPoolExecutor(8) as pool:
        begun = time.monotonic()
        for each in [pool.submit(fetch) for fetch in fetches(source) for _ in range(count)]:
            each.result()
        seconds = time.monotonic() - begun
        assert source.requests == sim.count() == 5 * count
    assert {request.status for request in sim.requests} == {200}
    of_costs = sum(sim.count(endpoint) for endpoint in (COSTS, CREDITS))
    assert of_costs == 3 * count > 2 * SERVER_BURST, "else the limit would not be felt"
    assert seconds >= (of_costs - 10) / (COST_PER_MINUTE * SCALE / 60)


@pytest.mark.slow
def test_consecutive_runs_share_the_limit_of_costs(home: Home, start_api: Start) -> None:
    """Each run may burst, but the next run resumes the bucket that it left."""
    sim = limited(home, start_api, scale=60)
    user = sim.organization.members[0].name
    for _ in range(5):
        with opened(home) as source:
            for _ in range(3):
                source.costs.fetch_totals(ONE_DAY)
                source.fetch_credits(ONE_DAY)
                source.costs.fetch_budgets([user])
    assert Tally(request.endpoint for request in sim.requests) == {
        COSTS: 15,
        CREDITS: 15,
        BUDGETS: 30,
    }
    assert {request.status for request in sim.requests} == {200}


@pytest.mark.slow
def test_refusal_empties_only_its_own_bucket(home: Home, start_api: Start) -> None:
    """Another client of the tenant may use up the limit for costs."""
    home.settings |= {"COST_BURST": "1000", "MAX_RETRIES": "9", "RETRY_BACKOFF_SECONDS": "0.01"}
    sim = limited(home, start_api, scale=6)  # three requests a second: slower than any machine
    with opened(home) as source:

        def refused() -> int:
            assert source.costs.fetch_totals(ONE_DAY)
            return sum(request.status == 429 for request in sim.requests)

        assert any(refused() for _ in range(10 * SERVER_BURST))
        assert [refused() for _ in range(3)] == [1, 1, 1], "it is too optimistic once"
        source.check()
    assert source.estimate([ONE_DAY.start]).seconds == 0
