"""What is due, and what is tried again: decided from the runs since the scheduled moment.

These are the runs in the store, so that a restarted process decides like the one before it, and
several processes on one store do not repeat each other's work.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from dashboard_scraper.clock import CLOCKS_DIFFER
from dashboard_scraper.errors import (
    Implausible,
    NotReconciled,
    RevisionsHeld,
    SignInRequired,
)
from dashboard_scraper.watch.schedule import Schedule

COMPLETE = 0
FINAL = frozenset(
    {COMPLETE, NotReconciled.exit_code, RevisionsHeld.exit_code, Implausible.exit_code}
)
"""Exit codes of runs that wrote everything: only later days can resolve their doubts."""

_SIGNALS = 128
"""Exit codes above this are those of runs that a signal ended."""


class Attempt(msgspec.Struct, frozen=True):
    """A run of one source; `exit_code` is None while it runs, and if it was killed."""

    source: str
    started_at: datetime
    ended_at: datetime | None = None
    exit_code: int | None = None


class Rules(msgspec.Struct, frozen=True):
    """When to run, and how often to try again after a failure: at most `attempts` runs of a source
    per scheduled moment, each `pause` after the one before.
    """

    schedule: Schedule
    pause: timedelta = timedelta(hours=1)
    attempts: int = 7


class Step(msgspec.Struct, frozen=True):
    """What to do next: run these sources at this moment, which may be in the past."""

    moment: datetime
    sources: tuple[str, ...]


def next_step(
    rules: Rules,
    sources: Sequence[str],
    attempts: Collection[Attempt],
    now: datetime,
    *,
    refused: Collection[str] = (),
) -> Step:
    """The next run. A source in `refused` needs somebody to sign in, and waits for the schedule.

    A run that was missed or killed is due at once. Sources that are due within half a pause of the
    first one run together with it, but none before its scheduled moment: it would run twice.
    """
    scheduled = rules.schedule.after(now)
    due = rules.schedule.latest(now)
    moments: dict[str, datetime] = {}
    for source in sources:
        mine = [each for each in attempts if each.source == source]
        moment = None if due is None else _due(rules, mine, due, now, is_refused=source in refused)
        moments[source] = min(moment or scheduled, scheduled)
    first = min(moments.values())
    together = {m for m in moments.values() if m <= first + rules.pause / 2 and m < scheduled}
    return Step(first, tuple(name for name in sources if moments[name] in {first, *together}))


def _due(
    rules: Rules, attempts: Iterable[Attempt], due: datetime, now: datetime, *, is_refused: bool
) -> datetime | None:
    """When a source is due before the next scheduled moment; None if it is not."""
    since = sorted(_since(attempts, due, now), key=lambda each: each.started_at)
    if not since:
        return due
    if len(since) >= rules.attempts or any(each.exit_code in FINAL for each in since):
        return None
    last = since[-1]
    if last.exit_code == SignInRequired.exit_code:
        return None if is_refused else due
    is_stopped = last.exit_code is None or last.exit_code > _SIGNALS
    return due if is_stopped or last.ended_at is None else last.ended_at + rules.pause


def _since(attempts: Iterable[Attempt], due: datetime, now: datetime) -> Iterator[Attempt]:
    """The runs from the scheduled moment on, without those of a clock that was ahead."""
    return (each for each in attempts if due <= each.started_at <= now + CLOCKS_DIFFER)
