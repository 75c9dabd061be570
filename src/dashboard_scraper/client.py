"""The dashboard source: three endpoints, read with the session cookie of a browser."""

from __future__ import annotations

import logging
import operator
import threading
from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, Any

import msgspec

from dashboard_scraper.config import Endpoint, Settings
from dashboard_scraper.cookie_auth import SIGN_IN_AGAIN, CookieSession
from dashboard_scraper.date_utils import Window
from dashboard_scraper.errors import ContractBroken, SignInRequired, UsageError
from dashboard_scraper.http import (
    Http,
    Response,
    RetryPolicy,
    absolute,
    origin_of,
    path_of,
    redact,
    with_params,
)
from dashboard_scraper.metrics import (
    FIGURES,
    MONTHLY_ACTIVE_USERS,
    TENANT_TOTALS,
    USER_FIELD,
    Kind,
    TenantMetric,
)
from dashboard_scraper.pagination import Page, Paginator, parse_object, parse_page
from dashboard_scraper.usage import DayUsage, TenantFigure, UserUsage

logger = logging.getLogger(__name__)

_USERS_KEY = "userFeatureStats"
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
_TYPES: dict[Kind, Any] = {
    Kind.COUNT: _Count,
    Kind.DAYS: _Count,
    Kind.PERCENT: _Percent,
    Kind.MOMENT: Annotated[datetime, msgspec.Meta(tz=True)],
}
_FIELDS = frozenset({USER_FIELD, *(metric.dashboard for metric in FIGURES)})

_REQUIRED = [i for i, metric in enumerate(FIGURES) if metric.required]
_required_of = operator.itemgetter(*_REQUIRED)


def _wire_record(*, forbid_unknown_fields: bool) -> Any:
    """A struct of one user's record, made from the catalogue, with its fields in that order."""
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        ("user", Annotated[str, msgspec.Meta(min_length=1)])
    ]
    fields += [(metric.name, _TYPES[metric.kind] | None, None) for metric in FIGURES]
    return msgspec.defstruct(
        "UserRecord",
        fields,
        rename={"user": USER_FIELD, **{metric.name: metric.dashboard for metric in FIGURES}},
        forbid_unknown_fields=forbid_unknown_fields,
    )


_RECORD = _wire_record(forbid_unknown_fields=False)
_USUAL_RECORDS = msgspec.json.Decoder(list[_wire_record(forbid_unknown_fields=True)])  # type: ignore[misc]
_ANY_RECORDS = msgspec.json.Decoder(list[dict[str, Any]])


class OtherRecords(msgspec.Struct, frozen=True):
    """Records of another API behind the same settings: no user statistics, kept as they came."""

    records: list[dict[str, Any]]


class DashboardSource:
    """Reads users' and the tenant's figures of any period; usable from several threads.

    Every method raises SignInRequired, SourceUnavailable or ContractBroken.
    """

    name = "dashboard"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session = CookieSession(
            settings.cookie_file, origin_of(settings.metrics_api_base_url)
        )
        policy = RetryPolicy(
            retries=settings.max_retries,
            backoff=settings.retry_backoff_seconds,
            timeout=settings.request_timeout_seconds,
            budget=settings.retry_budget_seconds,
        )
        self._http = Http(policy, self._session, settings.max_concurrency)
        self._reported = _Once()
        self._decoding = threading.Lock()

    def stop(self) -> None:
        """End requests that wait, from another thread; later calls fail at once."""
        self._http.stop()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def fetch_day(self, day: date) -> DayUsage:
        """Every user's figures of one UTC day."""
        users = self.fetch_users(Window(day, day))
        if isinstance(users, OtherRecords):
            raise ContractBroken(
                f"{Endpoint.USERS.value}: the records are no user statistics; only the forms with"
                " dates can export them"
            )
        return DayUsage(day, users)

    def fetch_users(self, window: Window) -> list[UserUsage] | OtherRecords:
        """Every user's figures, summed by the dashboard over the window; by their addresses."""
        endpoint = Endpoint.USERS.value
        users: dict[str, UserUsage] = {}
        others: list[dict[str, Any]] = []
        gone = set(range(len(FIGURES)))
        for page in self._pages(Endpoint.USERS, window):
            # One thread at a time: more would be no faster, and each would need the memory.
            with self._decoding:
                records = _decode_records(endpoint, page)
                if isinstance(records, OtherRecords):
                    others += records.records
                    continue
                for record, extra in records:
                    usage = self._usage(record, extra, gone)
                    first = users.setdefault(usage.user, usage)
                    if first is not usage and first != usage:
                        raise ContractBroken(
                            f"{endpoint}: {usage.user} came twice, with two figures"
                        )
        if others and users:
            raise ContractBroken(f"{endpoint}: some records are user statistics, some are not")
        if others:
            return OtherRecords(others)
        if users:
            self._judge_gone(endpoint, gone)
        # Sorted: the server promises no order, and the same data must give the same files.
        return [users[address] for address in sorted(users)]

    def _usage(self, record: Any, extra: dict[str, Any], gone: set[int]) -> UserUsage:
        """Turn a record to a user's figures; takes from `gone` the fields that it has."""
        user, *values = msgspec.structs.astuple(record)
        figures = tuple(values)
        if gone:
            gone.difference_update([i for i in gone if figures[i] is not None])
        if None in _required_of(figures):
            for i in _REQUIRED:
                if figures[i] is None:
                    self._reported.warn("%s is unknown for some users", FIGURES[i].dashboard)
        for name in extra:
            self._reported.warn("unknown field %s, kept as a column of its own", name)
        return UserUsage(user, figures, extra)

    def _judge_gone(self, endpoint: str, gone: set[int]) -> None:
        for i in sorted(gone):
            if FIGURES[i].required:
                raise ContractBroken(
                    f"{endpoint}: no record has a value for {FIGURES[i].dashboard}; has the field"
                    " been renamed?"
                )
            self._reported.warn("no record has a value for %s", FIGURES[i].dashboard)

    def fetch_tenant(self, window: Window) -> list[TenantFigure]:
        """The whole tenant's figures in the window, from the selected ones of its endpoints."""
        figures = []
        if Endpoint.TENANT in self._settings.scrape_endpoints:
            figures += self._tenant_figures(Endpoint.TENANT, window, TENANT_TOTALS)
        if Endpoint.MONTHLY_ACTIVE_USERS in self._settings.scrape_endpoints:
            figures += self._tenant_figures(
                Endpoint.MONTHLY_ACTIVE_USERS, window, (MONTHLY_ACTIVE_USERS,)
            )
        return figures

    def _tenant_figures(
        self, endpoint: Endpoint, window: Window, known: tuple[TenantMetric, ...]
    ) -> list[TenantFigure]:
        fields = parse_object(endpoint.value, self._get(endpoint, self._url(endpoint, window)).body)
        values: dict[str, object] = {}
        for metric in known:
            if metric.name not in fields:
                raise ContractBroken(f"{endpoint.value}: the field {metric.name} is missing")
            values[metric.name] = _decode_field(endpoint, metric.name, fields[metric.name], _Count)
        for name in sorted(fields.keys() - values.keys()):
            values[name] = _decode_field(endpoint, name, fields[name], Any)
            self._reported.warn("unknown field %s, kept as a row of its own", name)
        return [TenantFigure(window, name, value) for name, value in values.items()]

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
            page = parse_page(endpoint.value, _USERS_KEY, self._get(endpoint, url).body)
            yield page
            url = paginator.after(url, page)

    def _get(self, endpoint: Endpoint, url: str) -> Response:
        response = self._http.get(url)
        _refuse_unauthorised(response)
        if response.status != 200:
            raise ContractBroken(
                f"{endpoint.value}: {redact(url)} answered HTTP {response.status}; check"
                " METRICS_API_BASE_URL and the endpoint's path in the settings"
            )
        # Only now: a sign-in page may set an anonymous session, which is nothing to keep.
        self._session.renew(response.cookies)
        return response


def _refuse_unauthorised(response: Response) -> None:
    """Recognise an expired session in its three shapes: 401, a redirect, a page."""
    if response.status == 401:
        raise SignInRequired(f"the session has expired (HTTP 401); {SIGN_IN_AGAIN}")
    if response.status == 403:
        raise SignInRequired(
            "this account may not see the figures (HTTP 403); as an administrator,"
            f" {SIGN_IN_AGAIN}"
        )
    if 300 <= response.status < 400:
        target = absolute(response.url, response.headers.get("Location", ""))
        if path_of(target).rstrip("/") == path_of(response.url).rstrip("/"):
            raise UsageError(
                f"{redact(response.url)} has moved to {redact(target)}; set METRICS_API_BASE_URL"
            )
        raise SignInRequired(f"the session has expired (sent to {redact(target)}); {SIGN_IN_AGAIN}")
    if response.status == 200 and (
        response.content_type == "text/html" or response.begins_with(b"<")
    ):
        raise SignInRequired(
            f"the session has expired (a page came where data was due); {SIGN_IN_AGAIN}"
        )


def _json_date(day: date) -> str:
    """Compact: with spaces in it, the server answers without data."""
    return msgspec.json.encode({"year": day.year, "month": day.month, "day": day.day}).decode()


def _decode_field(endpoint: Endpoint, name: str, raw: msgspec.Raw, kind: Any) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.MsgspecError as error:
        raise ContractBroken(f"{endpoint.value}: {name}: {error}") from error


def _decode_records(endpoint: str, page: Page) -> list[tuple[Any, dict[str, Any]]] | OtherRecords:
    """Each record as a wire struct, with the fields that it does not know."""
    try:
        return [(record, {}) for record in _USUAL_RECORDS.decode(page.records)]
    except msgspec.MsgspecError:
        pass  # an unknown field, another API, or a fault: the slow way tells which
    try:
        records = _ANY_RECORDS.decode(page.records)
    except msgspec.MsgspecError as error:
        raise ContractBroken(f"{endpoint}: {error}") from error
    if page.key != _USERS_KEY and not any(_FIELDS & record.keys() for record in records):
        return OtherRecords(records)
    decoded = []
    for number, record in enumerate(records, start=1):
        try:
            known = msgspec.convert(record, _RECORD)
        except msgspec.ValidationError as error:
            raise ContractBroken(f"{endpoint}: record {number}: {error}") from error
        decoded.append((known, {k: v for k, v in record.items() if k not in _FIELDS}))
    return decoded


class _Once:
    """Warnings that are given once a run, whichever thread meets their cause first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: set[tuple[str, str]] = set()

    def warn(self, message: str, name: str) -> None:
        with self._lock:
            if (message, name) in self._given:
                return
            self._given.add((message, name))
        logger.warning(message, name)
