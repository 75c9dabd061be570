"""The status of the days whose costs are stored."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import date, datetime, timedelta

import msgspec

from dashboard_scraper.errors import Stale
from dashboard_scraper.model.costs import CostDifference
from dashboard_scraper.model.dates import end_of_day
from dashboard_scraper.model.listing import NAMED_AT_MOST, listed, listed_days, many
from dashboard_scraper.store.cost_rows import CostLedgerDay
from dashboard_scraper.store.reader import Reader
from dashboard_scraper.store.settling import is_settled, was_over


class UnreconciledCosts(msgspec.Struct):
    """A day whose rows of costs do not sum up to the source's own figures."""

    day: date
    differences: list[CostDifference]


class CostStatus(msgspec.Struct):
    """The days with costs, from `first` to `last`; `days` is their number. The freshness is
    measured from `newest_over`, the newest day that had ended when its costs were fetched, as far
    as clocks were right.

    `missing` are days after the first that are stored, but without costs. `unsettled` days may
    still be corrected, and from `forgotten` days a user was removed.
    """

    first: date
    last: date
    newest_over: date | None
    days: int
    missing: list[date]
    unsettled: list[date]
    unreconciled: list[UnreconciledCosts]
    forgotten: list[date]

    def raise_if_stale(self, source_name: str, max_age: timedelta, now: datetime) -> None:
        """Raise Stale if the newest day with costs ended longer than `max_age` ago."""
        if self.newest_over is None:
            raise Stale(f"{source_name}: the costs of every day were fetched before it had ended")
        age = now - end_of_day(self.newest_over)
        if age > max_age:
            raise Stale(
                f"{source_name}: the newest day with costs, {self.newest_over}, ended"
                f" {age.total_seconds() / 3600:.0f} hours ago"
            )


def cost_status(
    reader: Reader, source: str, stored: Collection[date], settle_days: int, now: datetime
) -> CostStatus | None:
    """The status of a source's costs; None if the store has none. `stored` are its stored days."""
    ledger: dict[date, CostLedgerDay] = reader.cost_ledger(source)
    if not ledger:
        return None
    rows, first = ledger.values(), min(ledger)
    return CostStatus(
        first=first,
        last=max(ledger),
        newest_over=max((row.day for row in rows if was_over(row, now)), default=None),
        days=len(ledger),
        missing=sorted(day for day in stored if day > first and day not in ledger),
        unsettled=[row.day for row in rows if not is_settled(row, settle_days, now)],
        unreconciled=[
            UnreconciledCosts(row.day, row.unreconciled) for row in rows if row.unreconciled
        ],
        forgotten=[row.day for row in rows if row.forgotten],
    )


def newest_closed(ledger: Iterable[CostLedgerDay], now: datetime) -> CostLedgerDay | None:
    """The newest day whose costs add up and that had ended when fetched; the ledger is oldest
    first.
    """
    closed = [row for row in ledger if not row.unreconciled and was_over(row, now)]
    return closed[-1] if closed else None


def lines_of(status: CostStatus) -> Iterator[str]:
    """The status as lines for people."""
    yield f"  {many(status.days, 'day has', 'days have')} costs, {status.first} to {status.last}"
    if status.missing:
        yield f"    days without costs: {listed_days(status.missing)}"
    for each in status.unreconciled[-NAMED_AT_MOST:]:
        differences = listed(each.differences, separator="; ")
        yield f"    the costs of {each.day} do not add up: {differences}"
    if (more := len(status.unreconciled) - NAMED_AT_MOST) > 0:
        yield f"    the costs of {more:,} more days do not add up, which --json has"
    if status.forgotten:
        lack = many(len(status.forgotten), "day lacks", "days lack")
        yield f"    {lack} the costs of a user who was removed"
