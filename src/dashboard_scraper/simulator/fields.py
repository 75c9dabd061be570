"""The organization's counts under the catalogue's names, as either API spells them."""

from __future__ import annotations

from dashboard_scraper.metrics import (
    COUNTS,
    DASHBOARD_FIGURES,
    FIGURES,
    MONTHLY_ACTIVE_USERS,
    TENANT_TOTALS,
    USER_FIELD,
    Kind,
)
from dashboard_scraper.simulator.organization import Counts

_FIRST_SEEN, _LAST_SEEN = (m.dashboard for m in FIGURES if m.kind is Kind.MOMENT)
(_ACTIVE_DAYS,) = (m for m in FIGURES if m.kind is Kind.DAYS)
(_RATE,) = (m.dashboard for m in FIGURES if m.kind is Kind.PERCENT)
_BLANK_ROW: dict[str, object] = dict.fromkeys(
    (USER_FIELD, *(m.dashboard for m in DASHBOARD_FIGURES))
)

ANALYTICS_ACTIVE_DAYS = _ACTIVE_DAYS.name
ACTIVE_DAYS_FIELDS = (_ACTIVE_DAYS.dashboard, _ACTIVE_DAYS.name)


def dashboard_row(
    user: str, first_seen: str | None, last_seen: str | None, active_days: int, counts: Counts
) -> dict[str, object]:
    """One record of the dashboard's user statistics, in the order of its table."""
    row = _BLANK_ROW.copy()
    row[USER_FIELD] = user
    row[_FIRST_SEEN] = first_seen
    row[_LAST_SEEN] = last_seen
    row[_ACTIVE_DAYS.dashboard] = active_days
    shown = counts.accepted + counts.rejected
    row[_RATE] = round(100 * counts.accepted / shown, 2) if shown else None
    pairs = zip(COUNTS, _catalogue_counts(counts), strict=True)
    row.update((metric.dashboard, value) for metric, value in pairs if metric.dashboard)
    return row


def analytics_metrics(counts: Counts) -> dict[str, int]:
    """The `metrics` object of every Analytics answer."""
    pairs = zip(COUNTS, _catalogue_counts(counts), strict=True)
    return {metric.name: value for metric, value in pairs if metric.in_analytics}


def tenant_totals(counts: Counts) -> dict[str, int]:
    """The tenant's totals, of the sum of its people."""
    values = (counts.messages, counts.tool_calls, counts.lines)
    return dict(zip(TENANT_TOTALS, values, strict=True))


def monthly_active(people: int) -> dict[str, int]:
    """The answer with the one number."""
    return {MONTHLY_ACTIVE_USERS: people}


def _catalogue_counts(counts: Counts) -> tuple[int, ...]:
    """One value for each count of the catalogue, in its order."""
    return (
        counts.accepted + counts.rejected,
        counts.accepted,
        counts.chat,
        counts.agent,
        counts.remote,
        counts.cli,
        counts.script,
        counts.tool_calls,
        counts.lines,
        counts.accepted_lines,
        counts.instruction_lines,
        counts.agent_lines,
        counts.remote_lines,
        counts.cli_lines + counts.script_lines,
        counts.messages,
        counts.accepted_lines + counts.rejected_lines,
        counts.cli_lines,
        counts.script_lines,
    )
