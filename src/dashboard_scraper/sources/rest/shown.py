"""Text from a server, as logs and messages may contain it."""

from __future__ import annotations

import re

_LONG_WORD = re.compile(r"\S{33,}")  # a token, a cursor, or a URL with one: too long for a word
_LONG_PART = re.compile(r"[^\s._]{33,}")  # the same within the path of a field
_LENGTH = 60


def cleaned(text: str, length: int) -> str:
    """One line of at most `length` visible characters."""
    return _line(_LONG_WORD.sub("…", _visible(text)), length)


def shown_name(path: str) -> str:
    """A field's name or path, for messages: Augment and GitHub have names of over 40 letters."""
    return _line(_LONG_PART.sub(_words_or_dots, _visible(path)), _LENGTH)


def _words_or_dots(part: re.Match[str]) -> str:
    """Words written without spaces consist only of letters, which a token hardly ever does."""
    return part[0] if part[0].isascii() and part[0].isalpha() else "…"


def _visible(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _line(text: str, length: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def shown_value(value: object) -> str:
    """The value of a field, for messages: a server may repeat a secret in its answer."""
    return cleaned(ascii(value), _LENGTH)
