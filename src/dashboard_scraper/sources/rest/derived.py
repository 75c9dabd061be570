"""Derived figures: a rate, when a user was first and last seen, the number of active days.

Sources send an odd value in one of these for one user among thousands. No other figure depends on
it: it is stored as unknown and reported once per run; the day, its counts and the other users stay
valid. Never use this for counts or identities: an odd value in these fails the day.
"""

from __future__ import annotations

import logging
import re
import threading
from datetime import UTC, datetime, timedelta

import msgspec

from dashboard_scraper.model.dates import EARLIEST
from dashboard_scraper.model.metrics import MAX_COUNT, Kind

logger = logging.getLogger(__name__)

# How sources spell "unknown" for a moment or a rate. The dates are the first and last ones of
# programming languages and databases: 0001-01-01 is Go's and .NET's, 1900-01-01 SQL Server's.
_UNKNOWN = re.compile(
    r"\s*(|-+|—|n/?a|nan|nil|none|null|never|unknown|undefined|0|000[01]-0[01]-0[01].*"
    r"|1900-01-01.*|1970-01-01.*|9999-12-31.*)\s*",
    re.IGNORECASE | re.DOTALL,
)
_CLOCKS_DIFFER = timedelta(hours=1)
_SHOWN = 40


class _Odd(msgspec.Struct):
    count: int
    example: str


class Oddities:
    """The odd values of a run, counted by field. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._odd: dict[str, _Odd] = {}

    def note(self, field: str, value: object) -> None:
        """Count one more value of the field that is stored as unknown."""
        with self._lock:
            if field in self._odd:
                self._odd[field].count += 1
            else:
                self._odd[field] = _Odd(1, _shown(value))

    def __contains__(self, field: str) -> bool:
        return field in self._odd

    def report(self) -> None:
        """Log one warning per field, then forget them."""
        with self._lock:
            found, self._odd = self._odd, {}
        for field, odd in found.items():
            logger.warning(
                "%s: %d %s implausible, such as %s; stored as unknown",
                field,
                odd.count,
                "value is" if odd.count == 1 else "values are",
                odd.example,
            )


def _shown(value: object) -> str:
    """The value as a log may contain it: without anything that could be an address or a secret."""
    text = str(value)
    if "@" in text:
        return "a text with an address"
    return repr(text) if len(text) <= _SHOWN else f"a text of {len(text)} characters"


def known_or_none(kind: Kind, field: str, value: object, oddities: Oddities) -> object:
    """The value unchanged if valid for its kind, else None; noted unless it means unknown."""
    if value is None or (isinstance(value, str) and _means_unknown(kind, value)):
        return None
    if not _is_valid(kind, value):
        oddities.note(field, value)
        return None
    return value


def _means_unknown(kind: Kind, text: str) -> bool:
    return kind is not Kind.DAYS and _UNKNOWN.fullmatch(text) is not None


def _is_valid(kind: Kind, value: object) -> bool:
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
    """The latest plausible moment at which a user was seen: the source's clock may be ahead."""
    return now + _CLOCKS_DIFFER


def plausible_moment(
    field: str, moment: datetime, latest: datetime, oddities: Oddities
) -> datetime | None:
    """The moment in UTC, if it lies between the first coding assistants and `latest`; else None,
    noted unless it is a usual spelling of "unknown".
    """
    if EARLIEST <= moment <= latest:
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    if not _means_unknown(Kind.MOMENT, moment.isoformat()):
        oddities.note(field, moment.isoformat())
    return None
