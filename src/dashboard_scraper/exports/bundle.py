"""All files of an export, in every format, and the manifest that vouches for them."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec

from dashboard_scraper.errors import NotPublished, ScraperError
from dashboard_scraper.exports.copilot_files import CopilotFiles
from dashboard_scraper.exports.cost_files import CostFiles
from dashboard_scraper.exports.csv_files import CsvFiles
from dashboard_scraper.exports.daily_export import DailyExport, reason_of
from dashboard_scraper.exports.earlier_files import EarlierFiles
from dashboard_scraper.exports.github_files import GithubFiles
from dashboard_scraper.exports.github_record_files import GithubRecordFiles
from dashboard_scraper.exports.manifest import (
    CostsOfDay,
    Manifest,
    ManifestDay,
    encoded,
    fields_of_window,
    read_manifest,
)
from dashboard_scraper.exports.notes import is_foreign, notes_text, refuse_foreign
from dashboard_scraper.exports.page_file import PageFile
from dashboard_scraper.exports.stored_costs import StoredCosts, cost_doubts
from dashboard_scraper.files import (
    STALE_SUFFIX,
    behind_links,
    explained,
    flush_folder,
    make_folder,
    remove_leftovers_beside,
    set_aside,
    turn_in,
)
from dashboard_scraper.github.recorded import no_records, unrecorded
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.doubts import Doubt, doubts_in
from dashboard_scraper.model.listing import listed_days
from dashboard_scraper.model.metrics import METRICS, USER_COUNT, Figures, Kind
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.output import Output, OutputDay, OutputFile, OutputRun, Unwritten
from dashboard_scraper.publication import Publication, WrittenFile
from dashboard_scraper.shown_people import ShownPeople
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.spans import measured
from dashboard_scraper.store import CostLedgerDay, LedgerDay, Reader
from dashboard_scraper.store.settling import is_settled

logger = logging.getLogger(__name__)


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
    """The same without those that need what the source does not know."""
    source = info_of(export.source)
    return [each for each in outputs_of(export) if not (each.needs and each.needs.unmet(source))]


def unwritten_of(export: DailyExport) -> list[Unwritten]:
    """Why the others are not written."""
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

    It covers the identities, and what every format writes for two made-up users: so any setting or
    program version that would change a file changes the digest, without a list of such settings.
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
    shown = export.audience.shown(users)
    digest = hashlib.sha256()
    for output in written_of(export):
        for chunk in output.sample(shown):
            digest.update(chunk)
    people = (dict(export.audience.identities), export.audience.people.known)
    digest.update(msgspec.json.encode(people, order="sorted"))
    return digest.hexdigest()


_ANY_WINDOW = Window(date(2000, 1, 1), date(2000, 1, 1))


@measured("write files")
def write_files(
    reader: Reader, export: DailyExport, failures: Mapping[date, ScraperError], now: datetime
) -> list[Doubt]:
    """Write the files of every stored day that did not fail; returns what is in doubt of them.

    The manifest is written last, since it vouches for all other files.
    """
    outputs, unwritten = written_of(export), [*unwritten_of(export)]
    ledger = reader.ledger(export.source, _reach(outputs))
    stored = {day: row for day, row in ledger.items() if day not in failures}
    of_window = [row for day, row in stored.items() if day in export.window]
    missing = [day for day in export.window.days() if day not in stored]
    without_records = _without_records(reader, export)
    if without_records:
        unwritten.append(_gap(without_records))
    doubts = doubts_in(of_window, export.tolerance)
    costs = StoredCosts(reader, export)
    make_folder(export.folder, export.outputs.mode)
    remove_leftovers_beside(all_paths(export))
    with Publication(export.outputs.mode) as publication:
        all_doubts = [*doubts, *cost_doubts(costs.unreconciled)]
        notes = add_notes(publication, export, all_doubts, unwritten)
        run = _run_of(reader, publication, export, missing)
        days = [_missing_day(day, failures.get(day), export) for day in missing]
        days += _feed_outputs(outputs, run, stored.values(), export, now)
        days = _with_costs(days, costs, export, now)
        _warn_of_unexplained_absence(of_window)
        written = [file for output in outputs for file in output.finish()]
        manifest = _manifest(export, days, written, notes, unwritten, without_records, costs)
        content = encoded(manifest)
        publication.add(export.manifest_path, content)
        _warn_of_other_windows(export, manifest)
        with _set_aside_meanwhile(behind_links(export.manifest_path), content):
            _set_aside_unwritten(export, manifest)
            publication.publish()
    for each in unwritten:
        logger.info("%s: not written: %s", export.window, each.reason)
    return doubts


def _run_of(
    reader: Reader, publication: Publication, export: DailyExport, missing: Collection[date]
) -> OutputRun:
    audience = export.audience
    spellings = reader.spellings(
        export.source, export.window, service_accounts=audience.service_accounts
    )
    return OutputRun(
        reader,
        publication,
        export.source,
        audience,
        audience.naming(spellings),
        missing,
        export.window,
        formats=made_with(msgspec.structs.replace(export, window=_ANY_WINDOW)),
        earlier=EarlierFiles(export),
    )


def _reach(outputs: Collection[Output]) -> Window:
    """The smallest window with every day that some output reads."""
    reaches = [output.reach for output in outputs]
    return Window(min(each.start for each in reaches), max(each.end for each in reaches))


def _feed_outputs(
    outputs: Sequence[Output],
    run: OutputRun,
    stored: Iterable[LedgerDay],
    export: DailyExport,
    now: datetime,
) -> list[ManifestDay]:
    """Pass each day to every output that reads it; returns the window's days for the manifest."""
    days = []
    people = ShownPeople(run.reader, run.source, run.window, run.audience)
    for output in outputs:
        output.begin(run)
    for row in stored:
        as_stored = row.day in export.window and not run.audience.anonymous
        as_stored = as_stored and people.listed(row.day).bit_count() == row.users
        day = OutputDay(run.reader, row, run.audience, as_stored=as_stored)
        for output in outputs:
            if row.day in output.reach:
                output.add_day(day)
        if row.day in export.window:
            settled = is_settled(row, export.settle_days, now)
            days.append(_stored_day(row, people, settled=settled))
    return days


def _stored_day(row: LedgerDay, people: ShownPeople, *, settled: bool) -> ManifestDay:
    return ManifestDay(
        row.day,
        row.status.value,
        fetched_at=row.fetched_at,
        settled=settled,
        users=people.listed(row.day).bit_count(),
        active_users=people.active(row.day).bit_count(),
        unreconciled=row.unreconciled,
        suspicious=row.suspicious,
        held=row.held,
        forgotten=row.forgotten,
        files=[],
    )


def _with_costs(
    days: Iterable[ManifestDay], costs: StoredCosts, export: DailyExport, now: datetime
) -> list[ManifestDay]:
    """The days, those that have files with what is known of their costs."""
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
        return ManifestDay(day, "missing", "not in the store")
    status = "unpublished" if isinstance(failure, NotPublished) else "failed"
    return ManifestDay(day, status, reason_of(failure, export.audience.rename))


def _manifest(
    export: DailyExport,
    days: Iterable[ManifestDay],
    written: Sequence[OutputFile],
    notes: WrittenFile | None,
    unwritten: list[Unwritten],
    without_records: Collection[date],
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
        missing_costs=(
            [day.day for day in days if day.costs is None] if costs.expected else msgspec.UNSET
        ),
        **fields_of_window((file.field, file.written) for file in written if file.day is None),
    )


def _without_records(reader: Reader, export: DailyExport) -> list[date]:
    """The days of which a source that has records has none in the store."""
    if not info_of(export.source).has_records:
        return []
    return unrecorded(reader, export.source, export.window)


def _gap(days: Collection[date]) -> Unwritten:
    reason = f"GitHub's reports leave out days without records: {no_records(days)}"
    return Unwritten("GitHub's reports", [], reason)


def _warn_of_other_windows(export: DailyExport, manifest: Manifest) -> None:
    """A folder may collect the days of several exports, but has the manifest of one."""
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
    """Set an earlier manifest aside until the new one is in its place: it must not vouch for files
    of two exports where the program is killed while it renames them.
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
    """Set aside what an earlier run wrote and this one did not, lest it look like this run's."""
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
) -> WrittenFile | None:
    """Write the notes that CSV and JSON have no place for; None where there is nothing to note."""
    if not (doubts or unwritten):
        return None
    refuse_foreign(export.notes_path)
    text = notes_text(doubts, [each.reason for each in unwritten])
    return publication.add(export.notes_path, text)


def _warn_of_unexplained_absence(stored: Iterable[LedgerDay]) -> None:
    """Days without users deserve a warning, unless the source's own total confirms that."""
    unconfirmed = [
        row.day for row in stored if not row.users and USER_COUNT.name not in (row.totals or {})
    ]
    if unconfirmed:
        logger.warning("%s: the source answered without a single user", listed_days(unconfirmed))
