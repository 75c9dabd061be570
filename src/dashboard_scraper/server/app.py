"""Read-only HTTP endpoints on the store: GitHub's REST API for Copilot usage, and the report.

Paths, envelopes and error bodies are GitHub's, so that tools made for it can be pointed here. If a
figure is missing, the response is 404 with a message that says which, never an empty report.
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import time
from collections import ChainMap
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any

import msgspec
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from dashboard_scraper.errors import DaysMissing, ScraperError
from dashboard_scraper.github.kinds import Report, Subject
from dashboard_scraper.github.kinds import Scope as ReportScope
from dashboard_scraper.github.views import GithubViews
from dashboard_scraper.model.dates import Window
from dashboard_scraper.report.view import ReportView
from dashboard_scraper.server.access import LINK_SECONDS, Access
from dashboard_scraper.server.answers import (
    accepts_gzip,
    error_answer,
    gzipped,
    json_answer,
    negotiated,
    not_modified,
    sent_tags,
    set_tag,
    tag_of,
    tagged,
    with_caveats,
)
from dashboard_scraper.server.directory import RATE_LIMIT, Directory, Endpoint, avatar
from dashboard_scraper.server.download_names import file_of, report_of
from dashboard_scraper.server.guard import NOTHING, PAGE, Door, Guard, GuardedRoute, Needs
from dashboard_scraper.server.guesses import Guesses
from dashboard_scraper.server.noted import noted_of
from dashboard_scraper.server.openmetrics import CONTENT_TYPE, open_metrics
from dashboard_scraper.server.places import Places, Roots, editors_merged
from dashboard_scraper.server.rates import Rates
from dashboard_scraper.server.request_log import RequestLog
from dashboard_scraper.server.requests import CheckedRequests, Hosts
from dashboard_scraper.server.scopes import Scope
from dashboard_scraper.server.streams import Streamed

logger = logging.getLogger(__name__)

# Only what a page cannot set itself; its own meta element has the rest of the policy.
_PAGE_HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_REPORTS = Needs(Door.TOKEN, Scope.REPORTS)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_PREFIXES = {ReportScope.ENTERPRISE: "/enterprises", ReportScope.ORGANIZATION: "/orgs"}
_SCOPES = {prefix[1:]: scope for scope, prefix in _PREFIXES.items()}


class ServerOptions(msgspec.Struct, frozen=True):
    """The slugs to answer for (if none, any), and how clients reach the server.

    `hosts` are the hosts that a request may name, since download links lead to them; if None, any.
    `others` are views of further sources, which only `/metrics` shows. Each token may send
    `requests_per_minute`; if it is None, any number.
    """

    slugs: dict[ReportScope, Sequence[str]]
    public_url: str | None = None
    hosts: Hosts | None = None
    others: Sequence[GithubViews] = ()
    requests_per_minute: int | None = None
    log_addresses: bool = False


def make_app(
    views: GithubViews,
    report: ReportView,
    access: Access,
    options: ServerOptions,
    guesses: Guesses | None = None,
) -> Starlette:
    """The ASGI application. `guesses` are limited as usual unless another limit is given."""
    guard = Guard(access, Rates(options.requests_per_minute), guesses or Guesses())
    app = Starlette(
        routes=_Endpoints(views, report, access, guard, options).routes(),
        middleware=[
            Middleware(RequestLog, addresses=options.log_addresses),
            Middleware(CheckedRequests, hosts=options.hosts),
            Middleware(Roots),
        ],
        exception_handlers={
            HTTPException: _http_error,
            DaysMissing: _not_there,
            ScraperError: _failed,
            Exception: _failed,
        },
    )
    app.router.default = guard.nothing
    app.router.redirect_slashes = False  # a path with a trailing slash does not exist at GitHub
    return app


class _Endpoints:
    """The endpoint of each path; those that read the store are not async, and run in threads."""

    def __init__(
        self,
        views: GithubViews,
        report: ReportView,
        access: Access,
        guard: Guard,
        options: ServerOptions,
    ) -> None:
        self._views = views
        self._report = report
        self._access = access
        self._guard = guard
        self._tagged_page = b"", ""
        self._run = secrets.token_hex(16)
        self._options = options
        self._places = Places(options.public_url)

    def routes(self) -> list[GuardedRoute]:
        """Every path with what it needs; starlette answers HEAD for every path with GET."""
        rows: list[tuple[str, Callable[[Request], Any], Needs]] = [
            (PAGE, self._page, Needs(Door.TOKEN, Scope.PAGE)),
            ("/healthz", self._health, NOTHING),
            ("/metrics", self._metrics, Needs(Door.MORE, Scope.METRICS)),
            ("/avatars/u/{number:int}", avatar, NOTHING),
            ("/downloads/{scope}/{file}", self._download, Needs(Door.LINK, Scope.REPORTS)),
        ]
        directory = Directory(self._views, self._places, self._options.slugs)
        for path, endpoint in (*self._reports(), *directory.routes()):
            needs = replace(_REPORTS, counted=path != RATE_LIMIT)
            rows.append((path, self._answering(path, endpoint), needs))
        return [GuardedRoute(path, endpoint, needs, self._guard) for path, endpoint, needs in rows]

    def _reports(self) -> Iterator[tuple[str, Endpoint]]:
        for scope, prefix in _PREFIXES.items():
            reports = f"{prefix}/{{slug}}/copilot/metrics/reports"
            for subject in Subject:
                one = Report(scope, subject, _ANY, latest=False)
                yield f"{reports}/{one.name}", self._of_day(scope, subject)
                if subject is not Subject.TEAMS:  # GitHub has no such report either
                    latest = Report(scope, subject, _ANY, latest=True)
                    yield f"{reports}/{latest.name}/latest", self._latest(scope, subject)

    def _answering(self, path: str, endpoint: Endpoint) -> Endpoint:
        """The endpoint of a path; if the path has a name in it, only for the configured names."""
        scope = _SCOPES.get(path.split("/")[1])
        known = self._options.slugs[scope] if scope else ()

        def answer(request: Request) -> Response:
            if known and request.path_params["slug"].lower() not in known:
                raise HTTPException(404, "Not Found")
            return negotiated(request, endpoint(request))

        return answer

    def _page(self, request: Request) -> Response:
        page, known = self._report.page(), self._tagged_page
        if page is not known[0]:  # it is large, and the same until a day is stored
            known = self._tagged_page = page, tag_of(page)
        response = Response(page, headers=_PAGE_HEADERS, media_type="text/html")
        return tagged(request, response, known[1])

    def _of_day(self, scope: ReportScope, subject: Subject) -> Endpoint:
        def answer(request: Request) -> Response:
            day, merge = _day_of(request), editors_merged(request)
            report, caveats = self._views.of_day(scope, subject, day, merge_ides=merge)
            return with_caveats(
                self._envelope(request, report, report_day=report.window.end), caveats
            )

        return answer

    def _latest(self, scope: ReportScope, subject: Subject) -> Endpoint:
        def answer(request: Request) -> Response:
            merge = editors_merged(request)
            report, caveats = self._views.latest(scope, subject, merge_ides=merge)
            start, end = report.window.start, report.window.end
            envelope = self._envelope(request, report, report_start_day=start, report_end_day=end)
            return with_caveats(envelope, caveats)

        return answer

    def _envelope(self, request: Request, report: Report, **days: date) -> Response:
        links = [self._link(request, part) for part in self._views.parts_of(report)]
        return json_answer({"download_links": links, **days})

    def _link(self, request: Request, report: Report) -> str:
        path = f"/downloads/{report.scope.value}/{file_of(report)}"
        expires = int(time.time()) + LINK_SECONDS
        holder = noted_of(request.scope).holder
        if holder is None:
            raise RuntimeError("a link is signed for a token")
        signature = self._access.sign(path, expires, holder)
        return f"{self._places.web(request)}{path}?expires={expires}&signature={signature}"

    async def _download(self, request: Request) -> Response:
        """Needs no token: the signed link gives access to this report until it expires."""
        report = report_of(**request.path_params)
        if not report:
            raise HTTPException(404, "Not Found")
        # Read the state before the report: a tag is never newer than the report it stands for.
        tag = await run_in_threadpool(self._tag_in_this_state, request.scope["path"])
        if tag.removeprefix("W/") in sent_tags(request.headers):
            unchanged = Response(headers={"Vary": "Accept-Encoding"})
            set_tag(unchanged, tag)
            return not_modified(unchanged)
        response = await self._streamed(request, report)
        set_tag(response, tag)
        return response

    def _tag_in_this_state(self, path: str) -> str:
        """An ETag for a report that is too large to be read for it: a tag of what the report is
        made from, which is the store and the settings; the latter do not change within a process.
        """
        return tag_of(repr((self._run, self._views.state(), path)).encode())

    async def _streamed(self, request: Request, report: Report) -> Response:
        kind = "application/json" if report.subject is Subject.WHOLE else "application/x-ndjson"
        download = self._views.download(report)
        compress = accepts_gzip(request.headers)
        chunks = gzipped(download.chunks) if compress else download.chunks
        # Get the first chunk before the status is sent, so that an error can still change the
        # status.
        first = await run_in_threadpool(next, chunks, b"")
        if request.method == "HEAD":
            await run_in_threadpool(chunks.close)
            first = b""
        response = with_caveats(Streamed(first, chunks, kind), download.caveats)
        response.headers["Vary"] = "Accept-Encoding"
        if compress:
            response.headers["Content-Encoding"] = "gzip"
        return response

    def _health(self, _request: Request) -> Response:
        self._views.check()
        return json_answer({"status": "ok"})

    def _metrics(self, request: Request) -> Response:
        """Costs and teams of the organization are only for requests with a token."""
        has_token = noted_of(request.scope).holder is not None
        views = (self._views, *self._options.others)
        text = open_metrics(
            self._views.status(),
            dict(ChainMap(*(each.people() for each in views))),
            dict(ChainMap(*(each.missing_from_latest() for each in views))),
            dict(ChainMap(*(each.newest_costs() for each in views))),
            self._views.now(),
            notices=self._views.notices(),
            teams=self._report.teams() if has_token else {},
            amounts=has_token,
        )
        return Response(text, media_type=CONTENT_TYPE)


_ANY = Window(date.min, date.min)
"""A placeholder: the name of a report does not depend on its days."""


def _day_of(request: Request) -> date:
    text = request.query_params.get("day", "")
    with contextlib.suppress(ValueError):
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    raise HTTPException(400, "The parameter day must be a date, as day=2026-11-03")


def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return _failed(request, error)
    # GitHub answers a wrong method with 404, too.
    wrong_method = error.status_code == 405
    return (
        error_answer(404, "Not Found")
        if wrong_method
        else error_answer(error.status_code, error.detail)
    )


def _not_there(_request: Request, error: Exception) -> Response:
    return error_answer(404, str(error))


def _failed(_request: Request, error: Exception) -> Response:
    logger.error("%s", error)
    return error_answer(500, "The report could not be made; the server's log says why")
