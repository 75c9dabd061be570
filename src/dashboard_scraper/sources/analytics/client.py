"""The Analytics API as a source: Augment's official API, read with a service account's token.

The rate limit determines how it is used: two requests fetch the totals of up to 90 days. These show
which days have changed, how many pages each day has, and what its users must add up to.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sized
from datetime import date, datetime, timedelta
from typing import Any

import msgspec

from dashboard_scraper.clock import Clock
from dashboard_scraper.errors import ContractBroken, NotPublished, ScraperError, UsageError
from dashboard_scraper.logs import Once
from dashboard_scraper.model.columns import sum_of
from dashboard_scraper.model.dates import Window, end_of_day, utc_day
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.metrics import USER_COUNT, Totals
from dashboard_scraper.model.usage import (
    CreditUsage,
    DayUsage,
    EditorLanguageUsage,
    TenantFigure,
    UserUsage,
)
from dashboard_scraper.sources.analytics.answers import Answer, read_answer
from dashboard_scraper.sources.analytics.costs import AnalyticsCosts
from dashboard_scraper.sources.analytics.endpoints import (
    CREDIT_USAGE,
    DAILY_USAGE,
    DAU_COUNT,
    EDITOR_LANGUAGE,
    PAGE_SIZE,
    USER_ACTIVITY,
    Endpoint,
    Reading,
)
from dashboard_scraper.sources.analytics.fields import (
    COUNTED,
    DAYS_FIELD,
    IDENTITY,
    counts_in,
    figures_in,
    identity,
)
from dashboard_scraper.sources.analytics.info import HISTORY, refuse_unfinished
from dashboard_scraper.sources.analytics.paths import ALLOWED, PREFIX
from dashboard_scraper.sources.analytics.refused import ACCESS, Absent, refused
from dashboard_scraper.sources.analytics.settings import EDITOR_LANGUAGE_REQUESTS, AnalyticsSettings
from dashboard_scraper.sources.analytics.token_auth import read_token
from dashboard_scraper.sources.analytics.user_counts import UserCounts
from dashboard_scraper.sources.interface import CostSource, Estimate
from dashboard_scraper.sources.registry import ANALYTICS
from dashboard_scraper.sources.rest.auth import AllowedRequests
from dashboard_scraper.sources.rest.claimed_days import refuse_too_many_days
from dashboard_scraper.sources.rest.distinct import DistinctUsers, put_distinct
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.http import Response
from dashboard_scraper.sources.rest.pacing import Pace
from dashboard_scraper.sources.rest.pagination import Page, Paginator, refuse_too_many
from dashboard_scraper.sources.rest.source import RestSource
from dashboard_scraper.sources.rest.urls import with_params

logger = logging.getLogger(__name__)

_DAYS_AT_ONCE = 90  # the longest range that it accepts
_MAX_BODY = 1 << 24  # bytes of a page of at most 500 records; real ones have 100 KB
_NO_USAGE = sum_of(())


class AnalyticsSource(RestSource):
    """Reads users' and the organization's figures; usable from several threads.

    Every method that fetches raises SignInRequired, SourceUnavailable or ContractBroken, and,
    before any request, UsageError or NotPublished for days that the API does not have.
    """

    name = ANALYTICS
    has_totals = True
    seats = None
    days_at_once = _DAYS_AT_ONCE

    def __init__(
        self,
        settings: AnalyticsSettings,
        pace: Pace,
        cost_pace: Pace,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._pace = pace
        self._cost_pace = cost_pace
        self._clock = clock
        self._token = read_token(settings)
        self._allowed = AllowedRequests(
            settings.analytics_api_base_url, PREFIX, ALLOWED, self._token
        )
        super().__init__(
            settings,
            settings.analytics_api_base_url,
            self._allowed,
            ACCESS,
            pace=pace,
            max_body=_MAX_BODY,
        )
        self._once = Once(logger)
        self._totals: dict[date, Totals] = {}
        self._fetched: set[date] = set()
        self._costs = AnalyticsCosts(self, settings, clock, self._names, self._unknown)

    @property
    def details(self) -> AnalyticsSource:
        """Editors, languages and credits."""
        return self

    @property
    def costs(self) -> CostSource:
        """Costs and budgets, if the API has them for this token."""
        return self._costs

    @property
    def editor_language_requests(self) -> int | None:
        """Unlimited, none, or by default as many as fit in a run of some minutes."""
        wanted = {"true": None, "false": 0, "auto": EDITOR_LANGUAGE_REQUESTS}
        return wanted[self._settings.fetch_editor_language]

    @property
    def credits_wanted(self) -> bool:
        """Whether the settings ask for credits."""
        return self._settings.fetch_credits

    def published(self, now: datetime) -> Window:
        """From two years ago to yesterday, or to the day before until yesterday is published."""
        today = utc_day(now)
        ready = end_of_day(today - timedelta(days=1)) + timedelta(
            hours=self._settings.analytics_ready_hour
        )
        newest = today - timedelta(days=1 if now >= ready else 2)
        return Window(today - HISTORY, newest)

    def _check_days(self, window: Window) -> None:
        now = self._clock()
        refuse_unfinished(window, utc_day(now))
        published = self.published(now)
        if window.start < published.start:
            raise UsageError(
                f"the Analytics API has figures of the last two years, and none of {window.start};"
                f" begin with {published.start} or later"
            )
        if window.end > published.end:
            raise NotPublished(
                f"the Analytics API has not published {window.end} yet; run it again after"
                f" {self._settings.analytics_ready_hour:02}:00 UTC"
            )

    def prepare(
        self,
        days: Collection[date],
        needed: Collection[date],  # noqa: ARG002
        *,
        compared: bool,  # noqa: ARG002
    ) -> None:
        """Fetch the organization's totals of all the days with as few requests as possible."""
        if days:
            self._check_days(Window(min(days), max(days)))
        for window in _windows(days):
            self._totals |= self._fetch_totals(window)

    def estimate(self, days: Collection[date]) -> Estimate:
        """The cost of fetching days that were prepared."""
        requests = sum(_pages_of(self._totals.get(day, {})) for day in days)
        return Estimate(requests, self._pace.seconds_for(requests))

    def changed_days(self, stored: Mapping[date, Totals]) -> list[date]:
        """The prepared days whose totals now differ from the stored ones."""
        return sorted(day for day, totals in stored.items() if self._totals[day] != totals)

    def fetch_day(self, day: date) -> DayUsage:
        """Every user's figures of one UTC day; a second call fetches its totals again.

        Users are fetched even if all totals are zero: both answers could be wrong together.
        """
        if day in self._fetched or day not in self._totals:
            self._totals[day] = self._fetch_totals(Window(day, day))[day]
        self._fetched.add(day)
        return DayUsage(day, self.fetch_users(Window(day, day)), self._totals[day])

    def fetch_users(self, window: Window) -> list[UserUsage]:
        """Every user's figures, summed by the API over a window of at most 90 days."""
        self.check_window(window)
        endpoint = USER_ACTIVITY.name
        found = DistinctUsers(endpoint)
        for each in self._user_records(USER_ACTIVITY, window, found):
            days = each.record.active_days
            if days:
                refuse_too_many_days(endpoint, DAYS_FIELD, each.name, days, window)
            usage = UserUsage(each.name, figures_in(each.record), each.extra, each.is_service)
            found.add(usage, each.spelling)
        return found.by_name()

    def _user_records(
        self, endpoint: Endpoint, window: Window, found: Sized
    ) -> Iterator[_UserRecord]:
        """Every record over all pages; the caller adds each to `found`.

        After the last record, the numbers that the answer claims are compared with what was found.
        """
        counts = UserCounts(endpoint.name)
        envelope = self._envelope(endpoint, window)
        for answer in self._pages(endpoint, window, envelope):
            records = [self._named(endpoint.name, *pair) for pair in answer.records]
            counts.add(answer.user_count, [each.name for each in records])
            yield from records
            refuse_too_many(endpoint.name, len(found))
        # A user who came twice may also have been counted twice.
        if not counts.check() and endpoint is not USER_ACTIVITY:
            self._once.warn(
                "%s: metadata.returned_user_count is the number of records, not of users; they are"
                " checked against it, and against the users' figures",
                endpoint.name,
            )
        envelope.check(len(found))

    def _named(self, endpoint: str, record: Any, extra: dict[str, Cell]) -> _UserRecord:
        field, spelling = identity(endpoint, record)
        name = self._names.taken(endpoint, field, spelling)
        return _UserRecord(name, spelling, field != IDENTITY[0], record, extra)

    def fetch_tenant(self, window: Window) -> list[TenantFigure]:
        """The organization's figures in the window; the number of users only for a single day.

        The sum of several days' users would count the same user once per day.
        """
        self.check_window(window)
        days = self._fetch_totals(window).values()
        names = {name: None for totals in days for name in totals}
        if window.start != window.end:
            del names[USER_COUNT.name]
        return [
            TenantFigure(window, name, sum(totals[name] for totals in days))
            for name in names
            if all(name in totals for totals in days)
        ]

    def _fetch_totals(self, window: Window) -> dict[date, Totals]:
        """The organization's own figures of each day of a window of at most 90 days."""
        usage = self._by_day(DAILY_USAGE, window)
        users = self._by_day(DAU_COUNT, window)
        if missing := [day for day in window.days() if day not in users]:
            raise ContractBroken(f"{DAU_COUNT.name}: {missing[0]} is missing")
        totals = {}
        for day in window.days():
            # The API leaves out days without activity.
            counts = counts_in(usage[day]) if day in usage else _NO_USAGE
            sent = {metric.name: counts[metric] for metric in COUNTED}
            known = {name: count for name, count in sent.items() if count is not None}
            totals[day] = {**known, USER_COUNT.name: users[day].user_count}
        return totals

    def _by_day(self, endpoint: Endpoint, window: Window) -> dict[date, Any]:
        envelope = self._envelope(endpoint, window)
        (answer,) = self._pages(endpoint, window, envelope)
        found: dict[date, Any] = {}
        for record, _extra in answer.records:
            _check_within(endpoint.name, record.date, window)
            put_distinct(endpoint.name, found, record.date, record)
        envelope.check(len(found))
        return found

    def estimate_records(self, days: Iterable[float]) -> Estimate:
        """The cost of fetching days with these numbers of records by editor and language."""
        requests = sum(max(1, math.ceil(records / PAGE_SIZE)) for records in days)
        return Estimate(requests, self._pace.seconds_for(requests))

    def fetch_editor_languages(self, day: date) -> list[EditorLanguageUsage]:
        """Every user-day of the day by editor and language."""
        found: dict[tuple[str, str, str], EditorLanguageUsage] = {}
        for each in self._user_records(EDITOR_LANGUAGE, Window(day, day), found):
            key = (each.name, each.record.editor, each.record.language)
            usage = EditorLanguageUsage(*key, counts_in(each.record))
            put_distinct(EDITOR_LANGUAGE.name, found, key, usage)
        return [found[key] for key in sorted(found)]

    def fetch_credits(self, window: Window) -> list[CreditUsage] | None:
        """Every user's credits on each day of the window; None if there is no such endpoint."""
        endpoint = CREDIT_USAGE.name
        found: dict[tuple[date, str], CreditUsage] = {}
        try:
            for each in self._user_records(CREDIT_USAGE, window, found):
                day = each.record.date
                _check_within(endpoint, day, window)
                usage = CreditUsage(day, each.name, each.record.credits_consumed)
                put_distinct(endpoint, found, (day, each.name), usage)
        except Absent:
            if found:
                raise  # although it had answered before
            return None
        return list(found.values())

    def check(self) -> None:
        """Prove with one small request that the token is valid."""
        day = self.published(self._clock()).end
        self._by_day(DAU_COUNT, Window(day, day))

    def _envelope(self, endpoint: Endpoint, window: Window) -> Envelope:
        return Envelope(endpoint.name, window, self._clock())

    def _pages(self, endpoint: Endpoint, window: Window, envelope: Envelope) -> Iterator[Answer]:
        name = endpoint.name
        reading = Reading(name, window, envelope, self._oddities, self._unknown)
        pace = self._cost_pace if endpoint is CREDIT_USAGE else self._pace
        first = with_params(self._allowed.url_of(name), endpoint.parameters(window))
        paginator = Paginator(name, first)
        url: str | None = first
        while url is not None:
            answer = read_answer(
                reading, endpoint, self._data(name, self._http.get(url, pace)).body
            )
            yield answer
            url = paginator.after(url, Page(answer.raw, endpoint.key, None, answer.next_cursor))

    def check_window(self, window: Window) -> None:
        """Raise UsageError or NotPublished for a window for which the API has no answer."""
        _check_length(window)
        self._check_days(window)

    def post(self, endpoint: str, query: object) -> bytes | bytearray:
        """The answer to a query about costs or budgets, sent at their pace."""
        url, body = self._allowed.url_of(endpoint), msgspec.json.encode(query)
        return self._data(endpoint, self._http.post(url, body, self._cost_pace)).body

    def _refusal(self, endpoint: str, response: Response) -> ScraperError:
        return refused(endpoint, response, self._token)


class _UserRecord(msgspec.Struct, frozen=True):
    """A record with its user's name, cleaned and as it was sent, and its unknown fields."""

    name: str
    spelling: str
    is_service: bool
    record: Any
    extra: dict[str, Cell]


def _windows(days: Collection[date]) -> Iterator[Window]:
    """The fewest windows of at most 90 days that cover the days."""
    left = sorted(days)
    while left:
        within = [day for day in left if (day - left[0]).days < _DAYS_AT_ONCE]
        yield Window(within[0], within[-1])
        left = left[len(within) :]


def _pages_of(totals: Totals) -> int:
    return max(1, -(-totals.get(USER_COUNT.name, 0) // PAGE_SIZE))


def _check_length(window: Window) -> None:
    if len(window) > _DAYS_AT_ONCE:
        raise UsageError(
            f"the Analytics API sums at most {_DAYS_AT_ONCE} days, and {window} are more; ask for"
            " fewer days (LOOKBACK_DAYS, if no dates are given), or for each separately with"
            " --daily"
        )


def _check_within(endpoint: str, day: date, window: Window) -> None:
    if not window.start <= day <= window.end:
        raise ContractBroken(f"{endpoint}: {window} was requested, the answer has {day} too")
