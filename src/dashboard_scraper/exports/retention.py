"""RETENTION_EXPORTS: the oldest daily exports are removed, but no other files in their folders."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import msgspec

from dashboard_scraper.exports.daily_export import DailyExport
from dashboard_scraper.exports.daily_folders import (
    GITHUB_FOLDER,
    ExportFolder,
    export_folders,
    folders_in,
    newest_complete,
    window_of,
)
from dashboard_scraper.exports.notes import NOTES, is_foreign
from dashboard_scraper.files import STALE_SUFFIX, explained, flush_folder, turn_in
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.listing import listed

logger = logging.getLogger(__name__)

_REMOVED_SUFFIX = ".removed"
_NAMED_AT_MOST = 5


def prune(export: DailyExport, now: datetime) -> None:
    """Remove the oldest daily exports beyond RETENTION_EXPORTS, after a complete run.

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
    newest = newest_complete(folders, now)
    spared = (export.folder, newest and newest.path)
    return [each for each in folders[export.outputs.retention :] if each.path not in spared]


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}{_REMOVED_SUFFIX}")


def _remove(export: DailyExport, folder: ExportFolder) -> bool:
    """Rename the folder, then empty it, so that readers see all of it or nothing. False if it
    stays.
    """
    with turn_in(folder.path):
        # Temporary files count as foreign: another run may be writing there right now.
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
    # Imported here, since importing all formats takes long and the start of a run need not wait for
    # it.
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
    """Whether it has the name of the notes but is not ours: people use that name too."""
    return path.name.removesuffix(STALE_SUFFIX) == NOTES and is_foreign(path)


def _empty(export: DailyExport, folder: Path, window: Window) -> None:
    """Remove an export's files and the folder, which stays if other files have appeared in it."""
    for name in _own_names(export, window):
        path = folder / name
        if not path.parent.is_symlink() and not _is_foreign_notes(path):
            with contextlib.suppress(OSError):
                path.unlink()
    for each in (folder / GITHUB_FOLDER, folder):
        with contextlib.suppress(OSError):  # not empty, or a symbolic link
            each.rmdir()
