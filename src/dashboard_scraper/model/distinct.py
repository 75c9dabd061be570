"""Counting distinct active people over several days: a bitmap of days for each person.

Where days are missing, the number is only a lower bound. The page then shows it as unknown;
GitHub's format cannot say that, so its reports have the lower bound, and the run logs a warning.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from datetime import date


class DistinctPeople:
    """Counts people by any key; no day before `first` can be added."""

    def __init__(self, first: date) -> None:
        self.first = first
        self._people: dict[Hashable, int] = {}
        self._days = 0

    def add(self, day: date, people: Iterable[Hashable]) -> None:
        """Add people who were active on a stored day; may be called several times for a day."""
        bit = self._bit(day)
        self._days |= bit
        for person in people:
            self._people[person] = self._people.get(person, 0) | bit

    def has(self, day: date) -> bool:
        """Whether the day was added."""
        return bool(self._days & self._bit(day))

    def at_least(self, day: date, days: int) -> int:
        """The people active in so many days up to `day`; missing days count as without activity."""
        window = self._window(day, days)
        return sum([1 for bits in self._people.values() if bits & window])

    def exactly(self, day: date, days: int) -> int | None:
        """The same; None if one of the days is missing."""
        begins = (day - self.first).days - days + 1
        window = self._window(day, days)
        if begins < 0 or self._days & window != window:
            return None
        return self.at_least(day, days)

    def _bit(self, day: date) -> int:
        return 1 << (day - self.first).days

    def _window(self, day: date, days: int) -> int:
        begins = (day - self.first).days - days + 1
        return ((1 << days + min(begins, 0)) - 1) << max(begins, 0)
