"""Waiting for a server that is away for a while, as the source is waited for."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_SHORTEST_WAIT = 0.05
_LONGEST_WAIT = 10.0


@dataclass(frozen=True, slots=True)
class Patience:
    """For how long a server is tried again, and the wait before the first time; in seconds."""

    budget: float = 180.0
    backoff: float = 0.5

    def wait(self, attempt: int) -> float:
        """Seconds before the next attempt; the wait doubles, with some jitter, up to a limit."""
        doubled = self.backoff * 2.0 ** min(attempt - 1, 20)
        # Jitter needs no cryptography: it only keeps clients from knocking all at once.
        jitter = 1 + random.random() / 2  # noqa: S311
        return min(max(doubled * jitter, _SHORTEST_WAIT), _LONGEST_WAIT)


class Retries:
    """Does things again that failed for a reason that may pass by itself.

    The budget is counted from the first failure: what takes long and succeeds costs none of it.
    """

    def __init__(
        self,
        patience: Patience,
        errors: tuple[type[Exception], ...],
        reason: Callable[[Exception], str | None],
    ) -> None:
        """`reason` says in words why an error may pass by itself; None where it will not."""
        self._patience = patience
        self._errors = errors
        self._reason = reason
        self._ended = threading.Event()

    def end(self) -> None:
        """End every wait, in all threads; what fails until `begin` has failed."""
        self._ended.set()

    def begin(self) -> None:
        """Wait again."""
        self._ended.clear()

    def run(self, work: Callable[[], Result]) -> Result:
        """Do the work until it succeeds; the last error is raised when the budget is spent."""
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
