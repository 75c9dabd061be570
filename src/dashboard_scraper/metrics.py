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


class GithubFeature(Enum):
    """The features of GitHub's own reports that Augment's figures have a place in, in our order."""

    COMPLETION = "code_completion"
    ASK = "chat_panel_ask_mode"
    AGENT = "chat_panel_agent_mode"
    EDIT = "agent_edit"
    INLINE = "chat_inline"
    CLI = "copilot_cli"
    OTHERS = "others"  # remote agents: GitHub has no feature row for its cloud agent


@dataclass(frozen=True, slots=True)
class GithubPlace:
    """Where a metric counts in a record of GitHub's reports."""

    feature: GithubFeature
    counter: Counter


@dataclass(frozen=True, slots=True)
class Place:
    """Where a metric counts in a Copilot record; without a feature it is the top level's own."""

    feature: Feature | None
    counter: Counter


class Whole(Enum):
    """What several counts are parts of; one count of the catalogue is their sum."""

    MESSAGES = "messages of all kinds"
    LINES = "lines of code of all kinds"
    CLI_LINES = "lines of code of both kinds of command-line agent"


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of one user.

    `name` is ours and, where `in_analytics` says so, also the Analytics API's, in whose answers an
    `optional` one may be absent. `dashboard` is the field of the dashboard API, empty where that
    does not know the figure. `whole` says what the count is the sum of, `part_of` what it is a part
    of. `tenant` is the field in which the dashboard tells the sum of all users. `copilot` is where
    the figure counts in the brief's Copilot JSON, `github` where in GitHub's own reports.
    """

    name: str
    title: str
    dashboard: str
    kind: Kind
    definition: str
    in_analytics: bool = True
    optional: bool = False
    whole: Whole | None = None
    part_of: Whole | None = None
    copilot: tuple[Place, ...] = ()
    github: GithubPlace | None = None
    tenant: str = ""

    @property
    def required(self) -> bool:
        """Whether an output counts on it: a field that is gone from a whole answer is an error."""
        return bool(self.copilot)


USER_FIELD = "userEmail"
USER_TITLE = "User"
SERVICE_ACCOUNT_TITLE = "Service Account"

_COMPLETION, _CHAT, _AGENT = Feature.COMPLETION, Feature.CHAT, Feature.AGENT
_AGENT_MESSAGES = (Place(_AGENT, Counter.INTERACTIONS),)
_AGENT_LINES = (Place(_AGENT, Counter.ADDED),)

_CLI_INTERACTIONS = GithubPlace(GithubFeature.CLI, Counter.INTERACTIONS)

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
        github=GithubPlace(GithubFeature.COMPLETION, Counter.GENERATIONS),
    ),
    Metric(
        "completions_accepted",
        "Accepted Completions",
        "acceptedCompletionsInTimePeriod",
        Kind.COUNT,
        "Code completions accepted",
        copilot=(Place(_COMPLETION, Counter.ACCEPTANCES),),
        github=GithubPlace(GithubFeature.COMPLETION, Counter.ACCEPTANCES),
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
        part_of=Whole.MESSAGES,
        github=GithubPlace(GithubFeature.ASK, Counter.INTERACTIONS),
    ),
    Metric(
        "ide_agent_messages",
        "Agent Messages",
        "totalAgentChatMessagesInTimePeriod",
        Kind.COUNT,
        "Messages sent to the agent in the editor",
        copilot=_AGENT_MESSAGES,
        part_of=Whole.MESSAGES,
        github=GithubPlace(GithubFeature.AGENT, Counter.INTERACTIONS),
    ),
    Metric(
        "remote_agent_messages",
        "Remote Agent Messages",
        "totalRemoteAgentMessagesInTimePeriod",
        Kind.COUNT,
        "Messages sent to remote agents",
        copilot=_AGENT_MESSAGES,
        part_of=Whole.MESSAGES,
        github=GithubPlace(GithubFeature.OTHERS, Counter.INTERACTIONS),
    ),
    Metric(
        "cli_agent_interactive_messages",
        "Interactive CLI Agent Messages",
        "totalInteractiveCliAgentMessagesInTimePeriod",
        Kind.COUNT,
        "Messages sent to the command-line agent by hand",
        copilot=_AGENT_MESSAGES,
        part_of=Whole.MESSAGES,
        github=_CLI_INTERACTIONS,
    ),
    Metric(
        "cli_agent_non_interactive_messages",
        "Non-Interactive CLI Agent Messages",
        "totalNoninteractiveCliAgentMessagesInTimePeriod",
        Kind.COUNT,
        "Messages sent to the command-line agent by scripts",
        copilot=_AGENT_MESSAGES,
        part_of=Whole.MESSAGES,
        github=_CLI_INTERACTIONS,
    ),
    Metric(
        "total_tool_calls",
        "Tool Uses",
        "totalToolUsesInTimePeriod",
        Kind.COUNT,
        "Tools that agents called",
        tenant="toolCalls",
    ),
    Metric(
        "total_modified_lines_of_code",
        "Total Modified Lines of Code",
        "totalModifiedLinesOfCode",
        Kind.COUNT,
        "Lines of code changed by completions, instructions and agents",
        whole=Whole.LINES,
        copilot=(Place(None, Counter.ADDED),),
        tenant="linesOfCode",
    ),
    Metric(
        "completions_lines_of_code",
        "Completion Lines of Code",
        "completionLinesOfCode",
        Kind.COUNT,
        "Lines of code from accepted completions",
        part_of=Whole.LINES,
        copilot=(Place(_COMPLETION, Counter.SUGGESTED), Place(_COMPLETION, Counter.ADDED)),
        github=GithubPlace(GithubFeature.COMPLETION, Counter.ADDED),
    ),
    Metric(
        "instruction_lines_of_code",
        "Instruction Lines of Code",
        "instructionLinesOfCode",
        Kind.COUNT,
        "Lines of code from instructions given in the editor",
        in_analytics=False,
        part_of=Whole.LINES,
        github=GithubPlace(GithubFeature.INLINE, Counter.ADDED),
    ),
    Metric(
        "ide_agent_lines_of_code",
        "Agent Lines of Code",
        "agentLinesOfCode",
        Kind.COUNT,
        "Lines of code written by the agent in the editor",
        part_of=Whole.LINES,
        copilot=_AGENT_LINES,
        github=GithubPlace(GithubFeature.EDIT, Counter.ADDED),
    ),
    Metric(
        "remote_agent_lines_of_code",
        "Remote Agent Lines of Code",
        "remoteAgentLinesOfCode",
        Kind.COUNT,
        "Lines of code written by remote agents",
        part_of=Whole.LINES,
        copilot=_AGENT_LINES,
        github=GithubPlace(GithubFeature.OTHERS, Counter.ADDED),
    ),
    Metric(
        "cli_agent_lines_of_code",
        "CLI Agent Lines of Code",
        "cliAgentLinesOfCode",
        Kind.COUNT,
        "Lines of code written by the command-line agent",
        in_analytics=False,
        whole=Whole.CLI_LINES,
        part_of=Whole.LINES,
        copilot=_AGENT_LINES,
        github=GithubPlace(GithubFeature.CLI, Counter.ADDED),
    ),
    Metric(
        "total_messages",
        "Total Messages",
        "",
        Kind.COUNT,
        "Messages of all kinds",
        whole=Whole.MESSAGES,
        tenant="userMessages",
    ),
    Metric(
        "completions_suggested_lines_of_code",
        "Suggested Lines of Code",
        "",
        Kind.COUNT,
        "Lines of code in the completions shown",
        optional=True,
        github=GithubPlace(GithubFeature.COMPLETION, Counter.SUGGESTED),
    ),
    Metric(
        "cli_agent_interactive_lines_of_code",
        "Interactive CLI Agent Lines of Code",
        "",
        Kind.COUNT,
        "Lines of code written by the command-line agent, used by hand",
        part_of=Whole.CLI_LINES,
    ),
    Metric(
        "cli_agent_non_interactive_lines_of_code",
        "Non-Interactive CLI Agent Lines of Code",
        "",
        Kind.COUNT,
        "Lines of code written by the command-line agent, used by scripts",
        part_of=Whole.CLI_LINES,
    ),
)

# The dashboard's own table, and so the first columns of every CSV; what it does not know follows.
DASHBOARD_FIGURES: tuple[Metric, ...] = tuple(m for m in FIGURES if m.dashboard)

# The header of the CSV; a field that we do not know must not take one of these names.
USER_HEADER: tuple[str, ...] = (
    USER_TITLE,
    *(metric.title for metric in FIGURES),
    SERVICE_ACCOUNT_TITLE,
)

FIRST_SEEN, LAST_SEEN = (metric for metric in FIGURES if metric.kind is Kind.MOMENT)
TOTAL_LINES = next(i for i, m in enumerate(FIGURES) if m.whole is Whole.LINES)
REQUIRED_INDEXES = tuple(i for i, m in enumerate(FIGURES) if m.required)
COUNT_INDEXES: tuple[int, ...] = tuple(i for i, m in enumerate(FIGURES) if m.kind is Kind.COUNT)
COUNTS: tuple[Metric, ...] = tuple(FIGURES[i] for i in COUNT_INDEXES)
COUNT_PLACES = {metric.name: place for place, metric in enumerate(COUNTS)}
SHOWN, ACCEPTED = (
    next(m for m in COUNTS if any(place.counter is counter for place in m.copilot))
    for counter in (Counter.GENERATIONS, Counter.ACCEPTANCES)
)
ACCEPT_RATE = next(metric for metric in FIGURES if metric.kind is Kind.PERCENT)
# The counts of the Analytics API, in whose answers they stand; also those by editor and language.
ANALYTICS_COUNTS: tuple[Metric, ...] = tuple(metric for metric in COUNTS if metric.in_analytics)
_counts_of = operator.itemgetter(*COUNT_INDEXES)
_required_of = operator.itemgetter(*REQUIRED_INDEXES)


def parts_of(metric: Metric) -> tuple[Metric, ...]:
    """The counts whose sum the metric is; none where it is not one."""
    return tuple(part for part in COUNTS if metric.whole and part.part_of is metric.whole)


@dataclass(frozen=True, slots=True)
class Total:
    """A figure of everybody as a source itself gives it, and its column in the store.

    `name` is that of the count that it is the sum of, or `user_count`.
    """

    name: str
    definition: str

    @property
    def column(self) -> str:
        """Beside the sum of the users' figures, in the same row."""
        return f"tenant_{self.name}"


USER_COUNT = Total("user_count", "Users with any activity")
TOTALS: tuple[Total, ...] = (
    *(Total(m.name, m.definition) for m in COUNTS if m.tenant or m in ANALYTICS_COUNTS),
    USER_COUNT,
)
# The dashboard's fields for the whole tenant, in its order, with the names of what they tell.
TENANT_TOTALS: dict[str, str] = {
    m.tenant: m.name for m in sorted(COUNTS, key=lambda m: bool(m.dashboard)) if m.tenant
}
MONTHLY_ACTIVE_USERS = "monthlyActiveUsers"

# A count beyond this is a fault of the source: no user writes a trillion lines. Sums of counts
# stay far below 2**63, where databases and readers of JSON end.
MAX_COUNT = 10**12

Totals = dict[str, int]
"""The tenant's own figures, by the names of TOTALS; what the source does not tell is absent."""

Sums = tuple[int | None, ...]
"""Sums of the users' counts, in the order of COUNTS; None where a part is unknown."""

Figures = tuple[object, ...]
"""One user's figures in the order of FIGURES: int, float, datetime in UTC, or None if unknown."""


def counts_of(figures: Figures) -> tuple[int | None, ...]:
    """What adds up over users and days, in the order of COUNT_INDEXES."""
    counts: tuple[int | None, ...] = _counts_of(figures)
    return counts


def accept_rate(shown: int | None, accepted: int | None) -> float | None:
    """Percent of the completions shown that were accepted; None without completions."""
    return None if not shown or accepted is None else 100 * accepted / shown


def is_active(figures: Figures) -> bool:
    """Whether anything was counted for the user in the period, or may have been.

    Of a user with an unknown count nobody knows that there was no activity.
    """
    return any(_counts_of(figures)) or lacks_required(figures)


def lacks_required(figures: Figures) -> bool:
    """Whether a figure is unknown that an output counts on."""
    return None in _required_of(figures)
