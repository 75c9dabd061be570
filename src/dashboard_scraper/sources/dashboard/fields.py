"""The dashboard's names for our metrics, in the order of its own table."""

from __future__ import annotations

from dashboard_scraper.model.meanings import BASES, Basis, Meaning
from dashboard_scraper.model.metrics import BY_NAME, Metric

USER_FIELD = "userEmail"

FIELDS: dict[Metric, str] = {
    BY_NAME[name]: field
    for name, field in {
        "first_seen": "firstSeen",
        "last_seen": "lastSeen",
        "active_days": "totalActiveDays",
        "completions_count": "totalCompletionsInTimePeriod",
        "completions_accepted": "acceptedCompletionsInTimePeriod",
        "acceptance_rate": "acceptanceRatePercentage",
        "chat_messages": "totalChatMessagesInTimePeriod",
        "ide_agent_messages": "totalAgentChatMessagesInTimePeriod",
        "remote_agent_messages": "totalRemoteAgentMessagesInTimePeriod",
        "cli_agent_interactive_messages": "totalInteractiveCliAgentMessagesInTimePeriod",
        "cli_agent_non_interactive_messages": "totalNoninteractiveCliAgentMessagesInTimePeriod",
        "total_tool_calls": "totalToolUsesInTimePeriod",
        "total_modified_lines_of_code": "totalModifiedLinesOfCode",
        "completions_lines_of_code": "completionLinesOfCode",
        "instruction_lines_of_code": "instructionLinesOfCode",
        "ide_agent_lines_of_code": "agentLinesOfCode",
        "remote_agent_lines_of_code": "remoteAgentLinesOfCode",
        "cli_agent_lines_of_code": "cliAgentLinesOfCode",
    }.items()
}

MEANINGS: dict[Metric, Meaning] = {
    metric: Meaning(field, basis=BASES.get(metric, Basis.AUGMENT))
    for metric, field in FIELDS.items()
}

TENANT_TOTALS: dict[str, str] = {
    field: BY_NAME[name].name
    for field, name in {
        "userMessages": "total_messages",
        "toolCalls": "total_tool_calls",
        "linesOfCode": "total_modified_lines_of_code",
    }.items()
}
"""The dashboard's fields for the whole tenant, each with the name in TOTALS of its sum."""

MONTHLY_ACTIVE_USERS = "monthlyActiveUsers"
