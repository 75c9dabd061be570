"""Reading the JSON files that a runner of Singer taps passes on."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from dashboard_scraper.decoding import UNDECODABLE
from dashboard_scraper.errors import UsageError

_Content = TypeVar("_Content")


def read(option: str, path: Path, kind: type[_Content]) -> _Content:
    """The content of a file, as the type says; UsageError names the option, file and reason."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise UsageError(f"{option}: {path}: {error.strerror}") from error
    except UNDECODABLE as error:
        raise UsageError(f"{option}: {path}: {error}") from error
