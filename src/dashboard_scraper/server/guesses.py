"""Wrong tokens and signatures: how many are looked at in a second, of one address and of all.

An address that has sent many waits for its turn, longer the more there are, and a right one from it
waits with them: if it were looked at first, a guesser would learn as much from the wait as from the
answer. It is looked at, though: a dashboard with a wrong token locks nobody out who shares its
address. Who would have to wait too long is told when to come again. Addresses from which a right
one came lately do not wait for strangers.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from dashboard_scraper.server.connections import client_of

LONGEST_WAIT_SECONDS = 15
_TRUSTED_SECONDS = 3600
_MOST_ADDRESSES = 10_000
_T = TypeVar("_T")


class TooManyGuesses(Exception):
    """This one was not looked at."""

    def __init__(self, wait: float) -> None:
        super().__init__()
        self.retry_after = math.ceil(wait)


class _Turns:
    """So many at once, and then one after the other at a rate."""

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
    """Keeps count. All methods belong to one event loop."""

    def __init__(
        self,
        of_an_address: tuple[int, float] = (50, 10),
        of_all: tuple[int, float] = (500, 50),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Of each: how many wrong ones at once, and then how many a second."""
        self._of_an_address = of_an_address
        self._all = _Turns(*of_all)
        self._clock = clock
        self._turns: OrderedDict[str, _Turns] = OrderedDict()
        self._trusted: OrderedDict[str, float] = OrderedDict()

    async def check(self, address: str, is_right: Callable[[], bool]) -> bool:
        """Whether it is right, after the address's turn has come; TooManyGuesses if it is far."""
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
            await asyncio.sleep(wait)
        if not is_right():
            return False
        for each in turns:
            each.give_back()
        _remember(self._trusted, client, now)
        return True

    def _turns_of(self, client: str) -> _Turns:
        turns = self._turns.get(client) or _Turns(*self._of_an_address)
        _remember(self._turns, client, turns)
        return turns


def _remember(entries: OrderedDict[str, _T], client: str, entry: _T) -> None:
    entries[client] = entry
    entries.move_to_end(client)
    if len(entries) > _MOST_ADDRESSES:
        entries.popitem(last=False)
