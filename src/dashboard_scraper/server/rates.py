"""How many requests each token may send in a minute."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

_MINUTE, _HOUR = 60, 3600
_REQUESTS_AN_HOUR = 15_000


class Rate(NamedTuple):
    """A limit and what is used of it, under GitHub's names; `reset` is in seconds since 1970."""

    limit: int
    remaining: int
    used: int
    reset: int


def unlimited() -> Rate:
    """A limit as GitHub reports it, but never used up: without numbers, clients wait or fail."""
    reset = int(time.time()) // _HOUR * _HOUR + _HOUR
    return Rate(_REQUESTS_AN_HOUR, _REQUESTS_AN_HOUR, 0, reset)


class Rates:
    """Counts each token's requests per minute, by its name; without a limit, nothing is counted."""

    def __init__(
        self, per_minute: int | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._limit = per_minute
        self._clock = clock
        self._minute = 0
        self._used: dict[str, int] = {}

    def take(self, name: str) -> tuple[Rate, int]:
        """Count a request; returns the limit's state, and the seconds to wait if it is exceeded."""
        before = self.of(name)
        if self._limit is None:
            return before, 0
        if not before.remaining:
            return before, max(1, math.ceil(before.reset - self._clock()))
        self._used[name] = before.used + 1
        return self.of(name), 0

    def of(self, name: str) -> Rate:
        """The state of the limit."""
        if self._limit is None:
            return unlimited()
        minute = int(self._clock()) // _MINUTE
        if minute != self._minute:
            self._minute, self._used = minute, {}
        used = self._used.get(name, 0)
        return Rate(self._limit, self._limit - used, used, (minute + 1) * _MINUTE)
