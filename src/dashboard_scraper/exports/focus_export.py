"""`export --format focus`: the costs of each day as CSV and Parquet in FOCUS, in one folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from dashboard_scraper.errors import UsageError
from dashboard_scraper.exports import focus
from dashboard_scraper.exports.daily_export import DailyExport, not_known_then, summarise
from dashboard_scraper.exports.focus import COLUMNS, Charge, Type
from dashboard_scraper.exports.stored_costs import StoredCosts, reason_without_costs
from dashboard_scraper.files import (
    make_folder,
    remove_leftovers_beside,
    replaced_or_set_aside,
    set_aside,
)
from dashboard_scraper.installation import how_to_install
from dashboard_scraper.model.money import MAX_DECIMALS, MAX_DIGITS
from dashboard_scraper.model.reconciliation import Rules, Verdict
from dashboard_scraper.people.shown_costs import person_of
from dashboard_scraper.publication import Publication
from dashboard_scraper.store import CostLedgerDay, Reader, Store

try:
    import pyarrow as pa

    from dashboard_scraper.exports.arrow_days import parquet_of, table_of
except ImportError:
    raise UsageError(
        f"FOCUS needs a library that is not installed: {how_to_install('parquet')}"
    ) from None

logger = logging.getLogger(__name__)

_MARKED = "every file is written; its column x_Unreconciled says so"
_TYPES = {
    Type.TEXT: pa.string(),
    Type.MOMENT: pa.timestamp("us", tz="UTC"),
    Type.DECIMAL: pa.decimal128(MAX_DIGITS, MAX_DECIMALS),
    Type.WHOLE: pa.int64(),
}
SCHEMA = pa.schema([pa.field(column.name, _TYPES[column.type]) for column in COLUMNS])


def export_days(
    store: Store, export: DailyExport, folder: Path, account: str | None, rules: Rules
) -> Verdict:
    """Write the window's days into `folder`, as charges to the billing `account`, by default the
    product's prefix.

    Returns the verdict on the days' doubts. Raises DaysMissing, after writing the others, if costs
    of days are not in the store, and UsageError if the source never has costs. `export.folder` is
    not used.
    """
    with store.reading() as reader:
        costs = StoredCosts(reader, export)
        _write(folder, costs, export, account or export.product.prefix)
        advice = _advice_of(reader, export.source)
    if not costs.days and (reason := reason_without_costs(export.source)):
        raise UsageError(reason)
    summarise(export.window, costs.missing, f"these are days without costs in the store: {advice}")
    return rules.verdict_on([], _MARKED, costs=costs.unreconciled)


def _advice_of(reader: Reader, source: str) -> str:
    if reader.moment:
        return not_known_then(reader.moment)
    return f"fetch them first from the source {source}, with FETCH_COST"


def paths_of(folder: Path, day: date) -> tuple[Path, Path]:
    """The CSV and the Parquet file of a day."""
    return folder / f"focus_{day}.csv", folder / f"focus_{day}.parquet"


def _write(folder: Path, costs: StoredCosts, export: DailyExport, account: str) -> None:
    """Write all files or none; files of days that are no longer stored are set aside."""
    mode = export.outputs.mode
    targets = [path for day in export.window.days() for path in paths_of(folder, day)]
    gone = [path for day in costs.missing for path in paths_of(folder, day)]
    if costs.days:
        make_folder(folder, mode)
    remove_leftovers_beside(targets)
    with replaced_or_set_aside(targets), Publication(mode) as publication:
        for row in costs.days.values():
            for path, content in zip(
                paths_of(folder, row.day), _contents(costs, row, export, account), strict=True
            ):
                publication.add(path, content)
        set_aside(gone)
        publication.publish()


def _contents(
    costs: StoredCosts, row: CostLedgerDay, export: DailyExport, account: str
) -> Iterator[bytes]:
    charges = [
        Charge(
            row.day,
            cost,
            person_of(cost, export.audience),
            row.source,
            export.product,
            row.currency,
            account,
            row.fetched_at,
            row.unreconciled_words,
        )
        for cost in costs.shown(row)
    ]
    yield focus.csv(charges)
    table = table_of([*focus.rows(charges)], SCHEMA, row.day)
    yield parquet_of(table, {"focus_version": focus.VERSION})
