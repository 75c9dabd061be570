"""The paths that the client may call. They only read, where the token may do more: run agents, and
set budgets. Any other request is refused before it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping

import requests
from requests.auth import AuthBase

PREFIX = "/analytics/v0/"
COST_ANALYTICS = "cost-analytics"
BUDGET_OVERRIDES = "get-user-budget-overrides"

# Not derived from the endpoints: what is added there must not be callable before it is added here.
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


class NotAllowed(RuntimeError):
    """A request to a path that is not in the list: a fault of this program. Nothing was sent."""


class AllowedRequests(AuthBase):
    """Signs the requests that may be sent to the API at `base`, and no other, with `auth`."""

    def __init__(self, base: str, auth: AuthBase) -> None:
        self._auth = auth
        self._urls = {name: f"{base.rstrip('/')}{PREFIX}{name}" for name in ALLOWED}
        self._sent_as = {(ALLOWED[name], _sent_as(url)) for name, url in self._urls.items()}

    def url_of(self, endpoint: str) -> str:
        """The URL of an endpoint, without a query."""
        if endpoint not in self._urls:
            raise NotAllowed(f"{endpoint} is not among the paths that this program may call")
        return self._urls[endpoint]

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """NotAllowed for any other method, host or path; libraries call it before they connect."""
        url = (request.url or "").partition("?")[0]
        if (request.method, url) not in self._sent_as:
            raise NotAllowed(
                f"{request.method} {request.path_url.partition('?')[0]} is not among the requests"
                " that this program may send"
            )
        return self._auth(request)


def _sent_as(url: str) -> str | None:
    """The URL as it is sent: libraries escape and lower parts of it. None for one they refuse."""
    try:
        return requests.Request("GET", url).prepare().url
    except requests.RequestException:  # the request itself fails with words for the user
        return None
