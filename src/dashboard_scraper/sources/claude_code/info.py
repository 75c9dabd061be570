"""Claude Code in the registry of sources: what the program needs before opening it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from datetime import date, datetime
from typing import TYPE_CHECKING

from dashboard_scraper.clock import Clock
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.costs import ESTIMATED, TOKEN_METRICS
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import METRICS
from dashboard_scraper.sources.claude_code.fields import MEANINGS
from dashboard_scraper.sources.interface import Selection, SourceInfo
from dashboard_scraper.sources.products import CLAUDE_CODE as PRODUCT
from dashboard_scraper.sources.registry import CLAUDE_CODE

if TYPE_CHECKING:
    from dashboard_scraper.sources.claude_code.client import ClaudeCodeSource
    from dashboard_scraper.sources.claude_code.settings import ClaudeCodeSettings
    from dashboard_scraper.sources.rest.pacing import Pace
    from dashboard_scraper.store import Store

logger = logging.getLogger(__name__)

_PACE = f"pace:{CLAUDE_CODE}"
LEAVES_OUT = "people who sign in with a Claude subscription and do not pay by use"


@contextlib.contextmanager
def _open(settings: ClaudeCodeSettings, store: Store, clock: Clock) -> Iterator[ClaudeCodeSource]:
    """Consecutive runs share the server's rate limit, so the bucket is stored between them."""
    from dashboard_scraper.sources.claude_code.client import ClaudeCodeSource  # noqa: PLC0415
    from dashboard_scraper.sources.rest.stored_paces import stored_paces  # noqa: PLC0415

    pace = _pace(settings)
    with (
        contextlib.closing(ClaudeCodeSource(settings, pace, clock)) as source,
        stored_paces(store, {_PACE: pace}),
    ):
        yield source


def _pace(settings: ClaudeCodeSettings) -> Pace:
    from dashboard_scraper.sources.rest.pacing import Pace  # noqa: PLC0415

    return Pace(settings.claude_code_requests_per_minute, settings.claude_code_burst)


def _check(settings: ClaudeCodeSettings, now: datetime) -> None:
    from dashboard_scraper.sources.claude_code.client import ClaudeCodeSource  # noqa: PLC0415

    with contextlib.closing(ClaudeCodeSource(settings, _pace(settings), lambda: now)) as source:
        source.check()
    logger.info("the Claude Code Analytics API accepts the key")


def refuse_unfinished(window: Window, today: date) -> None:
    """Raise UsageError if a day of the window is not over."""
    if window.end >= today:
        raise UsageError(
            f"{window.end} is not over: in UTC, today is {today}, and Claude Code's report is only"
            " complete after the end of a day; end with an older day"
        )


INFO = SourceInfo(
    name=CLAUDE_CODE,
    title="Claude Code",
    product=PRODUCT,
    metrics=tuple(metric for metric in METRICS if metric in MEANINGS),
    has_service_accounts=True,
    tenant_names={},
    is_configured=lambda settings: bool(
        settings.claude_code_api_key or settings.claude_code_api_key_file
    ),
    open=_open,
    check=_check,
    check_period=refuse_unfinished,
    check_days=lambda _settings: None,
    selection=lambda _settings: Selection(users=True, tenant=False),
    meanings=MEANINGS,
    active_rule="a record in the report of the day",
    leaves_out=LEAVES_OUT,
    cost_metrics=(*TOKEN_METRICS, ESTIMATED),
)
