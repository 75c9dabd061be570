"""The simulator: both APIs on one loopback port, and a record of their requests."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from hashlib import blake2b
from http.cookies import CookieError
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from dashboard_scraper.model.costs import Cost
from dashboard_scraper.simulator import analytics_api, cost_api, dashboard_api
from dashboard_scraper.simulator.connection import Server
from dashboard_scraper.simulator.costs import Billing
from dashboard_scraper.simulator.dashboard_api import Paging, date_parameter
from dashboard_scraper.simulator.exchange import (
    Answer,
    AnswerError,
    Request,
    html_answer,
    json_answer,
)
from dashboard_scraper.simulator.faults import Fault, FaultBook
from dashboard_scraper.simulator.gate import Bucket, Session, session_value
from dashboard_scraper.simulator.organization import Member, Organization

ExpiredShape = Literal["401", "redirect", "html"]
TlsFiles = tuple[str, str]
"""The paths of a certificate and of its key, both PEM."""

_SIGN_IN = "/signin"
_ABSENT = {
    403: AnswerError(403, "PermissionDenied", "cost analytics are not available for this tenant"),
    404: AnswerError(404, "NotFound", "no such endpoint"),
}
_CACHED_BYTES = 512 * 1024 * 1024


class Simulator:
    """Simulates Augment's dashboard and Analytics API while it is entered or started.

    `latency` is in seconds per request. With `clock_scale`, the time of the rate limit runs so many
    times faster. `paging` is for the dashboard's user statistics. `billing` switches the
    organization's contract to dollars or credits; `costs_refused` is the status that every request
    for costs and budgets gets, as where a tenant does not have these endpoints.
    """

    def __init__(
        self,
        organization: Organization | None = None,
        *,
        port: int = 0,
        tls: TlsFiles | None = None,
        latency: float = 0.0,
        rolling: bool = False,
        expire_after: int | None = None,
        expired_shape: ExpiredShape = "401",
        paging: Paging | None = None,
        rate_limit: bool = True,
        clock_scale: float = 1.0,
        credits_available: bool = True,
        billing: Billing | None = None,
        costs_refused: Literal[403, 404] | None = None,
    ) -> None:
        self._billing = billing
        self.organization = self._billed(organization or Organization())
        self.latency = latency
        self.requests: list[Request] = []
        self.max_in_flight = 0
        seed = self.organization.seed
        self.token = f"svc_{blake2b(f'{seed}/token'.encode(), digest_size=20).hexdigest()}"
        self._port, self._tls = port, tls
        self._session = Session(seed, rolling, expire_after)
        self._expired_shape = expired_shape
        self._paging = paging or Paging()
        self._bucket = Bucket(10, 20, clock_scale) if rate_limit else None
        self._cost_bucket = Bucket(30, 30, clock_scale) if rate_limit else None
        self._credits_available, self._costs_refused = credits_available, costs_refused
        self._faults = FaultBook()
        self._bodies = _Bodies()
        self._in_flight = 0
        self._lock = threading.Lock()
        self._server: Server | None = None

    def start(self) -> Self:
        self._server = Server(self._port, self._respond, self._tls)
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop, also requests that hang; may be called twice."""
        server, self._server = self._server, None
        if server:
            self._port = server.port  # so that `url` still names the address, which refuses now
            server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The base of both APIs, without a slash at its end."""
        port = self._server.port if self._server else self._port
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"

    @property
    def cookie(self) -> str:
        """The session's newest value, URL-encoded, as a browser shows it."""
        return quote(self.cookie_decoded, safe="")

    @property
    def cookie_decoded(self) -> str:
        return self._session.newest

    def expire(self) -> None:
        """Expire the session."""
        self._session.expire()

    def sign_in(self) -> str:
        """Start a new session; returns its cookie's value, URL-encoded."""
        self._session.sign_in()
        return self.cookie

    def add_fault(self, fault: Fault) -> None:
        self._faults.add(fault)

    def clear_faults(self) -> None:
        self._faults.clear()

    def revise(self, day: date) -> None:
        """Raise the figures of the day in both APIs."""
        self.organization.revise(day)
        self._bodies.clear()

    def revise_costs(self, day: date) -> None:
        """Raise what the day's usage costs, but not the usage."""
        self.organization.costs.revise(day)
        self._bodies.clear()

    def move_costs(self, day: date) -> tuple[Cost, Cost]:
        """Move half of one person's costs of a resource to another; returns both rows as they are
        then. The day's sums stay.
        """
        moved = self.organization.costs.move(day)
        self._bodies.clear()
        return moved

    def plant_spike(self, day: date, member: Member | None = None) -> Cost:
        """Add twice what all people cost on the day to one model of a person, by default the first
        with costs; returns the row as it is then.
        """
        spike = self.organization.costs.plant_spike(day, member)
        self._bodies.clear()
        return spike

    def plant_huge_tokens(self, day: date) -> Cost:
        """Add more than 2**53 tokens of each class to one person, free of charge; returns the row
        as it is then.
        """
        huge = self.organization.costs.plant_huge_tokens(day)
        self._bodies.clear()
        return huge

    def speak_for(self, organization: Organization) -> None:
        """Switch both APIs to this organization's figures."""
        self.organization = self._billed(organization)
        self._bodies.clear()

    def _billed(self, organization: Organization) -> Organization:
        if self._billing:
            organization.costs.bill_in(self._billing)
        return organization

    def answer_for(self, organization: Organization, request: Request) -> Answer:
        """The answer to an authorised request, with this organization's figures."""
        query = request.query
        if request.path in dashboard_api.ENDPOINTS:
            try:
                return json_answer(
                    dashboard_api.answer(organization, request.path, query, self._paging, self.url)
                )
            except AnswerError as error:
                return json_answer({"error": error.message}, error.status)
        try:
            if request.endpoint in cost_api.ENDPOINTS:
                body = cost_api.answer(organization, request.endpoint, request.body)
            else:
                body = analytics_api.answer(organization, request.endpoint, query)
            return json_answer(body)
        except AnswerError as error:
            return _refusal(error)

    def prepare(self, days: Iterable[date]) -> None:
        """Cache the figures of single days, sums of costs, and the dashboard's answers (first
        pages).
        """
        for day in days:
            self.organization.costs.total(day)
            query = dict.fromkeys(("startDate", "endDate"), date_parameter(day))
            for path in dashboard_api.ENDPOINTS:
                self._honest_answer(Request("GET", path, query, None, None, 0.0))

    def count(self, endpoint: str | None = None, day: date | None = None) -> int:
        """The number of requests for the endpoint (the last segment of the path) and single day."""
        return sum(
            endpoint in (None, request.endpoint) and day in (None, request.day)
            for request in tuple(self.requests)
        )

    def _respond(self, request: Request) -> Answer | None:
        """Answer, and record the request first, so that whoever has the answer finds the record."""
        with self._counted():
            if self._pause(self.latency):
                return None
            answer = self._answer(request)
            self.requests.append(replace(request, status=answer.status))
            return None if self._pause(answer.hang) else answer

    def _pause(self, seconds: float) -> bool:
        """Whether the simulator stopped meanwhile."""
        server = self._server
        return server is None or (seconds > 0 and server.stopping.wait(seconds))

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight)
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def _answer(self, request: Request) -> Answer:
        path, name = request.path, request.endpoint
        if path == _SIGN_IN:
            return html_answer()
        if path in dashboard_api.ENDPOINTS:
            return self._dashboard(request) if request.method == "GET" else _wrong_method("GET")
        for endpoints, method in ((analytics_api.ENDPOINTS, "GET"), (cost_api.ENDPOINTS, "POST")):
            if name in endpoints and path == f"{analytics_api.PREFIX}{name}":
                wrong = request.method != method
                return _wrong_method(method) if wrong else self._analytics(request)
        return json_answer({"error": "Not Found"}, 404)

    def _dashboard(self, request: Request) -> Answer:
        try:
            value = session_value(request.cookie)
        except CookieError as error:
            return json_answer({"error": str(error)}, 401)
        headers = None if value is None else self._session.admit(value)
        if headers is None:
            return self._signed_out(request)
        answer = self._faults.apply(self._honest_answer(request), request)
        return answer.with_headers(*headers)

    def _signed_out(self, request: Request) -> Answer:
        if self._expired_shape == "html":
            return html_answer()
        if self._expired_shape == "redirect":
            location = f"{_SIGN_IN}?redirect={quote(request.path, safe='')}"
            return Answer(302, b"", "text/plain", headers=(("Location", location),))
        return json_answer({"error": "Unauthorized"}, 401)

    def _analytics(self, request: Request) -> Answer:
        if request.authorization != f"Bearer {self.token}":
            return _refusal(AnswerError(401, "Unauthenticated", "invalid or missing token"))
        is_cost = request.endpoint in cost_api.ENDPOINTS
        is_credits = request.endpoint == analytics_api.CREDITS
        bucket = self._cost_bucket if is_cost or is_credits else self._bucket
        retry_after = bucket.take() if bucket else None
        if retry_after is not None:
            refused = _refusal(AnswerError(429, "ResourceExhausted", "rate limit exceeded"))
            return refused.with_headers(("Retry-After", retry_after))
        if is_credits and not self._credits_available:
            return _refusal(_ABSENT[404])
        if is_cost and self._costs_refused:
            return _refusal(_ABSENT[self._costs_refused])
        return self._faults.apply(self._honest_answer(request), request)

    def _honest_answer(self, request: Request) -> Answer:
        known = self._bodies.get(request)
        if known is not None:
            return known
        generation = self._bodies.generation
        answer = self.answer_for(self.organization, request)
        return self._bodies.store(request, answer, generation) if answer.status == 200 else answer


class _Bodies:
    """A cache of encoded answers for single days. Thread-safe."""

    def __init__(self) -> None:
        self.generation = 0
        self._answers: dict[object, Answer] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, request: Request) -> Answer | None:
        with self._lock:
            return self._answers.get(request.key)

    def store(self, request: Request, answer: Answer, generation: int) -> Answer:
        """Store the answer, unless the figures were revised while it was computed; returns it."""
        with self._lock:
            if request.day and generation == self.generation:
                if self._bytes > _CACHED_BYTES:
                    self._answers.clear()
                    self._bytes = 0
                self._answers[request.key] = answer
                self._bytes += len(answer.body)
        return answer

    def clear(self) -> None:
        with self._lock:
            self.generation += 1
            self._answers.clear()
            self._bytes = 0


def _wrong_method(right: str) -> Answer:
    refused = json_answer({"error": f"use {right}"}, 405)
    return refused.with_headers(("Allow", right))


def _refusal(error: AnswerError) -> Answer:
    """The Analytics API's form of an error."""
    return json_answer({"error": {"code": error.code, "message": error.message}}, error.status)
