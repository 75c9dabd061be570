"""The dashboard in the registry of sources: what the program needs before it opens it."""

from __future__ import annotations

import contextlib
import logging
from contextlib import AbstractContextManager
from datetime import date, datetime
from typing import TYPE_CHECKING

from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.dates import Window, last_complete_days, utc_day
from dashboard_scraper.sources.dashboard.fields import FIELDS, TENANT_TOTALS
from dashboard_scraper.sources.interface import Clock, Selection, SourceInfo
from dashboard_scraper.sources.registry import DASHBOARD

if TYPE_CHECKING:
    from dashboard_scraper.sources.dashboard.client import DashboardSource
    from dashboard_scraper.sources.dashboard.cookie_auth import CookieSession
    from dashboard_scraper.sources.dashboard.settings import DashboardSettings
    from dashboard_scraper.store import Store

logger = logging.getLogger(__name__)


def _open(
    settings: DashboardSettings, _store: Store, _clock: Clock
) -> AbstractContextManager[DashboardSource]:
    from dashboard_scraper.sources.dashboard.client import DashboardSource  # noqa: PLC0415

    return contextlib.closing(DashboardSource(settings))


def check_session(
    settings: DashboardSettings, today: date, session: CookieSession | None = None
) -> None:
    """Prove with one small request that the dashboard accepts the stored session, or this one."""
    from dashboard_scraper.sources.dashboard.client import DashboardSource  # noqa: PLC0415

    with contextlib.closing(DashboardSource(settings, session)) as source:
        source.check(last_complete_days(1, today))
    logger.info("the dashboard accepts the session")


def _check(settings: DashboardSettings, now: datetime) -> None:
    check_session(settings, utc_day(now))


def _check_period(window: Window, today: date) -> None:
    if window.end == today:
        logger.warning("%s has not ended yet, in UTC: its figures will still grow", today)


def _check_days(settings: DashboardSettings) -> None:
    from dashboard_scraper.sources.dashboard.settings import Endpoint  # noqa: PLC0415

    if not _selection(settings).users:
        raise UsageError(f"fetching days needs {Endpoint.USERS.value} in SCRAPE_ENDPOINTS")


def _selection(settings: DashboardSettings) -> Selection:
    from dashboard_scraper.sources.dashboard.settings import Endpoint  # noqa: PLC0415

    selected = settings.scrape_endpoints
    return Selection(Endpoint.USERS in selected, bool(selected - {Endpoint.USERS}))


INFO = SourceInfo(
    name=DASHBOARD,
    title="Augment's dashboard",
    metrics=tuple(FIELDS),
    has_service_accounts=False,
    tenant_names=TENANT_TOTALS,
    is_configured=lambda _settings: True,  # a session may be stored at any time
    open=_open,
    check=_check,
    check_period=_check_period,
    check_days=_check_days,
    selection=_selection,
)
