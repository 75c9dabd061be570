"""Read-only HTTP endpoints on the store: GitHub's REST API for Copilot usage, and the report.

Paths, envelopes and error bodies are GitHub's, so that tools made for it can be pointed here. If a
figure is missing, the response is 404 with a message that says which, never an empty report.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import anyio
from starlette.applications import Starlette
from starlette.authentication import AuthenticationBackend, AuthenticationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Send

from dashboard_scraper.errors import DaysMissing, ScraperError
from dashboard_scraper.github.reports import Report, Subject
from dashboard_scraper.github.reports import Scope as ReportScope
from dashboard_scraper.github.views import GithubViews
from dashboard_scraper.model.dates import Window
from dashboard_scraper.report.view import ReportView
from dashboard_scraper.server.access import LINK_SECONDS, Access
from dashboard_scraper.server.answers import (
    API_VERSIONS,
    VERSION_HEADER,
    Chunks,
    accepts_gzip,
    error_answer,
    gzipped,
    json_answer,
    negotiated,
    with_caveats,
)
from dashboard_scraper.server.directory import Directory, Endpoint, avatar
from dashboard_scraper.server.download_names import file_of, report_of
from dashboard_scraper.server.guesses import Guesses, TooManyGuesses
from dashboard_scraper.server.openmetrics import CONTENT_TYPE, open_metrics
from dashboard_scraper.server.places import Places, Roots, editors_merged
from dashboard_scraper.server.request_log import RequestLog
from dashboard_scraper.server.requests import CheckedRequests, Hosts

logger = logging.getLogger(__name__)

_BASIC_CHALLENGE = 'Basic realm="usage figures: any name, the token as password", charset="UTF-8"'
_SECONDS_TO_READ_A_CHUNK = 60
_PAGE = "/"
# Only what a page cannot set in itself; its own meta element has the rest of the policy.
_PAGE_HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PUBLIC = re.compile(r"/(?:healthz|metrics|downloads/.*|avatars/u/\d+)")
_METRICS, _AUTHORIZATION = "/metrics", "Authorization"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_PREFIXES = {ReportScope.ENTERPRISE: "/enterprises", ReportScope.ORGANIZATION: "/orgs"}
_SCOPES = {prefix[1:]: scope for scope, prefix in _PREFIXES.items()}


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The slugs to answer for (none: any), and how clients reach the server.

    `hosts` are those a request may name, since download links lead to them; without it, any.
    """

    slugs: dict[ReportScope, Sequence[str]]
    public_url: str | None = None
    hosts: Hosts | None = None


def make_app(
    views: GithubViews, report: ReportView, access: Access, options: ServerOptions
) -> Starlette:
    """The ASGI application."""
    guesses = Guesses()
    endpoints = _Endpoints(views, report, access, guesses, options)
    app = Starlette(
        routes=endpoints.routes(),
        middleware=[
            Middleware(RequestLog),
            Middleware(CheckedRequests, hosts=options.hosts),
            Middleware(Roots),
            Middleware(
                AuthenticationMiddleware, backend=_Token(access, guesses), on_error=_refused
            ),
        ],
        exception_handlers={
            HTTPException: _http_error,
            DaysMissing: _not_there,
            ScraperError: _failed,
            Exception: _failed,
        },
    )
    app.router.redirect_slashes = False  # a path with a trailing slash does not exist at GitHub
    return app


class _Endpoints:
    """The endpoint of each path; those that read the store are not async, and run in threads."""

    def __init__(
        self,
        views: GithubViews,
        report: ReportView,
        access: Access,
        guesses: Guesses,
        options: ServerOptions,
    ) -> None:
        self._views = views
        self._report = report
        self._access = access
        self._guesses = guesses
        self._options = options
        self._places = Places(options.public_url)

    def routes(self) -> list[Route]:
        """Every path; starlette answers HEAD wherever there is GET."""
        found = [
            Route(_PAGE, self._page),
            Route("/healthz", self._health),
            Route(_METRICS, self._metrics),
            Route("/avatars/u/{number:int}", avatar),
            Route("/downloads/{scope}/{file}", self._download),
        ]
        directory = Directory(self._views, self._places, self._options.slugs)
        for path, endpoint in (*self._reports(), *directory.routes()):
            found.append(Route(path, self._answering(path, endpoint)))
        return found

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
        """The endpoint of a path; if that has a name in it, for the configured names alone."""
        scope = _SCOPES.get(path.split("/")[1])
        known = self._options.slugs[scope] if scope else ()

        def answer(request: Request) -> Response:
            if known and request.path_params["slug"].lower() not in known:
                raise HTTPException(404, "Not Found")
            return negotiated(request, endpoint(request))

        return answer

    def _page(self, _request: Request) -> Response:
        return Response(self._report.page(), headers=_PAGE_HEADERS, media_type="text/html")

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
        signature = self._access.sign(path, expires)
        return f"{self._places.web(request)}{path}?expires={expires}&signature={signature}"

    async def _download(self, request: Request) -> Response:
        """Needs no token: the signed link gives access to this report until it expires."""
        expires = request.query_params.get("expires", "")
        signature = request.query_params.get("signature", "")
        try:
            signed = await self._guesses.check(
                _address_of(request),
                lambda: self._access.is_signed(request.scope["path"], expires, signature),
            )
        except TooManyGuesses as error:
            return _too_many(error)
        if not signed:
            raise HTTPException(403, "This link is not valid; ask for the report again")
        if int(expires) < time.time():
            raise HTTPException(403, "This link has expired; ask for the report again")
        report = report_of(**request.path_params)
        if not report:
            raise HTTPException(404, "Not Found")
        kind = "application/json" if report.subject is Subject.WHOLE else "application/x-ndjson"
        download = self._views.download(report)
        compress = accepts_gzip(request.headers)
        chunks = gzipped(download.chunks) if compress else download.chunks
        # Get the first chunk before the status is sent, so that an error can still change it.
        first = await run_in_threadpool(next, chunks, b"")
        if request.method == "HEAD":
            await run_in_threadpool(chunks.close)
            first = b""
        response = with_caveats(_Streamed(first, chunks, kind), download.caveats)
        response.headers["Vary"] = "Accept-Encoding"
        if compress:
            response.headers["Content-Encoding"] = "gzip"
        return response

    def _health(self, _request: Request) -> Response:
        self._views.check()
        return json_answer({"status": "ok"})

    def _metrics(self, request: Request) -> Response:
        """What the organization spends is only for who sent the token, which was checked before."""
        text = open_metrics(
            self._views.status(),
            self._views.people(),
            self._views.missing_from_latest(),
            self._views.newest_costs(),
            self._views.now(),
            amounts=_AUTHORIZATION in request.headers,
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


class _Streamed(StreamingResponse):
    """A report in chunks. A client that reads nothing for a minute is disconnected: during a
    download the store must keep the snapshot that it began with.
    """

    def __init__(self, first: bytes, chunks: Chunks, kind: str) -> None:
        self._chunks = _in_threads(first, chunks)
        super().__init__(self._chunks, media_type=kind)

    async def stream_response(self, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            with anyio.fail_after(_SECONDS_TO_READ_A_CHUNK):
                await send(message)

        try:
            async with contextlib.aclosing(self._chunks):
                await super().stream_response(send_in_time)
        except (ScraperError, TimeoutError) as error:
            # Without the final chunk the connection is cut, so the client sees it is incomplete.
            reason = error or "the client stopped reading"
            logger.error("a download was cut off: %s", reason)  # noqa: TRY400


async def _in_threads(first: bytes, chunks: Chunks) -> AsyncGenerator[bytes, None]:
    try:
        chunk = first
        while chunk:
            yield chunk
            chunk = await run_in_threadpool(next, chunks, b"")
    finally:
        with anyio.CancelScope(shield=True):
            await run_in_threadpool(chunks.close)


class _Refused(AuthenticationError):
    def __init__(self, status: int, message: str, cause: TooManyGuesses | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.cause = cause


class _Token(AuthenticationBackend):
    def __init__(self, access: Access, guesses: Guesses) -> None:
        self._access = access
        self._guesses = guesses

    async def authenticate(self, conn: HTTPConnection) -> None:
        """Raise _Refused without the token, unless the path is public. `/metrics` is, but has more
        for who sends the token.
        """
        path, sent = conn.scope["path"], conn.headers.get(_AUTHORIZATION)
        if _PUBLIC.fullmatch(path) and (sent is None or path != _METRICS):
            return
        if sent is None:
            raise _Refused(401, "Requires authentication")
        try:
            allowed = await self._guesses.check(
                _address_of(conn), lambda: self._access.allows(sent)
            )
        except TooManyGuesses as error:
            raise _Refused(429, "", error) from None
        if not allowed:
            raise _Refused(401, "Bad credentials")
        version = conn.headers.get(VERSION_HEADER, API_VERSIONS[-1])
        if version not in API_VERSIONS:
            raise _Refused(400, f"{VERSION_HEADER} must be one of {', '.join(API_VERSIONS)}")


def _address_of(conn: HTTPConnection) -> str:
    return conn.client.host if conn.client else ""


def _too_many(error: TooManyGuesses) -> Response:
    answer = error_answer(429, "Too many wrong credentials came from here; try again later")
    answer.headers["Retry-After"] = str(error.retry_after)
    return answer


def _refused(conn: HTTPConnection, error: AuthenticationError) -> Response:
    if isinstance(error, _Refused) and error.cause:
        return _too_many(error.cause)
    status = error.status if isinstance(error, _Refused) else 401
    response = error_answer(status, str(error))
    if status == 401:
        # Basic makes a browser ask its user: for any name, and the token as the password.
        is_page = conn.scope["path"] == _PAGE
        response.headers["WWW-Authenticate"] = _BASIC_CHALLENGE if is_page else "Bearer"
    return response


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
