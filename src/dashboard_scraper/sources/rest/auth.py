"""Adding a source's secret to requests that a list allows, since a key may do more than read."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime

import requests
from requests.auth import AuthBase

from dashboard_scraper.sources.rest.token_expiry import expiry_of


class HeaderKey(AuthBase):
    """Adds a header with a secret, which `AllowedRequests` around it keeps from other hosts."""

    def __init__(self, header: str, key: str, prefix: str = "") -> None:
        self._header, self._key, self._prefix = header, key, prefix

    def redacted_in(self, text: str) -> str:
        """The text without the secret, which the server may have repeated."""
        return text.replace(self._key, "REDACTED")

    def expires_at(self) -> datetime | None:
        """When the secret expires, if it says so itself."""
        return expiry_of(self._key)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers[self._header] = f"{self._prefix}{self._key}"
        return request


class BearerToken(HeaderKey):
    """Adds a token as described in RFC 6750."""

    def __init__(self, token: str) -> None:
        super().__init__("Authorization", token, "Bearer ")


class BasicKey(HeaderKey):
    """Adds a key as the user of HTTP Basic, with an empty password."""

    def __init__(self, key: str) -> None:
        super().__init__("Authorization", base64.b64encode(f"{key}:".encode()).decode(), "Basic ")
        self._plain = key

    def redacted_in(self, text: str) -> str:
        """The text without the key, plain or encoded."""
        return super().redacted_in(text).replace(self._plain, "REDACTED")


class NoAuth(AuthBase):
    """Adds nothing: for hosts that must never see a secret."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class NotAllowed(RuntimeError):
    """A request to a path that is not in the list: a fault of this program. Nothing was sent."""


class AllowedRequests(AuthBase):
    """Signs the requests that may be sent to the API at `base`, and no others, with `auth`.

    `allowed` has the method of each path below `base` and `prefix`.
    """

    def __init__(self, base: str, prefix: str, allowed: Mapping[str, str], auth: AuthBase) -> None:
        self._auth = auth
        self._urls = {name: f"{base.rstrip('/')}{prefix}{name}" for name in allowed}
        self._sent_as = {(allowed[name], _sent_as(url)) for name, url in self._urls.items()}

    def url_of(self, endpoint: str) -> str:
        """The URL of an endpoint, without a query."""
        if endpoint not in self._urls:
            raise NotAllowed(f"{endpoint} is not among the paths that this program may call")
        return self._urls[endpoint]

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """NotAllowed for any other method, host or path; called before libraries connect."""
        url = (request.url or "").partition("?")[0]
        if (request.method, url) not in self._sent_as:
            raise NotAllowed(
                f"{request.method} {request.path_url.partition('?')[0]} is not among the requests"
                " that this program may send"
            )
        return self._auth(request)


def _sent_as(url: str) -> str | None:
    """The URL as it is sent: libraries escape and lower-case parts. None if they refuse it."""
    try:
        return requests.Request("GET", url).prepare().url
    except requests.RequestException:  # the request itself then fails with words for the user
        return None
