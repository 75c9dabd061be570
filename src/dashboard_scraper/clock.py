"""The clock of every run."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The current moment."""
    return datetime.now(UTC)
