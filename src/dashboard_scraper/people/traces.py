"""Where files still show a person who was removed from the store."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec

from dashboard_scraper.csv_text import guard
from dashboard_scraper.model.addresses import is_address
from dashboard_scraper.people.people import folded
from dashboard_scraper.sources.registry import SOURCES

_CHUNK = 1 << 22
_OVERLAP = 1 << 10  # longer than any name, which may span two chunks
_PARQUET = b"PAR1"
# Databases and compressed files: a text search does not find names in them.
_UNSEARCHABLE = (
    b"SQLite format 3\0",
    b"\x1f\x8b",
    b"PK\x03\x04",
    b"\xfd7zXZ",
    b"BZh",
    b"\x28\xb5\x2f\xfd",
)
_NOTHING = "(?!)"
"""Matches no text; an empty pattern would match every text."""
_IN_HTML = str.maketrans({"&": "&amp;", "'": "&#39;", '"': "&#34;", "<": "&lt;", ">": "&gt;"})
_IN_JSON = re.compile(r"\\u([0-9a-fA-F]{4})")


class Traces(msgspec.Struct, frozen=True):
    """What identifies one person in a file: keys of addresses, pseudonyms, a login at GitHub.

    Keys are compared with the case-folded text, so that they match every spelling. The name of a
    service account matches only as a whole cell or string, since it may be an ordinary word.
    """

    keys: frozenset[str]
    pseudonyms: frozenset[str] = frozenset()
    login: str | None = None

    def pattern(self) -> re.Pattern[str]:
        """Matches any of them in folded text."""
        addresses = {form for key in self.keys if is_address(key) for form in _written(key)}
        addresses |= {folded(pseudonym) for pseudonym in self.pseudonyms}
        found = [rf"(?<![\w.+%-])(?:{_any_of(addresses)})(?![\w-]|\.\w)"] if addresses else []
        if names := {
            form for key in self.keys if not is_address(key) for form in _written(folded(key))
        }:
            # In the CSV of FOCUS, the column before it is the source; in other files it is the
            # first column.
            before = rf'(?:^|[">]|,(?:{_any_of(SOURCES)}),)'
            found.append(rf'{before}(?:{_any_of(names)})(?:#\d+)?[",<]')
        if self.login:
            found.append(rf'"user_login": ?"{re.escape(folded(self.login))}"')
        return re.compile("|".join(found) or _NOTHING, re.MULTILINE)


def _written(name: str) -> set[str]:
    """The name as it is written in CSV, HTML, JSON and URLs, folded."""
    return {
        name,
        guard(name).replace('"', '""'),
        name.translate(_IN_HTML),
        msgspec.json.encode(name).decode()[1:-1],
        folded(quote(name)),
    }


def _unescaped(text: str) -> str:
    """The text without JSON's `\\\\u` escapes, which may stand for any character."""
    if "\\u" not in text:
        return text
    return _IN_JSON.sub(lambda match: chr(int(match[1], 16)), text)


def _any_of(words: Iterable[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words))


class Found(msgspec.Struct):
    """Files that show the person, and files that could not be checked. In the `ambiguous` sources,
    somebody else has one of the person's names.
    """

    showing: list[Path] = []
    unchecked: list[Path] = []
    ambiguous: tuple[str, ...] = ()


def find(
    folder: Path,
    pattern_of: Callable[[Path], re.Pattern[str]],
    but: Collection[Path],
    columns: Collection[str],
) -> Found:
    """Search every file below the folder, each for its pattern of `Traces`, except those in `but`,
    given as real paths.

    `columns` are the columns of this program's Parquet files that name people. Words in its other
    columns may equal a person's name, such as the name of a source.
    """
    found = Found()
    for path in files_below(folder):
        if Path(os.path.realpath(path)) not in but:
            try:
                shows = _shows(path, pattern_of(path), columns)
            except OSError:
                shows = None
            if shows is not False:
                (found.unchecked if shows is None else found.showing).append(path)
    return found


def files_below(folder: Path) -> Iterator[Path]:
    """All files, sorted by path; links to folders are not followed."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(parent, name) for name in sorted(names))


def _shows(path: Path, pattern: re.Pattern[str], columns: Collection[str]) -> bool | None:
    """Whether the file shows the person; None if it cannot be searched."""
    if not path.is_file():  # opening a pipe would block for ever
        return None
    with path.open("rb") as file:
        head = file.read(max(map(len, _UNSEARCHABLE)))
    if head.startswith(_PARQUET):
        return _parquet_shows(path, pattern, columns)
    if head.startswith(_UNSEARCHABLE):
        return None
    with path.open(encoding="utf-8", errors="replace", newline="") as text:
        before = ""
        while chunk := text.read(_CHUNK):
            if pattern.search(folded(_unescaped(before + chunk))):
                return True
            before = chunk[-_OVERLAP:]
    return False


def _parquet_shows(path: Path, pattern: re.Pattern[str], columns: Collection[str]) -> bool | None:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError:
        return None
    try:
        with path.open("rb") as file:  # its library takes no path that is not UTF-8
            table = pyarrow.parquet.read_table(file)
    except pa.ArrowException:
        return None
    # In a file from another program, any column may name people.
    names = {*columns}.intersection(table.column_names) or {*table.column_names}
    values: set[str] = set()
    for field, column in zip(table.schema, table.columns, strict=True):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            # In quotes, as in JSON: `pattern` needs to see where a name begins and ends.
            mark = '"' if field.name in names else ""
            values |= {
                f"{mark}{folded(value)}{mark}" for value in column.unique().to_pylist() if value
            }
    return any(map(pattern.search, values))
