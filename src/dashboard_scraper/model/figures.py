"""Working with figures: converting them from and to values, adding them up, deriving others."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from dashboard_scraper.model.metrics import (
    ACTIVE_DAYS,
    COUNTS,
    METRICS,
    REQUIRED,
    Count,
    Figures,
    Metric,
)

Values = tuple[Any, ...]
"""Figures as a tuple in the order of METRICS, for code that runs millions of times."""

Picker = Callable[[Values], tuple[Any, ...]]

values_of: Callable[[Figures], Values] = msgspec.structs.astuple


def picker(metrics: Iterable[Metric]) -> Picker:
    """A function that picks the values of these metrics, in this order."""
    places = [METRICS.index(metric) for metric in metrics]
    first = places[0] if places else 0
    if places == [*range(first, first + len(places))]:
        return operator.itemgetter(slice(first, first + len(places)))
    return operator.itemgetter(*places)


def maker(metrics: Sequence[Metric]) -> Callable[[Sequence[Any]], Figures]:
    """A function that builds figures from values in the order of these metrics; others are unknown.

    Several times as fast as keyword arguments, which matters for millions of records.
    """
    if tuple(metrics) == METRICS[: len(metrics)]:
        return lambda values: Figures(*values)
    places = [metrics.index(m) if m in metrics else len(metrics) for m in METRICS]
    pick = operator.itemgetter(*places)
    return lambda values: Figures(*pick((*values, None)))


counts_in: Picker = picker(COUNTS)
"""Picks the counts, which add up over users and days, from values; in the order of COUNTS."""

of_counts = maker(COUNTS)
"""Figures from counts in the order of COUNTS; all others are unknown."""

NOTHING_KNOWN = Figures()

_required_in = picker(REQUIRED)
_ACTIVE_DAYS = METRICS.index(ACTIVE_DAYS)


def counts_of(figures: Figures) -> tuple[Count, ...]:
    """The counts of figures, in the order of COUNTS."""
    return counts_in(values_of(figures))


def added(counts: Iterable[Count]) -> Count:
    """The sum; None if one of the counts is unknown."""
    listed = list(counts)
    return None if None in listed else sum(listed)  # type: ignore[arg-type]


class Sums:
    """Adds up counts by name, such as those of each person over many days."""

    def __init__(self) -> None:
        self._counts: dict[str, Sequence[float | None]] = {}

    def add(self, name: str, counts: tuple[Count, ...]) -> None:
        """Add counts to those of this name, in the order of COUNTS."""
        before = self._counts.get(name)
        if before is None:  # unchanged: for most names there is nothing to add
            self._counts[name] = counts
        else:
            self._counts[name] = tuple(map(operator.add, _numbers(before), _numbers(counts)))

    def names(self) -> list[str]:
        """In alphabetical order."""
        return sorted(self._counts)

    def __getitem__(self, name: str) -> Figures:
        return of_counts([None if count != count else count for count in self._counts[name]])


def _numbers(counts: Sequence[float | None]) -> Sequence[float]:
    """The counts with NaN for unknown ones: NaN plus any number is NaN, without a test for None."""
    if None in counts:
        return [math.nan if count is None else count for count in counts]
    return counts  # type: ignore[return-value]


def accept_rate(shown: Count, accepted: Count) -> float | None:
    """The percentage of shown completions that were accepted; None without completions."""
    return None if not shown or accepted is None else 100 * accepted / shown


def is_active(figures: Figures) -> bool:
    """Whether the user has, or may have, any activity in the period.

    A user with an unknown required count counts as active unless the source says that there were no
    active days: there may have been activity.
    """
    return has_activity(values_of(figures))


def has_activity(values: Values) -> bool:
    """The same as `is_active`, for values."""
    try:  # sum() is faster than a search for None, and fails if there is one
        return sum(_required_in(values)) > 0 or any(counts_in(values))
    except TypeError:
        return values[_ACTIVE_DAYS] != 0 or any(counts_in(values))


def lacks_required(figures: Figures) -> bool:
    """Whether a figure that Copilot's formats need is unknown."""
    return None in _required_in(values_of(figures))
