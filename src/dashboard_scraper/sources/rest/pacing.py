"""A token bucket: how quickly requests may follow each other without one being refused.

The server's own bucket is not seen, so ours must never hold more than the server's. A full bucket
does not fill up, and the server takes a token only when a request reaches it, which may be at any
moment until it is answered. So for each request under way, ours may fill up to one token less. No
library was found that counts so, goes on where an earlier run stopped, and is emptied by a refusal.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from dashboard_scraper.decoding import UNDECODABLE

_WHILE_UNANSWERED_SECONDS = 0.02
_Tokens = Annotated[float, msgspec.Meta(ge=0)]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Kept(msgspec.Struct, frozen=True):
    """A bucket as a run left it."""

    tokens: _Tokens
    moment: _Moment


class Pace:
    """Requests of one run, from several threads: `burst` at once, then `per_minute`."""

    def __init__(self, per_minute: float, burst: int) -> None:
        self._per_second = per_minute / 60
        self._burst = float(burst)
        self._tokens = self._burst
        self._filled = time.monotonic()
        self._under_way = 0
        self._lock = threading.Lock()
        self.taken = 0
        """How many requests were let through so far."""

    def resume(self, kept: str | None, now: datetime) -> None:
        """Go on with what an earlier run left, as `keep` gave it."""
        try:
            left = msgspec.json.decode(kept or "null", type=Kept | None)
        except UNDECODABLE:
            left = None
        if left is not None:
            since = max(0.0, (now - left.moment).total_seconds())
            with self._lock:
                self._tokens = min(self._burst, left.tokens + since * self._per_second)
                self._filled = time.monotonic()

    def keep(self, now: datetime) -> str:
        """What the next run is to know."""
        with self._lock:
            self._fill()
            kept = Kept(self._tokens, now.astimezone(UTC))
        return msgspec.json.encode(kept).decode()

    def take(self) -> float:
        """0 where a request may be sent now; else seconds after which to ask again."""
        with self._lock:
            self._fill()
            if self._tokens >= 1:
                self._tokens -= 1
                self._under_way += 1
                self.taken += 1
                return 0.0
            if self._burst - self._under_way < 1:  # it will not fill up before one is answered
                return _WHILE_UNANSWERED_SECONDS
            return (1 - self._tokens) / self._per_second

    def answered(self) -> None:
        """A request came back, with whatever result: the server has counted it."""
        with self._lock:
            self._fill()
            self._under_way -= 1

    def refused(self) -> None:
        """The server's bucket is empty: somebody else uses it too."""
        with self._lock:
            self._tokens, self._filled = 0.0, time.monotonic()

    def seconds_for(self, requests: int) -> float:
        """How long so many more requests take at the least."""
        with self._lock:
            self._fill()
            return max(0.0, requests - self._tokens) / self._per_second

    def _fill(self) -> None:
        now = time.monotonic()
        gained = (now - self._filled) * self._per_second
        room = self._burst - self._under_way
        self._tokens, self._filled = max(self._tokens, min(room, self._tokens + gained)), now
