"""The paths that the client may call. They only read, although the token may be allowed more: to
run agents, and set budgets. Any other request is refused before it is sent (`rest/auth.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

PREFIX = "/analytics/v0/"
COST_ANALYTICS = "cost-analytics"
BUDGET_OVERRIDES = "get-user-budget-overrides"

# Not derived from the endpoints: an endpoint added there must not be callable before it is added
# here.
ALLOWED: Mapping[str, str] = {
    "user-activity": "GET",
    "daily-usage": "GET",
    "dau-count": "GET",
    "daily-user-activity-by-editor-language": "GET",
    "credit-usage-by-user": "GET",
    COST_ANALYTICS: "POST",  # its query is the body
    BUDGET_OVERRIDES: "POST",
}
"""The method of each path below PREFIX."""
