"""Records in the store what a run did for a source, even if an error ends it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import msgspec

from dashboard_scraper import __version__
from dashboard_scraper.clock import Clock
from dashboard_scraper.errors import ScraperError, exit_code_of
from dashboard_scraper.exports.export_folders import warn_of_lost_store
from dashboard_scraper.sources.interface import Source
from dashboard_scraper.spans import annotate
from dashboard_scraper.store import RunCounts, Store, Stored

logger = logging.getLogger(__name__)


class RunRecord(msgspec.Struct):
    """What a run has done so far. `error` is the error that it will end with, if any."""

    results: dict[date, Stored] = {}
    failed: set[date] = set()
    source: Source | None = None
    error: BaseException | None = None

    def add(self, day: date, result: Stored) -> None:
        """Add a day that was fetched; an answer that repeats an earlier one changes nothing."""
        self.failed.discard(day)
        if result is not Stored.SAME or day not in self.results:
            self.results[day] = result

    def add_failed(self, day: date) -> None:
        """Add a day that could not be fetched."""
        self.failed.add(day)

    def counts(self) -> RunCounts:
        """The number of days with each result."""
        revised = sum(result is Stored.REVISED for result in self.results.values())
        requests = self.source.requests if self.source else 0
        return RunCounts(len(self.results), revised, len(self.failed), requests)


@contextlib.contextmanager
def recorded(
    store: Store, source: str, command: str, clock: Clock, outputs: Path
) -> Iterator[RunRecord]:
    """Open the store, holding its lock, and record a run in it: at the beginning that it is
    running, at the end what it did.

    If that cannot be recorded, the run fails with this error; if it has failed already, this error
    is only logged.
    """
    with store.opened():
        # Before anything can fail, since the next run will find a store that is not new.
        if store.is_new:
            warn_of_lost_store(outputs, store.shown)
        record = RunRecord()
        number = store.start_run(source, command, clock(), __version__)
        try:
            yield record
        except BaseException as error:
            record.error = error
            try:
                _end(store, number, record, clock)
            except ScraperError as failure:
                logger.warning("how the run ended is not recorded: %s", failure)
            raise
        _end(store, number, record, clock)


def _end(store: Store, number: int, record: RunRecord, clock: Clock) -> None:
    code, counts = exit_code_of(record.error) if record.error else 0, record.counts()
    annotate(msgspec.structs.asdict(counts))
    store.end_run(number, clock(), code, counts)
