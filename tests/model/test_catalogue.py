"""The catalogue of metrics: unique names, the dashboard's own table, and complete documentation."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dashboard_scraper.exports.copilot_converter import PLACES, Feature
from dashboard_scraper.model.columns import sum_of
from dashboard_scraper.model.figures import is_active, maker
from dashboard_scraper.model.metrics import (
    AUGMENT_METRICS,
    COUNTS,
    DETAILED,
    LINES,
    METRICS,
    REQUIRED,
    TOTALS,
    USER_COUNT,
    USER_HEADER,
    USER_TITLE,
    Figures,
    Kind,
    Metric,
    Whole,
    parts_of,
)
from dashboard_scraper.sources.analytics.fields import COUNTED, OPTIONAL
from dashboard_scraper.sources.dashboard.fields import (
    FIELDS,
    MONTHLY_ACTIVE_USERS,
    TENANT_TOTALS,
    USER_FIELD,
)
from mapping_document import document

# The dashboard's table as observed: field of the API and title of the column, in its order.
TABLE = """\
userEmail | User
firstSeen | First Seen
lastSeen | Last Seen
totalActiveDays | Active Days
totalCompletionsInTimePeriod | Completions
acceptedCompletionsInTimePeriod | Accepted Completions
acceptanceRatePercentage | Accept Rate
totalChatMessagesInTimePeriod | Chat Messages
totalAgentChatMessagesInTimePeriod | Agent Messages
totalRemoteAgentMessagesInTimePeriod | Remote Agent Messages
totalInteractiveCliAgentMessagesInTimePeriod | Interactive CLI Agent Messages
totalNoninteractiveCliAgentMessagesInTimePeriod | Non-Interactive CLI Agent Messages
totalToolUsesInTimePeriod | Tool Uses
totalModifiedLinesOfCode | Total Modified Lines of Code
completionLinesOfCode | Completion Lines of Code
instructionLinesOfCode | Instruction Lines of Code
agentLinesOfCode | Agent Lines of Code
remoteAgentLinesOfCode | Remote Agent Lines of Code
cliAgentLinesOfCode | CLI Agent Lines of Code
"""


def test_catalogue_has_the_dashboards_fields_in_order() -> None:
    pairs = [(USER_FIELD, USER_TITLE), *((FIELDS[m], m.title) for m in FIELDS)]
    assert [f"{field} | {title}" for field, title in pairs] == TABLE.splitlines()


def test_tenants_figures_are_the_observed_ones() -> None:
    assert [*TENANT_TOTALS, MONTHLY_ACTIVE_USERS] == [
        "userMessages",
        "toolCalls",
        "linesOfCode",
        "monthlyActiveUsers",
    ]


@pytest.mark.parametrize(
    "names",
    [
        [m.name for m in METRICS],
        [*USER_HEADER],
        [USER_FIELD, *(FIELDS[m] for m in FIELDS)],
        [*TENANT_TOTALS, MONTHLY_ACTIVE_USERS],
        [total.name for total in TOTALS],
    ],
    ids=["names", "titles", "dashboard fields", "tenant", "totals"],
)
def test_no_name_stands_there_twice(names: list[str]) -> None:
    assert sorted(names) == sorted(set(names))


def test_every_metric_is_documented() -> None:
    lines = document().splitlines()
    for metric in AUGMENT_METRICS:
        field = f"`{FIELDS[metric]}`" if metric in FIELDS else ""
        (row,) = (line for line in lines if line.startswith(f"| {metric.title} | {field} | "))
        assert (f"`{metric.name}`" in row) == (metric in DETAILED or metric.kind is Kind.DAYS)
        assert f"- **{metric.title}**: {metric.definition}." in lines
    for metric in METRICS:
        assert metric.definition[0].isupper()
        assert not metric.definition.endswith(".")


def test_lines_are_the_sum_of_their_kinds() -> None:
    lines = {m for m in FIELDS if m.title.endswith("Lines of Code")}
    assert LINES.title == "Total Modified Lines of Code"
    assert set(parts_of(LINES)) == lines - {LINES}


def test_messages_are_the_sum_of_their_kinds() -> None:
    messages = [m for m in COUNTS if m.title.endswith("Messages")]
    total = next(m for m in messages if m.title == "Total Messages")
    assert set(parts_of(total)) == set(messages) - {total}


# The Analytics API's `metrics` as documented.
ANALYTICS = """\
total_modified_lines_of_code
total_messages
total_tool_calls
completions_count
completions_accepted
completions_lines_of_code
completions_suggested_lines_of_code
chat_messages
remote_agent_messages
remote_agent_lines_of_code
ide_agent_messages
ide_agent_lines_of_code
cli_agent_interactive_messages
cli_agent_interactive_lines_of_code
cli_agent_non_interactive_messages
cli_agent_non_interactive_lines_of_code
"""


def test_analytics_counts_are_the_documented_ones() -> None:
    assert {m.name for m in COUNTED} == set(ANALYTICS.split())
    assert set(COUNTED) == set(DETAILED)
    assert [total.name for total in TOTALS] == [
        *(m.name for m in COUNTS if m in DETAILED or m.totalled),
        USER_COUNT.name,
    ]
    assert not any(m.totalled for m in AUGMENT_METRICS)
    assert set(TENANT_TOTALS.values()) <= {total.name for total in TOTALS}
    assert OPTIONAL.title == "Suggested Lines of Code"


def test_every_copilot_feature_has_a_count() -> None:
    assert {m.kind for m in PLACES} == {Kind.COUNT}
    assert {place.feature for places in PLACES.values() for place in places} == {*Feature, None}


def test_copilot_record_needs_required_metrics() -> None:
    assert set(PLACES) == set(REQUIRED)


def test_parts_have_the_unit_of_their_sum() -> None:
    wholes = {metric: parts_of(metric) for metric in METRICS if metric.whole}
    assert {whole.whole for whole in wholes} == set(Whole)
    for whole, parts in wholes.items():
        assert {part.unit for part in parts} == {whole.unit}


@pytest.mark.parametrize("metric", METRICS, ids=[m.title for m in METRICS])
def test_any_count_makes_a_user_active(metric: Metric) -> None:
    nothing = sum_of(())
    assert not is_active(nothing)
    assert is_active(replace(nothing, **{metric.name: 1})) == (metric in COUNTS)


@pytest.mark.parametrize("days", [0, 1, None])
def test_active_days_decide_where_counts_are_unknown(days: int | None) -> None:
    unknown = Figures(active_days=days)
    assert is_active(unknown) == (days != 0)
    assert is_active(replace(unknown, sessions=1))


@pytest.mark.parametrize("metric", METRICS, ids=[m.title for m in METRICS])
def test_maker_takes_values_in_any_order(metric: Metric) -> None:
    others = [each for each in reversed(METRICS) if each is not metric]
    figures = maker(others)([each.name for each in others])
    assert figures[metric] is None
    assert all(figures[each] == each.name for each in others)
