"""The catalogue of metrics: every name once, the dashboard's own table, all of it documented."""

from __future__ import annotations

import pytest

from dashboard_scraper.mapping_document import document
from dashboard_scraper.metrics import (
    ANALYTICS_ONLY,
    COUNT_INDEXES,
    FIGURES,
    MONTHLY_ACTIVE_USERS,
    TENANT_TOTALS,
    TOTAL_LINES,
    TOTAL_LINES_PARTS,
    USER_FIELD,
    USER_TITLE,
    Feature,
    Kind,
    is_active,
)

# The dashboard's table as it was observed: field of the API, title of the column, in its order.
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


def test_the_fields_and_titles_are_the_dashboards_in_its_order() -> None:
    pairs = [(USER_FIELD, USER_TITLE), *((m.dashboard, m.title) for m in FIGURES)]
    assert [f"{field} | {title}" for field, title in pairs] == TABLE.splitlines()


def test_the_tenants_figures_are_those_that_were_observed() -> None:
    names = [metric.name for metric in (*TENANT_TOTALS, MONTHLY_ACTIVE_USERS)]
    assert names == ["userMessages", "toolCalls", "linesOfCode", "monthlyActiveUsers"]


@pytest.mark.parametrize(
    "names",
    [
        [m.name for m in FIGURES] + [m.name for m in ANALYTICS_ONLY],
        [USER_TITLE, *(m.title for m in FIGURES), *(m.title for m in ANALYTICS_ONLY)],
        [USER_FIELD, *(m.dashboard for m in FIGURES)],
        [m.name for m in (*TENANT_TOTALS, MONTHLY_ACTIVE_USERS)],
    ],
    ids=["names", "titles", "dashboard fields", "tenant"],
)
def test_no_name_stands_there_twice(names: list[str]) -> None:
    assert sorted(names) == sorted(set(names))


def test_every_metric_is_documented_with_its_title_its_field_and_its_definition() -> None:
    lines = document().splitlines()
    for metric in FIGURES:
        assert sum(line.startswith(f"| {metric.title} | `{metric.dashboard}` |") for line in lines)
        assert f"- **{metric.title}**: {metric.definition}." in lines
        assert metric.definition[0].isupper()
        assert not metric.definition.endswith(".")


def test_the_total_of_lines_is_the_total_of_every_kind_of_line() -> None:
    lines = {i for i, m in enumerate(FIGURES) if m.title.endswith("Lines of Code")}
    assert FIGURES[TOTAL_LINES].title == "Total Modified Lines of Code"
    assert set(TOTAL_LINES_PARTS) == lines - {TOTAL_LINES}


def test_only_counts_have_a_place_in_a_copilot_record_and_each_feature_is_fed() -> None:
    placed = [m for m in FIGURES if m.copilot]
    assert {m.kind for m in placed} == {Kind.COUNT}
    assert {place.feature for m in placed for place in m.copilot} == {*Feature, None}
    assert all(m.required == bool(m.copilot) for m in FIGURES)


@pytest.mark.parametrize("index", range(len(FIGURES)), ids=[m.title for m in FIGURES])
def test_a_user_is_active_by_any_count_and_by_nothing_else(index: int) -> None:
    figures: list[object] = [0] * len(FIGURES)
    figures[index] = 1
    assert is_active(tuple(figures)) == (index in COUNT_INDEXES)
    assert not is_active(tuple([0] * len(FIGURES)))
