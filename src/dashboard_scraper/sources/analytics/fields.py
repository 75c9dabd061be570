"""The Analytics API's names for our metrics, which are the catalogue's, and for users."""

from __future__ import annotations

import operator
from typing import Any

import msgspec

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.figures import accept_rate, maker
from dashboard_scraper.model.meanings import BASES, Basis, Meaning
from dashboard_scraper.model.metrics import (
    ACCEPT_RATE,
    ACTIVE_DAYS,
    BY_NAME,
    Count,
    Figures,
    Metric,
    parts_of,
)

COUNTED = tuple(
    BY_NAME[name]
    for name in (
        "completions_count",
        "completions_accepted",
        "chat_messages",
        "ide_agent_messages",
        "remote_agent_messages",
        "cli_agent_interactive_messages",
        "cli_agent_non_interactive_messages",
        "total_tool_calls",
        "total_modified_lines_of_code",
        "completions_lines_of_code",
        "ide_agent_lines_of_code",
        "remote_agent_lines_of_code",
        "total_messages",
        "completions_suggested_lines_of_code",
        "cli_agent_interactive_lines_of_code",
        "cli_agent_non_interactive_lines_of_code",
    )
)
"""The counts in `metrics` of every record."""
OPTIONAL = BY_NAME["completions_suggested_lines_of_code"]
"""The only count that may be missing from an answer."""
DAYS_FIELD = ACTIVE_DAYS.name
IDENTITY = ("user_email", "service_account_name")
"""The two fields of which every record has exactly one."""

MEANINGS: dict[Metric, Meaning] = {
    **{
        metric: Meaning(f"metrics.{metric.name}", basis=BASES.get(metric, Basis.AUGMENT))
        for metric in COUNTED
    },
    ACTIVE_DAYS: Meaning(DAYS_FIELD, basis=BASES[ACTIVE_DAYS]),
    ACCEPT_RATE: Meaning("", "Computed from the completions", BASES[ACCEPT_RATE]),
}

_CLI_LINES = BY_NAME["cli_agent_lines_of_code"]
MEANINGS[_CLI_LINES] = Meaning("", "Computed from both kinds of use", Basis.AUGMENT)
_cli_lines_of = operator.attrgetter(*(part.name for part in parts_of(_CLI_LINES)))
_counts_of = maker(COUNTED)
_figures_of = maker((*COUNTED, ACTIVE_DAYS, ACCEPT_RATE, _CLI_LINES))


def identity(endpoint: str, record: Any) -> tuple[str, str]:
    """The field that names the user, and the name as sent: an address, or an account's name."""
    named = [(each, getattr(record, each)) for each in IDENTITY if getattr(record, each)]
    if len(named) != 1:
        raise ContractBroken(
            f"{endpoint}: a record has {'both' if named else 'none'} of"
            f" {' and '.join(IDENTITY)}; it must have exactly one"
        )
    return named[0]


def counts_in(record: Any) -> Figures:
    """The record's counts, and no other figures; missing ones are unknown."""
    return _counts_of(_sent(record))


def figures_in(record: Any) -> Figures:
    """All figures of a user's record; those that the API does not send are unknown.

    The lines of the CLI agent and the accept rate are computed from the counts. The rate is rounded
    like the dashboard's: otherwise the sources would differ for the same day.
    """
    counts = record.metrics
    rate = accept_rate(counts.completions_count, counts.completions_accepted)
    rounded = None if rate is None else round(rate, 2)
    return _figures_of((*_sent(record), record.active_days, rounded, sum(_cli_lines_of(counts))))


def _sent(record: Any) -> tuple[Count, ...]:
    sent = msgspec.structs.astuple(record.metrics)
    if msgspec.UNSET in sent:
        return tuple(None if count is msgspec.UNSET else count for count in sent)
    return sent
