"""Cursor in the registry of sources: what the program needs before opening it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from dashboard_scraper.clock import Clock
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.costs import BILLED, ESTIMATED, TOKEN_METRICS
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import METRICS
from dashboard_scraper.model.names import NameKind
from dashboard_scraper.sources import products
from dashboard_scraper.sources.cursor.fields import MEANINGS
from dashboard_scraper.sources.interface import Selection, SourceInfo
from dashboard_scraper.sources.registry import CURSOR

if TYPE_CHECKING:
    from dashboard_scraper.sources.cursor.client import CursorSource
    from dashboard_scraper.sources.cursor.settings import CursorSettings
    from dashboard_scraper.sources.rest.pacing import Pace
    from dashboard_scraper.store import Store

logger = logging.getLogger(__name__)

HISTORY = timedelta(days=730)
"""How long before today the oldest day is that the API has."""

_PACE = f"pace:{CURSOR}"
_EVENT_PACE = f"{_PACE}:events"


@contextlib.contextmanager
def _open(settings: CursorSettings, store: Store, clock: Clock) -> Iterator[CursorSource]:
    """Consecutive runs share the server's rate limits, so the buckets are stored between them."""
    from dashboard_scraper.sources.cursor.client import CursorSource  # noqa: PLC0415
    from dashboard_scraper.sources.rest.stored_paces import stored_paces  # noqa: PLC0415

    paces = _paces(settings)
    notes = dict(zip((_PACE, _EVENT_PACE), paces, strict=True))
    with (
        contextlib.closing(CursorSource(settings, *paces, clock)) as source,
        stored_paces(store, notes),
    ):
        yield source


def _paces(settings: CursorSettings) -> tuple[Pace, Pace]:
    """The paces for usage, spend and members, and for usage events."""
    from dashboard_scraper.sources.rest.pacing import Pace  # noqa: PLC0415

    # The limits hold for any minute: a quarter of the requests at once and three quarters within a
    # minute are never more than the whole.
    limits = (settings.cursor_requests_per_minute, settings.cursor_events_per_minute)
    both = [(limit - max(1, int(limit / 4)), max(1, int(limit / 4))) for limit in limits]
    return Pace(*both[0]), Pace(*both[1])


def _check(settings: CursorSettings, now: datetime) -> None:
    from dashboard_scraper.sources.cursor.client import CursorSource  # noqa: PLC0415

    with contextlib.closing(CursorSource(settings, *_paces(settings), lambda: now)) as source:
        source.check()
    logger.info("Cursor's Admin API accepts the key")


def refuse_unfinished(window: Window, today: date) -> None:
    """Raise UsageError if a day of the window is not over."""
    if window.end >= today:
        raise UsageError(
            f"Cursor has not counted all of {window.end}: in UTC, today is {today}; end with an"
            " older day"
        )


INFO = SourceInfo(
    name=CURSOR,
    title="Cursor",
    product=products.CURSOR,
    metrics=tuple(metric for metric in METRICS if metric in MEANINGS),
    has_service_accounts=False,
    tenant_names={},
    is_configured=lambda settings: bool(settings.cursor_api_key or settings.cursor_api_key_file),
    open=_open,
    check=_check,
    check_period=refuse_unfinished,
    check_days=lambda _settings: None,
    selection=lambda _settings: Selection(users=True, tenant=True),
    meanings=MEANINGS,
    history=HISTORY,
    name_kind=NameKind.ID,
    cost_metrics=(*TOKEN_METRICS, BILLED, ESTIMATED),
    active_rule="Cursor's own `isActive`, or any count above zero",
    leaves_out="the e-mail addresses of people who have left: they are shown by Cursor's number",
)
