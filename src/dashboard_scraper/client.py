"""The dashboard source: three endpoints, read with the session cookie of a browser."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Annotated, Any

import msgspec

from dashboard_scraper.config import Endpoint, Settings
from dashboard_scraper.cookie_auth import SIGN_IN_AGAIN, CookieSession
from dashboard_scraper.date_utils import Window
from dashboard_scraper.decoding import UNDECODABLE, decoding
from dashboard_scraper.errors import ContractBroken, SignInRequired, UsageError
from dashboard_scraper.flatten import Cell, flatten
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
    MAX_COUNT,
    MONTHLY_ACTIVE_USERS,
    REQUIRED_INDEXES,
    TENANT_TOTALS,
    USER_FIELD,
    USER_TITLE,
    Kind,
    TenantMetric,
    lacks_required,
)
from dashboard_scraper.pagination import (
    Page,
    Paginator,
    decode_field,
    parse_object,
    parse_page,
)
from dashboard_scraper.usage import DayUsage, TenantFigure, UserUsage

logger = logging.getLogger(__name__)

_USERS_KEY = "userFeatureStats"
_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
_Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
_TYPES: dict[Kind, Any] = {
    Kind.COUNT: _Count,
    Kind.DAYS: _Count,
    Kind.PERCENT: _Percent,
    Kind.MOMENT: Annotated[datetime, msgspec.Meta(tz=True)],
}
_FIELDS = frozenset({USER_FIELD, *(metric.dashboard for metric in FIGURES)})

_MOMENTS = [i for i, metric in enumerate(FIGURES) if metric.kind is Kind.MOMENT]
_PERCENTS = [i for i, metric in enumerate(FIGURES) if metric.kind is Kind.PERCENT]
_TITLES = frozenset({USER_TITLE, *(metric.title for metric in FIGURES)})


def _wire_record(*, forbid_unknown_fields: bool) -> Any:
    """A struct of one user's record, made from the catalogue, with its fields in that order."""
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        ("user", Annotated[str, msgspec.Meta(min_length=1)])
    ]
    for metric in FIGURES:
        kind, default = _TYPES[metric.kind] | None, None
        if metric.kind is Kind.PERCENT:  # null is usual: only its absence tells that it is gone
            kind, default = kind | msgspec.UnsetType, msgspec.UNSET
        fields.append((metric.name, kind, default))
    return msgspec.defstruct(
        "UserRecord",
        fields,
        rename={"user": USER_FIELD, **{metric.name: metric.dashboard for metric in FIGURES}},
        forbid_unknown_fields=forbid_unknown_fields,
    )


_RECORD = _wire_record(forbid_unknown_fields=False)
_USUAL_RECORDS = msgspec.json.Decoder(list[_wire_record(forbid_unknown_fields=True)])  # type: ignore[misc]
_NO_EXTRA: dict[str, Cell] = {}
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

    def _usage(self, record: Any, extra: dict[str, Cell], gone: set[int]) -> UserUsage:
        """Turn a record to a user's figures; takes from `gone` the fields that it has."""
        user, *values = msgspec.structs.astuple(record)
        for i in _MOMENTS:
            if values[i] is not None and values[i].tzinfo is not UTC:
                values[i] = _in_utc(values[i], FIGURES[i].dashboard)
        for i in _PERCENTS:
            if values[i] is msgspec.UNSET:
                values[i] = None
            else:
                gone.discard(i)
        figures = tuple(values)
        if gone:
            gone.difference_update([i for i in gone if figures[i] is not None])
        if lacks_required(figures):
            for i in REQUIRED_INDEXES:
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
        endpoints = {
            Endpoint.TENANT: TENANT_TOTALS,
            Endpoint.MONTHLY_ACTIVE_USERS: (MONTHLY_ACTIVE_USERS,),
        }
        taken = {metric.name for known in endpoints.values() for metric in known}
        figures = []
        for endpoint, known in endpoints.items():
            if endpoint in self._settings.scrape_endpoints:
                counted, others = self._tenant_answer(endpoint, window, known)
                figures += [TenantFigure(window, name, n) for name, n in counted.items()]
                for name in sorted(others):
                    # Both endpoints may tell, say, the time of their making.
                    own = f"{endpoint.value}.{name}" if name in taken else name
                    taken.add(name)
                    figures.append(TenantFigure(window, own, others[name]))
        return figures

    def _tenant_answer(
        self, endpoint: Endpoint, window: Window, known: tuple[TenantMetric, ...]
    ) -> tuple[dict[str, int], dict[str, Cell]]:
        """The counts that we know, and the other fields, flattened."""
        name = endpoint.value
        fields = parse_object(name, self._get(endpoint, self._url(endpoint, window)).body)
        counted: dict[str, int] = {}
        for metric in known:
            if metric.name not in fields:
                raise ContractBroken(f"{name}: the field {metric.name} is missing")
            counted[metric.name] = decode_field(name, metric.name, fields.pop(metric.name), _Count)
        others = flatten({key: decode_field(name, key, raw, Any) for key, raw in fields.items()})
        for key in others:
            self._reported.warn("unknown field %s, kept as a row of its own", key)
        return counted, others

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
        if 'rel="next"' in response.headers.get("Link", ""):
            raise ContractBroken(f"{endpoint.value}: a Link header leads to more pages; not known")
        # Only now: a sign-in page may set an anonymous session, which is nothing to keep.
        self._session.renew(response.cookies)
        return response


_REDIRECTS = (301, 302, 303, 307, 308)


def _refuse_unauthorised(response: Response) -> None:
    """Recognise an expired session in its three shapes: 401, a redirect, a page."""
    if response.status == 401:
        raise SignInRequired(f"the session has expired (HTTP 401); {SIGN_IN_AGAIN}")
    if response.status == 407:
        raise UsageError("the proxy refused (HTTP 407); check the user and password of HTTP_PROXY")
    if response.status == 403:
        raise SignInRequired(
            "this account may not see the figures (HTTP 403); as an administrator,"
            f" {SIGN_IN_AGAIN}"
        )
    if response.status in _REDIRECTS and (location := response.headers.get("Location")):
        target = absolute(response.url, location)
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


def _storable(cell: Cell) -> Cell:
    """An integer beyond 64 bits, where the integers of most formats end, as its digits."""
    return str(cell) if isinstance(cell, int) and abs(cell) >= 2**63 else cell


def _in_utc(moment: datetime, field: str) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ContractBroken(f"{Endpoint.USERS.value}: {field}: {error}") from error


def _decode_records(
    endpoint: str, page: Page
) -> Iterable[tuple[Any, dict[str, Cell]]] | OtherRecords:
    """Each record as a wire struct, with the fields that it does not know, flattened."""
    try:
        return zip(_USUAL_RECORDS.decode(page.records), itertools.repeat(_NO_EXTRA))
    except UNDECODABLE:
        pass  # an unknown field, another API, or a fault: the slow way tells which
    with decoding(endpoint):
        records = _ANY_RECORDS.decode(page.records)
    if page.key != _USERS_KEY and not any(_FIELDS & record.keys() for record in records):
        return OtherRecords(records)
    decoded = []
    for number, record in enumerate(records, start=1):
        with decoding(f"{endpoint}: record {number}"):
            known = msgspec.convert(record, _RECORD)
        extra = flatten({k: v for k, v in record.items() if k not in _FIELDS})
        if taken := _TITLES & extra.keys():
            raise ContractBroken(
                f"{endpoint}: record {number}: the unknown field {min(taken)!r} has the name of a"
                " known column"
            )
        decoded.append((known, {name: _storable(cell) for name, cell in extra.items()}))
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
