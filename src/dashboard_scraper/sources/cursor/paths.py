"""The paths that the client may call. They only read; the key may do more: set limits of spending,
and remove members. Any other request is refused before it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping

PREFIX = "/teams/"
MEMBERS = "members"
DAILY_USAGE = "daily-usage-data"
USAGE_EVENTS = "filtered-usage-events"
SPEND = "spend"

ALLOWED: Mapping[str, str] = {
    MEMBERS: "GET",
    DAILY_USAGE: "POST",  # its query is the body, as of the two below
    USAGE_EVENTS: "POST",
    SPEND: "POST",
}
"""The method of each path below PREFIX."""
