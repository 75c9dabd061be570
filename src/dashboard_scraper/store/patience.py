"""Retrying while a database server is unavailable."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_SHORTEST_WAIT = 0.05
_LONGEST_WAIT = 10.0


class Patience(msgspec.Struct, frozen=True):
    """How long to retry, and the wait before the first retry; in seconds."""

    budget: float = 180.0
    backoff: float = 0.5

    def wait(self, attempt: int) -> float:
        """Seconds before the next attempt: exponential backoff with jitter, up to a limit."""
        doubled = self.backoff * 2.0 ** min(attempt - 1, 20)  # the cap avoids an overflow
        # Jitter needs no cryptography: it only keeps clients from all retrying at once.
        jitter = 1 + random.random() / 2  # noqa: S311
        return min(max(doubled * jitter, _SHORTEST_WAIT), _LONGEST_WAIT)


class Retries:
    """Retries work that failed for a transient reason.

    The budget is counted from the first failure: slow work that succeeds uses none of it.
    """

    def __init__(
        self,
        patience: Patience,
        errors: tuple[type[Exception], ...],
        reason: Callable[[Exception], str | None],
    ) -> None:
        """`reason` describes a transient error in words, and is None for a permanent one."""
        self._patience = patience
        self._errors = errors
        self._reason = reason
        self._ended = threading.Event()

    def end(self) -> None:
        """End every wait, in all threads: until `begin`, nothing is retried."""
        self._ended.set()

    def begin(self) -> None:
        """Retry again from now on."""
        self._ended.clear()

    def run(self, work: Callable[[], Result]) -> Result:
        """Run the work until it succeeds; raise its last error when the budget is spent."""
        attempt = 0
        deadline = 0.0
        while True:
            attempt += 1
            try:
                return work()
            except self._errors as error:
                now = time.monotonic()
                deadline = deadline or now + self._patience.budget
                reason = self._reason(error)
                wait = self._patience.wait(attempt)
                if reason is None or now + wait > deadline:
                    raise
                logger.warning(
                    "%s; trying again in %.1f s, for at most %.0f s", reason, wait, deadline - now
                )
                if self._ended.wait(wait):
                    raise
