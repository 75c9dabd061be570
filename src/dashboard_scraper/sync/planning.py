"""Which days of a window to fetch: those that are needed, and some as a check."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta

import msgspec

from dashboard_scraper.errors import NotPublished
from dashboard_scraper.model.dates import Window, rough_duration
from dashboard_scraper.model.listing import listed_days
from dashboard_scraper.sources.interface import Source
from dashboard_scraper.store import LedgerDay
from dashboard_scraper.sync.day_costs import days_for_costs
from dashboard_scraper.sync.day_fetching import Job
from dashboard_scraper.sync.revisions import Caution

logger = logging.getLogger(__name__)

# Less than a day, so that a nightly job that starts a little earlier still rechecks; but long
# enough that two runs of one night do not recheck the same days.
_RECHECKED_AFTER = timedelta(hours=20)

# Runs that take longer log an estimate beforehand.
_LONG_SECONDS = 60


class Plan(msgspec.Struct, frozen=True):
    """The days that are needed, those to fetch again as a check, those whose totals to compare, and
    those that are needed but not published yet, with an error that says so.
    """

    needed: list[date]
    recheck: list[date]
    compared: list[date]
    unpublished: dict[date, NotPublished]

    @property
    def fetched(self) -> list[date]:
        """The days to fetch, oldest first."""
        return sorted([*self.needed, *self.recheck])

    def log(self, source: Source, window: Window) -> None:
        """Log what is fetched, and how long it takes if that is long."""
        logger.info("%s: %d days to fetch, of %d", window, len(self.needed), len(window))
        if self.recheck:
            logger.info("rechecking, in turn: %s", listed_days(self.recheck))
        estimate = source.estimate(self.needed)
        if estimate is not None and estimate.seconds >= _LONG_SECONDS:
            logger.info(
                "%d days take %d requests for pages of users, about %s at the source's rate limit",
                len(self.needed),
                estimate.requests,
                rough_duration(estimate.seconds),
            )


def planned(
    job: Job, source: Source, window: Window, now: datetime, *, refresh: bool, compare: bool
) -> Plan:
    """The plan of a run at this moment; `bring_up_to_date` says what the options mean."""
    with job.store.reading() as reader:
        stored = reader.judged_ledger(source.name, window)
        for_costs = days_for_costs(reader, source, stored, job.cost_rules, now)
    wanted = _days_to_fetch(stored, window, job.caution, totals=source.has_totals, doubts=compare)
    wanted = list(window.days()) if refresh else sorted({*wanted, *for_costs})
    published = source.published(now)
    needed = [day for day in wanted if day <= published.end]
    rest = {day: row for day, row in stored.items() if day not in wanted and day >= published.start}
    recheck = _days_to_recheck(rest, wanted, job.recheck_days, now) if compare else []
    compared = [*needed, *rest] if compare and source.has_totals else []
    if len(compared) == 1 and {*compared} <= {*needed, *recheck}:
        compared = []  # a single day that is fetched anyway would be compared with the same answer
    unpublished = {day: _not_published(day, published.end) for day in wanted if day > published.end}
    return Plan(needed, recheck, compared, unpublished)


def _days_to_fetch(
    stored: Mapping[date, LedgerDay],
    window: Window,
    caution: Caution,
    *,
    totals: bool,
    doubts: bool,
) -> list[date]:
    """The days of the window that are missing or not settled, oldest first.

    With `doubts`, also days in doubt: while a newer version is held; or while the day does not add
    up or is suspicious, until the source has repeated the answer on some later days. With `totals`,
    also days that were stored without the tenant's figures, and so were never reconciled.
    """
    return [
        day
        for day in window.days()
        if day not in stored
        or not caution.is_settled(stored[day])
        or (doubts and caution.is_open(stored[day]))
        or (totals and stored[day].totals is None)
    ]


def _days_to_recheck(
    stored: Mapping[date, LedgerDay], needed: Collection[date], most: int, now: datetime
) -> list[date]:
    """Stored days to fetch again as a check: a source may restate figures that no total reveals.

    Those fetched longest ago come first, so that every day gets its turn. Days from which somebody
    was removed are left out, since the source would bring the person back.
    """
    due = [
        row
        for day, row in stored.items()
        if day not in needed and not row.forgotten and now - row.fetched_at > _RECHECKED_AFTER
    ]
    due.sort(key=lambda row: row.fetched_at)
    return sorted(row.day for row in due[:most])


def _not_published(day: date, newest: date) -> NotPublished:
    return NotPublished(
        f"{day} is not published yet: by now, the source is expected to have days up to {newest}"
    )
