"""The fields of a stream as JSON Schema, from the store's columns and so from the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Date, Double, Integer, Table, Text

from dashboard_scraper.model.doubts import DoubtKind
from dashboard_scraper.model.money import MAX_DECIMALS, MAX_DIGITS
from dashboard_scraper.store.column_types import Amount, Moment
from dashboard_scraper.store.schema import PERSON

Schema = dict[str, Any]

# Text in the format of Meltano's SDK: a JSON number would be read as a binary float.
_AMOUNT = {
    "type": "string",
    "format": "x-singer.decimal",
    "precision": MAX_DIGITS,
    "scale": MAX_DECIMALS,
}
_MOMENT = {"type": "string", "format": "date-time"}
_TEXT = {"type": "string"}
_TYPES: tuple[tuple[type, Schema], ...] = (
    (Amount, _AMOUNT),
    (Moment, _MOMENT),
    (Boolean, {"type": "boolean"}),
    (Date, {"type": "string", "format": "date"}),
    (Double, {"type": "number"}),
    (BigInteger, {"type": "integer"}),
    (Integer, {"type": "integer"}),
    (Text, _TEXT),
)

DELETED_AT = "_sdc_deleted_at"
"""Singer's own name for the time at which a row was found to be gone; targets know it."""


class Field(msgspec.Struct, frozen=True):
    """A field of a stream; `schema` is its type without null."""

    name: str
    schema: Schema
    description: str
    nullable: bool = True

    def as_json_schema(self) -> Schema:
        """The field as JSON Schema."""
        kind = self.schema["type"]
        types = [kind, "null"] if self.nullable else [kind]
        return {**self.schema, "type": types, "description": self.description}


def of_column(column: Column[Any], *, nullable: bool) -> Field:
    """The field for a column of the store."""
    schema = next(schema for kind, schema in _TYPES if isinstance(column.type, kind))
    return Field(f"{column.name}", schema, column.comment or "", nullable)


def of_table(
    table: Table,
    key: Iterable[str],
    *,
    leave_out: Iterable[str] = (),
    replace: Iterable[Field] = (),
) -> Iterator[Field]:
    """The fields of a table; in rows that are gone or missing, all except the key are null."""
    of_key, without = set(key), set(leave_out)
    others = {field.name: field for field in replace}
    for column in table.c:
        if column.name not in without:
            known = others.get(column.name)
            yield known or of_column(column, nullable=column.name not in of_key)


def person() -> Field:
    """The field that identifies a person across all sources."""
    return of_column(PERSON.c.person, nullable=True)


def doubts() -> Iterator[Field]:
    """Null, or the reason in words, so that a query can leave out days in doubt."""
    for kind in DoubtKind:
        yield Field(kind.word, _TEXT, f"Null, or why {kind.meaning}")


def moment(name: str, description: str, *, nullable: bool = True) -> Field:
    """A field of this tap's own, with a moment in UTC."""
    return Field(name, _MOMENT, description, nullable)


def text(name: str, description: str, *, nullable: bool = True) -> Field:
    """A field of this tap's own, with text."""
    return Field(name, _TEXT, description, nullable)


def deleted_at() -> Field:
    """The time at which a row was found to be gone."""
    return moment(
        DELETED_AT,
        "Null; or since when the row is gone, because a later answer of the source does not have"
        " it: all its figures are null then, and it must not be counted",
    )
