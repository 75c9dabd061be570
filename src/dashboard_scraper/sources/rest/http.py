"""One HTTP session for all requests of a run: retries, and a pause that all threads share.

A request means "send it and read the whole body"; that is what `retrying` repeats. The number of
attempts and the time budget limit a request, and `deadlines` limits each attempt. A `Retry-After`
pauses all threads: anything sent meanwhile would only be refused again.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from http.cookiejar import DefaultCookiePolicy

import msgspec
import requests
import urllib3.exceptions
from requests.auth import AuthBase

from dashboard_scraper import __version__
from dashboard_scraper.errors import ContractBroken, SourceUnavailable, UsageError
from dashboard_scraper.model.listing import many
from dashboard_scraper.sources.rest.bodies import (
    ACCEPTED_ENCODINGS,
    MAX_BODY,
    Incomplete,
    Unreadable,
    read_excerpt,
    read_pieces,
    read_whole,
)
from dashboard_scraper.sources.rest.deadlines import Limits, TimedAdapter, limited
from dashboard_scraper.sources.rest.pacing import Pace
from dashboard_scraper.sources.rest.pages import Page, page_in
from dashboard_scraper.sources.rest.retrying import (
    AttemptFailed,
    RetryPolicy,
    pause_in,
    root_cause,
)
from dashboard_scraper.sources.rest.route import Route
from dashboard_scraper.sources.rest.statuses import Meaning, meaning_of
from dashboard_scraper.sources.rest.turns import TurnTaking
from dashboard_scraper.sources.rest.urls import host_of, redact
from dashboard_scraper.spans import Note, span

logger = logging.getLogger(__name__)

_EXCERPT = 1 << 18
_EXCERPT_SECONDS = 3.0  # to read it: the status is already known, and the page only explains it
_PROXY_REFUSAL = re.compile(r"Tunnel connection failed: 4\d\d")
_NO_CERTIFICATE = "NO_CERTIFICATE_OR_CRL_FOUND"
_JSON = {"Content-Type": "application/json"}
_RETRIED = (Meaning.RETRY, Meaning.RETRY_ELSEWHERE, Meaning.SLOW_DOWN)


class Response(msgspec.Struct, frozen=True):
    """A response that a retry would not change; `cookies` are those that it set.

    The body is complete if the meaning is DATA; otherwise it is an excerpt of the beginning.
    """

    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes | bytearray
    cookies: Mapping[str, str]

    @property
    def meaning(self) -> Meaning:
        """The meaning of the status, and of headers that give details."""
        return meaning_of(self.status, self.headers)

    @property
    def page(self) -> Page | None:
        """The HTML page that came instead of data, if one did."""
        content_type = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return page_in(content_type, self.headers, self.body)

    @property
    def shown(self) -> str:
        """What came from which host, for logs."""
        page = f", {self.page}" if self.page else ""
        return f"HTTP {self.status} from {host_of(self.url)}{page}"


Pieces = Iterator[bytes | bytearray]
Consume = Callable[["Response", Pieces], None]
"""Reads a body piece by piece; starts again from the beginning at each attempt."""


class Stopped(SourceUnavailable):
    """The run was stopped while this request waited."""


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: to follow a redirect, requests would first read its body, however long it is."""


class _Call(msgspec.Struct, frozen=True):
    """One request: a GET or, with a body, a POST. `consume` reads the data of its response."""

    url: str
    body: bytes | None
    pace: Pace | None
    consume: Consume | None = None

    @property
    def method(self) -> str:
        return "GET" if self.body is None else "POST"


class Http:
    """Requests to one source, from several threads, no faster than `pace` allows.

    A source with several rate limits passes the pace with each request; the pauses are shared.
    `shown` makes the text of a URL for logs and errors.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        auth: AuthBase,
        connections: int,
        pace: Pace | None = None,
        route: Route | None = None,
        max_body: int = MAX_BODY,
        shown: Callable[[str], str] = redact,
    ) -> None:
        self._shown = shown
        self._policy = policy
        self._max_body = max_body
        self._pace = pace
        self._auth = auth
        self._stopped = threading.Event()
        self._pause_lock = threading.Lock()
        self._paused_until = 0.0
        self._sent_lock = threading.Lock()
        self.sent = 0
        """How many requests were sent so far, including retries."""
        self._session = _Session()
        if route is not None:  # it includes the proxies and certificates of the environment
            self._session.trust_env = False
            self._session.proxies.update(route.proxies)
            self._session.verify = route.ca or True
        self._session.headers.update(
            {
                "Accept": "application/json",
                "Accept-Encoding": ACCEPTED_ENCODINGS,
                "Cache-Control": "no-cache",  # an older answer may lack what has been counted since
                "User-Agent": f"dashboard-scraper/{__version__}",
            }
        )
        # `auth` sends the cookies. A jar would send those that the server renewed a second time.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = TimedAdapter(pool_connections=1, pool_maxsize=connections)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def stop(self) -> None:
        """End every wait; later requests fail at once."""
        self._stopped.set()

    def close(self) -> None:
        """Close idle connections."""
        self._session.close()

    def get(self, url: str, pace: Pace | None = None) -> Response:
        """Fetch the URL. Redirects are not followed but returned, like any other final status.

        Raises SourceUnavailable when the attempts or the time are used up, UsageError if a proxy or
        CA setting is wrong, ContractBroken for a body that cannot be decoded.
        """
        return self._send(_Call(url, None, pace or self._pace))

    def stream(self, url: str, consume: Consume) -> Response:
        """Fetch the URL like `get`, but let `consume` read data piece by piece: the response then
        has no body. `consume` may raise Incomplete, and is called again after a failed attempt.
        """
        return self._send(_Call(url, None, self._pace, consume))

    def post(self, url: str, body: bytes, pace: Pace | None = None) -> Response:
        """Send a query as a JSON body; otherwise like `get`, with the same retries.

        Only for endpoints that read: a retry may arrive after a request that was answered, and
        would repeat its effect.
        """
        return self._send(_Call(url, body, pace or self._pace))

    def _send(self, call: _Call) -> Response:
        url = call.url
        deadline = time.monotonic() + self._policy.budget
        attempt = 0
        while True:
            attempt += 1
            # Waiting for the rate limit, or for another thread's Retry-After, does not use up the
            # budget.
            deadline += self._wait_for_turn(call.pace)
            started = time.monotonic()
            try:
                with self._span(call, attempt) as note:
                    response = self._attempt(call, deadline)
                    note({"http.response.status_code": response.status})
            except AttemptFailed as failure:
                if call.pace is not None and failure.too_many:
                    call.pace.refused()
                self._wait_or_give_up(url, attempt, failure, deadline)
            else:
                logger.debug(
                    "%s: %d, %d bytes, %.2f s",
                    self._shown(url),
                    response.status,
                    len(response.body),
                    time.monotonic() - started,
                )
                return response

    def _span(self, call: _Call, attempt: int) -> AbstractContextManager[Note]:
        return span(
            call.method,
            {
                "http.request.method": call.method,
                "url.full": self._shown(call.url),
                "server.address": host_of(call.url),
                "http.request.resend_count": attempt - 1,
            },
            is_request=True,
        )

    def _wait_or_give_up(
        self, url: str, attempt: int, failure: AttemptFailed, deadline: float
    ) -> None:
        wait = self._policy.wait(attempt, failure.retry_after)
        if failure.retry_after is not None:
            self._pause_all_threads(wait)
        what = f"{self._shown(url)}: {failure}"
        if attempt > self._policy.retries:
            raise SourceUnavailable(
                f"{what}; gave up after {many(attempt, 'attempt')}"
            ) from failure
        if time.monotonic() + wait > deadline:
            raise SourceUnavailable(
                f"{what}; gave up, RETRY_BUDGET_SECONDS={self._policy.budget:g} is spent"
            ) from failure
        attempts = self._policy.retries + 1
        logger.warning("%s; attempt %d of %d, the next in %.1f s", what, attempt, attempts, wait)
        self._sleep(wait)

    def _pause_all_threads(self, seconds: float) -> None:
        with self._pause_lock:
            self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    def _wait_for_turn(self, pace: Pace | None) -> float:
        """Wait until the shared pause ends, which may be extended meanwhile, and for the pace;
        returns the seconds waited.
        """
        before = time.monotonic()
        wait = 0.0
        while True:
            self._sleep(max(wait, self._paused_until - time.monotonic(), 0.0))
            if time.monotonic() < self._paused_until:
                continue
            wait = pace.take() if pace is not None else 0.0
            if not wait:
                return time.monotonic() - before

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise Stopped("the run was stopped")

    def _attempt(self, call: _Call, deadline: float) -> Response:
        """Send, and read the whole body; AttemptFailed for errors that a retry may fix."""
        url = call.url
        with self._sent_lock:
            self.sent += 1
        limits = Limits(self._policy.timeout, deadline)
        timeout = min(limits.silence, limits.left())
        with (
            self._explained(url),
            _counted_by(call.pace),
            limited(limits),
            self._session.request(
                call.method,
                url,
                data=call.body,
                headers=_JSON if call.body is not None else None,
                auth=self._auth,
                timeout=timeout,
                stream=True,
                allow_redirects=False,
            ) as answer,
        ):
            # Not dict(answer.cookies), which raises for two cookies of one name with different
            # paths.
            cookies = {cookie.name: cookie.value or "" for cookie in answer.cookies}
            body = self._read(answer, call, limits)
        response = Response(answer.status_code, url, answer.headers, body, cookies)
        if response.meaning in _RETRIED:
            raise _failure(response)
        return response

    @contextlib.contextmanager
    def _explained(self, url: str) -> Iterator[None]:
        """AttemptFailed for errors that a retry may fix; other errors become ours, with advice."""
        try:
            yield
        except requests.exceptions.SSLError as error:
            _refuse_empty_bundle(error)
            raise SourceUnavailable(
                f"{self._shown(url)}: the TLS connection failed ({root_cause(error)}); behind a"
                " proxy with its own certificate, set REQUESTS_CA_BUNDLE to its CA file"
            ) from error
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise UsageError(f"{self._shown(url)}: a URL or a proxy setting is wrong") from error
        except requests.exceptions.ProxyError as error:
            reason = root_cause(error)
            if _PROXY_REFUSAL.search(reason):
                raise UsageError(f"the proxy refused: {reason}; check HTTPS_PROXY") from error
            raise AttemptFailed(reason) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, Incomplete) as error:
            raise AttemptFailed(root_cause(error)) from error
        except Unreadable as error:
            raise ContractBroken(f"{self._shown(url)}: {error}") from error
        except OSError as error:  # requests raises a bare one if the CA file does not exist
            raise UsageError(f"REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE: {error}") from error

    def _read(self, answer: requests.Response, call: _Call, limits: Limits) -> bytearray:
        """The whole body of data, else an excerpt; a connection with unread data is closed."""
        encoding = answer.headers.get("Content-Encoding", "").strip().lower()
        meaning = meaning_of(answer.status_code, answer.headers)
        if meaning is Meaning.DATA:
            stream = TurnTaking(answer.raw, limits.extend)
            if call.consume is None:
                return read_whole(stream, encoding, self._max_body)
            begun = Response(answer.status_code, call.url, answer.headers, b"", {})
            call.consume(begun, read_pieces(stream, encoding))
            return bytearray()
        if meaning is Meaning.RETRY_ELSEWHERE:
            return bytearray()
        limits.until = min(limits.until, time.monotonic() + _EXCERPT_SECONDS)
        return read_excerpt(answer.raw, encoding, _EXCERPT)


@contextlib.contextmanager
def _counted_by(pace: Pace | None) -> Iterator[None]:
    try:
        yield
    finally:
        if pace is not None:
            pace.answered()


def _failure(response: Response) -> AttemptFailed:
    page = f", {response.page}" if response.page else ""
    return AttemptFailed(
        f"HTTP {response.status}{page}",
        pause_in(response.headers),
        too_many=response.meaning is Meaning.SLOW_DOWN,
    )


def _refuse_empty_bundle(error: requests.exceptions.SSLError) -> None:
    if _NO_CERTIFICATE in root_cause(error):
        raise UsageError(
            "REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names a file without a certificate"
        ) from error
