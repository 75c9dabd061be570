"""The dashboard as a source: three endpoints, read with the session cookie of a browser."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from dashboard_scraper.beside import beside
from dashboard_scraper.errors import ContractBroken, SignInRequired
from dashboard_scraper.logs import Once
from dashboard_scraper.model.checks import changed_days, gain_of
from dashboard_scraper.model.dates import Window, last_complete_days, runs_of_days, utc_day
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.metrics import Totals
from dashboard_scraper.model.usage import DayUsage, OtherRecords, TenantFigure, UserUsage
from dashboard_scraper.sources.dashboard.cookie_auth import (
    SESSION_OVER,
    SIGN_IN_AGAIN,
    CookieSession,
)
from dashboard_scraper.sources.dashboard.fields import MONTHLY_ACTIVE_USERS, TENANT_TOTALS
from dashboard_scraper.sources.dashboard.renewal import Renewal
from dashboard_scraper.sources.dashboard.session_store import session_store
from dashboard_scraper.sources.dashboard.settings import DashboardSettings, Endpoint
from dashboard_scraper.sources.dashboard.user_records import USERS_KEY, Reading
from dashboard_scraper.sources.dashboard.users_answer import UsersAnswer
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.sources.rest.derived import latest_moment
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.http import Response
from dashboard_scraper.sources.rest.pagination import (
    UNDERSTOOD,
    Page,
    Paginator,
    decode_field,
    has_next_link,
    parse_object,
    parse_page,
)
from dashboard_scraper.sources.rest.refusals import Access
from dashboard_scraper.sources.rest.repeated_keys import refuse_repeated_keys
from dashboard_scraper.sources.rest.source import RestSource
from dashboard_scraper.sources.rest.unknown_fields import Fate
from dashboard_scraper.sources.rest.urls import origin_of, with_params
from dashboard_scraper.sources.rest.wire_types import Count

logger = logging.getLogger(__name__)

_LONGEST_OBJECT = 1 << 20  # bytes of an answer that is a single record; real ones have 100
_ACCESS = Access(
    refused=SESSION_OVER,
    forbidden="this account may not see the figures",
    sign_in=SIGN_IN_AGAIN,
    administrator=f"as an administrator, {SIGN_IN_AGAIN}",
    base_setting="METRICS_API_BASE_URL",
    has_sign_in_page=True,
)


class DashboardSource(RestSource):
    """Reads users' and the tenant's figures of any period; usable from several threads.

    Methods that fetch raise SignInRequired, SourceUnavailable, ContractBroken or UsageError.
    """

    name = DASHBOARD
    details = None
    costs = None
    seats = None

    def __init__(
        self,
        settings: DashboardSettings,
        session: CookieSession | None = None,
        *,
        may_renew: bool = True,
    ) -> None:
        """By default it uses the stored session, which it `may_renew` if AUTO_RENEW is set."""
        self._settings = settings
        base_url = settings.metrics_api_base_url
        may_renew = may_renew and session is None and settings.auto_renew
        self._renewal = Renewal(settings, allowed=may_renew)
        self._session = session or self._stored_session()
        super().__init__(settings, base_url, self._session, _ACCESS)
        self._reported = Once(logger)
        self._early: tuple[Window, Callable[[], Totals]] | None = None

    def _stored_session(self) -> CookieSession:
        origin = origin_of(self._settings.metrics_api_base_url)
        try:
            return CookieSession(session_store(self._settings), origin)
        except SignInRequired as error:
            return self._renewal.instead_of(error)

    def published(self, now: datetime) -> Window:
        """Every completed day: the dashboard has no known oldest day."""
        return Window(date.min, last_complete_days(1, utc_day(now)).end)

    def prepare(
        self,
        days: Collection[date],
        needed: Collection[date],  # noqa: ARG002
        *,
        compared: bool,
    ) -> None:
        """Request the totals to compare the days with, in parallel with the days' requests."""
        windows = list(runs_of_days(days))
        if compared and self.has_totals and self._settings.side_by_side and len(windows) == 1:
            self._early = windows[0], beside(lambda: self.fetch_totals(windows[0]))

    def estimate(self, days: Collection[date]) -> None:
        """The dashboard has no known limit of requests."""

    def fetch_day(self, day: date) -> DayUsage:
        """Every user's figures of one UTC day, and the tenant's if they are selected."""
        window = Window(day, day)
        totals = self._totals_of_day(window) if self.has_totals else None
        users = self.fetch_users(window)
        if isinstance(users, OtherRecords):
            raise ContractBroken(
                f"{Endpoint.USERS.value}: the records are not user statistics; only the commands"
                " with dates can export them"
            )
        return DayUsage(day, users, totals() if totals else None)

    def _totals_of_day(self, window: Window) -> Callable[[], Totals]:
        """A function that waits for the totals; requested now, if parallel requests are allowed."""

        def fetch() -> Totals:
            return self.fetch_totals(window)

        return beside(fetch) if self._settings.side_by_side else fetch

    @property
    def has_totals(self) -> bool:
        """Whether the settings select the tenant's own figures."""
        return Endpoint.TENANT in self._settings.scrape_endpoints

    def fetch_totals(self, window: Window) -> Totals:
        """The tenant's own figures, summed by the dashboard over the window."""
        counted, _others = self._tenant_answer(Endpoint.TENANT, window, TENANT_TOTALS)
        return {TENANT_TOTALS[field]: count for field, count in counted.items()}

    def changed_days(self, stored: Mapping[date, Totals]) -> list[date]:
        """The days whose totals now differ from the stored ones."""
        return [] if self._is_unchanged(stored) else changed_days(stored, self.fetch_totals)

    def _is_unchanged(self, stored: Mapping[date, Totals]) -> bool:
        """Whether the totals that `prepare` requested are equal to the sums of exactly these days.
        If not, they may only be older than one of the days, so new totals have to decide.
        """
        early, self._early = self._early, None
        if early is None or [early[0]] != list(runs_of_days(stored)):
            return False
        window, totals = early
        return not any(gain_of(stored, window, lambda _: totals()).values())

    def fetch_users(self, window: Window) -> list[UserUsage] | OtherRecords:
        """Every user's figures, summed by the dashboard over the window; sorted by address."""
        endpoint, now = Endpoint.USERS.value, datetime.now(UTC)
        latest = latest_moment(now)
        reading = Reading(endpoint, window, latest, self._oddities, self._unknown, self._names)
        envelope = Envelope(endpoint, window, now)
        answer = UsersAnswer(reading, self._reported)
        for page in self._user_pages(window):
            envelope.read(page.fields, UNDERSTOOD)
            envelope.count(answer.add(page))
        envelope.check(len(answer))
        return answer.result()

    def fetch_tenant(self, window: Window) -> list[TenantFigure]:
        """The whole tenant's figures in the window, from the selected endpoints."""
        endpoints: dict[Endpoint, Collection[str]] = {
            Endpoint.TENANT: TENANT_TOTALS,
            Endpoint.MONTHLY_ACTIVE_USERS: (MONTHLY_ACTIVE_USERS,),
        }
        taken = {field for known in endpoints.values() for field in known}
        figures = []
        for endpoint, known in endpoints.items():
            if endpoint in self._settings.scrape_endpoints:
                counted, fields = self._tenant_answer(endpoint, window, known)
                others = self._other_figures(endpoint.value, fields)
                figures += [TenantFigure(window, name, n) for name, n in counted.items()]
                for name in sorted(others):
                    # Both endpoints may have the same field, such as a time of generation.
                    own = f"{endpoint.value}.{name}" if name in taken else name
                    taken.add(name)
                    figures.append(TenantFigure(window, own, others[name]))
        return figures

    def _tenant_answer(
        self, endpoint: Endpoint, window: Window, known: Collection[str]
    ) -> tuple[dict[str, int], dict[str, msgspec.Raw]]:
        """The known counts, and the other fields."""
        name = endpoint.value
        body = self._get(name, self._url(endpoint, window)).body
        if len(body) > _LONGEST_OBJECT:
            raise ContractBroken(f"{name}: the answer is longer than {_LONGEST_OBJECT >> 10} KiB")
        fields = parse_object(name, body)
        refuse_repeated_keys(name, body)
        Envelope(name, window, datetime.now(UTC)).read_figures(fields)
        counted: dict[str, int] = {}
        for field in known:
            if field not in fields:
                raise ContractBroken(f"{name}: the field {field} is missing")
            counted[field] = decode_field(name, field, fields.pop(field), Count)
        return counted, fields

    def _other_figures(self, name: str, fields: Mapping[str, msgspec.Raw]) -> dict[str, Cell]:
        decoded = {}
        for key, raw in fields.items():
            try:
                decoded[key] = decode_field(name, key, raw, Any)
            except ContractBroken:
                self._unknown.note(Fate.UNREADABLE, [key])
        return self._unknown.storable(decoded, (), Fate.ROW)

    def check(self, window: Window) -> None:
        """Prove that the session is valid with the smallest request that the settings select."""
        smallest = (Endpoint.MONTHLY_ACTIVE_USERS, Endpoint.TENANT, Endpoint.USERS)
        endpoint = next(e for e in smallest if e in self._settings.scrape_endpoints)
        self._get(endpoint.value, self._url(endpoint, window))

    def keep_alive(self, window: Window) -> None:
        """The same; also raises the error that prevented storing a renewed session."""
        self.check(window)
        if self._session.unsaved is not None:
            raise self._session.unsaved

    def _url(self, endpoint: Endpoint, window: Window) -> str:
        return with_params(
            self._settings.url_of(endpoint),
            {"startDate": _json_date(window.start), "endDate": _json_date(window.end)},
        )

    def _user_pages(self, window: Window) -> Iterator[Page]:
        name, first = Endpoint.USERS.value, self._url(Endpoint.USERS, window)
        paginator = Paginator(name, first)
        url: str | None = first
        while url is not None:
            page = parse_page(name, USERS_KEY, self._get(name, url).body)
            yield page
            url = paginator.after(url, page)

    def _get(self, endpoint: str, url: str) -> Response:
        response = self._admitted(endpoint, url)
        if has_next_link(response.headers):
            raise ContractBroken(
                f"{endpoint}: a Link header leads to more pages, in an unknown way"
            )
        # Only after the checks: a sign-in page may set an anonymous session, which must not replace
        # the user's.
        self._session.renew(response.cookies)
        return response

    def _admitted(self, endpoint: str, url: str) -> Response:
        """A response with data. If the session is refused, it is fetched again with a session that
        another process has renewed meanwhile, or that AUTO_RENEW gets.
        """
        while True:
            sent = self._session.cookies
            try:
                return super()._get(endpoint, url)
            except SignInRequired as error:
                if self._session.has_newer(sent):
                    continue
                self._renewal.renew(self._session, sent, error)


def _json_date(day: date) -> str:
    """JSON without spaces: with spaces in it, the server answers without data."""
    return msgspec.json.encode({"year": day.year, "month": day.month, "day": day.day}).decode()
