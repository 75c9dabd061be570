"""Text of a server as logs and messages may hold it."""

from __future__ import annotations

import re

_LONG_WORD = re.compile(r"\S{33,}")  # a token, a cursor, a URL with one: too long for a word
_LENGTH = 60


def cleaned(text: str, length: int) -> str:
    """One line of at most `length` visible characters."""
    visible = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(_LONG_WORD.sub("…", visible).split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def shown_name(path: str) -> str:
    """The name of a field, or its path."""
    return cleaned(path, _LENGTH)


def shown_value(value: object) -> str:
    """The value of a field: a server may repeat a secret in its answer."""
    return cleaned(ascii(value), _LENGTH)
