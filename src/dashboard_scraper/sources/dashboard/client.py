"""The dashboard source: three endpoints, read with the session cookie of a browser."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.logs import Once
from dashboard_scraper.model.addresses import Names, came_twice
from dashboard_scraper.model.checks import changed_days
from dashboard_scraper.model.dates import Window, last_complete_days, utc_day
from dashboard_scraper.model.figures import lacks_required
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.metrics import REQUIRED, Metric, Totals
from dashboard_scraper.model.usage import DayUsage, OtherRecords, TenantFigure, UserUsage
from dashboard_scraper.sources.dashboard.cookie_auth import (
    SESSION_OVER,
    SIGN_IN_AGAIN,
    CookieSession,
)
from dashboard_scraper.sources.dashboard.fields import FIELDS, MONTHLY_ACTIVE_USERS, TENANT_TOTALS
from dashboard_scraper.sources.dashboard.settings import DashboardSettings, Endpoint
from dashboard_scraper.sources.dashboard.user_records import (
    USERS_KEY,
    Count,
    Reading,
    decode_records,
    usage_of,
)
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.sources.rest.derived import Oddities, latest_moment
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.http import Http, Response
from dashboard_scraper.sources.rest.pagination import (
    UNDERSTOOD,
    Page,
    Paginator,
    decode_field,
    parse_object,
    parse_page,
    refuse_too_many,
)
from dashboard_scraper.sources.rest.refusals import Access, refuse, refuse_page
from dashboard_scraper.sources.rest.repeated_keys import refuse_repeated_keys
from dashboard_scraper.sources.rest.retrying import RetryPolicy
from dashboard_scraper.sources.rest.route import route_to
from dashboard_scraper.sources.rest.statuses import Meaning
from dashboard_scraper.sources.rest.unknown_fields import Fate, UnknownFields
from dashboard_scraper.sources.rest.urls import origin_of, with_params

logger = logging.getLogger(__name__)

_LONGEST_OBJECT = 1 << 20  # bytes of an answer that is one record; real ones have 100


class DashboardSource:
    """Reads users' and the tenant's figures of any period; usable from several threads.

    What fetches raises SignInRequired, SourceUnavailable, ContractBroken or UsageError.
    """

    name = DASHBOARD
    details = None

    def __init__(self, settings: DashboardSettings, session: CookieSession | None = None) -> None:
        """With the stored session, unless another is given."""
        self._settings = settings
        base_url = settings.metrics_api_base_url
        self._session = session or CookieSession(
            settings.cookie_file,
            origin_of(base_url),
            allow_readable=settings.allow_readable_secrets,
        )
        policy = RetryPolicy(
            retries=settings.max_retries,
            backoff=settings.retry_backoff_seconds,
            timeout=settings.request_timeout_seconds,
            budget=settings.retry_budget_seconds,
        )
        route = route_to(base_url, settings.libraries)
        self._http = Http(policy, self._session, settings.max_concurrency, route=route)
        self._reported = Once(logger)
        self._oddities = Oddities()
        self._unknown = UnknownFields()
        self._names = Names()
        self._decoding = threading.Lock()

    def stop(self) -> None:
        """End requests that wait, from another thread; later calls fail at once."""
        self._http.stop()

    def close(self) -> None:
        """Close the connections, and say what was odd in the answers."""
        self._http.close()
        for each in (self._oddities, self._unknown, self._names):
            each.report()

    def published(self, now: datetime) -> Window:
        """Every day that is over: nobody knows of an oldest one."""
        return Window(date.min, last_complete_days(1, utc_day(now)).end)

    def prepare(self, days: Collection[date]) -> None:
        """Nothing is to be known beforehand."""

    def estimate(self, days: Collection[date]) -> None:
        """Nothing but its speed limits the dashboard."""

    def fetch_day(self, day: date) -> DayUsage:
        """Every user's figures of one UTC day, and the tenant's if they are selected."""
        window = Window(day, day)
        users = self.fetch_users(window)
        if isinstance(users, OtherRecords):
            raise ContractBroken(
                f"{Endpoint.USERS.value}: the records are no user statistics; only the forms with"
                " dates can export them"
            )
        return DayUsage(day, users, self.fetch_totals(window) if self.has_totals else None)

    @property
    def has_totals(self) -> bool:
        """Whether the settings select the tenant's own figures."""
        return Endpoint.TENANT in self._settings.scrape_endpoints

    def fetch_totals(self, window: Window) -> Totals:
        """The tenant's own figures, summed by the dashboard over the window."""
        counted, _others = self._tenant_answer(Endpoint.TENANT, window, TENANT_TOTALS)
        return {TENANT_TOTALS[field]: count for field, count in counted.items()}

    def changed_days(self, kept: Mapping[date, Totals]) -> list[date]:
        """Those of the days whose totals now are not those that were kept."""
        return changed_days(kept, self.fetch_totals)

    def fetch_users(self, window: Window) -> list[UserUsage] | OtherRecords:
        """Every user's figures, summed by the dashboard over the window; by their addresses."""
        endpoint = Endpoint.USERS.value
        users: dict[str, UserUsage] = {}
        others: list[dict[str, Any]] = []
        changed: dict[str, str] = {}
        gone = set(FIELDS)
        now = datetime.now(UTC)
        envelope = Envelope(endpoint, window, now)
        latest = latest_moment(now)
        reading = Reading(endpoint, window, latest, self._oddities, self._unknown, self._names)
        for page in self._pages(Endpoint.USERS, window):
            envelope.read(page.fields, UNDERSTOOD)
            # One thread at a time: more would be no faster, and each would need the memory.
            with self._decoding:
                decoded = decode_records(reading, page)
                if isinstance(decoded, OtherRecords):
                    others += decoded.records
                    envelope.count(len(decoded.records))
                    continue
                records, extras = decoded
                envelope.count(len(records))
                for record, extra in zip(records, extras, strict=False):
                    usage = usage_of(reading, record, extra, gone)
                    self._report_unknown(usage)
                    if record.user != usage.user:
                        changed[usage.user] = record.user
                    first = users.setdefault(usage.user, usage)
                    if first is not usage and first != usage:
                        before = changed.get(usage.user, usage.user)
                        raise came_twice(endpoint, usage.user, before, record.user)
            refuse_too_many(endpoint, len(users) + len(others))
        envelope.check(len(users) + len(others))
        if others and users:
            raise ContractBroken(f"{endpoint}: some records are user statistics, some are not")
        if others:
            return OtherRecords(others)
        if users:
            self._judge_gone(endpoint, gone)
        # Sorted: the server promises no order, and the same data must give the same files.
        return [users[address] for address in sorted(users)]

    def _report_unknown(self, usage: UserUsage) -> None:
        if lacks_required(usage.figures):
            for metric in REQUIRED:
                if usage.figures[metric] is None:
                    self._reported.warn("%s is unknown for some users", FIELDS[metric])

    def _judge_gone(self, endpoint: str, gone: set[Metric]) -> None:
        for metric, field in FIELDS.items():
            if metric not in gone:
                continue
            if metric.required:
                raise ContractBroken(
                    f"{endpoint}: no record has a value for {field}; has the field been renamed?"
                )
            if field not in self._oddities:
                self._reported.warn("no record has a value for %s", field)

    def fetch_tenant(self, window: Window) -> list[TenantFigure]:
        """The whole tenant's figures in the window, from the selected ones of its endpoints."""
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
                    # Both endpoints may tell, say, the time of their making.
                    own = f"{endpoint.value}.{name}" if name in taken else name
                    taken.add(name)
                    figures.append(TenantFigure(window, own, others[name]))
        return figures

    def _tenant_answer(
        self, endpoint: Endpoint, window: Window, known: Collection[str]
    ) -> tuple[dict[str, int], dict[str, msgspec.Raw]]:
        """The counts that we know, and the other fields."""
        name = endpoint.value
        body = self._get(endpoint, self._url(endpoint, window)).body
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
        """Prove with one request, the smallest that is selected, that the session is good."""
        smallest = (Endpoint.MONTHLY_ACTIVE_USERS, Endpoint.TENANT, Endpoint.USERS)
        endpoint = next(e for e in smallest if e in self._settings.scrape_endpoints)
        self._get(endpoint, self._url(endpoint, window))

    def _url(self, endpoint: Endpoint, window: Window) -> str:
        return with_params(
            self._settings.url_of(endpoint),
            {"startDate": _json_date(window.start), "endDate": _json_date(window.end)},
        )

    def _pages(self, endpoint: Endpoint, window: Window) -> Iterator[Page]:
        url: str | None = self._url(endpoint, window)
        paginator = Paginator(endpoint.value, url or "")
        while url is not None:
            page = parse_page(endpoint.value, USERS_KEY, self._get(endpoint, url).body)
            yield page
            url = paginator.after(url, page)

    def _get(self, endpoint: Endpoint, url: str) -> Response:
        response = self._http.get(url)
        if response.meaning is not Meaning.DATA:
            refuse(endpoint.value, response, _ACCESS)
        refuse_page(endpoint.value, response, _ACCESS)
        if 'rel="next"' in response.headers.get("Link", ""):
            raise ContractBroken(f"{endpoint.value}: a Link header leads to more pages; not known")
        # Only now: a sign-in page may set an anonymous session, which is nothing to keep.
        self._session.renew(response.cookies)
        return response


_ACCESS = Access(
    refused=SESSION_OVER,
    forbidden="this account may not see the figures",
    sign_in=SIGN_IN_AGAIN,
    administrator=f"as an administrator, {SIGN_IN_AGAIN}",
    base_setting="METRICS_API_BASE_URL",
    has_sign_in_page=True,
)


def _json_date(day: date) -> str:
    """Compact: with spaces in it, the server answers without data."""
    return msgspec.json.encode({"year": day.year, "month": day.month, "day": day.day}).decode()
