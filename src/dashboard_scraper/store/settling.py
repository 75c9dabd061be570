"""When a day's figures are final: SETTLE_DAYS after its end, its costs COST_SETTLE_DAYS."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import NamedTuple

from dashboard_scraper.clock import CLOCKS_DIFFER
from dashboard_scraper.model.dates import end_of_day
from dashboard_scraper.store import CostLedgerDay, LedgerDay


def _no_lag(_source: str) -> int:
    return 0


class Settling(NamedTuple):
    """How many days after its end a day's counts and costs are settled. `lag_of` returns, for a
    source, after how many days the source is expected to have the day at all.
    """

    counts: int
    costs: int
    lag_of: Callable[[str], int] = _no_lag


def is_settled(stored: LedgerDay | CostLedgerDay, settle_days: int, now: datetime) -> bool:
    """Whether the day was settled by the time it was fetched.

    A day that was fetched in the future was not: some clock was wrong.
    """
    return settled_by(stored.day, stored.fetched_at, settle_days, now)


def settled_by(day: date, fetched_at: datetime, settle_days: int, now: datetime) -> bool:
    """The same for a day whose row is not read."""
    return _settles_at(day, settle_days) <= fetched_at <= now


def was_settled(stored: LedgerDay | CostLedgerDay, settle_days: int) -> bool:
    """The same whatever the current time, for outputs that may change only with new figures."""
    return _settles_at(stored.day, settle_days) <= stored.fetched_at


def _settles_at(day: date, settle_days: int) -> datetime:
    return end_of_day(day) + timedelta(days=settle_days)


def was_over(stored: LedgerDay | CostLedgerDay, now: datetime) -> bool:
    """Whether the day had ended when it was fetched, and the fetch is not in the future: only such
    days count for the freshness.
    """
    return end_of_day(stored.day) <= stored.fetched_at and not is_in_future(stored, now)


def is_in_future(stored: LedgerDay | CostLedgerDay, now: datetime) -> bool:
    """Whether the day was fetched at a moment that is still to come: some clock was wrong."""
    return stored.fetched_at > now + CLOCKS_DIFFER
