"""Reads the files in which a company lists its people: IDENTITY_FILE and ROSTER_FILE."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from dashboard_scraper.csv_text import parse
from dashboard_scraper.errors import UsageError


def read_rows(setting: str, path: Path, header: Sequence[str]) -> list[list[str]]:
    """The rows of a CSV, the first of which is its header; UsageError if it cannot be read."""
    try:
        data = path.read_bytes()
        rows = parse(data)
    except OSError as error:
        raise UsageError(f"{setting}: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise UsageError(f"{setting}: {path}, row {row}: not valid UTF-8") from error
    except csv.Error as error:
        raise UsageError(f"{setting}: {path} is not a valid CSV: {error}") from error
    if not rows:
        raise UsageError(f"{setting}: {path} is empty; write {','.join(header)} and people")
    return rows


def numbered_rows(
    setting: str, path: Path, rows: Sequence[Sequence[str]], columns: int
) -> Iterator[tuple[int, str, list[str]]]:
    """Each row below the header that is not blank: its number, its place as errors name it, and its
    cells without spaces around them. UsageError if a row has more or fewer cells than columns.
    """
    for number, row in enumerate(rows, start=2):
        cells = [cell.strip() for cell in row]
        if any(cells):
            where = f"{setting}: {path}, row {number}"
            if len(cells) != columns:
                raise UsageError(f"{where}: {len(cells)} cells under {columns} columns")
            yield number, where, cells
