"""Claude Code's names of our metrics, and a day's figures from its records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from dashboard_scraper.model.addresses import is_address
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.meanings import BASES, Meaning
from dashboard_scraper.model.metrics import ACTIVE_DAYS, BY_NAME, USER_HEADER, Figures, Metric
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.sources.claude_code.answers import Actions, Decisions, Record
from dashboard_scraper.sources.rest.unknown_fields import Fate, UnknownFields

_CORE = "core_metrics."
_EDITS = "tool_actions.*."
_OF_MODELS = "model_breakdown."

MEANINGS: dict[Metric, Meaning] = {
    BY_NAME[name]: meaning
    for name, meaning in {
        "active_days": Meaning(
            "date",
            "Days with a record of the user, even one of zeros",
            BASES[ACTIVE_DAYS],
        ),
        "cli_agent_lines_of_code": Meaning(
            f"{_CORE}lines_of_code.added", "Lines of code that Claude Code added"
        ),
        "total_modified_lines_of_code": Meaning(
            f"{_CORE}lines_of_code.added",
            "Lines of code that Claude Code added, as it has no completions or instructions",
        ),
        "lines_deleted": Meaning(
            f"{_CORE}lines_of_code.removed", "Lines of code that Claude Code removed"
        ),
        "sessions": Meaning(f"{_CORE}num_sessions", "Sessions of Claude Code that were started"),
        "commits": Meaning(f"{_CORE}commits_by_claude_code", "Commits made with Claude Code"),
        "pull_requests": Meaning(
            f"{_CORE}pull_requests_by_claude_code", "Pull requests opened with Claude Code"
        ),
        "edits_accepted": Meaning(
            f"{_EDITS}accepted",
            "Proposals of the edit, multi-edit, write and notebook tools that were accepted",
        ),
        "edits_rejected": Meaning(
            f"{_EDITS}rejected",
            "Proposals of the edit, multi-edit, write and notebook tools that were rejected",
        ),
    }.items()
}

_CUSTOMER, _SUBSCRIPTION = "sessions.customer_type.", "sessions.subscription_type."


def key_name(name: str) -> str:
    """The user name for an API key: a key named like an address must not become a person."""
    return f"API key {name}" if is_address(name) else name


def usage_of(user: str, records: Sequence[Record], unknown: UnknownFields) -> UserUsage:
    """One actor's day, from all of its records."""
    return UserUsage(
        user,
        _figures(records),
        {**_sessions(records), **_others(records, unknown)},
        records[0].key,
    )


def _figures(records: Sequence[Record]) -> Figures:
    added = sum(each.core.lines_of_code.added for each in records)
    decisions = [tool for each in records for tool in _tools(each.actions)]
    return Figures(
        active_days=1,
        cli_agent_lines_of_code=added,
        total_modified_lines_of_code=added,
        lines_deleted=sum(each.core.lines_of_code.removed for each in records),
        sessions=sum(each.core.num_sessions for each in records),
        commits=sum(each.core.commits_by_claude_code for each in records),
        pull_requests=sum(each.core.pull_requests_by_claude_code for each in records),
        edits_accepted=sum(tool.accepted for tool in decisions),
        edits_rejected=sum(tool.rejected for tool in decisions),
    )


def _tools(actions: Actions) -> tuple[Decisions, ...]:
    return msgspec.structs.astuple(actions)


def _sessions(records: Sequence[Record]) -> dict[str, Cell]:
    """Sessions by the way in which the actor pays, as columns beside the metrics."""
    found: Counter[str] = Counter()
    for each in records:
        found[f"{_CUSTOMER}{each.customer}"] += each.core.num_sessions
        if each.subscription is not None:
            found[f"{_SUBSCRIPTION}{each.subscription}"] += each.core.num_sessions
    return dict(sorted(found.items()))


def is_count(name: str) -> bool:
    """Whether a field of `UserUsage.extra` counts such sessions, which add up over days."""
    return name.startswith((_CUSTOMER, _SUBSCRIPTION))


def _others(records: Sequence[Record], unknown: UnknownFields) -> dict[str, Cell]:
    """The fields that are not documented, if there is only one record: the meaning of several
    records' values together is unknown.
    """
    names = {name for each in records for name in each.extra}
    of_costs = {name for name in names if name.startswith(_OF_MODELS)}
    if of_costs:
        unknown.note(Fate.OF_COSTS, of_costs)
    if len(records) > 1:
        unknown.note(Fate.SEVERAL, names - of_costs)
        return {}
    extra = {name: each for name, each in records[0].extra.items() if name not in of_costs}
    return unknown.storable(extra, USER_HEADER) if extra else {}
