"""Cursor's names for our metrics, and what each of them counts there."""

from __future__ import annotations

from dashboard_scraper.model.meanings import BASES, Meaning
from dashboard_scraper.model.metrics import ACCEPT_RATE, ACTIVE_DAYS, BY_NAME, Metric

USER_ID, EMAIL, IS_ACTIVE = "userId", "email", "isActive"

COUNTED: dict[Metric, tuple[str, ...]] = {
    BY_NAME[name]: fields
    for name, fields in {
        "completions_count": ("totalTabsShown",),
        "completions_accepted": ("totalTabsAccepted",),
        "chat_messages": ("chatRequests",),
        "ide_agent_messages": ("agentRequests", "composerRequests"),
        "total_modified_lines_of_code": ("acceptedLinesAdded",),
        "lines_deleted": ("acceptedLinesDeleted",),
    }.items()
}
"""The fields whose sum is each count; every row has all of them."""
REQUIRED_FIELDS = tuple(field for fields in COUNTED.values() for field in fields)

_DEFINITIONS = {
    "completions_count": "Suggestions of Tab that were shown",
    "completions_accepted": "Suggestions of Tab that were accepted",
    "chat_messages": "Requests in chat",
    "ide_agent_messages": "Requests to the agent, and to Composer, its earlier name",
    "total_modified_lines_of_code": "Lines that Cursor suggested to add and the user accepted,"
    " without typed lines",
    "lines_deleted": "Lines that Cursor suggested to delete and the user accepted",
}
MEANINGS: dict[Metric, Meaning] = {
    ACTIVE_DAYS: Meaning(IS_ACTIVE, "1 or 0 per day", BASES[ACTIVE_DAYS]),
    ACCEPT_RATE: Meaning("", "Computed from the completions", BASES[ACCEPT_RATE]),
    **{
        metric: Meaning(" + ".join(fields), _DEFINITIONS[metric.name], BASES.get(metric))
        for metric, fields in COUNTED.items()
    },
}

SUMMED = (
    *("agentRequests", "composerRequests", "cmdkUsages", "bugbotUsages"),
    *("totalLinesAdded", "totalLinesDeleted", "totalApplies", "totalAccepts", "totalRejects"),
    *("subscriptionIncludedReqs", "apiKeyReqs", "usageBasedReqs"),
)
"""Counts that are not metrics: they have their own columns, under Cursor's names. Among them are
the parts of metrics that are sums.
"""
TEXTS = ("mostUsedModel", "applyMostUsedExtension", "tabMostUsedExtension", "clientVersion")
"""These have columns, too."""
