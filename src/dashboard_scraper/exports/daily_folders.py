"""The folders of daily exports below EXPORT_DIR, and what their manifests say."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path

import msgspec

from dashboard_scraper.exports.manifest import MANIFEST, Manifest, read_manifest
from dashboard_scraper.model.dates import Window, end_of_day

GITHUB_FOLDER = "github_reports"
"""GitHub's reports, below the folder of an export."""
EXPORT_NAME = re.compile(r"daily_exports_(\d{4}-\d\d-\d\d)_to_(\d{4}-\d\d-\d\d)", re.ASCII)


class ExportFolder(msgspec.Struct, frozen=True):
    """A folder with the name of a daily export and a manifest in it; `written` is its mtime."""

    path: Path
    window: Window
    written: float

    def manifest(self) -> Manifest | None:
        """The manifest, unless its window differs from the one in the folder's name."""
        found = read_manifest(self.path / MANIFEST)
        same = found and (found.start, found.end) == (self.window.start, self.window.end)
        return found if same else None

    def is_complete(self) -> bool:
        """Whether no day is missing, and every file is there with its full size."""
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


def export_folders(outputs: Path) -> list[ExportFolder]:
    """The daily exports below EXPORT_DIR, newest first: by the window's end, then by mtime."""
    found = []
    for path in folders_in(outputs):
        if window := window_of(path.name):
            with contextlib.suppress(OSError):  # no manifest: not an export
                written = (path / MANIFEST).stat().st_mtime
                found.append(ExportFolder(path, window, written))
    return sorted(found, key=lambda each: (each.window.end, each.written), reverse=True)


def newest_complete(folders: Iterable[ExportFolder], now: datetime) -> ExportFolder | None:
    """The newest complete folder of these, which are newest first. A folder whose last day is not
    over is left out: a clock was ahead, and its newest days have only the figures up to that time.
    """
    over = (each for each in folders if end_of_day(each.window.end) <= now)
    return next((each for each in over if each.is_complete()), None)


def window_of(name: str) -> Window | None:
    """The window in the name of a daily export; None for other names."""
    match = EXPORT_NAME.fullmatch(name)
    with contextlib.suppress(ValueError):  # not a date, such as 2026-02-30
        return Window(*map(date.fromisoformat, match.groups())) if match else None
    return None


def folders_in(parent: Path) -> list[Path]:
    """The folders in it, without following symbolic links; empty if `parent` does not exist."""
    try:
        with os.scandir(parent) as entries:
            return [parent / each.name for each in entries if each.is_dir(follow_symlinks=False)]
    except OSError:
        return []
