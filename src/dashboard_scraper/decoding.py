"""Decoding JSON from outside: every possible failure becomes ContractBroken."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from dashboard_scraper.errors import ContractBroken

T = TypeVar("T")

# Not only msgspec's errors: for text that isn't UTF-8 and endless nesting, it raises Python's.
UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

# JSON has neither NaN nor Infinity, but Python's and JavaScript's encoders write them. Strings are
# matched whole, so that a NaN inside one is left alone.
_NO_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*"|(-?Infinity|NaN)', re.DOTALL)


def decodable(kind: type[T]) -> type[T]:
    """Have msgspec learn the fields of a struct now: a decorator for each struct that is decoded by
    its name.

    Otherwise msgspec does so when it first decodes the struct, and ends the process with a
    segmentation fault if another thread decodes it at that moment (seen in 0.22).
    """
    msgspec.json.Decoder(kind)
    return kind


def with_spelled_numbers(text: bytes) -> bytes:
    """The JSON text with each bare NaN or Infinity as a string, so that the field can be judged."""
    return _NO_NUMBER.sub(lambda match: b'"%b"' % match[1] if match[1] else match[0], text)


@contextlib.contextmanager
def decoding(what: str) -> Iterator[None]:
    """Turn what a decoder raises into ContractBroken; `what` names endpoint and field."""
    try:
        yield
    except UNDECODABLE as error:
        raise ContractBroken(f"{what}: {error}") from error
