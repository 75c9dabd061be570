"""When to retry a request, and how to say in a log why it failed.

The wait before attempt n + 1 is

    backoff * 2**(n - 1) * (1 + jitter of up to 1/2)

or the server's `Retry-After`, if that is longer; never more than MAX_WAIT.
"""

from __future__ import annotations

import email.utils
import http.client
import random
import re
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
import urllib3.exceptions

from dashboard_scraper.sources.rest.bodies import Incomplete
from dashboard_scraper.sources.rest.deadlines import MalformedHead, TooSlow

MAX_WAIT = 60.0
# InvalidHeader is raised only for Content-Lengths that differ, and says which.
_WORDED = (TooSlow, MalformedHead, Incomplete, urllib3.exceptions.InvalidHeader)
# Numbers with more than nine digits count as this: far above MAX_WAIT.
_LONGEST_RETRY_AFTER = 10**9


class AttemptFailed(Exception):
    """An attempt that may be repeated; `retry_after` is the server's `Retry-After`, in seconds."""

    def __init__(
        self, reason: str, retry_after: float | None = None, *, too_many: bool = False
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.too_many = too_many


class RetryPolicy(msgspec.Struct, frozen=True):
    """`retries` attempts after the first; `backoff`, `timeout` and `budget` in seconds."""

    retries: int
    backoff: float
    timeout: float
    budget: float

    def wait(self, attempt: int, retry_after: float | None) -> float:
        """Seconds to wait after the failed attempt number `attempt`, counted from 1."""
        # Jitter needs no cryptography: it only spreads the retries of many clients.
        jitter = 1 + random.random() / 2  # noqa: S311
        own: float = self.backoff * 2 ** (attempt - 1) * jitter
        return min(max(own, retry_after or 0.0), MAX_WAIT)


def seconds_of(retry_after: str | None) -> float | None:
    """Seconds from either form of the header (a number, an HTTP date); None for anything else."""
    if retry_after is None:
        return None
    if re.fullmatch(r"[0-9]+", retry_after.strip()):
        digits = retry_after.strip().lstrip("0")
        return float(_LONGEST_RETRY_AFTER if len(digits) > 9 else digits or 0)
    try:
        moment = email.utils.parsedate_to_datetime(retry_after)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (aware - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


def pause_in(headers: Mapping[str, str]) -> float | None:
    """The seconds until the next attempt: `Retry-After` or, if nothing is left of a limit, the time
    until it is renewed, as GitHub says.
    """
    reset = headers.get("X-RateLimit-Reset", "")
    spent = headers.get("X-RateLimit-Remaining") == "0" and "Retry-After" not in headers
    if spent and re.fullmatch(r"[0-9]{1,12}", reset):
        return max(0.0, int(reset) - datetime.now(UTC).timestamp())
    return seconds_of(headers.get("Retry-After"))


def root_cause(error: BaseException) -> str:
    """The innermost reason, without URLs: requests' own messages contain them, with any tokens."""
    inner: BaseException = error
    while not isinstance(inner, _WORDED):
        if isinstance(inner, http.client.IncompleteRead):  # as by urllib3, also within a chunk
            return "the body was cut short"
        links = (getattr(inner, "reason", None), inner.__cause__, inner.__context__, *inner.args)
        below = next((link for link in links if isinstance(link, BaseException)), None)
        if below is None:
            break
        inner = below
    if isinstance(inner, _WORDED):
        return str(inner)
    if isinstance(inner, OSError) and inner.strerror:
        return f"{type(inner).__name__}, {inner.strerror}"
    if type(inner) is OSError:  # http.client raises a bare OSError if a proxy refuses a tunnel
        return str(inner)
    if isinstance(inner, TimeoutError | urllib3.exceptions.TimeoutError):
        return "the server was silent for too long"
    return type(inner).__name__
