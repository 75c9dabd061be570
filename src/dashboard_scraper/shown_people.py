"""Whom outputs show of the people on each stored day, counted without loading a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.distinct import MergedBits
from dashboard_scraper.model.metrics import Metric
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.store import Reader


class ShownPeople:
    """Bitmaps of the people on each stored day of a window, with one bit for each person.

    Service accounts are left out where the audience leaves them out.
    """

    def __init__(
        self,
        reader: Reader,
        source: str,
        window: Window,
        audience: Audience,
        areas: Sequence[Iterable[Metric]] = (),
    ) -> None:
        self._days = reader.people(source, window, areas)
        self._service_accounts = audience.service_accounts
        names = reader.name_of_bit
        self.merged = MergedBits({bit: audience.person(name) for bit, name in names.items()})

    def days(self) -> list[date]:
        """The stored days, oldest first."""
        return list(self._days)

    def listed(self, day: date) -> int:
        """Everybody with a row."""
        return self._shown(day, self._days[day].listed)

    def active(self, day: date) -> int:
        """Everybody with activity."""
        return self._shown(day, self._days[day].active)

    def active_in(self, day: date) -> list[int]:
        """Everybody with activity in each of the areas."""
        return [self._shown(day, area) for area in self._days[day].areas]

    def services(self, day: date) -> int:
        """Those all of whose accounts on the day are service accounts."""
        people = self._days[day]
        return self.listed(day) & ~self._shown(day, people.listed & ~people.service)

    def leaves_out(self, day: date) -> bool:
        """Whether a row of the day is not shown."""
        return not self._service_accounts and bool(self._days[day].service)

    def _shown(self, day: date, bitmap: int) -> int:
        left_out = 0 if self._service_accounts else self._days[day].service
        return self.merged(bitmap & ~left_out)
