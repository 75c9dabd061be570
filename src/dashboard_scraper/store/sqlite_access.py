"""How to open a SQLite store for reading, also for users who may not write.

While a file in WAL mode is written, its newest changes are in a `-wal` file beside it, with an
index in a `-shm` file. Opening the store creates these, so a user without write permission can open
it only if both files exist, or, if there is no `-wal`, with `immutable=1`. With that, SQLite
assumes that the file never changes, so a check after every query finds out whether it has.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import msgspec

from dashboard_scraper.errors import StoreFailed

WRITING = "mode=rw"
_WITH_WAL = "mode=ro&readonly_shm=1"
IMMUTABLE = "mode=ro&immutable=1"

Stamp: TypeAlias = tuple[int, int, int, int]


class Access(msgspec.Struct, frozen=True):
    """The parameters of SQLite's URI, and a check to call after every query."""

    options: str
    confirm: Callable[[], None]


def stat_of(path: Path) -> os.stat_result | None:
    """Like Path.stat; None if there is no such file."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def may_write(path: Path) -> bool:
    """Whether this process may write to the file and create others beside it."""
    real = Path(os.path.realpath(path))
    return os.access(real, os.R_OK | os.W_OK) and os.access(real.parent, os.W_OK | os.X_OK)


def access_for_reading(path: Path) -> Access:
    """How this process can open the file for reading; StoreFailed if it cannot."""
    real = Path(os.path.realpath(path))
    if may_write(real):
        return Access(WRITING, lambda: None)
    log, index = stat_of(Path(f"{real}-wal")), stat_of(Path(f"{real}-shm"))
    if log is not None and index is not None:
        return Access(_WITH_WAL, lambda: None)
    if log is not None and log.st_size:
        raise StoreFailed(
            f"{path}: a run that was killed left figures in {real.name}-wal, and merging them takes"
            " permission to write here: run `status` once as a user who has it, or copy both files"
            " to a folder that you can write to"
        )
    before = stamp_of(real)

    def confirm() -> None:
        if stamp_of(real) != before:
            raise StoreFailed(f"{path} was written to while it was read; run the same again")

    return Access(IMMUTABLE, confirm)


def stamp_of(path: Path) -> Stamp | None:
    """What identifies the file, and what changes when it is written to; None without a file."""
    found = stat_of(path)
    if found is None:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def file_of(stamp: Stamp) -> tuple[int, int]:
    """The part that identifies the file."""
    return stamp[:2]
