"""Who has a row on a day, and who was active in what, as bitmaps of people.

Bit N stands for the name whose `number` in the table `person` is N. So counting people over weeks,
or finding everybody's first day, reads some kilobytes per day and no users' rows. A day's bitmaps
are written in the transaction that writes its rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import Connection, or_, select

from dashboard_scraper.model.columns import Columns
from dashboard_scraper.model.metrics import METRICS
from dashboard_scraper.store.persons import numbers
from dashboard_scraper.store.schema import DAY_LEDGER, DAY_PEOPLE, USER_DAY
from dashboard_scraper.store.statements import (
    content_of_day,
    day_values,
    deletion_of_day,
    insertion,
    of_source,
    source_values,
    update_of_day,
)

_BITMAPS = tuple(DAY_PEOPLE.c)[2:]
_ROWS_AT_ONCE = 8000  # columns of all rows would take as much memory as the rows
_OF_SOURCE = of_source(DAY_PEOPLE, select(DAY_PEOPLE))


class DayPeople(msgspec.Struct, frozen=True):
    """Bitmaps of one day: who is `listed` with a row, which of them are `service` accounts, who was
    `active` as `figures.is_active` defines it, and who was active in each of the requested `areas`.
    """

    listed: int
    service: int
    active: int
    areas: tuple[int, ...] = ()


def write(
    connection: Connection,
    source: str,
    day: date,
    rows: Mapping[tuple[Any, ...], Sequence[Any]],
    number_of: Mapping[str, int] | None = None,
) -> None:
    """Upsert a day's bitmaps, from its rows by name; every name must have its number.

    `number_of` has these numbers, if they are known already.
    """
    bitmaps = bitmaps_of(rows, number_of or numbers(connection))
    connection.execute(deletion_of_day(DAY_PEOPLE), day_values(source, day))
    connection.execute(insertion(DAY_PEOPLE), {"source": source, "day": day, **bitmaps})


def bitmaps_of(
    rows: Mapping[tuple[Any, ...], Sequence[Any]], number_of: Mapping[str, int]
) -> dict[str, bytes]:
    """The bitmaps by column, from a day's rows by name."""
    numbers = [number_of[name] for (name,) in rows]
    size = max(numbers, default=-1) // 8 + 1
    by_number: list[Sequence[Any]] = [_NOBODY] * (size * 8)
    listed = bytearray(size * 8)
    for number, row in zip(numbers, rows.values(), strict=True):
        by_number[number] = row
        listed[number] = 1
    starts = range(0, len(by_number) or 1, _ROWS_AT_ONCE)
    parts = [_flags_of(by_number[start : start + _ROWS_AT_ONCE]) for start in starts]
    flags = (bytes(listed), *map(b"".join, zip(*parts, strict=True)))
    return {column.name: _bitmap(each) for column, each in zip(_BITMAPS, flags, strict=True)}


def _flags_of(rows: Sequence[Sequence[Any]]) -> tuple[bytes, ...]:
    """The flags of some of the rows, for each bitmap except `listed`."""
    columns = Columns(rows)
    service = bytes(map(bool, map(itemgetter(-1), rows)))
    return (service, columns.active(), *columns.used)


_NOBODY = (*(0 for _ in METRICS), None, False)
"""Stands for a number whose name has no row: no activity."""


def _bitmap(flags: bytes) -> bytes:
    """The bitmap of flags, which are in the order of the numbers."""
    size = len(flags) // 8
    if not any(flags):
        return bytes(size)
    return int(flags[::-1].translate(_DIGITS), 2).to_bytes(size, "little")


_DIGITS = bytes.maketrans(b"\0\1", b"01")


def is_right(
    connection: Connection,
    source: str,
    day: date,
    rows: Mapping[tuple[Any, ...], Sequence[Any]] | None = None,
    number_of: Mapping[str, int] | None = None,
) -> bool:
    """Whether a day's bitmaps match its rows. Pass `rows` and `number_of`, as in `write`, if they
    are known already.
    """
    rows = _rows(connection, source, day) if rows is None else rows
    number_of = number_of or numbers(connection)
    if any(name not in number_of for (name,) in rows):
        return False
    right = bitmaps_of(rows, number_of)
    stored = (
        connection.execute(content_of_day(DAY_PEOPLE), day_values(source, day)).mappings().all()
    )
    return len(stored) == 1 and all(
        stored[0][name] is not None and from_bytes(stored[0][name]) == from_bytes(bitmap)
        for name, bitmap in right.items()
    )


def fill(connection: Connection) -> None:
    """Write the bitmaps of days that lack some: those stored before there were any, or before a
    metric was added.
    """
    ledger, people = DAY_LEDGER, DAY_PEOPLE
    same_day = (people.c.source == ledger.c.source) & (people.c.day == ledger.c.day)
    query = (
        select(ledger.c.source, ledger.c.day)
        .outerjoin_from(ledger, people, same_day)
        .where(or_(*(column.is_(None) for column in _BITMAPS)))
    )
    for source, day in connection.execute(query).all():
        write(connection, source, day, _rows(connection, source, day))


def remove(connection: Connection, source: str, names: Iterable[str]) -> None:
    """Clear the bits of names that are about to be removed, on all days of the source."""
    number_of = numbers(connection)
    gone = sum(1 << number_of[name] for name in set(names) & number_of.keys())
    for _, day, *bitmaps in connection.execute(_OF_SOURCE, source_values(source)).all():
        values = [from_bytes(bitmap) for bitmap in bitmaps]
        if any(value & gone for value in values):
            cleared = {
                column.name: to_bytes(value & ~gone)
                for column, value in zip(_BITMAPS, values, strict=True)
            }
            connection.execute(update_of_day(DAY_PEOPLE), {**day_values(source, day), **cleared})


def from_bytes(bitmap: bytes) -> int:
    """A bitmap as a number."""
    return int.from_bytes(bitmap, "little")


def to_bytes(bitmap: int) -> bytes:
    """The reverse of `from_bytes`."""
    return bitmap.to_bytes((bitmap.bit_length() + 7) // 8, "little")


def bits_in(bitmap: int) -> Iterator[int]:
    """The numbers of the bits that are set, the lowest first."""
    for place, byte in enumerate(to_bytes(bitmap)):
        if byte:
            yield from (place * 8 + bit for bit in range(8) if byte >> bit & 1)


def _rows(connection: Connection, source: str, day: date) -> dict[tuple[Any, ...], Sequence[Any]]:
    rows = connection.execute(content_of_day(USER_DAY), day_values(source, day)).all()
    return {(row[0],): row[1:] for row in rows}


def counts_of_bits(bitmaps: Iterable[int]) -> dict[int, int]:
    """For each bit that is set in any of the bitmaps, in how many it is set."""
    # Digit N of every bit's count is in digits[N]: a whole bitmap is added at once, with carries.
    digits: list[int] = []
    for bitmap in bitmaps:
        carry, number = bitmap, 0
        while carry:
            if number == len(digits):
                digits.append(0)
            digits[number], carry = digits[number] ^ carry, digits[number] & carry
            number += 1
    found: dict[int, int] = {}
    for number, digit in enumerate(digits):
        for bit in bits_in(digit):
            found[bit] = found.get(bit, 0) + (1 << number)
    return found


def union(bitmaps: Iterable[int]) -> int:
    """The people who are in any of the bitmaps."""
    found = 0
    for bitmap in bitmaps:
        found |= bitmap
    return found


def new_on(days: Iterable[tuple[date, int]]) -> Iterator[tuple[date, int]]:
    """For each day, the people of its bitmap who are in no bitmap of an earlier day."""
    seen = 0
    for day, bitmap in days:
        yield day, bitmap & ~seen
        seen |= bitmap
