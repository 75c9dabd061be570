"""The manifest of an export: what became of each day, from when it is, and what vouches for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec

from dashboard_scraper.decoding import UNDECODABLE
from dashboard_scraper.files import WrittenFile
from dashboard_scraper.model.checks import Difference

MANIFEST = "manifest.json"


class ManifestDay(msgspec.Struct, omit_defaults=True, frozen=True):
    """What became of one day; `users` and `active_users` count rows of its two files.

    `fetched_at` is when its figures were fetched, and `settled` whether the source had stopped
    counting then. `unreconciled` says where users and tenant disagree, `suspicious` why the figures
    are in doubt, `held` what newer ones would change that are not in force, `forgotten` how many
    users were removed.
    """

    day: date
    status: str
    reason: str | None = None
    fetched_at: datetime | None = None
    settled: bool | None = None
    users: int | None = None
    active_users: int | None = None
    unreconciled: list[Difference] = []
    suspicious: str | None = None
    held: str | None = None
    forgotten: int = 0
    files: list[WrittenFile] | None = None


class Failure(msgspec.Struct, frozen=True):
    """Why the last run brought nothing; the files that are listed are of runs before it."""

    at: datetime
    exit_code: int
    reason: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Vouches for the files that it lists, and for no other.

    `made_with` is a digest of the settings that the days' files depend on. `notes` has the days
    that are in doubt, and `tolerance` the percents by metric up to which a difference makes no day
    doubtful. `others` are files of the window in formats without a field of their own. What has a
    default is not in manifests of earlier versions.
    """

    source: str
    start: date
    end: date
    failed: Failure | None = None
    days: list[ManifestDay]
    aggregated: WrittenFile | None
    github_reports: list[WrittenFile]
    report: WrittenFile | None = None
    notes: WrittenFile | None = None
    tolerance: dict[str, float] | msgspec.UnsetType = msgspec.UNSET
    made_with: str = ""
    others: list[WrittenFile] | msgspec.UnsetType = msgspec.UNSET

    @property
    def is_complete(self) -> bool:
        """Whether no day is missing, and the last run did not fail."""
        return self.failed is None and self.aggregated is not None

    def files(self) -> list[WrittenFile]:
        """All that it lists, by their names below the folder."""
        days = [file for day in self.days for file in day.files or []]
        whole = [file for file in (self.aggregated, self.report, self.notes) if file]
        others = [] if self.others is msgspec.UNSET else self.others
        return [*days, *whole, *self.github_reports, *others]


_decode = msgspec.json.Decoder(Manifest).decode


def fields_of_window(files: Iterable[tuple[str, WrittenFile]]) -> dict[str, Any]:
    """The manifest's fields for files of the whole window, each with the name of its field."""
    fields: dict[str, Any] = {"aggregated": None, "github_reports": [], "report": None}
    for name, file in files:
        if name not in fields:
            fields.setdefault("others", []).append(file)
        elif isinstance(fields[name], list):
            fields[name].append(file)
        else:
            fields[name] = file
    return fields


def encoded(manifest: Manifest) -> bytes:
    """The file's content."""
    return msgspec.json.format(msgspec.json.encode(manifest)) + b"\n"


def read_manifest(path: Path) -> Manifest | None:
    """What an earlier run wrote; None where there is nothing of ours."""
    try:
        return _decode(path.read_bytes())
    except (OSError, *UNDECODABLE):
        return None


def is_as_listed(folder: Path, listed: WrittenFile) -> bool:
    """Whether a file is the one that the manifest vouches for."""
    path = folder / listed.name
    try:
        if not path.is_file() or path.stat().st_size != listed.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == listed.sha256
    except (OSError, ValueError):  # a name that no file can have
        return False
