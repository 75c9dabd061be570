"""What a reader of GitHub's reports should know about the days that they are computed from."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec

from dashboard_scraper.model.dates import DAYS, Window
from dashboard_scraper.model.doubts import Doubt


class Caveats(msgspec.Struct):
    """Which days of a report are in doubt, and which are missing.

    The `earlier` days are those of `days_before`.
    """

    doubts: list[Doubt] = []
    missing: list[date] = []
    earlier_doubts: list[Doubt] = []
    earlier_missing: list[date] = []

    def add(self, other: Caveats) -> None:
        """Add the caveats of more days."""
        self.doubts += other.doubts
        self.missing += other.missing
        self.earlier_doubts += other.earlier_doubts
        self.earlier_missing += other.earlier_missing


def days_before(start: date) -> Window:
    """The days before a report's first that its weekly and monthly counts and its adoption phases
    also cover.
    """
    return Window(start - timedelta(days=DAYS - 1), start - timedelta(days=1))
