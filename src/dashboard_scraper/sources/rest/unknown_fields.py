"""Fields of records that nobody knows yet: kept, but within bounds, and said in a line each way.

A user's own figures do not depend on them. So what is beyond a bound is left out, and not the day.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable, Mapping
from enum import Enum

from dashboard_scraper.model.flatten import Cell, flatten_unknown
from dashboard_scraper.model.listing import listed

logger = logging.getLogger(__name__)

NAME_LENGTH = 200
VALUE_LENGTH = 4_000
DEEPEST = 8
"""Levels of objects and lists within a field."""
OF_A_RECORD = 100
"""Names, also those within an object; of a record with more, none is kept."""
OF_A_RUN = 500
"""Different names; each is a column of every file in which a record has it."""
_COUNTED_AT_MOST = 10_000


class Fate(Enum):
    """What was done with a field, as the log says it."""

    COLUMN = "kept as columns of their own"
    ROW = "kept as rows of their own"
    OF_ORGANIZATION = "of the organization, left out"
    OF_EDITORS = "of editors and languages, left out"
    OF_CREDITS = "of credits, left out"
    NAME_TAKEN = "with the name of another field, left out"
    NAME_TOO_LONG = f"with a name of more than {NAME_LENGTH} characters, left out"
    VALUE_TOO_LONG = f"with a value of more than {VALUE_LENGTH:,} characters, left out"
    TOO_MANY = f"of records with more than {OF_A_RECORD} of them, left out"
    TOO_MANY_NAMES = f"after the first {OF_A_RUN} different ones of a run, left out"
    TOO_DEEP = f"of more than {DEEPEST} levels, left out"
    UNREADABLE = "with a value that cannot be read, left out"


class UnknownFields:
    """Those of a run. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: dict[Fate, set[str]] = {}

    def note(self, fate: Fate, names: Iterable[str]) -> None:
        """That this was done with fields of these names."""
        with self._lock:
            noted = self._names.setdefault(fate, set())
            for name in names:
                if len(noted) >= _COUNTED_AT_MOST:
                    break
                noted.add(name)

    def kept(
        self, record: Mapping[str, object], reserved: Collection[str], fate: Fate = Fate.COLUMN
    ) -> dict[str, Cell]:
        """What of the record's unknown fields is kept, on one level, under names not `reserved`."""
        deep = [name for name, value in record.items() if _is_deeper(value, DEEPEST)]
        if deep:
            self.note(Fate.TOO_DEEP, deep)
            record = {name: value for name, value in record.items() if name not in deep}
        flat, taken = flatten_unknown(record, reserved)
        if taken:
            self.note(Fate.NAME_TAKEN, taken)
        if len(flat) > OF_A_RECORD:
            self.note(Fate.TOO_MANY, flat)
            return {}
        return {name: cell for name, cell in flat.items() if self._is_kept(name, cell, fate)}

    def _is_kept(self, name: str, cell: Cell, fate: Fate) -> bool:
        if len(name) > NAME_LENGTH:
            self.note(Fate.NAME_TOO_LONG, [name])
            return False
        if isinstance(cell, str) and len(cell) > VALUE_LENGTH:
            self.note(Fate.VALUE_TOO_LONG, [name])
            return False
        with self._lock:
            names = self._names.setdefault(fate, set())
            if name in names or len(names) < OF_A_RUN:
                names.add(name)
                return True
        self.note(Fate.TOO_MANY_NAMES, [name])
        return False

    def report(self) -> None:
        """One warning each way, then forget them."""
        with self._lock:
            found, self._names = self._names, {}
        for fate, names in found.items():
            if names:
                count = f"{len(names):,}{' or more' if len(names) == _COUNTED_AT_MOST else ''}"
                logger.warning(
                    "unknown fields %s: %s (%s)", fate.value, listed(sorted(names)), count
                )


def _is_deeper(value: object, levels: int) -> bool:
    """Whether it has more levels of objects and lists."""
    if not isinstance(value, dict | list):
        return False
    within = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in within)
