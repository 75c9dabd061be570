"""One session for all requests of a run: retries, a shared pause, time limits, redaction.

A request is "send it and read the whole body"; that is what is tried again. The wait before
attempt n + 1 is

    backoff * 2**(n - 1) * (1 + random part up to 1/2),   at most MAX_WAIT

or what `Retry-After` says, if that is longer, clamped to MAX_WAIT too. Attempts are bounded by
their number and by the time budget of the request. A `Retry-After` holds for every thread: who
sends while the source asks for quiet only earns more refusals.
"""

from __future__ import annotations

import contextlib
import email.utils
import logging
import random
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import unquote, urlencode, urljoin

import msgspec
import requests
import urllib3.exceptions
from requests.auth import AuthBase
from urllib3.util import Url, parse_url

from dashboard_scraper import __version__
from dashboard_scraper.decoding import UNDECODABLE
from dashboard_scraper.errors import SourceUnavailable, UsageError
from dashboard_scraper.pacing import Pace
from dashboard_scraper.route import Route

logger = logging.getLogger(__name__)

MAX_WAIT = 60.0
_CHUNK = 1 << 16
_HEAD = 1 << 10
_PROXY_REFUSAL = re.compile(r"Tunnel connection failed: 4\d\d")
_NO_CERTIFICATE = "NO_CERTIFICATE_OR_CRL_FOUND"
_LONGEST_RETRY_AFTER = 10**9  # far beyond the clamp; more digits would be no number to Python
# Query parameters whose values are no secret; a cursor or a token in a `next` URL may be one.
_HARMLESS = {"startDate", "endDate", "start_date", "end_date", "date", "page_size", "page"}


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer that is no 429 and no 5xx; `cookies` are those that it set."""

    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes | bytearray
    cookies: Mapping[str, str]

    @property
    def content_type(self) -> str:
        """Lower-cased, without parameters; empty where the server named none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def begins_with(self, first: bytes) -> bool:
        """Whether the body, after white space, begins so; looks at its head only."""
        return bytes(self.body[:_HEAD]).lstrip().startswith(first)


class Stopped(SourceUnavailable):
    """The run was ended while this request waited."""


class _Refused(Exception):
    """An attempt that may be repeated; `retry_after` in seconds where the server named it."""

    def __init__(
        self, reason: str, retry_after: float | None = None, *, too_many: bool = False
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.too_many = too_many


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`retries` attempts after the first; `backoff`, `timeout` and `budget` in seconds."""

    retries: int
    backoff: float
    timeout: float
    budget: float

    def wait(self, attempt: int, retry_after: float | None) -> float:
        """Seconds to wait after the failed attempt number `attempt`, counted from 1."""
        # Jitter needs no cryptography: it only keeps clients from knocking all at once.
        jitter = 1 + random.random() / 2  # noqa: S311
        own: float = self.backoff * 2 ** (attempt - 1) * jitter
        return min(max(own, retry_after or 0.0), MAX_WAIT)


class Http:
    """GET requests to one source, from several threads, at the `pace` that it allows."""

    def __init__(
        self,
        policy: RetryPolicy,
        auth: AuthBase,
        connections: int,
        pace: Pace | None = None,
        route: Route | None = None,
    ) -> None:
        self._policy = policy
        self._pace = pace
        self._auth = auth
        self._stopped = threading.Event()
        self._pause_lock = threading.Lock()
        self._quiet_until = 0.0
        self._session = requests.Session()
        if route is not None:  # what the environment says is in it
            self._session.trust_env = False
            self._session.proxies.update(route.proxies)
            self._session.verify = route.ca or True
        self._session.headers.update(
            {"Accept": "application/json", "User-Agent": f"dashboard-scraper/{__version__}"}
        )
        # `auth` sends the cookies; a jar that also did would send a renewed one twice.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=connections)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def stop(self) -> None:
        """End every wait; requests that come later fail at once."""
        self._stopped.set()

    def close(self) -> None:
        """Close the connections that are idle."""
        self._session.close()

    def get(self, url: str) -> Response:
        """Fetch; redirects are not followed, they and 4xx statuses are returned.

        Raises SourceUnavailable when attempts or time are used up, UsageError where a proxy or a CA
        setting is wrong.
        """
        deadline = time.monotonic() + self._policy.budget
        attempt = 0
        while True:
            attempt += 1
            deadline += self._wait_for_turn()  # what others were told is not this one's time
            started = time.monotonic()
            try:
                response = self._attempt(url, deadline)
            except _Refused as refused:
                if self._pace is not None and refused.too_many:
                    self._pace.refused()
                self._wait_or_give_up(url, attempt, refused, deadline)
            else:
                logger.debug(
                    "%s: %d, %d bytes, %.2f s",
                    redact(url),
                    response.status,
                    len(response.body),
                    time.monotonic() - started,
                )
                return response

    def _wait_or_give_up(self, url: str, attempt: int, refused: _Refused, deadline: float) -> None:
        wait = self._policy.wait(attempt, refused.retry_after)
        if refused.retry_after is not None:
            self._ask_all_to_wait(wait)
        what = f"{redact(url)}: {refused}"
        if attempt > self._policy.retries:
            raise SourceUnavailable(f"{what}; gave up after {attempt} attempts") from refused
        if time.monotonic() + wait > deadline:
            raise SourceUnavailable(
                f"{what}; gave up, RETRY_BUDGET_SECONDS={self._policy.budget:g} is spent"
            ) from refused
        attempts = self._policy.retries + 1
        logger.warning("%s; attempt %d of %d, the next in %.1f s", what, attempt, attempts, wait)
        self._sleep(wait)

    def _ask_all_to_wait(self, seconds: float) -> None:
        with self._pause_lock:
            self._quiet_until = max(self._quiet_until, time.monotonic() + seconds)

    def _wait_for_turn(self) -> float:
        """Wait while the source asks for quiet, also if that grows meanwhile, and for the pace;
        returns seconds.
        """
        before = time.monotonic()
        wait = 0.0
        while True:
            self._sleep(max(wait, self._quiet_until - time.monotonic(), 0.0))
            if time.monotonic() < self._quiet_until:
                continue
            wait = self._pace.take() if self._pace is not None else 0.0
            if not wait:
                return time.monotonic() - before

    @contextlib.contextmanager
    def _told_to_pace(self) -> Iterator[None]:
        try:
            yield
        finally:
            if self._pace is not None:
                self._pace.answered()

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise Stopped("the run was ended")

    def _attempt(self, url: str, deadline: float) -> Response:
        """Send, and read the whole body; raises _Refused for what may pass by itself."""
        timeout = min(self._policy.timeout, max(0.001, deadline - time.monotonic()))
        try:
            with (
                self._told_to_pace(),
                self._session.get(
                    url, auth=self._auth, timeout=timeout, stream=True, allow_redirects=False
                ) as answer,
            ):
                body = _read_body(answer, deadline)
        except requests.exceptions.SSLError as error:
            _refuse_empty_bundle(error)
            raise SourceUnavailable(
                f"{redact(url)}: the TLS connection failed ({_root_cause(error)}); behind a proxy"
                " with its own certificate, set REQUESTS_CA_BUNDLE to its CA file"
            ) from error
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise UsageError(f"{redact(url)}: a URL or a proxy setting is wrong") from error
        except requests.exceptions.ProxyError as error:
            reason = _root_cause(error)
            if _PROXY_REFUSAL.search(reason):
                raise UsageError(f"the proxy refused: {reason}; check HTTPS_PROXY") from error
            raise _Refused(reason) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _Refused(_root_cause(error)) from error
        except OSError as error:  # requests' own word for a CA file that is not there
            raise UsageError(f"REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE: {error}") from error
        _raise_for_retry(answer)
        # Not dict(): two cookies of one name and different paths are an error to it.
        cookies = {cookie.name: cookie.value or "" for cookie in answer.cookies}
        return Response(answer.status_code, url, answer.headers, body, cookies)


def _read_body(answer: requests.Response, deadline: float) -> bytearray:
    """Read with one `recv` at a time: a body that drips must not outlive the budget."""
    body = bytearray()
    while chunk := answer.raw.read1(_CHUNK, decode_content=True):
        body += chunk
        if time.monotonic() > deadline:
            raise _Refused("the body came too slowly")
    length_known = "Content-Length" in answer.headers or "Transfer-Encoding" in answer.headers
    if answer.ok and not length_known and _is_cut(body):
        raise _Refused("the body was cut short")
    return body


def _is_cut(body: bytearray) -> bool:
    """Whether a body that ended with the connection is the beginning of a JSON text."""
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except UNDECODABLE as error:
        return "truncated" in str(error)
    return False


def _refuse_empty_bundle(error: requests.exceptions.SSLError) -> None:
    if _NO_CERTIFICATE in _root_cause(error):
        raise UsageError(
            "REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names a file that holds no certificate"
        ) from error


def _raise_for_retry(answer: requests.Response) -> None:
    status = answer.status_code
    too_many = status == HTTPStatus.TOO_MANY_REQUESTS
    if too_many or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        retry_after = _retry_after(answer.headers.get("Retry-After"))
        raise _Refused(f"HTTP {status}", retry_after, too_many=too_many)


def _retry_after(value: str | None) -> float | None:
    """Seconds, from either spelling (a number, an HTTP date); None for anything else."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]+", value.strip()):
        digits = value.strip().lstrip("0")
        return float(_LONGEST_RETRY_AFTER if len(digits) > 9 else digits or 0)
    try:
        moment = email.utils.parsedate_to_datetime(value)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (aware - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


def _root_cause(error: BaseException) -> str:
    """The innermost reason, in words that hold no URL: requests' own messages do."""
    inner: BaseException = error
    while True:
        links = (getattr(inner, "reason", None), inner.__cause__, inner.__context__, *inner.args)
        below = next((link for link in links if isinstance(link, BaseException)), None)
        if below is None:
            break
        inner = below
    if isinstance(inner, OSError) and inner.strerror:
        return f"{type(inner).__name__}, {inner.strerror}"
    if type(inner) is OSError:  # as http.client says that a proxy refused a tunnel
        return str(inner)
    if isinstance(inner, TimeoutError | urllib3.exceptions.TimeoutError):
        return "the server was silent for too long"
    return type(inner).__name__


def with_params(url: str, params: Mapping[str, str]) -> str:
    """The URL with `params` added to its query."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(params)}"


def absolute(base: str, reference: str) -> str:
    """The URL that `reference` means on a page at `base`; a malformed one comes back as it is."""
    try:
        return urljoin(base, reference)
    except ValueError:
        return reference


def _parsed(url: str) -> Url:
    """As urllib3 reads the URL when it connects; all None where it refuses it."""
    try:
        return parse_url(url)
    except urllib3.exceptions.LocationParseError:
        return Url()


def host_of(url: str) -> str:
    """The host alone."""
    return _parsed(url).host or ""


def path_of(url: str) -> str:
    """The path alone."""
    return _parsed(url).path or ""


def origin_of(url: str) -> str:
    """Scheme, host and port that a URL connects to, as `https://app.example.com:443`."""
    parsed = _parsed(url)
    port = parsed.port or {"https": 443, "http": 80}.get(parsed.scheme or "")
    return f"{parsed.scheme}://{(parsed.host or '').lower()}:{port}"


def redact(url: str) -> str:
    """The URL fit for a log: no user, no password, no value that could be a token."""
    parsed = _parsed(url)
    if parsed.host is None:
        return "a malformed URL"
    query = None
    if parsed.query:
        query = "&".join(_redacted_pair(pair) for pair in parsed.query.split("&"))
    return Url(parsed.scheme, None, parsed.host, parsed.port, parsed.path, query, None).url


def _redacted_pair(pair: str) -> str:
    name, equals, value = pair.partition("=")
    if not equals:
        return "REDACTED"
    return f"{name}={unquote(value) if name in _HARMLESS else 'REDACTED'}"
