"""What a run sends as metrics: the figures of its days, the state of the store, and how the run
ended.

Unknown figures are never sent, nor those of a day in doubt, or of one that was not over when it was
fetched: only the number of such days is. Nothing is about a single person, and no costs are sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

import msgspec

from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.doubts import doubts_of
from dashboard_scraper.model.metrics import COUNTS, USER_COUNT, Metric
from dashboard_scraper.model.tolerance import Tolerance
from dashboard_scraper.sources.interface import SourceInfo
from dashboard_scraper.store import LedgerDay, Reader
from dashboard_scraper.store.cost_status import newest_closed
from dashboard_scraper.store.gauges import (
    SECONDS,
    Gauge,
    cost_unreconciled_days,
    gauges_of,
    newest_cost_day,
)
from dashboard_scraper.store.settling import was_over
from dashboard_scraper.store.status import StoreStatus

_PREFIX = "dashboard_scraper"
_UNITS = {SECONDS: "s"}


class Measure(msgspec.Struct, frozen=True):
    """One number; `unit` is written as in UCUM."""

    name: str
    unit: str
    description: str
    value: float
    attributes: Mapping[str, str]


class SourceRun(msgspec.Struct, frozen=True):
    """How the run of a command ended for one source."""

    source: str
    command: str
    exit_code: int
    seconds: float


def of_run(run: SourceRun) -> Iterator[Measure]:
    """The exit code and the duration."""
    attributes = {"source": run.source, "command": run.command}
    for name, unit, description, value in (
        ("run_exit_code", "", "Exit code of the run; 0 is success", run.exit_code),
        ("run_duration", "s", "How long the run took", run.seconds),
    ):
        yield Measure(f"{_PREFIX}.{name}", unit, description, value, attributes)


def of_days(
    reader: Reader, info: SourceInfo, window: Window, tolerance: Tolerance, now: datetime
) -> Iterator[Measure]:
    """The sums of each day of the window, for every metric that the source has."""
    known = [metric for metric in COUNTS if metric in info.metrics]
    for row in reader.ledger(info.name, window).values():
        if was_over(row, now) and not doubts_of(row, tolerance):
            yield from _of_day(row, known)


def _of_day(row: LedgerDay, known: list[Metric]) -> Iterator[Measure]:
    attributes = {"source": row.source, "day": row.day.isoformat()}
    yield Measure(
        f"{_PREFIX}.{USER_COUNT.name}",
        "{users}",
        USER_COUNT.definition,
        row.active_users,
        attributes,
    )
    for metric in known:
        value = row.sums[metric]
        if value is not None:
            unit = f"{{{metric.unit.value.replace(' ', '_')}}}"
            name = f"{_PREFIX}.{metric.name}"
            yield Measure(name, unit, metric.definition, value, attributes)


def of_store(reader: Reader, status: StoreStatus, source: str, now: datetime) -> Iterator[Measure]:
    """The figures that `/metrics` has on the days of a source, under the same names."""
    newest = newest_closed(reader.cost_ledger(source).values(), now)
    for gauge in (
        *gauges_of(status),
        newest_cost_day({source: newest} if newest else {}),
        cost_unreconciled_days(status),
    ):
        yield from _of_gauge(gauge, source)


def _of_gauge(gauge: Gauge, source: str) -> Iterator[Measure]:
    if source in gauge.values:
        unit = _UNITS.get(gauge.unit, gauge.unit)
        value = gauge.values[source]
        yield Measure(f"{_PREFIX}.{gauge.name}", unit, gauge.text, value, {"source": source})
