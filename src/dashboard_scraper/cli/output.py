"""Printing a command's results to stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec


def print_lines(results: Iterable[Path | str]) -> None:
    """Write paths or addresses to stdout, one per line, and flush."""
    for each in results:
        sys.stdout.write(f"{each}\n")
    sys.stdout.flush()


def print_json(value: msgspec.Struct) -> None:
    """Write one indented JSON document to stdout."""
    sys.stdout.write(f"{msgspec.json.format(msgspec.json.encode(value)).decode()}\n")
    sys.stdout.flush()
