"""Reads amounts and numbers of tokens from their JSON text, so that none becomes a binary float."""

from __future__ import annotations

import functools
import logging
import re
from decimal import Decimal

import msgspec

from dashboard_scraper.decoding import decoding
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.logs import Once
from dashboard_scraper.model.costs import MAX_TOKENS
from dashboard_scraper.model.money import parse_amount
from dashboard_scraper.sources.rest.pages import cleaned

logger = logging.getLogger(__name__)

_NULL = b"null"
_DIGITS = re.compile(r"[0-9]{1,19}")  # of MAX_TOKENS
_SHOWN = 60
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
        text, is_string = _text(f"{where}.{field}", raw, "a decimal number in a string")
        if text is None:
            return None
        try:
            amount = _parsed(text)
        except ValueError as error:
            # Of an amount that is too long, the error has another spelling than the source's.
            value = "" if text[:_SHOWN] in str(error) else f"{_shown(text)}: "
            raise ContractBroken(f"{where}.{field}: {value}{error}") from None
        if not is_string:
            self._once.warn(self._odd, field)
        return amount


def tokens(where: str, field: str, raw: msgspec.Raw) -> int | None:
    """A number of tokens, sent as a number or as a string of digits, or None for null."""
    due = f"a whole number from 0 to {MAX_TOKENS}"
    text, _ = _text(f"{where}.{field}", raw, due)
    if text is None:
        return None
    if not _DIGITS.fullmatch(text) or int(text) > MAX_TOKENS:
        raise ContractBroken(f"{where}.{field}: {_shown(text)} is not {due}")
    return int(text)


def _text(where: str, raw: msgspec.Raw, due: str) -> tuple[str | None, bool]:
    """The text of a number or string, and whether it was a string; None for null."""
    data = bytes(raw)
    if data.startswith(b'"'):
        with decoding(where):
            return msgspec.json.decode(data, type=str), True
    if data == _NULL:
        return None, False
    if data[:1] not in b"-0123456789":
        raise ContractBroken(f"{where}: {_shown(data.decode(errors='replace'))} is not {due}")
    return data.decode(), False


def _shown(text: str) -> str:
    return cleaned(ascii(text), _SHOWN)
