"""The paths that the client may call. They only read, although the key may be allowed more: to set
spending limits, and remove members. Any other request is refused before it is sent.
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
    DAILY_USAGE: "POST",  # its query is the body, and so are those of the two below
    USAGE_EVENTS: "POST",
    SPEND: "POST",
}
"""The method of each path below PREFIX."""
