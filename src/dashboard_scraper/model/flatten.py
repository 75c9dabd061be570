"""Records of any shape as flat rows: dots for nesting, JSON for lists, UTC for timestamps."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.dates import iso_utc

Cell = str | int | float | bool | None
"""A cell of a table; a str is text from outside, the others are written as they are."""

_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?", re.ASCII
)
# A number in a field of this name is a moment since 1970, in seconds or, from this size on (the
# year 5138 as seconds, 1973 as milliseconds), in milliseconds.
_EPOCH_FIELD = "timestamp"
_FROM_MILLISECONDS = 10**11
DEPTH = 8
"""Levels that become names with dots; what is deeper stays together, as JSON."""


def flatten(record: Mapping[str, object]) -> dict[str, Cell]:
    """One level of keys from many; `{"usage": {"count": 1}}` becomes `{"usage.count": 1}`.

    Raises ContractBroken where two fields would share a name, since one would be lost.
    """
    flat: dict[str, Cell] = {}
    for name, value in _leaves("", record):
        if name in flat:
            raise ContractBroken(f"two fields of a record would both be named {name!r}")
        flat[name] = value
    return flat


def flatten_unknown(
    record: Mapping[str, object], reserved: Collection[str]
) -> tuple[dict[str, Cell], set[str]]:
    """The record on one level, without the names that two fields share or that are `reserved`;
    and those names.
    """
    flat: dict[str, Cell] = {}
    left_out: set[str] = set()
    for name, value in _leaves("", record):
        if name in flat or name in reserved:
            left_out.add(name)
        flat[name] = value
    return {name: value for name, value in flat.items() if name not in left_out}, left_out


def _leaves(
    prefix: str, record: Mapping[str, object], depth: int = 1
) -> Iterator[tuple[str, Cell]]:
    for key, value in record.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value and depth < DEPTH:
            yield from _leaves(f"{name}.", value, depth + 1)
        else:
            yield name, _cell(key, value)


def _cell(key: str, value: object) -> Cell:
    if isinstance(value, str):
        return _utc_text(value)
    if key == _EPOCH_FIELD and isinstance(value, int | float) and not isinstance(value, bool):
        return _utc_epoch(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return msgspec.json.encode(value).decode()


def _utc_text(text: str) -> str:
    if not _MOMENT.fullmatch(text):
        return text
    try:
        return iso_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):  # the 31st of February: not ours to mend
        return text


def _utc_epoch(number: float) -> Cell:
    try:
        seconds = number / 1000 if abs(number) >= _FROM_MILLISECONDS else number
        return iso_utc(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError):  # no moment of our calendar
        return number
