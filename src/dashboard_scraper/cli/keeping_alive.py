"""`keep-alive`: touch the session of a source, so that it does not expire between runs."""

from __future__ import annotations

import logging
from datetime import datetime

from dashboard_scraper.cli.notifying import keeping_alive
from dashboard_scraper.errors import UsageError
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.sources.registry import info_of

logger = logging.getLogger(__name__)


def keep_alive(settings: Settings, now: datetime) -> None:
    """Send one small request, and store what is renewed; UsageError for a source without a session.

    Raises SignInRequired if the session has ended, or SourceUnavailable.
    """
    info = info_of(settings.source)
    if info.session is None:
        raise UsageError(
            f"{info.name} has no session to keep alive: its token or key does not expire when it"
            " is not used"
        )
    info.session.keep_alive(settings, now)


def keep_all_alive(settings: Settings, now: datetime, *, named: bool) -> None:
    """The same for each source that has a session. If none has one, it does nothing, so that the
    same timer works on every machine; but a source that was `named` on the command line is then a
    UsageError.
    """
    with_session = [name for name in settings.covered if info_of(name).session]
    with keeping_alive(settings, lambda: now) as notified:
        touch = notified.each(lambda each: keep_alive(each, now))
        for name in with_session or (settings.covered if named else ()):
            touch(settings.for_source(name))
            logger.info("%s: the session is alive", name)
    if not with_session:
        shown = ", ".join(settings.covered)
        logger.info("nothing to do: no session is used by %s", shown)
