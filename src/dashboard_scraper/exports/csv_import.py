"""Read a CSV with the dashboard's columns, saved by the dashboard or written by us, perhaps saved
again by a spreadsheet. Errors about ambiguous cells name the row.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from dashboard_scraper.csv_text import decode, parse_text
from dashboard_scraper.errors import ContractBroken, UsageError
from dashboard_scraper.exports.totals_row import refuse_totals
from dashboard_scraper.model.addresses import cleaned
from dashboard_scraper.model.figures import of_counts
from dashboard_scraper.model.metrics import (
    ACTIVE_DAYS,
    COUNTS,
    MAX_COUNT,
    REQUIRED,
    SERVICE_ACCOUNT_TITLE,
    USER_TITLE,
)
from dashboard_scraper.model.usage import UserUsage

# "12.00" is 12 in every locale; "12.000" is twelve thousand in some, and is refused.
_COUNT = re.compile(r"([0-9]{1,20})(?:[.,]0{1,2})?")
_SEPARATED = re.compile(r"[0-9]{1,3}(?:[.,' \u2019\u00a0\u202f][0-9]{3})+")
_ROUNDED = re.compile(r"[0-9][0-9.,]*[eE][+-]?[0-9]+")
_FLAGS = {"true": True, "false": False, "": False}
_DELIMITERS = (",", ";", "\t")
_SEP_LINE = re.compile(r"sep=([,;\t])\r?\n|sep=([,;\t])\r")
_NEEDED = [USER_TITLE, *(metric.title for metric in REQUIRED)]

Row = tuple[int, list[str]]
"""The row's number in the file, from 1, and its cells."""


def read_users(path: Path) -> list[UserUsage]:
    """The users of a CSV with their counts and active days; dates and rates are not read.

    Unknown columns and blank rows are ignored. Raises UsageError if the file cannot be read, and
    ContractBroken, with row and column, if it is not the dashboard's CSV.
    """
    try:
        header, *rows = _rows(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ContractBroken(
            f"{path.name} is not a CSV in UTF-8: {_reason(error)}; save it as CSV in UTF-8"
        ) from error
    except ValueError:
        raise ContractBroken(
            f"{path.name} is empty: it does not even have a header; save the table again"
        ) from None
    titles = _titles(header[1])
    columns = _columns(path.name, titles)
    users: dict[str, UserUsage] = {}
    places: dict[str, int] = {}
    for number, row in rows:
        cells = _fitted(path.name, number, row, titles)
        user = _user(path.name, number, cells, columns)
        if users.setdefault(user.user, user) != user:
            raise ContractBroken(
                f"{path.name}, row {number}: a second row for {user.user}; remove the wrong one"
            )
        places.setdefault(user.user, number)
    refuse_totals(path.name, list(users.values()), places)
    return list(users.values())


def _reason(error: UnicodeDecodeError | csv.Error) -> str:
    """Why the file cannot be read, with the place."""
    if isinstance(error, UnicodeDecodeError):
        line = error.object[: error.start].count(b"\n") + 1
        return f"line {line}: {error.reason}"
    return f"{error}"


def _rows(path: Path) -> Iterator[Row]:
    """The rows that are not blank."""
    text = decode(path.read_bytes())
    if "\0" in text[:2]:  # UTF-16: every second byte of an ASCII header is 0
        raise csv.Error("it has NUL characters")
    if sep := _SEP_LINE.match(text):
        text = text[sep.end() - 1 :]  # with the line break: a blank row keeps numbers right
    delimiter = (sep[1] or sep[2]) if sep else _delimiter(text)
    for number, row in enumerate(parse_text(text, delimiter), start=1):
        if any(cell.strip() for cell in row):
            yield number, row


def _delimiter(text: str) -> str:
    """The delimiter by which the header has most of the needed columns; the first of equals."""
    line = next((line for line in text.splitlines() if line.strip(" ,;\t")), "")

    def found(delimiter: str) -> int:
        return len({title.strip('"') for title in line.split(delimiter)}.intersection(_NEEDED))

    return max(_DELIMITERS, key=found)


def _titles(header: Sequence[str]) -> Sequence[str]:
    """The header without blank cells at its end: spreadsheets write these only in some rows."""
    return header[: max((i for i, title in enumerate(header, 1) if title), default=0)]


def _columns(name: str, header: Sequence[str]) -> dict[str, int]:
    columns = {title: i for i, title in enumerate(header) if title}
    if missing := [title for title in _NEEDED if title not in columns]:
        raise ContractBroken(f"{name}: the column {missing[0]!r} is missing, which the JSON needs")
    if doubled := [title for title in columns if list(header).count(title) > 1]:
        raise ContractBroken(f"{name}: the column {doubled[0]!r} appears twice; remove one")
    return columns


def _fitted(name: str, number: int, row: Sequence[str], header: Sequence[str]) -> Sequence[str]:
    """The row without the blank cells that spreadsheets add after the last column."""
    beyond = [cell for cell in row[len(header) :] if cell.strip()]
    beyond += [cell for title, cell in zip(header, row, strict=False) if not title and cell.strip()]
    if len(row) < len(header) or beyond:
        titles = sum(map(bool, header))
        raise ContractBroken(f"{name}, row {number}: {len(row)} cells under {titles} columns")
    return row[: len(header)]


def _user(name: str, number: int, row: Sequence[str], columns: dict[str, int]) -> UserUsage:
    where = f"{name}, row {number}"
    user = cleaned(row[columns[USER_TITLE]])
    if not user:
        raise ContractBroken(
            f"{where}: the column {USER_TITLE!r} is empty; if it is a row of sums, remove it"
        )
    counts: list[int | None] = []
    for title in (metric.title for metric in COUNTS):
        cell = row[columns[title]] if title in columns else ""
        counts.append(_count(f"{where}, {title!r}", cell) if cell else None)
    flag = row[columns[SERVICE_ACCOUNT_TITLE]] if SERVICE_ACCOUNT_TITLE in columns else ""
    service = _FLAGS.get(flag.strip().lower())
    if service is None:
        raise ContractBroken(f"{where}, {SERVICE_ACCOUNT_TITLE!r}: {flag!r} is not true or false")
    figures = msgspec.structs.replace(of_counts(counts), active_days=_active_days(row, columns))
    return UserUsage(user, figures, service=service)


def _active_days(row: Sequence[str], columns: dict[str, int]) -> int | None:
    """On how many days the user was active. None if the cell is not a count: that is no error, as
    this number only says whether there may have been activity if counts are unknown.
    """
    cell = row[columns[ACTIVE_DAYS.title]] if ACTIVE_DAYS.title in columns else ""
    match = _COUNT.fullmatch(cell)
    return int(match[1]) if match else None


def _count(where: str, cell: str) -> int:
    match = _COUNT.fullmatch(cell)
    if match and int(match[1]) <= MAX_COUNT:
        return int(match[1])
    if _SEPARATED.fullmatch(cell):
        reason = ": its separator may be of thousands or of decimals; write digits only"
    elif _ROUNDED.fullmatch(cell):
        reason = ": a spreadsheet has rounded the number, and its last digits are lost"
    else:
        reason = ""
    raise ContractBroken(f"{where}: {cell!r} is not a count{reason}")
