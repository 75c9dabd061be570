"""Signs in with a pasted cookie or in a browser, and removes the session and the profile."""

from __future__ import annotations

import logging
import sys
from datetime import date

from dashboard_scraper.cli.terminal import read_hidden
from dashboard_scraper.errors import ScraperError, SignInRequired, UsageError
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.sources.dashboard.cookie_auth import (
    SESSION_COOKIE,
    SESSION_OVER,
    SIGN_IN,
    SIGN_IN_AGAIN,
    Cookies,
    CookieSession,
)
from dashboard_scraper.sources.dashboard.cookie_paste import parse_paste
from dashboard_scraper.sources.dashboard.info import check_session
from dashboard_scraper.sources.dashboard.session_store import session_store
from dashboard_scraper.sources.rest.urls import host_of, origin_of

logger = logging.getLogger(__name__)

_PASTE_LIMIT = 1 << 20

_HOW_TO_SIGN_IN = f"""\
How to sign in:
  1. Open {{base_url}} in your browser and log in.
  2. Open the developer tools (F12, or Cmd+Option+I), and there
     Application > Cookies > the dashboard (in Firefox: Storage > Cookies).
  3. Copy the value of the cookie {SESSION_COOKIE}.
  4. Paste it here and press Enter. It is not shown.
Also accepted: {SESSION_COOKIE}=VALUE, a whole Cookie header, JSON, a row of the cookie table, a
line of a cookies.txt, and "Copy as cURL", "as PowerShell" or "as fetch (Node.js)".
"""


def sign_in(settings: Settings, today: date, *, check: bool) -> None:
    """Read a session from the terminal or stdin, try it, and store it."""
    if sys.stdin is None:
        raise UsageError("standard input is closed; pipe the cookie in, or use a terminal")
    if sys.stdin.isatty():
        sys.stderr.write(_HOW_TO_SIGN_IN.format(base_url=settings.metrics_api_base_url))
        text = read_hidden("Session cookie: ")
    else:
        text = _read_piped()
    cookies = parse_paste(text, host_of(settings.metrics_api_base_url))
    store_session(settings, cookies, today, check=check)


def sign_in_in_browser(settings: Settings, today: date, *, headless: bool) -> None:
    """Store the session of a browser in which somebody signs in, or did before (`headless`)."""
    # Imported here, since pasting needs no browser.
    from dashboard_scraper.sources.dashboard.browser_sign_in import (  # noqa: PLC0415
        sign_in_with_browser,
    )

    sign_in_with_browser(settings, today, headless=headless)
    logger.info("the session is saved in %s", session_store(settings))


def forget_sign_in(settings: Settings) -> None:
    """Remove the stored session and the browser's profile, if they exist."""
    from dashboard_scraper.browser.profile import remove_profile  # noqa: PLC0415
    from dashboard_scraper.sources.dashboard.browser_sign_in import profile_of  # noqa: PLC0415

    profile, place = profile_of(settings), session_store(settings)
    had_profile = remove_profile(profile)
    for had, what, where in (
        (place.delete(), "session", str(place)),
        (had_profile, "browser's profile", str(profile)),
    ):
        logger.info("the %s %s: %s", what, "was removed" if had else "was not there", where)


def store_session(settings: Settings, cookies: Cookies, today: date, *, check: bool) -> None:
    """Replace the stored session; with `check`, only if the dashboard accepts this one."""
    origin = origin_of(settings.metrics_api_base_url)
    place = session_store(settings)
    session = CookieSession(place, origin, cookies)
    if check:
        _try(settings, session, today, "; the stored one stays" if place.exists() else "")
    session.store()
    logger.info("the session is saved in %s", place)


def _try(settings: Settings, session: CookieSession, today: date, stays: str) -> None:
    """Raise what `check_session` raises, saying that the pasted session was not saved."""
    try:
        check_session(settings, today, session)
    except SignInRequired as error:
        reason = f"{error}".replace(SESSION_OVER, "the dashboard does not accept it")
        reason = reason.replace(SIGN_IN_AGAIN, SIGN_IN)
        raise SignInRequired(f"the pasted session was not saved{stays}: {reason}") from error
    except ScraperError as error:
        raise type(error)(
            f"the pasted session could not be tried and was not saved{stays}: {error};"
            " --auth --no-check saves it without trying"
        ) from error


def _read_piped() -> str:
    data = sys.stdin.buffer.read(_PASTE_LIMIT + 1)
    if len(data) > _PASTE_LIMIT:
        raise UsageError("standard input is too long for a cookie; pipe in only the cookie")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError("standard input is not text; copy the cookie again") from None
