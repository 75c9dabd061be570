"""GitHub's endpoints for Copilot's usage reports and seats, and the other host with the reports."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Literal
from urllib.parse import urlencode, urlsplit

import msgspec

from dashboard_scraper.model.dates import Window
from dashboard_scraper.simulator.api import Api, Stage
from dashboard_scraper.simulator.assistants import COPILOT
from dashboard_scraper.simulator.copilot import NOTHING, Copilot, Tally
from dashboard_scraper.simulator.copilot_records import Json, day_record, seat_record, user_record
from dashboard_scraper.simulator.exchange import Answer, Request, json_answer
from dashboard_scraper.simulator.organization import Organization

NoReport = Literal["204", "[]", "string", "404"]

ENTERPRISE, ORGANIZATION = "example-enterprise", "example-organization"
DOWNLOADS = "/copilot-reports/"
NDJSON = "application/x-ndjson"

_REPORTS = "metrics/reports/"
_SEATS = "billing/seats"
_INSTALLATIONS = "/app/installations/"
_LINK_SECONDS = 3600.0
_APP_TOKEN = timedelta(hours=1)
_LATEST_DAYS = 28
_ONE_YEAR = timedelta(days=365)
_OLDEST = {ENTERPRISE: date(2025, 10, 10), ORGANIZATION: date(2025, 12, 12)}
_OWN = {ENTERPRISE: "enterprise", ORGANIZATION: "organization"}
_IDS: dict[str, Json] = {
    ENTERPRISE: {"enterprise_id": "4711"},
    ORGANIZATION: {"enterprise_id": "4711", "organization_id": "815"},
}
_SCOPES = ("manage_billing:copilot", "read:enterprise")


@dataclass
class _Link:
    """A link that was issued: where it leads, and until when."""

    tenant: str
    report: str
    window: Window
    part: int
    parts: int
    expires: float


@dataclass
class CopilotBehaviour:
    """What tests change: how GitHub says that there is no report, what the token may do, which days
    are late or differ from their users; and what a client that leaks its token has sent.
    """

    scopes: tuple[str, ...] = _SCOPES
    no_report: dict[str, NoReport] = field(
        default_factory=lambda: {ENTERPRISE: "[]", ORGANIZATION: "204"}
    )
    ready_days: int = 2
    late: set[date] = field(default_factory=set)
    drifts: dict[date, Tally] = field(default_factory=dict)
    policy_enabled: bool = True
    sso_authorised: bool = True
    shards: int = 2
    leaks: list[Request] = field(default_factory=list)


class CopilotApi(Api):
    """GitHub's API, for clients that have a token, or the key of an installed app."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        seed = stage.organization.seed
        self.token = f"ghp_{blake2b(f'{seed}/copilot'.encode(), digest_size=18).hexdigest()}"
        self.behaviour = CopilotBehaviour()
        self.app_id, self.installation = "1234", "56789"
        self.app_public_key = b""
        """PEM; empty if there is no app."""
        self.app_token_life = _APP_TOKEN
        self._app_tokens: dict[str, float] = {}
        self._links: dict[str, _Link] = {}
        self._serial = itertools.count(1)
        self._bucket = stage.bucket(5000 // 60, 100)

    def handles(self, request: Request) -> bool:
        return request.path.startswith((DOWNLOADS, _INSTALLATIONS, "/enterprises/", "/orgs/"))

    def expire_links(self) -> None:
        """Let every issued link expire."""
        for link in self._links.values():
            link.expires = 0.0

    def is_cached(self, request: Request) -> bool:  # noqa: ARG002 - links differ each time
        return False

    def refusal(self, request: Request) -> Answer | None:
        if request.path.startswith(DOWNLOADS):
            return self._refused_download(request)
        if request.path.startswith(_INSTALLATIONS):
            return None
        if request.method != "GET":
            return _error(404, "Not Found")
        refused = self._unauthorised(request)
        if refused is not None:
            return refused
        retry_after = self._bucket.take() if self._bucket else None
        if retry_after is not None:
            limited = _error(403, "You have exceeded a secondary rate limit.")
            return limited.with_headers(("Retry-After", retry_after))
        return None

    def _unauthorised(self, request: Request) -> Answer | None:
        scheme, _, token = (request.authorization or "").partition(" ")
        known = token == self.token or self._app_tokens.get(token, 0.0) > time.monotonic()
        if scheme not in ("Bearer", "token") or not known:
            return _error(401, "Bad credentials")
        if request.headers.get("accept") != "application/vnd.github+json":
            return _error(415, "Must accept 'application/vnd.github+json'")
        if not self.behaviour.sso_authorised:
            refused = _error(403, "Resource protected by organization SAML enforcement.")
            return refused.with_headers(("X-GitHub-SSO", "required; url=https://example.com/sso"))
        if token == self.token and not set(self.behaviour.scopes) & set(_SCOPES):
            refused = _error(403, "Resource not accessible by personal access token")
            return refused.with_headers(
                ("X-OAuth-Scopes", ", ".join(self.behaviour.scopes)),
                ("X-Accepted-OAuth-Scopes", ", ".join(_SCOPES)),
            )
        if _tenant_of(request.path) is None:
            return _error(404, "Not Found")
        if not self.behaviour.policy_enabled and _REPORTS in request.path:
            return _error(403, "Copilot usage metrics policy is disabled for this enterprise.")
        return None

    def _refused_download(self, request: Request) -> Answer | None:
        if request.authorization is not None:
            self.behaviour.leaks.append(request)
            return _storage_error(400, "InvalidAuthenticationInfo")
        if request.headers.get("host", "").partition(":")[0] != "localhost":
            return _storage_error(400, "InvalidUri")
        link = self._links.get(request.query.get("sig", ""))
        if link is None or link.expires < time.monotonic():
            return _storage_error(403, "AuthenticationFailed")
        return None

    def honest_answer(self, organization: Organization, request: Request) -> Answer:
        path = request.path
        if path.startswith(_INSTALLATIONS):
            return self._installation_token(request)
        copilot = _copilot(organization)
        if path.startswith(DOWNLOADS):
            return self._download(copilot, self._links[request.query["sig"]])
        tenant = _tenant_of(path)
        if tenant is None:
            return _error(404, "Not Found")
        _, _, name = path.partition("/copilot/")
        if name == _SEATS:
            return self._seats(copilot, tenant, request)
        report = name.removeprefix(_REPORTS)
        single = (f"{_OWN[tenant]}-1-day", "users-1-day")
        latest = (f"{_OWN[tenant]}-28-day/latest", "users-28-day/latest")
        if report in single:
            return self._one_day(copilot, tenant, report, request)
        if report in latest:
            return self._latest(copilot, tenant, report)
        return _error(404, "Not Found")

    def newest(self, organization: Organization) -> date:
        """The newest day whose reports are ready."""
        return organization.today - timedelta(days=1 + self.behaviour.ready_days)

    def _one_day(self, copilot: Copilot, tenant: str, report: str, request: Request) -> Answer:
        try:
            day = date.fromisoformat(request.query["day"])
        except (KeyError, ValueError):
            return _error(400, "day must be a date")
        today = copilot.organization.today
        oldest = max(_OLDEST[tenant], today - _ONE_YEAR)
        ready = oldest <= day <= self.newest(copilot.organization)
        if not ready or day in self.behaviour.late or not copilot.usage(day):
            return self._no_report(tenant)
        parts = self.behaviour.shards if report.startswith("users") else 1
        links = self._links_to(tenant, report, Window(day, day), parts)
        return json_answer({"download_links": links, "report_day": f"{day}"})

    def _latest(self, copilot: Copilot, tenant: str, report: str) -> Answer:
        end = self.newest(copilot.organization)
        window = Window(end - timedelta(days=_LATEST_DAYS - 1), end)
        parts = self.behaviour.shards if report.startswith("users") else 1
        links = self._links_to(tenant, report.removesuffix("/latest"), window, parts)
        body = {
            "download_links": links,
            "report_start_day": f"{window.start}",
            "report_end_day": f"{window.end}",
        }
        return json_answer(body)

    def _no_report(self, tenant: str) -> Answer:
        kind = self.behaviour.no_report[tenant]
        if kind == "204":
            return Answer(204, b"")
        if kind == "404":
            return _error(404, "Not Found")
        return json_answer({"download_links": []} if kind == "[]" else "No report available")

    def _links_to(self, tenant: str, report: str, window: Window, parts: int) -> list[str]:
        port = urlsplit(self.stage.url()).port
        links = []
        for part in range(parts):
            serial = next(self._serial)
            signature = blake2b(f"{serial}/{report}".encode(), digest_size=12).hexdigest()
            expires = time.monotonic() + _LINK_SECONDS
            self._links[signature] = _Link(tenant, report, window, part, parts, expires)
            query = urlencode({"day": window.end, "part": part, "sig": signature})
            links.append(f"http://localhost:{port}{DOWNLOADS}{report}.ndjson?{query}")
        return links

    def _download(self, copilot: Copilot, link: _Link) -> Answer:
        days = [day for day in link.window.days() if day not in self.behaviour.late]
        ids = _IDS[link.tenant]
        of_report: Json = {}
        if len(link.window) > 1:
            start, end = link.window.start, link.window.end
            of_report = {"report_start_day": f"{start}", "report_end_day": f"{end}"}
        if link.report.startswith("users"):
            rows = (
                {**of_report, **user_record(usage, ids)}
                for number, usage in enumerate(
                    usage for day in days for usage in copilot.usage(day)
                )
                if number % link.parts == link.part
            )
            return _lines(rows)
        records = [
            day_record(copilot, day, ids, self.behaviour.drifts.get(day, NOTHING))
            for day in days
            if copilot.usage(day)
        ]
        if not of_report:
            return _lines(records)
        whole = {**of_report, **ids, "created_at": f"{copilot.organization.today}T04:00:00Z"}
        return _lines([{**whole, "day_totals": records[::-1]}])

    def _seats(self, copilot: Copilot, tenant: str, request: Request) -> Answer:
        try:
            page, size = (
                int(request.query.get(n, d)) for n, d in (("page", "1"), ("per_page", "50"))
            )
        except ValueError:
            return _error(422, "page and per_page must be numbers")
        size = min(size, 100)
        today = copilot.organization.today
        holders = [each for each in copilot.assistants.members(COPILOT) if each.has(COPILOT, today)]
        seats = [seat_record(copilot, each, ORGANIZATION, "business") for each in holders]
        # A person with seats in two organizations has two objects, and counts once.
        seats += [
            seat_record(copilot, each, "another-organization", "enterprise")
            for each in holders[::9]
            if tenant == ENTERPRISE
        ]
        found = seats[(page - 1) * size : page * size]
        answer = json_answer({"total_seats": len(holders), "seats": found})
        if page * size >= len(seats):
            return answer
        following = f"{self.stage.url()}{request.path}?page={page + 1}&per_page={size}"
        return answer.with_headers(("Link", f'<{following}>; rel="next"'))

    def _installation_token(self, request: Request) -> Answer:
        """A token of the installation, for a JSON Web Token signed with the app's key."""
        import jwt  # noqa: PLC0415

        if request.method != "POST" or not request.path.endswith("/access_tokens"):
            return _error(404, "Not Found")
        scheme, _, signed = (request.authorization or "").partition(" ")
        try:
            claims = jwt.decode(
                signed, self.app_public_key, ["RS256"], options={"require": ["exp"]}
            )
        except jwt.PyJWTError as error:
            return _error(401, f"A JSON web token could not be decoded: {error}")
        if scheme != "Bearer" or claims.get("iss") != self.app_id:
            return _error(401, "Integration not found")
        if claims["exp"] - claims.get("iat", 0) > 660:
            return _error(401, "'Expiration time' claim ('exp') is too far in the future")
        if request.path != f"{_INSTALLATIONS}{self.installation}/access_tokens":
            return _error(404, "Not Found")
        token = f"ghs_{blake2b(f'{next(self._serial)}'.encode(), digest_size=18).hexdigest()}"
        self._app_tokens[token] = time.monotonic() + self.app_token_life.total_seconds()
        expires = datetime.now(UTC) + self.app_token_life
        return json_answer({"token": token, "expires_at": f"{expires:%Y-%m-%dT%H:%M:%SZ}"}, 201)


@lru_cache(maxsize=4)
def _copilot(organization: Organization) -> Copilot:
    return Copilot(organization)


def _tenant_of(path: str) -> str | None:
    """Whose reports or seats the path asks for; None for any other tenant."""
    for tenant, kind in ((ENTERPRISE, "enterprises"), (ORGANIZATION, "orgs")):
        if path.startswith(f"/{kind}/{tenant}/copilot/"):
            return tenant
    return None


def _lines(records: Iterable[Json]) -> Answer:
    encoder = msgspec.json.Encoder()
    return Answer(200, encoder.encode_lines(list(records)), NDJSON)


def _error(status: int, message: str) -> Answer:
    body = {"message": message, "documentation_url": "https://example.com", "status": f"{status}"}
    return json_answer(body, status)


def _storage_error(status: int, code: str) -> Answer:
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code></Error>'
    return Answer(status, body.encode(), "application/xml")
