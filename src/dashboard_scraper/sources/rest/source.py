"""What all sources over HTTP do in the same way: requests, refusals, and reports of odd values."""

from __future__ import annotations

from datetime import UTC, datetime

from requests.auth import AuthBase

from dashboard_scraper.errors import ScraperError
from dashboard_scraper.model.addresses import Names
from dashboard_scraper.sources.rest.bodies import MAX_BODY
from dashboard_scraper.sources.rest.derived import Oddities
from dashboard_scraper.sources.rest.http import Http, Response
from dashboard_scraper.sources.rest.pacing import Pace
from dashboard_scraper.sources.rest.refusals import Access, refusal, refuse_page, refuse_stale
from dashboard_scraper.sources.rest.retrying import RetryPolicy
from dashboard_scraper.sources.rest.route import route_to
from dashboard_scraper.sources.rest.settings import RequestSettings
from dashboard_scraper.sources.rest.statuses import Meaning
from dashboard_scraper.sources.rest.unknown_fields import UnknownFields


def connection(
    settings: RequestSettings,
    url: str,
    auth: AuthBase,
    *,
    pace: Pace | None = None,
    max_body: int = MAX_BODY,
) -> Http:
    """A session for requests to the host of the URL, as the settings say."""
    policy = RetryPolicy(
        retries=settings.max_retries,
        backoff=settings.retry_backoff_seconds,
        timeout=settings.request_timeout_seconds,
        budget=settings.retry_budget_seconds,
    )
    route = route_to(url, settings.libraries)
    return Http(policy, auth, settings.max_concurrency, pace, route, max_body)


class RestSource:
    """The base of sources over HTTP; usable from several threads."""

    def __init__(
        self,
        settings: RequestSettings,
        base_url: str,
        auth: AuthBase,
        access: Access,
        *,
        pace: Pace | None = None,
        max_body: int = MAX_BODY,
    ) -> None:
        self._http = connection(settings, base_url, auth, pace=pace, max_body=max_body)
        self._access = access
        self._oddities = Oddities()
        self._unknown = UnknownFields()
        self._names = Names()

    @property
    def requests(self) -> int:
        """How many were sent so far, including retries."""
        return self._http.sent

    def stop(self) -> None:
        """End waiting requests, from another thread; later calls fail immediately."""
        self._http.stop()

    def close(self) -> None:
        """Close the connections, and report what was odd in the answers."""
        self._http.close()
        for each in (self._oddities, self._unknown, self._names):
            each.report()

    def _get(self, endpoint: str, url: str) -> Response:
        """A response with data; any other raises an error that says what it means to the user."""
        return self._data(endpoint, self._http.get(url))

    def _data(self, endpoint: str, response: Response) -> Response:
        """The response if it has data; any other raises an error that says what it means."""
        if response.meaning is not Meaning.DATA:
            raise self._refusal(endpoint, response)
        refuse_page(endpoint, response, self._access)
        refuse_stale(endpoint, response, datetime.now(UTC))
        return response

    def _refusal(self, endpoint: str, response: Response) -> ScraperError:
        """The error for a response without data; a source that knows more overrides this."""
        return refusal(endpoint, response, self._access)
