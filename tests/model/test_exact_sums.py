"""Amounts are added up exactly, in digits that Python's own arithmetic would round."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from dashboard_scraper.model.money import (
    MAX_DECIMALS,
    MAX_DIGITS,
    difference,
    exact_sum,
    normalized,
    parse_amount,
    shown,
)

SMALLEST = 10**MAX_DECIMALS
"""So many of the smallest unit are 1."""
UNITS = st.integers(1 - 10**MAX_DIGITS, 10**MAX_DIGITS - 1)
LARGE, SMALL = "9" * (MAX_DIGITS - MAX_DECIMALS), "0." + "0" * (MAX_DECIMALS - 1) + "1"


def amount(units: int) -> Decimal:
    return Decimal(f"{units}E-{MAX_DECIMALS}")


def units(amount: Decimal) -> int:
    """The inverse, in integers alone."""
    whole, _, fraction = shown(amount).partition(".")
    return int(f"{whole}{fraction:0<{MAX_DECIMALS}}")


def test_no_digit_of_a_sum_is_lost() -> None:
    large, small = parse_amount(LARGE), parse_amount(SMALL)
    assert shown(exact_sum([large, small])) == f"{LARGE}{SMALL[1:]}"
    assert exact_sum([large, small, -large]) == small
    assert difference(exact_sum([large, small]), large) == small


@given(st.lists(UNITS, max_size=9))
def test_sums_are_those_of_integers(many: list[int]) -> None:
    assert units(exact_sum(map(amount, many))) == sum(many)
    assert exact_sum(map(amount, many)) == exact_sum(map(amount, reversed(many)))


@given(UNITS, UNITS)
def test_differences_are_those_of_integers(first: int, second: int) -> None:
    assert units(difference(amount(first), amount(second))) == first - second


@given(UNITS)
def test_amount_as_text_is_read_back(number: int) -> None:
    assert units(parse_amount(shown(normalized(amount(number))))) == number
