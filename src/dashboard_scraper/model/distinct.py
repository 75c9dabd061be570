"""How many different people were active in the days up to one: of each, a number with a bit a day.

Where days are missing, nobody knows: there were at least so many. The page says then that it is
unknown; GitHub's format has no word for that, so its reports have the number, and the run warns.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from datetime import date


class DistinctPeople:
    """Counts people by what is the same for each; `first` is the first day that there may be."""

    def __init__(self, first: date) -> None:
        self.first = first
        self._people: dict[Hashable, int] = {}
        self._days = 0

    def add(self, day: date, people: Iterable[Hashable]) -> None:
        """A day that is in the store, and who was active on it; in several calls, or in one."""
        bit = self._bit(day)
        self._days |= bit
        for person in people:
            self._people[person] = self._people.get(person, 0) | bit

    def has(self, day: date) -> bool:
        """Whether the day was added."""
        return bool(self._days & self._bit(day))

    def at_least(self, day: date, days: int) -> int:
        """People in as many days, of which `day` is the last, without days that are missing."""
        window = self._window(day, days)
        return sum([1 for bits in self._people.values() if bits & window])

    def exactly(self, day: date, days: int) -> int | None:
        """The same; None where one of the days is missing."""
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
