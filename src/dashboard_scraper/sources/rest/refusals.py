"""Responses without data: which error each one becomes, in words for users, for all sources."""

from __future__ import annotations

from datetime import datetime

import msgspec

from dashboard_scraper.errors import (
    ContractBroken,
    ScraperError,
    SignInRequired,
    SourceUnavailable,
    UsageError,
)
from dashboard_scraper.model.dates import start_of_day, utc_day
from dashboard_scraper.sources.rest.http import Response
from dashboard_scraper.sources.rest.pages import looks_like_filter
from dashboard_scraper.sources.rest.statuses import Meaning
from dashboard_scraper.sources.rest.urls import (
    absolute,
    has_param,
    host_of,
    origin_of,
    path_of,
    redact,
)


class Access(msgspec.Struct, frozen=True):
    """How a source authenticates users, in the words of its errors."""

    refused: str
    """Says that the session or token is not valid, such as `the session has expired`."""
    forbidden: str
    """Says that it is valid, but may not see the figures."""
    sign_in: str
    """What to do if it is not valid; follows a semicolon."""
    administrator: str
    """What to do if it may not see the figures."""
    base_setting: str
    """The setting with the source's URL."""
    has_sign_in_page: bool
    """Whether the source answers an expired session with a sign-in page, or a redirect to one."""
    bad_request_is_ours: bool = False
    """Whether its documentation says that 400 explains what is wrong with the request."""
    cursor: str = "cursor"
    """The query parameter in which the source gets the cursor of a page back."""


def refuse_page(endpoint: str, response: Response, access: Access) -> None:
    """The same for an HTML page with a status of data; does nothing if there is no page."""
    page = response.page
    if page is None:
        return
    if page.is_filter:
        raise _blocked(endpoint, response)
    if not access.has_sign_in_page:
        raise ContractBroken(
            f"{endpoint}: a page came in place of data ({response.shown}); check"
            f" {access.base_setting}"
        )
    unsure = "" if page.is_sign_in else _UNSURE
    raise SignInRequired(
        f"{access.refused} (a page came in place of data: {response.shown}){unsure};"
        f" {access.sign_in}"
    )


def refuse_stale(endpoint: str, response: Response, now: datetime) -> None:
    """Raise SourceUnavailable if a cache sent an answer from before today, in UTC: yesterday was
    not over then, and older days may have changed.
    """
    age = response.headers.get("Age", "").strip()
    if age.isascii() and age.isdigit() and int(age) > (now - start_of_day(utc_day(now))).seconds:
        raise SourceUnavailable(
            f"{endpoint}: the answer is from a cache, and {int(age) // 3600} hours old: it may lack"
            f" figures; no proxy between here and {host_of(response.url)} may store answers"
        )


_UNSURE = (
    "; if that is not your sign-in page, a filter or gateway has answered, and signing in does not"
    " help"
)


def refusal(endpoint: str, response: Response, access: Access, message: str = "") -> ScraperError:
    """The error for a response without data; `message` is the server's own, if any."""
    where, meaning = redact(response.url), response.meaning
    if meaning is Meaning.SIGN_IN:
        return SignInRequired(f"{access.refused} (HTTP {response.status}); {access.sign_in}")
    if meaning is Meaning.FORBIDDEN:
        return _forbidden(endpoint, response, access, message)
    if meaning is Meaning.PROXY_SIGN_IN:
        return UsageError(
            f"the proxy refused ({response.shown}); check the user and password of HTTP_PROXY"
        )
    if meaning is Meaning.NETWORK_SIGN_IN:
        return SourceUnavailable(
            f"{endpoint}: the network requires its own sign-in, in a browser ({response.shown});"
            " signing in to the source does not help"
        )
    location = response.headers.get("Location")
    if meaning is Meaning.REDIRECT and location:
        return _sent_elsewhere(endpoint, response, access, absolute(response.url, location))
    if response.status == 400 and has_param(response.url, access.cursor):
        return ContractBroken(  # no setting is wrong, and other days can still be fetched
            f"{endpoint}: the cursor of a page was refused, which the source had sent itself"
            f" (HTTP 400){message}; run it again"
        )
    if response.status == 400 and access.bad_request_is_ours:
        return UsageError(f"{where} was refused (HTTP 400){message}")
    page = f", {response.page}" if response.page else ""
    return ContractBroken(
        f"{endpoint}: {where} answered HTTP {response.status}{page}{message}; check"
        f" {access.base_setting} and the endpoint's path in the settings"
    )


def _forbidden(endpoint: str, response: Response, access: Access, message: str) -> ScraperError:
    page = response.page
    if page is not None and not (page.is_sign_in and access.has_sign_in_page):
        return _blocked(endpoint, response)
    return SignInRequired(
        f"{access.forbidden} (HTTP {response.status}){message}; {access.administrator}"
    )


def _blocked(endpoint: str, response: Response) -> SourceUnavailable:
    """Not SignInRequired: a source behind a filter is unreachable, whatever the session is."""
    host = host_of(response.url)
    return SourceUnavailable(
        f"{endpoint}: a page came in place of the source's answer ({response.shown}): a filter, a"
        " firewall or a bot check seems to block the connection, and signing in does not help; have"
        f" the network let this machine through to {host}"
    )


def _sent_elsewhere(endpoint: str, response: Response, access: Access, target: str) -> ScraperError:
    what = f"sent to {redact(target)}, HTTP {response.status}"
    same_origin = origin_of(target) == origin_of(response.url)
    before, after = path_of(response.url), path_of(target)
    if access.has_sign_in_page and after.rstrip("/") == before.rstrip("/"):
        if same_origin and after == before:
            return ContractBroken(f"{endpoint}: it redirects to itself ({what})")
        return UsageError(
            f"{redact(response.url)} has moved to {redact(target)}; set {access.base_setting}"
        )
    if looks_like_filter(host_of(target)):
        return SourceUnavailable(
            f"{endpoint}: {what}: this looks like a filter or a gateway, where signing in to the"
            f" source does not help; if it is your own sign-in, {access.sign_in}"
        )
    if not access.has_sign_in_page:
        return ContractBroken(
            f"{endpoint}: {redact(response.url)} answered with a redirect ({what}); check"
            f" {access.base_setting}"
        )
    # Another host may be a single sign-on or a gateway: the two cannot be distinguished.
    unsure = "" if same_origin else _UNSURE
    return SignInRequired(f"{access.refused} ({what}){unsure}; {access.sign_in}")
