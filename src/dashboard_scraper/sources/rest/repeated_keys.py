"""Repeated keys in an object of an answer: nobody knows which of the two values is right.

A decoder silently takes the last one. Checking every key takes longer than decoding, so callers
count commas first. An object or list has one comma fewer than entries, and a repeated key adds one:
if the text has as many commas as the decoded records explain, no key is repeated. Commas within
strings only make the number larger; then every key is checked.
"""

from __future__ import annotations

import json
from collections import Counter

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.sources.rest.shown import shown_name


class _RepeatedKey(Exception):
    """Its argument is the key."""


def _check_keys(pairs: list[tuple[str, None]]) -> None:
    """Returns None, so that no decoded object stays in memory."""
    if len(dict(pairs)) < len(pairs):
        raise _RepeatedKey(Counter(name for name, _ in pairs).most_common(1)[0][0])


# The values do not matter here. `len` instead of `int` and `float` accepts numbers out of range.
_KEYS_ALONE = json.JSONDecoder(
    object_pairs_hook=_check_keys, parse_int=len, parse_float=len, parse_constant=len, strict=False
)


def refuse_repeated_keys(where: str, text: bytes | bytearray) -> None:
    """Raise ContractBroken, naming the key, if one is repeated in any object of the JSON text."""
    try:
        _KEYS_ALONE.decode(text.decode(errors="replace"))
    except _RepeatedKey as error:
        raise ContractBroken(
            f"{where}: the key '{shown_name(error.args[0])}' is repeated in an object"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ContractBroken(f"{where}: {error}") from error
