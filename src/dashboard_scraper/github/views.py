"""GitHub's reports of the store's current state, for `serve`; may be called from any thread."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Generator, Hashable, Iterator, Mapping
from datetime import date, datetime, timedelta
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from dashboard_scraper.clock import Clock
from dashboard_scraper.errors import DaysMissing
from dashboard_scraper.github.caveats import Caveats, days_before
from dashboard_scraper.github.kinds import GithubOptions, Report, Scope, Subject
from dashboard_scraper.github.objects import Organization
from dashboard_scraper.github.recorded import (
    RecordedReports,
    recorded_persons,
    unrecorded,
)
from dashboard_scraper.github.reports import NEEDS, GithubReports, persons_in
from dashboard_scraper.github.seats import Seat, seats_in
from dashboard_scraper.logs import Once
from dashboard_scraper.model.dates import (
    DAYS,
    Window,
    end_of_day,
    newest_over,
    start_of_day,
    utc_day,
)
from dashboard_scraper.model.doubts import Doubt, doubts_in
from dashboard_scraper.model.listing import listed_days
from dashboard_scraper.model.tolerance import EXACT, Tolerance
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.identity import Persons, members_of_teams, sha256_user_id
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.store import CostLedgerDay, LedgerDay
from dashboard_scraper.store.cache import CachedView, StoreCache
from dashboard_scraper.store.cost_status import newest_closed
from dashboard_scraper.store.notices import Notice
from dashboard_scraper.store.settling import Settling
from dashboard_scraper.store.status import StoreStatus, status_of

logger = logging.getLogger(__name__)

T = TypeVar("T")

_Ledger = Mapping[date, LedgerDay]
_Chunks = Generator[bytes, None, None]
_USER_DAYS_IN_PART = 10_000
"""At 4 KB each, 40 MB."""


class Download(msgspec.Struct, frozen=True):
    """A report in chunks; the caveats are filled in before the first chunk."""

    chunks: _Chunks
    caveats: Caveats


class SeatList(NamedTuple):
    """Everybody's seat by login, and the window of the latest 28 days with its caveats."""

    seats: list[Seat]
    window: Window
    caveats: Caveats


class GithubViews:
    """The reports, seats and status of one source; DaysMissing if the store lacks their days."""

    def __init__(
        self,
        cache: StoreCache,
        source: str,
        audience: Audience,
        options: GithubOptions,
        settling: Settling,
        clock: Clock,
        tolerance: Tolerance = EXACT,
    ) -> None:
        self._tolerance = tolerance
        self._cache = cache
        self._source = source
        self._audience = audience
        self._options = options
        self._settling = settling
        self._clock = clock
        self._once = Once(logger)
        self._info = info_of(source)
        self._unmet = None if self._info.has_records else NEEDS.unmet(self._info)
        self.teams = members_of_teams(audience.identities)

    def of_day(
        self, scope: Scope, subject: Subject, day: date, *, merge_ides: bool | None = None
    ) -> tuple[Report, Caveats]:
        """A report of one day, and its caveats; `merge_ides` overrides the options."""
        report = self._report(scope, subject, Window(day, day), merge_ides, latest=False)
        return report, self._checked(report, self._cache)

    def latest(
        self, scope: Scope, subject: Subject, *, merge_ides: bool | None = None
    ) -> tuple[Report, Caveats]:
        """The report of the 28 days up to the newest completed stored day, and its caveats."""
        ledger = self._ledger(self._cache)
        window = self._latest_window(ledger)
        report = self._report(scope, subject, window, merge_ides, latest=True)
        return report, self._checked(report, self._cache)

    def _report(
        self, scope: Scope, subject: Subject, days: Window, merge: bool | None, *, latest: bool
    ) -> Report:
        merged = self._options.merge_ides if merge is None else merge
        # Records that came from GitHub are passed on as they are.
        is_merged = merged and subject is Subject.WHOLE and not self._info.has_records
        return Report(scope, subject, days, latest=latest, merge_ides=is_merged)

    def parts_of(self, report: Report) -> list[Report]:
        """A report on users in parts of at most 10,000 user-days, or of a single day; others as
        they are.

        A browser cannot hold a large company's users of a month in one text.
        """
        if report.subject is not Subject.USERS:
            return [report]
        ledger = self._ledger(self._cache)
        parts, start, rows = [], report.window.start, 0
        for day in report.window.days():
            users = ledger[day].users if day in ledger else 0
            if rows and rows + users > _USER_DAYS_IN_PART:
                parts.append(Window(start, day - timedelta(days=1)))
                start, rows = day, 0
            rows += users
        parts.append(Window(start, report.window.end))
        return [replace(report, part=part) for part in parts] if len(parts) > 1 else [report]

    def _latest_window(self, ledger: Collection[date]) -> Window:
        today = utc_day(self._clock())
        end = newest_over(ledger, today)
        if not end:
            raise DaysMissing("no day has been fetched yet")
        return Window(end - timedelta(days=DAYS - 1), end)

    def _checked(self, report: Report, values: CachedView | StoreCache) -> Caveats:
        """The caveats of the report's days; DaysMissing if there is no such report."""
        if unmet := self._unmet:
            self._once.warn("not served: %s", unmet.reason)
            raise DaysMissing(unmet.reason)
        # GitHub's own records name the organization themselves.
        named = self._info.has_records or self._options.organization_id
        if report.scope is Scope.ORGANIZATION and not named:
            raise DaysMissing("ORGANIZATION_ID is not set: there are no reports of an organization")
        if report.subject is Subject.TEAMS and not self._audience.has_teams:
            hidden = self._audience.anonymous
            why = "with pseudonyms, no team is shown" if hidden else "IDENTITY_FILE names no teams"
            raise DaysMissing(f"{why}: there are no reports of them")
        ledger = self._ledger(values)
        missing = [day for day in report.days.days() if day not in ledger]
        if len(missing) == len(report.days):
            raise DaysMissing(f"days that have not been fetched: {listed_days(missing)}")
        if self._info.has_records:
            missing, absence = self._known(
                values, ("missing", report), partial(self._missing_in, report)
            )
            if absence:
                self._once.warn("not served: %s", absence)
                raise DaysMissing(absence)
        if missing:
            self._once.warn(
                "the report of the latest 28 days is served without days that have not been"
                " fetched: %s",
                listed_days(missing),
            )
        return Caveats(self._doubts(ledger, report.days), missing, *self._earlier(report, ledger))

    def _earlier(self, report: Report, ledger: _Ledger) -> tuple[list[Doubt], list[date]]:
        """The doubts about earlier days, and those that are missing. Reports on teams have no such
        counts, and those in GitHub's own records are GitHub's.
        """
        if report.subject is Subject.TEAMS or self._info.has_records:
            return [], []
        days = days_before(report.days.start)
        missing = [day for day in days.days() if day not in ledger]
        return self._doubts(ledger, days), missing

    def _doubts(self, ledger: _Ledger, window: Window) -> list[Doubt]:
        days = (ledger[day] for day in window.days() if day in ledger)
        return doubts_in(days, self._tolerance)

    def download(self, report: Report) -> Download:
        """The report from a snapshot taken at the first chunk, however long the download takes."""
        caveats = Caveats()
        return Download(self._chunks(report, caveats), caveats)

    def _chunks(self, report: Report, caveats: Caveats) -> _Chunks:
        if report.subject is Subject.WHOLE:  # a single small object, but making it reads a lot
            found, content = self._known(self._cache, report, partial(self._whole, report))
            caveats.add(found)
            yield content
            return
        with self._cache.view() as view:
            caveats.add(self._checked(report, view))
            yield from self._written(report, view)

    def _whole(self, report: Report, view: CachedView) -> tuple[Caveats, bytes]:
        caveats = self._checked(report, view)
        return caveats, b"".join(self._written(report, view))

    def _written(self, report: Report, view: CachedView) -> Iterator[bytes]:
        reports = self._reports_in(view, report)
        yield from reports.chunks(report)
        for remark in reports.remarks():
            self._once.warn("%s", remark)

    def _reports_in(self, view: CachedView, report: Report) -> GithubReports | RecordedReports:
        persons = self._persons(view)
        if self._info.has_records:
            return RecordedReports(view.reader, self._source, self._audience, persons)
        options = replace(self._options, merge_ides=report.merge_ides)
        return GithubReports(view.reader, self._source, self._audience, options, persons)

    def _missing_in(self, report: Report, view: CachedView) -> tuple[list[date], str]:
        """The days that a report from records lacks, and why there is no report if it lacks all."""
        reports = RecordedReports(view.reader, self._source, self._audience, {})
        missing = reports.missing(report)
        return missing, reports.absence(report) if len(missing) == len(report.days) else ""

    def seats(self) -> SeatList:
        """The seats of everybody who is known, and the caveats of the latest 28 days."""
        window = self._latest_window(self._ledger(self._cache))
        # The key has the window, which moves each day even if nothing is stored.
        return self._known(self._cache, ("seats", window), partial(self._seat_list, window))

    def _seat_list(self, window: Window, view: CachedView) -> SeatList:
        ledger, persons = self._ledger(view), self._persons(view)
        missing = [day for day in window.days() if day not in ledger]
        seats = seats_in(view.reader, self._source, self._audience, persons)
        return SeatList(seats, window, Caveats(self._doubts(ledger, window), missing))

    def organization(self, login: str) -> Organization:
        """The organization with that login: any login is accepted, and gets all figures."""
        number = self._options.organization_id or ""
        is_id = number.isascii() and number.isdigit()
        try:
            days = [*self._ledger(self._cache)]
        except DaysMissing:
            days = []
        first, last = (days[0], days[-1]) if days else 2 * (utc_day(self._clock()),)
        since, updated = start_of_day(first), end_of_day(last)
        return Organization(login, int(number) if is_id else sha256_user_id(login), since, updated)

    def missing_from_latest(self) -> dict[str, int]:
        """By the source's name, how many days the latest 28-day reports lack, if there are such
        reports.
        """
        if self._unmet:
            return {}
        try:
            window = self._latest_window(self._ledger(self._cache))
            # The key has the window, which moves each day even if nothing is stored.
            missing = self._known(
                self._cache, ("missing", window), partial(self._missing_days, window)
            )
            return {self._source: len(missing)}
        except DaysMissing:
            return {}

    def _missing_days(self, window: Window, view: CachedView) -> list[date]:
        ledger = self._ledger(view)
        without = unrecorded(view.reader, self._source, window) if self._info.has_records else []
        return [day for day in window.days() if day not in ledger or day in without]

    def people(self) -> dict[str, int]:
        """By the source's name, how many of its people and service accounts were ever stored."""
        try:
            persons = self._persons(self._cache)
        except DaysMissing:
            return {}
        return {self._source: len({person.id for person in persons.values()})}

    def status(self) -> StoreStatus:
        """What `status` prints; without sources if nothing has been fetched yet."""
        try:
            with self._cache.view() as view:
                return self._status(view)
        except DaysMissing:
            return StoreStatus(self._cache.shown, [])

    def newest_costs(self) -> dict[str, CostLedgerDay]:
        """By source name, the newest day whose costs add up and that was over when fetched."""
        try:
            with self._cache.view() as view:
                ledger = view.reader.cost_ledger(self._source)
        except DaysMissing:
            return {}
        newest = newest_closed(ledger.values(), self._clock())
        return {self._source: newest} if newest else {}

    def notices(self) -> list[Notice]:
        """All notices of any source, oldest first."""
        try:
            with self._cache.view() as view:
                return view.reader.notices()
        except DaysMissing:
            return []

    def state(self) -> Hashable:
        """Equal to an earlier state only if nothing was written to the store in between."""
        return self._cache.state()

    def now(self) -> datetime:
        """The time by the clock of the views."""
        return self._clock()

    def check(self) -> None:
        """Raise what the store raises if it cannot be read now."""
        with contextlib.suppress(DaysMissing):
            self._cache.get("status", self._status)

    def _status(self, view: CachedView) -> StoreStatus:
        shown, now = self._cache.shown, self._clock()
        return status_of(view.reader, shown, self._settling, now, self._tolerance)

    def _known(
        self, values: CachedView | StoreCache, key: Hashable, compute: Callable[[CachedView], T]
    ) -> T:
        """The value of the key for this source: views of other sources share the cache."""
        return values.get((self._source, key), compute)

    def _ledger(self, values: CachedView | StoreCache) -> _Ledger:
        return self._known(values, "ledger", lambda view: view.reader.ledger(self._source))

    def _persons(self, values: CachedView | StoreCache) -> Persons:
        persons = recorded_persons if self._info.has_records else persons_in
        return self._known(
            values, "persons", lambda view: persons(view.reader, self._source, self._audience)
        )
