"""Records of any shape as flat rows: dots for nesting, JSON for lists, UTC for timestamps."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.dates import iso_utc

Cell = str | int | float | bool | None
"""A cell of a table. A str may come from outside, so it is guarded when it is written."""

_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?", re.ASCII
)
# A number in a field of this name is a Unix timestamp: in milliseconds from this size on (1973 as
# milliseconds, the year 5138 as seconds), otherwise in seconds.
_EPOCH_FIELD = "timestamp"
_FROM_MILLISECONDS = 10**11
DEPTH = 8
"""Levels that become dotted names; deeper ones are written as JSON."""


def flatten(record: Mapping[str, object]) -> dict[str, Cell]:
    """Flatten nested keys: `{"usage": {"count": 1}}` becomes `{"usage.count": 1}`.

    Raises ContractBroken if two fields would get the same name, since one would be lost.
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
    """The flattened record without ambiguous and `reserved` names, and the names that were left
    out.
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
    except (ValueError, OverflowError):  # such as February 31: written as it came
        return text


def _utc_epoch(number: float) -> Cell:
    try:
        seconds = number / 1000 if abs(number) >= _FROM_MILLISECONDS else number
        return iso_utc(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError):  # outside the calendar: written as it came
        return number
