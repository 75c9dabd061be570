"""Reading a CSV of the dashboard's columns back: one that it saved itself, or one of ours."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from dashboard_scraper.csv_text import parse
from dashboard_scraper.date_utils import Window, parse_day
from dashboard_scraper.errors import ContractBroken, UsageError
from dashboard_scraper.metrics import (
    COUNT_INDEXES,
    FIGURES,
    MAX_COUNT,
    SERVICE_ACCOUNT_TITLE,
    USER_TITLE,
)
from dashboard_scraper.usage import UserUsage

_DIGITS = re.compile(r"[0-9]{1,20}")
# The days stand at the end of the name, but for the " (1)" of a browser's second download.
_ISO_DAYS = re.compile(
    r"\D*(\d{4}-\d\d-\d\d)(?:(?:-to-|_to_)(\d{4}-\d\d-\d\d))?( ?\(\d+\))?", re.ASCII
)
_COMPACT_DAYS = re.compile(r"\D*(\d{4})(\d\d)(\d\d)_to_(\d{4})(\d\d)(\d\d)( ?\(\d+\))?", re.ASCII)


def window_of_name(path: Path) -> Window:
    """The day or the window that the file's name tells; UsageError where it tells none.

    A compact date alone, `metrics_20251022.csv`, tells none: it may name the one day that was
    asked for, or the day on which the last 30 were.
    """
    if match := _ISO_DAYS.fullmatch(path.stem):
        first, last = match.group(1), match.group(2) or match.group(1)
    elif match := _COMPACT_DAYS.fullmatch(path.stem):
        first, last = "-".join(match.groups()[:3]), "-".join(match.groups()[3:6])
    else:
        raise UsageError(
            f"the name {path.name} does not tell which days it holds; give --day, or --start and"
            " --end"
        )
    return Window(parse_day(first), parse_day(last))


def read_users(path: Path) -> list[UserUsage]:
    """The users of a CSV with their counts; what is not counted (dates, rates) is not read.

    Columns that the catalogue does not know are left alone. Raises UsageError where there is no
    such file, ContractBroken (with row and column) where it is not the dashboard's CSV.
    """
    try:
        header, *rows = parse(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ContractBroken(f"{path.name} is no CSV in UTF-8: {error}") from error
    except ValueError:
        raise ContractBroken(f"{path.name} is empty: it has not even a header") from None
    columns = _columns(path.name, header)
    users: dict[str, UserUsage] = {}
    for number, row in enumerate(rows, start=2):
        if not row:
            continue
        if len(row) != len(header):
            raise ContractBroken(
                f"{path.name}, row {number}: {len(row)} cells under {len(header)} columns"
            )
        user = _user(path.name, number, row, columns)
        if users.setdefault(user.user, user) != user:
            raise ContractBroken(f"{path.name}, row {number}: {user.user} for a second time")
    return list(users.values())


def _columns(name: str, header: Sequence[str]) -> dict[str, int]:
    columns = {title: i for i, title in enumerate(header)}
    needed = [USER_TITLE, *(metric.title for metric in FIGURES if metric.required)]
    if missing := [title for title in needed if title not in columns]:
        raise ContractBroken(f"{name}: the column {missing[0]!r} is missing")
    if doubled := [title for title in columns if list(header).count(title) > 1]:
        raise ContractBroken(f"{name}: the column {doubled[0]!r} is there twice")
    return columns


def _user(name: str, number: int, row: Sequence[str], columns: dict[str, int]) -> UserUsage:
    user = row[columns[USER_TITLE]]
    if not user:
        raise ContractBroken(f"{name}, row {number}: the column {USER_TITLE!r} is empty")
    figures: list[int | None] = [None] * len(FIGURES)
    for i in COUNT_INDEXES:
        title = FIGURES[i].title
        cell = row[columns[title]] if title in columns else ""
        if cell and not (_DIGITS.fullmatch(cell) and int(cell) <= MAX_COUNT):
            raise ContractBroken(f"{name}, row {number}, {title!r}: {cell!r} is no count")
        figures[i] = int(cell) if cell else None
    service = SERVICE_ACCOUNT_TITLE in columns and row[columns[SERVICE_ACCOUNT_TITLE]] == "true"
    return UserUsage(user, tuple(figures), service=service)


def window_of_options(day: date | None, start: date | None, end: date | None) -> Window | None:
    """What --day, --start and --end say; None where none of them is given."""
    if day is not None and (start or end):
        raise UsageError("give --day, or --start and --end, not both")
    if day is not None:
        return Window(day, day)
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise UsageError("--start and --end go together")
    return Window(start, end)
