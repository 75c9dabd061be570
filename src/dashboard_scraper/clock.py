"""The clock of every run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the current moment, in UTC."""


def utc_now() -> datetime:
    """The current moment."""
    return datetime.now(UTC)
