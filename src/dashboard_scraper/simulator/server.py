"""The simulator: its APIs on one loopback port, and a record of their requests."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from urllib.parse import quote

from dashboard_scraper.model.costs import Cost
from dashboard_scraper.simulator import dashboard_api
from dashboard_scraper.simulator.api import Api, Stage
from dashboard_scraper.simulator.augment import (
    AnalyticsApi,
    CostsRefused,
    Dashboard,
    DashboardApi,
    ExpiredShape,
)
from dashboard_scraper.simulator.claude_code_api import ClaudeCodeApi
from dashboard_scraper.simulator.connection import Served, TlsFiles
from dashboard_scraper.simulator.copilot_api import CopilotApi
from dashboard_scraper.simulator.costs import Billing
from dashboard_scraper.simulator.cursor_api import CursorApi
from dashboard_scraper.simulator.dashboard_api import Paging, date_parameter
from dashboard_scraper.simulator.exchange import Answer, Request, json_answer
from dashboard_scraper.simulator.faults import Fault
from dashboard_scraper.simulator.identity import IdentityProvider
from dashboard_scraper.simulator.organization import Member, Organization


class Simulator(Served):
    """Simulates the APIs of all sources after `start`, or while its context is entered.

    `latency` is in seconds per request. With `clock_scale`, the time of the rate limit runs that
    many times faster. `paging` is for the dashboard's user statistics. `billing` switches the
    organization's contract to dollars or credits. `costs_refused` is the status of every answer
    about costs and budgets, as for a tenant without these endpoints. `cursor_plan` says whether the
    Cursor team's plan includes the Admin API, `cursor_page` is the largest size of its pages. With
    a started `identity`, the dashboard has a home page, which sends browsers there to sign in.
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
        costs_refused: CostsRefused | None = None,
        cursor_plan: bool = True,
        cursor_page: int | None = None,
        identity: IdentityProvider | None = None,
    ) -> None:
        super().__init__(port, tls)
        self._billing = billing
        self._stage = Stage(
            self._billed(organization or Organization()),
            lambda: self.url,
            rate_limit,
            clock_scale,
        )
        self.latency = latency
        self.requests: list[Request] = []
        self.max_in_flight = 0
        self._dashboard = DashboardApi(
            self._stage,
            Dashboard(rolling, expire_after, expired_shape, paging or Paging(), identity),
        )
        self._analytics = AnalyticsApi(self._stage, credits_available, costs_refused)
        self.claude_code = ClaudeCodeApi(self._stage)
        self.cursor = CursorApi(self._stage, plan=cursor_plan, most=cursor_page)
        self.copilot = CopilotApi(self._stage)
        self._apis: tuple[Api, ...] = (
            self._dashboard,
            self._analytics,
            self.claude_code,
            self.cursor,
            self.copilot,
        )
        self._in_flight = 0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """The base of all APIs, without a slash at its end."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def organization(self) -> Organization:
        """The organization whose figures the APIs have."""
        return self._stage.organization

    @organization.setter
    def organization(self, organization: Organization) -> None:
        self._stage.organization = organization

    @property
    def token(self) -> str:
        """The token for the Analytics API."""
        return self._analytics.token

    @property
    def cookie(self) -> str:
        """The session's newest value, URL-encoded, as a browser shows it."""
        return quote(self.cookie_decoded, safe="")

    @property
    def cookie_decoded(self) -> str:
        return self._dashboard.session.newest

    def expire(self) -> None:
        """Expire the session."""
        self._dashboard.session.expire()

    def shorten_session(self, seconds: float) -> None:
        """Let the session expire this long after its last use."""
        self._dashboard.session.shorten(seconds)

    def linger(self) -> None:
        """Let the home page show itself also to browsers whose session has ended."""
        self._dashboard.lingers = True

    def sign_in(self) -> str:
        """Start a new session; returns its cookie's value, URL-encoded."""
        self._dashboard.session.sign_in()
        return self.cookie

    def add_fault(self, fault: Fault) -> None:
        self._stage.faults.add(fault)

    def clear_faults(self) -> None:
        self._stage.faults.clear()

    def revise(self, day: date) -> None:
        """Raise the figures of the day in all APIs."""
        self.organization.revise(day)
        self._stage.bodies.clear()

    def revise_costs(self, day: date) -> None:
        """Raise the costs of the day's usage, but not the usage."""
        self.organization.costs.revise(day)
        self._stage.bodies.clear()

    def move_costs(self, day: date) -> tuple[Cost, Cost]:
        """Move half of one person's costs of a resource to another resource; returns both rows as
        they are then. The day's sums stay the same.
        """
        moved = self.organization.costs.move(day)
        self._stage.bodies.clear()
        return moved

    def plant_spike(self, day: date, member: Member | None = None) -> Cost:
        """Add twice the costs of all people on the day to one model of a person, by default of the
        first one with costs; returns the row as it is then.
        """
        spike = self.organization.costs.plant_spike(day, member)
        self._stage.bodies.clear()
        return spike

    def plant_huge_tokens(self, day: date) -> Cost:
        """Add more than 2**53 tokens of each class to one person, free of charge; returns the row
        as it is then.
        """
        huge = self.organization.costs.plant_huge_tokens(day)
        self._stage.bodies.clear()
        return huge

    def speak_for(self, organization: Organization) -> None:
        """Switch all APIs to this organization's figures."""
        self._stage.organization = self._billed(organization)
        self._stage.bodies.clear()

    def _billed(self, organization: Organization) -> Organization:
        if self._billing:
            organization.costs.bill_in(self._billing)
        return organization

    def answer_for(self, organization: Organization, request: Request) -> Answer:
        """The answer to an authorised request, with this organization's figures."""
        api = self._api_of(request)
        if api is None:
            raise ValueError(f"no API handles {request.path}")
        return api.honest_answer(organization, request)

    def prepare(self, days: Iterable[date]) -> None:
        """Cache the figures of single days, sums of costs, and the dashboard's answers (first
        pages).
        """
        for day in days:
            self.organization.costs.total(day)
            query = dict.fromkeys(("startDate", "endDate"), date_parameter(day))
            for path in dashboard_api.ENDPOINTS:
                self._dashboard.cached_answer(Request("GET", path, query, None, None, 0.0))

    def count(self, endpoint: str | None = None, day: date | None = None) -> int:
        """The number of requests for the endpoint (the last segment of the path) and single day."""
        return sum(
            endpoint in (None, request.endpoint) and day in (None, request.day)
            for request in tuple(self.requests)
        )

    def _respond(self, request: Request) -> Answer | None:
        """Answer, but record the request first: a client that has the answer finds it recorded."""
        with self._counted():
            if self._pause(self.latency):
                return None
            answer = self._answer(request)
            self.requests.append(replace(request, status=answer.status))
            return None if self._pause(answer.hang) else answer

    def _pause(self, seconds: float) -> bool:
        """Wait; returns whether the simulator stopped meanwhile."""
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
        api = self._api_of(request)
        return api.answer(request) if api else json_answer({"error": "Not Found"}, 404)

    def _api_of(self, request: Request) -> Api | None:
        return next((api for api in self._apis if api.handles(request)), None)
