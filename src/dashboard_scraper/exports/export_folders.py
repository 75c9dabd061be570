"""The daily exports below EXPORT_DIR: the newest, those that are too many, and what was left."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from dashboard_scraper.errors import LockHeld, OutputFailed
from dashboard_scraper.exports.bundle import all_paths
from dashboard_scraper.exports.daily_export import DailyExport, Outputs
from dashboard_scraper.exports.github_files import FOLDER
from dashboard_scraper.exports.manifest import MANIFEST, Manifest, read_manifest
from dashboard_scraper.exports.notes import NOTES, is_anothers
from dashboard_scraper.files import STALE_SUFFIX, explained, flush_folder, turn_in, write_whole
from dashboard_scraper.leftovers import remove_leftovers
from dashboard_scraper.model.dates import Window

logger = logging.getLogger(__name__)

LATEST = "latest"
"""The link that names the newest complete export."""
LATEST_FILE = "latest.txt"
"""Has that name where no links can be made."""
PARQUET = "parquet"
"""The folder of Parquet files, unless one is named."""

_AS_OF = re.compile(r".+_as_of_(\d{8}T\d{6}\d*Z)", re.ASCII)
_AS_OF_FORMAT = "%Y%m%dT%H%M%S%fZ"
_NAME = re.compile(r"daily_exports_(\d{4}-\d\d-\d\d)_to_(\d{4}-\d\d-\d\d)", re.ASCII)
_REMOVED_SUFFIX = ".removed"
_NAMED_AT_MOST = 5


@dataclass(frozen=True, slots=True)
class ExportFolder:
    """A folder that is named as a daily export is, with a manifest in it.

    The newest has the latest end and, of the same end, was written last.
    """

    path: Path
    window: Window
    written: float

    def manifest(self) -> Manifest | None:
        """That of an export of the window that the name says."""
        found = read_manifest(self.path / MANIFEST)
        same = found and (found.start, found.end) == (self.window.start, self.window.end)
        return found if same else None

    def is_complete(self) -> bool:
        """Whether no day is missing, and all files are there."""
        manifest = self.manifest()
        with contextlib.suppress(OSError):
            return (
                manifest is not None
                and manifest.is_complete
                and all(
                    (self.path / file.name).stat().st_size == file.size for file in manifest.files()
                )
            )
        return False


def folder_as_of(folder: Path, moment: datetime) -> Path:
    """The folder of what was known at a moment: it is never that of a current export."""
    return folder.with_name(f"{folder.name}_as_of_{moment.astimezone(UTC):{_AS_OF_FORMAT}}")


def moment_of(folder: Path) -> datetime | None:
    """The inverse: None where the folder has current figures."""
    match = _AS_OF.fullmatch(folder.name)
    return datetime.strptime(match[1], _AS_OF_FORMAT).replace(tzinfo=UTC) if match else None


def remove_leftovers_of_runs(outputs: Path) -> None:
    """Remove what killed runs left in every folder below EXPORT_DIR in which runs write."""
    remove_leftovers(_folders_of_runs(outputs))


def _folders_of_runs(outputs: Path) -> Iterator[Path]:
    yield outputs
    for path in _folders_in(outputs):
        if _NAME.fullmatch(path.name):
            yield path
            yield path / FOLDER
    for path in _folders_in(outputs / PARQUET):
        yield path


def _folders_in(parent: Path) -> list[Path]:
    """Its folders; not those that links lead to. None where it is not there."""
    try:
        with os.scandir(parent) as entries:
            return [parent / each.name for each in entries if each.is_dir(follow_symlinks=False)]
    except OSError:
        return []


@contextlib.contextmanager
def latest_follows(export: DailyExport) -> Iterator[None]:
    """Around a run that writes the export: after it, `latest` names the newest complete one.

    Also where the run failed: the one that it was to replace may have been the newest.
    """
    if not export.is_named_by_window:
        yield
        return
    try:
        yield
    except LockHeld:  # the other run is about to do that
        raise
    except BaseException:
        try:
            point_to_latest(export.outputs)
        except OutputFailed as second:
            logger.error("%s", second)  # noqa: TRY400 - the run ends with the first error
        raise
    point_to_latest(export.outputs)


def point_to_latest(outputs: Outputs) -> None:
    """Have `latest` name the newest complete export, or nothing where there is none.

    Whatever else has that name is left alone.
    """
    link = outputs.folder / LATEST
    if not outputs.folder.is_dir():
        return
    with explained(link):
        with turn_in(outputs.folder):
            if os.path.lexists(link) and not _is_ours(link):
                logger.warning("%s is not the program's link to an export; it is left alone", link)
                return
            newest = next((f for f in export_folders(outputs.folder) if f.is_complete()), None)
            linked = _link(link, newest.path.name if newest else None)
        _write_name(outputs, newest.path.name if newest and not linked else None)


def _is_ours(link: Path) -> bool:
    return link.is_symlink() and bool(_NAME.fullmatch(str(link.readlink())))


def _link(link: Path, name: str | None) -> bool:
    """Readers find the old link or the new one at every moment; False where none can be made."""
    if name is None:
        link.unlink(missing_ok=True)
        return True
    if link.is_symlink() and str(link.readlink()) == name:
        return True
    new = link.with_name(f".{link.name}.new")
    new.unlink(missing_ok=True)
    try:
        new.symlink_to(name, target_is_directory=True)
    except (OSError, NotImplementedError):  # a file system without links, or Windows' policy
        link.unlink(missing_ok=True)
        return False
    new.replace(link)
    flush_folder(link.parent)
    return True


def _write_name(outputs: Outputs, name: str | None) -> None:
    """The newest export's name in a file, or no such file; one that is not ours is left alone."""
    path = outputs.folder / LATEST_FILE
    text = path.read_text(errors="replace") if path.is_file() else ""
    if os.path.lexists(path) and not _NAME.fullmatch(text.strip()):
        if name:
            logger.warning("%s is not the program's; it is left alone", path)
    elif name is None:
        path.unlink(missing_ok=True)
    elif text.strip() != name:
        write_whole(path, f"{name}\n".encode(), outputs.mode)


def export_folders(outputs: Path) -> list[ExportFolder]:
    """What looks like a daily export below EXPORT_DIR, newest first."""
    found = []
    for path in _folders_in(outputs):
        if window := _window_of(path.name):
            with contextlib.suppress(OSError):  # without a manifest
                written = (path / MANIFEST).stat().st_mtime
                found.append(ExportFolder(path, window, written))
    return sorted(found, key=lambda each: (each.window.end, each.written), reverse=True)


def _window_of(name: str) -> Window | None:
    match = _NAME.fullmatch(name)
    with contextlib.suppress(ValueError):  # no such day
        return Window(*map(date.fromisoformat, match.groups())) if match else None
    return None


def prune(export: DailyExport) -> None:
    """Remove the daily exports that are too many, oldest first, after the complete run of one.

    The folder of the run, and the newest complete one, always stay; so does each with anything in
    it that is not one of an export's files.
    """
    outputs = export.outputs
    if outputs.retention is None:
        return
    with explained(outputs.folder), turn_in(outputs.folder):
        _finish_removals(export)
        left = [each.path for each in _too_many(export) if not _remove(export, each)]
    if left:
        named = ", ".join(str(path) for path in left[:_NAMED_AT_MOST])
        more = f" and {len(left) - _NAMED_AT_MOST} more" if len(left) > _NAMED_AT_MOST else ""
        logger.warning("not removed, since there are other files in them: %s%s", named, more)


def _finish_removals(export: DailyExport) -> None:
    """Of a run that was killed in the middle of them."""
    for path in _folders_in(export.outputs.folder):
        name = path.name.removeprefix(".").removesuffix(_REMOVED_SUFFIX)
        if (window := _window_of(name)) and path == _hidden(path.with_name(name)):
            _empty(export, path, window)


def _too_many(export: DailyExport) -> Iterable[ExportFolder]:
    folders = [each for each in export_folders(export.outputs.folder) if each.manifest()]
    newest = next((each for each in folders if each.is_complete()), None)
    spared = (export.folder, newest and newest.path)
    return [each for each in folders[export.outputs.retention :] if each.path not in spared]


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}{_REMOVED_SUFFIX}")


def _remove(export: DailyExport, folder: ExportFolder) -> bool:
    """Whether there was nothing in the way; readers find all of the folder, or nothing."""
    with turn_in(folder.path):
        # A temporary file is not one of them: another program may be writing there.
        if not _has_only_own_files(export, folder.path, folder.window):
            return False
        hidden = _hidden(folder.path)
        if os.path.lexists(hidden):  # with something in it that was left alone before
            return False
        folder.path.replace(hidden)
        flush_folder(hidden.parent)  # else the power could bring back the name, with files missing
    _empty(export, hidden, folder.window)
    logger.info("%s is removed: RETENTION_EXPORTS=%s", folder.path, export.outputs.retention)
    return True


def _own_names(export: DailyExport, window: Window) -> set[str]:
    """Below the folder; with those of an organization and of teams, and those set aside."""
    paths = all_paths(dataclasses.replace(export, window=window))
    names = {str(path.relative_to(export.folder)) for path in paths}
    return names | {f"{name}{STALE_SUFFIX}" for name in names}


def _has_only_own_files(export: DailyExport, folder: Path, window: Window) -> bool:
    own = _own_names(export, window)
    entries = [*os.scandir(folder)]
    below = [entry for entry in entries if entry.name == FOLDER]
    if any(not entry.is_dir(follow_symlinks=False) for entry in below):
        return False
    files = [entry for entry in entries if entry.name != FOLDER]
    files += [entry for each in below for entry in os.scandir(each)]
    return all(
        entry.is_file(follow_symlinks=False)
        and os.path.relpath(entry.path, folder) in own
        and not _is_anothers_notes(Path(entry.path))
        for entry in files
    )


def _is_anothers_notes(path: Path) -> bool:
    """People too put a file of that name into folders: the name alone does not make it ours."""
    return path.name.removesuffix(STALE_SUFFIX) == NOTES and is_anothers(path)


def _empty(export: DailyExport, folder: Path, window: Window) -> None:
    """Remove the folder with an export's files; what else came there meanwhile stays with it."""
    for name in _own_names(export, window):
        path = folder / name
        if not path.parent.is_symlink() and not _is_anothers_notes(path):
            with contextlib.suppress(OSError):
                path.unlink()
    for each in (folder / FOLDER, folder):
        with contextlib.suppress(OSError):  # a link is not a folder here
            each.rmdir()
