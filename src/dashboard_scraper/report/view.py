"""The page of the store's current state, for `serve`; may be called from any thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from functools import partial

from dashboard_scraper.errors import DaysMissing
from dashboard_scraper.model.dates import utc_day
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.report.gather import newest_window
from dashboard_scraper.report.options import ReportOptions
from dashboard_scraper.report.render import page_of
from dashboard_scraper.store.cache import CachedView, StoreCache


class ReportView:
    """The page of the sources' newest days, cached until something is stored or the day changes."""

    def __init__(
        self,
        cache: StoreCache,
        sources: Sequence[str],
        audience: Audience,
        options: ReportOptions,
        clock: Callable[[], datetime],
    ) -> None:
        self._cache = cache
        self._sources = sources
        self._audience = audience
        self._options = options
        self._clock = clock

    def page(self) -> bytes:
        """The page, with missing days marked; DaysMissing if no completed day is stored."""
        today = utc_day(self._clock())  # in the key, since the window moves with it
        return self._cache.get(("page", today), partial(self._page, today))

    def _page(self, today: date, view: CachedView) -> bytes:
        window = newest_window([view.reader.days(source) for source in self._sources], today)
        if window is None:
            raise DaysMissing("no completed day has been fetched yet")
        return page_of(view.reader, self._sources, window, self._audience, self._options)
