"""Types of columns that differ between databases: moments, and exact amounts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import TIMESTAMP, Dialect, Numeric, Text
from sqlalchemy.types import TypeDecorator

from dashboard_scraper.model.dates import EARLIEST, iso_utc
from dashboard_scraper.model.money import MAX_DECIMALS, MAX_DIGITS, normalized, shown


class Moment(TypeDecorator[datetime]):
    """A UTC timestamp: `timestamptz`, or in SQLite, which has no such type, ISO 8601 with a Z."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(TIMESTAMP(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        return iso_utc(value) if value is not None and dialect.name == "sqlite" else value

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:  # noqa: ARG002
        """A plain function, faster than `process_result_value`: every row has two timestamps."""
        return _READERS.get(dialect.name, _in_utc)


class Seen(Moment):
    """When a user was first or last seen; None if that is before EARLIEST.

    Such a timestamp is the zero of some clock. It is no longer stored, but older versions stored
    it.
    """

    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:  # noqa: ARG002
        """As for other timestamps; ISO 8601 dates sort as text."""
        if dialect.name == "sqlite":
            return lambda value: None if value is None or value < _EARLIEST else _of_text(value)
        if dialect.name == "duckdb":
            return lambda value: _since_earliest(_as_utc(value))
        return lambda value: None if value is None or value < EARLIEST else _in_utc(value)


_EARLIEST = EARLIEST.date().isoformat()  # a longer text that begins with it sorts after it


def days_seen(values: Sequence[Any]) -> list[str | None]:
    """The UTC days, as texts, of the values that a driver returns for a column of `Seen`; None for
    values that read as None.
    """
    texts = values
    if isinstance(next(filter(None, values), None), datetime):  # SQLite has texts, in UTC already
        texts = [None if each is None else iso_utc(each) for each in values]
    return [None if text is None or text < _EARLIEST else text[:10] for text in texts]


def _of_text(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _in_utc(value: datetime | None) -> datetime | None:
    return None if value is None else value.astimezone(UTC)


def _as_utc(value: datetime | None) -> datetime | None:
    return None if value is None else value.replace(tzinfo=UTC)


def _since_earliest(value: datetime | None) -> datetime | None:
    return None if value is None or value < EARLIEST else value


_READERS = {"sqlite": _of_text, "duckdb": _as_utc}


class Amount(TypeDecorator[Decimal]):
    """An exact decimal: `numeric`, or in SQLite, whose numbers are binary, its digits as text."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        if dialect.name == "duckdb":
            return dialect.type_descriptor(Numeric(MAX_DIGITS, MAX_DECIMALS))
        return dialect.type_descriptor(Numeric())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        return shown(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002
        return None if value is None else normalized(Decimal(value))
