"""The other host: reports are files there, behind links that GitHub has signed for about an hour.

No secret is sent to it: each link is itself one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from dashboard_scraper.errors import ContractBroken, SourceUnavailable
from dashboard_scraper.hosts import is_loopback
from dashboard_scraper.sources.rest.bodies import Incomplete
from dashboard_scraper.sources.rest.http import Consume, Http, Pieces, Response
from dashboard_scraper.sources.rest.pages import Page, page_in
from dashboard_scraper.sources.rest.statuses import Meaning
from dashboard_scraper.sources.rest.urls import host_of

_EXPIRED = (401, 403, 404, 410)


class LinkExpired(SourceUnavailable):
    """The other host no longer accepts the link; a new report call returns another one."""


class Downloads:
    """Reads the files behind links; `connect` makes the connections to a link's host."""

    def __init__(self, connect: Callable[[str], Http], api_url: str) -> None:
        self._connect = connect
        self._plain_allowed = is_loopback(host_of(api_url))
        self._hosts: dict[str, Http] = {}
        self._lock = threading.Lock()
        self._stopped = False

    @property
    def requests(self) -> int:
        """How many were sent so far, including retries."""
        with self._lock:
            return sum(http.sent for http in self._hosts.values())

    def stop(self) -> None:
        """End waiting requests; later ones fail immediately."""
        with self._lock:
            self._stopped = True
            for http in self._hosts.values():
                http.stop()

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for http in self._hosts.values():
                http.close()

    def stream(self, endpoint: str, link: str, consume: Consume) -> None:
        """Let `consume` read the file piece by piece."""
        self._check(endpoint, self._http(endpoint, link).stream(link, consume))

    def whole(self, endpoint: str, link: str) -> bytes | bytearray:
        """The file as a whole: one JSON text."""
        response = self._check(endpoint, self._http(endpoint, link).get(link))
        _refuse_page(endpoint, response, response.body)
        return response.body

    def _http(self, endpoint: str, link: str) -> Http:
        self._check_link(endpoint, link)
        host = host_of(link)
        with self._lock:
            if host not in self._hosts:
                self._hosts[host] = self._connect(link)
                if self._stopped:
                    self._hosts[host].stop()
            return self._hosts[host]

    def _check_link(self, endpoint: str, link: str) -> None:
        try:
            url = parse_url(link)
        except LocationParseError:
            raise ContractBroken(f"{endpoint}: a download link is malformed") from None
        host = url.host or ""
        plain = url.scheme == "http" and self._plain_allowed and is_loopback(host)
        if not host or url.auth or not (url.scheme == "https" or plain):
            raise ContractBroken(f"{endpoint}: a download link is not an https:// URL")

    def _check(self, endpoint: str, response: Response) -> Response:
        if response.meaning is Meaning.DATA:
            return response
        if response.status in _EXPIRED and response.page is None:
            raise LinkExpired(f"{endpoint}: {response.shown}: the link to the report has expired")
        page = response.page
        if page is not None and response.meaning is not Meaning.REDIRECT:
            raise _page_came(endpoint, response, page)
        raise ContractBroken(f"{endpoint}: the report was not sent ({response.shown})")


class Counted:
    """The pieces of a file, counted; the first one must not be an HTML page."""

    def __init__(self, endpoint: str, response: Response, pieces: Pieces) -> None:
        self._endpoint, self._response, self._pieces = endpoint, response, pieces
        self._received = 0

    def __iter__(self) -> Iterator[bytes | bytearray]:
        for piece in self._pieces:
            if not self._received:
                _refuse_page(self._endpoint, self._response, piece)
            self._received += len(piece)
            yield piece

    def refuse_unframed(self) -> None:
        """Raise Incomplete if nothing came although no header says that the file is empty: without
        framing, the end of the connection is the end of the body, and all of it may have been lost.
        """
        headers = self._response.headers
        framed = "Content-Length" in headers or "Transfer-Encoding" in headers
        if not self._received and not framed:
            raise Incomplete("the report was empty")


def _refuse_page(endpoint: str, response: Response, beginning: bytes | bytearray) -> None:
    """Raise SourceUnavailable if the file is a page from something between here and the host."""
    content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    page = page_in(content_type, response.headers, beginning)
    if page is not None:
        raise _page_came(endpoint, response, page)


def _page_came(endpoint: str, response: Response, page: Page) -> SourceUnavailable:
    host = host_of(response.url)
    return SourceUnavailable(
        f"{endpoint}: a page came in place of the report (HTTP {response.status} from {host},"
        f" {page}); have the network let this machine through to {host}"
    )
