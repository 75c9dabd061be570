"""Limits a server's log: a line that was just written is counted instead of written again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import msgspec

INTERVAL_SECONDS = 60
_GROUP = "repeats_group"
_SUMMARY = "repeats_summary"
_ALWAYS = "repeats_never"
_MOST_GROUPS = 1000
_OTHERS = "other lines"


def repeats(group: str) -> dict[str, str]:
    """The `extra` of a log record that counts as a repeat of any other record in the group."""
    return {_GROUP: group}


def never_repeats() -> dict[str, str]:
    """The `extra` of a log record that is always written, such as an audit record."""
    return {_ALWAYS: "yes"}


class _Logged(msgspec.Struct):
    """A line that was written: not written again before `until`; `more` counts its repeats."""

    name: str
    level: int
    until: float
    more: int = 0


class Repeats(logging.Filter):
    """Passes a line once per interval, and afterwards logs how many repeats there were.

    This limits how much is written in an interval, whatever strangers send. Call `flush` now and
    then and at the end: otherwise the counts wait for the next record, which may never come.
    """

    def __init__(
        self, interval: float = INTERVAL_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        # By line or group, in the order in which their intervals end.
        self._logged: dict[str, _Logged] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write the record."""
        if hasattr(record, _SUMMARY) or hasattr(record, _ALWAYS):
            return True
        self.flush()
        key = getattr(record, _GROUP, None) or record.getMessage()
        with self._lock:
            if key not in self._logged and len(self._logged) >= _MOST_GROUPS:
                key = _OTHERS
            if logged := self._logged.get(key):
                logged.more += 1
                return False
            until = self._clock() + self._interval
            self._logged[key] = _Logged(record.name, record.levelno, until)
            return True

    def flush(self, *, everything: bool = False) -> None:
        """Log the counts of the intervals that have ended, or of all."""
        ended = []
        with self._lock:
            for key, logged in list(self._logged.items()) if self._has_ended(everything) else ():
                if everything or logged.until <= self._clock():
                    ended.append((key, self._logged.pop(key)))
        # Outside the lock: the summaries pass through this filter too.
        for key, logged in ended:
            if logged.more:
                self._summarize(key, logged)

    def _has_ended(self, everything: bool) -> bool:
        first = next(iter(self._logged.values()), None)
        return first is not None and (everything or first.until <= self._clock())

    def _summarize(self, line: str, logged: _Logged) -> None:
        seconds = self._interval + self._clock() - logged.until
        text, args = "%s: %s more in the last %.0f s", (line, f"{logged.more:,}", seconds)
        record = logging.LogRecord(logged.name, logged.level, __file__, 0, text, args, None)
        setattr(record, _SUMMARY, True)
        logging.getLogger(logged.name).handle(record)


def count_repeats() -> Repeats:
    """Filter everything that is logged from now on; returns the filter."""
    counted = Repeats()
    for handler in logging.getLogger().handlers:
        handler.addFilter(counted)
    return counted
