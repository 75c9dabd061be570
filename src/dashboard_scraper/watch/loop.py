"""The loop of `watch`: run what is due, keep sessions alive, write heartbeats, and wait."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from dashboard_scraper.errors import SignInRequired
from dashboard_scraper.watch.heartbeat import (
    BEAT_SECONDS,
    ENDED,
    RUNNING,
    WAITING,
    Heartbeat,
    HeartbeatFile,
    LastRun,
)
from dashboard_scraper.watch.plan import FINAL, Attempt, Rules, Step, next_step

logger = logging.getLogger(__name__)

ALIVE, OVER, UNKNOWN = "alive", "over", "unknown"


class Time(Protocol):
    """The clock, and how the process waits; in tests, time may pass faster."""

    def now(self) -> datetime:
        """The current moment, in UTC."""
        ...

    def wait(self, seconds: float) -> None:
        """Return after this time, or earlier."""
        ...


class Outcome(msgspec.Struct, frozen=True):
    """The exit codes of a run and of each of its sources.

    `refused` has, for each source that needs a new sign-in, its credentials as they were when they
    were refused: other sources may run for hours after it.
    """

    exit_code: int
    codes: Mapping[str, int]
    refused: Mapping[str, Hashable] = {}


class Work(Protocol):
    """What the loop does when the time has come. An error that a later attempt may not meet is
    logged, not raised; an exit code says what it was.
    """

    @property
    def sources(self) -> Sequence[str]:
        """The sources of a run, in order."""
        ...

    @property
    def with_session(self) -> Sequence[str]:
        """The sources that have a session to keep alive."""
        ...

    def run(self, sources: Sequence[str]) -> Outcome:
        """Run the nightly job for these sources."""
        ...

    def attempts(self, since: datetime) -> list[Attempt] | None:
        """The nightly runs in the store that began since then; None if it cannot be read."""
        ...

    def keep_alive(self, source: str) -> int:
        """Touch the session of a source; returns an exit code."""
        ...

    def credentials(self, source: str) -> Hashable:
        """A value that stays equal as long as nobody changes the source's credentials."""
        ...

    def check(self) -> None:
        """Raise the error that ended whatever runs beside the loop, if it has ended."""
        ...


class Loop:
    """Runs until it is ended by a signal's exception, or by an unexpected error."""

    def __init__(
        self,
        work: Work,
        rules: Rules,
        time: Time,
        file: HeartbeatFile,
        keep_alive: timedelta | None,
    ) -> None:
        """`keep_alive` is the time between touches of a session; None if none are touched."""
        self._work = work
        self._rules = rules
        self._time = time
        self._file = file
        self._keep_alive = keep_alive
        self._touched: datetime | None = None
        self._step: Step | None = None
        self._decided_at = time.now()
        self._refused: dict[str, Hashable] = {}
        self._attempts: list[Attempt] = []
        self._unrecorded: list[Attempt] = []
        self._beat = Heartbeat(WAITING, os.getpid(), time.now())
        self._lock = threading.Lock()
        self.is_running = False

    def run(self) -> None:
        """Run what is due, touch sessions and wait, for ever."""
        try:
            self._read_attempts()
            while True:
                self._turn()
        finally:
            self._say(state=ENDED, next_run=None, sources=())

    def _turn(self) -> None:
        self._work.check()
        self._forget_refusals()
        step = self._next_step()
        if step.moment <= self._time.now():
            # Another process may have run the job meanwhile.
            self._read_attempts()
            step = self._next_step()
        if step.moment <= self._time.now():
            self._run(step.sources)
            return
        self._touch_when_due()
        self._say(state=WAITING, next_run=step.moment, sources=step.sources)
        self._wait(step.moment)

    def _next_step(self) -> Step:
        """What comes next, decided again after anything that matters, or if the clock was set."""
        now = self._time.now()
        if self._step is None or not self._decided_at <= now < self._step.moment:
            attempts = [*self._attempts, *self._unrecorded]
            sources, refused = self._work.sources, self._refused
            self._step = next_step(self._rules, sources, attempts, now, refused=refused)
        self._decided_at = now
        return self._step

    def _read_attempts(self) -> None:
        """Read the runs from the store. Remember this process's own runs that are missing there,
        for example because the store was locked.
        """
        self._step = None
        due = self._rules.schedule.latest(self._time.now())
        with self._beating():  # if the store's server is down, this waits for it
            found = self._work.attempts(due) if due else []
        if found is not None:
            self._attempts = found
        self._unrecorded = [
            own
            for own in self._unrecorded
            if due and own.started_at >= due and not any(_is_row_of(own, r) for r in self._attempts)
        ]

    def _run(self, sources: Sequence[str]) -> None:
        started = self._time.now()
        self._say(state=RUNNING, next_run=None, sources=tuple(sources))
        self.is_running = True
        with self._beating(), self._keeping_alive():
            outcome = self._work.run(sources)
        self.is_running = False
        ended = self._touched = self._time.now()
        for source in sources:
            code = outcome.codes.get(source, outcome.exit_code)
            self._unrecorded.append(Attempt(source, started, ended, code))
            if code in FINAL:
                self._refused.pop(source, None)
        self._refused.update(outcome.refused)
        self._read_attempts()
        self._say(last_run=LastRun(started, ended, outcome.exit_code))

    def _forget_refusals(self) -> None:
        """Somebody has signed in again: use the new session at once."""
        for source, refused in list(self._refused.items()):
            if self._work.credentials(source) != refused:
                del self._refused[source]
                self._touched = self._step = None
                logger.info("%s: the credentials have changed", source)

    def _touch_when_due(self) -> None:
        now, every, last = self._time.now(), self._keep_alive, self._touched
        # A last time in the future comes from a clock that was ahead.
        if every and (last is None or not timedelta(0) <= now - last < every):
            self._touched = now
            with self._beating():
                self._touch()

    def _touch(self) -> None:
        """Touch each session; one that has ended is left alone until somebody signs in."""
        for source in self._work.with_session:
            if source in self._refused:
                continue
            code = self._work.keep_alive(source)
            if code == SignInRequired.exit_code:
                self._refused[source] = self._work.credentials(source)
            session = {0: ALIVE, SignInRequired.exit_code: OVER}.get(code, UNKNOWN)
            self._say(session=session)

    def _wait(self, moment: datetime) -> None:
        """Wait in short pieces: the clock may be set, and goes on while a machine is suspended."""
        now = self._time.now()
        until = [moment, now + timedelta(seconds=BEAT_SECONDS)]
        if self._keep_alive and self._touched:
            until.append(self._touched + self._keep_alive)
        self._time.wait(max((min(until) - now).total_seconds(), 0))

    def _beating(self) -> contextlib.AbstractContextManager[None]:
        """Write heartbeats during work, however long it takes."""
        return repeating(self._say, BEAT_SECONDS)

    def _keeping_alive(self) -> contextlib.AbstractContextManager[None]:
        """Keep sessions alive during a run: its source may be done long before the end."""
        if not self._keep_alive or not self._work.with_session:
            return contextlib.nullcontext()
        return repeating(self._touch, self._keep_alive.total_seconds())

    def _say(self, **changes: object) -> None:
        with self._lock:
            self._beat = msgspec.structs.replace(self._beat, **changes)
            self._file.beat(self._beat, self._time.now())


def _is_row_of(own: Attempt, row: Attempt) -> bool:
    """Whether the store's row describes this run of this process."""
    end = own.ended_at or own.started_at
    return row.source == own.source and own.started_at <= row.started_at <= end


@contextlib.contextmanager
def repeating(work: Callable[[], None], seconds: float) -> Iterator[None]:
    """Call `work` every `seconds` seconds, in a thread, until the block ends."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            work()

    thread = threading.Thread(target=repeat, name="meanwhile", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
