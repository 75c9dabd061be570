"""Days before the window of the nightly job that it did not finish, as where the machine was off
for longer than the window: no later night comes back to them.
"""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta

import msgspec

from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.listing import listed_days
from dashboard_scraper.sources.interface import Source
from dashboard_scraper.store import Reader
from dashboard_scraper.store.settling import settled_by
from dashboard_scraper.sync.day_fetching import Job

logger = logging.getLogger(__name__)


class LeftBehind(msgspec.Struct, frozen=True):
    """Stored days that were last fetched before they or their costs had settled, and the days after
    the first of these that are missing; both oldest first, and before the window.
    """

    unsettled: list[date]
    missing: list[date]


def left_behind(
    reader: Reader,
    source: str,
    earlier: Window,
    now: datetime,
    *,
    settle_days: int,
    cost_settle_days: int | None = None,
) -> LeftBehind:
    """Those among `earlier` days. Costs count where there is a `cost_settle_days`."""
    fetched = reader.last_fetches(source, earlier)
    open_days = {day for day, at in fetched.items() if not settled_by(day, at, settle_days, now)}
    if cost_settle_days is not None:
        costs = reader.last_cost_fetches(source, earlier)
        open_days |= {
            day for day, at in costs.items() if not settled_by(day, at, cost_settle_days, now)
        }
    if not open_days:
        return LeftBehind([], [])
    since = Window(min(open_days), earlier.end)
    return LeftBehind(sorted(open_days), [day for day in since.days() if day not in fetched])


def warn_of_left_behind(job: Job, reader: Reader, source: Source, window: Window) -> None:
    """Log which days before the window the source still has, and `backfill` alone would finish."""
    now = job.clock()
    oldest, newest = source.published(now).start, window.start - timedelta(days=1)
    if oldest > newest:
        return
    has_costs = source.costs is not None and source.costs.wanted
    left = left_behind(
        reader,
        source.name,
        Window(oldest, newest),
        now,
        settle_days=job.caution.settle_days,
        cost_settle_days=job.cost_settle_days if has_costs else None,
    )
    if left.unsettled:
        missing = f"; missing since then: {listed_days(left.missing)}" if left.missing else ""
        logger.warning(
            "days before %s were last fetched before they had settled: %s%s; no nightly run fetches"
            " them any more: run `backfill %s %s`",
            window.start,
            listed_days(left.unsettled),
            missing,
            left.unsettled[0],
            max([*left.unsettled, *left.missing]),
        )
