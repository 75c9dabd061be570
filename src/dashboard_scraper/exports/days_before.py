"""The days before an export that weekly and monthly counts in its GitHub reports also cover."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from dashboard_scraper.exports.daily_export import DailyExport
from dashboard_scraper.exports.manifest import ManifestDay, missing_day
from dashboard_scraper.github.caveats import days_before
from dashboard_scraper.github.reports import NEEDS
from dashboard_scraper.model.doubts import Doubt, doubts_in, doubts_of
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.store import Reader


class DaysBefore(NamedTuple):
    """Those that are `listed` in the manifest, because they are missing or in doubt; the doubts,
    and the `gaps`: missing days with a stored day before them.
    """

    listed: Sequence[ManifestDay] = ()
    doubts: Sequence[Doubt] = ()
    gaps: Sequence[date] = ()


def days_before_reports(reader: Reader, export: DailyExport) -> DaysBefore:
    """Find them; none if the export has no GitHub reports, or only records that GitHub sent."""
    info, stored = info_of(export.source), reader.days(export.source)
    if info.has_records or NEEDS.unmet(info) or not any(day in export.window for day in stored):
        return DaysBefore()
    window, tolerance = days_before(export.window.start), export.tolerance
    ledger = reader.ledger(export.source, window)
    listed, gaps = [], []
    for day in window.days():
        row = ledger.get(day)
        if row is None:
            listed.append(missing_day(day))
            if stored[0] < day:
                gaps.append(day)
        elif doubts_of(row, tolerance):
            listed.append(
                ManifestDay(
                    day,
                    row.status.value,
                    fetched_at=row.fetched_at,
                    unreconciled=row.unreconciled,
                    suspicious=row.suspicious,
                    held=row.held,
                )
            )
    return DaysBefore(listed, doubts_in(ledger.values(), tolerance), gaps)
