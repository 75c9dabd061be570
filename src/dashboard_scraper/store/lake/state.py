"""What a lake has: its totals, and what the rows of each day were written from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from pyiceberg.conversions import from_bytes
from pyiceberg.table import FileScanTask, Table

from dashboard_scraper.model.dates import Window
from dashboard_scraper.store.lake.place import Lake
from dashboard_scraper.store.lake.tables import CONTENT, DAILY_TOTALS, ROW_TABLES

Contents = Mapping[date, set[str]]
_EPOCH = date(1970, 1, 1).toordinal()


def totals_in(lake: Lake, source: str, window: Window | None = None) -> dict[date, dict[str, Any]]:
    """The rows of `daily_totals`, by day."""
    table = lake.catalog.load_table(lake.identifier(DAILY_TOTALS.name))
    rows = table.scan(row_filter=is_in(source, window)).to_arrow().to_pylist()
    return {row["day"]: row for row in rows}


def contents_of_rows(lake: Lake, source: str, window: Window) -> dict[str, Contents]:
    """What the rows of each day were written from, by the name of the table."""
    found = {}
    for kind in ROW_TABLES:
        table = lake.catalog.load_table(lake.identifier(kind.name))
        found[kind.name] = contents_in(table, is_in(source, window))
    return found


def contents_in(table: Table, rows: str) -> Contents:
    """The contents of these rows by day: one, unless a writer was interrupted.

    Read from the bounds in the manifests: each day has files of its own, unless another program
    has merged them.
    """
    scan = table.scan(row_filter=rows, selected_fields=("day", CONTENT))
    pairs: list[tuple[date, str]] = []
    for task in scan.plan_files():
        pair = _only_day(table, task)
        if pair is None:
            both = scan.to_arrow().group_by(["day", CONTENT]).aggregate([])
            columns = (both.column(name).to_pylist() for name in ("day", CONTENT))
            pairs = list(zip(*columns, strict=True))
            break
        pairs.append(pair)
    found: dict[date, set[str]] = defaultdict(set)
    for day, content in pairs:
        found[day].add(content)
    return found


def _only_day(table: Table, task: FileScanTask) -> tuple[date, str] | None:
    """The one day and content of all rows of a file; None where it may have several."""
    values: list[Any] = []
    for name in ("day", CONTENT):
        field: Any = table.schema().find_field(name)
        least = task.file.lower_bounds.get(field.field_id)
        if task.delete_files or least is None or least != task.file.upper_bounds[field.field_id]:
            return None
        values.append(from_bytes(field.field_type, least))
    return date.fromordinal(_EPOCH + values[0]), values[1]


def is_of(source: str, days: Iterable[date]) -> str:
    """The condition for rows of these days."""
    listed = ", ".join(f"'{day}'" for day in days)
    return f"source = '{source}' AND day IN ({listed})"


def is_in(source: str, window: Window | None) -> str:
    """The condition for rows of a source in a window."""
    of_source = f"source = '{source}'"
    if window is None:
        return of_source
    return f"{of_source} AND day >= '{window.start}' AND day <= '{window.end}'"
