"""The log of a program that answers strangers: what it has just said, it counts."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

INTERVAL_SECONDS = 60
_GROUP = "repeats_group"
_SUMMARY = "repeats_summary"
_MOST_GROUPS = 1000
_OTHERS = "other lines"


def repeats(group: str) -> dict[str, str]:
    """The `extra` of a record that says as much as others of the group, whatever else it names."""
    return {_GROUP: group}


@dataclass(slots=True)
class _Said:
    """A line that was written, until when it is not written again, and how often it came again."""

    name: str
    level: int
    until: float
    more: int = 0


class Repeats(logging.Filter):
    """Lets a line pass once in an interval, and says afterwards how many more there were.

    So what is written in an interval is bounded, whoever sends whatever. Somebody has to call
    `flush` now and then and at the end: the next line, which would do it, may never come.
    """

    def __init__(
        self, interval: float = INTERVAL_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        # By the line or the group; those whose interval ends first come first.
        self._said: dict[str, _Said] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be written."""
        if hasattr(record, _SUMMARY):
            return True
        self.flush()
        key = getattr(record, _GROUP, None) or record.getMessage()
        with self._lock:
            if key not in self._said and len(self._said) >= _MOST_GROUPS:
                key = _OTHERS
            if said := self._said.get(key):
                said.more += 1
                return False
            self._said[key] = _Said(record.name, record.levelno, self._clock() + self._interval)
            return True

    def flush(self, *, everything: bool = False) -> None:
        """Write the numbers of the intervals that are over, or of all."""
        ended = []
        with self._lock:
            for key, said in list(self._said.items()) if self._is_due(everything) else ():
                if everything or said.until <= self._clock():
                    ended.append((key, self._said.pop(key)))
        for key, said in ended:
            if said.more:
                self._summarize(key, said)

    def _is_due(self, everything: bool) -> bool:
        first = next(iter(self._said.values()), None)
        return first is not None and (everything or first.until <= self._clock())

    def _summarize(self, line: str, said: _Said) -> None:
        seconds = self._interval + self._clock() - said.until
        text, args = "%s: %s more in the last %.0f s", (line, f"{said.more:,}", seconds)
        record = logging.LogRecord(said.name, said.level, __file__, 0, text, args, None)
        setattr(record, _SUMMARY, True)
        logging.getLogger(said.name).handle(record)


def count_repeats() -> Repeats:
    """From now on, all that is logged passes through one such filter, which is returned."""
    counted = Repeats()
    for handler in logging.getLogger().handlers:
        handler.addFilter(counted)
    return counted
