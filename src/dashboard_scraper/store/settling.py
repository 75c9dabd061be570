"""When a day's figures are final: SETTLE_DAYS after its end."""

from __future__ import annotations

from datetime import datetime, timedelta

from dashboard_scraper.model.dates import end_of_day
from dashboard_scraper.store import CostLedgerDay, LedgerDay


def is_settled(stored: LedgerDay | CostLedgerDay, settle_days: int, now: datetime) -> bool:
    """Whether the day was settled by the time it was fetched.

    A day that was fetched in the future is not: some clock was wrong.
    """
    settled_at = end_of_day(stored.day) + timedelta(days=settle_days)
    return settled_at <= stored.fetched_at <= now
