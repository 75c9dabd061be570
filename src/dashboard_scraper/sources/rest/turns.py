"""Large answers take turns: only two days' answers are in memory, however many are requested at
once.

The threads that fetch days mostly wait for the source, so there are many of them. Answers are small
for hundreds of people, but for tens of thousands each day needs 100 MB until it is stored. So a
thread that reads a large answer waits for a turn, while the rest of the answer waits on the
connection, and keeps its turn until the day is stored. One day is stored while the next is read.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from dashboard_scraper.sources.rest.bodies import Stream

_AT_ONCE = 2
# Bytes of a body as it arrives: some 500 users; compressed, some 4,000.
_LARGE = 1 << 18
# A server that cannot send ends the connection after a minute or so. Also, a thread with a turn may
# wait for data that a thread without one must fetch. So after this time, reading goes on without a
# turn.
_PATIENCE_SECONDS = 45


class Turns:
    """The turns of the threads that fetch days."""

    def __init__(self, patience: float = _PATIENCE_SECONDS) -> None:
        self._free = threading.BoundedSemaphore(_AT_ONCE)
        self._patience = patience

    @contextlib.contextmanager
    def day(self) -> Iterator[None]:
        """Fetch and store a day: a turn that is taken within the block is given back at its end."""
        turn = _Turn(self._free, self._patience)
        token = _TURN.set(turn)
        try:
            yield
        finally:
            _TURN.reset(token)
            turn.end()


class _Turn:
    def __init__(self, free: threading.BoundedSemaphore, patience: float) -> None:
        self._free = free
        self._patience = patience
        self._lock = threading.Lock()  # a day may have several parallel requests
        self._taken = False

    def take(self) -> None:
        with self._lock:
            self._taken = self._taken or self._free.acquire(timeout=self._patience)

    def end(self) -> None:
        with self._lock:
            if self._taken:
                self._free.release()
                self._taken = False


_TURN: ContextVar[_Turn | None] = ContextVar("turn", default=None)


class TurnTaking:
    """A response's stream that waits for a turn as soon as the body proves to be large.

    It does not wait if the day has its turn already, or if no day is being fetched. `waited` is
    called with the seconds spent waiting.
    """

    def __init__(self, stream: Stream, waited: Callable[[float], None]) -> None:
        self._stream = stream
        self._left = _LARGE
        self._waited = waited

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """Like the response's method."""
        data = self._stream.read1(amt, decode_content)
        if 0 <= self._left < len(data) and (turn := _TURN.get()) is not None:
            before = time.monotonic()
            turn.take()
            self._waited(time.monotonic() - before)
        self._left -= len(data)
        return data
