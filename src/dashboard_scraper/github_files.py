"""GitHub's reports as files: of 28 days and of single days, below `github_reports/`."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Iterator
from datetime import date
from pathlib import Path

from dashboard_scraper.date_utils import DAYS, Window
from dashboard_scraper.files import Publication, WrittenFile, make_folder
from dashboard_scraper.github_reports import (
    GithubOptions,
    GithubReports,
    Report,
    Scope,
    Subject,
    persons_in,
)
from dashboard_scraper.store import Reader

logger = logging.getLogger(__name__)

FOLDER = "github_reports"


def report_path(folder: Path, report: Report) -> Path:
    """Where a report goes in the folder of an export."""
    whole = report.subject is Subject.WHOLE
    prefix = "" if whole or report.scope is Scope.ENTERPRISE else f"{report.scope.value}-"
    day = "" if report.latest else f"_{report.window.end}"
    return folder / FOLDER / f"{prefix}{report.name}{day}{'.json' if whole else '.ndjson'}"


def all_reports(window: Window) -> list[Report]:
    """Those that an export of the window may have: of 28 days, that report and its last day's.

    An export of other days has each day's own; 28 days have them too often for their size.
    """
    month = len(window) == DAYS
    days = [window.end] if month else list(window.days())
    found = [
        Report(scope, subject, Window(day, day), latest=False)
        for day in days
        for scope in Scope
        for subject in Subject
    ]
    if month:
        found += [
            Report(scope, subject, window, latest=True)
            for scope in Scope
            for subject in (Subject.WHOLE, Subject.USERS)
        ]
    return found


def report_paths(folder: Path, window: Window) -> list[Path]:
    """Every file that an export of the window may have."""
    return [report_path(folder, report) for report in all_reports(window)]


def add_reports(
    publication: Publication,
    reader: Reader,
    source: str,
    options: GithubOptions,
    folder: Path,
    window: Window,
    missing: Collection[date],
) -> Iterator[tuple[Path, WrittenFile]]:
    """Prepare each report that has all of its days; yields them under their places in `folder`."""
    wanted = [
        report
        for report in all_reports(window)
        if (report.scope is Scope.ENTERPRISE or options.organization_id)
        and (report.subject is not Subject.TEAMS or options.has_teams)
        and not any(day in missing for day in report.window.days())
    ]
    if not wanted:
        return
    make_folder(folder / FOLDER, publication.mode)
    reports = GithubReports(reader, source, options, persons_in(reader, source, options))
    for report in wanted:
        path = report_path(folder, report)
        written = publication.add(path, reports.chunks(report))
        yield path, dataclasses.replace(written, name=f"{FOLDER}/{written.name}")
    for remark in reports.remarks():
        logger.warning("%s", remark)
