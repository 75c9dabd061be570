"""AUTO_RENEW: a run whose session is over gets a new one from the browser's profile, once."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime

from dashboard_scraper.errors import ScraperError, SignInRequired, SourceUnavailable
from dashboard_scraper.model.dates import utc_day
from dashboard_scraper.sources.dashboard.cookie_auth import Cookies, CookieSession
from dashboard_scraper.sources.dashboard.settings import DashboardSettings

logger = logging.getLogger(__name__)


class Renewal:
    """At most one renewal for all threads of a run; none if it is not `allowed`."""

    def __init__(self, settings: DashboardSettings, *, allowed: bool) -> None:
        self._settings = settings
        self._allowed = allowed
        self._lock = threading.Lock()

    def renew(self, session: CookieSession, sent: Cookies, refusal: SignInRequired) -> None:
        """Let the session take over a new one, since the dashboard refused what was `sent`.

        Raises the refusal where it may not, or cannot. A thread that comes later, with a refusal
        of the old cookies, finds the new ones.
        """
        with self._lock:
            if session.cookies == sent:
                session.take_over(self.instead_of(refusal))

    def instead_of(self, refusal: SignInRequired) -> CookieSession:
        """A new session, stored; raises the refusal, with the reason, where there is none."""
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
            session = sign_in_with_browser(self._settings, today, headless=True)
        except SourceUnavailable:
            raise
        except ScraperError as error:
            raise SignInRequired(f"{refusal}; AUTO_RENEW did not help: {error}") from error
        logger.info("the browser has renewed the session")
        return session
