"""Exact decimal amounts: read, added up and written without ever becoming a binary float.

Python's own arithmetic rounds to 28 digits by default, so amounts are added only here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation

MAX_DECIMALS = 18
MAX_DIGITS = 38
"""Digits of an amount, MAX_DECIMALS of them after the point: what Parquet's decimal128 holds."""
_MAX_WHOLE = MAX_DIGITS - MAX_DECIMALS
_LONGEST = 200  # characters of a text that may still be an amount
_AMOUNT = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d{1,3})?", re.ASCII)

# In this context, the value of any text and the sum of any number of amounts that fit are exact;
# anything else is an error.
_EXACT = Context(prec=_LONGEST, traps=[Inexact, InvalidOperation])

_ROUNDING = Context(prec=100, rounding=ROUND_HALF_UP)

ZERO = Decimal(0)
CENTS = 2
"""How many digits after the point an amount of money has when it is rounded for display."""


def parse_amount(text: str) -> Decimal:
    """The amount that a text such as `-3.4170` or `1E-7` stands for, in its shortest form.

    Raises ValueError, with a message for users, for anything that is not a plain decimal number,
    and for numbers with more digits than outputs can hold.
    """
    return normalized(_decimal(text))


def _decimal(text: str) -> Decimal:
    if len(text) > _LONGEST or not _AMOUNT.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a decimal number")
    return Decimal(text)


def normalized(amount: Decimal) -> Decimal:
    """The same amount without trailing zeros or an exponent; ValueError if it is too long."""
    if not amount.is_finite():
        raise ValueError(f"{amount} is not a decimal number")
    shortest = _shortest(amount)
    if places_of(shortest) > MAX_DECIMALS:
        raise ValueError(f"{amount!s:.40} has more than {MAX_DECIMALS} digits after the point")
    if shortest.adjusted() >= _MAX_WHOLE:
        raise ValueError(f"{amount!s:.40} has more than {_MAX_WHOLE} digits before the point")
    return shortest


def shown(amount: Decimal) -> str:
    """The amount as text, exact and without an exponent."""
    return f"{amount:f}"


def exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    """The sum, exact in every digit and in its shortest form, so the order does not matter."""
    total = ZERO
    for amount in amounts:
        total = _EXACT.add(total, amount)
    return _shortest(total)


def _shortest(amount: Decimal) -> Decimal:
    return Decimal(f"{amount.normalize(_EXACT):f}") if amount else ZERO


def of_cents(cents: Decimal) -> Decimal:
    """The exact amount of so many hundredths; ValueError if it has too many digits."""
    return normalized(cents.scaleb(-2, _EXACT))


def parse_hundredths(text: str) -> Decimal:
    """The amount for a text with a number of hundredths, such as cents.

    Sources that compute with binary floats also write their noise, so digits beyond MAX_DECIMALS
    after the point are rounded, halves away from zero; ValueError for anything but a decimal
    number.
    """
    amount = _decimal(text).scaleb(-2, _ROUNDING)
    if amount.adjusted() >= _MAX_WHOLE:
        raise ValueError(f"{text[:40]} has more than {_MAX_WHOLE} digits before the point")
    return normalized(rounded(amount, MAX_DECIMALS))


def difference(first: Decimal, second: Decimal) -> Decimal:
    """The first amount less the second, exact in every digit."""
    return _EXACT.subtract(first, second)


def places_of(amount: Decimal) -> int:
    """How many digits the amount has after the point, without zeros at the end."""
    return max(-int(amount.normalize(_EXACT).as_tuple().exponent), 0)


def rounded(amount: Decimal, places: int) -> Decimal:
    """The amount with so many digits after the point, halves away from zero, only for display."""
    return amount.quantize(Decimal(1).scaleb(-places), context=_ROUNDING)


def per(amount: Decimal, count: int) -> Decimal:
    """The amount divided by a count, rounded to cents, only for display."""
    return rounded(_ROUNDING.divide(amount, Decimal(count)), CENTS)
