"""The manifest of an export: each day's status and freshness, and a digest of every file."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec

from dashboard_scraper.decoding import UNDECODABLE
from dashboard_scraper.model.checks import Difference
from dashboard_scraper.model.costs import CostDifference
from dashboard_scraper.output import Unwritten
from dashboard_scraper.publication import WrittenFile, is_unchanged

MANIFEST = "manifest.json"


class CostsOfDay(msgspec.Struct, omit_defaults=True, frozen=True):
    """The costs of one day, in its file of costs; they are fetched separately from its other
    figures.

    `version` numbers the source's different answers. `unreconciled` says where the rows and the
    source's own or earlier figures differ.
    """

    fetched_at: datetime
    version: int
    settled: bool
    unreconciled: list[CostDifference] = []
    forgotten: int = 0


class ManifestDay(msgspec.Struct, omit_defaults=True, frozen=True):
    """The status of one day; `users` and `active_users` are the rows of its CSV and its JSON.

    `settled`: at `fetched_at`, the source had stopped changing the day. `unreconciled`: where users
    and tenant totals differ. `unchecked`: there were no totals to compare users with. `suspicious`:
    why the figures are in doubt. `held`: what a held revision would change. `forgotten`: how many
    users were removed. `costs`: None if not stored.
    """

    day: date
    status: str
    reason: str | None = None
    fetched_at: datetime | None = None
    settled: bool | None = None
    users: int | None = None
    active_users: int | None = None
    unreconciled: list[Difference] = []
    unchecked: bool = False
    suspicious: str | None = None
    held: str | None = None
    forgotten: int = 0
    costs: CostsOfDay | None = None
    files: list[WrittenFile] | None = None


def missing_day(day: date) -> ManifestDay:
    """A day that is not in the store."""
    return ManifestDay(day, "missing", "not in the store")


class Failure(msgspec.Struct, frozen=True):
    """Why the last run wrote no files; the listed files are from earlier runs."""

    at: datetime
    exit_code: int
    reason: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Vouches for the files that it lists, and for no others.

    `made_with` is a digest of the settings that the days' files depend on. `tolerance` is, by
    metric, the percentage up to which a difference causes no doubt about a day. `others` are files
    of formats without a field of their own. `missing_from_github_reports` are the days that a
    report of the window lacks. `days_before_github_reports` are the days before the window that
    weekly and monthly counts in these reports also cover, and that are missing or in doubt; the
    export has no files of them. `missing_costs` are the days of the window without a file of costs,
    if the source has any costs. `unwritten` are the formats that need figures which the source
    lacks. Fields with a default are absent from the manifests of earlier versions.
    """

    source: str
    start: date
    end: date
    failed: Failure | None = None
    days: list[ManifestDay]
    aggregated: WrittenFile | None
    github_reports: list[WrittenFile] = []
    report: WrittenFile | None = None
    notes: WrittenFile | None = None
    tolerance: dict[str, float] | msgspec.UnsetType = msgspec.UNSET
    made_with: str = ""
    others: list[WrittenFile] | msgspec.UnsetType = msgspec.UNSET
    missing_from_github_reports: list[date] | msgspec.UnsetType = msgspec.UNSET
    days_before_github_reports: list[ManifestDay] | msgspec.UnsetType = msgspec.UNSET
    missing_costs: list[date] | msgspec.UnsetType = msgspec.UNSET
    unwritten: list[Unwritten] | msgspec.UnsetType = msgspec.UNSET

    @property
    def is_complete(self) -> bool:
        """Whether no day is missing, and the last run did not fail."""
        return self.failed is None and all(day.files is not None for day in self.days)

    def files(self) -> list[WrittenFile]:
        """Every file that it lists, named relative to the folder."""
        days = [file for day in self.days for file in day.files or []]
        whole = [file for file in (self.aggregated, self.report, self.notes) if file]
        others = [] if self.others is msgspec.UNSET else self.others
        return [*days, *whole, *self.github_reports, *others]


_decode = msgspec.json.Decoder(Manifest).decode


def fields_of_window(files: Iterable[tuple[str, WrittenFile]]) -> dict[str, Any]:
    """The manifest's fields for files of the whole window, from pairs of field name and file."""
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
    """The manifest of an earlier run; None if there is none, or the file is not one of ours."""
    try:
        return _decode(path.read_bytes()) if path.is_file() else None
    except (OSError, *UNDECODABLE):
        return None


def is_as_listed(folder: Path, listed: WrittenFile) -> bool:
    """Whether the file on disk has the size and digest in the manifest."""
    return is_unchanged(folder / listed.name, listed)
