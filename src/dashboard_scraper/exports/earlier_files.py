"""Files of single days that earlier exports wrote from the same content: not written again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

from dashboard_scraper.exports.daily_export import DailyExport
from dashboard_scraper.exports.daily_folders import export_folders
from dashboard_scraper.exports.manifest import MANIFEST, read_manifest
from dashboard_scraper.model.dates import Window
from dashboard_scraper.output import EarlierFile


class EarlierFiles:
    """The files that the manifests of this export's folder and of other daily exports list.

    A manifest is written last, so it lists no files of a killed run. A manifest from another
    version or other settings lists files that were made from something else.
    """

    def __init__(self, export: DailyExport) -> None:
        self._export = export
        self._found: dict[str, EarlierFile] = {}
        self._unread = list(self._manifests())

    def _manifests(self) -> Iterator[tuple[Path, Window]]:
        yield self._export.folder, self._export.window
        for folder in export_folders(self._export.outputs.folder):
            if folder.path != self._export.folder:
                yield folder.path, folder.window

    def find(self, day: date, made_from: str) -> EarlierFile | None:
        """A file made from the same content; None if there is none."""
        for place in [place for place in self._unread if day in place[1]]:
            if made_from in self._found:
                break
            self._unread.remove(place)
            self._read(*place)
        return self._found.get(made_from)

    def _read(self, folder: Path, window: Window) -> None:
        manifest = read_manifest(folder / MANIFEST)
        if manifest is None or (manifest.start, manifest.end) != (window.start, window.end):
            return
        for file in manifest.files():
            if file.made_from:
                earlier = EarlierFile(folder / file.name, file, window)
                self._found.setdefault(file.made_from, earlier)
