"""From the settings to the source that a run reads."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from datetime import date, datetime

from dashboard_scraper.clock import utc_now
from dashboard_scraper.model.dates import last_complete_days, utc_day
from dashboard_scraper.model.usage import ANALYTICS
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.sources.analytics.client import AnalyticsSource
from dashboard_scraper.sources.dashboard.client import DashboardSource
from dashboard_scraper.sources.dashboard.cookie_auth import CookieSession
from dashboard_scraper.sources.rest.pacing import Pace
from dashboard_scraper.store import Store
from dashboard_scraper.sync.daily_metrics import Clock
from dashboard_scraper.sync.period_metrics import MakePeriodSource

logger = logging.getLogger(__name__)

_PACE = f"pace:{ANALYTICS}"


def source_maker(settings: Settings, store: Store, clock: Clock = utc_now) -> MakePeriodSource:
    """What opens the source that the settings name; for the Analytics API, the store is open."""
    if settings.source == ANALYTICS:
        return lambda: _analytics(settings, store, clock)
    return lambda: contextlib.closing(DashboardSource(settings))


@contextlib.contextmanager
def _analytics(settings: Settings, store: Store, clock: Clock) -> Iterator[AnalyticsSource]:
    """Runs that follow each other share the server's limit, so the store keeps where it stands."""
    pace = _pace(settings)
    with contextlib.closing(AnalyticsSource(settings, pace, clock)) as source:
        with store.reading() as reader:
            pace.resume(reader.note(_PACE), utc_now())
        try:
            yield source
        finally:
            store.put_note(_PACE, pace.keep(utc_now()))


def _pace(settings: Settings) -> Pace:
    return Pace(settings.analytics_requests_per_minute, settings.analytics_burst)


def check_credentials(settings: Settings, now: datetime) -> None:
    """Prove with one small request that the source that the settings name lets us in."""
    if settings.source != ANALYTICS:
        check_session(settings, utc_day(now))
        return
    with contextlib.closing(AnalyticsSource(settings, _pace(settings), lambda: now)) as source:
        source.check()
    logger.info("the Analytics API accepts the token")


def check_session(settings: Settings, today: date, session: CookieSession | None = None) -> None:
    """Prove with one small request that the dashboard accepts the stored session, or this one."""
    with contextlib.closing(DashboardSource(settings, session)) as source:
        source.check(last_complete_days(1, today))
    logger.info("the dashboard accepts the session")
