"""Exact decimal amounts: read, added up and written without ever becoming a binary float.

Python's own arithmetic rounds to 28 digits unless told otherwise, so amounts are added here alone.
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

# Sums of amounts that fit are exact in it however many there are, and so is what any text stands
# for; anything else is an error.
_EXACT = Context(prec=_LONGEST, traps=[Inexact, InvalidOperation])

_ROUNDING = Context(prec=100, rounding=ROUND_HALF_UP)

ZERO = Decimal(0)
CENTS = 2
"""How many digits after the point an amount of money has where it is rounded for display."""


def parse_amount(text: str) -> Decimal:
    """The amount that a text such as `-3.4170` or `1E-7` stands for, in its shortest form.

    Raises ValueError, with words for people, for anything that is not a plain decimal number, and
    for one with more digits than outputs can hold.
    """
    return normalized(_decimal(text))


def _decimal(text: str) -> Decimal:
    if len(text) > _LONGEST or not _AMOUNT.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a decimal number")
    return Decimal(text)


def normalized(amount: Decimal) -> Decimal:
    """The same amount without trailing zeros or an exponent; ValueError where it is too long."""
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
    """The sum, exact in every digit, and in its shortest form: the same however it was added up."""
    total = ZERO
    for amount in amounts:
        total = _EXACT.add(total, amount)
    return _shortest(total)


def _shortest(amount: Decimal) -> Decimal:
    return Decimal(f"{amount.normalize(_EXACT):f}") if amount else ZERO


def of_cents(cents: Decimal) -> Decimal:
    """The amount that so many hundredths are, exact; ValueError where it has too many digits."""
    return normalized(cents.scaleb(-2, _EXACT))


def parse_hundredths(text: str) -> Decimal:
    """The amount of which a text has hundredths, such as cents.

    Sources that compute with binary floats write their noise too. What is beyond MAX_DECIMALS
    digits after the point is rounded, half away from zero; ValueError for anything but a decimal
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
    """The amount with so many digits after the point, halves away from zero: for display alone."""
    return amount.quantize(Decimal(1).scaleb(-places), context=_ROUNDING)


def per(amount: Decimal, count: int) -> Decimal:
    """The amount divided by a count, rounded to cents: for display alone."""
    return rounded(_ROUNDING.divide(amount, Decimal(count)), CENTS)
