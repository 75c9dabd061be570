"""Exports days from the store as files, Parquet, Iceberg or FOCUS."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec

from dashboard_scraper.cli.memory import prepare_for_many_records
from dashboard_scraper.cli.output import print_lines
from dashboard_scraper.cli.wiring import daily_export, rules_of
from dashboard_scraper.clock import utc_now
from dashboard_scraper.errors import UsageError
from dashboard_scraper.exports.daily_export import DailyExport
from dashboard_scraper.exports.day_workers import DayWorkers, usable_processors
from dashboard_scraper.exports.export_folders import FOCUS, PARQUET, folder_as_of
from dashboard_scraper.exports.stored_export import export_stored
from dashboard_scraper.model.dates import Window
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.settings.groups import LAKE_PREFIX
from dashboard_scraper.store import Store, store_of

logger = logging.getLogger(__name__)


def export_files(
    settings: Settings, window: Window, folder: Path | None, as_of: datetime | None = None
) -> None:
    """`export`, and the daily jobs with `--offline`."""
    store, export = _opened(settings, window, folder, as_of)
    # Other processes do not wait for a server, since this one would have to wait for them.
    hasty = settings.model_copy(update={"retry_budget_seconds": 0})
    others = min(settings.export_processes, usable_processors()) - 1
    workers = DayWorkers(partial(_opened, hasty, window, folder, as_of), others)
    clock = utc_now if as_of is None else lambda: as_of
    verdict = export_stored(store, export, rules_of(settings), clock, workers)
    print_lines(export.results())
    verdict.conclude()


def _opened(
    settings: Settings, window: Window, folder: Path | None, as_of: datetime | None
) -> tuple[Store, DailyExport]:
    prepare_for_many_records()
    store = store_of(settings)
    export = daily_export(settings, window, folder.absolute() if folder else None)
    if as_of is None:
        return store, export
    if folder is None:
        export = msgspec.structs.replace(export, folder=folder_as_of(export.folder, as_of))
    return store.as_of(as_of), export


def export_parquet(
    settings: Settings, window: Window, target: str | None, as_of: datetime | None = None
) -> None:
    """`export --format parquet`; `target` is a folder or the URL of an object store."""
    from dashboard_scraper.exports.parquet_export import export_days  # noqa: PLC0415 - an extra

    store, folder = _store_and_folder(settings, PARQUET, as_of)
    place = target or str(folder)
    with settings.libraries.of_object_stores():
        export = daily_export(settings, window, None)
        place, verdict = export_days(store, export, place, rules_of(settings))
    print_lines([place])
    verdict.conclude()


def _store_and_folder(settings: Settings, name: str, as_of: datetime | None) -> tuple[Store, Path]:
    """The store, as of the moment if one is given, and the usual folder of its files."""
    store, folder = store_of(settings), settings.export_dir / name
    if as_of is None:
        return store, folder
    return store.as_of(as_of), folder_as_of(folder, as_of)


def export_focus(
    settings: Settings,
    window: Window,
    target: str | None,
    as_of: datetime | None,
    *,
    several: bool,
) -> None:
    """`export --format focus`; `target` is a folder. A source without costs is an error, unless it
    is one of `several`.
    """
    from dashboard_scraper.exports.focus_export import export_days  # noqa: PLC0415 - an extra
    from dashboard_scraper.exports.stored_costs import reason_without_costs  # noqa: PLC0415

    reason = reason_without_costs(settings.source)
    if several and reason:
        logger.info("%s", reason)
        return
    store, folder = _store_and_folder(settings, FOCUS, as_of)
    folder = Path(target or folder).absolute()
    export = daily_export(settings, window, None)
    account = settings.focus_billing_account_id
    verdict = export_days(store, export, folder, account, rules_of(settings))
    print_lines([folder])
    verdict.conclude()


def export_lake(
    settings: Settings, window: Window, target: str, expire_days: int | None = None
) -> None:
    """`export --format iceberg`; `target` is a folder, or names a catalogue of pyiceberg."""
    from dashboard_scraper.exports.iceberg_export import export_days  # noqa: PLC0415 - an extra

    url = target
    if not url.startswith(LAKE_PREFIX):
        if "://" in url:
            raise UsageError(
                f"--out: {url}: name a folder, or {LAKE_PREFIX}CATALOG/NAMESPACE; where a"
                " catalogue puts its tables is in its own configuration"
            )
        url = f"{LAKE_PREFIX}/{Path(url).absolute()}"
    if url == settings.store_url:
        raise UsageError(f"--out: {url} is the store that is read; name another place")
    with settings.libraries.of_object_stores():
        export = daily_export(settings, window, None)
        before = None if expire_days is None else utc_now() - timedelta(expire_days)
        store, rules = store_of(settings), rules_of(settings)
        place, verdict = export_days(store, export, url, rules, before)
    print_lines([place])
    verdict.conclude()
