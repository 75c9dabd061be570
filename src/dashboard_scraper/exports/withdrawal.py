"""What a run that failed leaves of an export that is there: what is right still, and says so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime

import msgspec

from dashboard_scraper.errors import OutputFailed, ScraperError, StoreFailed
from dashboard_scraper.exports.bundle import add_notes, all_paths, day_paths, made_with
from dashboard_scraper.exports.daily_export import DailyExport, reason_of
from dashboard_scraper.exports.manifest import (
    Failure,
    Manifest,
    ManifestDay,
    encoded,
    is_as_listed,
    read_manifest,
)
from dashboard_scraper.exports.notes import NOTES, is_anothers
from dashboard_scraper.files import Publication, set_aside
from dashboard_scraper.model.doubts import Doubt, doubts_in
from dashboard_scraper.store import LedgerDay, Reader, Store

logger = logging.getLogger(__name__)

_INTERRUPTED = 130


def withdraw(
    store: Store, export: DailyExport, clock: Callable[[], datetime], error: BaseException
) -> None:
    """Set aside what would look fresh and is not, and write a manifest that says why.

    A day's files stay where the manifest vouches for them, the day had settled when it was fetched,
    the store has it whole and as it was, and the settings would make the same files. All that is
    made from several days is set aside, and everything where nothing stays or the manifest
    cannot be written.
    """
    failure = _failure(export, clock(), error)
    before = read_manifest(export.manifest_path)
    staying = _staying(store, export, before) if before and failure else {}
    doubts = doubts_in(staying.values(), export.tolerance)
    stays = {export.manifest_path, *day_paths(export, staying)}
    stays |= {export.notes_path} if doubts else set()
    ours = [path for path in all_paths(export) if path.name != NOTES or not is_anothers(path)]
    others = [path for path in ours if path not in stays]
    # The manifest first, since it vouches for the others.
    if not (before and failure and staying):
        set_aside([export.manifest_path, *others])
        return
    # That of a failure is replaced: what was set aside is of the run before.
    set_aside(others if before.failed else [export.manifest_path, *others])
    try:
        _publish(export, before, staying, doubts, failure)
    except OutputFailed as second:
        logger.error("%s", second)  # noqa: TRY400 - the run ends with the first error
        set_aside(path for path in ours if path in stays)
        return
    logger.warning(
        "%d days had settled and stay in %s; its manifest says that this run failed",
        len(staying),
        export.folder,
    )


def _failure(export: DailyExport, now: datetime, error: BaseException) -> Failure | None:
    """What the manifest is to say; None where nobody knows what is right, or nothing can be said.

    Whoever could not write a file will not be able to write a manifest.
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
    if before.made_with != made_with(export):
        return {}
    days = [told for told in before.days if told.settled and _has_its_files(export, told)]
    try:
        with store.reading() as reader:
            ledger = reader.ledger(export.source, export.window)
            days = [
                _marked(told, ledger[told.day])
                for told in days
                if _is_kept(reader, ledger.get(told.day), told)
            ]
    except StoreFailed as failed:
        # What is damaged says nothing. Where it cannot be asked, the manifest's word is all, but
        # for days that this run fetched before.
        days = [told for told in days if failed.is_away and told.day not in store.put_days]
    except ScraperError:  # it is another store than before
        days = []
    return {told.day: told for told in days}


def _is_kept(reader: Reader, kept: LedgerDay | None, told: ManifestDay) -> bool:
    """Whether the store has the day as it was, and whole."""
    if kept is None or (kept.fetched_at, kept.forgotten) != (told.fetched_at, told.forgotten):
        return False
    try:
        reader.day(kept)
    except StoreFailed:
        return False
    return True


def _marked(told: ManifestDay, kept: LedgerDay) -> ManifestDay:
    """What came to be in doubt since is in doubt in these files too."""
    return msgspec.structs.replace(told, suspicious=kept.suspicious, held=kept.held)


def _has_its_files(export: DailyExport, told: ManifestDay) -> bool:
    files = told.files or []
    names = {path.name for path in day_paths(export, [told.day])}
    return {file.name for file in files} == names and all(
        is_as_listed(export.folder, file) for file in files
    )


def _publish(
    export: DailyExport,
    before: Manifest,
    staying: Mapping[date, ManifestDay],
    doubts: Sequence[Doubt],
    failure: Failure,
) -> None:
    with Publication(export.outputs.mode) as publication:
        manifest = msgspec.structs.replace(
            before,
            failed=failure,
            days=[
                staying.get(day) or ManifestDay(day, "failed", failure.reason)
                for day in export.window.days()
            ],
            aggregated=None,
            github_reports=[],
            report=None,
            others=msgspec.UNSET,
            notes=add_notes(publication, export, doubts),
            tolerance=export.tolerance.as_numbers() or msgspec.UNSET,
        )
        publication.add(export.manifest_path, encoded(manifest))
        publication.publish()
