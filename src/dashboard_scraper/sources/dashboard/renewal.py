"""AUTO_RENEW: a run whose session has ended gets a new one from the browser's profile, once."""

from __future__ import annotations

import contextlib
import logging
import threading
from datetime import UTC, datetime

from dashboard_scraper.errors import ScraperError, SignInRequired, SourceUnavailable
from dashboard_scraper.model.dates import utc_day
from dashboard_scraper.sources.dashboard.cookie_auth import Cookies, CookieSession
from dashboard_scraper.sources.dashboard.session_store import session_store
from dashboard_scraper.sources.dashboard.settings import DashboardSettings
from dashboard_scraper.sources.rest.urls import origin_of

logger = logging.getLogger(__name__)


class Renewal:
    """At most one renewal for all threads of a run; none if it is not `allowed`."""

    def __init__(self, settings: DashboardSettings, *, allowed: bool) -> None:
        self._settings = settings
        self._allowed = allowed
        self._lock = threading.Lock()

    def renew(self, session: CookieSession, sent: Cookies, refusal: SignInRequired) -> None:
        """Let the session take over a new one, since the dashboard refused what was `sent`.

        Raises the refusal if it may not, or cannot. A thread that arrives later, with a refusal of
        the old cookies, finds the new ones.
        """
        with self._lock:
            if session.cookies == sent:
                session.take_over(self.instead_of(refusal, sent))

    def instead_of(self, refusal: SignInRequired, sent: Cookies | None = None) -> CookieSession:
        """A new session, already stored, that replaces what was `sent`, if anything; without one,
        raises the refusal with the reason.
        """
        if not self._allowed:
            raise refusal
        self._allowed = False
        # Imported here: hardly any run needs a browser.
        from dashboard_scraper.sources.dashboard.browser_sign_in import (  # noqa: PLC0415
            sign_in_with_browser,
        )

        logger.info("the session is over (%s); AUTO_RENEW opens the browser", refusal)
        today = utc_day(datetime.now(UTC))
        try:
            session = sign_in_with_browser(
                self._settings, today, headless=True, already=lambda: self._stored_instead_of(sent)
            )
        except SourceUnavailable:
            raise
        except ScraperError as error:
            raise SignInRequired(f"{refusal}; AUTO_RENEW did not help: {error}") from error
        logger.info("the browser has renewed the session")
        return session

    def _stored_instead_of(self, sent: Cookies | None) -> CookieSession | None:
        """The session that another process has stored while this one waited for the browser: a run
        and `keep-alive` may notice at the same moment that their session has ended.
        """
        origin = origin_of(self._settings.metrics_api_base_url)
        with contextlib.suppress(SignInRequired):
            stored = CookieSession(session_store(self._settings), origin)
            return None if stored.cookies == sent else stored
        return None
