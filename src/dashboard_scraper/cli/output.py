"""What a command prints of what it made."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec


def print_lines(made: Iterable[Path | str]) -> None:
    """Write paths, addresses or whatever was made to stdout, one a line, at once."""
    for each in made:
        sys.stdout.write(f"{each}\n")
    sys.stdout.flush()


def print_json(value: msgspec.Struct) -> None:
    """Write one JSON document to stdout, in lines that people can read too."""
    sys.stdout.write(f"{msgspec.json.format(msgspec.json.encode(value)).decode()}\n")
    sys.stdout.flush()
