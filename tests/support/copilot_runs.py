"""Runs with GitHub's reports, faults of their files, and the true figures; with a fixture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest

from conftest import Home
from dashboard_scraper.simulator import Fault, Organization, Request, Simulator
from dashboard_scraper.simulator.copilot import Copilot, Tally, Usage
from dashboard_scraper.simulator.copilot_api import ENTERPRISE
from dashboard_scraper.simulator.exchange import Answer
from dashboard_scraper.sources.copilot.client import CopilotSource
from dashboard_scraper.sources.rest.pacing import Pace
from effects import of_bytes
from stored_days import settings_of

TODAY = date(2026, 11, 27)
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
DAY = date(2026, 11, 20)
"""A Friday that is final."""
RECENT = date(2026, 11, 24)
"""The newest day whose reports are expected: it may still be late."""
USERS, OWN, SEATS = "users-1-day", "enterprise-1-day", "seats"
FILE, OWN_FILE = f"{USERS}.ndjson", f"{OWN}.ndjson"
MONTH_FILE = "users-28-day.ndjson"

Records = list[dict[str, Any]]
Effect = Callable[[Answer, Request], Answer]


@pytest.fixture
def github(home: Home) -> Iterator[Simulator]:
    """A simulator without limits and faults, from which the home reads Copilot's reports."""
    with Simulator(Organization(users=9, today=TODAY), rate_limit=False) as simulator:
        read_from(home, simulator)
        yield simulator


def read_from(home: Home, simulator: Simulator) -> None:
    home.settings |= {
        "METRICS_SOURCE": "copilot",
        "COPILOT_API_BASE_URL": simulator.url,
        "COPILOT_TOKEN": simulator.copilot.token,
        "COPILOT_ENTERPRISE": ENTERPRISE,
        "COPILOT_REQUESTS_PER_MINUTE": "60000",
        "COPILOT_BURST": "1000",
        "RETRY_BACKOFF_SECONDS": "0",
    }


@contextmanager
def opened(home: Home, now: datetime = NOON) -> Iterator[CopilotSource]:
    settings = settings_of(home)
    pace = Pace(settings.copilot_requests_per_minute, settings.copilot_burst)
    with closing(CopilotSource(settings, pace, lambda: now)) as source:
        yield source


def truth(simulator: Simulator) -> Copilot:
    return Copilot(simulator.organization)


def by_login(usages: list[Usage]) -> dict[str, Usage]:
    return {usage.colleague.login.lower(): usage for usage in usages}


def true_figures(usage: Usage) -> dict[str, int]:
    """The catalogue's figures, computed only from the truth."""

    def of(*names: str) -> Tally:
        chosen = [tally for name, tally in usage.features.items() if name in names]
        return Tally(*map(sum, zip(Tally(), *chosen, strict=True)))

    completion, whole = of("code_completion"), usage.total
    panel = "chat_panel_{}_mode".format
    return {
        "active_days": 1,
        "completions_count": completion.generations,
        "completions_accepted": completion.acceptances,
        "completions_suggested_lines_of_code": completion.suggested,
        "completions_lines_of_code": completion.added,
        "chat_messages": of("chat_inline", panel("ask"), panel("unknown")).interactions,
        "ide_agent_messages": of(*map(panel, ("agent", "edit", "plan", "custom"))).interactions,
        "ide_agent_lines_of_code": of("agent_edit").added,
        "cli_agent_lines_of_code": of("copilot_cli").added,
        **true_totals(whole),
    }


def true_totals(whole: Tally) -> dict[str, int]:
    return {
        "total_messages": whole.interactions,
        "generations": whole.generations,
        "acceptances": whole.acceptances,
        "suggested_lines_of_code": whole.suggested,
        "suggested_lines_to_delete": whole.suggested_to_delete,
        "total_modified_lines_of_code": whole.added,
        "lines_deleted": whole.deleted,
    }


def of_records(change: Callable[[Records], Records]) -> Effect:
    """An effect on the records of a file."""

    def changed(body: bytes) -> bytes:
        records = [msgspec.json.decode(line) for line in body.splitlines()]
        return msgspec.json.Encoder().encode_lines(change(records))

    return of_bytes(changed)


def of_first(**fields: Any) -> Effect:
    """Give fields of the first record these values; None removes a field."""

    def change(records: Records) -> Records:
        for name, value in fields.items():
            if value is None:
                del records[0][name]
            else:
                records[0][name] = value
        return records

    return of_records(change)


def fault(simulator: Simulator, endpoint: str, effect: Effect, **options: Any) -> None:
    simulator.add_fault(Fault(effect, endpoint, **options))


def downloads(simulator: Simulator) -> list[Request]:
    return [each for each in simulator.requests if each.path.startswith("/copilot-reports/")]
