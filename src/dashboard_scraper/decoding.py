"""Decoding JSON from outside: every way in which it can fail is a broken contract."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec

from dashboard_scraper.errors import ContractBroken

# Not only msgspec's own: text that is no UTF-8 and nesting without an end have Python's errors.
UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@contextlib.contextmanager
def decoding(what: str) -> Iterator[None]:
    """Turn what a decoder raises to ContractBroken; `what` names endpoint and field."""
    try:
        yield
    except UNDECODABLE as error:
        raise ContractBroken(f"{what}: {error}") from error
