"""The 28-day job: each day fetched by itself, checked, and given out as CSV and Copilot JSON."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec

from dashboard_scraper import copilot_converter as copilot
from dashboard_scraper.date_utils import Window
from dashboard_scraper.errors import ContractBroken, DaysMissing, ScraperError, SourceUnavailable
from dashboard_scraper.export import users_csv
from dashboard_scraper.files import (
    Publication,
    WrittenFile,
    make_folder,
    replaced_or_set_aside,
    set_aside,
)
from dashboard_scraper.metrics import is_active
from dashboard_scraper.spool import Spool
from dashboard_scraper.usage import DayUsage, Source
from dashboard_scraper.workers import each_done

logger = logging.getLogger(__name__)

DAYS = 28

# A day that failed for one of these may be had later, and the others now; whatever else is raised
# ends the run.
_FAILED_DAY = (SourceUnavailable, ContractBroken)

Failures = dict[date, ScraperError]
Report = Callable[[date, ScraperError | None], None]
"""Called for each day that was fetched (None) or failed."""


@dataclass(frozen=True, slots=True)
class DailyExport:
    """Where a 28-day job writes, and what it stamps on its records."""

    window: Window
    parent: Path
    enterprise_id: str

    @property
    def folder(self) -> Path:
        """Named after the window."""
        return self.parent / f"daily_exports_{self.window.start}_to_{self.window.end}"

    def csv_path(self, day: date) -> Path:
        """One day's users."""
        return self.folder / f"augment_metrics_{day}.csv"

    def json_path(self, day: date) -> Path:
        """One day's Copilot records."""
        return self.folder / f"copilot_metrics_{day}.json"

    @property
    def aggregated_path(self) -> Path:
        """One record a user for the whole window; only where no day is missing."""
        return self.folder / "copilot_metrics_aggregated.json"

    @property
    def manifest_path(self) -> Path:
        """What became of each day, with the SHA-256 of each file."""
        return self.folder / "manifest.json"

    def day_paths(self, days: Iterable[date]) -> list[Path]:
        """Both files of each day."""
        return [path for day in days for path in (self.csv_path(day), self.json_path(day))]

    def all_paths(self) -> list[Path]:
        """Every file of the job."""
        days = self.day_paths(self.window.days())
        return [*days, self.aggregated_path, self.manifest_path]


def run_daily_job(
    make_source: Callable[[], Source], export: DailyExport, workers: int, report: Report
) -> Path:
    """Fetch every day of the window, then write every file; returns the folder.

    Raises DaysMissing after the files of the others are written, or the error that ended the run;
    then no file under its final name is older than the run.
    """
    with replaced_or_set_aside(export.all_paths()), Spool() as spool:
        source = make_source()
        failures = _fetch(source, export.window, workers, spool, report)
        if len(failures) == sum(1 for _ in export.window.days()):
            _raise_first(failures)
        _give_out(spool, export, failures, source.name)
    _summarise(export, failures)
    return export.folder


def _fetch(source: Source, window: Window, workers: int, spool: Spool, report: Report) -> Failures:
    """Every day once, and those that failed once more at the end."""
    failures = _fetch_days(source, list(window.days()), workers, spool, report)
    if failures:
        logger.info("%d days failed; trying them again", len(failures))
        failures = _fetch_days(source, sorted(failures), workers, spool, report)
    return failures


def _fetch_days(
    source: Source, days: list[date], workers: int, spool: Spool, report: Report
) -> Failures:
    failures: Failures = {}
    with contextlib.ExitStack() as on_error:
        on_error.callback(source.stop)  # the threads that wait for their next attempt end too
        # A thread keeps the day as soon as it has it: eight of them would be a lot of memory.
        for day, error in each_done(lambda day: spool.put(source.fetch_day(day)), days, workers):
            if error is not None:
                failures[day] = _bearable(error)
            report(day, error)
        on_error.pop_all()
    return failures


def _bearable(error: ScraperError) -> ScraperError:
    """An error that costs one day; one that would cost every day ends the run."""
    if not isinstance(error, _FAILED_DAY):
        raise error
    return error


def _raise_first(failures: Failures) -> None:
    day = min(failures)
    kind = type(failures[day])
    raise kind(f"no day could be had; {day}: {failures[day]}") from failures[day]


class _ManifestDay(msgspec.Struct, omit_defaults=True):
    """What became of one day; `users` and `active_users` count rows of its two files."""

    day: date
    status: str
    reason: str | None = None
    users: int | None = None
    active_users: int | None = None
    files: list[WrittenFile] | None = None


class _Manifest(msgspec.Struct):
    source: str
    start: date
    end: date
    days: list[_ManifestDay]
    aggregated: WrittenFile | None


def _give_out(spool: Spool, export: DailyExport, failures: Failures, source_name: str) -> None:
    """Write all files; the manifest last, since it vouches for the others."""
    fetched = [day for day in export.window.days() if day in spool]
    # One id a user for the whole export, so that it is the same in all of its files.
    ids = copilot.reported_user_ids(spool.addresses)
    totals = copilot.WindowTotals()
    days: dict[date, _ManifestDay] = {
        day: _ManifestDay(day, "failed", reason=str(error)) for day, error in failures.items()
    }
    make_folder(export.folder)
    with Publication() as publication:
        for day in fetched:
            usage = spool.get(day)
            totals.add(usage.users)
            days[day] = _write_day(publication, usage, export, ids)
        aggregated = None
        if not failures:
            records = totals.records(export.window, export.enterprise_id, ids)
            aggregated = publication.add(export.aggregated_path, copilot.json_chunks(records))
        manifest = _Manifest(
            source_name,
            export.window.start,
            export.window.end,
            [days[day] for day in sorted(days)],
            aggregated,
        )
        text = msgspec.json.format(msgspec.json.encode(manifest)) + b"\n"
        publication.add(export.manifest_path, text)
        set_aside(export.day_paths(failures))
        if failures:  # a sum that lacks days would look like the window's
            set_aside([export.aggregated_path])
        publication.publish()
    totals.report_open_sums()


def _write_day(
    publication: Publication, usage: DayUsage, export: DailyExport, ids: dict[str, int]
) -> _ManifestDay:
    active = [user for user in usage.users if is_active(user.figures)]
    records = (
        copilot.convert(user, usage.day, export.window, export.enterprise_id, ids[user.user])
        for user in active
    )
    files = [
        publication.add(export.csv_path(usage.day), users_csv(usage.users)),
        publication.add(export.json_path(usage.day), copilot.json_chunks(records)),
    ]
    if not usage.users:
        logger.warning("%s: the source answered without a single user", usage.day)
    status = "complete" if active else "empty"
    return _ManifestDay(usage.day, status, None, len(usage.users), len(active), files)


def _summarise(export: DailyExport, failures: Failures) -> None:
    total = sum(1 for _ in export.window.days())
    for day, error in sorted(failures.items()):
        logger.error("%s failed: %s", day, error)
    logger.info("%s: %d of %d days", export.window, total - len(failures), total)
    if failures:
        missing = ", ".join(str(day) for day in sorted(failures))
        raise DaysMissing(f"{len(failures)} of {total} days are missing: {missing}; run it again")
