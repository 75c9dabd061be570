"""GitHub Copilot in the registry of sources: what the program needs before opening it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from dashboard_scraper.clock import Clock
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import METRICS
from dashboard_scraper.model.names import NameKind
from dashboard_scraper.sources.copilot.fields import MEANINGS
from dashboard_scraper.sources.interface import Selection, SourceInfo
from dashboard_scraper.sources.products import COPILOT as PRODUCT
from dashboard_scraper.sources.registry import COPILOT

if TYPE_CHECKING:
    from dashboard_scraper.sources.copilot.client import CopilotSource
    from dashboard_scraper.sources.copilot.settings import CopilotSettings
    from dashboard_scraper.sources.rest.pacing import Pace
    from dashboard_scraper.store import Store

logger = logging.getLogger(__name__)

HISTORY = timedelta(days=365)
"""How long before today the oldest day is that the API has."""

_PACE = f"pace:{COPILOT}"


@contextlib.contextmanager
def _open(settings: CopilotSettings, store: Store, clock: Clock) -> Iterator[CopilotSource]:
    """Consecutive runs share the server's rate limit, so the bucket is stored between them."""
    from dashboard_scraper.sources.copilot.client import CopilotSource  # noqa: PLC0415
    from dashboard_scraper.sources.rest.stored_paces import stored_paces  # noqa: PLC0415

    pace = _pace(settings)
    with (
        contextlib.closing(CopilotSource(settings, pace, clock)) as source,
        stored_paces(store, {_PACE: pace}),
    ):
        yield source


def _pace(settings: CopilotSettings) -> Pace:
    from dashboard_scraper.sources.rest.pacing import Pace  # noqa: PLC0415

    return Pace(settings.copilot_requests_per_minute, settings.copilot_burst)


def _check(settings: CopilotSettings, now: datetime) -> None:
    from dashboard_scraper.sources.copilot.client import CopilotSource  # noqa: PLC0415

    with contextlib.closing(CopilotSource(settings, _pace(settings), lambda: now)) as source:
        source.check()
    logger.info("GitHub lets the token read Copilot's metrics")


def _check_period(window: Window, today: date) -> None:
    if window.end >= today:
        raise UsageError(
            f"GitHub has no Copilot figures of {window.end}: in UTC, today is {today}; end with an"
            " older day"
        )


INFO = SourceInfo(
    name=COPILOT,
    title="GitHub Copilot",
    product=PRODUCT,
    metrics=tuple(metric for metric in METRICS if metric in MEANINGS),
    has_service_accounts=False,
    tenant_names={},
    is_configured=lambda settings: bool(
        (settings.copilot_enterprise or settings.copilot_organization)
        and (settings.copilot_token or settings.copilot_token_file or settings.copilot_app_id)
    ),
    open=_open,
    check=_check,
    check_period=_check_period,
    check_days=lambda _settings: None,
    selection=lambda _settings: Selection(users=True, tenant=True),
    meanings=MEANINGS,
    history=HISTORY,
    name_kind=NameKind.LOGIN,
    cost_metrics=(),
    has_records=True,
    lag_days=lambda settings: settings.copilot_ready_days,
    active_rule="GitHub has a record of the user and day: any telemetry of an editor, the command"
    " line or the app, or since 2026-06-15 of the server alone",
)
