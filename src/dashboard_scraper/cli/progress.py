"""Shows a run's progress: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from datetime import date

from dashboard_scraper.errors import ScraperError
from dashboard_scraper.model.dates import rough_duration
from dashboard_scraper.sources.interface import Estimate
from dashboard_scraper.sync.day_fetching import Report

logger = logging.getLogger(__name__)

_RECENT = 20
_WORTH_SHOWING_SECONDS = 10

EstimateOf = Callable[[Collection[date]], Estimate | None]


@contextlib.contextmanager
def day_progress(days: Collection[date], estimate: EstimateOf) -> Iterator[Report]:
    """Yield what a job reports its days to; `estimate` is the cost of the remaining days."""
    left = _Left(days, estimate)
    if sys.stderr.isatty() and logger.isEnabledFor(logging.INFO):  # not with --quiet
        with _bar(left) as report:
            yield report
    else:
        yield _lines(left)


class _Left:
    """The days that are not fetched yet, and how long they will take.

    Without an estimate of the source, the time is extrapolated from the latest days only, since a
    source may slow down during a run.
    """

    def __init__(self, days: Collection[date], estimate: EstimateOf) -> None:
        self.total = len(days)
        self._days = set(days)
        self._estimate = estimate
        self._moments = deque([time.monotonic()], maxlen=_RECENT + 1)

    def fetched(self, day: date) -> int:
        """Count a fetched day; returns how many there are so far."""
        self._days.discard(day)
        self._moments.append(time.monotonic())
        return self.total - len(self._days)

    def shown(self) -> str:
        """Such as `, about 3 min left`; empty if only a few seconds are left."""
        estimate = self._estimate(self._days)
        if estimate is not None:
            seconds = estimate.seconds
        else:
            per_day = (self._moments[-1] - self._moments[0]) / (len(self._moments) - 1)
            seconds = per_day * len(self._days)
        if seconds < _WORTH_SHOWING_SECONDS:
            return ""
        return f", about {rough_duration(seconds)} left"


def _lines(left: _Left) -> Report:
    def report(day: date, error: ScraperError | None) -> None:
        if error is None:
            number = left.fetched(day)
            logger.info("%s fetched, %d of %d days%s", day, number, left.total, left.shown())
        else:
            logger.warning("%s failed: %s", day, error)

    return report


@contextlib.contextmanager
def _bar(left: _Left) -> Iterator[Report]:
    # Imported here: rich takes a tenth of a second, which is wasted in cron, without a terminal.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("days", total=left.total)

        def report(day: date, error: ScraperError | None) -> None:
            if error is None:
                left.fetched(day)
                progress.update(task, advance=1, description=f"{day}{left.shown()}")
            else:
                logger.warning("%s failed: %s", day, error)

        yield report
