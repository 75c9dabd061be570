"""The calls that return the links of a report, and the files behind these links."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from typing import IO, TypeVar

from dashboard_scraper.clock import Clock
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.dates import Window, utc_day
from dashboard_scraper.sources.copilot.downloads import Counted, Downloads, LinkExpired
from dashboard_scraper.sources.copilot.ndjson import lines_of
from dashboard_scraper.sources.copilot.reports import Links, NoReport, links_in, temporary_files
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.http import Pieces, Response

logger = logging.getLogger(__name__)

_IN_MEMORY = 1 << 23  # bytes of a part that is kept in memory

_Fetched = TypeVar("_Fetched")


class ReportCalls:
    """Asks for a tenant's reports and reads them; usable from several threads.

    `call` requests a report by name, for a day or the latest one; `data` returns the response if it
    has data, and raises otherwise. `proof` is a report that nobody can see who cannot see the
    others.
    """

    def __init__(
        self,
        call: Callable[[str, date | None], Response],
        data: Callable[[str, Response], Response],
        downloads: Downloads,
        proof: str,
        clock: Clock,
    ) -> None:
        self._call, self._data, self._downloads = call, data, downloads
        self._proof, self._clock = proof, clock
        self._seen = False

    def links(self, report: str, day: date | None = None) -> Links | NoReport:
        """The links to the report of a day, or to the latest one; SignInRequired if GitHub does not
        let the token see it.
        """
        response = self._call(report, day)
        if response.status == 404 and response.page is None and (self._seen or day is not None):
            self._prove_access()
            return NoReport("HTTP 404", ambiguous=True)
        if response.status == 204:
            self._seen = True
            return NoReport("HTTP 204")
        body = self._data(report, response).body
        self._seen = True
        now = self._clock()
        today = utc_day(now)
        envelope = Envelope(report, Window(day or today, day or today), now)
        return links_in(report, body, day, envelope)

    def _prove_access(self) -> None:
        """Raise SignInRequired unless a report proves that the token may see the tenant's."""
        if not self._seen:
            response = self._call(self._proof, None)
            if response.status != 204:
                self._data(self._proof, response)
            self._seen = True

    def only_file(self, endpoint: str, links: Links) -> bytes | bytearray:
        """The file of a report that is a single object."""
        if len(links.urls) > 1:
            raise ContractBroken(f"{endpoint}: {len(links.urls)} links to a report of one object")
        return self._downloads.whole(endpoint, links.urls[0])

    def lines(self, endpoint: str, links: Links) -> Iterator[bytes]:
        """The lines of all parts of a report, one part after the other.

        A large part is first written to a file: an attempt that fails half-way is repeated, and no
        line is read twice.
        """
        for link in links.urls:
            with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as part:
                self._spool(endpoint, link, part)
                with temporary_files():
                    part.seek(0)
                for line in part:
                    yield line.rstrip(b"\n")

    def _spool(self, endpoint: str, link: str, part: IO[bytes]) -> None:
        def consume(response: Response, pieces: Pieces) -> None:
            with temporary_files():
                part.seek(0)
                part.truncate()
            counted = Counted(endpoint, response, pieces)
            for line in lines_of(endpoint, counted):
                with temporary_files():
                    part.write(line + b"\n")
            counted.refuse_unframed()

        self._downloads.stream(endpoint, link, consume)


def with_new_links(fetch: Callable[[], _Fetched]) -> _Fetched:
    """Call `fetch`, and once more if a link had expired: each call gets new links."""
    try:
        return fetch()
    except LinkExpired as error:
        logger.info("%s; asking for new links", error)
        return fetch()
