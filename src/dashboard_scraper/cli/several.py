"""Runs a command for each of several sources: one that fails does not stop the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from dashboard_scraper.errors import ScraperError, SourcesFailed
from dashboard_scraper.settings.config import Settings

logger = logging.getLogger(__name__)


def for_each_source(
    settings: Settings, work: Callable[[Settings], None], only: Collection[str] | None = None
) -> None:
    """Call `work` with the settings of each covered source, in order, or of `only` these.

    Raises the error of a single source as it is. Of several, each error is logged under the
    source's name, and SourcesFailed names those that failed at the end.
    """
    names = tuple(name for name in settings.covered if only is None or name in only)
    if len(names) == 1:
        work(settings.for_source(names[0]))
        return
    failed: dict[str, ScraperError] = {}
    for name in names:
        logger.info("%s: starting", name)
        try:
            work(settings.for_source(name))
        except ScraperError as error:
            # No traceback: the message says what to do.
            logger.error("%s: %s", name, error)  # noqa: TRY400
            failed[name] = error
        else:
            logger.info("%s: complete", name)
    if failed:
        raise _summary(names, failed)


def _summary(names: tuple[str, ...], failed: dict[str, ScraperError]) -> SourcesFailed:
    named = ", ".join(f"{name} (exit code {error.exit_code})" for name, error in failed.items())
    rest = [name for name in names if name not in failed]
    others = f"; complete: {', '.join(rest)}" if rest else ""
    summary = SourcesFailed(f"{len(failed)} of {len(names)} sources failed: {named}{others}")
    codes = {error.exit_code for error in failed.values()}
    if len(codes) == 1:
        summary.exit_code = codes.pop()
    return summary
