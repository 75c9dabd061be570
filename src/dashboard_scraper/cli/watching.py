"""`watch`: the nightly job on a schedule, and a session that stays alive, in one process."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from dashboard_scraper.cli.daily import run_daily
from dashboard_scraper.cli.keeping_alive import keep_alive
from dashboard_scraper.cli.notifying import channels_of, heartbeat_of, keeping_alive
from dashboard_scraper.cli.several import Work
from dashboard_scraper.cli.wiring import audience_of, report_options
from dashboard_scraper.clock import utc_now
from dashboard_scraper.errors import LockHeld, ScraperError, SignInRequired, Terminated, UsageError
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.settings.groups import LAKE_PREFIX
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.store import store_of
from dashboard_scraper.store.runs import NIGHTLY, without_clocks_ahead
from dashboard_scraper.watch.heartbeat import HeartbeatFile
from dashboard_scraper.watch.loop import Loop, Outcome, Time
from dashboard_scraper.watch.plan import Attempt, Rules
from dashboard_scraper.watch.schedule import Schedule, read_time_zone

logger = logging.getLogger(__name__)

_RUNS = 500
_CREDENTIALS = ("cookie_file", "_token_file", "_key_file")

Beside = contextlib.AbstractContextManager[Callable[[], None]]
"""What runs beside the loop, within the context; the function raises the error that ended it."""


class SystemTime:
    """The clock of the system."""

    def now(self) -> datetime:
        """The current moment."""
        return utc_now()

    def wait(self, seconds: float) -> None:
        """Wait; a signal's exception ends it at once."""
        threading.Event().wait(seconds)


class Nightly:
    """The work of the loop, as the settings say."""

    def __init__(self, settings: Settings, time: Time, check: Callable[[], None]) -> None:
        self._settings = settings
        self._time = time
        self.check = check
        self._is_running = False
        self._was_locked = False
        self.sources: Sequence[str] = settings.covered
        self.with_session = [name for name in self.sources if info_of(name).session]

    def run(self, sources: Sequence[str]) -> Outcome:
        """Run the daily job for these sources.

        If another process has locked the store, nobody is notified, since it does the same job; but
        if it still has the lock at the next attempt, somebody is.
        """
        codes: dict[str, int] = {}
        refused: dict[str, Hashable] = {}
        self._is_running = True

        def noted(work: Work) -> Work:
            def run(settings: Settings) -> None:
                codes[settings.source] = ScraperError.exit_code
                try:
                    work(settings)
                    codes[settings.source] = 0
                except ScraperError as error:
                    codes[settings.source] = error.exit_code
                    if error.exit_code == SignInRequired.exit_code:
                        refused[settings.source] = self.credentials(settings.source)
                    raise

            return run

        try:
            run_daily(
                self._settings,
                clock=self._time.now,
                only=sources,
                keeps_session=bool(self._settings.keep_alive_minutes),
                passed_over=None if self._was_locked else LockHeld.exit_code,
                around=noted,
            )
        except ScraperError as error:
            # No traceback: the message says what to do.
            logger.error("%s", error)  # noqa: TRY400
            return Outcome(error.exit_code, codes, refused)
        finally:
            self._is_running = False
            self._was_locked = LockHeld.exit_code in codes.values()
        return Outcome(0, codes)

    def attempts(self, since: datetime) -> list[Attempt] | None:
        """The rows of the store's table `run`."""
        try:
            store = store_of(self._settings)
            if not store.exists():
                return []
            with store.reading() as reader:
                rows = reader.runs(_RUNS)
        except ScraperError as error:
            logger.warning("earlier runs cannot be read from the store: %s", error)
            return None
        return [
            Attempt(row.source, row.started_at, row.ended_at, row.exit_code)
            for row in without_clocks_ahead(rows)
            if row.command == NIGHTLY and row.started_at >= since
        ]

    def keep_alive(self, source: str) -> int:
        """Touch the session. An error is logged, and somebody is notified if the session has ended;
        but not during a run, which will find that out itself.
        """
        now = self._time.now()
        touch: Work = partial(keep_alive, now=now)
        try:
            if self._is_running:
                touch(self._settings.for_source(source))
            else:
                with keeping_alive(self._settings, lambda: now) as notified:
                    notified.each(touch)(self._settings.for_source(source))
        except ScraperError as error:
            logger.error("%s: %s", source, error)  # noqa: TRY400
            return error.exit_code
        return 0

    def credentials(self, source: str) -> Hashable:
        """The stored session, and the state of every file with a secret."""
        session = info_of(source).session
        stored = session.state(self._settings) if session else None
        names = (name for name in type(self._settings).model_fields if name.endswith(_CREDENTIALS))
        paths = (getattr(self._settings, name) for name in names)
        return stored, tuple(_state_of(path) for path in paths if isinstance(path, Path))


def _state_of(path: Path) -> Hashable:
    with contextlib.suppress(OSError):
        found = path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns
    return None


def rules_of(settings: Settings) -> Rules:
    """When the nightly job runs, as the settings say."""
    zone = read_time_zone(settings.schedule_time_zone)
    return Rules(Schedule.read(settings.schedule, zone))


def watch(settings: Settings, time: Time | None = None, beside: Beside | None = None) -> None:
    """Run until SIGTERM or Ctrl-C; returns if the signal came while nothing was running.

    Raises UsageError for a wrong setting before anything runs. `beside` is entered before the first
    run.
    """
    time = time or SystemTime()
    rules = rules_of(settings)
    refuse_wrong(settings)
    minutes = settings.keep_alive_minutes
    with beside or contextlib.nullcontext(lambda: None) as check:
        work = Nightly(settings, time, check)
        file = HeartbeatFile(settings.heartbeat_file, settings.file_mode)
        loop = Loop(work, rules, time, file, timedelta(minutes=minutes) if minutes else None)
        logger.info(
            "watching %s; the nightly job is due at %s", ", ".join(work.sources), rules.schedule
        )
        try:
            loop.run()
        except (Terminated, KeyboardInterrupt):
            if loop.is_running:
                raise
    logger.info("stopped; nothing was running")


def refuse_wrong(settings: Settings) -> None:
    """UsageError for settings with which every run would fail."""
    if settings.store_url.startswith(LAKE_PREFIX):
        raise UsageError("watch needs a store to write to, and STORE_URL names a lake")
    for name in settings.covered:
        own = settings.for_source(name)
        info_of(name).check_days(own)
        audience_of(own)
        report_options(own)
    channels_of(settings)
    heartbeat_of(settings)
