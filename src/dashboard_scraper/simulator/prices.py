"""What models and machines cost, in whole numbers of a tiny unit: all sums are exact."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

_DIGITS = 12
ONE = 10**_DIGITS
"""A dollar, or a credit, in the unit of all amounts."""
HUNDREDTH = ONE // 100


class Amounts(NamedTuple):
    """Tokens, and money and credits in units of 10**-12; each field can be summed separately."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    base: int = 0
    billed: int = 0
    estimated: int = 0
    credits: int = 0


class Resource(NamedTuple):
    """What was paid for."""

    type: str
    name: str


QUICK, THOROUGH = (Resource("MODEL", name) for name in ("quick-1", "thorough-2"))
COMPUTE = Resource("COMPUTE", "remote-agent")

_PRICES = {
    QUICK: (250_000, 2_000_000, 25_000, 312_507),
    THOROUGH: (3_000_000, 15_000_000, 300_000, 3_750_011),
}
"""The price of a token of each class, in the unit of amounts: 3,000,000 is 3 dollars a million."""
PRICE_OF_SECOND = 23_148_147

Tokens = tuple[int, ...]
"""The number of tokens of each class, in the order of `Amounts`."""
NO_TOKENS: Tokens = (0, 0, 0, 0)


def tokens_of(messages: int, draws: tuple[int, ...]) -> Tokens:
    """What this many messages use."""
    if not messages:
        return NO_TOKENS
    sent = messages * (4000 + draws[0] % 30_000) + draws[1] % 997
    returned = messages * (300 + draws[2] % 1800) + draws[3] % 89
    return sent, returned, sent * (draws[4] % 9), sent * (draws[5] % 4) // 3


def price_of(tokens: Tokens, model: Resource) -> int:
    """Their base cost."""
    return sum(map(operator.mul, tokens, _PRICES[model]))


def in_dollars(tokens: Tokens, base: int) -> Amounts:
    """Base cost, billed amount and estimate, which are three different figures."""
    return Amounts._make((*tokens, base, base * 9137 // 10_000, base * 1125 // 1000, 0))


def in_credits(tokens: Tokens, consumed: int) -> Amounts:
    return Amounts._make((*tokens, 0, 0, 0, consumed))


def add(many: Iterable[Amounts]) -> Amounts:
    """The sum, field by field, of at least one."""
    return Amounts(*map(sum, zip(*many, strict=True)))


def whole_credits(amounts: Amounts) -> Amounts:
    """The amounts with credits in whole hundredths, like the credits of usage."""
    return amounts._replace(credits=amounts.credits // HUNDREDTH * HUNDREDTH)


def decimal(units: int) -> Decimal:
    """The exact amount, without trailing zeros."""
    return Decimal(text(units, decimals=0))


def text(units: int, decimals: int = 4) -> str:
    """The amount in full; if it has a fraction, with at least this many decimals."""
    digits = f"{abs(units):0{_DIGITS + 1}}"
    whole, fraction = digits[:-_DIGITS], digits[-_DIGITS:].rstrip("0")
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}.{fraction:0<{decimals}}" if fraction else f"{sign}{whole}"
