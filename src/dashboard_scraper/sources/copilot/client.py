"""GitHub Copilot as a source: usage-metrics reports of an enterprise or an organization.

A report takes two steps: a call to GitHub's API returns links, and the files behind them are on
another host. A day is the users' report, closed against the tenant's own report of the same day. A
month of users is also available as one report, which a first run uses.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta

from dashboard_scraper.clock import Clock
from dashboard_scraper.errors import (
    ContractBroken,
    NotPublished,
    ScraperError,
    SourceUnavailable,
    UsageError,
)
from dashboard_scraper.model.dates import Window, utc_day
from dashboard_scraper.model.metrics import Totals
from dashboard_scraper.model.seats import Seat
from dashboard_scraper.model.usage import CreditUsage, DayUsage, EditorLanguageUsage, UserUsage
from dashboard_scraper.sources.copilot.auth import AppToken, GithubHeaders, token_of
from dashboard_scraper.sources.copilot.downloads import Downloads
from dashboard_scraper.sources.copilot.fields import (
    CLI_MESSAGES,
    NO_ACTIVITY,
    extra_of,
    figures_of,
    totals_beside,
    totals_of,
    unknown_features,
)
from dashboard_scraper.sources.copilot.info import HISTORY
from dashboard_scraper.sources.copilot.records import DayRecord, RecordReader, UserRecord
from dashboard_scraper.sources.copilot.refused import Refusals
from dashboard_scraper.sources.copilot.report_calls import ReportCalls, with_new_links
from dashboard_scraper.sources.copilot.reports import Month, NoReport, days_in_month
from dashboard_scraper.sources.copilot.seats import ENDPOINT as SEATS
from dashboard_scraper.sources.copilot.seats import pages_of, seats_of
from dashboard_scraper.sources.copilot.settings import CopilotSettings
from dashboard_scraper.sources.interface import Estimate
from dashboard_scraper.sources.registry import COPILOT
from dashboard_scraper.sources.rest.auth import AllowedRequests, NoAuth
from dashboard_scraper.sources.rest.http import Response
from dashboard_scraper.sources.rest.pacing import Pace
from dashboard_scraper.sources.rest.source import RestSource, connection
from dashboard_scraper.sources.rest.unknown_fields import Fate
from dashboard_scraper.sources.rest.urls import with_params
from dashboard_scraper.sources.summed_days import SummedDays

logger = logging.getLogger(__name__)

_REPORTS = "metrics/reports/"
_USERS_DAY, _USERS_MONTH = "users-1-day", "users-28-day/latest"
_MONTH = 28
_FIRST_DAY = {True: date(2025, 10, 10), False: date(2025, 12, 12)}
"""The first day for which GitHub has reports: of enterprises (True), and of organizations."""
CREDITS_SINCE = date(2026, 6, 19)
_FINAL = timedelta(days=4)
"""A day is final three full days after its end: if it has no report then, it never will."""
_WORTH_A_MONTH = 8
"""The fewest needed days for which one call for the month is better than one call per day."""
_NO_MONTH = (ContractBroken, SourceUnavailable)
"""Errors of the month only: each day also has its own reports, which may be intact, or arrive."""


class CopilotSource(SummedDays, RestSource):
    """Reads users' and the tenant's figures; usable from several threads.

    Every method that fetches raises SignInRequired, SourceUnavailable or ContractBroken; UsageError
    for days that are older than GitHub's history, and NotPublished for days without a report yet.
    """

    name = COPILOT
    has_totals = True
    costs = None
    days_at_once = _MONTH
    credits_wanted = True  # they are in the users' records, and cost no requests
    editor_language_requests = 0  # no row of a record has both
    summed_extra = (CLI_MESSAGES,)

    def __init__(self, settings: CopilotSettings, pace: Pace, clock: Clock) -> None:
        self._settings, self._pace, self._clock = settings, pace, clock
        self._is_enterprise = settings.copilot_enterprise is not None
        slug = settings.copilot_enterprise or settings.copilot_organization
        if slug is None:
            raise UsageError("set COPILOT_ENTERPRISE or COPILOT_ORGANIZATION")
        kind, path = (
            ("enterprise", "enterprises") if self._is_enterprise else ("organization", "orgs")
        )
        self._own_day, self._own_month = f"{kind}-1-day", f"{kind}-28-day/latest"
        base = settings.copilot_api_base_url
        self._app = None
        if settings.has_copilot_app:
            self._app = AppToken(settings, lambda auth: connection(settings, base, auth))
        secret = self._app or token_of(settings)
        self._refusals = Refusals(
            f"{kind} {slug}", self._is_enterprise, secret, is_app=self._app is not None
        )
        reports = (_USERS_DAY, _USERS_MONTH, self._own_day, self._own_month)
        paths = {**{f"{_REPORTS}{name}": "GET" for name in reports}, SEATS: "GET"}
        self._allowed = AllowedRequests(
            base, f"/{path}/{slug}/copilot/", paths, GithubHeaders(secret)
        )
        super().__init__(settings, base, self._allowed, self._refusals.access, pace=pace)
        self._downloads = Downloads(lambda link: connection(settings, link, NoAuth()), base)
        self._reports = ReportCalls(self._call, self._data, self._downloads, self._own_month, clock)
        self._lock = threading.Lock()
        self._month: Month | None = None
        self._own_latest: tuple[Window, dict[date, Totals]] | ScraperError | None = None
        self._alone: set[date] = set()
        self._credits: dict[date, list[CreditUsage]] = {}

    def stop(self) -> None:
        """End waiting requests, from another thread; later calls fail immediately."""
        super().stop()
        self._downloads.stop()
        if self._app:
            self._app.http.stop()

    def close(self) -> None:
        """Close the connections, and report what was odd in the answers."""
        super().close()
        self._downloads.close()
        if self._app:
            self._app.http.close()
        if self._month:
            self._month.close()

    @property
    def details(self) -> CopilotSource:
        """Credits."""
        return self

    @property
    def seats(self) -> CopilotSource:
        """Who may use Copilot."""
        return self

    @property
    def requests(self) -> int:
        """How many were sent so far, including retries."""
        app = self._app.http.sent if self._app else 0
        return super().requests + self._downloads.requests + app

    def published(self, now: datetime) -> Window:
        """Days up to the newest one whose reports are expected."""
        today = utc_day(now)
        newest = today - timedelta(days=1 + self._settings.copilot_ready_days)
        oldest = max(_FIRST_DAY[self._is_enterprise], today - HISTORY)
        return Window(min(oldest, newest), newest)

    def prepare(
        self,
        days: Collection[date],
        needed: Collection[date],
        *,
        compared: bool,  # noqa: ARG002
    ) -> None:
        """If many days are needed, fetch the users of the latest month in one call. If days are
        compared, also fetch the tenant's own figures of the month; an error in these is raised by
        the comparison.
        """
        if not days:
            return
        self._check_days(Window(min(days), max(days)))
        if len(needed) >= _WORTH_A_MONTH:
            self._month = self._fetch_month()
        if len(days) > len(needed):
            try:
                self._own_latest = self._fetch_own_month()
            except _NO_MONTH as error:
                self._own_latest = error

    def _check_days(self, window: Window) -> None:
        published = self.published(self._clock())
        if window.start < published.start:
            raise UsageError(
                "GitHub has Copilot's reports of a year, and none before"
                f" {_FIRST_DAY[self._is_enterprise]}; begin with {published.start} or later"
            )
        if window.end > published.end:
            raise NotPublished(
                f"GitHub is not expected to have the reports of {window.end} yet; the newest are of"
                f" {published.end}"
            )

    def estimate(self, days: Collection[date]) -> Estimate:
        """The cost of fetching days that were prepared, without downloads, which have no limit."""
        month = self._month
        requests = sum(1 if month and month.holds(day) else 2 for day in days)
        return Estimate(requests, self._pace.seconds_for(requests))

    def changed_days(self, stored: Mapping[date, Totals]) -> list[date]:
        """The days whose totals in the latest month differ from the stored ones.

        A day that was fetched separately in this run is not among them: its own report is newer.
        """
        if self._own_latest is None:
            return []
        if isinstance(self._own_latest, ScraperError):
            raise self._own_latest
        window, totals = self._own_latest
        return sorted(
            day
            for day, before in stored.items()
            if day in window
            and day not in self._alone
            and any(before.get(name) != n for name, n in totals.get(day, NO_ACTIVITY).items())
        )

    def fetch_day(self, day: date) -> DayUsage:
        """Every user's figures of one UTC day, and the tenant's; a second call fetches both
        separately.

        NotPublished if GitHub may not have a report of the day yet.
        """
        self._check_days(Window(day, day))
        users = self._users_of(day)
        own = self._own_of(day)
        with self._lock:
            self._alone.add(day)
            if isinstance(users, NoReport):
                self._credits[day] = []
        if isinstance(own, NoReport):
            return self._without_own(day, users, own)
        record, text = own
        if isinstance(users, NoReport) or not users:
            if record.daily_active_users or any(totals_of(record).values()):
                raise self._missing(
                    day,
                    f"{self._own_day} has {record.daily_active_users} users of {day}, but"
                    f" {_USERS_DAY} has none",
                )
            users = []
        return DayUsage(day, users, totals_beside(record, len(users)), text)

    def _without_own(self, day: date, users: list[UserUsage] | NoReport, own: NoReport) -> DayUsage:
        """A day without the tenant's own report: without activity, if there are no users either."""
        if isinstance(users, NoReport):
            if users.ambiguous or own.ambiguous:
                raise self._missing(
                    day,
                    f"GitHub answers that it has no reports of {day} (HTTP 404), as it also does"
                    " where a token may not see them",
                )
            if not self._is_final(day):
                raise self._missing(day, f"GitHub has no reports of {day} yet ({users.face})")
            return DayUsage(day, [], NO_ACTIVITY)
        if users:
            if not self._is_final(day):
                raise self._missing(day, f"GitHub has no {self._own_day} of {day} yet")
            logger.warning(
                "%s: GitHub has no %s: the users cannot be reconciled with it", day, self._own_day
            )
            return DayUsage(day, users)
        return DayUsage(day, [], NO_ACTIVITY)

    def _missing(self, day: date, what: str) -> ScraperError:
        """The error of a day without a report: not ready yet or, later, a contradiction."""
        if self._is_final(day):
            return ContractBroken(f"{what}; it was not taken for a day without activity")
        return NotPublished(f"{what}; run it again tomorrow")

    def _is_final(self, day: date) -> bool:
        return utc_day(self._clock()) - day >= _FINAL

    def _users_of(self, day: date) -> list[UserUsage] | NoReport:
        month = self._month
        if month is not None and month.holds(day):
            return self._read_users(_USERS_MONTH, day, month.take(day))
        return with_new_links(lambda: self._fetch_users_alone(day))

    def _fetch_users_alone(self, day: date) -> list[UserUsage] | NoReport:
        links = self._reports.links(_USERS_DAY, day)
        if isinstance(links, NoReport):
            return links
        return self._read_users(_USERS_DAY, day, self._reports.lines(_USERS_DAY, links))

    def _read_users(self, endpoint: str, day: date, lines: Iterable[bytes]) -> list[UserUsage]:
        """The users of a day, sorted; ContractBroken if one comes twice: parts of a report are
        split by user and day, and nothing says that two records of one user-day add up.
        """
        reader = RecordReader(UserRecord, endpoint, self._unknown)
        window = Window(day, day)
        found: dict[str, UserUsage] = {}
        accounts: set[int] = set()
        tenants: set[str | None] = set()
        consumed = []
        for number, line in enumerate(lines, 1):
            record, text = reader.read(f"{endpoint}: {day}: record {number}", line, window)
            login = self._names.taken(endpoint, "user_login", record.user_login).lower()
            if login in found or record.user_id in accounts:
                raise ContractBroken(f"{endpoint}: {login} came twice on {day}", names=(login,))
            accounts.add(record.user_id)
            tenants.add(record.enterprise_id if self._is_enterprise else record.organization_id)
            found[login] = UserUsage(login, figures_of(record), extra_of(record), record=text)
            if unknown := unknown_features(record):
                self._unknown.note(Fate.IN_RECORD, unknown)
            if record.ai_credits_used is not None:
                consumed.append(CreditUsage(day, login, record.ai_credits_used))
        if len(tenants) > 1:
            raise ContractBroken(f"{endpoint}: {day}: records of {len(tenants)} tenants came")
        with self._lock:
            self._credits[day] = sorted(consumed, key=lambda usage: usage.user)
        return [found[login] for login in sorted(found)]

    def _own_of(self, day: date) -> tuple[DayRecord, str] | NoReport:
        return with_new_links(lambda: self._fetch_own_alone(day))

    def _fetch_own_alone(self, day: date) -> tuple[DayRecord, str] | NoReport:
        links = self._reports.links(self._own_day, day)
        if isinstance(links, NoReport):
            return links
        endpoint = self._own_day
        body = self._reports.only_file(endpoint, links)
        reader = RecordReader(DayRecord, endpoint, self._unknown)
        return reader.read(f"{endpoint}: {day}", body, Window(day, day))

    def _fetch_month(self) -> Month | None:
        """The users of the latest month; None if unusable: days are then fetched separately."""
        try:
            return with_new_links(self._fetch_month_once)
        except _NO_MONTH as error:
            logger.warning("%s; each day is fetched alone", error)
            return None

    def _fetch_month_once(self) -> Month | None:
        links = self._reports.links(_USERS_MONTH)
        if isinstance(links, NoReport):
            return None
        month = Month(_USERS_MONTH, links.days)
        try:
            for line in self._reports.lines(_USERS_MONTH, links):
                month.add(line)
        except BaseException:
            month.close()
            raise
        return month

    def _fetch_own_month(self) -> tuple[Window, dict[date, Totals]] | None:
        return with_new_links(self._fetch_own_month_once)

    def _fetch_own_month_once(self) -> tuple[Window, dict[date, Totals]] | None:
        endpoint = self._own_month
        links = self._reports.links(endpoint)
        if isinstance(links, NoReport):
            logger.warning(
                "GitHub has no %s (%s): the stored days were not compared with it",
                endpoint,
                links.face,
            )
            return None
        body = self._reports.only_file(endpoint, links)
        with_days = days_in_month(endpoint, body, links.days)
        reader = RecordReader(DayRecord, endpoint, self._unknown)
        found: dict[date, Totals] = {}
        for place, text in enumerate(with_days):
            record, _ = reader.read(f"{endpoint}: day_totals[{place}]", bytes(text), links.days)
            if record.day in found:
                raise ContractBroken(f"{endpoint}: {record.day} is twice in day_totals")
            found[record.day] = totals_of(record)
        return links.days, found

    def _call(self, report: str, day: date | None) -> Response:
        url = self._allowed.url_of(f"{_REPORTS}{report}")
        return self._http.get(with_params(url, {"day": day.isoformat()}) if day else url)

    def _refusal(self, endpoint: str, response: Response) -> ScraperError:
        return self._refusals.of(endpoint, response)

    def check(self) -> None:
        """Prove with one small request that the token may see the tenant's reports."""
        self._reports.links(self._own_month)

    def estimate_records(self, days: Iterable[float]) -> Estimate:  # noqa: ARG002
        """Zero: there are no records by editor and language."""
        return Estimate(0, 0.0)

    def fetch_editor_languages(self, day: date) -> list[EditorLanguageUsage]:  # noqa: ARG002
        """An empty list: no row of a record has both an editor and a language."""
        return []

    def fetch_credits(self, window: Window) -> list[CreditUsage]:
        """Every user's AI credits on each day; users and days about which GitHub says nothing are
        not in the list.
        """
        return [usage for day in window.days() for usage in self._credits_of(day)]

    def _credits_of(self, day: date) -> list[CreditUsage]:
        if day < CREDITS_SINCE:
            return []
        if day not in self._credits and isinstance(self._users_of(day), NoReport):
            return []
        return self._credits[day]

    def fetch_seats(self) -> list[Seat] | None:
        """Every current seat, one for each user."""
        pages = pages_of(lambda url: self._get(SEATS, url), self._allowed.url_of(SEATS))
        return seats_of(pages, self._names, self._clock())
