"""Counting distinct active people over several days, from a bitmap of people for each day.

If days are missing, the number is only a lower bound. The page then shows it as unknown; GitHub's
format cannot say that, so its reports have the lower bound, and the run logs a warning.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from datetime import date, timedelta


class DistinctPeople:
    """Counts people by their bits in each day's bitmap."""

    def __init__(self) -> None:
        self._days: dict[date, int] = {}

    def add(self, day: date, people: int) -> None:
        """Add the bitmap of the people who were active on a stored day."""
        self._days[day] = people

    def at_least(self, day: date, days: int) -> int:
        """How many people were active in the last `days` up to `day`; missing days count as
        inactive.
        """
        active = 0
        for back in range(days):
            active |= self._days.get(day - timedelta(back), 0)
        return active.bit_count()

    def exactly(self, day: date, days: int) -> int | None:
        """The same; None if one of the days is missing."""
        bitmap = self.bitmap(day, days)
        return None if bitmap is None else bitmap.bit_count()

    def bitmap(self, day: date, days: int) -> int | None:
        """The bitmap of people active in the last `days` up to `day`; None if one of the days is
        missing.
        """
        active = 0
        for back in range(days):
            bits = self._days.get(day - timedelta(back))
            if bits is None:
                return None
            active |= bits
        return active

    def repeated(self, day: date, days: int) -> int:
        """The bitmap of people active on at least two of the last `days` up to `day`."""
        once = twice = 0
        for back in range(days):
            bits = self._days.get(day - timedelta(back), 0)
            twice |= once & bits
            once |= bits
        return twice


class MergedBits:
    """Merges the bits of one person, one for each spelling, into a single bit."""

    def __init__(self, persons: Mapping[int, Hashable]) -> None:
        """`persons` has the person of each bit."""
        first: dict[Hashable, int] = {}
        several: dict[Hashable, int] = {}
        for bit, person in persons.items():
            other = first.setdefault(person, bit)
            if other != bit:  # only for few: a mask has a bit for each person
                several[person] = several.get(person, 1 << other) | 1 << bit
        self._masks = [*several.values()]

    def __call__(self, bitmap: int) -> int:
        """The bitmap with at most one bit for each person."""
        for mask in self._masks:
            if bitmap & mask:
                bitmap = bitmap & ~mask | mask & -mask
        return bitmap
