"""CSV text that is safe to open in a spreadsheet, and reads back unchanged.

Spreadsheets run a text cell that begins with one of `=+-@` as a formula (CSV injection); some also
run one that begins with the full-width form of such a sign, or with blanks before it. Such a cell
is written with an apostrophe before it, which reading removes.

A spreadsheet whose list separator is a semicolon, as in many languages, splits rows there and at
line breaks, although the text is quoted: quotes count only where a cell begins, and to it, none
does after a comma. So what follows these characters within a text is guarded in the same way.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
import string
from collections.abc import Iterable, Sequence

from dashboard_scraper.model.flatten import Cell

# The signs in ASCII, full-width, small, superscript and subscript; and the mathematical minus.
_SIGNS = (
    r"=+\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u207a-\u207c\u208a-\u208c\u2212\ufb29"
)
# Every character that is displayed as a blank or not at all: spaces, control characters, and those
# that Unicode calls default-ignorable, such as a zero-width space or a direction mark.
_BLANKS = (
    r"\s\x00-\x20\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f"
    r"\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Apostrophes too: text that already looks guarded must get another one, to read back as it was.
_FORMULA = re.compile(rf"['{_BLANKS}]*[{_SIGNS}\t\r\n]")
_SEPARATOR = re.compile(r"[;\r\n]")
_WITHIN = re.compile(rf"(?<={_SEPARATOR.pattern})(?=['{_BLANKS}]*[{_SIGNS}])")
_GUARD_WITHIN = re.compile(rf"(?<={_SEPARATOR.pattern})'(?=['{_BLANKS}]*[{_SIGNS}])")
_HARMLESS = frozenset(string.ascii_letters + string.digits)
# Nearly every name matches, and is written unchanged.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._+-]*")


def guard(text: str) -> str:
    """The text as a cell that no spreadsheet runs as a formula."""
    # Nearly every text begins with a letter or digit; this test saves the regular expression.
    if text[:1] not in _HARMLESS and _FORMULA.match(text):
        text = f"'{text}"
    return _WITHIN.sub("'", text) if _SEPARATOR.search(text) else text


def unguard(cell: str) -> str:
    """The inverse of `guard`."""
    if _SEPARATOR.search(cell):
        cell = _GUARD_WITHIN.sub("", cell)
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell, 1) else cell


def render(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """CSV as UTF-8, with CR LF after each row; None is an empty cell. The caller guards text cells.

    There is a byte order mark only if some text is not ASCII: without the mark Excel garbles such
    names, with it simple readers misread the first title.
    """
    whole = render_rows(itertools.chain([[guard(title) for title in header]], rows))
    return b"".join(marked([whole]))


def render_rows(rows: Iterable[Sequence[Cell]]) -> bytes:
    """Rows as a part of what `render` returns."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def marked(pieces: list[bytes]) -> list[bytes]:
    """All pieces of a CSV, with a byte order mark before them if they need one."""
    return pieces if all(map(bytes.isascii, pieces)) else [codecs.BOM_UTF8, *pieces]


def quoted(text: str) -> bytes:
    """A text as a cell of a row with several cells: guarded, and quoted if necessary."""
    if _PLAIN.fullmatch(text):
        return text.encode()
    return render_rows([[guard(text), None]]).removesuffix(b",\r\n")


def quoted_texts(texts: Iterable[str]) -> list[str]:
    """The same for many texts, not yet encoded."""
    is_plain = _PLAIN.fullmatch
    return [text if is_plain(text) else quoted(text).decode() for text in texts]


def parse(data: bytes) -> list[list[str]]:
    """The cells of each row, unguarded; raises UnicodeDecodeError or csv.Error."""
    return parse_text(decode(data))


def parse_text(text: str, delimiter: str = ",") -> list[list[str]]:
    """The same for a decoded text, with any delimiter; a csv.Error names the row."""
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
    rows: list[list[str]] = []
    try:
        rows.extend([unguard(cell) for cell in row] for row in reader)
    except csv.Error as error:
        raise csv.Error(f"row {len(rows) + 1}: {error}") from error
    return rows


def decode(data: bytes) -> str:
    """Decode UTF-8, or UTF-16 with a byte order mark, which is what Excel saves as "Unicode text";
    raises UnicodeDecodeError.
    """
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if is_utf16 else "utf-8-sig")
