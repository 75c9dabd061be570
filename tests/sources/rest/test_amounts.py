"""Amounts and numbers of tokens, read exactly from their JSON text."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.money import of_cents
from dashboard_scraper.sources.rest.amounts import amount, tokens


@pytest.mark.parametrize("text", [b"12.30", b'"12.3"', b"1.23e1", b"123E-1"])
def test_number_and_string_are_the_same_amount(text: bytes) -> None:
    assert amount("usage", "cents", msgspec.Raw(text)) == Decimal("12.3")


@pytest.mark.parametrize("text", [b"true", b"[]", b'"1,5"', b'""', b"1e400", b"NaN"])
def test_anything_else_is_refused_with_its_field(text: bytes) -> None:
    with pytest.raises(ContractBroken, match=r"^usage\.cents: "):
        amount("usage", "cents", msgspec.Raw(text))
    with pytest.raises(ContractBroken, match=r"^usage\.input: "):
        tokens("usage", "input", msgspec.Raw(text))


@pytest.mark.parametrize("text", [b"-1", b"1.5", b"9223372036854775808"])
def test_tokens_are_whole_and_not_negative(text: bytes) -> None:
    with pytest.raises(ContractBroken, match=r"is not a whole number from 0 to"):
        tokens("usage", "input", msgspec.Raw(text))


@pytest.mark.parametrize(
    ("cents", "money"),
    [("37", "0.37"), ("0", "0"), ("-250", "-2.5"), ("0.0001", "0.000001"), ("1E3", "10")],
)
def test_cents_become_money_exactly(cents: str, money: str) -> None:
    assert f"{of_cents(Decimal(cents)):f}" == money
