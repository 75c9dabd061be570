"""Pages that are written by hand around tables that are generated."""

from __future__ import annotations

from pathlib import Path


def with_tables(page: Path, begin: str, end: str, tables: str) -> str:
    """The page as it is now, with these tables between the two comments.

    ValueError where it lacks them.
    """
    return with_tables_in(page.read_text(encoding="utf-8"), page, begin, end, tables)


def with_tables_in(text: str, page: Path, begin: str, end: str, tables: str) -> str:
    """The same for the page's text."""
    before, found, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{page} lacks the comments around the tables: {begin}{end}")
    return f"{before}{begin}\n{tables}\n{end}{after}"
