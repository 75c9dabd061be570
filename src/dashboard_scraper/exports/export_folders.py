"""The daily exports below EXPORT_DIR: `latest`, retention, and removing what killed runs left."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from dashboard_scraper.clock import Clock
from dashboard_scraper.errors import LockHeld, OutputFailed
from dashboard_scraper.exports.daily_export import DailyExport, Outputs
from dashboard_scraper.exports.daily_folders import (
    EXPORT_NAME,
    GITHUB_FOLDER,
    ExportFolder,
    export_folders,
    folders_in,
    window_of,
)
from dashboard_scraper.exports.notes import NOTES, is_foreign
from dashboard_scraper.files import STALE_SUFFIX, explained, flush_folder, turn_in
from dashboard_scraper.leftovers import remove_leftovers
from dashboard_scraper.model.dates import Window, end_of_day
from dashboard_scraper.model.listing import listed
from dashboard_scraper.publication import write_whole

logger = logging.getLogger(__name__)

LATEST = "latest"
"""The symbolic link to the newest complete export."""
LATEST_FILE = "latest.txt"
"""Has the newest export's name instead, where the system does not allow symbolic links."""
PARQUET = "parquet"
"""The default folder of Parquet files."""
LAKE = "iceberg"
"""The default folder of a lake."""
FOCUS = "focus"
"""The default folder of costs in FOCUS."""

_AS_OF = re.compile(r".+_as_of_(\d{8}T\d{6}\d*Z)", re.ASCII)
_AS_OF_FORMAT = "%Y%m%dT%H%M%S%fZ"
_REMOVED_SUFFIX = ".removed"
_NAMED_AT_MOST = 5


def folder_as_of(folder: Path, moment: datetime) -> Path:
    """The folder for an export as of a moment, apart from that of the current figures."""
    return folder.with_name(f"{folder.name}_as_of_{moment.astimezone(UTC):{_AS_OF_FORMAT}}")


def moment_of(folder: Path) -> datetime | None:
    """The inverse of `folder_as_of`; None for a folder of current figures."""
    match = _AS_OF.fullmatch(folder.name)
    return datetime.strptime(match[1], _AS_OF_FORMAT).replace(tzinfo=UTC) if match else None


def warn_of_lost_store(outputs: Path, store: str) -> None:
    """Warn of a new store beside earlier exports: all else looks right where a volume is not
    mounted.
    """
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
        yield from folders_in(path)  # those of days with costs


@contextlib.contextmanager
def latest_follows(export: DailyExport, clock: Clock) -> Iterator[None]:
    """Around a run that writes an export: updates `latest` to the newest complete export.

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
            newest = _newest_complete(export_folders(outputs.folder), now)
            linked = _link(link, newest.path.name if newest else None)
        _write_name(outputs, newest.path.name if newest and not linked else None)


def _newest_complete(folders: Iterable[ExportFolder], now: datetime) -> ExportFolder | None:
    """Of these, newest first. One whose last day is not over comes of a clock that was ahead: its
    newest days have what they had until then.
    """
    over = (each for each in folders if end_of_day(each.window.end) <= now)
    return next((each for each in over if each.is_complete()), None)


def _is_ours(link: Path) -> bool:
    return link.is_symlink() and bool(EXPORT_NAME.fullmatch(str(link.readlink())))


def _link(link: Path, name: str | None) -> bool:
    """Replace the link atomically; False where the system does not allow symbolic links."""
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
    """Write the newest export's name to a file, or remove it; another's file is left alone."""
    path = outputs.folder / LATEST_FILE
    text = path.read_text(errors="replace") if path.is_file() else ""
    if os.path.lexists(path) and not EXPORT_NAME.fullmatch(text.strip()):
        if name:
            logger.warning("%s was not written by this program, and is left alone", path)
    elif name is None:
        path.unlink(missing_ok=True)
    elif text.strip() != name:
        write_whole(path, f"{name}\n".encode(), outputs.mode)


def prune(export: DailyExport, now: datetime) -> None:
    """Remove the oldest daily exports beyond RETENTION_EXPORTS, after a run that was complete.

    The run's own folder and the newest complete one are never removed, nor is any folder with a
    file in it that no export writes.
    """
    outputs = export.outputs
    if outputs.retention is None:
        return
    with explained(outputs.folder), turn_in(outputs.folder):
        _finish_removals(export)
        left = [each.path for each in _too_many(export, now) if not _remove(export, each)]
    if left:
        named = listed(left, _NAMED_AT_MOST)
        logger.warning("not removed, since they contain other files: %s", named)


def _finish_removals(export: DailyExport) -> None:
    """Finish the removals of a run that was killed in the middle."""
    for path in folders_in(export.outputs.folder):
        name = path.name.removeprefix(".").removesuffix(_REMOVED_SUFFIX)
        if (window := window_of(name)) and path == _hidden(path.with_name(name)):
            _empty(export, path, window)


def _too_many(export: DailyExport, now: datetime) -> Iterable[ExportFolder]:
    folders = [each for each in export_folders(export.outputs.folder) if each.manifest()]
    newest = _newest_complete(folders, now)
    spared = (export.folder, newest and newest.path)
    return [each for each in folders[export.outputs.retention :] if each.path not in spared]


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}{_REMOVED_SUFFIX}")


def _remove(export: DailyExport, folder: ExportFolder) -> bool:
    """Rename the folder, then empty it: readers see all of it or nothing. False if it stays."""
    with turn_in(folder.path):
        # Temporary files count as foreign: another run may be writing there at this moment.
        if not _has_only_own_files(export, folder.path, folder.window):
            return False
        hidden = _hidden(folder.path)
        if os.path.lexists(hidden):  # an earlier removal stopped at a foreign file in it
            return False
        folder.path.replace(hidden)
        # Without this, a power cut could undo the rename but not the deletions that follow.
        flush_folder(hidden.parent)
    _empty(export, hidden, folder.window)
    logger.info("removed %s: RETENTION_EXPORTS=%s", folder.path, export.outputs.retention)
    return True


def _own_names(export: DailyExport, window: Window) -> set[str]:
    """Every relative path that an export of the window may use, also of files set aside.

    Includes the reports of an organization and of teams, whatever the settings are now.
    """
    # Imported here: all formats take long to import, and the start of a run need not wait for them.
    from dashboard_scraper.exports.formats import all_paths  # noqa: PLC0415

    paths = all_paths(msgspec.structs.replace(export, window=window))
    names = {str(path.relative_to(export.folder)) for path in paths}
    return names | {f"{name}{STALE_SUFFIX}" for name in names}


def _has_only_own_files(export: DailyExport, folder: Path, window: Window) -> bool:
    own = _own_names(export, window)
    entries = [*os.scandir(folder)]
    below = [entry for entry in entries if entry.name == GITHUB_FOLDER]
    if any(not entry.is_dir(follow_symlinks=False) for entry in below):
        return False
    files = [entry for entry in entries if entry.name != GITHUB_FOLDER]
    files += [entry for each in below for entry in os.scandir(each)]
    return all(
        entry.is_file(follow_symlinks=False)
        and os.path.relpath(entry.path, folder) in own
        and not _is_foreign_notes(Path(entry.path))
        for entry in files
    )


def _is_foreign_notes(path: Path) -> bool:
    """Whether it has the name of the notes and is not ours: people use that name as well."""
    return path.name.removesuffix(STALE_SUFFIX) == NOTES and is_foreign(path)


def _empty(export: DailyExport, folder: Path, window: Window) -> None:
    """Remove an export's files and the folder; other files that appeared meanwhile stay with it."""
    for name in _own_names(export, window):
        path = folder / name
        if not path.parent.is_symlink() and not _is_foreign_notes(path):
            with contextlib.suppress(OSError):
                path.unlink()
    for each in (folder / GITHUB_FOLDER, folder):
        with contextlib.suppress(OSError):  # not empty, or a symbolic link
            each.rmdir()
