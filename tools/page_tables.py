"""Pages that are written by hand around generated tables."""

from __future__ import annotations

from pathlib import Path


def with_tables(page: Path, begin: str, end: str, tables: str) -> str:
    """The page's current text, with these tables between the two comments.

    Raises ValueError if the page lacks a comment.
    """
    return with_tables_in(page.read_text(encoding="utf-8"), page, begin, end, tables)


def with_tables_in(text: str, page: Path, begin: str, end: str, tables: str) -> str:
    """The page's text, given by the caller, with these tables between the two comments."""
    before, found, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{page} lacks the comments around the tables: {begin}{end}")
    return f"{before}{begin}\n{tables}\n{end}{after}"
