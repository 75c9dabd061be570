"""Keys that stand twice in an object of an answer: which of the two is right, nobody knows.

A decoder takes the last one and says nothing. To look at every key takes longer than to decode, so
commas are counted first: an object or list has one less than entries, and each key that stands
twice adds one. Where there are as many as what was decoded accounts for, no key does. Commas within
texts make more, never less; then every key is looked at.
"""

from __future__ import annotations

import json
from collections import Counter

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.sources.rest.pages import cleaned

_SHOWN = 60


class _Twice(Exception):
    """A key does; it is the argument."""


def _looked_at(pairs: list[tuple[str, None]]) -> None:
    """Nothing stays of an object but that its keys differ."""
    if len(dict(pairs)) < len(pairs):
        raise _Twice(Counter(name for name, _ in pairs).most_common(1)[0][0])


# Numbers are as good as none here; that of their digits is never out of range.
_LOOK = json.JSONDecoder(
    object_pairs_hook=_looked_at, parse_int=len, parse_float=len, parse_constant=len, strict=False
)


def refuse_repeated_keys(where: str, text: bytes | bytearray) -> None:
    """ContractBroken that names the key, where one stands twice in any object of the JSON text."""
    try:
        _LOOK.decode(text.decode(errors="replace"))
    except _Twice as error:
        raise ContractBroken(
            f"{where}: the key {cleaned(ascii(error.args[0]), _SHOWN)} stands twice in an object"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ContractBroken(f"{where}: {error}") from error
