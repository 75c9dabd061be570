"""The files of a window's days, from the store, and the manifest that vouches for them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec

from dashboard_scraper import copilot_converter as copilot
from dashboard_scraper.audience import Audience, Naming
from dashboard_scraper.date_utils import Window
from dashboard_scraper.doubts import Doubt, doubts_in
from dashboard_scraper.errors import DaysMissing, NotPublished, ScraperError
from dashboard_scraper.export import users_csv
from dashboard_scraper.files import (
    Publication,
    WrittenFile,
    make_folder,
    remove_leftovers_beside,
    set_aside,
)
from dashboard_scraper.github_files import add_reports, report_paths
from dashboard_scraper.github_reports import GithubOptions
from dashboard_scraper.listing import listed_days, shortened
from dashboard_scraper.manifest import MANIFEST, Manifest, ManifestDay, encoded
from dashboard_scraper.metrics import METRICS, USER_COUNT, Figures, Kind
from dashboard_scraper.notes import NOTES, is_anothers, notes_text, refuse_anothers
from dashboard_scraper.pseudonyms import Rename, hidden
from dashboard_scraper.report.options import MOST_DAYS, REPORT, ReportOptions
from dashboard_scraper.settling import is_settled
from dashboard_scraper.store import LedgerDay, Reader
from dashboard_scraper.tolerance import Tolerance
from dashboard_scraper.usage import UserUsage

logger = logging.getLogger(__name__)

_LONGEST_REASON = 1000


@dataclass(frozen=True, slots=True)
class Outputs:
    """The folder EXPORT_DIR, the mode of all files, and how many daily exports stay there."""

    folder: Path
    mode: int
    retention: int | None

    def of_window(self, window: Window) -> Path:
        """The folder of a window's daily export."""
        return self.folder / f"daily_exports_{window.start}_to_{window.end}"


@dataclass(frozen=True, slots=True)
class DailyExport:
    """Where a window's files go, what is stamped on the records, and whom they show.

    `folder` is that of the window in `outputs`, or one that the user named. Figures are those of
    `source`; those of a day have settled when it was fetched `settle_days` after its end, and are
    unreconciled beyond the `tolerance`.
    """

    window: Window
    folder: Path
    outputs: Outputs
    source: str
    settle_days: int
    enterprise_id: str
    audience: Audience
    github: GithubOptions
    report: ReportOptions
    tolerance: Tolerance

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
    def report_path(self) -> Path:
        """The page of the window's figures."""
        return self.folder / REPORT

    @property
    def notes_path(self) -> Path:
        """The days that are in doubt; only where some are."""
        return self.folder / NOTES

    @property
    def has_report(self) -> bool:
        """Whether a page can show so many days."""
        return len(self.window) <= MOST_DAYS

    def results(self) -> list[Path | str]:
        """What to tell of it: its folder, and the address at which a browser opens the page."""
        page = [self.report_path.absolute().as_uri()] if self.has_report else []
        return [self.folder, *page]

    @property
    def manifest_path(self) -> Path:
        """What became of each day, with the SHA-256 of each file."""
        return self.folder / MANIFEST

    @property
    def is_named_by_window(self) -> bool:
        """Whether it is one of the daily exports of EXPORT_DIR."""
        return self.folder == self.outputs.of_window(self.window)

    def day_paths(self, days: Iterable[date]) -> list[Path]:
        """Both files of each day."""
        return [path for day in days for path in (self.csv_path(day), self.json_path(day))]

    def all_paths(self) -> list[Path]:
        """Every file of the export."""
        days = self.day_paths(self.window.days())
        whole = [self.aggregated_path, *self.github_paths(), self.report_path, self.notes_path]
        return [*days, *whole, self.manifest_path]

    def github_paths(self) -> list[Path]:
        """Every one of GitHub's reports that there may be."""
        return report_paths(self.folder, self.window)

    def made_with(self) -> str:
        """A digest of all that days' files depend on beside the store.

        It is that of the files of made-up users, so that a setting or a version of the program
        that would change files changes it too; and of who people are.
        """
        numbers: list[Any] = [
            number if metric.kind in (Kind.COUNT, Kind.DAYS) else None
            for number, metric in enumerate(METRICS, start=1)
        ]
        figures = Figures(*numbers)
        users = [
            UserUsage("ada@example.com", figures, {"unknown": "bob@example.com"}),
            UserUsage("backup", figures, service=True),
        ]
        shown = self.audience.shown(users)
        digest = hashlib.sha256(users_csv(shown, self.source))
        for chunk in copilot.json_chunks(
            copilot.convert(user, self.window.end, self.window, self.enterprise_id, number)
            for number, user in enumerate(shown)
        ):
            digest.update(chunk)
        people = (dict(self.audience.identities), dict(self.audience.people.aliases))
        digest.update(msgspec.json.encode(people, order="sorted"))
        return digest.hexdigest()


def advice_of(reader: Reader, source_name: str) -> str:
    """What to do where days of a source are not in the store."""
    others = [name for name in reader.sources() if name != source_name]
    if reader.ledger(source_name) or not others:
        return f"fetch them first from the source {source_name}"
    return (
        f"the store has no day of the source {source_name}; it has some of {' and '.join(others)}:"
        " choose with --source or METRICS_SOURCE"
    )


def give_out(
    reader: Reader, export: DailyExport, failures: Mapping[date, ScraperError], now: datetime
) -> list[Doubt]:
    """Write all files but those of days that failed or are not in the store; returns what is in
    doubt of the others.

    The notes of that come first, and the manifest last, since it vouches for the others.
    """
    window, source_name = export.window, export.source
    kept = reader.ledger(source_name, window)
    missing = [day for day in window.days() if day in failures or day not in kept]
    naming = export.audience.naming(reader.spellings(source_name, window))
    ids = _user_ids(reader, source_name, export, naming)
    totals = copilot.WindowTotals()
    days = {day: _missing_day(day, failures.get(day), export) for day in missing}
    doubts = doubts_in(
        (kept[day] for day in sorted(kept.keys() - failures.keys())), export.tolerance
    )
    make_folder(export.folder, export.outputs.mode)
    remove_leftovers_beside(export.all_paths())
    with Publication(export.outputs.mode) as publication:
        notes = add_notes(publication, export, doubts)
        for day in sorted(kept.keys() - failures.keys()):
            users = export.audience.shown(reader.day(kept[day]).users)
            active = totals.add(naming.renamed(users))
            settled = is_settled(kept[day], export.settle_days, now)
            told = _write_day(publication, kept[day], users, active, export, ids)
            days[day] = msgspec.structs.replace(told, settled=settled)
        _warn_of_nobody(kept[day] for day in kept.keys() - failures.keys())
        aggregated = None
        if not missing:
            records = totals.records(window, export.enterprise_id, ids)
            aggregated = publication.add(export.aggregated_path, copilot.json_chunks(records))
        reports = dict(_github_reports(publication, reader, source_name, export, missing))
        report = None
        if export.has_report:
            report = _report(publication, reader, source_name, export, missing)
        manifest = Manifest(
            source=source_name,
            start=window.start,
            end=window.end,
            days=[days[day] for day in sorted(days)],
            aggregated=aggregated,
            github_reports=list(reports.values()),
            report=report,
            notes=notes,
            tolerance=export.tolerance.as_numbers() or msgspec.UNSET,
            made_with=export.made_with(),
        )
        publication.add(export.manifest_path, encoded(manifest))
        _set_aside_unwritten(export, missing, reports, report)
        if notes is None and not is_anothers(export.notes_path):
            set_aside([export.notes_path])
        publication.publish()
    totals.report_open_sums()
    return doubts


def add_notes(
    publication: Publication, export: DailyExport, doubts: Sequence[Doubt]
) -> WrittenFile | None:
    """What CSV and JSON cannot say of their days; None where nothing is in doubt."""
    if not doubts:
        return None
    refuse_anothers(export.notes_path)
    return publication.add(export.notes_path, notes_text(doubts))


def _missing_day(day: date, failure: ScraperError | None, export: DailyExport) -> ManifestDay:
    if failure is None:
        return ManifestDay(day, "missing", "not in the store")
    return ManifestDay(day, _word_of(failure), reason_of(failure, export.audience.rename))


def _set_aside_unwritten(
    export: DailyExport,
    missing: Collection[date],
    reports: Collection[Path],
    report: WrittenFile | None,
) -> None:
    """What an earlier run wrote, and this one does not: it must not look like a part of it."""
    set_aside(export.day_paths(missing))
    if missing:  # a sum that lacks days would look like the window's
        set_aside([export.aggregated_path])
    set_aside(path for path in export.github_paths() if path not in reports)
    if report is None:
        logger.warning("no %s: it shows %d days at most", REPORT, MOST_DAYS)
        set_aside([export.report_path])


def _user_ids(
    reader: Reader, source_name: str, export: DailyExport, naming: Naming
) -> dict[str, int]:
    """One id a person for the whole export, by the name: the same in all of its files."""
    persons = {
        export.audience.person(login): naming.name(login)
        for login in reader.users(source_name, export.window)
    }
    ids = copilot.reported_user_ids(persons)
    return {name: ids[person] for person, name in persons.items()}


def _github_reports(
    publication: Publication,
    reader: Reader,
    source_name: str,
    export: DailyExport,
    missing: Collection[date],
) -> Iterable[tuple[Path, WrittenFile]]:
    return add_reports(
        publication, reader, source_name, export.github, export.folder, export.window, missing
    )


def _report(
    publication: Publication,
    reader: Reader,
    source_name: str,
    export: DailyExport,
    missing: Collection[date],
) -> WrittenFile:
    """The page, which shows days that are missing as such."""
    # Imported here: who writes no page does not wait for the templates.
    from dashboard_scraper.report.render import page_of  # noqa: PLC0415

    page = page_of(reader, source_name, export.window, export.report, missing)
    return publication.add(export.report_path, page)


def _warn_of_nobody(kept: Iterable[LedgerDay]) -> None:
    """Of days without users that the source does not say to have had none."""
    unsaid = [
        row.day for row in kept if not row.users and USER_COUNT.name not in (row.totals or {})
    ]
    if unsaid:
        logger.warning("%s: the source answered without a single user", listed_days(unsaid))


def _word_of(error: ScraperError) -> str:
    return "unpublished" if isinstance(error, NotPublished) else "failed"


def reason_of(error: ScraperError, rename: Rename) -> str:
    """What a manifest says of an error."""
    return shortened(hidden(str(error), rename, error.names), _LONGEST_REASON)


def _write_day(
    publication: Publication,
    kept: LedgerDay,
    users: list[UserUsage],
    active: list[tuple[UserUsage, copilot.Flags]],
    export: DailyExport,
    ids: dict[str, int],
) -> ManifestDay:
    records = (
        copilot.convert(user, kept.day, export.window, export.enterprise_id, ids[user.user], flags)
        for user, flags in active
    )
    files = [
        publication.add(export.csv_path(kept.day), users_csv(users, kept.source)),
        publication.add(export.json_path(kept.day), copilot.json_chunks(records)),
    ]
    return ManifestDay(
        kept.day,
        kept.status.value,
        fetched_at=kept.fetched_at,
        users=len(users),
        active_users=len(active),
        unreconciled=kept.unreconciled,
        suspicious=kept.suspicious,
        held=kept.held,
        forgotten=kept.forgotten,
        files=files,
    )


def summarise(window: Window, missing: Collection[date], advice: str) -> None:
    """Tell how many days there are; raises DaysMissing where some are missing."""
    total = len(window)
    logger.info("%s: %d of %d days", window, total - len(missing), total)
    if missing:
        raise DaysMissing(
            f"{len(missing)} of {total} days are missing: {listed_days(missing)}; {advice}"
        )
