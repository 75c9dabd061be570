"""The numbers that figures are made of: random ones, and those of a later answer."""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct

_NUMBERS = Struct("<18H")


def draw(text: str) -> tuple[int, ...]:
    """Eighteen numbers below 65536 that depend on the text alone. To hash it is far quicker than to
    seed a Random.
    """
    return _NUMBERS.unpack(blake2b(text.encode(), digest_size=_NUMBERS.size).digest())


def raised(value: int, times: int) -> int:
    """By a tenth and a little more, so many times, as a revision does; 0 stays."""
    for _ in range(times):
        value += value // 10 + 1 if value else 0
    return value
