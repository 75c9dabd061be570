"""A token bucket: how fast requests may follow each other without exceeding the server's limit.

The server's own bucket cannot be seen, so ours must never hold more tokens than the server's. The
server takes a token when a request arrives, which may happen at any time until it answers; until
then, a full bucket stays full and gains nothing. So our capacity is one token less for each request
in flight. No library was found that does this, resumes where an earlier run stopped, and empties
the bucket on a refusal.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from dashboard_scraper.decoding import UNDECODABLE, decodable

_WHILE_UNANSWERED_SECONDS = 0.02
_Tokens = Annotated[float, msgspec.Meta(ge=0)]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


@decodable
class SavedBucket(msgspec.Struct, frozen=True):
    """The state of the bucket at the end of a run."""

    tokens: _Tokens
    moment: _Moment


class Pace:
    """Limits the requests of one run, from several threads: `burst` at once, then `per_minute`."""

    def __init__(self, per_minute: float, burst: int) -> None:
        self._per_second = per_minute / 60
        self._burst = float(burst)
        self._tokens = self._burst
        self._filled = time.monotonic()
        self._in_flight = 0
        self._lock = threading.Lock()
        self.taken = 0
        """How many requests were allowed so far."""

    def resume(self, saved: str | None, now: datetime) -> None:
        """Continue from the state that an earlier run saved."""
        try:
            left = msgspec.json.decode(saved or "null", type=SavedBucket | None)
        except UNDECODABLE:  # a damaged note costs at most some waiting, so it is no error
            left = None
        if left is not None:
            since = max(0.0, (now - left.moment).total_seconds())
            with self._lock:
                self._tokens = min(self._burst, left.tokens + since * self._per_second)
                self._filled = time.monotonic()

    def save(self, now: datetime) -> str:
        """The state from which the next run resumes."""
        with self._lock:
            self._fill()
            saved = SavedBucket(self._tokens, now.astimezone(UTC))
        return msgspec.json.encode(saved).decode()

    def take(self) -> float:
        """0 if a request may be sent now, else the number of seconds after which to ask again."""
        with self._lock:
            self._fill()
            if self._tokens >= 1:
                self._tokens -= 1
                self._in_flight += 1
                self.taken += 1
                return 0.0
            if self._burst - self._in_flight < 1:  # it cannot fill up before one is answered
                return _WHILE_UNANSWERED_SECONDS
            return (1 - self._tokens) / self._per_second

    def answered(self) -> None:
        """A request ended, with any result: the server has counted it by now."""
        with self._lock:
            self._fill()
            self._in_flight -= 1

    def refused(self) -> None:
        """The server's bucket is empty: another client uses the same limit."""
        with self._lock:
            self._tokens, self._filled = 0.0, time.monotonic()

    def seconds_for(self, requests: int) -> float:
        """The shortest time in which this many more requests can be sent."""
        with self._lock:
            self._fill()
            return max(0.0, requests - self._tokens) / self._per_second

    def _fill(self) -> None:
        now = time.monotonic()
        gained = (now - self._filled) * self._per_second
        room = self._burst - self._in_flight
        self._tokens, self._filled = max(self._tokens, min(room, self._tokens + gained)), now
