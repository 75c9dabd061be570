"""Lists in messages, limited to a readable length; the rest is only counted."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable
from datetime import date

from dashboard_scraper.model.dates import runs_of_days

NAMED_AT_MOST = 20
_RANGES_AT_MOST = 5
_LONGEST_NAME = 200


def listed(
    names: Collection[object],
    most: int = NAMED_AT_MOST,
    separator: str = ", ",
    longest: int = _LONGEST_NAME,
) -> str:
    """The first `most` names, each cut off after `longest` characters, and the number of the
    others.
    """
    shown = (shortened(str(name), longest) for name in itertools.islice(names, most))
    more = len(names) - most
    return separator.join(shown) + (f" and {more:,} more" if more > 0 else "")


def listed_days(days: Iterable[date], most: int = _RANGES_AT_MOST) -> str:
    """`2025-03-01, 2025-03-04 to 2025-03-06 and 14 more ranges`, oldest first."""
    ranges = list(runs_of_days(days))
    more = len(ranges) - most
    return listed(ranges, most) + ((" ranges" if more > 1 else " range") if more > 0 else "")


def many(count: int, one: str, several: str = "") -> str:
    """`1 day`, `2 days`."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def shortened(text: str, most: int) -> str:
    """The text, or its beginning and how much is left out."""
    if len(text) <= most:
        return text
    return f"{text[:most]}... ({len(text) - most:,} more characters)"
