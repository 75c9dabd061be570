"""The catalogue: every metric once.

What reads a figure, names a column, converts a record or explains a number takes it from here. The
order is that of the dashboard's own table, and so of the CSV. Figures of a user are tuples in the
order of `FIGURES`; `None` in them means that the source did not say.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a figure is, and how the CSV shows it."""

    COUNT = "count"  # int >= 0 of one period; adds up over users and days
    DAYS = "days"  # int >= 0 of one period; does not add up
    PERCENT = "percent"  # number from 0 to 100; `40.0%`
    MOMENT = "moment"  # when a user was seen, of all time; `2024-11-14`


class Feature(Enum):
    """The three features of the Copilot JSON, in its order."""

    COMPLETION = "code_completion"
    CHAT = "chat_panel"
    AGENT = "agent_edit"


class Counter(Enum):
    """The seven counters of the Copilot format, at the top of a record and in each feature row."""

    INTERACTIONS = "user_initiated_interaction_count"
    GENERATIONS = "code_generation_activity_count"
    ACCEPTANCES = "code_acceptance_activity_count"
    SUGGESTED = "loc_suggested_to_add_sum"
    SUGGESTED_DELETE = "loc_suggested_to_delete_sum"
    ADDED = "loc_added_sum"
    DELETED = "loc_deleted_sum"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a metric counts in a Copilot record; without a feature it is the top level's own."""

    feature: Feature | None
    counter: Counter


@dataclass(frozen=True, slots=True)
class AnalyticsMetric:
    """A count that only the Analytics API knows; `name` is its field."""

    name: str
    title: str
    definition: str


_CLI_LINES = (
    AnalyticsMetric(
        "cli_agent_interactive_lines_of_code",
        "Interactive CLI Agent Lines of Code",
        "Lines of code written by the command-line agent, used by hand",
    ),
    AnalyticsMetric(
        "cli_agent_non_interactive_lines_of_code",
        "Non-Interactive CLI Agent Lines of Code",
        "Lines of code written by the command-line agent, used by scripts",
    ),
)

ANALYTICS_ONLY: tuple[AnalyticsMetric, ...] = (
    AnalyticsMetric("total_messages", "Total Messages", "Messages of all kinds"),
    AnalyticsMetric(
        "completions_suggested_lines_of_code",
        "Suggested Lines of Code",
        "Lines of code in the completions shown",
    ),
    *_CLI_LINES,
)


@dataclass(frozen=True, slots=True)
class TenantMetric:
    """One figure of the whole tenant; `name` is the dashboard's field and the CSV's metric."""

    name: str
    definition: str


@dataclass(frozen=True, slots=True)
class TenantTotal(TenantMetric):
    """A figure of the tenant that the users' figures add up to; `column` is its name in the store.

    Which of theirs: `Metric.tenant`.
    """

    column: str


_TENANT_MESSAGES = TenantTotal(
    "userMessages", "Messages of all kinds sent by all users", "tenant_messages"
)
_TENANT_TOOL_CALLS = TenantTotal(
    "toolCalls", "Tools that agents called for all users", "tenant_tool_calls"
)
_TENANT_LINES = TenantTotal(
    "linesOfCode", "Lines of code changed for all users", "tenant_lines_of_code"
)
TENANT_TOTALS: tuple[TenantTotal, ...] = (_TENANT_MESSAGES, _TENANT_TOOL_CALLS, _TENANT_LINES)
MONTHLY_ACTIVE_USERS = TenantMetric("monthlyActiveUsers", "Distinct users active in the month")


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of one user.

    `name` is ours and, where `in_analytics` says so, also the Analytics API's. `dashboard` is the
    field of the dashboard API. `parts` are the Analytics counts whose sum the figure is.
    `adds_to_total_lines` marks the counts that together are the one at `TOTAL_LINES`. `tenant` is
    the tenant's figure that the counts of all users are part of.
    """

    name: str
    title: str
    dashboard: str
    kind: Kind
    definition: str
    in_analytics: bool = True
    parts: tuple[AnalyticsMetric, ...] = ()
    adds_to_total_lines: bool = False
    copilot: tuple[Place, ...] = ()
    tenant: TenantTotal | None = None

    @property
    def required(self) -> bool:
        """Whether an output counts on it: a field that is gone from a whole answer is an error."""
        return bool(self.copilot)


USER_FIELD = "userEmail"
USER_TITLE = "User"

_COMPLETION, _CHAT, _AGENT = Feature.COMPLETION, Feature.CHAT, Feature.AGENT
_AGENT_MESSAGES = (Place(_AGENT, Counter.INTERACTIONS),)
_AGENT_LINES = (Place(_AGENT, Counter.ADDED),)

FIGURES: tuple[Metric, ...] = (
    Metric(
        "first_seen",
        "First Seen",
        "firstSeen",
        Kind.MOMENT,
        "Day on which the user was first seen, of all time",
        in_analytics=False,
    ),
    Metric(
        "last_seen",
        "Last Seen",
        "lastSeen",
        Kind.MOMENT,
        "Day on which the user was last seen, of all time",
        in_analytics=False,
    ),
    Metric(
        "active_days",
        "Active Days",
        "totalActiveDays",
        Kind.DAYS,
        "Days of the period with any activity",
        in_analytics=False,
    ),
    Metric(
        "completions_count",
        "Completions",
        "totalCompletionsInTimePeriod",
        Kind.COUNT,
        "Code completions shown",
        copilot=(Place(_COMPLETION, Counter.GENERATIONS),),
    ),
    Metric(
        "completions_accepted",
        "Accepted Completions",
        "acceptedCompletionsInTimePeriod",
        Kind.COUNT,
        "Code completions accepted",
        copilot=(Place(_COMPLETION, Counter.ACCEPTANCES),),
    ),
    Metric(
        "acceptance_rate",
        "Accept Rate",
        "acceptanceRatePercentage",
        Kind.PERCENT,
        "Accepted of the completions shown; blank without completions",
        in_analytics=False,
    ),
    Metric(
        "chat_messages",
        "Chat Messages",
        "totalChatMessagesInTimePeriod",
        Kind.COUNT,
        "Messages sent in chat",
        copilot=(Place(_CHAT, Counter.INTERACTIONS),),
        tenant=_TENANT_MESSAGES,
    ),
    Metric(
        "ide_agent_messages",
        "Agent Messages",
        "totalAgentChatMessagesInTimePeriod",
        Kind.COUNT,
        "Messages sent to the agent in the editor",
        copilot=_AGENT_MESSAGES,
        tenant=_TENANT_MESSAGES,
    ),
    Metric(
        "remote_agent_messages",
        "Remote Agent Messages",
        "totalRemoteAgentMessagesInTimePeriod",
        Kind.COUNT,
        "Messages sent to remote agents",
        copilot=_AGENT_MESSAGES,
        tenant=_TENANT_MESSAGES,
    ),
    Metric(
        "cli_agent_interactive_messages",
        "Interactive CLI Agent Messages",
        "totalInteractiveCliAgentMessagesInTimePeriod",
        Kind.COUNT,
        "Messages sent to the command-line agent by hand",
        copilot=_AGENT_MESSAGES,
        tenant=_TENANT_MESSAGES,
    ),
    Metric(
        "cli_agent_non_interactive_messages",
        "Non-Interactive CLI Agent Messages",
        "totalNoninteractiveCliAgentMessagesInTimePeriod",
        Kind.COUNT,
        "Messages sent to the command-line agent by scripts",
        copilot=_AGENT_MESSAGES,
        tenant=_TENANT_MESSAGES,
    ),
    Metric(
        "total_tool_calls",
        "Tool Uses",
        "totalToolUsesInTimePeriod",
        Kind.COUNT,
        "Tools that agents called",
        tenant=_TENANT_TOOL_CALLS,
    ),
    Metric(
        "total_modified_lines_of_code",
        "Total Modified Lines of Code",
        "totalModifiedLinesOfCode",
        Kind.COUNT,
        "Lines of code changed by completions, instructions and agents",
        copilot=(Place(None, Counter.ADDED),),
        tenant=_TENANT_LINES,
    ),
    Metric(
        "completions_lines_of_code",
        "Completion Lines of Code",
        "completionLinesOfCode",
        Kind.COUNT,
        "Lines of code from accepted completions",
        adds_to_total_lines=True,
        copilot=(Place(_COMPLETION, Counter.SUGGESTED), Place(_COMPLETION, Counter.ADDED)),
    ),
    Metric(
        "instruction_lines_of_code",
        "Instruction Lines of Code",
        "instructionLinesOfCode",
        Kind.COUNT,
        "Lines of code from instructions given in the editor",
        adds_to_total_lines=True,
        in_analytics=False,
    ),
    Metric(
        "ide_agent_lines_of_code",
        "Agent Lines of Code",
        "agentLinesOfCode",
        Kind.COUNT,
        "Lines of code written by the agent in the editor",
        adds_to_total_lines=True,
        copilot=_AGENT_LINES,
    ),
    Metric(
        "remote_agent_lines_of_code",
        "Remote Agent Lines of Code",
        "remoteAgentLinesOfCode",
        Kind.COUNT,
        "Lines of code written by remote agents",
        adds_to_total_lines=True,
        copilot=_AGENT_LINES,
    ),
    Metric(
        "cli_agent_lines_of_code",
        "CLI Agent Lines of Code",
        "cliAgentLinesOfCode",
        Kind.COUNT,
        "Lines of code written by the command-line agent",
        adds_to_total_lines=True,
        in_analytics=False,
        parts=_CLI_LINES,
        copilot=_AGENT_LINES,
    ),
)

# The header of the CSV; a field that we do not know must not take one of these names.
USER_HEADER: tuple[str, ...] = (USER_TITLE, *(metric.title for metric in FIGURES))

TOTAL_LINES = next(i for i, m in enumerate(FIGURES) if Place(None, Counter.ADDED) in m.copilot)
TOTAL_LINES_PARTS = tuple(i for i, m in enumerate(FIGURES) if m.adds_to_total_lines)
REQUIRED_INDEXES = tuple(i for i, m in enumerate(FIGURES) if m.required)
COUNT_INDEXES: tuple[int, ...] = tuple(i for i, m in enumerate(FIGURES) if m.kind is Kind.COUNT)
COUNTS: tuple[Metric, ...] = tuple(FIGURES[i] for i in COUNT_INDEXES)
# For each of TENANT_TOTALS, the places in COUNTS of what adds up to it.
TENANT_PARTS: tuple[tuple[int, ...], ...] = tuple(
    tuple(i for i, metric in enumerate(COUNTS) if metric.tenant is total) for total in TENANT_TOTALS
)
_counts_of = operator.itemgetter(*COUNT_INDEXES)
_required_of = operator.itemgetter(*REQUIRED_INDEXES)

# A count beyond this is a fault of the source: no user writes a trillion lines. Sums of counts
# stay far below 2**63, where databases and readers of JSON end.
MAX_COUNT = 10**12

Totals = tuple[int, ...]
"""The tenant's own figures, in the order of TENANT_TOTALS."""

Sums = tuple[int | None, ...]
"""Sums of the users' counts, in the order of COUNTS; None where a part is unknown."""

Figures = tuple[object, ...]
"""One user's figures in the order of FIGURES: int, float, datetime in UTC, or None if unknown."""


def counts_of(figures: Figures) -> tuple[int | None, ...]:
    """What adds up over users and days, in the order of COUNT_INDEXES."""
    counts: tuple[int | None, ...] = _counts_of(figures)
    return counts


def is_active(figures: Figures) -> bool:
    """Whether anything was counted for the user in the period, or may have been.

    Of a user with an unknown count nobody knows that there was no activity.
    """
    return any(_counts_of(figures)) or lacks_required(figures)


def lacks_required(figures: Figures) -> bool:
    """Whether a figure is unknown that an output counts on."""
    return None in _required_of(figures)
