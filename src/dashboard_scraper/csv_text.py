"""CSV text, safe to open in a spreadsheet and read back unchanged.

Excel and its kin take a text cell that begins with one of `=+-@` as a formula. Such a cell gets an
apostrophe before it; reading takes it off again.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Sequence

from dashboard_scraper.flatten import Cell

# Apostrophes before it count too: a cell that already looks guarded must read back as it was.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_GUARDED = re.compile(r"'+[=+\-@\t\r\n]")
_SUSPECT = frozenset("'=+-@\t\r\n")
_BOM = "\ufeff"


def guard(text: str) -> str:
    """Keep a spreadsheet from running the text."""
    # Hardly any text begins so; the look at one character saves the search in the others.
    return f"'{text}" if text[:1] in _SUSPECT and _FORMULA.match(text) else text


def unguard(cell: str) -> str:
    """The text that `guard` was given."""
    return cell[1:] if _GUARDED.match(cell) else cell


def render(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """UTF-8, rows end in CR LF; None is an empty cell. The caller guards cells of text.

    A byte order mark comes first only where something is not ASCII: Excel garbles names without
    it, and plain readers are spared it where they can be.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([guard(title) for title in header])
    writer.writerows(rows)
    content = text.getvalue()
    return (content if content.isascii() else _BOM + content).encode()


def parse(data: bytes) -> list[list[str]]:
    """The cells of each row, unguarded; raises UnicodeDecodeError or csv.Error."""
    return parse_text(decode(data))


def parse_text(text: str, delimiter: str = ",") -> list[list[str]]:
    """The same of a text, whose cells may be delimited otherwise."""
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
    return [[unguard(cell) for cell in row] for row in reader]


def decode(data: bytes) -> str:
    """UTF-8, or UTF-16 with its mark, as Excel's "Unicode text"; raises UnicodeDecodeError."""
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if is_utf16 else "utf-8-sig")
