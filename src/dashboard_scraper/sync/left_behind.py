"""Days before the window that the nightly job did not finish, for example because the machine was
off for longer than the window: no later night comes back to them.
"""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta

import msgspec

from dashboard_scraper.model.dates import DAYS, Window, end_of_day
from dashboard_scraper.model.listing import listed_days
from dashboard_scraper.sources.interface import Source
from dashboard_scraper.store import Reader
from dashboard_scraper.store.settling import settled_by
from dashboard_scraper.sync.day_fetching import Job

logger = logging.getLogger(__name__)

_IN_TIME = timedelta(days=DAYS)
"""The nightly job fetches a day for the first time at most this long after its end."""


class LeftBehind(msgspec.Struct, frozen=True):
    """Days before the window, oldest first.

    `unsettled` are stored days that were last fetched before they or their costs had settled.
    `missing` are days that are not stored, although earlier days were fetched within weeks of their
    end, as the nightly job does. Days that somebody filled in later do not count as such.
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
    """Find them among the `earlier` days. Costs are checked if there is a `cost_settle_days`."""
    fetched = reader.fetch_times(source, earlier)
    unsettled = {
        day for day, at in fetched.items() if not settled_by(day, at.last, settle_days, now)
    }
    if cost_settle_days is not None:
        costs = reader.last_cost_fetches(source, earlier)
        unsettled |= {
            day for day, at in costs.items() if not settled_by(day, at, cost_settle_days, now)
        }
    in_time = {day for day, at in fetched.items() if at.first - end_of_day(day) <= _IN_TIME}
    if not (in_time or unsettled):
        return LeftBehind([], [])
    since = Window(min(in_time | unsettled), earlier.end)
    return LeftBehind(sorted(unsettled), [day for day in since.days() if day not in fetched])


def warn_of_left_behind(job: Job, reader: Reader, source: Source, window: Window) -> None:
    """Log which days before the window the source still has, but only `backfill` would finish."""
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
        cost_settle_days=job.cost_rules.settle_days if has_costs else None,
    )
    found = (("last fetched before they had settled", left.unsettled), ("missing", left.missing))
    if days := sorted({*left.unsettled, *left.missing}):
        logger.warning(
            "of the days before %s, %s; no nightly run fetches them any more: run `backfill %s %s`",
            window.start,
            "; ".join(f"{what}: {listed_days(each)}" for what, each in found if each),
            days[0],
            days[-1],
        )
