"""Figures on which nothing depends: a rate, when somebody was seen, days with any activity.

What a source says of these may be odd for one user of thousands. It is unknown then, and said once
a run; the day, its counts and the other users stay. Counts and identities have no place here.
"""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from dashboard_scraper.model.dates import EARLIEST
from dashboard_scraper.model.metrics import MAX_COUNT, Kind

logger = logging.getLogger(__name__)

# How sources spell "unknown" where a moment or a rate is due; the dates, in any form, are those
# that languages and databases begin or end with.
_UNKNOWN = re.compile(
    r"\s*(|-+|—|n/?a|nan|nil|none|null|never|unknown|undefined|0|000[01]-0[01]-0[01].*"
    r"|1900-01-01.*|1970-01-01.*|9999-12-31.*)\s*",
    re.IGNORECASE | re.DOTALL,
)
_CLOCKS_DIFFER = timedelta(hours=1)
_SHOWN = 40


@dataclass(slots=True)
class _Odd:
    count: int
    example: str


class Oddities:
    """The odd values of a run, by field. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._odd: dict[str, _Odd] = {}

    def note(self, field: str, value: object) -> None:
        """One value more of the field that is kept as unknown."""
        with self._lock:
            if field in self._odd:
                self._odd[field].count += 1
            else:
                self._odd[field] = _Odd(1, _shown(value))

    def __contains__(self, field: str) -> bool:
        return field in self._odd

    def report(self) -> None:
        """One warning a field, then forget them."""
        with self._lock:
            found, self._odd = self._odd, {}
        for field, odd in found.items():
            logger.warning(
                "%s: %d %s out of the ordinary, such as %s; kept as unknown",
                field,
                odd.count,
                "value is" if odd.count == 1 else "values are",
                odd.example,
            )


def _shown(value: object) -> str:
    """A value fit for a log, which may not have what could be an address or a secret."""
    text = str(value)
    if "@" in text:
        return "a text with an address"
    return repr(text) if len(text) <= _SHOWN else f"a text of {len(text)} characters"


def known_or_none(kind: Kind, field: str, value: object, oddities: Oddities) -> object:
    """The value as it came if it can be one of its kind; else None, noted unless it says so."""
    if value is None or (isinstance(value, str) and _is_spelled(kind, value)):
        return None
    if not _is_sound(kind, value):
        oddities.note(field, value)
        return None
    return value


def _is_spelled(kind: Kind, text: str) -> bool:
    return kind is not Kind.DAYS and _UNKNOWN.fullmatch(text) is not None


def _is_sound(kind: Kind, value: object) -> bool:
    if isinstance(value, bool):
        return False
    if kind is Kind.MOMENT:
        return isinstance(value, str) and _is_moment(value)
    if kind is Kind.DAYS:
        return isinstance(value, int) and 0 <= value <= MAX_COUNT
    return isinstance(value, int | float) and 0 <= value <= 100


def _is_moment(text: str) -> bool:
    try:
        return msgspec.convert(text, datetime).tzinfo is not None
    except msgspec.ValidationError:
        return False


def latest_moment(now: datetime) -> datetime:
    """The latest at which somebody can have been seen, by a clock that is ahead of ours."""
    return now + _CLOCKS_DIFFER


def plausible_moment(
    field: str, moment: datetime, latest: datetime, oddities: Oddities
) -> datetime | None:
    """In UTC, if it lies between the first assistants and `latest`; else None, noted unless it is a
    usual spelling of "unknown".
    """
    if EARLIEST <= moment <= latest:
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    if not _is_spelled(Kind.MOMENT, moment.isoformat()):
        oddities.note(field, moment.isoformat())
    return None
