"""The store: every day that was ever fetched, in all its versions, and which days are complete."""

from __future__ import annotations

from dashboard_scraper.store.cost_reader import CostVersion
from dashboard_scraper.store.cost_rows import CostLedgerDay
from dashboard_scraper.store.day_people import DayPeople
from dashboard_scraper.store.history import (
    Change,
    DayVersion,
    Movement,
    VersionState,
)
from dashboard_scraper.store.notices import Notice
from dashboard_scraper.store.place import Waiting, store_at, store_of
from dashboard_scraper.store.reader import Reader, RecordedDay
from dashboard_scraper.store.revising import Policy, Stored
from dashboard_scraper.store.rows import DetailStatus, LedgerDay, Status
from dashboard_scraper.store.runs import Run, RunCounts
from dashboard_scraper.store.store import Store
from dashboard_scraper.store.sum_queries import UserSums

__all__ = [
    "Change",
    "CostLedgerDay",
    "CostVersion",
    "DayPeople",
    "DayVersion",
    "DetailStatus",
    "LedgerDay",
    "Movement",
    "Notice",
    "Policy",
    "Reader",
    "RecordedDay",
    "Run",
    "RunCounts",
    "Status",
    "Store",
    "Stored",
    "UserSums",
    "VersionState",
    "Waiting",
    "store_at",
    "store_of",
]
