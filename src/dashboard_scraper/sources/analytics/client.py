"""The analytics source: Augment's official Analytics API, read with a service account's token.

Its limit of requests a minute decides how it is used: two requests tell the totals of up to 90
days, and with them which days have changed, how many pages each has, and what they must sum to.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from dashboard_scraper.decoding import UNDECODABLE
from dashboard_scraper.errors import ContractBroken, NotPublished, UsageError
from dashboard_scraper.model.addresses import Names, came_twice
from dashboard_scraper.model.dates import Window, end_of_day, utc_day
from dashboard_scraper.model.figures import sum_of
from dashboard_scraper.model.listing import listed
from dashboard_scraper.model.metrics import USER_COUNT, Totals
from dashboard_scraper.model.usage import (
    CreditUsage,
    DayUsage,
    EditorLanguageUsage,
    TenantFigure,
    UserUsage,
)
from dashboard_scraper.sources.analytics.answers import (
    COUNTED,
    CREDIT_USAGE,
    DAILY_USAGE,
    DAU_COUNT,
    DAYS_FIELD,
    EDITOR_LANGUAGE,
    IDENTITY,
    USER_ACTIVITY,
    Answer,
    Reading,
    Shape,
    counts_in,
    figures_in,
    identity,
    read_answer,
)
from dashboard_scraper.sources.analytics.info import refuse_unfinished
from dashboard_scraper.sources.analytics.settings import EDITOR_LANGUAGE_REQUESTS, AnalyticsSettings
from dashboard_scraper.sources.analytics.token_auth import HOW_TO_GET_ONE, read_token
from dashboard_scraper.sources.interface import Estimate
from dashboard_scraper.sources.registry import ANALYTICS
from dashboard_scraper.sources.rest.claimed_days import refuse_too_many_days
from dashboard_scraper.sources.rest.derived import Oddities
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.http import Http, Response
from dashboard_scraper.sources.rest.pacing import Pace
from dashboard_scraper.sources.rest.pagination import Page, Paginator, refuse_too_many
from dashboard_scraper.sources.rest.refusals import Access, refuse, refuse_page
from dashboard_scraper.sources.rest.retrying import RetryPolicy
from dashboard_scraper.sources.rest.route import route_to
from dashboard_scraper.sources.rest.statuses import Meaning
from dashboard_scraper.sources.rest.unknown_fields import UnknownFields
from dashboard_scraper.sources.rest.urls import with_params

logger = logging.getLogger(__name__)

_OLDEST = timedelta(days=730)
_DAYS_AT_ONCE = 90  # the longest range that it answers for
_PAGE_SIZE, _CREDIT_PAGE_SIZE = 100, 500
_PREFIX = "/analytics/v0/"
_MESSAGE_LENGTH = 300
_MAX_BODY = 1 << 24  # of a page of 500 records at most; real ones have 100 KB

_USER_ACTIVITY = "user-activity"
_DAILY_USAGE = "daily-usage"
_DAU_COUNT = "dau-count"
_EDITOR_LANGUAGE = "daily-user-activity-by-editor-language"
_CREDIT_USAGE = "credit-usage-by-user"

_NO_USAGE = sum_of(())

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class AnalyticsSource:
    """Reads users' and the organization's figures; usable from several threads.

    Every method that fetches raises SignInRequired, SourceUnavailable or ContractBroken, and
    UsageError or NotPublished, before any request, for days that the API does not have.
    """

    name = ANALYTICS
    has_totals = True
    days_at_once = _DAYS_AT_ONCE

    def __init__(
        self, settings: AnalyticsSettings, pace: Pace, clock: Callable[[], datetime]
    ) -> None:
        self._settings = settings
        self._pace = pace
        self._clock = clock
        policy = RetryPolicy(
            retries=settings.max_retries,
            backoff=settings.retry_backoff_seconds,
            timeout=settings.request_timeout_seconds,
            budget=settings.retry_budget_seconds,
        )
        self._token = read_token(settings)
        route = route_to(settings.analytics_api_base_url, settings.libraries)
        self._http = Http(policy, self._token, settings.max_concurrency, pace, route, _MAX_BODY)
        self._oddities = Oddities()
        self._unknown = UnknownFields()
        self._names = Names()
        self._totals: dict[date, Totals] = {}
        self._fetched: set[date] = set()

    def stop(self) -> None:
        """End requests that wait, from another thread; later calls fail at once."""
        self._http.stop()

    def close(self) -> None:
        """Close the connections, and say what was odd in the answers."""
        self._http.close()
        for each in (self._oddities, self._unknown, self._names):
            each.report()

    @property
    def details(self) -> AnalyticsSource:
        """Editors, languages and credits."""
        return self

    @property
    def editor_language_requests(self) -> int | None:
        """All that it takes, none, or by default so many that a run stays within minutes."""
        wanted = {"true": None, "false": 0, "auto": EDITOR_LANGUAGE_REQUESTS}
        return wanted[self._settings.fetch_editor_language]

    @property
    def credits_wanted(self) -> bool:
        """Whether the settings ask for credits."""
        return self._settings.fetch_credits

    @property
    def requests(self) -> int:
        """How many were sent so far, with those that were tried again."""
        return self._pace.taken

    def published(self, now: datetime) -> Window:
        """Two years, to yesterday or, until the hour at which that is there, to the day before."""
        today = utc_day(now)
        ready = end_of_day(today - timedelta(days=1)) + timedelta(
            hours=self._settings.analytics_ready_hour
        )
        newest = today - timedelta(days=1 if now >= ready else 2)
        return Window(today - _OLDEST, newest)

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

    def prepare(self, days: Collection[date]) -> None:
        """Fetch the organization's totals of all of the days, in as few requests as can be."""
        if days:
            self._check_days(Window(min(days), max(days)))
        for window in _windows(days):
            self._totals |= self._fetch_totals(window)

    def estimate(self, days: Collection[date]) -> Estimate:
        """What fetching days that were prepared will cost."""
        requests = sum(_pages_of(self._totals.get(day, {})) for day in days)
        return Estimate(requests, self._pace.seconds_for(requests))

    def changed_days(self, kept: Mapping[date, Totals]) -> list[date]:
        """Those of the days that were prepared whose totals now are not those that were kept."""
        return sorted(day for day, totals in kept.items() if self._totals[day] != totals)

    def fetch_day(self, day: date) -> DayUsage:
        """Every user's figures of one UTC day; its totals are asked for anew the second time.

        Users are asked for even where all totals are zero: two answers could be wrong together.
        """
        if day in self._fetched or day not in self._totals:
            self._totals[day] = self._fetch_totals(Window(day, day))[day]
        self._fetched.add(day)
        return DayUsage(day, self.fetch_users(Window(day, day)), self._totals[day])

    def fetch_users(self, window: Window) -> list[UserUsage]:
        """Every user's figures, summed by the API over a window of at most 90 days."""
        _check_length(window)
        self._check_days(window)
        found: dict[str, UserUsage] = {}
        spelt: dict[str, str] = {}
        counts = _UserCounts(_USER_ACTIVITY)
        envelope = self._envelope(_USER_ACTIVITY, window)
        for answer in self._pages(USER_ACTIVITY, window, envelope):
            users = [self._user(record, extra, window) for record, extra in answer.records]
            counts.add(answer.user_count, [user.user for user, _ in users])
            for user, spelling in users:
                before = spelt.setdefault(user.user, spelling)
                if found.setdefault(user.user, user) != user:
                    raise came_twice(_USER_ACTIVITY, user.user, before, spelling)
            refuse_too_many(_USER_ACTIVITY, len(found))
        counts.check()
        envelope.check(len(found))
        return [found[name] for name in sorted(found)]

    def _user(self, record: Any, extra: dict[str, Any], window: Window) -> tuple[UserUsage, str]:
        """With the name as it came."""
        name, spelling, service = self._named(_USER_ACTIVITY, record)
        if record.active_days:
            refuse_too_many_days(_USER_ACTIVITY, DAYS_FIELD, name, record.active_days, window)
        return UserUsage(name, figures_in(record), extra, service), spelling

    def _named(self, endpoint: str, record: Any) -> tuple[str, str, bool]:
        """The user's name, as it came too, and whether it is a service account's."""
        field, spelling = identity(endpoint, record)
        name = self._names.taken(endpoint, field, spelling)
        return name, spelling, field != IDENTITY[0]

    def fetch_tenant(self, window: Window) -> list[TenantFigure]:
        """The organization's figures in the window; distinct users are told of single days only."""
        _check_length(window)
        self._check_days(window)
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
        usage = self._by_day(_DAILY_USAGE, DAILY_USAGE, window)
        users = self._by_day(_DAU_COUNT, DAU_COUNT, window)
        if missing := [day for day in window.days() if day not in users]:
            raise ContractBroken(f"{_DAU_COUNT}: {missing[0]} is missing")
        totals = {}
        for day in window.days():
            # A day without activity is left out.
            counts = counts_in(usage[day]) if day in usage else _NO_USAGE
            told = {metric.name: counts[metric] for metric in COUNTED}
            known = {name: count for name, count in told.items() if count is not None}
            totals[day] = {**known, USER_COUNT.name: users[day].user_count}
        return totals

    def _by_day(self, endpoint: str, shape: Shape, window: Window) -> dict[date, Any]:
        envelope = self._envelope(endpoint, window)
        (answer,) = self._pages(shape, window, envelope)
        found: dict[date, Any] = {}
        for record, _extra in answer.records:
            _check_within(endpoint, record.date, window)
            _put(endpoint, found, record.date, record)
        envelope.check(len(found))
        return found

    def estimate_records(self, days: Iterable[float]) -> Estimate:
        """What it costs to fetch days of so many records by editor and language."""
        requests = sum(max(1, math.ceil(records / _PAGE_SIZE)) for records in days)
        return Estimate(requests, self._pace.seconds_for(requests))

    def fetch_editor_languages(self, day: date) -> list[EditorLanguageUsage]:
        """Every user-day of the day by editor and language."""
        window = Window(day, day)
        found: dict[tuple[str, str, str], EditorLanguageUsage] = {}
        counts = _UserCounts(_EDITOR_LANGUAGE)
        envelope = self._envelope(_EDITOR_LANGUAGE, window)
        for answer in self._pages(EDITOR_LANGUAGE, window, envelope):
            names = [self._named(_EDITOR_LANGUAGE, record)[0] for record, _extra in answer.records]
            counts.add(answer.user_count, names)
            for name, (record, _extra) in zip(names, answer.records, strict=True):
                usage = EditorLanguageUsage(name, record.editor, record.language, counts_in(record))
                _put(_EDITOR_LANGUAGE, found, (name, record.editor, record.language), usage)
            refuse_too_many(_EDITOR_LANGUAGE, len(found))
        counts.check()
        envelope.check(len(found))
        return [found[key] for key in sorted(found)]

    def fetch_credits(self, window: Window) -> list[CreditUsage] | None:
        """Every user's credits on each day of the window; None where the endpoint is not there."""
        found: dict[tuple[date, str], CreditUsage] = {}
        counts = _UserCounts(_CREDIT_USAGE)
        envelope = self._envelope(_CREDIT_USAGE, window)
        try:
            for answer in self._pages(CREDIT_USAGE, window, envelope):
                names = [self._named(_CREDIT_USAGE, record)[0] for record, _extra in answer.records]
                counts.add(answer.user_count, names)
                for name, (record, _extra) in zip(names, answer.records, strict=True):
                    _check_within(_CREDIT_USAGE, record.date, window)
                    usage = CreditUsage(record.date, name, record.credits_consumed)
                    _put(_CREDIT_USAGE, found, (record.date, name), usage)
                refuse_too_many(_CREDIT_USAGE, len(found))
        except _Absent:
            return None
        counts.check()
        envelope.check(len(found))
        return list(found.values())

    def check(self) -> None:
        """Prove with one small request that the token is good."""
        day = self.published(self._clock()).end
        self._by_day(_DAU_COUNT, DAU_COUNT, Window(day, day))

    def _envelope(self, endpoint: str, window: Window) -> Envelope:
        return Envelope(endpoint, window, self._clock())

    def _pages(self, shape: Shape, window: Window, envelope: Envelope) -> Iterator[Answer]:
        endpoint = envelope.endpoint
        reading = Reading(endpoint, window, envelope, self._oddities, self._unknown)
        base = self._settings.analytics_api_base_url.rstrip("/")
        first = with_params(f"{base}{_PREFIX}{endpoint}", _parameters(endpoint, window))
        paginator = Paginator(endpoint, first)
        url: str | None = first
        while url is not None:
            answer = read_answer(reading, shape, self._get(endpoint, url).body)
            yield answer
            url = paginator.after(url, Page(answer.raw, shape.key, None, answer.next_cursor))

    def _get(self, endpoint: str, url: str) -> Response:
        response = self._http.get(url)
        if response.meaning is not Meaning.DATA:
            if endpoint == _CREDIT_USAGE and _is_absent(response):
                raise _Absent(f"{endpoint}: HTTP {response.status}")
            said = self._token.hidden_in(_said(response))
            refuse(endpoint, response, _ACCESS, said[:_MESSAGE_LENGTH])
        refuse_page(endpoint, response, _ACCESS)
        return response


def _parameters(endpoint: str, window: Window) -> dict[str, str]:
    days = {"start_date": f"{window.start}", "end_date": f"{window.end}"}
    return {
        _USER_ACTIVITY: {**days, "page_size": f"{_PAGE_SIZE}"},
        _DAILY_USAGE: days,
        _DAU_COUNT: days,
        _EDITOR_LANGUAGE: {"date": f"{window.start}", "page_size": f"{_PAGE_SIZE}"},
        _CREDIT_USAGE: {**days, "by_date": "true", "page_size": f"{_CREDIT_PAGE_SIZE}"},
    }[endpoint]


def _windows(days: Collection[date]) -> Iterator[Window]:
    """As few windows as cover the days, each of at most 90."""
    left = sorted(days)
    while left:
        within = [day for day in left if (day - left[0]).days < _DAYS_AT_ONCE]
        yield Window(within[0], within[-1])
        left = left[len(within) :]


def _pages_of(totals: Totals) -> int:
    return max(1, -(-totals.get(USER_COUNT.name, 0) // _PAGE_SIZE))


def _check_length(window: Window) -> None:
    if len(window) > _DAYS_AT_ONCE:
        raise UsageError(
            f"the Analytics API sums at most {_DAYS_AT_ONCE} days, and {window} are more; ask for"
            " fewer days (LOOKBACK_DAYS, where no dates are given), or for each by itself with"
            " --daily"
        )


def _check_within(endpoint: str, day: date, window: Window) -> None:
    if not window.start <= day <= window.end:
        raise ContractBroken(f"{endpoint}: asked for {window}, answered for {day} too")


def _put(endpoint: str, found: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    """The same record on two pages counts once; another one with the same key is an error."""
    if found.setdefault(key, value) != value:
        names = tuple(map(str, key)) if isinstance(key, tuple) else (str(key),)
        error = ContractBroken(f"{endpoint}: {', '.join(names)} came twice, with two figures")
        error.names = names
        raise error


class _UserCounts:
    """What `returned_user_count` said of each page, and how many users came on it."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._told: list[int | None] = []
        self._here: list[int] = []
        self._new: list[int] = []
        self._entries: list[int] = []
        self._seen: set[str] = set()

    def add(self, told: int | None, names: Sequence[str]) -> None:
        """A page more, whose records have these names."""
        here = set(names)
        self._told.append(told)
        self._here.append(len(here))
        self._new.append(len(here - self._seen))
        self._entries.append(len(names))
        self._seen |= here

    def check(self) -> None:
        """ContractBroken unless it said of each page how many users it has, or how many that no
        page before had, or everywhere how many there are in all. Where each has one entry, one that
        came twice may have been counted twice.
        """
        everywhere = [len(self._seen)] * len(self._told)
        entries = self._entries if self._endpoint == _USER_ACTIVITY else everywhere
        if self._told not in (self._here, self._new, everywhere, entries):
            told = listed(["no number" if n is None else n for n in self._told])
            raise ContractBroken(
                f"{self._endpoint}: metadata.returned_user_count is {told}, and"
                f" {len(self._seen)} users came on {len(self._told)} pages"
            )


class _Absent(ContractBroken):
    """The endpoint is not there, or not for this token."""


def _is_absent(response: Response) -> bool:
    """Not where a page of something between came: that says nothing of the endpoint."""
    return response.status in (403, 404) and response.page is None


_ACCESS = Access(
    refused="the token was refused",
    forbidden="this token may not see the figures",
    sign_in=HOW_TO_GET_ONE,
    administrator=f"as an administrator of an enterprise, {HOW_TO_GET_ONE}",
    base_setting="ANALYTICS_API_BASE_URL",
    has_sign_in_page=False,
    bad_request_is_ours=True,
)


class _Error(msgspec.Struct):
    message: str


class _ErrorBody(msgspec.Struct):
    error: _Error


def _said(response: Response) -> str:
    """The server's own words after a colon, where there are any."""
    try:
        return f": {msgspec.json.decode(response.body, type=_ErrorBody).error.message}"
    except UNDECODABLE:
        return ""
