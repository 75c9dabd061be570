"""Showing how far a run is: a bar on a terminal, plain lines of the log otherwise."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections import deque
from collections.abc import Iterator
from datetime import date

from dashboard_scraper.daily_metrics import Report
from dashboard_scraper.errors import ScraperError

logger = logging.getLogger(__name__)

_RECENT = 20
_WORTH_TELLING_SECONDS = 10


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
    pace = _Pace()

    def report(day: date, error: ScraperError | None) -> None:
        if error is None:
            fetched.add(day)
            left = pace.left(total - len(fetched))
            logger.info("%s fetched, %d of %d days%s", day, len(fetched), total, left)
        else:
            logger.warning("%s failed: %s", day, error)

    return report


class _Pace:
    """How quickly days come in: of the latest ones, since a source may slow down."""

    def __init__(self) -> None:
        self._moments = deque([time.monotonic()], maxlen=_RECENT + 1)

    def left(self, days: int) -> str:
        """After a day came in: `, about 3 min left`; nothing where it is hardly worth telling."""
        self._moments.append(time.monotonic())
        seconds = (self._moments[-1] - self._moments[0]) / (len(self._moments) - 1) * days
        return f", about {_rounded(seconds)} left" if seconds >= _WORTH_TELLING_SECONDS else ""


def _rounded(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Report]:
    # Imported here: rich costs a tenth of a second, and cron has no terminal.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("days", total=total)

        def report(day: date, error: ScraperError | None) -> None:
            if error is None:
                progress.update(task, advance=1, description=str(day))
            else:
                logger.warning("%s failed: %s", day, error)

        yield report
