"""Which days a CSV covers, from its name and from the files beside it."""

from __future__ import annotations

import csv
import re
from datetime import date, timedelta
from pathlib import Path

from dashboard_scraper.csv_text import parse, render
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.dates import Window, parse_day

TENANT_SUFFIX = "_tenant"
_PERIOD_SUFFIX = "_period"
_PERIOD_HEADER = ("start_date", "end_date")
# A browser that downloads a file for the second time appends " (1)" to its name.
_COPY = r"( ?\(\d+\))?"
_ISO_DAYS = re.compile(
    rf"\D*(\d{{4}}-\d\d-\d\d)(?:(?:-to-|_to_)(\d{{4}}-\d\d-\d\d))?{_COPY}", re.ASCII
)
_COMPACT_DAYS = re.compile(rf"\D*(\d{{4}})(\d\d)(\d\d)_to_(\d{{4}})(\d\d)(\d\d){_COPY}", re.ASCII)
_COMPACT_DAY = re.compile(r"metrics_(\d{4})(\d\d)(\d\d)", re.ASCII)


def tenant_path(users_path: Path) -> Path:
    """The file beside the users' CSV with the tenant's figures and their days."""
    return users_path.with_name(f"{users_path.stem}{TENANT_SUFFIX}{users_path.suffix}")


def period_path(users_path: Path) -> Path:
    """The file beside the users' CSV that has its days, if nothing else has them."""
    return users_path.with_name(f"{users_path.stem}{_PERIOD_SUFFIX}{users_path.suffix}")


def period_csv(window: Window) -> bytes:
    """The content of the `_period.csv`."""
    return render(_PERIOD_HEADER, [[window.start.isoformat(), window.end.isoformat()]])


def window_of_file(path: Path) -> Window:
    """The day or window that a CSV covers; UsageError if it is uncertain.

    A single compact date in a name, `metrics_20251022.csv`, is ambiguous: it may be the one day
    that was fetched, or the day after the last of several. A file beside the CSV decides.
    """
    named, beside = _named(path.stem), windows_beside(path)
    if len(beside | ({named} if named else set())) > 1:
        listed = ", ".join(sorted(f"{window}" for window in beside))
        raise UsageError(
            f"{path.name} and the files beside it name different days ({listed}); give --day, or"
            " --start and --end"
        )
    if named:
        return named
    for window in beside:
        if _fits(path.stem, window):
            return window
    raise UsageError(
        f"the name {path.name} does not say which days it covers, and there is no"
        f" {tenant_path(path).name} or {period_path(path).name} beside it that does; give --day,"
        " or --start and --end"
    )


def window_of_options(day: date | None, start: date | None, end: date | None) -> Window | None:
    """The window of --day, or of --start and --end; None if none of them is set."""
    if day is not None and (start or end):
        raise UsageError("give --day, or --start and --end, not both")
    if day is not None:
        return Window(day, day)
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise UsageError("--start and --end go together; give both, or --day")
    return Window(start, end)


def name_has(path: Path, window: Window) -> bool:
    """Whether the name alone identifies the window."""
    try:
        return _named(path.stem) == window
    except UsageError:
        return False


def windows_beside(path: Path) -> set[Window]:
    """The windows in the files beside a CSV; files in another format are ignored."""
    found: set[Window] = set()
    for sibling in (tenant_path(path), period_path(path)):
        try:
            header, *rows = parse(sibling.read_bytes())
            if tuple(header[:2]) == _PERIOD_HEADER:
                found |= {Window(parse_day(row[0]), parse_day(row[1])) for row in rows}
        except (OSError, ValueError, IndexError, csv.Error, UsageError):
            continue
    return found


def _named(stem: str) -> Window | None:
    if match := _ISO_DAYS.fullmatch(stem):
        first, last = match.group(1), match.group(2) or match.group(1)
    elif match := _COMPACT_DAYS.fullmatch(stem):
        first, last = "-".join(match.groups()[:3]), "-".join(match.groups()[3:6])
    else:
        return None
    return Window(parse_day(first), parse_day(last))


def _fits(stem: str, window: Window) -> bool:
    match = _COMPACT_DAY.fullmatch(stem)
    if not match:
        return True
    day = parse_day("-".join(match.groups()))
    return window == Window(day, day) or window.end == day - timedelta(1)
