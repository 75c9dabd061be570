"""The store's views as Arrow schemas, which Parquet files and Iceberg tables have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

import msgspec
import pyarrow as pa
from sqlalchemy import BigInteger, Boolean, Column, Date, Double, Integer, Table, Text

from dashboard_scraper.model.costs import WHERE_COSTS_DIFFER
from dashboard_scraper.model.doubts import DoubtKind
from dashboard_scraper.model.money import MAX_DECIMALS, MAX_DIGITS
from dashboard_scraper.store.column_types import Amount, Moment
from dashboard_scraper.store.schema import (
    COST_DAY,
    COST_LEDGER,
    CREDIT_DAY,
    DAY_LEDGER,
    EDITOR_LANGUAGE_DAY,
    PERSON,
    USER_DAY,
)

_TYPES: tuple[tuple[type, pa.DataType], ...] = (
    (Moment, pa.timestamp("us", tz="UTC")),
    (Amount, pa.decimal128(MAX_DIGITS, MAX_DECIMALS)),
    (Boolean, pa.bool_()),
    (Date, pa.date32()),
    (Double, pa.float64()),
    (BigInteger, pa.int64()),
    (Integer, pa.int64()),
    (Text, pa.string()),
)


class ArrowTable(msgspec.Struct, frozen=True, dict=True):
    """Rows of days: the columns of one of the store's tables, and `more` columns with their
    meanings.
    """

    name: str
    of: Table
    more: tuple[tuple[pa.Field, str], ...] = ()

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns in order."""
        fields = [pa.field(c.name, _type_of(c), c.nullable) for c in self.of.c]
        return pa.schema([*fields, *(field for field, _ in self.more)])

    @cached_property
    def meanings(self) -> dict[str, str]:
        """What each column means."""
        stored = {column.name: column.comment or "" for column in self.of.c}
        return {**stored, **{field.name: meaning for field, meaning in self.more}}


def _type_of(column: Column[object]) -> pa.DataType:
    return next(kind for stored, kind in _TYPES if isinstance(column.type, stored))


def _with_person(table: Table, *more: tuple[pa.Field, str], nullable: bool = False) -> ArrowTable:
    person = PERSON.c.person
    field = pa.field(person.name, pa.string(), nullable=nullable)
    return ArrowTable(f"{table.name}s", table, ((field, person.comment or ""), *more))


def _doubts() -> Iterator[tuple[pa.Field, str]]:
    """Null, or the reason in words, so that a query can leave out days in doubt."""
    for kind in DoubtKind:
        yield pa.field(kind.word, pa.string()), f"Null, or why {kind.meaning}"


USER_DAYS = _with_person(USER_DAY, *_doubts())
EDITOR_LANGUAGE_DAYS = _with_person(EDITOR_LANGUAGE_DAY)
CREDIT_DAYS = _with_person(CREDIT_DAY)
COST_DAYS = _with_person(
    COST_DAY,
    (
        pa.field(DoubtKind.UNRECONCILED.word, pa.string()),
        WHERE_COSTS_DIFFER,
    ),
    nullable=True,  # rows that belong to nobody have no person
)
DAILY_TOTALS = ArrowTable("daily_totals", DAY_LEDGER)
COST_TOTALS = ArrowTable("cost_totals", COST_LEDGER)


def without(schema: pa.Schema, names: Iterable[str]) -> pa.Schema:
    """The schema without these columns."""
    left_out = set(names)
    return pa.schema([field for field in schema if field.name not in left_out])
