"""Every format of an export, and the files that each may write."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path

import msgspec

from dashboard_scraper.exports.copilot_files import CopilotFiles
from dashboard_scraper.exports.cost_files import CostFiles
from dashboard_scraper.exports.csv_files import CsvFiles
from dashboard_scraper.exports.daily_export import DailyExport
from dashboard_scraper.exports.github_files import GithubFiles
from dashboard_scraper.exports.github_record_files import GithubRecordFiles
from dashboard_scraper.exports.page_file import PageFile
from dashboard_scraper.output import Output, Unwritten
from dashboard_scraper.people.examples import USERS
from dashboard_scraper.sources.registry import info_of


def _github_files(export: DailyExport) -> Output:
    is_recorded = info_of(export.source).has_records
    return GithubRecordFiles(export) if is_recorded else GithubFiles(export)


OUTPUTS: tuple[Callable[[DailyExport], Output], ...] = (
    CsvFiles,
    CostFiles,
    CopilotFiles,
    _github_files,
    PageFile,
)
"""Every format of an export; the manifest lists a day's files in this order."""


def outputs_of(export: DailyExport) -> list[Output]:
    """An instance of every format, for one export."""
    return [make(export) for make in OUTPUTS]


def written_of(export: DailyExport) -> list[Output]:
    """The same without formats that need figures the source does not have."""
    source = info_of(export.source)
    return [each for each in outputs_of(export) if not (each.needs and each.needs.unmet(source))]


def unwritten_of(export: DailyExport) -> list[Unwritten]:
    """The formats that are not written, and why."""
    source, needs = info_of(export.source), [each.needs for each in outputs_of(export)]
    return [unmet for each in needs if each and (unmet := each.unmet(source))]


def day_paths(export: DailyExport, days: Iterable[date]) -> list[Path]:
    """The files that depend on a single day, for each of the days."""
    outputs = written_of(export)
    return [path for day in days for output in outputs for path in output.day_targets(day)]


def all_paths(export: DailyExport) -> list[Path]:
    """Every file that the export may contain."""
    targets = [path for output in outputs_of(export) for path in output.targets()]
    return [*targets, export.notes_path, export.manifest_path]


def made_with(export: DailyExport) -> str:
    """A digest of everything besides the store that the files of single days depend on.

    It covers the identities, and what every format writes for made-up users. So every setting or
    program version that would change a file changes the digest, without a list of such settings.
    """
    shown = export.audience.shown(USERS)
    digest = hashlib.sha256()
    for output in written_of(export):
        for chunk in output.sample(shown):
            digest.update(chunk)
    people = (dict(export.audience.identities), export.audience.people.known)
    digest.update(msgspec.json.encode(people, order="sorted"))
    return digest.hexdigest()
