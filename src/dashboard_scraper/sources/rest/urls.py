"""URLs: parsed as urllib3 does when it connects, and redacted for logs and errors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import unquote, urlencode, urljoin

import urllib3.exceptions
from urllib3.util import Url, parse_url

# Query parameters whose values are not secret; a cursor or a token in a `next` URL may be.
_HARMLESS = {
    "startDate",
    "endDate",
    "start_date",
    "end_date",
    "date",
    "day",
    "starting_at",
    "limit",
    "page_size",
    "per_page",
    "page",
}


def with_params(url: str, params: Mapping[str, str]) -> str:
    """The URL with `params` added to its query."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(params)}"


def has_param(url: str, name: str) -> bool:
    """Whether the query of the URL has the parameter."""
    return any(pair.partition("=")[0] == name for pair in (_parsed(url).query or "").split("&"))


def absolute(base: str, reference: str) -> str:
    """The URL that `reference` means on a page at `base`; malformed ones are returned unchanged."""
    try:
        return urljoin(base, reference)
    except ValueError:
        return reference


@lru_cache(64)
def _parsed(url: str) -> Url:
    """The URL as urllib3 parses it when it connects; all None if urllib3 refuses it."""
    try:
        return parse_url(url)
    except urllib3.exceptions.LocationParseError:
        return Url()


def host_of(url: str) -> str:
    """The host, without user and port."""
    return _parsed(url).host or ""


def path_of(url: str) -> str:
    """The path, without the query."""
    return _parsed(url).path or ""


def origin_of(url: str) -> str:
    """The scheme, host and port to which a URL connects, as `https://app.example.com:443`."""
    parsed = _parsed(url)
    port = parsed.port or {"https": 443, "http": 80}.get(parsed.scheme or "")
    return f"{parsed.scheme}://{(parsed.host or '').lower()}:{port}"


def redact(url: str) -> str:
    """The URL as a log may contain it: no user, no password, no value that could be a token."""
    parsed = _parsed(url)
    if parsed.host is None:
        return "a malformed URL"
    query = None
    if parsed.query:
        query = "&".join(_redacted_pair(pair) for pair in parsed.query.split("&"))
    return Url(parsed.scheme, None, parsed.host, parsed.port, parsed.path, query, None).url


def _redacted_pair(pair: str) -> str:
    name, equals, value = pair.partition("=")
    if not equals:
        return "REDACTED"
    return f"{name}={unquote(value) if name in _HARMLESS else 'REDACTED'}"
