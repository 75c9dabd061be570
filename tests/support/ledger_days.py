"""Entries of the ledger with round figures, for rules about days."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import msgspec

from dashboard_scraper.model.checks import Difference
from dashboard_scraper.model.columns import sum_of
from dashboard_scraper.model.dates import end_of_day
from dashboard_scraper.model.metrics import Figures
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import LedgerDay, Status

DAY = date(2025, 3, 10)
NOW = end_of_day(date(2025, 5, 1))
SETTLE_DAYS = 3
WEEK, NIGHT = timedelta(weeks=1), timedelta(days=1)
ACCEPTED = "completions_accepted"  # neither a sum of other metrics nor a part of one
CHAT, MESSAGES = "chat_messages", "total_messages"
OFF, TOLERATED = Difference(MESSAGES, 7, 10), Difference(MESSAGES, 8, 10)


def sums(**counts: int | None) -> Figures:
    """The sums of these metrics; all others are 0."""
    return msgspec.structs.replace(sum_of(()), **counts)


THOUSAND = sums(completions_accepted=1000)


def ledger_day(day: date = DAY, **fields: Any) -> LedgerDay:
    """A day of ten people with a thousand accepted completions, long after it had settled."""
    whole = {
        "status": Status.COMPLETE,
        "fetched_at": NOW - NIGHT,
        "users": 10,
        "active_users": 10,
    }
    figures = {"sums": THOUSAND, "totals": {MESSAGES: 0}, "unreconciled": [], "forgotten": 0}
    return LedgerDay(**{"source": DASHBOARD, "day": day, **whole, **figures, **fields})


def by_day(rows: Iterable[LedgerDay]) -> dict[date, LedgerDay]:
    return {row.day: row for row in rows}


OPEN = sums(chat_messages=5, total_messages=6)
CLOSED = sums(chat_messages=6, total_messages=6)
