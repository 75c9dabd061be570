"""One session for all requests of a run: attempts, a shared pause, redaction.

A request is "send it and read the whole body"; that is what is tried again, as `retrying` says.
Attempts are bounded by their number and by the time budget of the request, and each by `deadlines`.
A `Retry-After` holds for every thread: who sends while the source asks for quiet only earns more
refusals.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import unquote, urlencode, urljoin

import requests
import urllib3.exceptions
from requests.auth import AuthBase
from urllib3.util import Url, parse_url

from dashboard_scraper import __version__
from dashboard_scraper.errors import ContractBroken, SourceUnavailable, UsageError
from dashboard_scraper.sources.rest.bodies import (
    ACCEPTED_ENCODINGS,
    MAX_BODY,
    Incomplete,
    Unreadable,
    read_excerpt,
    read_whole,
)
from dashboard_scraper.sources.rest.deadlines import Limits, TimedAdapter, limited
from dashboard_scraper.sources.rest.pacing import Pace
from dashboard_scraper.sources.rest.pages import Page, page_in
from dashboard_scraper.sources.rest.retrying import Refused, RetryPolicy, root_cause, seconds_of
from dashboard_scraper.sources.rest.route import Route
from dashboard_scraper.sources.rest.statuses import Meaning, meaning_of

logger = logging.getLogger(__name__)

_EXCERPT = 1 << 18
_EXCERPT_SECONDS = 3.0  # to read it: the status is known by then, and a page is for people
_PROXY_REFUSAL = re.compile(r"Tunnel connection failed: 4\d\d")
_NO_CERTIFICATE = "NO_CERTIFICATE_OR_CRL_FOUND"
_RETRIED = (Meaning.RETRY, Meaning.RETRY_ELSEWHERE, Meaning.SLOW_DOWN)
# Query parameters whose values are no secret; a cursor or a token in a `next` URL may be one.
_HARMLESS = {"startDate", "endDate", "start_date", "end_date", "date", "page_size", "page"}


@dataclass(frozen=True, slots=True)
class Response:
    """An answer that asking again would not change; `cookies` are those that it set.

    With the meaning DATA its body is whole, with any other it is the beginning of it.
    """

    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes | bytearray
    cookies: Mapping[str, str]

    @property
    def meaning(self) -> Meaning:
        """What the status says."""
        return meaning_of(self.status)

    @property
    def page(self) -> Page | None:
        """The page that came in place of data, if one did."""
        content_type = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return page_in(content_type, self.headers, self.body)

    @property
    def shown(self) -> str:
        """For a log: what came, from where; not what it means."""
        page = f", {self.page}" if self.page else ""
        return f"HTTP {self.status} from {host_of(self.url)}{page}"


class Stopped(SourceUnavailable):
    """The run was ended while this request waited."""


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: requests would read the body of a redirect, however long, to learn where to."""


class Http:
    """GET requests to one source, from several threads, at the `pace` that it allows."""

    def __init__(
        self,
        policy: RetryPolicy,
        auth: AuthBase,
        connections: int,
        pace: Pace | None = None,
        route: Route | None = None,
        max_body: int = MAX_BODY,
    ) -> None:
        self._policy = policy
        self._max_body = max_body
        self._pace = pace
        self._auth = auth
        self._stopped = threading.Event()
        self._pause_lock = threading.Lock()
        self._quiet_until = 0.0
        self._session = _Session()
        if route is not None:  # what the environment says is in it
            self._session.trust_env = False
            self._session.proxies.update(route.proxies)
            self._session.verify = route.ca or True
        self._session.headers.update(
            {
                "Accept": "application/json",
                "Accept-Encoding": ACCEPTED_ENCODINGS,
                "User-Agent": f"dashboard-scraper/{__version__}",
            }
        )
        # `auth` sends the cookies; a jar that also did would send a renewed one twice.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = TimedAdapter(pool_connections=1, pool_maxsize=connections)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def stop(self) -> None:
        """End every wait; requests that come later fail at once."""
        self._stopped.set()

    def close(self) -> None:
        """Close the connections that are idle."""
        self._session.close()

    def get(self, url: str) -> Response:
        """Fetch; redirects are not followed, they and all other refusals are returned.

        Raises SourceUnavailable when attempts or time are used up, UsageError where a proxy or a CA
        setting is wrong, ContractBroken for a body that cannot be read.
        """
        deadline = time.monotonic() + self._policy.budget
        attempt = 0
        while True:
            attempt += 1
            deadline += self._wait_for_turn()  # what others were told is not this one's time
            started = time.monotonic()
            try:
                response = self._attempt(url, deadline)
            except Refused as refused:
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

    def _wait_or_give_up(self, url: str, attempt: int, refused: Refused, deadline: float) -> None:
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
        """Send, and read the whole body; raises Refused for what may pass by itself."""
        limits = Limits(self._policy.timeout, deadline)
        timeout = min(limits.silence, limits.left())
        try:
            with (
                self._told_to_pace(),
                limited(limits),
                self._session.get(
                    url, auth=self._auth, timeout=timeout, stream=True, allow_redirects=False
                ) as answer,
            ):
                body = self._read(answer, limits)
        except requests.exceptions.SSLError as error:
            _refuse_empty_bundle(error)
            raise SourceUnavailable(
                f"{redact(url)}: the TLS connection failed ({root_cause(error)}); behind a proxy"
                " with its own certificate, set REQUESTS_CA_BUNDLE to its CA file"
            ) from error
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise UsageError(f"{redact(url)}: a URL or a proxy setting is wrong") from error
        except requests.exceptions.ProxyError as error:
            reason = root_cause(error)
            if _PROXY_REFUSAL.search(reason):
                raise UsageError(f"the proxy refused: {reason}; check HTTPS_PROXY") from error
            raise Refused(reason) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, Incomplete) as error:
            raise Refused(root_cause(error)) from error
        except Unreadable as error:
            raise ContractBroken(f"{redact(url)}: {error}") from error
        except OSError as error:  # requests' own word for a CA file that is not there
            raise UsageError(f"REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE: {error}") from error
        # Not dict(): two cookies of one name and different paths are an error to it.
        cookies = {cookie.name: cookie.value or "" for cookie in answer.cookies}
        response = Response(answer.status_code, url, answer.headers, body, cookies)
        if response.meaning in _RETRIED:
            raise _refused(response)
        return response

    def _read(self, answer: requests.Response, limits: Limits) -> bytearray:
        """The whole body where it is data; what is left unread ends the connection."""
        encoding = answer.headers.get("Content-Encoding", "").strip().lower()
        meaning = meaning_of(answer.status_code)
        if meaning is Meaning.DATA:
            return read_whole(answer.raw, encoding, self._max_body)
        if meaning is Meaning.RETRY_ELSEWHERE:
            return bytearray()
        limits.until = min(limits.until, time.monotonic() + _EXCERPT_SECONDS)
        return read_excerpt(answer.raw, encoding, _EXCERPT)


def _refused(response: Response) -> Refused:
    page = f", {response.page}" if response.page else ""
    return Refused(
        f"HTTP {response.status}{page}",
        seconds_of(response.headers.get("Retry-After")),
        too_many=response.meaning is Meaning.SLOW_DOWN,
    )


def _refuse_empty_bundle(error: requests.exceptions.SSLError) -> None:
    if _NO_CERTIFICATE in root_cause(error):
        raise UsageError(
            "REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names a file that holds no certificate"
        ) from error


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
