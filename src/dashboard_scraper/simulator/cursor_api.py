"""Cursor's Admin API: the answer to a request about a team, with pages, limits and errors."""

from __future__ import annotations

import base64
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec

from dashboard_scraper.decoding import decodable
from dashboard_scraper.model.dates import Window, start_of_day, utc_day
from dashboard_scraper.simulator.api import Api, Stage, wrong_method
from dashboard_scraper.simulator.cursor_team import (
    CursorTeam,
    Event,
    Seat,
    cents_text,
    moment_of,
    ms_of,
)
from dashboard_scraper.simulator.exchange import Answer, AnswerError, Request, invalid, json_answer
from dashboard_scraper.simulator.organization import Organization

PREFIX = "/teams/"
MEMBERS, USAGE, EVENTS, SPEND = "members", "daily-usage-data", "filtered-usage-events", "spend"
_METHODS = {MEMBERS: "GET", USAGE: "POST", EVENTS: "POST", SPEND: "POST"}
_PER_MINUTE = {MEMBERS: 20, USAGE: 20, EVENTS: 60, SPEND: 20}

_MOST_DAYS = 30
_MOST_EVENTS = 1000
_DEFAULT_EVENTS = 10
_EXTENSIONS = (".py", ".ts", ".go")

Json = dict[str, Any]
_Row = TypeVar("_Row")


@decodable
class _Query(msgspec.Struct, forbid_unknown_fields=True):
    startDate: int | None = None  # noqa: N815 - the names on the wire
    endDate: int | None = None  # noqa: N815
    page: int | None = None
    pageSize: int | None = None  # noqa: N815


class CursorApi(Api):
    """The Admin API, for clients that have the key of the team's administrator; each endpoint has a
    limit.

    `plan` is False for a team whose plan does not include the API; `most` is the size of the
    largest page, whatever is requested.
    """

    def __init__(self, stage: Stage, *, plan: bool = True, most: int | None = None) -> None:
        super().__init__(stage)
        self.plan = plan
        self.most = most
        digest = blake2b(f"{stage.organization.seed}/cursor".encode(), digest_size=32).hexdigest()
        self.key = f"crsr_{digest}"
        self._team = CursorTeam(stage.organization)
        self._minutes: dict[str, Minute] = {}
        if stage.rate_limit:
            self._minutes = {n: Minute(most, stage.clock_scale) for n, most in _PER_MINUTE.items()}

    @property
    def team(self) -> CursorTeam:
        """The organization's team, whose figures the API has."""
        return self._team_of(self.stage.organization)

    def _team_of(self, organization: Organization) -> CursorTeam:
        if self._team.organization is not organization:
            self._team = CursorTeam(organization)
        return self._team

    def handles(self, request: Request) -> bool:
        return request.path.startswith(PREFIX)

    def is_cached(self, request: Request) -> bool:  # noqa: ARG002
        return False

    def refusal(self, request: Request) -> Answer | None:
        name = request.path.removeprefix(PREFIX)
        if name not in _METHODS:
            return _refused(AnswerError(404, "", "Not Found"))
        if request.method != _METHODS[name]:
            return wrong_method(_METHODS[name])
        expected = f"Basic {base64.b64encode(f'{self.key}:'.encode()).decode()}"
        if request.authorization != expected:
            return _refused(AnswerError(401, "Unauthorized", "Invalid API key"))
        minute = self._minutes.get(name)
        if minute is not None and not minute.admits():
            return _refused(AnswerError(429, "Too Many Requests", "Rate limit exceeded"))
        if not self.plan:
            return _refused(AnswerError(403, "Forbidden", "This endpoint needs another plan"))
        return None

    def honest_answer(self, organization: Organization, request: Request) -> Answer:
        face = _Face(self._team_of(organization), self.most)
        try:
            return json_answer(face.body_of(request.path.removeprefix(PREFIX), request.body))
        except AnswerError as error:
            return _refused(error)


class _Face:
    """The API's JSON about a team."""

    def __init__(self, team: CursorTeam, most: int | None) -> None:
        self.team = team
        self._most = most

    def _size(self, asked: int) -> int:
        return min(asked, self._most or asked)

    def body_of(self, name: str, body: bytes) -> Json:
        """The JSON of an endpoint; AnswerError for a query that is refused."""
        if name == MEMBERS:
            return {"teamMembers": [_member(self.team, seat) for seat in self.team.listed()]}
        answers: dict[str, Callable[[_Query], Json]] = {
            USAGE: self._usage,
            EVENTS: self._events,
            SPEND: self._spend,
        }
        return answers[name](_decoded(body))

    def _usage(self, query: _Query) -> Json:
        start, end = _period(query)
        window = Window(utc_day(start), utc_day(end))
        seats = self.team.of_period(window)
        period = {"startDate": query.startDate, "endDate": query.endDate}
        if query.page is None and query.pageSize is None:
            return {"data": self._rows(self._active(seats, window), window), "period": period}
        if query.page is None or query.pageSize is None:
            raise invalid("page and pageSize must be given together")
        number, size = query.page, self._size(query.pageSize)
        pages = max(1, -(-len(seats) // size))
        return {
            "data": self._rows(_slice(seats, number, size), window),
            "period": period,
            "pagination": {
                "page": number,
                "pageSize": size,
                "totalUsers": len(seats),
                "totalPages": pages,
                "hasNextPage": number < pages,
                "hasPreviousPage": number > 1,
            },
        }

    def _active(self, seats: Sequence[Seat], window: Window) -> list[Seat]:
        """Everybody who had any activity in the period."""
        return [seat for seat in seats if any(any(self.team.usage(seat, d)) for d in window.days())]

    def _rows(self, seats: Sequence[Seat], window: Window) -> list[Json]:
        return [self._row(seat, day) for seat in seats for day in window.days()]

    def _row(self, seat: Seat, day: date) -> Json:
        counts = self.team.usage(seat, day)
        active = any(counts)
        email = self.team.email(seat)
        return {
            "userId": seat.user_id,
            "day": f"{day}",
            "date": ms_of(start_of_day(day)),
            **({"email": email} if email else {}),
            "isActive": active,
            **counts._asdict(),
            "mostUsedModel": "model-a" if active else None,
            "applyMostUsedExtension": _EXTENSIONS[seat.user_id % 3] if active else None,
            "tabMostUsedExtension": _EXTENSIONS[seat.user_id % 3] if active else None,
            "clientVersion": f"9.{seat.user_id % 4}.0" if active else None,
        }

    def _events(self, query: _Query) -> Json:
        start, end = _period(query)
        number, size = query.page or 1, query.pageSize or _DEFAULT_EVENTS
        if size > _MOST_EVENTS:
            raise invalid(f"pageSize must be at most {_MOST_EVENTS}")
        size = self._size(size)
        found = self.team.events(start, end)
        pages = max(1, -(-len(found) // size))
        return {
            "totalUsageEventsCount": len(found),
            "pagination": {
                "numPages": pages,
                "currentPage": number,
                "pageSize": size,
                "hasNextPage": number < pages,
                "hasPreviousPage": number > 1,
            },
            "usageEvents": [self._event(event) for event in _slice(found, number, size)],
            "period": {"startDate": query.startDate, "endDate": query.endDate},
        }

    def _event(self, event: Event) -> Json:
        email = self.team.email(event.seat) if event.seat else None
        whose: Json = {"userEmail": email} if email else {}
        if event.service is not None:
            number = sum(event.service.encode())
            whose = {"serviceAccountId": f"sa_{number:06}", "serviceAccountName": event.service}
        elif event.seat is None:
            whose = {"cloudAgentId": f"bc-{event.ms:x}"}
        found: Json = {
            "timestamp": f"{event.ms}",
            **whose,
            "model": event.model,
            "kind": "Usage-based" if event.chargeable else "Included in Business",
            "maxMode": False,
            "requestsCosts": msgspec.Raw(f"{event.requests / 10:g}".encode()),
            "isTokenBasedCall": event.tokens is not None,
            "isChargeable": event.chargeable,
            "isHeadless": event.seat is None,
            "chargedCents": _cents(event.charged),
        }
        if event.tokens is not None:
            found["tokenUsage"] = {
                "inputTokens": event.tokens.input,
                "outputTokens": event.tokens.output,
                "cacheWriteTokens": event.tokens.cache_write,
                "cacheReadTokens": event.tokens.cache_read,
                "totalCents": _cents(event.charged),
            }
        return found

    def _spend(self, query: _Query) -> Json:
        rows = self.team.spend()
        number, size = query.page or 1, self._size(query.pageSize or max(1, len(rows)))
        return {
            "teamMemberSpend": [_spend_of(*row) for row in _slice(rows, number, size)],
            "subscriptionCycleStart": ms_of(self.team.cycle_start),
            "totalMembers": len(rows),
            "totalPages": max(1, -(-len(rows) // size)),
        }


class Minute:
    """At most this many requests in any minute, which passes `scale` times faster. Thread-safe."""

    def __init__(self, most: int, scale: float) -> None:
        self._length = 60 / scale
        self._admitted: deque[float] = deque(maxlen=most)
        self._most = most
        self._lock = threading.Lock()

    def admits(self) -> bool:
        """Whether this request is within the limit; refused requests do not count."""
        with self._lock:
            now = time.monotonic()
            if len(self._admitted) == self._most and now - self._admitted[0] < self._length:
                return False
            self._admitted.append(now)
            return True


def _member(team: CursorTeam, seat: Seat) -> Json:
    first, _, last = seat.person.email.partition("@")[0].partition(".")
    return {
        "id": seat.public_id,
        "name": f"{first} {last}".title(),
        "email": seat.person.email,
        "role": seat.role,
        "isRemoved": not team.is_there(seat),
    }


def _spend_of(seat: Seat, on_demand: int, overall: int) -> Json:
    return {
        "userId": seat.public_id,
        "name": seat.person.email.partition("@")[0],
        "email": seat.person.email,
        "role": seat.role,
        "spendCents": _cents(on_demand),
        "overallSpendCents": _cents(overall),
        "fastPremiumRequests": 0,
        "hardLimitOverrideDollars": 0,
        "monthlyLimitDollars": None,
        "effectivePerUserLimitDollars": None,
    }


def _cents(units: int) -> msgspec.Raw:
    return msgspec.Raw(cents_text(units).encode())


def _slice(rows: Sequence[_Row], number: int, size: int) -> Sequence[_Row]:
    return rows[(number - 1) * size : number * size]


def _period(query: _Query) -> tuple[datetime, datetime]:
    if query.startDate is None or query.endDate is None:
        raise invalid("startDate and endDate are required")
    if query.startDate > query.endDate:
        raise invalid("startDate must not be after endDate")
    start, end = moment_of(query.startDate), moment_of(query.endDate)
    if end - start > timedelta(days=_MOST_DAYS):
        raise invalid(f"the date range cannot exceed {_MOST_DAYS} days")
    return start, end


def _decoded(body: bytes) -> _Query:
    try:
        query = msgspec.json.decode(body or b"{}", type=_Query)
    except msgspec.DecodeError as error:
        raise invalid(f"invalid request body: {error}") from error
    if any(number is not None and number < 1 for number in (query.page, query.pageSize)):
        raise invalid("page and pageSize must be at least 1")
    return query


def _refused(error: AnswerError) -> Answer:
    return json_answer(
        {"error": error.code or error.message, "message": error.message}, error.status
    )
