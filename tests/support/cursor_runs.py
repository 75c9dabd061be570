"""Runs with Cursor as the source, and the true figures of its simulator; with fixtures."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from conftest import Home
from dashboard_scraper.model.costs import Account, Cost, CostFigures
from dashboard_scraper.simulator import Organization, Simulator
from dashboard_scraper.simulator.cursor_team import CostRow, CursorTeam, Day
from dashboard_scraper.sources.cursor.client import CursorSource
from dashboard_scraper.sources.registry import CURSOR
from dashboard_scraper.sources.rest.pacing import Pace
from dashboard_scraper.store import CostLedgerDay, LedgerDay, store_at
from stored_days import NOON, TODAY, march, settings_of

USAGE, EVENTS, SPEND, MEMBERS = "daily-usage-data", "filtered-usage-events", "spend", "members"
SOUND, DAY = march(4), march(5)
FOLDER = f"daily_exports_{SOUND}_to_{DAY}"


def point_to(home: Home, sim: Simulator) -> None:
    """Have the home's runs use the simulator's Cursor, without a limit."""
    home.settings |= {
        "METRICS_SOURCE": CURSOR,
        "CURSOR_API_BASE_URL": sim.url,
        "CURSOR_API_KEY": sim.cursor.key,
        "CURSOR_REQUESTS_PER_MINUTE": "60000",
        "CURSOR_EVENTS_PER_MINUTE": "60000",
        "CURSOR_READY_HOUR": "0",
        "FETCH_COST": "false",  # tests of costs turn it on
        "MAX_RETRIES": "0",
        "STORE_URL": f"sqlite:///{home.data / 'usage.db'}",
    }
    sim.clear_faults()
    sim.requests.clear()


@pytest.fixture(scope="module")
def cursor_server() -> Iterator[Simulator]:
    """A simulator shared by a module's tests, which change only its faults. Pages of eight."""
    organization = Organization(users=60, seed=49, today=TODAY)
    with Simulator(organization, rate_limit=False, cursor_page=8) as sim:
        yield sim


@pytest.fixture
def cursor(home: Home, cursor_server: Simulator) -> Simulator:
    point_to(home, cursor_server)
    return cursor_server


@pytest.fixture
def own_cursor(home: Home) -> Iterator[Simulator]:
    """A simulator of the test's own, whose figures it may change."""
    with Simulator(Organization(users=60, seed=49, today=TODAY), rate_limit=False) as sim:
        point_to(home, sim)
        yield sim


@contextlib.contextmanager
def opened(home: Home) -> Iterator[CursorSource]:
    """The source that the home's runs would open, at NOON."""
    paces = Pace(60_000, 1000), Pace(60_000, 1000)
    with contextlib.closing(CursorSource(settings_of(home), *paces, lambda: NOON)) as source:
        yield source


def ledger(home: Home) -> dict[date, LedgerDay]:
    with store_at(settings_of(home).store_url).reading() as reader:
        return reader.ledger(CURSOR)


def cost_ledger(home: Home) -> dict[date, CostLedgerDay]:
    with store_at(settings_of(home).store_url).reading() as reader:
        return reader.cost_ledger(CURSOR)


def team_of(sim: Simulator) -> CursorTeam:
    return sim.cursor.team


def dollars(units: int) -> Decimal:
    """The exact amount, without trailing zeros."""
    return Decimal(units).scaleb(-18).normalize() + 0


def true_columns(day: Day) -> dict[str, int]:
    """The columns of one person's day in the CSV."""
    return {
        "Active Days": int(any(day)),
        "Completions": day.totalTabsShown,
        "Accepted Completions": day.totalTabsAccepted,
        "Chat Messages": day.chatRequests,
        "Agent Messages": day.agentRequests + day.composerRequests,
        "Total Modified Lines of Code": day.acceptedLinesAdded,
        "Deleted Lines of Code": day.acceptedLinesDeleted,
    }


def true_users(sim: Simulator, day: date) -> dict[str, dict[str, int]]:
    """The columns of everybody who was active on the day."""
    days = team_of(sim).user_days(day)
    return {name: true_columns(counts) for name, counts in sorted(days.items()) if any(counts)}


def true_costs(sim: Simulator, day: date) -> list[Cost]:
    rows = team_of(sim).cost_rows(day).items()
    costs = [
        Cost(user, Account(account), kind, model, _figures(row))
        for (user, account, kind, model), row in rows
    ]
    return sorted(costs, key=lambda each: (each.user, each.resource_type, each.resource))


def _figures(row: CostRow) -> CostFigures:
    tokens: dict[str, Any] = {}
    if row.tokens is not None:
        tokens = {
            "input_tokens": row.tokens.input,
            "output_tokens": row.tokens.output,
            "cache_read_tokens": row.tokens.cache_read,
            "cache_write_tokens": row.tokens.cache_write,
        }
    return CostFigures(**tokens, billed=dollars(row.billed), estimated=dollars(row.charged))
