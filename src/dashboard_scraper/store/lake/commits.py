"""Replacing days in a lake, so that no reader takes a mixture of two versions for a day.

Each table gets its rows in one commit: first the tables of rows, then the table of totals, whose
`content` says which rows belong to it. The state of the totals is read before the tables of rows
are compared, and their commit fails if another writer has changed them since: then all tables are
compared again. So if two writers write the same day, it ends with the rows and the totals of one of
them.
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import msgspec
import pyarrow as pa
from pyiceberg.exceptions import CommitStateUnknownException, NoSuchTableError
from pyiceberg.io.pyarrow import pyarrow_to_schema, write_file
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table import Table, WriteTask
from pyiceberg.utils.datetime import date_to_days

from dashboard_scraper.errors import LockHeld, UsageError
from dashboard_scraper.model.dates import month_of
from dashboard_scraper.store.lake.place import CONFLICTS, Lake
from dashboard_scraper.store.lake.state import Contents, contents_in, is_of
from dashboard_scraper.store.lake.tables import (
    CONTENT,
    PROPERTIES,
    TABLES,
    LakeTable,
    TableGroup,
    with_content,
)

logger = logging.getLogger(__name__)

_ATTEMPTS = 10
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 2.0
_RETRIES = "commit.retry.num-retries"


class MadeDay(msgspec.Struct, frozen=True):
    """The totals of a day, and its rows by the name of the table."""

    totals: Mapping[str, Any]
    rows: Mapping[str, pa.Table]


def made_day(
    group: TableGroup, totals: Mapping[str, Any], rows: Sequence[pa.Table], content: str
) -> MadeDay:
    """The rows of a day in each of the group's tables, and totals that count them."""
    counts = zip(group.counts, (each.num_rows for each in rows), strict=True)
    tables = zip(group.rows, rows, strict=True)
    return MadeDay(
        {**totals, **dict(counts), CONTENT: content},
        {kind.name: with_content(each, content) for kind, each in tables},
    )


class LakeDay(msgspec.Struct, frozen=True):
    """What the lake should have of a day: nothing if `content` is None.

    `totals` are passed if the lake has the rows already. Otherwise `make` is called once, and again
    only if another writer has interfered.
    """

    day: date
    content: str | None
    make: Callable[[], MadeDay]
    totals: Mapping[str, Any] | None = None


def prepare(lake: Lake) -> None:
    """Create missing tables, and add missing columns to existing ones."""
    lake.catalog.create_namespace_if_not_exists(lake.namespace)
    for each in TABLES:
        table = _found_or_new(lake, each)
        _refuse_other_partitions(table)
        _add_columns(table, each)
        if table.properties.get(_RETRIES) != PROPERTIES[_RETRIES]:
            with table.transaction() as change:
                change.set_properties({_RETRIES: PROPERTIES[_RETRIES]})


def _found_or_new(lake: Lake, kind: LakeTable) -> Table:
    name = lake.identifier(kind.name)
    # If there is a table, the library finds out only when it has written the metadata of another,
    # which then stays as a file that nothing refers to.
    try:
        return lake.catalog.load_table(name)
    except NoSuchTableError:
        return lake.catalog.create_table_if_not_exists(
            name, kind.schema, partition_spec=kind.partitions, properties=PROPERTIES
        )


def _refuse_other_partitions(table: Table) -> None:
    for field in table.spec().fields:
        column = table.schema().find_column_name(field.source_id)
        if column not in ("source", "day"):
            raise UsageError(
                f"the table {'.'.join(table.name())} is partitioned by {column}; only partitions"
                " by source and day can be written"
            )


def _add_columns(table: Table, wanted: LakeTable) -> None:
    there = set(table.schema().column_names)
    lacking = [field for field in wanted.schema.fields if field.name not in there]
    if lacking:
        with table.update_schema() as change:
            for field in lacking:
                change.add_column(field.name, field.field_type, doc=field.doc)


def put(lake: Lake, group: TableGroup, source: str, days: Sequence[LakeDay]) -> None:
    """Replace these days, all of them in one commit per table.

    LockHeld if other writers change the same days again and again.
    """
    batch = _Batch(lake, group, source, days)
    try:
        batch.write()
        for _ in _attempts(lake):
            for kind in group.rows:
                batch.commit_rows(kind)
            if batch.commit_totals():
                return
    finally:
        batch.remove_unused()


def _attempts(lake: Lake) -> Iterator[int]:
    """Numbers of attempts, with longer and longer waits in between; LockHeld after the last."""
    wait = _FIRST_WAIT
    for number in range(_ATTEMPTS):
        if number:
            logger.info("%s: another program writes to the same tables; trying again", lake.shown)
            time.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - no secret
            wait = min(2 * wait, _LONGEST_WAIT)
        yield number
    raise LockHeld(
        f"{lake.shown}: other programs keep changing the same tables; run it again when they have"
        " finished"
    )


class _Batch:
    """Days that are committed together. Their files are written first, day by day."""

    def __init__(self, lake: Lake, group: TableGroup, source: str, days: Sequence[LakeDay]) -> None:
        self._lake = lake
        self._group = group
        self._source = source
        self._days = {each.day: each for each in days}
        self._totals: dict[date, Mapping[str, Any]] = {}
        self._expected: dict[tuple[str, date], Mapping[str, int]] = {}
        self._files: dict[tuple[str, date], list[DataFile]] = {}

    def write(self) -> None:
        """Write the files for every table that does not have the days yet."""
        tables = [(kind, self._load(kind)) for kind in self._group.rows]
        found = {kind.name: self._found(table) for kind, table in tables}
        for each in self._days.values():
            if each.totals is not None:
                self._totals[each.day] = each.totals
                for kind, _ in tables:
                    there = found[kind.name].get(each.day, {})
                    self._expected[kind.name, each.day] = there
                continue
            made = each.make() if each.content else None
            if made is not None:
                self._totals[each.day] = made.totals
            for kind, table in tables:
                rows = made.rows[kind.name] if made is not None else []
                key = kind.name, each.day
                self._expected[key] = {str(each.content): len(rows)} if len(rows) else {}
                if len(rows) and found[kind.name].get(each.day) != self._expected[key]:
                    self._files[key] = _written(table, self._source, each.day, rows)

    def commit_rows(self, kind: LakeTable) -> None:
        """Commit the days that differ in a table; after a conflict, compare them again."""
        for _ in _attempts(self._lake):
            table = self._load(kind)
            differing = self._differing(kind, table)
            if not differing:
                return
            files = [file for day in differing for file in self._files_of(kind, table, day)]
            is_known = True
            try:
                _replace(table, self._source, differing, files)
            except CONFLICTS:
                continue
            except CommitStateUnknownException:
                is_known = False  # the next attempt finds out
            for day in differing:  # the table has the files, or might
                self._files.pop((kind.name, day), None)
            if is_known:
                return

    def commit_totals(self) -> bool:
        """Commit the totals, unless the rows do not match them, or the totals in the lake have
        changed since the rows were compared.
        """
        kind = self._group.totals
        table = self._load(kind)
        if any(self._differing(each, self._load(each)) for each in self._group.rows):
            return False
        try:
            _replace_totals(table, kind, self._source, list(self._days), self._totals)
        except (*CONFLICTS, CommitStateUnknownException):
            return False
        return True

    def remove_unused(self) -> None:
        """Remove files that are in no commit."""
        for (name, _), files in self._files.items():
            io = self._lake.catalog.load_table(self._lake.identifier(name)).io
            for file in files:
                io.delete(file.file_path)

    def _load(self, kind: LakeTable) -> Table:
        return self._lake.catalog.load_table(self._lake.identifier(kind.name))

    def _found(self, table: Table) -> Contents:
        found = contents_in(table, is_of(self._source, self._days))
        return {day: contents for (_, day), contents in found.items()}

    def _differing(self, kind: LakeTable, table: Table) -> list[date]:
        found = self._found(table)
        return [day for day in self._days if found.get(day, {}) != self._expected[kind.name, day]]

    def _files_of(self, kind: LakeTable, table: Table, day: date) -> list[DataFile]:
        """The files written for a day; written again if an earlier commit has used them."""
        key = kind.name, day
        if self._expected[key] and key not in self._files:
            rows = self._days[day].make().rows[kind.name]
            self._files[key] = _written(table, self._source, day, rows)
        return self._files.get(key, [])


def _replace_totals(
    table: Table,
    kind: LakeTable,
    source: str,
    days: Sequence[date],
    totals: Mapping[date, Mapping[str, Any]],
) -> None:
    """Commit the totals of these days, in one file per month with the month's other days: one file
    per day, each of one row, would be too many.
    """
    months = sorted({month_of(day) for day in days})
    all_of_months = [day for month in months for day in month.days()]
    before = table.scan(row_filter=is_of(source, all_of_months)).to_arrow()
    others = (row for row in before.to_pylist() if row["day"] not in set(days))
    rows = {row["day"]: row for row in others} | dict(totals)
    # Also the customer's own columns, with their values for the other days.
    more = [field for field in before.schema if field.name not in kind.arrow.schema.names]
    schema = pa.schema([*kind.arrow.schema, *more])
    files = []
    for month in months:
        of_month = [rows[day] for day in month.days() if day in rows]
        table_of_month = pa.Table.from_pylist(of_month, schema)
        files += _written(table, source, month.start, table_of_month)
    _replace(table, source, all_of_months, files)


def _replace(table: Table, source: str, days: Sequence[date], files: Sequence[DataFile]) -> None:
    """Commit the files in place of all rows of these days."""
    rows = is_of(source, days)
    with table.transaction() as change:
        if any(True for _ in table.scan(row_filter=rows).plan_files()):
            change.delete(rows)
        if files:
            with change.update_snapshot().merge_append() as added:
                for file in files:
                    added.append_data_file(file)


def _written(table: Table, source: str, day: date, rows: pa.Table) -> list[DataFile]:
    """Write rows of a day, or of the days of its month, to a file."""
    if not rows.num_rows:
        return []
    values: dict[str, object] = {"source": source, "day": date_to_days(day)}
    schema = table.schema()
    of_partition = []
    for field in table.spec().fields:
        column = schema.find_field(field.source_id)
        value = field.transform.transform(column.field_type)(values[column.name])
        of_partition.append(PartitionFieldValue(field, value))
    key = PartitionKey(of_partition, table.spec(), schema)
    of_table = pyarrow_to_schema(rows.schema, name_mapping=schema.name_mapping)
    task = WriteTask(uuid.uuid4(), 0, of_table, rows.to_batches(), partition_key=key)
    return list(write_file(table.io, table.metadata, iter([task])))
