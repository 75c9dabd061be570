"""Reads amounts and numbers of tokens from their JSON text, so that none becomes a binary float."""

from __future__ import annotations

import functools
import logging
import re
from decimal import Decimal

import msgspec

from dashboard_scraper.decoding import UNDECODABLE
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.logs import Once
from dashboard_scraper.model.costs import MAX_TOKENS
from dashboard_scraper.model.money import parse_amount
from dashboard_scraper.sources.rest.pages import cleaned

logger = logging.getLogger(__name__)

_NULL = b"null"
_DIGITS = re.compile(r"[0-9]{1,19}")  # of MAX_TOKENS
_SHOWN = 60
_decode_text = msgspec.json.Decoder(str).decode
# Most rows repeat amounts, above all zero.
_parsed = functools.lru_cache(maxsize=1 << 12)(parse_amount)


class Amounts:
    """Reads the amounts of one endpoint; reports once, by field, that they come as numbers."""

    def __init__(self, endpoint: str) -> None:
        self._odd = f"{endpoint}: %s comes as a number, not as a string; it is read exactly"
        self._once = Once(logger)

    def amount(self, where: str, field: str, raw: msgspec.Raw) -> Decimal | None:
        """An exact amount, or None for null; ContractBroken, with the value, for anything else.

        Documented is a string. A number is read from its text, digit by digit.
        """
        text = _text(where, field, raw)
        if text is None:
            return None
        try:
            amount = _parsed(text)
        except ValueError as error:
            # Of an amount that is too long, the error has another spelling than the source's.
            value = "" if text[:_SHOWN] in str(error) else f"{_shown(text)}: "
            reason = cleaned(str(error), 2 * _SHOWN)
            raise ContractBroken(f"{where}.{field}: {value}{reason}") from None
        if not bytes(raw).startswith(b'"'):
            self._once.warn(self._odd, field)
        return amount


def tokens(where: str, field: str, raw: msgspec.Raw) -> int | None:
    """A number of tokens, sent as a number or as a string of digits, or None for null."""
    text = _text(where, field, raw)
    if text is None:
        return None
    if not _DIGITS.fullmatch(text) or (number := int(text)) > MAX_TOKENS:
        raise ContractBroken(
            f"{where}.{field}: {_shown(text)} is not a whole number from 0 to {MAX_TOKENS}"
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


def _shown(text: str) -> str:
    """The value as a log may hold it: a long word may be a secret that the server repeats."""
    return cleaned(ascii(text), _SHOWN)
