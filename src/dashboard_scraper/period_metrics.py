"""The forms with dates: one period's figures as the dashboard sums them, in one CSV."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date
from pathlib import Path

from dashboard_scraper.client import DashboardSource
from dashboard_scraper.config import Endpoint, Settings
from dashboard_scraper.date_utils import Window
from dashboard_scraper.export import records_csv, tenant_csv, users_csv
from dashboard_scraper.files import Publication, make_folder, replaced_or_set_aside
from dashboard_scraper.user_records import OtherRecords

logger = logging.getLogger(__name__)

TENANT_SUFFIX = "_tenant"


def default_name(window: Window, today: date, *, asked_for: bool) -> str:
    """The file's name: the dates that were asked for, or the current date where none were."""
    if not asked_for:
        return f"metrics_{today:%Y%m%d}.csv"
    if window.start == window.end:
        return f"metrics_{window.start:%Y%m%d}.csv"
    return f"metrics_{window.start:%Y%m%d}_to_{window.end:%Y%m%d}.csv"


def tenant_path(users_path: Path) -> Path:
    """The sibling of the users' file that holds the tenant's figures."""
    return users_path.with_name(f"{users_path.stem}{TENANT_SUFFIX}{users_path.suffix}")


def export_period(
    make_source: Callable[[], DashboardSource], settings: Settings, window: Window, target: Path
) -> list[Path]:
    """Fetch the selected endpoints and write their files, all or none; returns the paths.

    If it fails, files of an earlier run under the same names are set aside.
    """
    selected = settings.scrape_endpoints
    files: dict[Path, bytes] = {}
    targets = []
    if Endpoint.USERS in selected:
        targets.append(target)
    if selected - {Endpoint.USERS}:
        targets.append(tenant_path(target))
    with replaced_or_set_aside(targets):
        source = make_source()
        if Endpoint.USERS in selected:
            files[target] = _users(source, window)
        if selected - {Endpoint.USERS}:
            files[tenant_path(target)] = tenant_csv(source.fetch_tenant(window))
        make_folder(target.parent)
        with Publication() as publication:
            for path, data in files.items():
                publication.add(path, data)
            publication.publish()
    return targets


def _users(source: DashboardSource, window: Window) -> bytes:
    answer = source.fetch_users(window)
    if isinstance(answer, OtherRecords):
        logger.warning("%s: %d records that are no user statistics", window, len(answer.records))
        return records_csv(answer.records)
    if not answer:
        logger.warning("%s: the source answered without a single record", window)
    logger.info("%s: %d users", window, len(answer))
    return users_csv(answer)
