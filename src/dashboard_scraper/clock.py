"""The clock of every run."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """This moment."""
    return datetime.now(UTC)
