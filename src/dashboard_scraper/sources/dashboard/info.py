"""The dashboard in the registry of sources: what the program needs before opening it."""

from __future__ import annotations

import contextlib
import logging
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from dashboard_scraper.clock import Clock
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.dates import Window, last_complete_days, utc_day
from dashboard_scraper.sources.dashboard.fields import FIELDS, MEANINGS, TENANT_TOTALS
from dashboard_scraper.sources.interface import Selection, SessionInfo, SourceInfo
from dashboard_scraper.sources.products import AUGMENT
from dashboard_scraper.sources.registry import DASHBOARD

if TYPE_CHECKING:
    from dashboard_scraper.sources.dashboard.client import DashboardSource
    from dashboard_scraper.sources.dashboard.cookie_auth import CookieSession
    from dashboard_scraper.sources.dashboard.settings import DashboardSettings
    from dashboard_scraper.store import Store

logger = logging.getLogger(__name__)

_SESSION_LIFE = timedelta(hours=1)
"""About how long the dashboard accepts a session after its last use."""


def _open(
    settings: DashboardSettings, _store: Store, _clock: Clock
) -> AbstractContextManager[DashboardSource]:
    from dashboard_scraper.sources.dashboard.client import DashboardSource  # noqa: PLC0415

    return contextlib.closing(DashboardSource(settings))


def check_session(
    settings: DashboardSettings,
    today: date,
    session: CookieSession | None = None,
    *,
    may_renew: bool = True,
) -> None:
    """Prove with one small request that the dashboard accepts the stored session, or this one.

    With AUTO_RENEW, a stored session that has ended is renewed, unless that is not allowed.
    """
    from dashboard_scraper.sources.dashboard.client import DashboardSource  # noqa: PLC0415

    with contextlib.closing(DashboardSource(settings, session, may_renew=may_renew)) as source:
        source.check(last_complete_days(1, today))
    logger.info("the dashboard accepts the session")


def _keep_alive(settings: DashboardSettings, now: datetime) -> None:
    from dashboard_scraper.sources.dashboard.client import DashboardSource  # noqa: PLC0415

    with contextlib.closing(DashboardSource(settings)) as source:
        source.keep_alive(last_complete_days(1, utc_day(now)))


def _session_state(settings: DashboardSettings) -> bytes | None:
    from dashboard_scraper.sources.dashboard.session_store import session_store  # noqa: PLC0415

    with contextlib.suppress(UsageError):  # opening the source reports it
        return session_store(settings).read()
    return None


def _check(settings: DashboardSettings, now: datetime) -> None:
    check_session(settings, utc_day(now), may_renew=False)


def _check_period(window: Window, today: date) -> None:
    if window.end == today:
        logger.warning("%s has not ended yet, in UTC: its figures will still grow", today)


def _check_days(settings: DashboardSettings) -> None:
    from dashboard_scraper.sources.dashboard.settings import Endpoint  # noqa: PLC0415

    if not _selection(settings).users:
        raise UsageError(
            f"fetching days needs {Endpoint.USERS.value} in SCRAPE_ENDPOINTS; add it, or write all"
        )


def _selection(settings: DashboardSettings) -> Selection:
    from dashboard_scraper.sources.dashboard.settings import Endpoint  # noqa: PLC0415

    selected = settings.scrape_endpoints
    return Selection(Endpoint.USERS in selected, bool(selected - {Endpoint.USERS}))


def _is_configured(settings: DashboardSettings) -> bool:
    from dashboard_scraper.sources.dashboard.session_store import session_store  # noqa: PLC0415

    return session_store(settings).exists()


INFO = SourceInfo(
    name=DASHBOARD,
    title="Augment's dashboard",
    product=AUGMENT,
    metrics=tuple(FIELDS),
    has_service_accounts=False,
    tenant_names=TENANT_TOTALS,
    is_configured=_is_configured,
    open=_open,
    check=_check,
    check_period=_check_period,
    check_days=_check_days,
    selection=_selection,
    cost_metrics=(),
    session_life=lambda settings: None if settings.auto_renew else _SESSION_LIFE,
    meanings=MEANINGS,
    session=SessionInfo(_keep_alive, _session_state),
)
