"""Claude Code's usage report in the Claude Console as a source: one request per day, in pages.

It is known to leave out people who sign in with a subscription; there is nothing of the same scope
against which to close it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta

from requests import PreparedRequest

from dashboard_scraper.clock import Clock
from dashboard_scraper.errors import ContractBroken, NotPublished, ScraperError, UsageError
from dashboard_scraper.model.dates import Window, utc_day
from dashboard_scraper.model.listing import listed_days
from dashboard_scraper.model.metrics import Totals
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.sources.claude_code.answers import ENDPOINT, MORE, RECORDS, Reading, Record
from dashboard_scraper.sources.claude_code.costs import ClaudeCodeCosts
from dashboard_scraper.sources.claude_code.days import ReportedDay, Who, day_of
from dashboard_scraper.sources.claude_code.fields import is_count
from dashboard_scraper.sources.claude_code.info import LEAVES_OUT, refuse_unfinished
from dashboard_scraper.sources.claude_code.refused import ACCESS, message_in
from dashboard_scraper.sources.claude_code.settings import ClaudeCodeSettings
from dashboard_scraper.sources.interface import Estimate
from dashboard_scraper.sources.registry import CLAUDE_CODE
from dashboard_scraper.sources.rest.auth import AllowedRequests, HeaderKey
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.http import Response
from dashboard_scraper.sources.rest.key_file import KeyWords, read_key
from dashboard_scraper.sources.rest.pacing import Pace
from dashboard_scraper.sources.rest.pagination import Page, Paginator, refuse_too_many
from dashboard_scraper.sources.rest.refusals import refusal
from dashboard_scraper.sources.rest.source import RestSource
from dashboard_scraper.sources.rest.urls import with_params
from dashboard_scraper.sources.summed_days import SummedDays

logger = logging.getLogger(__name__)

PREFIX = "/v1/organizations/usage_report/"
_ALLOWED = {ENDPOINT: "GET"}  # an Admin key may also invite people and delete keys
_VERSION = "2023-06-01"
PAGE_SIZE = 1000
_MAX_BODY = 1 << 25  # bytes of a page of at most 1000 records; real ones have 1 MB
_LATE = timedelta(hours=1)
"""An answer has only data older than this, so a day is complete this long after its end."""
_FIRST = date(2025, 2, 24)
"""The day on which Claude Code was released: earlier days have no figures."""


class ConsoleKey(HeaderKey):
    """Adds the Admin key, and the API version that this program knows."""

    def __init__(self, key: str) -> None:
        super().__init__("x-api-key", key)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["anthropic-version"] = _VERSION
        return super().__call__(request)


class ClaudeCodeSource(SummedDays, RestSource):
    """Reads the figures of people and API keys; usable from several threads.

    Every method that fetches raises SignInRequired, SourceUnavailable or ContractBroken, and,
    before any request, UsageError or NotPublished for days that the report does not have.
    """

    name = CLAUDE_CODE
    details = None
    seats = None
    has_totals = False

    def __init__(self, settings: ClaudeCodeSettings, pace: Pace, clock: Clock) -> None:
        self._pace = pace
        self._clock = clock
        self._key = _key_of(settings)
        self._allowed = AllowedRequests(
            settings.claude_code_api_base_url, PREFIX, _ALLOWED, self._key
        )
        super().__init__(
            settings,
            settings.claude_code_api_base_url,
            self._allowed,
            ACCESS,
            pace=pace,
            max_body=_MAX_BODY,
        )
        self._who: dict[date, Who] = {}
        self.costs = ClaudeCodeCosts(self._reported, wanted=settings.wants_costs)

    def published(self, now: datetime) -> Window:
        """Every day since Claude Code exists, up to the last one that ended over an hour ago."""
        return Window(_FIRST, utc_day(now - _LATE) - timedelta(days=1))

    def prepare(
        self,
        days: Collection[date],
        needed: Collection[date],  # noqa: ARG002
        *,
        compared: bool,  # noqa: ARG002
    ) -> None:
        """Fetches nothing, since no request covers several days. UsageError if a day is too old."""
        for day in days:
            self._check_day(day)

    def estimate(self, days: Collection[date]) -> Estimate:
        """One request per day, or more for over a thousand records."""
        return Estimate(len(days), self._pace.seconds_for(len(days)))

    def changed_days(self, stored: Mapping[date, Totals]) -> list[date]:  # noqa: ARG002
        """None: the report has no totals."""
        return []

    def fetch_day(self, day: date) -> DayUsage:
        """Every actor's figures of one UTC day; the day's costs are kept for `costs`."""
        reported = self._reported(day)
        self.costs.keep(reported.costs)
        return reported.usage

    def is_count(self, name: str) -> bool:
        """Whether a field beside the metrics adds up over days."""
        return is_count(name)

    def check(self) -> None:
        """Prove with one small request that the key is valid."""
        day = self.published(self._clock()).end
        self._get(ENDPOINT, self._url(day, 1))

    def close(self) -> None:
        """Close it, and report the days whose answers may leave people out."""
        super().close()
        if empty := self._days(Who.NOBODY):
            logger.warning("%s: the report has no record of anybody; %s", listed_days(empty), _WHY)
        if by_use := self._days(Who.BY_USE):
            logger.info("%s: everybody in the report pays by use; %s", listed_days(by_use), _WHY)

    def _days(self, who: Who) -> list[date]:
        return sorted(day for day, found in self._who.items() if found is who)

    def _reported(self, day: date) -> ReportedDay:
        self._check_day(day)
        reported = day_of(day, self._records(day), self._unknown)
        self._who[day] = reported.who
        return reported

    def _check_day(self, day: date) -> None:
        now = self._clock()
        refuse_unfinished(Window(day, day), utc_day(now))
        published = self.published(now)
        if day < published.start:
            raise UsageError(
                f"there was no Claude Code on {day}; begin with {published.start} or later"
            )
        if day > published.end:
            raise NotPublished(
                f"Claude Code's report of {day} is not complete yet; run it again after 01:00 UTC"
            )

    def _records(self, day: date) -> list[Record]:
        """The records of all pages."""
        envelope = Envelope(ENDPOINT, Window(day, day), self._clock())
        reading = Reading(day, envelope, self._names)
        first = self._url(day, PAGE_SIZE)
        # The URLs stand for the pages: it refuses a repeated page or cursor, and too many pages.
        paginator = Paginator(ENDPOINT, first)
        found: list[Record] = []
        url = first
        while True:
            page = reading.read(self._get(ENDPOINT, url).body)
            if url != first and not page.records:
                raise ContractBroken(
                    f"{ENDPOINT}: {RECORDS} is empty, but the page before said that there are more"
                    f" records ({MORE})"
                )
            found += page.records
            refuse_too_many(ENDPOINT, len(found))
            following = Page(page.raw, RECORDS, None, page.next_page)
            if page.next_page is None:
                paginator.after(first, following)
                break
            paginator.after(first, following)
            url = with_params(first, {ACCESS.cursor: page.next_page})
        envelope.check(len(found))
        return found

    def _url(self, day: date, limit: int) -> str:
        parameters = {"starting_at": f"{day}", "limit": f"{limit}"}
        return with_params(self._allowed.url_of(ENDPOINT), parameters)

    def _refusal(self, endpoint: str, response: Response) -> ScraperError:
        message = self._key.redacted_in(message_in(response))
        return refusal(endpoint, response, ACCESS, message)


_WHY = f"it leaves out {LEAVES_OUT}, so there may have been more (docs/claude-code.md)"


def _key_of(settings: ClaudeCodeSettings) -> ConsoleKey:
    key = read_key(
        KeyWords("CLAUDE_CODE_API_KEY", "key", "the Claude Code Analytics API", ACCESS.sign_in),
        settings.claude_code_api_key,
        settings.claude_code_api_key_file,
        allow_readable=settings.allow_readable_secrets,
    )
    return ConsoleKey(key)
