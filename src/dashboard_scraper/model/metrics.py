"""The catalogue: every metric once, as a field of `Figures`.

A field's annotation defines the metric; the fields are in the order of the dashboard's own table,
which is also that of the CSV. Mappings from a source's fields are in that source, and mappings to
an output are in that output.
"""

from __future__ import annotations

import typing
from datetime import datetime
from enum import Enum
from typing import Annotated, Any

import msgspec
from msgspec.structs import replace


class Kind(Enum):
    """The type of a figure, and how the CSV shows it."""

    COUNT = "count"  # int >= 0 for a period; adds up over users and days
    DAYS = "days"  # int >= 0 for a period; does not add up
    PERCENT = "percent"  # number from 0 to 100; `40.0%`
    MOMENT = "moment"  # when a user was first or last ever seen; `2024-11-14`


class Unit(Enum):
    """The unit of a figure."""

    COMPLETIONS = "completions"
    MESSAGES = "messages"
    TOOL_CALLS = "tool calls"
    LINES = "lines"
    OUTPUTS = "outputs"
    EDITS = "edits"
    SESSIONS = "sessions"
    COMMITS = "commits"
    PULL_REQUESTS = "pull requests"
    ACTIVE_DAYS = "days"
    PERCENT = "percent"
    DATE = "date"


_KINDS = {
    Unit.ACTIVE_DAYS: Kind.DAYS,
    Unit.PERCENT: Kind.PERCENT,
    Unit.DATE: Kind.MOMENT,
}
"""The kinds of units that are not counts."""


class Whole(Enum):
    """A sum of several counts that is itself a count of the catalogue."""

    MESSAGES = "messages of all kinds"
    LINES = "lines of code of all kinds"
    CLI_LINES = "lines of code of both kinds of command-line agent"


class Metric(msgspec.Struct, frozen=True, eq=False):
    """The definition of one figure of a user.

    `whole` is set if the count is a sum, `part_of` if it is a part of one. A `required` metric is
    one that Copilot's formats need; a source that lacks any of them has no such outputs. A
    `detailed` metric is also stored by editor and language; `detailed` and `totalled` metrics are
    also stored as the source's own totals. `name` is the field's name.
    """

    title: str
    unit: Unit
    definition: str
    whole: Whole | None = None
    part_of: Whole | None = None
    required: bool = False
    detailed: bool = True
    totalled: bool = False
    name: str = ""

    @property
    def kind(self) -> Kind:
        """The kind of its unit."""
        return _KINDS.get(self.unit, Kind.COUNT)


Count = int | None
Percent = float | None
Moment = datetime | None


class Figures(msgspec.Struct, frozen=True, gc=False):
    """Figures of one user, or the sum of several users' figures; None is unknown.

    Timestamps are in UTC. In a sum, everything that does not add up is None.
    """

    first_seen: Annotated[
        Moment,
        Metric(
            "First Seen",
            Unit.DATE,
            "First day on which the user was ever seen",
        ),
    ] = None
    last_seen: Annotated[
        Moment,
        Metric(
            "Last Seen",
            Unit.DATE,
            "Last day on which the user was ever seen",
        ),
    ] = None
    active_days: Annotated[
        Count,
        Metric(
            "Active Days",
            Unit.ACTIVE_DAYS,
            "Days of the period with any activity",
        ),
    ] = None
    completions_count: Annotated[
        Count,
        Metric(
            "Completions",
            Unit.COMPLETIONS,
            "Code completions shown",
            required=True,
        ),
    ] = None
    completions_accepted: Annotated[
        Count,
        Metric(
            "Accepted Completions",
            Unit.COMPLETIONS,
            "Code completions accepted",
            required=True,
        ),
    ] = None
    acceptance_rate: Annotated[
        Percent,
        Metric(
            "Accept Rate",
            Unit.PERCENT,
            "Share of the completions shown that were accepted; blank without completions",
        ),
    ] = None
    chat_messages: Annotated[
        Count,
        Metric(
            "Chat Messages",
            Unit.MESSAGES,
            "Messages sent in chat",
            part_of=Whole.MESSAGES,
            required=True,
        ),
    ] = None
    ide_agent_messages: Annotated[
        Count,
        Metric(
            "Agent Messages",
            Unit.MESSAGES,
            "Messages sent to the agent in the editor",
            part_of=Whole.MESSAGES,
            required=True,
        ),
    ] = None
    remote_agent_messages: Annotated[
        Count,
        Metric(
            "Remote Agent Messages",
            Unit.MESSAGES,
            "Messages sent to remote agents",
            part_of=Whole.MESSAGES,
            required=True,
        ),
    ] = None
    cli_agent_interactive_messages: Annotated[
        Count,
        Metric(
            "Interactive CLI Agent Messages",
            Unit.MESSAGES,
            "Messages sent to the command-line agent by hand",
            part_of=Whole.MESSAGES,
            required=True,
        ),
    ] = None
    cli_agent_non_interactive_messages: Annotated[
        Count,
        Metric(
            "Non-Interactive CLI Agent Messages",
            Unit.MESSAGES,
            "Messages sent to the command-line agent by scripts",
            part_of=Whole.MESSAGES,
            required=True,
        ),
    ] = None
    total_tool_calls: Annotated[
        Count,
        Metric(
            "Tool Uses",
            Unit.TOOL_CALLS,
            "Tools that agents called",
        ),
    ] = None
    total_modified_lines_of_code: Annotated[
        Count,
        Metric(
            "Total Modified Lines of Code",
            Unit.LINES,
            "Lines of code changed by completions, instructions and agents",
            whole=Whole.LINES,
            required=True,
        ),
    ] = None
    completions_lines_of_code: Annotated[
        Count,
        Metric(
            "Completion Lines of Code",
            Unit.LINES,
            "Lines of code from accepted completions",
            part_of=Whole.LINES,
            required=True,
        ),
    ] = None
    instruction_lines_of_code: Annotated[
        Count,
        Metric(
            "Instruction Lines of Code",
            Unit.LINES,
            "Lines of code from instructions given in the editor",
            part_of=Whole.LINES,
            detailed=False,
        ),
    ] = None
    ide_agent_lines_of_code: Annotated[
        Count,
        Metric(
            "Agent Lines of Code",
            Unit.LINES,
            "Lines of code written by the agent in the editor",
            part_of=Whole.LINES,
            required=True,
        ),
    ] = None
    remote_agent_lines_of_code: Annotated[
        Count,
        Metric(
            "Remote Agent Lines of Code",
            Unit.LINES,
            "Lines of code written by remote agents",
            part_of=Whole.LINES,
            required=True,
        ),
    ] = None
    cli_agent_lines_of_code: Annotated[
        Count,
        Metric(
            "CLI Agent Lines of Code",
            Unit.LINES,
            "Lines of code written by the command-line agent",
            whole=Whole.CLI_LINES,
            part_of=Whole.LINES,
            required=True,
            detailed=False,
        ),
    ] = None
    total_messages: Annotated[
        Count,
        Metric(
            "Total Messages",
            Unit.MESSAGES,
            "Messages of all kinds",
            whole=Whole.MESSAGES,
        ),
    ] = None
    completions_suggested_lines_of_code: Annotated[
        Count,
        Metric(
            "Suggested Lines of Code",
            Unit.LINES,
            "Lines of code in the completions shown",
        ),
    ] = None
    cli_agent_interactive_lines_of_code: Annotated[
        Count,
        Metric(
            "Interactive CLI Agent Lines of Code",
            Unit.LINES,
            "Lines of code written by the command-line agent, used by hand",
            part_of=Whole.CLI_LINES,
        ),
    ] = None
    cli_agent_non_interactive_lines_of_code: Annotated[
        Count,
        Metric(
            "Non-Interactive CLI Agent Lines of Code",
            Unit.LINES,
            "Lines of code written by the command-line agent, used by scripts",
            part_of=Whole.CLI_LINES,
        ),
    ] = None
    lines_deleted: Annotated[
        Count,
        Metric(
            "Deleted Lines of Code",
            Unit.LINES,
            "Lines of code that the assistant deleted, or that were deleted with its suggestions",
            detailed=False,
            totalled=True,
        ),
    ] = None
    suggested_lines_of_code: Annotated[
        Count,
        Metric(
            "Suggested Lines of All Features",
            Unit.LINES,
            "Lines of code that completions, chat and other features suggested to add",
            detailed=False,
            totalled=True,
        ),
    ] = None
    suggested_lines_to_delete: Annotated[
        Count,
        Metric(
            "Lines Suggested to Delete",
            Unit.LINES,
            "Lines of code that the assistant suggested to delete",
            detailed=False,
            totalled=True,
        ),
    ] = None
    generations: Annotated[
        Count,
        Metric(
            "Generated Outputs",
            Unit.OUTPUTS,
            "Outputs of all features: completions shown, blocks of code in answers, agents' edits",
            detailed=False,
            totalled=True,
        ),
    ] = None
    acceptances: Annotated[
        Count,
        Metric(
            "Accepted Outputs",
            Unit.OUTPUTS,
            "Outputs of all features that were accepted; an agent's edits never count as accepted",
            detailed=False,
            totalled=True,
        ),
    ] = None
    sessions: Annotated[
        Count,
        Metric("Sessions", Unit.SESSIONS, "Sessions that were started", detailed=False),
    ] = None
    commits: Annotated[
        Count,
        Metric("Commits", Unit.COMMITS, "Commits that the assistant made", detailed=False),
    ] = None
    pull_requests: Annotated[
        Count,
        Metric(
            "Pull Requests",
            Unit.PULL_REQUESTS,
            "Pull requests that the assistant opened",
            detailed=False,
        ),
    ] = None
    edits_accepted: Annotated[
        Count,
        Metric(
            "Accepted Edits",
            Unit.EDITS,
            "Edits proposed by the agent's tools that the user accepted",
            detailed=False,
        ),
    ] = None
    edits_rejected: Annotated[
        Count,
        Metric(
            "Rejected Edits",
            Unit.EDITS,
            "Edits proposed by the agent's tools that the user rejected",
            detailed=False,
        ),
    ] = None

    def __getitem__(self, metric: Metric) -> Any:
        """The figure of a metric that is chosen at run time."""
        return getattr(self, metric.name)


def _catalogue() -> dict[str, Metric]:
    types = {Kind.COUNT: Count, Kind.DAYS: Count, Kind.PERCENT: Percent, Kind.MOMENT: Moment}
    metrics = {}
    for name, annotation in typing.get_type_hints(Figures, include_extras=True).items():
        kind, metric = typing.get_args(annotation)
        if kind != types[metric.kind]:
            raise TypeError(f"{name} is in {metric.unit.value}, and its type is {kind}")
        metrics[name] = replace(metric, name=name)
    return metrics


BY_NAME: dict[str, Metric] = _catalogue()
METRICS: tuple[Metric, ...] = tuple(BY_NAME.values())
COUNTS: tuple[Metric, ...] = tuple(m for m in METRICS if m.kind is Kind.COUNT)
# What Augment's two sources have in common, in the order of the dashboard's table and of its CSV.
AUGMENT_METRICS: tuple[Metric, ...] = METRICS[: METRICS.index(BY_NAME["lines_deleted"])]
REQUIRED: tuple[Metric, ...] = tuple(m for m in METRICS if m.required)
DETAILED: tuple[Metric, ...] = tuple(m for m in COUNTS if m.detailed)

FIRST_SEEN, LAST_SEEN = (metric for metric in METRICS if metric.kind is Kind.MOMENT)
(ACTIVE_DAYS,) = (metric for metric in METRICS if metric.kind is Kind.DAYS)
(ACCEPT_RATE,) = (metric for metric in METRICS if metric.kind is Kind.PERCENT)
SHOWN, ACCEPTED = (metric for metric in METRICS if metric.unit is Unit.COMPLETIONS)
(TOOL_CALLS,) = (metric for metric in METRICS if metric.unit is Unit.TOOL_CALLS)
MESSAGES, LINES = (
    next(metric for metric in COUNTS if metric.whole is whole)
    for whole in (Whole.MESSAGES, Whole.LINES)
)

USER_TITLE = "User"
SERVICE_ACCOUNT_TITLE = "Service Account"
# The header of the CSV; a source's unknown field must not take one of these names.
USER_HEADER: tuple[str, ...] = (
    USER_TITLE,
    *(metric.title for metric in METRICS),
    SERVICE_ACCOUNT_TITLE,
)

# A larger count is a fault of the source: no user writes a trillion lines. This limit keeps sums
# below 2**63, the limit of integers in databases and many JSON readers.
MAX_COUNT = 10**12


def parts_of(metric: Metric) -> tuple[Metric, ...]:
    """The counts that the metric is the sum of; empty if it is not a sum."""
    return tuple(part for part in COUNTS if metric.whole and part.part_of is metric.whole)


class Total(msgspec.Struct, frozen=True):
    """A source's own figure of the whole tenant, and its column in the store.

    `name` is the name of the count that it sums, or `user_count`.
    """

    name: str
    definition: str

    @property
    def column(self) -> str:
        """The column in the ledger, which also has a column for the sum of the users' figures."""
        return f"tenant_{self.name}"


USER_COUNT = Total("user_count", "Users with any activity")
TOTALS: tuple[Total, ...] = (
    *(Total(m.name, m.definition) for m in COUNTS if m.detailed or m.totalled),
    USER_COUNT,
)

Totals = dict[str, int]
"""The tenant's own figures, by the names of TOTALS; figures that a source lacks are absent."""
