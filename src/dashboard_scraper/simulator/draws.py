"""The numbers from which figures are made: random ones, and those of a later answer."""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct

_NUMBERS = Struct("<18H")


def draw(text: str) -> tuple[int, ...]:
    """Eighteen numbers below 65536 that depend only on the text. Hashing it is far quicker than
    seeding a Random.
    """
    return _NUMBERS.unpack(blake2b(text.encode(), digest_size=_NUMBERS.size).digest())


def raised(value: int, times: int) -> int:
    """A tenth and a little more, this many times, as in a revision; 0 stays 0."""
    for _ in range(times):
        value += value // 10 + 1 if value else 0
    return value
