"""What a lake has: its totals, and which content the rows of each day were written from."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import pyarrow as pa
import pyiceberg.expressions
from pyiceberg.conversions import from_bytes
from pyiceberg.expressions import And, BooleanExpression
from pyiceberg.table import ALWAYS_TRUE, FileScanTask, Table

from dashboard_scraper.model.dates import Window
from dashboard_scraper.store.lake.place import Lake
from dashboard_scraper.store.lake.tables import CONTENT, TableGroup

Contents = Mapping[date, Mapping[str, int]]
"""The number of rows by the content they were written from, for each day."""

_EPOCH = date(1970, 1, 1).toordinal()


def totals_in(
    lake: Lake, group: TableGroup, source: str, window: Window
) -> dict[date, dict[str, Any]]:
    """The rows of the totals, by day; if a day has several, the row returned has no content."""
    table = lake.catalog.load_table(lake.identifier(group.totals.name))
    rows = table.scan(row_filter=_is_in(source, window)).to_arrow().to_pylist()
    days = Counter(row["day"] for row in rows)
    return {row["day"]: row if days[row["day"]] == 1 else {**row, CONTENT: ""} for row in rows}


def contents_of_rows(
    lake: Lake, group: TableGroup, source: str, window: Window
) -> dict[str, Contents]:
    """Which content the rows of each day were written from, by the name of the table."""
    found: dict[str, Contents] = {}
    for kind in group.rows:
        table = lake.catalog.load_table(lake.identifier(kind.name))
        by_day = contents_in(table, _is_in(source, window))
        found[kind.name] = {day: contents for (_, day), contents in by_day.items()}
    return found


def contents_in(
    table: Table, rows: BooleanExpression = ALWAYS_TRUE
) -> dict[tuple[str, date], Counter[str]]:
    """How many of these rows (by default, of all) have which content, by source and day. A day has
    one content, unless a writer was interrupted. The number shows if another program has added rows
    again.

    Read from the bounds in the manifests: each day has its own files, unless another program has
    merged them.
    """
    columns = ("source", "day", CONTENT)
    scan = table.scan(row_filter=rows, selected_fields=columns)
    found: dict[tuple[str, date], Counter[str]] = defaultdict(Counter)
    for task in scan.plan_files():
        key = _only_key(table, task)
        if key is None:
            return _counted(scan.to_arrow().group_by(list(columns)).aggregate([([], "count_all")]))
        source, day, content = key
        found[source, day][content] += task.file.record_count
    return found


def _counted(groups: pa.Table) -> dict[tuple[str, date], Counter[str]]:
    """As `contents_in`, from the columns source, day, content and their number of rows."""
    found: dict[tuple[str, date], Counter[str]] = defaultdict(Counter)
    for source, day, content, rows in zip(*(c.to_pylist() for c in groups.columns), strict=True):
        found[source, day][content] = rows
    return found


def are_whole(
    group: TableGroup, totals: Mapping[str, Any], found: Mapping[str, Mapping[str, int]]
) -> bool:
    """Whether each table has exactly the rows of a day that the day's totals count."""
    for kind, column in zip(group.rows, group.counts, strict=True):
        there, count = found[kind.name], totals.get(column)
        if not there.keys() <= {totals[CONTENT]} or count not in (None, sum(there.values())):
            return False
    return True


def _only_key(table: Table, task: FileScanTask) -> tuple[str, date, str] | None:
    """The source, day and content that all rows of a file have; None if it may have several."""
    values = []
    for name in ("source", "day", CONTENT):
        bounds = _bounds(table, task, name)
        if task.delete_files or bounds is None or bounds[0] != bounds[1]:
            return None
        values.append(bounds[0])
    return values[0], _day(values[1]), values[2]


def day_bounds(table: Table, task: FileScanTask) -> tuple[date, date]:
    """The first and the last day in a file; the whole calendar if that is not known."""
    bounds = _bounds(table, task, "day")
    return (_day(bounds[0]), _day(bounds[1])) if bounds else (date.min, date.max)


def _bounds(table: Table, task: FileScanTask, name: str) -> tuple[Any, Any] | None:
    field: Any = table.schema().find_field(name)
    least = task.file.lower_bounds.get(field.field_id)
    most = task.file.upper_bounds.get(field.field_id)
    if least is None or most is None:
        return None
    return from_bytes(field.field_type, least), from_bytes(field.field_type, most)


def _day(number: int) -> date:
    return date.fromordinal(_EPOCH + number)


# Conditions take a column and values, although the types that pydantic derives do not say so.
_expressions: Any = pyiceberg.expressions


def is_of(source: str, days: Iterable[date]) -> BooleanExpression:
    """The condition for rows of these days. The library would take longer to parse it from text
    than to read the rows.
    """
    of_day = _expressions.In("day", [f"{day}" for day in days])
    return And(_is_of_source(source), of_day)


def _is_in(source: str, window: Window) -> BooleanExpression:
    """The condition for rows of a source in a window."""
    return And(
        _is_of_source(source),
        _expressions.GreaterThanOrEqual("day", f"{window.start}"),
        _expressions.LessThanOrEqual("day", f"{window.end}"),
    )


def is_true(column: str) -> BooleanExpression:
    """The condition for rows with `true` in this column."""
    return _equal_to(column, True)


def _is_of_source(source: str) -> BooleanExpression:
    return _equal_to("source", source)


def _equal_to(column: str, value: object) -> BooleanExpression:
    condition: BooleanExpression = _expressions.EqualTo(column, value)
    return condition
