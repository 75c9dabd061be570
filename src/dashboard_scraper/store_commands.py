"""What the commands do that need no network: on what the store holds."""

from __future__ import annotations

import contextlib
import logging
import sys
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from dashboard_scraper.config import Settings
from dashboard_scraper.daily_export import give_out_kept
from dashboard_scraper.date_utils import Window, last_complete_days, utc_day
from dashboard_scraper.errors import UsageError
from dashboard_scraper.pseudonyms import rename_of
from dashboard_scraper.running import daily_export, prepare_for_many_records, tell
from dashboard_scraper.status import StoreStatus, as_text, raise_if_stale, status_of
from dashboard_scraper.store import store_at
from dashboard_scraper.usage import DASHBOARD

logger = logging.getLogger(__name__)


def export_files(settings: Settings, window: Window, folder: Path | None) -> None:
    """`export`, and the daily forms with `--offline`."""
    prepare_for_many_records()
    export = daily_export(settings, window, folder.absolute() if folder else None)
    tell([give_out_kept(store_at(settings.store_url), DASHBOARD, export)])


def export_parquet(settings: Settings, window: Window, target: str | None) -> None:
    """`export --format parquet`; `target` is a folder or the URL of an object store."""
    from dashboard_scraper.parquet_export import export_days  # noqa: PLC0415 - an extra

    store = store_at(settings.store_url)
    place = target or str(settings.export_dir / "parquet")
    rename = rename_of(settings.pseudonym_key_file)
    tell([export_days(store, DASHBOARD, window, place, rename)])


def tell_status(
    settings: Settings, now: datetime, *, as_json: bool, max_age: timedelta | None, check: bool
) -> None:
    """`status`; what is wrong is raised after all is told."""
    store = store_at(settings.store_url)
    status = StoreStatus(store.shown, [])
    if store.exists():
        with store.reading() as reader:
            status = status_of(reader, store.shown, settings.settle_days, now)
    if as_json:
        sys.stdout.write(f"{msgspec.json.format(msgspec.json.encode(status)).decode()}\n")
    else:
        sys.stdout.write(as_text(status))
    sys.stdout.flush()
    if check:
        from dashboard_scraper.client import DashboardSource  # noqa: PLC0415 - the one that fetches

        with contextlib.closing(DashboardSource(settings)) as source:
            source.check(last_complete_days(1, utc_day(now)))
        logger.info("the dashboard accepts the session")
    if max_age is not None:
        raise_if_stale(status, max_age, now)


def forget(settings: Settings, user: str) -> None:
    """`forget`; UsageError where nothing is kept of the person."""
    store = store_at(settings.store_url)
    if not store.exists():
        raise UsageError(f"there is no store at {store.shown}; mend STORE_URL")
    with store.locked(), store.opened():
        rows = store.forget(user)
    if not rows:
        raise UsageError(f"{store.shown} has no day of {user}; write the address as in the CSV")
    sys.stdout.write(f"{rows} rows removed\n")
    logger.warning(
        "files that were written before still have %s: export them again. Days that are fetched"
        " again bring the person back for as long as the source has them",
        user,
    )
