"""Runs a command for each of several sources: one that fails does not stop the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from dashboard_scraper.errors import ScraperError, SourcesFailed
from dashboard_scraper.settings.config import Settings

logger = logging.getLogger(__name__)

Work = Callable[[Settings], None]
"""What is done for one source, with its settings."""


def for_each_source(settings: Settings, work: Work, only: Collection[str] | None = None) -> None:
    """Call `work` with the settings of each covered source, in order, or of `only` these.

    With a single source, its error is raised unchanged. With several, each error is logged under
    the source's name, and SourcesFailed names the failed ones at the end. An unexpected error is
    raised unchanged, after the work of all sources.
    """
    names = tuple(name for name in settings.covered if only is None or name in only)
    if len(names) == 1:
        work(settings.for_source(names[0]))
        return
    failed: dict[str, ScraperError] = {}
    unexpected: list[Exception] = []
    for name in names:
        logger.info("%s: starting", name)
        try:
            work(settings.for_source(name))
        except ScraperError as error:
            # No traceback: the message says what to do.
            logger.error("%s: %s", name, error)  # noqa: TRY400
            failed[name] = error
        except Exception as error:  # noqa: BLE001 - a fault of one source, raised again below
            logger.error("%s: an unexpected error, raised at the end", name)  # noqa: TRY400
            unexpected.append(error)
        else:
            logger.info("%s: complete", name)
    if unexpected:
        first, *others = unexpected
        raise ExceptionGroup("several sources", unexpected) if others else first
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
