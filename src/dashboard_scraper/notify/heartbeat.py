"""Pings a monitor, as defined by healthchecks.io and others: that a run began, and how it ended.

URL/start   the run begins
URL         it succeeded
URL/7       it ended with exit code 7
"""

from __future__ import annotations

import contextlib
import logging
from urllib.parse import urlsplit, urlunsplit

import msgspec

from dashboard_scraper.errors import NotNotified, ScraperError, UsageError
from dashboard_scraper.settings.library_settings import Libraries
from dashboard_scraper.sources.rest.auth import NoAuth
from dashboard_scraper.sources.rest.http import Http, Response
from dashboard_scraper.sources.rest.retrying import RetryPolicy
from dashboard_scraper.sources.rest.route import route_to
from dashboard_scraper.sources.rest.urls import host_of

logger = logging.getLogger(__name__)

_START = "start"
# A monitor that does not answer must not delay a run, nor the end of one that was terminated.
_BUDGET, _BUDGET_AT_END = 10.0, 3.0
_TIMEOUT = 5.0
_MOST_RETRIES = 2


class Heartbeat(msgspec.Struct, frozen=True):
    """Pings of one URL, through the same proxy and with the same certificates as the sources."""

    url: str
    libraries: Libraries
    timeout: float
    retries: int
    backoff: float

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")) or not host_of(self.url):
            raise UsageError("HEARTBEAT_URL: write it with https:// and a host")

    def started(self) -> None:
        """Say that a run begins."""
        self._try(_START)

    def ended(self, exit_code: int, *, hurry: bool = False) -> None:
        """Say how the run ended; in a `hurry`, with one short attempt."""
        self._try(f"{exit_code}" if exit_code else "", hurry=hurry)

    def _try(self, word: str, *, hurry: bool = False) -> None:
        try:
            self.ping(word, hurry=hurry)
        except ScraperError as error:
            logger.warning("the heartbeat was not sent: %s", error)

    def ping(self, word: str = "", *, hurry: bool = False) -> None:
        """Send one ping; raises what `Http` raises, and NotNotified unless it succeeds."""
        retries = 0 if hurry else min(self.retries, _MOST_RETRIES)
        budget = _BUDGET_AT_END if hurry else _BUDGET
        policy = RetryPolicy(retries, self.backoff, min(self.timeout, budget, _TIMEOUT), budget)
        url = _with_word(self.url, word)
        http = Http(policy, NoAuth(), 1, route=route_to(url, self.libraries), shown=host_of)
        with contextlib.closing(http):
            # The content of the answer does not matter, and may be empty.
            _require_success(http.stream(url, lambda _response, _pieces: None))


def _with_word(url: str, word: str) -> str:
    """The URL with a word after its path, before its query."""
    parts = urlsplit(url)
    path = f"{parts.path.rstrip('/')}/{word}" if word else parts.path
    return urlunsplit(parts._replace(path=path))


def _require_success(response: Response) -> None:
    if not 200 <= response.status < 300:
        raise NotNotified(
            f"HTTP {response.status} from {host_of(response.url)}; check HEARTBEAT_URL"
        )
