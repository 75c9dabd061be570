"""Cursor's Admin API as a source: usage per member and day, usage events, spend and members.

A page of daily usage has members, each with a row for every requested day: several days need no
more requests than one, so they are fetched together. The same query without pages returns only
active members; the users' figures must add up to its sums.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta

import msgspec

from dashboard_scraper.clock import Clock
from dashboard_scraper.errors import ContractBroken, NotPublished, ScraperError, UsageError
from dashboard_scraper.logs import Once
from dashboard_scraper.model.dates import Window, end_of_day, is_weekend, pieces_of, utc_day
from dashboard_scraper.model.metrics import USER_COUNT, Totals
from dashboard_scraper.model.seats import Seat
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.sources.cursor.costs import CursorCosts
from dashboard_scraper.sources.cursor.daily_usage import UsageReading
from dashboard_scraper.sources.cursor.fields import SUMMED
from dashboard_scraper.sources.cursor.info import HISTORY, refuse_unfinished
from dashboard_scraper.sources.cursor.members import MemberReading
from dashboard_scraper.sources.cursor.moments import period_of
from dashboard_scraper.sources.cursor.numbered_pages import NumberedPages
from dashboard_scraper.sources.cursor.paths import (
    ALLOWED,
    DAILY_USAGE,
    MEMBERS,
    PREFIX,
    USAGE_EVENTS,
)
from dashboard_scraper.sources.cursor.people_of_day import PeopleOfDay
from dashboard_scraper.sources.cursor.refused import ACCESS, BEGINNINGS, KEY, refused
from dashboard_scraper.sources.cursor.settings import CursorSettings
from dashboard_scraper.sources.interface import CostSource, Estimate
from dashboard_scraper.sources.registry import CURSOR
from dashboard_scraper.sources.rest.auth import AllowedRequests, BasicKey
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.http import Response
from dashboard_scraper.sources.rest.key_file import read_key
from dashboard_scraper.sources.rest.pacing import Pace
from dashboard_scraper.sources.rest.source import RestSource
from dashboard_scraper.sources.summed_days import SummedDays

logger = logging.getLogger(__name__)

_MOST_DAYS = 30  # in one request
_PAGE_SIZE = 500  # members; each brings a row for every day
_ROWS_AT_ONCE = 30_000
"""The most rows in one sweep; as users, they need 30 MB."""
_MEMBERS_TO_ACTIVE = 3
"""How many members are assumed per active one, until a page says how many there are."""
_PROBED_DAYS = 3  # to learn how many rows a day has; at least one is a working day
_SUSPICIOUS_DAYS = 3  # working days without any activity, at the beginning of a window
_MAX_BODY = 1 << 26


class CursorSource(SummedDays, RestSource):
    """Reads one team's usage, costs and seats; usable from several threads.

    Every method that fetches raises SignInRequired, SourceUnavailable or ContractBroken, and,
    before any request, UsageError or NotPublished for days that the API does not have.
    """

    name = CURSOR
    has_totals = True
    details = None
    summed_extra = SUMMED

    def __init__(
        self,
        settings: CursorSettings,
        pace: Pace,
        event_pace: Pace,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._pace = pace
        self._event_pace = event_pace
        self._clock = clock
        self._key = _key_of(settings)
        base = settings.cursor_api_base_url
        self._allowed = AllowedRequests(base, PREFIX, ALLOWED, self._key)
        super().__init__(settings, base, self._allowed, ACCESS, pace=pace, max_body=_MAX_BODY)
        self._once = Once(logger)
        self._costs = CursorCosts(self, settings.wants_costs, clock, self._names, self._unknown)
        self._totals: dict[date, Totals] = {}
        self._without_totals: dict[date, ContractBroken] = {}
        self._needed: list[date] = []
        self._used: set[date] = set()
        self._sweeping = threading.Lock()
        self._swept: dict[date, tuple[datetime, PeopleOfDay]] = {}
        self._members = 0  # each with a row for every day

    @property
    def costs(self) -> CostSource:
        """Tokens and money by model, from usage events."""
        return self._costs

    @property
    def seats(self) -> CursorSource:
        """The team's members."""
        return self

    def published(self, now: datetime) -> Window:
        """From two years ago to yesterday, or to the day before until yesterday is complete."""
        today = utc_day(now)
        ready = end_of_day(today - timedelta(days=1)) + timedelta(
            hours=self._settings.cursor_ready_hour
        )
        return Window(today - HISTORY, today - timedelta(days=1 if now >= ready else 2))

    def prepare(
        self,
        days: Collection[date],
        needed: Collection[date],
        *,
        compared: bool,  # noqa: ARG002
    ) -> None:
        """Fetch the sums of all the days. An error in an answer is raised when one of its days is
        fetched or compared.
        """
        self._needed = sorted(needed)
        if not days:
            return
        oldest, newest = min(days), max(days)
        self._check_days(Window(oldest, newest))
        first = max(oldest, newest - timedelta(days=_PROBED_DAYS - 1))
        rows = self._prepare_totals(Window(first, newest))
        self._members = self._members or _MEMBERS_TO_ACTIVE * rows
        if first > oldest:
            most = max(1, min(_MOST_DAYS, _ROWS_AT_ONCE // max(1, rows)))
            for window in pieces_of(oldest, first - timedelta(days=1), most):
                if any(day in window for day in days):
                    self._prepare_totals(window)
        self._warn_of_lost_days()

    def _warn_of_lost_days(self) -> None:
        """How long the API keeps days is not documented: days that it has lost may look empty."""
        days = sorted(self._totals)
        active = [day for day in days if self._totals[day][USER_COUNT.name]]
        empty = [day for day in days if active and day < active[0]]
        if sum(not is_weekend(day) for day in empty) >= _SUSPICIOUS_DAYS:
            logger.warning(
                "nobody was active from %s to %s: if the team used Cursor then, its API does not"
                " have these days any more, and their figures are wrong",
                empty[0],
                empty[-1],
            )

    def _prepare_totals(self, window: Window) -> int:
        """Fetch the sums of the window's days; returns the number of rows of the busiest day."""
        try:
            found = self._active_members(window)
        except ContractBroken as error:
            logger.warning("%s; its days are fetched one by one", error)
            self._without_totals.update(dict.fromkeys(window.days(), error))
            return _ROWS_AT_ONCE
        self._totals |= {day: people.totals() for day, people in found.items()}
        return max(map(len, found.values()))

    def estimate(self, days: Collection[date]) -> Estimate:
        """The cost of fetching days that were prepared."""
        sweeps = -(-len(days) // _MOST_DAYS)
        requests = sweeps * max(1, -(-self._members // _PAGE_SIZE))
        return Estimate(requests, self._pace.seconds_for(requests))

    def changed_days(self, stored: Mapping[date, Totals]) -> list[date]:
        """The prepared days whose sums now differ from the stored ones."""
        for day in stored:
            if day in self._without_totals and day not in self._totals:
                raise self._without_totals[day]
        return sorted(day for day, totals in stored.items() if self._totals[day] != totals)

    def fetch_day(self, day: date) -> DayUsage:
        """Every member's figures of one UTC day; a second call fetches everything again."""
        self._check_days(Window(day, day))
        if day in self._used or day not in self._totals:
            self._totals[day] = self._active_members(Window(day, day))[day].totals()
        as_of, people = self._people_of(day)
        self._used.add(day)
        return DayUsage(day, people.users(), self._totals[day], as_of=as_of)

    def _people_of(self, day: date) -> tuple[datetime, PeopleOfDay]:
        """The day's members, from a sweep over several days, whose threads wait for it."""
        with self._sweeping:
            if day not in self._swept:
                self._make_room()
                as_of = self._clock()
                found = self._sweep_from(day)
                self._swept.update((each, (as_of, people)) for each, people in found.items())
            return self._swept.pop(day)

    def _make_room(self) -> None:
        """Drop the oldest days that nobody has asked for, beyond what one sweep may hold."""
        while sum(len(people) for _, people in self._swept.values()) > _ROWS_AT_ONCE:
            del self._swept[next(iter(self._swept))]

    def _sweep_from(self, day: date) -> dict[date, PeopleOfDay]:
        """The day, and as many later days as fit that will be fetched too."""
        reach = min(_MOST_DAYS, max(1, _ROWS_AT_ONCE // max(1, self._members)))
        days = [
            each
            for each in self._needed
            if 0 < (each - day).days < reach and each not in (*self._used, *self._swept)
        ]
        try:
            found = self._all_members(Window(day, max([day, *days])))
        except ContractBroken:
            if not days:
                raise
            # One invalid row must not fail the other days.
            return self._all_members(Window(day, day))
        return {each: found[each] for each in (day, *days)}

    def _all_members(self, window: Window) -> dict[date, PeopleOfDay]:
        """Every member's row of every day; ContractBroken if one is missing or came twice."""
        envelope, reading = self._reading(window)
        found = {day: PeopleOfDay() for day in window.days()}
        pages = NumberedPages(DAILY_USAGE, _PAGE_SIZE, "totalUsers")
        accounts: set[str] = set()
        follows = True
        while follows:
            query = {**_days_of(window), "page": pages.number, "pageSize": _PAGE_SIZE}
            page = reading.read(self.post(DAILY_USAGE, query), paged=True)
            if page.claims is None:
                raise ContractBroken(f"{DAILY_USAGE}: the answer has no pages")
            follows = pages.add(page.claims, page.raw)
            for row in page.rows:
                found[row.day].add(row)
                accounts.add(row.account)
            self._members = pages.total or 0
            envelope.count(len(page.rows))
        pages.check(len(accounts))
        envelope.check(len(accounts) * len(window))
        for day, people in found.items():
            if len(people) != len(accounts):
                raise ContractBroken(
                    f"{DAILY_USAGE}: {len(accounts)} members came, and {day} has rows of"
                    f" {len(people)}"
                )
            people.refuse_renamed()
        self._note_contradictions(found)
        return found

    def _active_members(self, window: Window) -> dict[date, PeopleOfDay]:
        """The rows of members who were active in the window: the answer without pages."""
        envelope, reading = self._reading(window)
        page = reading.read(self.post(DAILY_USAGE, _days_of(window)), paged=False)
        found = {day: PeopleOfDay() for day in window.days()}
        for row in page.rows:
            found[row.day].add(row)
        envelope.count(len(page.rows))
        envelope.check(len(page.rows))
        return found

    def _note_contradictions(self, found: Mapping[date, PeopleOfDay]) -> None:
        count = sum(people.contradictions for people in found.values())
        if count:
            self._once.warn(
                "%s: isActive is false in rows with usage; these members count as active",
                DAILY_USAGE,
            )

    def _reading(self, window: Window) -> tuple[Envelope, UsageReading]:
        envelope = Envelope(DAILY_USAGE, window, self._clock())
        return envelope, UsageReading(window, envelope, self._names, self._unknown)

    def _check_days(self, window: Window) -> None:
        now = self._clock()
        refuse_unfinished(window, utc_day(now))
        published = self.published(now)
        if window.start < published.start:
            raise UsageError(
                f"{window.start} is more than two years ago: Cursor may have lost its figures, and"
                f" answer that it was empty; begin with {published.start} or later"
            )
        if window.end > published.end:
            raise NotPublished(
                f"Cursor has not counted all of {window.end} yet; run it again after"
                f" {self._settings.cursor_ready_hour:02}:00 UTC"
            )

    def fetch_seats(self) -> list[Seat]:
        """A seat for each current member, by e-mail address; removed members have none."""
        today = utc_day(self._clock())
        envelope = Envelope(MEMBERS, Window(today, today), self._clock())
        body = self._data(MEMBERS, self._http.get(self._allowed.url_of(MEMBERS))).body
        return MemberReading(envelope, self._names, self._unknown).read(body)

    def check(self) -> None:
        """Prove with one small request that the key is valid."""
        self.fetch_seats()

    def post(self, endpoint: str, query: object) -> bytes | bytearray:
        """The answer to a query, sent at its endpoint's pace."""
        url, body = self._allowed.url_of(endpoint), msgspec.json.encode(query)
        pace = self._event_pace if endpoint == USAGE_EVENTS else self._pace
        return self._data(endpoint, self._http.post(url, body, pace)).body

    def _refusal(self, endpoint: str, response: Response) -> ScraperError:
        return refused(endpoint, response, self._key)


def _days_of(window: Window) -> dict[str, int]:
    start, end = period_of(window)
    return {"startDate": start, "endDate": end}


def _key_of(settings: CursorSettings) -> BasicKey:
    key = read_key(
        KEY,
        settings.cursor_api_key,
        settings.cursor_api_key_file,
        allow_readable=settings.allow_readable_secrets,
    )
    if not key.startswith(BEGINNINGS):
        logger.warning(
            "%s does not begin with %s: keys of other APIs are refused, and so is a user's own key",
            KEY.setting,
            " or ".join(BEGINNINGS),
        )
    return BasicKey(key)
