"""Maps the organization's counts to the field names of Augment's two APIs."""

from __future__ import annotations

from dashboard_scraper.model.metrics import (
    ACCEPT_RATE,
    ACTIVE_DAYS,
    COUNTS,
    FIRST_SEEN,
    LAST_SEEN,
    Figures,
)
from dashboard_scraper.simulator.organization import Counts
from dashboard_scraper.sources.analytics.fields import COUNTED
from dashboard_scraper.sources.dashboard.fields import (
    FIELDS,
    MONTHLY_ACTIVE_USERS,
    TENANT_TOTALS,
    USER_FIELD,
)

_DASHBOARD_COUNTS = [metric for metric in COUNTS if metric in FIELDS]
_BLANK_ROW: dict[str, object] = dict.fromkeys((USER_FIELD, *FIELDS.values()))

ANALYTICS_ACTIVE_DAYS = ACTIVE_DAYS.name
ACTIVE_DAYS_FIELDS = (FIELDS[ACTIVE_DAYS], ACTIVE_DAYS.name)


def dashboard_row(
    user: str, first_seen: str | None, last_seen: str | None, active_days: int, counts: Counts
) -> dict[str, object]:
    """One record of the dashboard's user statistics, in the order of its table."""
    row = _BLANK_ROW.copy()
    row[USER_FIELD] = user
    row[FIELDS[FIRST_SEEN]] = first_seen
    row[FIELDS[LAST_SEEN]] = last_seen
    row[FIELDS[ACTIVE_DAYS]] = active_days
    shown = counts.accepted + counts.rejected
    row[FIELDS[ACCEPT_RATE]] = round(100 * counts.accepted / shown, 2) if shown else None
    figures = _figures_of(counts)
    row.update((FIELDS[metric], figures[metric]) for metric in _DASHBOARD_COUNTS)
    return row


def analytics_metrics(counts: Counts) -> dict[str, int]:
    """The `metrics` object of every Analytics answer."""
    figures = _figures_of(counts)
    return {metric.name: figures[metric] for metric in COUNTED}


def tenant_totals(counts: Counts) -> dict[str, int]:
    """The tenant's totals: the sums of its people."""
    values = (counts.messages, counts.tool_calls, counts.lines)
    return dict(zip(TENANT_TOTALS, values, strict=True))


def monthly_active(people: int) -> dict[str, int]:
    """The answer with the number of monthly active users."""
    return {MONTHLY_ACTIVE_USERS: people}


def _figures_of(counts: Counts) -> Figures:
    return Figures(
        completions_count=counts.accepted + counts.rejected,
        completions_accepted=counts.accepted,
        chat_messages=counts.chat,
        ide_agent_messages=counts.agent,
        remote_agent_messages=counts.remote,
        cli_agent_interactive_messages=counts.cli,
        cli_agent_non_interactive_messages=counts.script,
        total_tool_calls=counts.tool_calls,
        total_modified_lines_of_code=counts.lines,
        completions_lines_of_code=counts.accepted_lines,
        instruction_lines_of_code=counts.instruction_lines,
        ide_agent_lines_of_code=counts.agent_lines,
        remote_agent_lines_of_code=counts.remote_lines,
        cli_agent_lines_of_code=counts.cli_lines + counts.script_lines,
        total_messages=counts.messages,
        completions_suggested_lines_of_code=counts.accepted_lines + counts.rejected_lines,
        cli_agent_interactive_lines_of_code=counts.cli_lines,
        cli_agent_non_interactive_lines_of_code=counts.script_lines,
    )
