"""Augment's two APIs, as the simulator mounts them: who may send requests, and how often."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from http.cookies import CookieError
from typing import Literal
from urllib.parse import quote, urlencode

from dashboard_scraper.simulator import analytics_api, cost_api, dashboard_api
from dashboard_scraper.simulator.api import Api, Stage, wrong_method
from dashboard_scraper.simulator.dashboard_api import Paging
from dashboard_scraper.simulator.exchange import (
    Answer,
    AnswerError,
    Headers,
    Request,
    html_answer,
    json_answer,
)
from dashboard_scraper.simulator.gate import COOKIE_NAME, Session, session_value
from dashboard_scraper.simulator.identity import (
    AUTHORIZE,
    IdentityProvider,
    cookie,
    page,
    redirection,
)
from dashboard_scraper.simulator.organization import Organization

ExpiredShape = Literal["401", "redirect", "html"]
CostsRefused = Literal[403, 404]

SIGN_IN = "/signin"
HOME, CALLBACK = "/", "/auth/callback"
_ABSENT = {
    403: AnswerError(403, "PermissionDenied", "cost analytics are not available for this tenant"),
    404: AnswerError(404, "NotFound", "no such endpoint"),
}
_METHODS = {
    **{f"{analytics_api.PREFIX}{name}": "GET" for name in analytics_api.ENDPOINTS},
    **{f"{analytics_api.PREFIX}{name}": "POST" for name in cost_api.ENDPOINTS},
}


@dataclass(frozen=True, slots=True)
class Dashboard:
    """How the dashboard behaves: see `server.Simulator`."""

    rolling: bool = False
    expire_after: int | None = None
    expired_shape: ExpiredShape = "401"
    paging: Paging = field(default_factory=Paging)
    identity: IdentityProvider | None = None


class DashboardApi(Api):
    """The dashboard's endpoints, for clients that have its session cookie. With an identity
    provider, also its home page, which gives browsers a session.
    """

    def __init__(self, stage: Stage, options: Dashboard) -> None:
        super().__init__(stage)
        self.session = Session(stage.organization.seed, options.rolling, options.expire_after)
        self._options = options
        self.lingers = False

    def handles(self, request: Request) -> bool:
        if self._options.identity is not None and request.path in (HOME, CALLBACK):
            return True
        return request.path == SIGN_IN or request.path in dashboard_api.ENDPOINTS

    def answer(self, request: Request) -> Answer:
        """A rolling session's new value comes with every answer, also with a faulty one."""
        refused = self.refusal(request)
        if refused is not None:
            return refused
        headers = self._admitted(request)
        if isinstance(headers, Answer):
            return headers
        answer = self.stage.faults.apply(self.cached_answer(request), request)
        return answer.with_headers(*headers)

    def refusal(self, request: Request) -> Answer | None:
        if request.path == SIGN_IN:
            return html_answer()
        if request.method != "GET":
            return wrong_method("GET")
        identity = self._options.identity
        if identity is not None and request.path == HOME:
            return self._home(request, identity)
        if identity is not None and request.path == CALLBACK:
            return self._callback(request, identity)
        return None

    def _home(self, request: Request, identity: IdentityProvider) -> Answer:
        """The page behind the sign-in. With `lingers`, it is shown to everybody who has a cookie,
        like a page whose script finds out only later that the session has ended.
        """
        value = session_value(request.cookie)
        if value is not None and (self.lingers or self.session.admit(value) is not None):
            return page("Dashboard", "<h1>Dashboard</h1>")
        query = urlencode({"return_to": f"{self.stage.url()}{CALLBACK}"})
        return redirection(f"{identity.url}{AUTHORIZE}?{query}")

    def _callback(self, request: Request, identity: IdentityProvider) -> Answer:
        if not identity.redeem(request.query.get("code", "")):
            return page("Sign in again", "<p>This sign-in is not valid.</p>", 403)
        self.session.sign_in()
        value = quote(self.session.newest, safe="")
        return redirection(HOME).with_headers(cookie(COOKIE_NAME, value))

    def _admitted(self, request: Request) -> Headers | Answer:
        """The headers to add to the answer, or the refusal of the session."""
        try:
            value = session_value(request.cookie)
        except CookieError as error:
            return json_answer({"error": str(error)}, 401)
        headers = None if value is None else self.session.admit(value)
        return self._signed_out(request) if headers is None else headers

    def _signed_out(self, request: Request) -> Answer:
        if self._options.expired_shape == "html":
            return html_answer()
        if self._options.expired_shape == "redirect":
            location = f"{SIGN_IN}?redirect={quote(request.path, safe='')}"
            return Answer(302, b"", "text/plain", headers=(("Location", location),))
        return json_answer({"error": "Unauthorized"}, 401)

    def honest_answer(self, organization: Organization, request: Request) -> Answer:
        paging, url = self._options.paging, self.stage.url()
        try:
            return json_answer(
                dashboard_api.answer(organization, request.path, request.query, paging, url)
            )
        except AnswerError as error:
            return json_answer({"error": error.message}, error.status)


class AnalyticsApi(Api):
    """The Analytics API's endpoints, including costs, for clients that have its token."""

    def __init__(
        self, stage: Stage, credits_available: bool, costs_refused: CostsRefused | None
    ) -> None:
        super().__init__(stage)
        seed = stage.organization.seed
        self.token = f"svc_{blake2b(f'{seed}/token'.encode(), digest_size=20).hexdigest()}"
        self._bucket = stage.bucket(10, 20)
        self._cost_bucket = stage.bucket(30, 30)
        self._credits_available, self._costs_refused = credits_available, costs_refused

    def handles(self, request: Request) -> bool:
        return request.path in _METHODS

    def refusal(self, request: Request) -> Answer | None:
        method = _METHODS[request.path]
        if request.method != method:
            return wrong_method(method)
        if request.authorization != f"Bearer {self.token}":
            return _refused(AnswerError(401, "Unauthenticated", "invalid or missing token"))
        is_cost = request.endpoint in cost_api.ENDPOINTS
        is_credits = request.endpoint == analytics_api.CREDITS
        bucket = self._cost_bucket if is_cost or is_credits else self._bucket
        retry_after = bucket.take() if bucket else None
        if retry_after is not None:
            refused = _refused(AnswerError(429, "ResourceExhausted", "rate limit exceeded"))
            return refused.with_headers(("Retry-After", retry_after))
        if is_credits and not self._credits_available:
            return _refused(_ABSENT[404])
        if is_cost and self._costs_refused:
            return _refused(_ABSENT[self._costs_refused])
        return None

    def honest_answer(self, organization: Organization, request: Request) -> Answer:
        try:
            if request.endpoint in cost_api.ENDPOINTS:
                return json_answer(cost_api.answer(organization, request.endpoint, request.body))
            return json_answer(analytics_api.answer(organization, request.endpoint, request.query))
        except AnswerError as error:
            return _refused(error)


def _refused(error: AnswerError) -> Answer:
    """The Analytics API's form of an error."""
    return json_answer({"error": {"code": error.code, "message": error.message}}, error.status)
