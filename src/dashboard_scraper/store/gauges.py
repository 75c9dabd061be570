"""Measures of the store's state by source, for `/metrics` and OpenTelemetry."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dashboard_scraper.model.dates import end_of_day
from dashboard_scraper.model.doubts import DoubtKind
from dashboard_scraper.store.cost_rows import CostLedgerDay
from dashboard_scraper.store.status import StoreStatus

SECONDS = "seconds"


class Gauge(msgspec.Struct, frozen=True):
    """One measure, with its value for each source for which it is known. `unit` is SECONDS or
    empty.
    """

    name: str
    text: str
    unit: str = ""
    values: dict[str, float] = {}


def gauges_of(status: StoreStatus) -> list[Gauge]:
    """How fresh and complete the stored days are, and how many are in doubt."""
    newest = Gauge(
        "newest_complete_day_end_timestamp", "End of the newest day that is kept", SECONDS
    )
    missing = Gauge("missing_days", "Days since the first that should be stored and are not")
    success = Gauge(
        "last_success_timestamp", "When a run last got everything, and it added up", SECONDS
    )
    in_doubt = {
        kind: Gauge(f"{kind.word}_days", f"Days in doubt: {kind.meaning}") for kind in DoubtKind
    }
    rows = Gauge("rows", "User-days that are kept, as the source spells users")
    for source in status.sources:
        name = source.source
        if source.newest_over:
            newest.values[name] = end_of_day(source.newest_over).timestamp()
        missing.values[name] = len(source.missing)
        for kind, days in source.days_in_doubt().items():
            in_doubt[kind].values[name] = len(days)
        rows.values[name] = source.rows
        if source.last_success:
            success.values[name] = source.last_success.timestamp()
    return [newest, missing, *in_doubt.values(), success, rows]


def newest_cost_day(newest: Mapping[str, CostLedgerDay]) -> Gauge:
    """How fresh the costs are, from the `newest_closed` day of each source."""
    ends = {source: end_of_day(row.day).timestamp() for source, row in newest.items()}
    text = "End of the newest day whose costs add up"
    return Gauge("newest_cost_day_end_timestamp", text, SECONDS, ends)


def cost_unreconciled_days(status: StoreStatus) -> Gauge:
    """On how many days costs do not add up."""
    return Gauge(
        "cost_unreconciled_days",
        "Days whose costs are not what the source's own or earlier figures say",
        values={
            source.source: len(source.costs.unreconciled)
            for source in status.sources
            if source.costs
        },
    )
