"""The Analytics API in the registry of sources: what the program needs before opening it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from dashboard_scraper.clock import Clock
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import AUGMENT_METRICS
from dashboard_scraper.sources.analytics.fields import MEANINGS
from dashboard_scraper.sources.interface import Selection, SourceInfo
from dashboard_scraper.sources.products import AUGMENT
from dashboard_scraper.sources.registry import ANALYTICS

if TYPE_CHECKING:
    from dashboard_scraper.sources.analytics.client import AnalyticsSource
    from dashboard_scraper.sources.analytics.settings import AnalyticsSettings
    from dashboard_scraper.sources.rest.pacing import Pace
    from dashboard_scraper.store import Store

logger = logging.getLogger(__name__)

HISTORY = timedelta(days=730)
"""How long before today the oldest day is that the API has."""

_PACE = f"pace:{ANALYTICS}"
_COST_PACE = f"{_PACE}:costs"


@contextlib.contextmanager
def _open(settings: AnalyticsSettings, store: Store, clock: Clock) -> Iterator[AnalyticsSource]:
    """Consecutive runs share the server's rate limits, so the buckets are stored between them."""
    from dashboard_scraper.sources.analytics.client import AnalyticsSource  # noqa: PLC0415
    from dashboard_scraper.sources.rest.stored_paces import stored_paces  # noqa: PLC0415

    paces = _paces(settings)
    notes = dict(zip((_PACE, _COST_PACE), paces, strict=True))
    with (
        contextlib.closing(AnalyticsSource(settings, *paces, clock)) as source,
        stored_paces(store, notes),
    ):
        yield source


def _paces(settings: AnalyticsSettings) -> tuple[Pace, Pace]:
    """The paces of the API's two limits: for usage, and for costs."""
    from dashboard_scraper.sources.rest.pacing import Pace  # noqa: PLC0415

    return (
        Pace(settings.analytics_requests_per_minute, settings.analytics_burst),
        Pace(settings.cost_requests_per_minute, settings.cost_burst),
    )


def _check(settings: AnalyticsSettings, now: datetime) -> None:
    from dashboard_scraper.sources.analytics.client import AnalyticsSource  # noqa: PLC0415

    with contextlib.closing(AnalyticsSource(settings, *_paces(settings), lambda: now)) as source:
        source.check()
    logger.info("the Analytics API accepts the token")


def _token_expires_at(settings: AnalyticsSettings) -> datetime | None:
    from dashboard_scraper.sources.analytics.token_auth import read_token  # noqa: PLC0415

    return read_token(settings).expires_at()


def refuse_unfinished(window: Window, today: date) -> None:
    """Raise UsageError if a day of the window is not over."""
    if window.end >= today:
        raise UsageError(
            f"the Analytics API has no figures of {window.end}: in UTC, today is {today}; end with"
            " an older day"
        )


INFO = SourceInfo(
    name=ANALYTICS,
    title="Augment's Analytics API",
    product=AUGMENT,
    metrics=AUGMENT_METRICS,
    has_service_accounts=True,
    tenant_names={},
    is_configured=lambda settings: bool(
        settings.augment_api_token or settings.augment_api_token_file
    ),
    open=_open,
    check=_check,
    check_period=refuse_unfinished,
    check_days=lambda _settings: None,
    selection=lambda _settings: Selection(users=True, tenant=True),
    token_expires_at=_token_expires_at,
    meanings=MEANINGS,
    history=HISTORY,
)
