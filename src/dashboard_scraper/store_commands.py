"""What the commands do that need no network: on what the store holds."""

from __future__ import annotations

import dataclasses
import sys
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from dashboard_scraper.config import Settings
from dashboard_scraper.date_utils import Window, utc_day
from dashboard_scraper.errors import UsageError
from dashboard_scraper.export_command import give_out_kept
from dashboard_scraper.export_folders import PARQUET, folder_as_of
from dashboard_scraper.report.options import MOST_DAYS, REPORT
from dashboard_scraper.running import (
    daily_export,
    prepare_for_many_records,
    report_options,
    rules_of,
    tell,
    utc_now,
)
from dashboard_scraper.status import StoreStatus, as_text, raise_if_stale, status_of
from dashboard_scraper.store import store_of


def export_files(
    settings: Settings, window: Window, folder: Path | None, as_of: datetime | None = None
) -> None:
    """`export`, and the daily forms with `--offline`."""
    prepare_for_many_records()
    store, rules = store_of(settings), rules_of(settings)
    export = daily_export(settings, window, folder.absolute() if folder else None)
    if as_of is None:
        verdict = give_out_kept(store, export, rules, utc_now)
    else:
        if folder is None:
            export = dataclasses.replace(export, folder=folder_as_of(export.folder, as_of))
        verdict = give_out_kept(store.as_of(as_of), export, rules, lambda: as_of)
    tell(export.results())
    verdict.conclude()


def write_report(settings: Settings, window: Window | None, now: datetime) -> None:
    """`report`: one page, of the window or of the newest days; UsageError for too many days."""
    from dashboard_scraper.report_command import write_page  # noqa: PLC0415 - with the templates

    if window and len(window) > MOST_DAYS:
        raise UsageError(f"{window} are {len(window):,} days; a page shows {MOST_DAYS} at most")
    prepare_for_many_records()
    options = report_options(settings)
    target = settings.export_dir / REPORT
    store, mode = store_of(settings), settings.file_mode
    write_page(store, settings.source, window, options, target, utc_day(now), mode)
    tell([target.absolute().as_uri()])


def export_parquet(
    settings: Settings, window: Window, target: str | None, as_of: datetime | None = None
) -> None:
    """`export --format parquet`; `target` is a folder or the URL of an object store."""
    from dashboard_scraper.parquet_export import export_days  # noqa: PLC0415 - an extra

    store = store_of(settings)
    folder = settings.export_dir / PARQUET
    if as_of is not None:
        store = store.as_of(as_of)
        folder = folder_as_of(folder, as_of)
    place = target or str(folder)
    with settings.libraries.of_object_stores():
        export = daily_export(settings, window, None)
        place, verdict = export_days(store, export, place, rules_of(settings))
    tell([place])
    verdict.conclude()


def tell_status(
    settings: Settings, now: datetime, *, as_json: bool, max_age: timedelta | None, check: bool
) -> None:
    """`status`; what is wrong is raised after all is told."""
    store = store_of(settings)
    status = StoreStatus(store.shown, [])
    if store.exists():
        with store.reading() as reader:
            status = status_of(
                reader, store.shown, settings.settle_days, now, settings.reconcile_tolerance
            )
    if as_json:
        sys.stdout.write(f"{msgspec.json.format(msgspec.json.encode(status)).decode()}\n")
    else:
        sys.stdout.write(as_text(status))
    sys.stdout.flush()
    if check:
        from dashboard_scraper.sources import check_credentials  # noqa: PLC0415 - these fetch

        check_credentials(settings, now)
    if max_age is not None:
        raise_if_stale(status, settings.source, max_age, now)
