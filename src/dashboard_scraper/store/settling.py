"""When the figures of a day stop growing."""

from __future__ import annotations

from datetime import datetime, timedelta

from dashboard_scraper.model.dates import end_of_day
from dashboard_scraper.store import LedgerDay


def is_settled(kept: LedgerDay, settle_days: int, now: datetime) -> bool:
    """Whether the source had stopped counting when the day was fetched.

    A fetch in the future says that some clock was wrong, and so nothing.
    """
    settled_at = end_of_day(kept.day) + timedelta(days=settle_days)
    return settled_at <= kept.fetched_at <= now
