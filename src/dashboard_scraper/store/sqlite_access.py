"""How to open a store's file for reading, also where whoever reads may not write.

A file in WAL mode has two others beside it while it is written: a log of what is new (`-wal`) and
its index (`-shm`). Who may write makes and removes them. Who may only read needs both as they are;
or, without any log, the file alone, which SQLite then takes for one that never changes: so it is
looked at after every query whether it has.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dashboard_scraper.errors import StoreFailed

WRITING = "mode=rw"
_WITH_ITS_LOG = "mode=ro&readonly_shm=1"
_ALONE = "mode=ro&immutable=1"


@dataclass(frozen=True, slots=True)
class Access:
    """The parameters of SQLite's URI, and what to call after every query."""

    options: str
    confirm: Callable[[], None]


def stat_of(path: Path) -> os.stat_result | None:
    """None where there is no such file."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def may_write(path: Path) -> bool:
    """Whether this process may write the file and make others beside it."""
    real = Path(os.path.realpath(path))
    return os.access(real, os.R_OK | os.W_OK) and os.access(real.parent, os.W_OK | os.X_OK)


def access_for_reading(path: Path) -> Access:
    """How this process may read; StoreFailed where it can not."""
    real = Path(os.path.realpath(path))
    if may_write(real):
        return Access(WRITING, lambda: None)
    log, index = stat_of(Path(f"{real}-wal")), stat_of(Path(f"{real}-shm"))
    if log is not None and index is not None:
        return Access(_WITH_ITS_LOG, lambda: None)
    if log is not None and log.st_size:
        raise StoreFailed(
            f"{path}: a run that was killed left figures in {real.name}-wal, and here nobody may"
            " write, which bringing them in takes: run `status` once as somebody who may, or copy"
            " both files to a folder where you may"
        )
    before = _stamp(real)

    def confirm() -> None:
        if _stamp(real) != before:
            raise StoreFailed(f"{path} was written to while it was read; run the same again")

    return Access(_ALONE, confirm)


def _stamp(path: Path) -> tuple[int, ...] | None:
    found = stat_of(path)
    return None if found is None else (found.st_ino, found.st_size, found.st_mtime_ns)
