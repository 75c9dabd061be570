"""The page of a store as it is whenever somebody asks, from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import date, datetime

from dashboard_scraper.errors import DaysMissing
from dashboard_scraper.model.dates import Window, utc_day
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.report.gather import newest_window
from dashboard_scraper.report.options import ReportOptions
from dashboard_scraper.report.render import page_of
from dashboard_scraper.store import LedgerDay, Store

_NOTHING_YET = "no day has been fetched yet"


class ReportView:
    """The page of the newest days of one source, made anew when a day came or changed."""

    def __init__(
        self,
        store: Store,
        source: str,
        audience: Audience,
        options: ReportOptions,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._source = source
        self._audience = audience
        self._options = options
        self._clock = clock
        self._lock = threading.Lock()
        self._made: tuple[Window, Mapping[date, LedgerDay], bytes] | None = None

    def page(self) -> bytes:
        """The page, which shows missing days as such; DaysMissing where there is no day yet."""
        if not self._store.exists():
            raise DaysMissing(_NOTHING_YET)
        # One at a time: who asks meanwhile gets the page that is being made.
        with self._lock, self._store.reading() as reader:
            ledger = reader.ledger(self._source)
            window = newest_window(ledger, utc_day(self._clock()))
            if window is None:
                raise DaysMissing(_NOTHING_YET)
            if self._made is None or self._made[:2] != (window, ledger):
                page = page_of(reader, self._source, window, self._audience, self._options)
                self._made = window, ledger, page
            return self._made[2]
