"""Fields of records that this program does not know yet: stored within bounds, and reported.

No known figure depends on them. So a field that exceeds a bound is left out, and the day is still
stored.
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
"""The most levels of objects and lists within a field."""
OF_A_RECORD = 100
"""The most names, including those of nested objects; of a record with more, none is stored."""
OF_A_RUN = 500
"""The most distinct names; each becomes a column of every file with a record that has it."""
_COUNTED_AT_MOST = 10_000


class Fate(Enum):
    """What happened to a field, in the words of the log."""

    COLUMN = "stored as columns of their own"
    IN_RECORD = "stored only in the records of their users and days"
    ROW = "stored as rows of their own"
    OF_ORGANIZATION = "of the organization, left out"
    OF_EDITORS = "of editors and languages, left out"
    OF_CREDITS = "of credits, left out"
    OF_COSTS = "of costs, left out"
    OF_BUDGETS = "of budgets, left out"
    SEVERAL = "of users with several records a day, left out"
    NAME_TAKEN = "with the name of another field, left out"
    NAME_TOO_LONG = f"with a name of more than {NAME_LENGTH} characters, left out"
    VALUE_TOO_LONG = f"with a value of more than {VALUE_LENGTH:,} characters, left out"
    TOO_MANY = f"of records with more than {OF_A_RECORD} of them, left out"
    TOO_MANY_NAMES = f"after the first {OF_A_RUN} distinct ones of a run, left out"
    TOO_DEEP = f"of more than {DEEPEST} levels, left out"
    UNREADABLE = "with a value that cannot be read, left out"


class UnknownFields:
    """The unknown fields of a run. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: dict[Fate, set[str]] = {}

    def note(self, fate: Fate, names: Iterable[str]) -> None:
        """Record that the fields with these names met this fate."""
        with self._lock:
            noted = self._names.setdefault(fate, set())
            for name in names:
                if len(noted) >= _COUNTED_AT_MOST:
                    break
                noted.add(name)

    def storable(
        self, record: Mapping[str, object], reserved: Collection[str], fate: Fate = Fate.COLUMN
    ) -> dict[str, Cell]:
        """The record's unknown fields to store, flattened, under names that are not `reserved`."""
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
        return {name: cell for name, cell in flat.items() if self._is_storable(name, cell, fate)}

    def _is_storable(self, name: str, cell: Cell, fate: Fate) -> bool:
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
        """Log one warning per fate, then forget them."""
        with self._lock:
            found, self._names = self._names, {}
        for fate, names in found.items():
            if names:
                count = f"{len(names):,}{' or more' if len(names) == _COUNTED_AT_MOST else ''}"
                logger.warning(
                    "unknown fields %s: %s (%s)", fate.value, listed(sorted(names)), count
                )


def _is_deeper(value: object, levels: int) -> bool:
    """Whether the value has more than `levels` levels of objects and lists."""
    if not isinstance(value, dict | list):
        return False
    within = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in within)
