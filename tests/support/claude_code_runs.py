"""Runs with Claude Code as the source, and the true figures of its simulator; with a fixture."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from conftest import Home, Result
from dashboard_scraper.simulator import Organization, Simulator
from dashboard_scraper.simulator.claude_code import CENT, Row, rows
from dashboard_scraper.sources.claude_code.client import ClaudeCodeSource
from dashboard_scraper.sources.registry import CLAUDE_CODE
from dashboard_scraper.sources.rest.pacing import Pace
from dashboard_scraper.store import LedgerDay, store_at
from stored_days import settings_of

TODAY = date(2026, 3, 20)
NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)
DAY = date(2026, 3, 4)  # a Wednesday
ENDPOINT = "claude_code"
KEY = "CLAUDE_CODE_API_KEY"


@pytest.fixture
def claude(home: Home) -> Iterator[Simulator]:
    """A simulator of a small organization, without limits; the home's runs use its Claude Code."""
    organization = Organization(users=12, today=TODAY)
    with Simulator(organization, rate_limit=False) as simulator:
        use(home, simulator)
        yield simulator


def use(home: Home, simulator: Simulator) -> None:
    home.settings |= {
        "METRICS_SOURCE": CLAUDE_CODE,
        "CLAUDE_CODE_API_BASE_URL": simulator.url,
        KEY: simulator.claude_code.key,
        "CLAUDE_CODE_REQUESTS_PER_MINUTE": "60000",
        "CLAUDE_CODE_BURST": "1000",
        "STORE_URL": f"sqlite:///{home.data / 'usage.db'}",
    }


def fetched(home: Home, first: date = DAY, last: date = DAY, *, code: int = 0) -> Result:
    """A run with these dates, which must end with the code."""
    result = home.run(f"{first}", f"{last}", "--daily")
    assert result.code == code, result.err
    return result


@contextlib.contextmanager
def opened(home: Home) -> Iterator[ClaudeCodeSource]:
    """The source by itself, without a store."""
    source = ClaudeCodeSource(settings_of(home), Pace(60_000, 1000), lambda: NOON)
    with contextlib.closing(source):
        yield source


def ledger(home: Home) -> dict[date, LedgerDay]:
    with store_at(settings_of(home).store_url).reading() as reader:
        return reader.ledger(CLAUDE_CODE)


def by_actor(simulator: Simulator, day: date = DAY) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows(simulator.organization, day):
        found.setdefault(row.name, []).append(row)
    return dict(sorted(found.items()))


def true_figures(simulator: Simulator, day: date = DAY) -> dict[str, dict[str, Any]]:
    """What every actor's columns of the CSV must be, computed only from the organization."""
    return {
        name: {
            "Active Days": 1,
            "Total Modified Lines of Code": sum(row.added for row in found),
            "CLI Agent Lines of Code": sum(row.added for row in found),
            "Deleted Lines of Code": sum(row.removed for row in found),
            "Sessions": sum(row.sessions for row in found),
            "Commits": sum(row.commits for row in found),
            "Pull Requests": sum(row.pull_requests for row in found),
            "Accepted Edits": sum(yes for row in found for yes, _ in row.edits),
            "Rejected Edits": sum(no for row in found for _, no in row.edits),
        }
        for name, found in by_actor(simulator, day).items()
    }


Spending = dict[tuple[str, str], tuple[int | Decimal, ...]]


def true_costs(simulator: Simulator, day: date = DAY) -> Spending:
    """Four classes of tokens, and the estimate in dollars, by user and model."""
    found: dict[tuple[str, str], list[int]] = {}
    for row in rows(simulator.organization, day):
        for spent in row.spent:
            sums = found.setdefault((row.name, spent.model), [0] * 5)
            for place, value in enumerate((*spent.tokens, spent.amount)):
                sums[place] += value
    return {
        key: (*tokens, Decimal(amount) / (100 * CENT)) for key, (*tokens, amount) in found.items()
    }
