"""All files of an export, in every format, and the manifest that vouches for them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path

import msgspec

from dashboard_scraper.errors import NotPublished, ScraperError
from dashboard_scraper.exports.daily_export import DailyExport, reason_of
from dashboard_scraper.exports.day_workers import NO_WORKERS, DayWorkers
from dashboard_scraper.exports.days_before import DaysBefore, days_before_reports
from dashboard_scraper.exports.feed import Feed, reach_of
from dashboard_scraper.exports.formats import (
    all_paths,
    made_with,
    outputs_of,
    unwritten_of,
    written_of,
)
from dashboard_scraper.exports.manifest import (
    CostsOfDay,
    Manifest,
    ManifestDay,
    encoded,
    fields_of_window,
    missing_day,
    read_manifest,
)
from dashboard_scraper.exports.notes import is_foreign, notes_text, refuse_foreign
from dashboard_scraper.exports.stored_costs import StoredCosts, cost_doubts
from dashboard_scraper.files import (
    STALE_SUFFIX,
    behind_links,
    explained,
    flush_folder,
    folders_of,
    make_folder,
    set_aside,
    turn_in,
)
from dashboard_scraper.github.recorded import no_records, unrecorded
from dashboard_scraper.leftovers import remove_leftovers
from dashboard_scraper.model.doubts import Doubt, doubts_in
from dashboard_scraper.model.listing import listed_days
from dashboard_scraper.model.metrics import USER_COUNT
from dashboard_scraper.output import OutputFile, Unwritten
from dashboard_scraper.publication import Publication, WrittenFile
from dashboard_scraper.shown_people import ShownPeople
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.spans import measured
from dashboard_scraper.store import CostLedgerDay, LedgerDay, Reader
from dashboard_scraper.store.settling import is_settled

logger = logging.getLogger(__name__)

_NONE_BEFORE = DaysBefore()


@measured("write files")
def write_files(
    reader: Reader,
    export: DailyExport,
    failures: Mapping[date, ScraperError],
    now: datetime,
    workers: DayWorkers = NO_WORKERS,
) -> list[Doubt]:
    """Write the files of every stored day that did not fail; returns the doubts about them.

    The manifest is written last, since it vouches for all other files.
    """
    outputs, unwritten = written_of(export), [*unwritten_of(export)]
    ledger = reader.ledger(export.source, reach_of(outputs))
    stored = {day: row for day, row in ledger.items() if day not in failures}
    of_window = [row for day, row in stored.items() if day in export.window]
    missing = [day for day in export.window.days() if day not in stored]
    without_records = _without_records(reader, export)
    if without_records:
        unwritten.append(_gap(without_records))
    doubts = doubts_in(of_window, export.tolerance)
    costs, before = StoredCosts(reader, export), days_before_reports(reader, export)
    make_folder(export.folder, export.outputs.mode)
    remove_leftovers(folders := folders_of(all_paths(export)))
    with contextlib.ExitStack() as stack:
        publication = stack.enter_context(Publication(export.outputs.mode))
        all_doubts = [*doubts, *cost_doubts(costs.unreconciled)]
        notes = add_notes(publication, export, all_doubts, unwritten, before)
        feed = Feed(outputs, reader, publication, export, missing)
        names = publication.names(export.folder)
        made_on = stack.enter_context(workers.working(of_window, names, folders))
        for row in stored.values():
            feed.add_day(row, made_on(row.day))
        days = [_missing_day(day, failures.get(day), export) for day in missing]
        days += [_stored_day(row, feed.people, export, now) for row in of_window]
        days = _with_costs(days, costs, export, now)
        _warn_of_unexplained_absence(of_window)
        written = [file for output in outputs for file in output.finish()]
        manifest = _manifest(
            export, days, written, notes, unwritten, without_records, before, costs
        )
        content = encoded(manifest)
        publication.add(export.manifest_path, content)
        _warn_of_other_windows(export, manifest)
        with _set_aside_meanwhile(behind_links(export.manifest_path), content):
            _set_aside_unwritten(export, manifest)
            publication.publish()
    for each in unwritten:
        logger.info("%s: not written: %s", export.window, each.reason)
    return doubts


def _stored_day(
    row: LedgerDay, people: ShownPeople, export: DailyExport, now: datetime
) -> ManifestDay:
    return ManifestDay(
        row.day,
        row.status.value,
        fetched_at=row.fetched_at,
        settled=is_settled(row, export.settle_days, now),
        users=people.listed(row.day).bit_count(),
        active_users=people.active(row.day).bit_count(),
        unreconciled=row.unreconciled,
        unchecked=row.totals is None,
        suspicious=row.suspicious,
        held=row.held,
        forgotten=row.forgotten,
        files=[],
    )


def _with_costs(
    days: Iterable[ManifestDay], costs: StoredCosts, export: DailyExport, now: datetime
) -> list[ManifestDay]:
    """The days, with what is known of their costs if they have files."""
    return [
        (
            msgspec.structs.replace(day, costs=_costs_of(row, export, now))
            if day.files is not None and (row := costs.days.get(day.day))
            else day
        )
        for day in days
    ]


def _costs_of(row: CostLedgerDay, export: DailyExport, now: datetime) -> CostsOfDay:
    return CostsOfDay(
        row.fetched_at,
        row.version,
        is_settled(row, export.cost_settle_days, now),
        row.unreconciled,
        row.forgotten,
    )


def _missing_day(day: date, failure: ScraperError | None, export: DailyExport) -> ManifestDay:
    if failure is None:
        return missing_day(day)
    status = "unpublished" if isinstance(failure, NotPublished) else "failed"
    return ManifestDay(day, status, reason_of(failure, export.audience.rename))


def _manifest(
    export: DailyExport,
    days: Iterable[ManifestDay],
    written: Sequence[OutputFile],
    notes: WrittenFile | None,
    unwritten: list[Unwritten],
    without_records: Collection[date],
    before: DaysBefore,
    costs: StoredCosts,
) -> Manifest:
    of_days: dict[date, list[WrittenFile]] = {}
    for file in written:
        if file.day is not None:
            of_days.setdefault(file.day, []).append(file.written)
    days = sorted(days, key=lambda day: day.day)
    return Manifest(
        source=export.source,
        start=export.window.start,
        end=export.window.end,
        days=[
            day if day.files is None else msgspec.structs.replace(day, files=of_days[day.day])
            for day in days
        ],
        notes=notes,
        tolerance=export.tolerance.as_numbers() or msgspec.UNSET,
        made_with=made_with(export),
        unwritten=unwritten or msgspec.UNSET,
        missing_from_github_reports=[
            day.day for day in days if day.files is None or day.day in without_records
        ]
        or msgspec.UNSET,
        days_before_github_reports=[*before.listed] or msgspec.UNSET,
        missing_costs=(
            [day.day for day in days if day.costs is None] if costs.expected else msgspec.UNSET
        ),
        **fields_of_window((file.field, file.written) for file in written if file.day is None),
    )


def _without_records(reader: Reader, export: DailyExport) -> list[date]:
    """The days without records in the store, if the source has records."""
    if not info_of(export.source).has_records:
        return []
    return unrecorded(reader, export.source, export.window)


def _gap(days: Collection[date]) -> Unwritten:
    reason = f"GitHub's reports leave out days without records: {no_records(days)}"
    return Unwritten("GitHub's reports", [], reason)


def _warn_of_other_windows(export: DailyExport, manifest: Manifest) -> None:
    """Warn if files of other windows stay: a folder may collect several exports, but has one
    manifest.
    """
    before = read_manifest(export.manifest_path)
    if before is None or (before.start, before.end) == (manifest.start, manifest.end):
        return
    listed = {file.name for file in manifest.files()}
    names = sorted(file.name for file in before.files() if file.name not in listed)
    left = [name for name in names if (export.folder / name).is_file()]
    if left:
        logger.warning(
            "%s also has %d files of %s to %s, such as %s: they stay as they are, and the new"
            " manifest does not list them",
            export.folder,
            len(left),
            before.start,
            before.end,
            left[0],
        )


@contextlib.contextmanager
def _set_aside_meanwhile(manifest: Path, content: bytes) -> Iterator[None]:
    """Set an earlier manifest aside until the new one is in its place: if the program is killed
    while it renames files, no manifest must vouch for files of two exports.
    """
    stale = manifest.with_name(manifest.name + STALE_SUFFIX)
    with explained(manifest), turn_in(manifest.parent):
        differs = manifest.exists() and manifest.read_bytes() != content
        if differs:
            manifest.replace(stale)
            flush_folder(manifest.parent)
    yield
    if differs:
        with explained(stale):
            stale.unlink(missing_ok=True)


def _set_aside_unwritten(export: DailyExport, manifest: Manifest) -> None:
    """Set aside files of an earlier run that this one did not write: they must not look like its
    own.
    """
    written = {export.folder / file.name for file in manifest.files()}
    for output in outputs_of(export):
        set_aside(path for path in output.targets() if path not in written)
    if manifest.notes is None and not is_foreign(export.notes_path):
        set_aside([export.notes_path])


def add_notes(
    publication: Publication,
    export: DailyExport,
    doubts: Sequence[Doubt],
    unwritten: Sequence[Unwritten],
    before: DaysBefore = _NONE_BEFORE,
) -> WrittenFile | None:
    """Write the notes that CSV and JSON have no place for; None if there is nothing to note.

    Of the missing days `before`, only gaps are noted: nobody expects days older than the store's.
    """
    reasons = [each.reason for each in unwritten]
    text = notes_text(doubts, reasons, before.doubts, before.gaps)
    if not text:
        return None
    refuse_foreign(export.notes_path)
    return publication.add(export.notes_path, text)


def _warn_of_unexplained_absence(stored: Iterable[LedgerDay]) -> None:
    """Warn of days without users, unless the source's own total confirms that there were none."""
    unconfirmed = [
        row.day for row in stored if not row.users and USER_COUNT.name not in (row.totals or {})
    ]
    if unconfirmed:
        logger.warning("%s: the source answered without a single user", listed_days(unconfirmed))
