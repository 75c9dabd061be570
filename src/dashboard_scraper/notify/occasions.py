"""What somebody should know after a run: pure functions of the facts about it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import Enum

import msgspec

from dashboard_scraper.decoding import decodable
from dashboard_scraper.errors import SIGNALLED, DaysMissing, SignInRequired
from dashboard_scraper.model.dates import is_weekend
from dashboard_scraper.store import LedgerDay, Run
from dashboard_scraper.sync.plausibility import active_before

TOKEN_WARNING = timedelta(days=7)
"""How long before a token's stated expiry somebody is notified: a new one may take days."""

KILLED, TERMINATED = SIGNALLED + 9, SIGNALLED + 15
"""Exit codes of runs that did not end by themselves, as a shell reports SIGKILL and SIGTERM."""

KEEP_ALIVE = "keep-alive"
"""The command that only touches a session: it proves that there is one, and nothing about days."""


class Occasion(Enum):
    """Why somebody is notified."""

    RUN_FAILED = "run-failed"
    DAYS_MISSING = "days-missing"
    SIGN_IN_EXPIRES = "sign-in-expires"
    DAYS_REVISED = "days-revised"
    NO_ACTIVITY = "no-activity"

    @property
    def is_event(self) -> bool:
        """Whether it happens once, and so has no end to report."""
        return self is Occasion.DAYS_REVISED


@decodable
class Details(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a message needs besides the occasion; the store keeps it as JSON.

    `reported` is the number of days in the last message, and `lost` how many of the days, the first
    ones, the source no longer has. `expires_at` is a token's stated expiry.
    """

    command: str = ""
    exit_code: int | None = None
    days: tuple[date, ...] = ()
    reported: int = 0
    lost: int = 0
    changes: tuple[str, ...] = ()
    expires_at: datetime | None = None


class Finding(msgspec.Struct, frozen=True):
    """An occasion that exists now."""

    source: str
    occasion: Occasion
    details: Details


class Revised(msgspec.Struct, frozen=True):
    """A settled day whose figures were replaced; `percent` is the largest change of a figure."""

    day: date
    percent: float
    change: str


class SignIn(msgspec.Struct, frozen=True):
    """What is known about the credentials: how long a session lasts after its last use, and when a
    token expires.
    """

    session_life: timedelta | None = None
    expires_at: datetime | None = None


class RunFacts(msgspec.Struct, frozen=True):
    """A run of one source, and what the store says after it.

    `stores_days` is false for a run that only writes the CSV of a period. `ledger` has the stored
    days and the weeks before them, `expected` the days that should be stored, `recent` the days of
    the daily job; all are empty if the store could not be read. `runs` are this run and earlier
    ones of the same source, newest first. `oldest` is the oldest day that the source may still
    have.
    """

    source: str
    command: str
    exit_code: int
    ended_at: datetime
    stores_days: bool
    sign_in: SignIn = SignIn()
    ledger: Mapping[date, LedgerDay] = {}
    asked: Sequence[date] = ()
    expected: Sequence[date] = ()
    recent: Sequence[date] = ()
    revised: Sequence[Revised] = ()
    runs: Sequence[Run] = ()
    oldest: date = date.min


def cut_off(runs: Sequence[Run]) -> int | None:
    """How earlier runs ended that could not notify anybody themselves: KILLED if the last one was
    killed; TERMINATED if it was terminated and the one before was terminated or killed, as by a
    time limit. Whoever stops a single run knows about it.

    `runs` are those of one command, newest first; none of them is still running.
    """
    last, before = ([*(_end_of(run) for run in runs[:2]), 0, 0])[:2]
    if last == TERMINATED and before in (KILLED, TERMINATED):
        return TERMINATED
    return KILLED if last == KILLED else None


def _end_of(run: Run) -> int:
    return KILLED if run.exit_code is None else run.exit_code


def findings_in(facts: RunFacts, revision_percent: float) -> list[Finding]:
    """Everything that somebody should know, the most urgent first."""
    found = [
        *_failed(facts),
        *_missing(facts),
        *_sign_in_expires(facts),
        *_no_activity(facts),
        *_revised(facts, revision_percent),
    ]
    return [Finding(facts.source, occasion, details) for occasion, details in found]


_Found = Iterator[tuple[Occasion, Details]]


def _missing_of(days: Sequence[date], facts: RunFacts) -> tuple[date, ...]:
    return tuple(sorted(day for day in days if day not in facts.ledger))


def _failed(facts: RunFacts) -> _Found:
    # Not if only days of earlier runs are missing: then this run lacks something else, such as
    # costs.
    only_missing = facts.exit_code == DaysMissing.exit_code and _missing_of(facts.asked, facts)
    if facts.exit_code and not only_missing:
        yield Occasion.RUN_FAILED, Details(facts.command, facts.exit_code)


def _missing(facts: RunFacts) -> _Found:
    if days := _missing_of(facts.expected, facts):
        lost = sum(day < facts.oldest for day in days)
        yield Occasion.DAYS_MISSING, Details(days=days, lost=lost)


def _revised(facts: RunFacts, percent: float) -> _Found:
    far = [each for each in facts.revised if each.percent > percent]
    if far:
        days = tuple(each.day for each in far)
        yield Occasion.DAYS_REVISED, Details(days=days, changes=tuple(e.change for e in far))


def _sign_in_expires(facts: RunFacts) -> _Found:
    if facts.exit_code == SignInRequired.exit_code:  # it has expired already
        return
    expires_at, interval = facts.sign_in.expires_at, _interval(facts.runs)
    if expires_at is not None:
        if expires_at - facts.ended_at <= max(TOKEN_WARNING, interval or TOKEN_WARNING):
            yield Occasion.SIGN_IN_EXPIRES, Details(expires_at=expires_at)
        return
    life = facts.sign_in.session_life
    if life is None or interval is None or interval <= life:
        return
    if _outlived_last_time(facts.runs, life) is False:
        yield Occasion.SIGN_IN_EXPIRES, Details()


def _interval(runs: Sequence[Run]) -> timedelta | None:
    """The time from one run to the next: between the last two runs of the newest run's command."""
    starts = [run.started_at for run in runs if run.command == runs[0].command]
    return starts[0] - starts[1] if len(starts) > 1 else None


def _outlived_last_time(runs: Sequence[Run], life: timedelta) -> bool | None:
    """Whether the session outlived the last break between runs that was longer than its life: if
    so, something renews it. None if there was no such break.
    """
    for after, before in itertools.pairwise(runs):
        used = before.ended_at or before.started_at
        # After a run without a session, the next run has another session.
        if before.exit_code == SignInRequired.exit_code or after.started_at - used <= life:
            continue
        return after.exit_code != SignInRequired.exit_code
    return None


def _no_activity(facts: RunFacts) -> _Found:
    """The newest weekdays on which nobody was active, unlike on the same weekday before.

    Only while the newest stored weekday is one of them: figures that came back end the doubt.
    """
    stored = [day for day in facts.recent if day in facts.ledger]
    weekdays = sorted((day for day in stored if not is_weekend(day)), reverse=True)
    quiet = []
    for day in weekdays:
        before = active_before(day, facts.ledger)
        if before is None or facts.ledger[day].active_users:
            break
        quiet.append((day, before))
    if quiet:
        changes = tuple(
            f"{day:%A} {day}: nobody, on the same weekday before {low:,} to {high:,}"
            for day, (low, high) in reversed(quiet)
        )
        days = tuple(sorted(day for day, _ in quiet))
        yield Occasion.NO_ACTIVITY, Details(days=days, changes=changes)
