"""Printing a command's results to stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import msgspec

from dashboard_scraper.files import explained


def print_lines(results: Iterable[Path | str]) -> None:
    """Write paths or addresses to stdout, one per line, and flush. OutputFailed if stdout is full
    or closed: that fails one source of a run, like any other file would, and not those after it.
    """
    print_text("".join(f"{each}\n" for each in results))


def print_text(text: str, *, flush: bool = True) -> None:
    """Write a text, and everything written before, to stdout; OutputFailed as above.

    Without flushing, a failure does not stop the work that the text reports: only the last text
    fails.
    """
    stdout: TextIO | None = sys.stdout  # None in a process that was started without stdout
    if stdout is None:
        return
    with explained("standard output"):
        stdout.write(text)
        if flush:
            stdout.flush()


def print_json(value: msgspec.Struct) -> None:
    """Write one indented JSON document to stdout, in UTF-8, whatever encoding texts have."""
    stdout: TextIO | None = sys.stdout
    if stdout is None:
        return
    with explained("standard output"):
        stdout.flush()
        stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value)) + b"\n")
        stdout.flush()
