"""Answers that are no data: what each means to a user, for both sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from dashboard_scraper.errors import (
    ContractBroken,
    ScraperError,
    SignInRequired,
    SourceUnavailable,
    UsageError,
)
from dashboard_scraper.sources.rest.http import (
    Response,
    absolute,
    host_of,
    origin_of,
    path_of,
    redact,
)
from dashboard_scraper.sources.rest.pages import looks_like_filter
from dashboard_scraper.sources.rest.statuses import Meaning


@dataclass(frozen=True, slots=True)
class Access:
    """How a source lets people in, in the words of its errors."""

    refused: str
    """That the session or the token is not good, as `the session has expired`."""
    forbidden: str
    """That it may not see the figures."""
    sign_in: str
    """What to do about the first; it follows a semicolon."""
    administrator: str
    """What to do about the second."""
    base_setting: str
    """The setting of the source's address."""
    has_sign_in_page: bool
    """Whether a session that is over is answered with a page, or sent to one."""
    bad_request_is_ours: bool = False
    """Whether it documents that 400 says what is wrong with the request."""


def refuse(endpoint: str, response: Response, access: Access, said: str = "") -> NoReturn:
    """Raise what an answer that is no data means; `said` are the server's own words, if any."""
    raise _refusal(endpoint, response, access, said)


def refuse_page(endpoint: str, response: Response, access: Access) -> None:
    """The same for a page that came with the status of data; nothing where there is none."""
    page = response.page
    if page is None:
        return
    if page.is_filter:
        raise _blocked(endpoint, response)
    if not access.has_sign_in_page:
        raise ContractBroken(
            f"{endpoint}: a page came where data was due ({response.shown}); check"
            f" {access.base_setting}"
        )
    unsure = "" if page.is_sign_in else _UNSURE
    raise SignInRequired(
        f"{access.refused} (a page came where data was due: {response.shown}){unsure};"
        f" {access.sign_in}"
    )


_UNSURE = (
    "; if that is not the page of your sign-in, something between has answered, and signing in"
    " does not help"
)


def _refusal(endpoint: str, response: Response, access: Access, said: str) -> ScraperError:
    where, meaning = redact(response.url), response.meaning
    if meaning is Meaning.SIGN_IN:
        return SignInRequired(f"{access.refused} (HTTP {response.status}); {access.sign_in}")
    if meaning is Meaning.FORBIDDEN:
        return _forbidden(endpoint, response, access, said)
    if meaning is Meaning.PROXY_SIGN_IN:
        return UsageError(
            f"the proxy refused ({response.shown}); check the user and password of HTTP_PROXY"
        )
    if meaning is Meaning.NETWORK_SIGN_IN:
        return SourceUnavailable(
            f"{endpoint}: the network wants a sign-in of its own, in a browser ({response.shown});"
            " signing in to the source does not help"
        )
    location = response.headers.get("Location")
    if meaning is Meaning.REDIRECT and location:
        return _sent_elsewhere(endpoint, response, access, absolute(response.url, location))
    if response.status == 400 and access.bad_request_is_ours:
        return UsageError(f"{where} was refused (HTTP 400){said}")
    page = f", {response.page}" if response.page else ""
    return ContractBroken(
        f"{endpoint}: {where} answered HTTP {response.status}{page}{said}; check"
        f" {access.base_setting} and the endpoint's path in the settings"
    )


def _forbidden(endpoint: str, response: Response, access: Access, said: str) -> ScraperError:
    page = response.page
    if page is not None and not (page.is_sign_in and access.has_sign_in_page):
        return _blocked(endpoint, response)
    return SignInRequired(
        f"{access.forbidden} (HTTP {response.status}){said}; {access.administrator}"
    )


def _blocked(endpoint: str, response: Response) -> SourceUnavailable:
    """A source that is behind a filter is out of reach: waiting or the network's people help."""
    host = host_of(response.url)
    return SourceUnavailable(
        f"{endpoint}: a page came in place of the source's answer ({response.shown}): a filter, a"
        " firewall or a check for bots seems to stand between, and signing in does not help; have"
        f" this machine let through to {host}"
    )


def _sent_elsewhere(endpoint: str, response: Response, access: Access, target: str) -> ScraperError:
    what = f"sent to {redact(target)}, HTTP {response.status}"
    same_origin = origin_of(target) == origin_of(response.url)
    before, after = path_of(response.url), path_of(target)
    if access.has_sign_in_page and after.rstrip("/") == before.rstrip("/"):
        if same_origin and after == before:
            return ContractBroken(f"{endpoint}: it goes in a circle ({what})")
        return UsageError(
            f"{redact(response.url)} has moved to {redact(target)}; set {access.base_setting}"
        )
    if looks_like_filter(host_of(target)):
        return SourceUnavailable(
            f"{endpoint}: {what}: this looks like a filter or a gateway that stands between, where"
            f" signing in to the source does not help; if it is your own sign-in, {access.sign_in}"
        )
    if not access.has_sign_in_page:
        return ContractBroken(
            f"{endpoint}: {redact(response.url)} answered with a redirect ({what}); check"
            f" {access.base_setting}"
        )
    # Another host may be that of a single sign-on, or a gateway's: nothing tells them apart.
    unsure = "" if same_origin else _UNSURE
    return SignInRequired(f"{access.refused} ({what}){unsure}; {access.sign_in}")
