"""The lake's tables, and what identifies the content of a day in them."""

from __future__ import annotations

from functools import cached_property

import msgspec
import pyarrow as pa
from msgspec.structs import replace
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform, MonthTransform
from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    IcebergType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)

from dashboard_scraper.model.money import MAX_DECIMALS, MAX_DIGITS
from dashboard_scraper.store import arrow
from dashboard_scraper.store.arrow import ArrowTable
from dashboard_scraper.store.schema import PERSON, USER_DAY

CONTENT = "content"
PSEUDONYMS = "pseudonyms"
ROW_COUNT = "row_count"
_CONTENT = (
    pa.field(CONTENT, pa.string(), nullable=False),
    "What the day was written from: the same in all tables once all of them are written",
)
_PSEUDONYMS = (
    pa.field(PSEUDONYMS, pa.bool_(), nullable=False),
    "Whether the names are pseudonyms",
)
_ROW_COUNT = (
    pa.field(ROW_COUNT, pa.int64(), nullable=False),
    "How many rows the day has in the table of costs",
)
_EDITOR_LANGUAGE_ROWS, _CREDIT_ROWS = (
    (
        pa.field(f"{name}_rows", pa.int64()),
        f"How many rows the day has in `{name}_days`; NULL where an earlier version wrote it",
    )
    for name in ("editor_language", "credit")
)
_TYPES: dict[pa.DataType, IcebergType] = {
    pa.timestamp("us", tz="UTC"): TimestamptzType(),
    pa.bool_(): BooleanType(),
    pa.date32(): DateType(),
    pa.decimal128(MAX_DIGITS, MAX_DECIMALS): DecimalType(MAX_DIGITS, MAX_DECIMALS),
    pa.float64(): DoubleType(),
    pa.int64(): LongType(),
    pa.string(): StringType(),
}
_FIRST_PARTITION = 1000  # the specification numbers partition fields from here
# Manifests have the bounds of columns, and must not have anybody's name.
_NAMES = (USER_DAY.c.user_login, PERSON.c.person, USER_DAY.c.extra)
PROPERTIES = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    # After a conflict the days have to be compared again: repeating the commit as it is, as the
    # library does by default, could add a day's rows a second time.
    "commit.retry.num-retries": "0",
    "commit.manifest-merge.enabled": "true",
    f"write.metadata.metrics.column.{CONTENT}": "full",
    **{f"write.metadata.metrics.column.{column.name}": "counts" for column in _NAMES},
}


class LakeTable(msgspec.Struct, frozen=True, dict=True):
    """A table of the lake; `arrow` has its columns."""

    arrow: ArrowTable

    @property
    def name(self) -> str:
        """Without the namespace."""
        return self.arrow.name

    @cached_property
    def schema(self) -> Schema:
        """As Iceberg has it, with the meaning of each column."""
        return Schema(
            *(
                NestedField(
                    number,
                    field.name,
                    _TYPES[field.type],
                    required=not field.nullable,
                    doc=self.arrow.meanings[field.name] or None,
                )
                for number, field in enumerate(self.arrow.schema, start=1)
            )
        )

    @cached_property
    def partitions(self) -> PartitionSpec:
        """By source and month."""
        source, day = (self.schema.find_field(name).field_id for name in ("source", "day"))
        return PartitionSpec(
            PartitionField(source, _FIRST_PARTITION, IdentityTransform(), "source"),
            PartitionField(day, _FIRST_PARTITION + 1, MonthTransform(), "day_month"),
        )


def _lake_table(table: ArrowTable, *more: tuple[pa.Field, str]) -> LakeTable:
    return LakeTable(replace(table, more=(*table.more, *more, _CONTENT)))


USER_DAYS = _lake_table(arrow.USER_DAYS)
EDITOR_LANGUAGE_DAYS = _lake_table(arrow.EDITOR_LANGUAGE_DAYS)
CREDIT_DAYS = _lake_table(arrow.CREDIT_DAYS)
DAILY_TOTALS = _lake_table(arrow.DAILY_TOTALS, _PSEUDONYMS, _EDITOR_LANGUAGE_ROWS, _CREDIT_ROWS)
COST_DAYS = _lake_table(arrow.COST_DAYS)
COST_TOTALS = _lake_table(arrow.COST_TOTALS, _ROW_COUNT, _PSEUDONYMS)


class TableGroup(msgspec.Struct, frozen=True):
    """Tables that have the same `content` for a day: the tables of rows, and the table of totals,
    which is committed after them. `counts` are the columns of the totals with the number of the
    day's rows in each table.
    """

    rows: tuple[LakeTable, ...]
    counts: tuple[str, ...]
    totals: LakeTable

    @property
    def tables(self) -> tuple[LakeTable, ...]:
        """In the order of the commits."""
        return (*self.rows, self.totals)


USAGE = TableGroup(
    (USER_DAYS, EDITOR_LANGUAGE_DAYS, CREDIT_DAYS),
    ("users", _EDITOR_LANGUAGE_ROWS[0].name, _CREDIT_ROWS[0].name),
    DAILY_TOTALS,
)
COSTS = TableGroup((COST_DAYS,), (ROW_COUNT,), COST_TOTALS)
"""Costs are revised separately from usage. Lakes of earlier versions lack these tables."""
GROUPS = (USAGE, COSTS)
TABLES = (*USAGE.tables, *COSTS.tables)


def with_content(table: pa.Table, content: str) -> pa.Table:
    """The rows with a column that identifies the content their day was written from."""
    field, _ = _CONTENT
    return table.append_column(field, pa.repeat(pa.scalar(content), table.num_rows))
