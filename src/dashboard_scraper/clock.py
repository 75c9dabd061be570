"""The clock of every run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Returns the current moment, in UTC."""

CLOCKS_DIFFER = timedelta(minutes=5)
"""How far apart the clocks of machines that work on the same store may be."""


def utc_now() -> datetime:
    """The current moment."""
    return datetime.now(UTC)
