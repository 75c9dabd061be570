"""Reads amounts and numbers of tokens from their JSON text, so that none becomes a binary float."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from decimal import Decimal

import msgspec

from dashboard_scraper.decoding import UNDECODABLE
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.costs import MAX_TOKENS
from dashboard_scraper.model.money import parse_amount, parse_hundredths
from dashboard_scraper.sources.rest.shown import cleaned, shown_value

_NULL = b"null"
_DIGITS = re.compile(r"[0-9]{1,19}")  # those of MAX_TOKENS
_SHOWN = 60
_decode_text = msgspec.json.Decoder(str).decode
# Most rows repeat amounts, above all zero.
_parsed = functools.lru_cache(maxsize=1 << 12)(parse_amount)
_parsed_hundredths = functools.lru_cache(maxsize=1 << 12)(parse_hundredths)


def amount(where: str, field: str, raw: msgspec.Raw) -> Decimal | None:
    """An exact amount, sent as a string or as a number, which is read digit by digit; None for
    null. ContractBroken, with the value, for anything else.
    """
    return _read(where, field, raw, _parsed)


def cents(where: str, field: str, raw: msgspec.Raw) -> Decimal | None:
    """The same for an amount in cents, converted to the whole unit, such as dollars, down to the
    last digit that the store holds.
    """
    return _read(where, field, raw, _parsed_hundredths)


def _read(
    where: str, field: str, raw: msgspec.Raw, parse: Callable[[str], Decimal]
) -> Decimal | None:
    text = _text(where, field, raw)
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError as error:
        # For an amount that is too long, the error spells it differently than the source.
        value = "" if text[:_SHOWN] in str(error) else f"{shown_value(text)}: "
        reason = cleaned(str(error), 2 * _SHOWN)
        raise ContractBroken(f"{where}.{field}: {value}{reason}") from None


def tokens(where: str, field: str, raw: msgspec.Raw) -> int | None:
    """A number of tokens, sent as a number or as a string of digits; None for null."""
    text = _text(where, field, raw)
    if text is None:
        return None
    if not _DIGITS.fullmatch(text) or (number := int(text)) > MAX_TOKENS:
        raise ContractBroken(
            f"{where}.{field}: {shown_value(text)} is not a whole number from 0 to {MAX_TOKENS}"
        )
    return number


def _text(where: str, field: str, raw: msgspec.Raw) -> str | None:
    """What a string contains, or the JSON text of anything else; None for null."""
    data = bytes(raw)
    if data.startswith(b'"'):
        try:
            return _decode_text(data)
        except UNDECODABLE as error:
            raise ContractBroken(f"{where}.{field}: {error}") from error
    return None if data == _NULL else data.decode(errors="replace")
