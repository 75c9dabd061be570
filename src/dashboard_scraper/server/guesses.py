"""Limits how many tokens and signatures are checked per second, per address and in total.

An address that has sent many wrong ones waits before each check, and longer the more there were. A
right one from there waits too: if it were checked first, the missing wait would tell a guesser as
much as the answer. But it is checked: a dashboard with a wrong token locks out nobody else behind
the same address. A client that would wait too long is told when to retry. Addresses that recently
sent a right one are exempt from the total limit, so strangers do not slow them down.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeVar

from dashboard_scraper.server.connections import client_of

LONGEST_WAIT_SECONDS = 15
_TRUSTED_SECONDS = 3600
_MOST_ADDRESSES = 10_000
_T = TypeVar("_T")


class TooManyGuesses(Exception):
    """The token or signature was not checked."""

    def __init__(self, wait: float) -> None:
        super().__init__()
        self.retry_after = math.ceil(wait)


class _Turns:
    """A rate limit that allows a burst."""

    def __init__(self, at_once: int, per_second: float) -> None:
        self._step = 1 / per_second
        self._slack = (at_once - 1) / per_second
        self._next = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next turn."""
        return max(0.0, self._next - now - self._slack)

    def take(self, now: float) -> None:
        self._next = max(self._next, now) + self._step

    def give_back(self) -> None:
        self._next -= self._step


class Guesses:
    """Counts wrong tokens and signatures. All methods must be called from one event loop."""

    def __init__(
        self,
        per_address: tuple[int, float] = (50, 10),
        in_total: tuple[int, float] = (500, 50),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Each limit: how many wrong ones at once, and then how many per second."""
        self._per_address = per_address
        self._all = _Turns(*in_total)
        self._clock = clock
        self._sleep = sleep
        self._turns: OrderedDict[str, _Turns] = OrderedDict()
        self._trusted: OrderedDict[str, float] = OrderedDict()

    async def check(self, address: str, find: Callable[[], _T]) -> _T:
        """What `find` returns, after waiting for a turn; a false result or None counts as a wrong
        guess. Raises TooManyGuesses if the wait would be too long.
        """
        client, now = client_of(address), self._clock()
        turns = [self._turns_of(client)]
        if now - self._trusted.get(client, -math.inf) > _TRUSTED_SECONDS:
            turns.append(self._all)
        wait = max(each.wait(now) for each in turns)
        if wait > LONGEST_WAIT_SECONDS:
            raise TooManyGuesses(wait - LONGEST_WAIT_SECONDS)
        for each in turns:
            each.take(now)
        if wait:
            await self._sleep(wait)
        found = find()
        if not found:
            return found
        for each in turns:
            each.give_back()
        _remember(self._trusted, client, now)
        return found

    def _turns_of(self, client: str) -> _Turns:
        turns = self._turns.get(client) or _Turns(*self._per_address)
        _remember(self._turns, client, turns)
        return turns


def _remember(entries: OrderedDict[str, _T], client: str, entry: _T) -> None:
    entries[client] = entry
    entries.move_to_end(client)
    if len(entries) > _MOST_ADDRESSES:
        entries.popitem(last=False)
