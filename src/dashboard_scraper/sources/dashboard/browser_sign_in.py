"""Signing in with a browser: wait until it has a session that works, and store this session.

The person signs in within the browser, or the identity provider still remembers them. This program
only asks which host the browser shows, and for the dashboard's session cookie.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

import msgspec

from dashboard_scraper.browser.finding import find_browser
from dashboard_scraper.browser.profile import locked_profile
from dashboard_scraper.browser.window import Cookie, Window, WindowClosed, open_window
from dashboard_scraper.errors import ScraperError, SignInRequired
from dashboard_scraper.sources.dashboard.cookie_auth import (
    SESSION_COOKIE,
    Cookies,
    CookieSession,
)
from dashboard_scraper.sources.dashboard.info import check_session
from dashboard_scraper.sources.dashboard.session_store import session_store
from dashboard_scraper.sources.dashboard.settings import DashboardSettings
from dashboard_scraper.sources.rest.urls import host_of, origin_of, path_of

logger = logging.getLogger(__name__)

_PROFILE = "browser"
_START_SECONDS = 30.0
_ALONE_SECONDS = 8.0  # from its start; it is closed within the ten seconds that are documented
_LOOK_SECONDS = 1.0  # between two looks if no page changes: a new cookie alone causes no event
_REPORT_SECONDS = 60.0
_PASTE = "paste the cookie with dashboard-scraper --auth"
_IN_THE_WINDOW = "sign in with a window: dashboard-scraper --auth --browser"

# The pages on which identity providers refuse an automated browser: Google's.
_REFUSALS = ("/signin/rejected",)


def profile_of(settings: DashboardSettings) -> Path:
    """The folder of the browser's profile, beside COOKIE_FILE."""
    return settings.cookie_file.parent / _PROFILE


def sign_in_with_browser(
    settings: DashboardSettings,
    today: date,
    *,
    headless: bool,
    already: Callable[[], CookieSession | None] = lambda: None,
) -> CookieSession:
    """Open the browser at the dashboard until it has a session that works; store and return it.

    SignInRequired if it gets none: time is up, the window was closed, or the browser is `headless`
    and the identity provider asks for something. LockHeld if the profile is in use. A `headless`
    browser waits for another process that uses the profile, and then uses the session that
    `already` returns, if any.
    """
    began = time.monotonic()
    program, profile = find_browser(settings.browser_path), profile_of(settings)
    seconds = settings.sign_in_timeout_seconds
    if headless:
        seconds = min(seconds, _ALONE_SECONDS)
    with locked_profile(profile, seconds if headless else 0):
        if session := already():
            return session
        with open_window(
            program,
            profile,
            settings.metrics_api_base_url,
            _without_secrets(settings, os.environ),
            headless=headless,
            seconds=min(seconds, _START_SECONDS),
        ) as window:
            try:
                return _Wait(settings, today, window, headless, began, seconds).session()
            except WindowClosed as error:
                raise SignInRequired(_closed(crashed=error.crashed)) from None


def _closed(*, crashed: bool) -> str:
    what = "the browser ended unexpectedly" if crashed else "the browser was closed"
    return f"{what} before there was a session; try again, or {_PASTE}"


def _without_secrets(settings: DashboardSettings, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without this program's settings, which include tokens."""
    ours = {name.upper() for name in type(settings).model_fields}
    return {name: value for name, value in environment.items() if name.upper() not in ours}


class _Wait(msgspec.Struct):
    """Looks at the browser's pages until the dashboard accepts a cookie that they left.

    It ends `seconds` after it `began`, by the monotonic clock.
    """

    settings: DashboardSettings
    today: date
    window: Window
    headless: bool
    began: float
    seconds: float
    tried: set[tuple[str, ...]] = set()

    def session(self) -> CookieSession:
        """The session, stored; SignInRequired when time is up."""
        report_after = 0.0
        while True:
            pages = self.window.pages()
            _refuse_refusal(pages, self._origin)
            session = self._working(pages)
            if session is not None:
                session.store()
                return session
            waited = time.monotonic() - self.began
            if waited >= self.seconds:
                raise SignInRequired(self._late(pages))
            if not self.headless and waited >= report_after:
                report_after = waited + _REPORT_SECONDS
                logger.info(
                    "sign in in the browser's window, which shows %s; waiting for at most %.0f"
                    " seconds more",
                    _hosts(pages),
                    self.seconds - waited,
                )
            self.window.wait(min(_LOOK_SECONDS, self.seconds - waited))

    @property
    def _origin(self) -> str:
        return origin_of(self.settings.metrics_api_base_url)

    def _working(self, pages: list[str]) -> CookieSession | None:
        """A session that the dashboard has accepted; each cookie is tried once per page."""
        here = [page for page in pages if origin_of(page) == self._origin]
        cookies = self._cookies() if here else {}
        tried = (*cookies.values(), *sorted(here))
        if not cookies or tried in self.tried:
            return None
        self.tried.add(tried)
        session = CookieSession(session_store(self.settings), self._origin, cookies)
        try:
            check_session(self.settings, self.today, session)
        except SignInRequired as error:
            logger.info("the dashboard does not accept the session of this page: %s", error)
            return None
        except ScraperError as error:
            raise type(error)(
                f"the browser's session could not be tried and was not saved: {error}"
            ) from error
        return session

    def _cookies(self) -> Cookies:
        url = self.settings.metrics_api_base_url
        found = self.window.cookies(url, (SESSION_COOKIE,))
        own = [cookie for cookie in found if _is_of(cookie, self._origin)]
        # Cookies with the longest path come first, as browsers send them.
        own.sort(key=lambda cookie: -len(cookie.path))
        return {cookie.name: cookie.value for cookie in own[:1] if cookie.value}

    def _late(self, pages: list[str]) -> str:
        where = _hosts(pages)
        if self.headless:
            return (
                f"the browser got no session that works, and stopped at {where}, which seems to ask"
                f" for something; {_IN_THE_WINDOW}; or {_PASTE}"
            )
        return (
            f"nobody signed in within SIGN_IN_TIMEOUT_SECONDS={self.seconds:g}; the window showed"
            f" {where}. If it refuses this browser, {_PASTE}"
        )


def _is_of(cookie: Cookie, origin: str) -> bool:
    """Whether the origin set the cookie: all ports and schemes of a host share their cookies."""
    scheme, _, rest = origin.partition("://")
    host, _, port = rest.rpartition(":")
    domain = cookie.domain.lower()
    return (
        (domain == host or (domain.startswith(".") and f".{host}".endswith(domain)))
        and cookie.source_port in (-1, int(port))
        and cookie.source_scheme in ("Unset", "Secure" if scheme == "https" else "NonSecure")
    )


def _refuse_refusal(pages: list[str], origin: str) -> None:
    for page in pages:
        if origin_of(page) != origin and path_of(page).endswith(_REFUSALS):
            raise SignInRequired(
                f"{host_of(page)} refuses to sign in within a browser that a program has started;"
                f" {_PASTE}"
            )


def _hosts(pages: list[str]) -> str:
    """The hosts of the pages. Not their URLs, which may contain secrets of the sign-in."""
    return ", ".join(sorted({host_of(page) or "an empty page" for page in pages}))
