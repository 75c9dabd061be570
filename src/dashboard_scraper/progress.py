"""Showing how far a run is: a bar on a terminal, plain lines of the log otherwise."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from datetime import date

from dashboard_scraper.daily_metrics import Report
from dashboard_scraper.errors import ScraperError

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def day_progress(total: int) -> Iterator[Report]:
    """What a job reports its days to; `total` is the number of days."""
    if sys.stderr.isatty():
        with _bar(total) as report:
            yield report
    else:
        yield _lines(total)


def _lines(total: int) -> Report:
    fetched: set[date] = set()

    def report(day: date, error: ScraperError | None) -> None:
        if error is None:
            fetched.add(day)
            logger.info("%s fetched, %d of %d days", day, len(fetched), total)
        else:
            logger.warning("%s failed: %s", day, error)

    return report


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Report]:
    # Imported here: rich costs a tenth of a second, and cron has no terminal.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("days", total=total)

        def report(day: date, error: ScraperError | None) -> None:
            if error is None:
                progress.update(task, advance=1, description=str(day))
            else:
                logger.warning("%s failed: %s", day, error)

        yield report
