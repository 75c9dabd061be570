"""What is below EXPORT_DIR: names of folders, `latest`, and files that killed runs left."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from dashboard_scraper.clock import Clock
from dashboard_scraper.errors import LockHeld, OutputFailed
from dashboard_scraper.exports.daily_export import DailyExport, Outputs
from dashboard_scraper.exports.daily_folders import (
    EXPORT_NAME,
    GITHUB_FOLDER,
    export_folders,
    folders_in,
    newest_complete,
)
from dashboard_scraper.files import explained, flush_folder, turn_in
from dashboard_scraper.leftovers import remove_leftovers
from dashboard_scraper.publication import write_whole

logger = logging.getLogger(__name__)

LATEST = "latest"
"""The symbolic link to the newest complete export."""
LATEST_FILE = "latest.txt"
"""Has the newest export's name instead, if the system does not allow symbolic links."""
PARQUET = "parquet"
"""The default folder of Parquet files."""
LAKE = "iceberg"
"""The default folder of a lake."""
FOCUS = "focus"
"""The default folder of costs in FOCUS."""

_AS_OF = re.compile(r".+_as_of_(\d{8}T\d{6}\d*Z)", re.ASCII)
_AS_OF_FORMAT = "%Y%m%dT%H%M%S%fZ"


def folder_as_of(folder: Path, moment: datetime) -> Path:
    """The folder for an export as of a moment, which differs from that of the current figures."""
    return folder.with_name(f"{folder.name}_as_of_{moment.astimezone(UTC):{_AS_OF_FORMAT}}")


def moment_of(folder: Path) -> datetime | None:
    """The inverse of `folder_as_of`; None for a folder of current figures."""
    match = _AS_OF.fullmatch(folder.name)
    return datetime.strptime(match[1], _AS_OF_FORMAT).replace(tzinfo=UTC) if match else None


def warn_of_lost_store(outputs: Path, store: str) -> None:
    """Warn of a new store beside earlier exports: a volume may not be mounted."""
    if earlier := export_folders(outputs):
        logger.warning(
            "%s is new, although there are exports of earlier runs, such as %s: if the store was"
            " lost, or its disk is not mounted, restore it, since older days are nowhere else",
            store,
            earlier[0].path,
        )


def remove_leftovers_of_runs(outputs: Path) -> None:
    """Remove temporary files of killed runs from the folders below EXPORT_DIR that runs use."""
    remove_leftovers(_folders_of_runs(outputs))


def _folders_of_runs(outputs: Path) -> Iterator[Path]:
    yield outputs
    for path in folders_in(outputs):
        if EXPORT_NAME.fullmatch(path.name):
            yield path
            yield path / GITHUB_FOLDER
    yield outputs / FOCUS
    for path in folders_in(outputs / PARQUET):
        yield path
        yield from folders_in(path)  # the folders of days with costs


@contextlib.contextmanager
def latest_follows(export: DailyExport, clock: Clock) -> Iterator[None]:
    """Context for a run that writes an export: updates `latest` to the newest complete export.

    Also after a failed run, which may have withdrawn the export that `latest` names.
    """
    if not export.is_named_by_window:
        yield
        return
    try:
        yield
    except LockHeld:  # the run that holds the lock will update it
        raise
    except BaseException:
        try:
            _point_to_latest(export.outputs, clock())
        except OutputFailed as second:
            logger.error("%s", second)  # noqa: TRY400 - the run ends with the first error
        raise
    _point_to_latest(export.outputs, clock())


def _point_to_latest(outputs: Outputs, now: datetime) -> None:
    """Point `latest` to the newest complete export, or remove it if there is none.

    Anything of that name that the program did not create is left alone.
    """
    link = outputs.folder / LATEST
    if not outputs.folder.is_dir():
        return
    with explained(link):
        with turn_in(outputs.folder):
            if os.path.lexists(link) and not _is_ours(link):
                logger.warning(
                    "%s was not created by this program, and is left alone: it is not a link to an"
                    " export",
                    link,
                )
                return
            newest = newest_complete(export_folders(outputs.folder), now)
            linked = _link(link, newest.path.name if newest else None)
        _write_name(outputs, newest.path.name if newest and not linked else None)


def _is_ours(link: Path) -> bool:
    return link.is_symlink() and bool(EXPORT_NAME.fullmatch(str(link.readlink())))


def _link(link: Path, name: str | None) -> bool:
    """Replace the link atomically; False if the system does not allow symbolic links."""
    if name is None:
        link.unlink(missing_ok=True)
        return True
    if link.is_symlink() and str(link.readlink()) == name:
        return True
    new = link.with_name(f".{link.name}.new")
    new.unlink(missing_ok=True)
    try:
        new.symlink_to(name, target_is_directory=True)
    except (OSError, NotImplementedError):  # the file system has no links, or Windows' policy
        link.unlink(missing_ok=True)
        return False
    new.replace(link)
    flush_folder(link.parent)
    return True


def _write_name(outputs: Outputs, name: str | None) -> None:
    """Write the newest export's name to a file, or remove the file; anybody else's file is left
    alone.
    """
    path = outputs.folder / LATEST_FILE
    text = path.read_text(errors="replace") if path.is_file() else ""
    if os.path.lexists(path) and not EXPORT_NAME.fullmatch(text.strip()):
        if name:
            logger.warning("%s was not written by this program, and is left alone", path)
    elif name is None:
        path.unlink(missing_ok=True)
    elif text.strip() != name:
        write_whole(path, f"{name}\n".encode(), outputs.mode)
