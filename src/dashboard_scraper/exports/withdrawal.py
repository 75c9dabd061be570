"""After a failed run: withdraw stale files of the export on disk, and mark valid ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import date, datetime

import msgspec

from dashboard_scraper.clock import Clock
from dashboard_scraper.errors import OutputFailed, ScraperError, StoreFailed
from dashboard_scraper.exports.bundle import add_notes
from dashboard_scraper.exports.cost_files import is_costs
from dashboard_scraper.exports.daily_export import DailyExport, reason_of
from dashboard_scraper.exports.formats import all_paths, day_paths, made_with, unwritten_of
from dashboard_scraper.exports.manifest import (
    Failure,
    Manifest,
    ManifestDay,
    encoded,
    is_as_listed,
    read_manifest,
)
from dashboard_scraper.exports.notes import NOTES, is_foreign
from dashboard_scraper.exports.stored_costs import cost_doubts
from dashboard_scraper.files import set_aside
from dashboard_scraper.model.doubts import Doubt, doubts_in
from dashboard_scraper.publication import Publication
from dashboard_scraper.store import CostLedgerDay, LedgerDay, Reader, Store

logger = logging.getLogger(__name__)

_INTERRUPTED = 130


def withdraw(store: Store, export: DailyExport, clock: Clock, error: BaseException) -> None:
    """Set aside files that would look fresh but are not, and write a manifest that says why.

    A day's files stay if the manifest vouches for them, the day was settled when it was fetched,
    the store still has the day complete and unchanged, and the current settings would write the
    same files. Files built from several days are always set aside; so is everything if no day stays
    or the manifest cannot be written.
    """
    failure = _failure(export, clock(), error)
    before = read_manifest(export.manifest_path)
    staying = _staying(store, export, before) if before and failure else {}
    doubts = _doubts(staying, export)
    stays = {export.manifest_path}
    stays |= {export.folder / file.name for day in staying.values() for file in day.files or []}
    stays |= {export.notes_path} if staying and (doubts or unwritten_of(export)) else set()
    ours = [path for path in all_paths(export) if path.name != NOTES or not is_foreign(path)]
    others = [path for path in ours if path not in stays]
    # The manifest goes first: a crash in between must not leave it vouching for files set aside.
    if not (before and failure and staying):
        set_aside([export.manifest_path, *others])
        return
    # After an earlier failure, its manifest is overwritten instead: the copy that was set aside is
    # from the last good run, and worth more than a manifest of a failure.
    set_aside(others if before.failed else [export.manifest_path, *others])
    try:
        _publish(export, before, staying, doubts, failure)
    except OutputFailed as second:
        logger.error("%s", second)  # noqa: TRY400 - the run ends with the first error
        set_aside(path for path in ours if path in stays)
        return
    logger.warning(
        "the files of %d settled days stay in %s; its manifest says that this run failed",
        len(staying),
        export.folder,
    )


def _failure(export: DailyExport, now: datetime, error: BaseException) -> Failure | None:
    """The manifest's entry for an error; None for unexpected ones, after which no file is trusted.

    Also None for OutputFailed: a run that could not write its files cannot write a manifest either.
    """
    at = now.replace(microsecond=0)
    if isinstance(error, ScraperError) and not isinstance(error, OutputFailed):
        return Failure(at, error.exit_code, reason_of(error, export.audience.rename))
    if isinstance(error, KeyboardInterrupt):
        return Failure(at, _INTERRUPTED, "the run was interrupted")
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return Failure(at, error.code, "the run was told to end")
    return None


def _staying(store: Store, export: DailyExport, before: Manifest) -> dict[date, ManifestDay]:
    if (before.source, before.made_with) != (export.source, made_with(export)):
        return {}
    days = [listed for listed in before.days if listed.settled and _has_its_files(export, listed)]
    try:
        with store.reading() as reader:
            ledger = reader.ledger(export.source, export.window)
            costs = reader.cost_ledger(export.source, export.window)
            days = [
                _with_costs_of(reader, _with_doubts_of(listed, ledger[listed.day]), costs)
                for listed in days
                if _is_unchanged(reader, ledger.get(listed.day), listed)
            ]
    except StoreFailed as failed:
        # If the store is damaged, nothing is trusted. While its server is unavailable, the manifest
        # is the only evidence, but not for days that this run stored before it failed.
        days = [
            _without_costs(listed)
            for listed in days
            if failed.is_away and listed.day not in store.put_days
        ]
    except ScraperError:  # not the store from which the files were written
        days = []
    return {listed.day: listed for listed in days}


def _is_unchanged(reader: Reader, stored: LedgerDay | None, listed: ManifestDay) -> bool:
    """Whether the store still has the day, complete and from the same fetch."""
    if stored is None:
        return False
    if (stored.fetched_at, stored.forgotten) != (listed.fetched_at, listed.forgotten):
        return False
    try:
        reader.day(stored)
    except StoreFailed:
        return False
    return True


def _with_doubts_of(listed: ManifestDay, stored: LedgerDay) -> ManifestDay:
    """The day with doubts that arose after its files were written, since they hold for these files
    too.
    """
    return msgspec.structs.replace(listed, suspicious=stored.suspicious, held=stored.held)


def _with_costs_of(
    reader: Reader, listed: ManifestDay, stored: Mapping[date, CostLedgerDay]
) -> ManifestDay:
    """The day, without its file of costs unless that was settled and the store still has them."""
    row, costs = stored.get(listed.day), listed.costs
    if row is None or costs is None or not costs.settled:
        return _without_costs(listed)
    if (row.version, row.fetched_at, row.forgotten) != (
        costs.version,
        costs.fetched_at,
        costs.forgotten,
    ):
        return _without_costs(listed)
    try:
        reader.costs(row)
    except StoreFailed:
        return _without_costs(listed)
    return listed


def _without_costs(listed: ManifestDay) -> ManifestDay:
    files = [file for file in listed.files or [] if not is_costs(file.name)]
    return msgspec.structs.replace(listed, costs=None, files=files)


def _has_its_files(export: DailyExport, listed: ManifestDay) -> bool:
    files = listed.files or []
    names = {
        path.name
        for path in day_paths(export, [listed.day])
        if listed.costs is not None or not is_costs(path.name)
    }
    return {file.name for file in files} == names and all(
        is_as_listed(export.folder, file) for file in files
    )


def _doubts(staying: Mapping[date, ManifestDay], export: DailyExport) -> list[Doubt]:
    unreconciled = {
        day: listed.costs.unreconciled
        for day, listed in staying.items()
        if listed.costs and listed.costs.unreconciled
    }
    return [*doubts_in(staying.values(), export.tolerance), *cost_doubts(unreconciled)]


def _has_costs(listed: ManifestDay | None) -> bool:
    return listed is not None and listed.costs is not None


def _publish(
    export: DailyExport,
    before: Manifest,
    staying: Mapping[date, ManifestDay],
    doubts: Sequence[Doubt],
    failure: Failure,
) -> None:
    with Publication(export.outputs.mode) as publication:
        without = [day for day in export.window.days() if not _has_costs(staying.get(day))]
        expected = before.missing_costs is not msgspec.UNSET
        manifest = msgspec.structs.replace(
            before,
            days_before_github_reports=msgspec.UNSET,
            missing_costs=without if expected else msgspec.UNSET,
            failed=failure,
            days=[
                staying.get(day) or ManifestDay(day, "failed", failure.reason)
                for day in export.window.days()
            ],
            aggregated=None,
            github_reports=[],
            report=None,
            others=msgspec.UNSET,
            notes=add_notes(publication, export, doubts, unwritten_of(export)),
            tolerance=export.tolerance.as_numbers() or msgspec.UNSET,
        )
        publication.add(export.manifest_path, encoded(manifest))
        publication.publish()
