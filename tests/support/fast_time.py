"""A clock for `watch` on which each wait passes at once, until it ends the process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from dashboard_scraper.errors import Terminated


class FastTime:
    """Each wait advances the clock; what `tomorrow` does happens at each midnight, in UTC.

    When the time is over, the wait ends as SIGTERM would.
    """

    def __init__(self, start: datetime, end: datetime) -> None:
        self._now = start
        self._end = end
        self.at: list[tuple[datetime, Callable[[], object]]] = []

    def now(self) -> datetime:
        return self._now

    def wait(self, seconds: float) -> None:
        """Advance the clock, and call the events that are due."""
        self._now += timedelta(seconds=seconds)
        for event in sorted(self.at, key=lambda event: event[0]):
            if event[0] <= self._now:
                self.at.remove(event)
                event[1]()
        if self._now >= self._end:
            raise Terminated(143)

    def spend(self, time: timedelta) -> None:
        """Advance the clock without waiting, for work that takes time."""
        self._now += time
