"""Both sources in this process: their requests, and how they read the answers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from conftest import Home, Start, last_working_day
from dashboard_scraper.clock import utc_now
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.simulator import Simulator
from dashboard_scraper.sources.analytics.client import AnalyticsSource
from dashboard_scraper.sources.dashboard.client import DashboardSource
from dashboard_scraper.sources.dashboard.settings import Endpoint
from dashboard_scraper.sources.rest.pacing import Pace
from stored_days import settings_of

DAY = last_working_day()
WINDOW = Window(DAY, DAY)
PACE = (60_000.0, 1000)


@dataclass(frozen=True)
class Asking:
    """One request to one endpoint, by a source that is opened for it; `ask` returns its result."""

    endpoint: str
    home: Home
    sim: Simulator
    ask: Callable[[], object]

    def requests(self) -> int:
        """How many requests came for the endpoint."""
        return self.sim.count(self.endpoint)


@contextlib.contextmanager
def dashboard(home: Home) -> Iterator[DashboardSource]:
    with contextlib.closing(DashboardSource(settings_of(home))) as source:
        yield source


@contextlib.contextmanager
def analytics(home: Home) -> Iterator[AnalyticsSource]:
    with contextlib.closing(
        AnalyticsSource(settings_of(home), Pace(*PACE), Pace(*PACE), utc_now)
    ) as source:
        yield source


def users_of(home: Home) -> list[UserUsage]:
    """The users of the day, from the dashboard."""
    with dashboard(home) as source:
        users = source.fetch_users(WINDOW)
    assert isinstance(users, list)
    return users


def active_users_of(home: Home) -> list[UserUsage]:
    """The active users of the day, from the Analytics API."""
    with analytics(home) as source:
        return source.fetch_users(WINDOW)


def _from_dashboard(home: Home, endpoint: Endpoint) -> object:
    with dashboard(home) as source:
        if endpoint is Endpoint.USERS:
            return source.fetch_users(WINDOW)
        return source.fetch_totals(WINDOW)


def _from_analytics(home: Home, endpoint: str) -> object:
    with analytics(home) as source:
        if endpoint == "user-activity":
            return source.fetch_users(WINDOW)
        return source.fetch_tenant(WINDOW)


# The endpoints of each source's users and of its totals: a whole night depends on them.
ENDPOINTS = (
    Endpoint.USERS.value,
    Endpoint.TENANT.value,
    "user-activity",
    "daily-usage",
    "dau-count",
)


def asking(endpoint: str, home: Home, start: Start, start_api: Start) -> Asking:
    home.settings |= {"MAX_RETRIES": "1", "RETRY_BACKOFF_SECONDS": "0.001"}
    if endpoint in (each.value for each in Endpoint):
        sim, name = start(), Endpoint(endpoint)
        return Asking(endpoint, home, sim, lambda: _from_dashboard(home, name))
    sim = start_api()
    return Asking(endpoint, home, sim, lambda: _from_analytics(home, endpoint))


def is_dashboard(endpoint: str) -> bool:
    return endpoint in (each.value for each in Endpoint)


@pytest.fixture(params=ENDPOINTS)
def each(request: pytest.FixtureRequest, home: Home, start: Start, start_api: Start) -> Asking:
    """Each endpoint of both sources in turn; one retry, no waits."""
    return asking(request.param, home, start, start_api)
