"""The page of the store's current state, for `serve`; may be called from any thread."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import partial

from dashboard_scraper.clock import Clock
from dashboard_scraper.errors import DaysMissing
from dashboard_scraper.model.dates import DAYS, utc_day
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.report.figures import Group
from dashboard_scraper.report.gather import newest_common_window, teams_in
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
        clock: Clock,
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
        window = newest_common_window([view.reader.days(source) for source in self._sources], today)
        if window is None:
            raise DaysMissing("no completed day has been fetched yet")
        return page_of(view.reader, self._sources, window, self._audience, self._options)

    def teams(self) -> dict[str, list[Group]]:
        """By source, the teams that may be shown, and who was active in the newest 28 days; empty
        if one of these days is missing.
        """
        if not self._audience.has_teams:
            return {}
        today = utc_day(self._clock())
        try:
            return self._cache.get(("teams", today), partial(self._teams, today))
        except DaysMissing:
            return {}

    def _teams(self, today: date, view: CachedView) -> dict[str, list[Group]]:
        found = {}
        for source in self._sources:
            window = newest_common_window([view.reader.days(source)], today)
            if window and len(window) == DAYS:
                found[source] = teams_in(view.reader, source, window, self._audience, self._options)
        return found
