"""The name of a report's download, from which the report is read again."""

from __future__ import annotations

import re
from datetime import date

from dashboard_scraper.github.kinds import Report, Scope, Subject
from dashboard_scraper.model.dates import Window

_MERGED = "-editors-merged"
_DAYS = r"_(\d{4}-\d{2}-\d{2})_(\d{4}-\d{2}-\d{2})"
_FILE = re.compile(rf"(.+?)({_MERGED})?{_DAYS}(?:{_DAYS})?\.(?:ndjson|json)")


def file_of(report: Report) -> str:
    """The name, with the days of the report and, for a part of it, also the part's days."""
    merged = _MERGED if report.merge_ides else ""
    days = "".join(f"_{each.start}_{each.end}" for each in (report.window, report.part) if each)
    ending = "json" if report.subject is Subject.WHOLE else "ndjson"
    return f"{report.name}{merged}{days}.{ending}"


def report_of(scope: str, file: str) -> Report | None:
    """The report whose name `file_of` made; None if it did not make this name."""
    match = _FILE.fullmatch(file)
    if not match:
        return None
    name, merged, *days = match.groups()
    part = _window(days[2], days[3]) if days[2] else None
    for subject in Subject:
        for latest in (False, True):
            window = _window(days[0], days[1])
            report = Report(Scope(scope), subject, window, latest, part, bool(merged))
            if report.name == name:
                return report
    return None


def _window(start: str, end: str) -> Window:
    return Window(date.fromisoformat(start), date.fromisoformat(end))
