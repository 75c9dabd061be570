"""The page of the store's current state, for `serve`; may be called from any thread."""

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
    """The page of a source's newest days, cached until a stored day is added or changes."""

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
        self._cached: tuple[Window, Mapping[date, LedgerDay], bytes] | None = None

    def page(self) -> bytes:
        """The page, with missing days marked; DaysMissing if no completed day is stored."""
        if not self._store.exists():
            raise DaysMissing(_NOTHING_YET)
        # Rendered once: concurrent requests wait for the lock, and then find the page here.
        with self._lock, self._store.reading() as reader:
            ledger = reader.ledger(self._source)
            window = newest_window(ledger, utc_day(self._clock()))
            if window is None:
                raise DaysMissing(_NOTHING_YET)
            if self._cached is None or self._cached[:2] != (window, ledger):
                page = page_of(reader, self._source, window, self._audience, self._options)
                # Equal ledgers mean equal figures: they have every day's digest.
                self._cached = window, ledger, page
            return self._cached[2]
