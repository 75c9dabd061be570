"""Has OpenTelemetry observe a run: wraps every command that fetches, if an endpoint is set."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from dashboard_scraper.cli.several import Work
from dashboard_scraper.cli.wiring import settling_of
from dashboard_scraper.clock import Clock, utc_now
from dashboard_scraper.errors import ScraperError, exit_code_of
from dashboard_scraper.model.dates import DAYS, Window, utc_day
from dashboard_scraper.model.doubts import DoubtKind, days_of, doubts_in
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.spans import annotate, span, traced_by
from dashboard_scraper.store import store_of
from dashboard_scraper.store.status import status_of
from dashboard_scraper.telemetry.measures import Measure, SourceRun, of_days, of_run, of_store
from dashboard_scraper.telemetry.switch import SECONDS_AT_MOST, SECONDS_IN_A_HURRY, signals_of

if TYPE_CHECKING:
    from dashboard_scraper.telemetry.sending import Sender

logger = logging.getLogger(__name__)

Each = Callable[[Work], Work]
"""Wraps the work for one source, so that it is observed."""


@contextlib.contextmanager
def observed(
    settings: Settings,
    command: str,
    window: Window | None = None,
    *,
    stores_days: bool = True,
    clock: Clock = utc_now,
) -> Iterator[Each]:
    """Observe a run of `command`, and send its trace and metrics when it ends; `window` has the
    days that it was asked for, if any. Whatever the collector does, the run and its exit code stay
    the same.
    """
    sender = _sender_of(settings)
    if sender is None:
        yield lambda work: work
        return
    run = _Run(command, window, stores_days, clock)
    is_stopped = False
    try:
        with contextlib.ExitStack() as stack:
            if sender.tracer:
                stack.enter_context(traced_by(sender.tracer))
            stack.enter_context(_ending(command, {"command": command}))
            yield run.each
    except BaseException as error:
        is_stopped = not isinstance(error, Exception)
        raise
    finally:
        if is_stopped:  # by somebody who does not want to wait
            sender.finish([], SECONDS_IN_A_HURRY)
        else:
            sender.finish(run.measures(), SECONDS_AT_MOST)


def _sender_of(settings: Settings) -> Sender | None:
    """What sends, if anything is to be sent; the SDK is imported only then."""
    signals = signals_of(settings.libraries)
    if not signals:
        return None
    from dashboard_scraper.telemetry.sending import Sender  # noqa: PLC0415 - an extra

    try:
        return Sender(signals, settings.libraries)
    except (ScraperError, ValueError) as error:
        logger.warning("no telemetry is sent: %s", error)
        return None


@contextlib.contextmanager
def _ending(name: str, attributes: dict[str, str]) -> Iterator[None]:
    """A span that records the exit code with which it ended."""
    with span(name, attributes) as note:
        try:
            yield
        except BaseException as error:
            note({"process.exit.code": exit_code_of(error)})
            raise
        note({"process.exit.code": 0})


class _Run(msgspec.Struct):
    """A command's run over several sources."""

    command: str
    window: Window | None
    stores_days: bool
    clock: Clock
    _ended: list[tuple[Settings, Window, SourceRun]] = []

    def each(self, work: Work) -> Work:
        """The same work for one source, in a span."""

        def run(settings: Settings) -> None:
            source, started_at, exit_code = settings.source, self.clock(), 0
            window = self._days(settings, started_at)
            try:
                with _ending(f"source {source}", {"source": source, "command": self.command}):
                    try:
                        work(settings)
                    finally:
                        self._annotate(settings, window)
            except BaseException as error:
                exit_code = exit_code_of(error)
                raise
            finally:
                seconds = (self.clock() - started_at).total_seconds()
                ended = SourceRun(source, self.command, exit_code, seconds)
                self._ended.append((settings, window, ended))

        return run

    def _days(self, settings: Settings, started_at: datetime) -> Window:
        """The days that the run fetches, which may end on another day than it began."""
        today = utc_day(started_at)
        return self.window or info_of(settings.source).last_days(settings, DAYS, today)

    def _annotate(self, settings: Settings, window: Window) -> None:
        """Add to the open span what the store has of the days afterwards."""
        if not self.stores_days:
            return
        annotate({"window.start": f"{window.start}", "window.end": f"{window.end}"})
        store = store_of(settings)
        with _read_or_warned():
            if not store.exists():
                return
            with store.reading() as reader:
                ledger = reader.ledger(settings.source, window)
            doubts = doubts_in(ledger.values(), settings.reconcile_tolerance)
            annotate({"days_missing": len(window) - len(ledger)})
            annotate({f"days_{k.word}": len(days_of(doubts, k)) for k in DoubtKind})

    def measures(self) -> Sequence[Measure]:
        """How the run of each source ended, and what the store says."""
        found: list[Measure] = []
        for settings, window, run in self._ended:
            found += of_run(run)
            with _read_or_warned():
                found += self._of_store(settings, window)
        return found

    def _of_store(self, settings: Settings, window: Window) -> Sequence[Measure]:
        store, now, source = store_of(settings), self.clock(), settings.source
        if not store.exists():
            return []
        tolerance = settings.reconcile_tolerance
        with store.reading() as reader:
            status = status_of(reader, "", settling_of(settings), now, tolerance)
            found = [*of_store(reader, status, source, now)]
            if self.stores_days:
                found += of_days(reader, info_of(source), window, tolerance, now)
        return found


@contextlib.contextmanager
def _read_or_warned() -> Iterator[None]:
    try:
        yield
    except ScraperError as error:
        logger.warning("the store cannot be read, so the telemetry lacks its figures: %s", error)
