"""Figures by their names: made of values in any order, added up, and what follows from them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from dashboard_scraper.model.metrics import COUNTS, METRICS, REQUIRED, Count, Figures, Metric

Values = tuple[Any, ...]
"""Figures in the order of METRICS: what is done millions of times is done with these."""

Picker = Callable[[Values], tuple[Any, ...]]

values_of: Callable[[Figures], Values] = msgspec.structs.astuple


def picker(metrics: Iterable[Metric]) -> Picker:
    """What takes the values of these metrics, in this order."""
    places = [METRICS.index(metric) for metric in metrics]
    first = places[0] if places else 0
    if places == [*range(first, first + len(places))]:
        return operator.itemgetter(slice(first, first + len(places)))
    return operator.itemgetter(*places)


def maker(metrics: Sequence[Metric]) -> Callable[[Sequence[Any]], Figures]:
    """What makes figures of values in the order of these metrics; the others are unknown.

    Several times as fast as by keywords, which counts for millions of records.
    """
    if tuple(metrics) == METRICS[: len(metrics)]:
        return lambda values: Figures(*values)
    places = [metrics.index(m) if m in metrics else len(metrics) for m in METRICS]
    pick = operator.itemgetter(*places)
    return lambda values: Figures(*pick((*values, None)))


counts_in: Picker = picker(COUNTS)
"""What adds up over users and days, in the order of COUNTS."""

of_counts = maker(COUNTS)
"""Figures of nothing but counts, from these in the order of COUNTS."""

NOTHING_KNOWN = Figures()

_required_in = picker(REQUIRED)


def counts_of(figures: Figures) -> tuple[Count, ...]:
    """What adds up over users and days, in the order of COUNTS."""
    return counts_in(values_of(figures))


def added(counts: Iterable[Count]) -> Count:
    """What is unknown makes the sum unknown."""
    listed = list(counts)
    return None if None in listed else sum(listed)  # type: ignore[arg-type]


def sum_of(all_figures: Iterable[Figures]) -> Figures:
    """What the counts add up to, 0 without any; what is unknown makes its sum unknown."""
    rows = [counts_of(figures) for figures in all_figures]
    columns = zip(*rows, strict=True) if rows else ((),) * len(COUNTS)
    return of_counts([None if None in column else sum(column) for column in columns])


class Sums:
    """Adds up the figures of each of many, such as the days of each person."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[Count, ...]] = {}

    def add(self, name: str, counts: tuple[Count, ...]) -> None:
        """Some more of what has this name, in the order of COUNTS."""
        before = self._counts.get(name)
        self._counts[name] = counts if before is None else _sums(before, counts)

    def names(self) -> list[str]:
        """In alphabetical order."""
        return sorted(self._counts)

    def __getitem__(self, name: str) -> Figures:
        return of_counts(self._counts[name])


def _sums(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Count, ...]:
    try:
        return tuple(map(operator.add, left, right))
    except TypeError:  # one of them is unknown
        pairs = zip(left, right, strict=True)
        return tuple([None if None in pair else sum(pair) for pair in pairs])


def accept_rate(shown: Count, accepted: Count) -> float | None:
    """Percent of the completions shown that were accepted; None without completions."""
    return None if not shown or accepted is None else 100 * accepted / shown


def is_active(figures: Figures) -> bool:
    """Whether anything was counted for the user in the period, or may have been.

    Of a user with an unknown count nobody knows that there was no activity.
    """
    return has_activity(values_of(figures))


def has_activity(values: Values) -> bool:
    """The same of values."""
    return any(counts_in(values)) or None in _required_in(values)


def lacks_required(figures: Figures) -> bool:
    """Whether a figure is unknown that every source tells."""
    return None in _required_in(values_of(figures))
