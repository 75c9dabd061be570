"""What comes before an API: the dashboard's session, and a rate limit."""

from __future__ import annotations

import base64
import math
import threading
import time
from collections import deque
from hashlib import blake2b
from http.cookies import CookieError
from urllib.parse import quote, unquote

from dashboard_scraper.simulator.exchange import Headers

COOKIE_NAME = "_session"

_GRACE = 16  # values of a rolling session that are valid at the same time, for concurrent requests


class Session:
    """One browser's session. Thread-safe.

    A rolling session issues a new value with each answer; `expire_after` is the number of requests
    after which it expires.
    """

    def __init__(self, seed: int, rolling: bool, expire_after: int | None) -> None:
        self._seed = seed
        self._rolling = rolling
        self._expire_after = expire_after
        self._serial = 0
        self._lock = threading.Lock()
        self._seconds = math.inf
        self._used = time.monotonic()
        self._good: deque[str] = deque(maxlen=_GRACE)
        self.newest = ""
        self.sign_in()

    def sign_in(self) -> None:
        """Start a new session, which invalidates all older values."""
        with self._lock:
            self._good.clear()
            self._left = self._expire_after
            self._used = time.monotonic()
            self._issue()

    def expire(self) -> None:
        with self._lock:
            self._good.clear()

    def shorten(self, seconds: float) -> None:
        """Let it expire this long after its last use."""
        with self._lock:
            self._seconds = seconds

    def admit(self, value: str) -> Headers | None:
        """The headers to add to an authorised answer; None if the value is invalid."""
        with self._lock:
            if unquote(value) not in self._good or self._left == 0:
                return None
            if time.monotonic() - self._used > self._seconds:
                return None
            self._used = time.monotonic()
            if self._left is not None:
                self._left -= 1
            if not self._rolling:
                return ()
            self._issue()
            cookie = f"{COOKIE_NAME}={quote(self.newest, safe='')}"
            return (("Set-Cookie", f"{cookie}; Path=/; HttpOnly; SameSite=Lax"),)

    def _issue(self) -> None:
        self._serial += 1
        digest = blake2b(f"{self._seed}/session/{self._serial}".encode(), digest_size=40).digest()
        payload = base64.b64encode(digest[:16]).decode()
        # Real signed cookies also have these characters, which differ when URL-encoded.
        self.newest = f"{payload}.{self._serial}/+{digest[16:].hex()}="
        self._good.append(self.newest)


class Bucket:
    """A token bucket; its time runs `scale` times faster than the clock. Thread-safe."""

    def __init__(self, per_minute: int, burst: int, scale: float) -> None:
        self._per_second = per_minute / 60 * scale
        self._burst = float(burst)
        self._scale = scale
        self._tokens = self._burst
        self._since = time.monotonic()
        self._lock = threading.Lock()

    def take(self) -> str | None:
        """None if a request may pass, else the value of Retry-After, in real seconds."""
        with self._lock:
            now = time.monotonic()
            refill = (now - self._since) * self._per_second
            self._tokens, self._since = min(self._burst, self._tokens + refill), now
            if self._tokens >= 1:
                self._tokens -= 1
                return None
            wait = (1 - self._tokens) / self._per_second
        return str(max(1, math.ceil(wait))) if self._scale == 1 else f"{wait:.4f}"


def session_value(header: str | None) -> str | None:
    """The session's value in a Cookie header; None if there is none, CookieError for several."""
    pairs = (pair.strip().partition("=") for pair in (header or "").split(";"))
    values = [value for name, _, value in pairs if name == COOKIE_NAME]
    if len(values) > 1:
        raise CookieError(f"{len(values)} cookies named {COOKIE_NAME}")
    return values[0] if values else None
