"""Which days are needed: they are fetched, checked and kept; the job of the last 28 days."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from dashboard_scraper.errors import (
    ContractBroken,
    NotPublished,
    ScraperError,
    SourceUnavailable,
)
from dashboard_scraper.exports.bundle import write_files
from dashboard_scraper.exports.daily_export import DailyExport, summarise
from dashboard_scraper.exports.export_folders import latest_follows, prune, remove_leftovers_of_runs
from dashboard_scraper.exports.withdrawal import withdraw
from dashboard_scraper.files import undone_on_failure
from dashboard_scraper.model.checks import revision
from dashboard_scraper.model.dates import DAYS, Window, rough_duration
from dashboard_scraper.model.doubts import doubts_in
from dashboard_scraper.model.listing import NAMED_AT_MOST, listed, listed_days
from dashboard_scraper.model.metrics import Totals
from dashboard_scraper.model.reconciliation import FILES_MARKED, STORE_MARKED, Rules, Verdict
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.sources.interface import Clock, Estimate, MakeSource, Source
from dashboard_scraper.store import LedgerDay, Store, Stored
from dashboard_scraper.sync.day_details import fill_details
from dashboard_scraper.sync.review import review
from dashboard_scraper.sync.revisions import Caution
from dashboard_scraper.sync.workers import each_done

logger = logging.getLogger(__name__)

# A day that failed for one of these may be had later, and the others now; whatever else is raised
# ends the run.
_FAILED_DAY = (SourceUnavailable, ContractBroken)

# After so many days in a row for which the source was unavailable, it will be for the next too.
_OUTAGE = DAYS

# Two runs of one night do not read the same days again.
_RECHECKED_AFTER = timedelta(hours=20)

# A run that takes longer says so beforehand.
_LONG_SECONDS = 60

Failures = dict[date, ScraperError]
Report = Callable[[date, ScraperError | None], None]
"""Called for each day that was fetched (None) or failed."""
Progress = Callable[
    [Collection[date], Callable[[Collection[date]], Estimate | None]],
    contextlib.AbstractContextManager[Report],
]
"""What shows how far the days are, with what the source knows of the cost of those left."""


@dataclass(frozen=True, slots=True)
class Job:
    """How days are brought into the store."""

    store: Store
    workers: int
    caution: Caution
    recheck_days: int
    clock: Clock
    progress: Progress
    rules: Rules


@dataclass(frozen=True, slots=True)
class Outcome:
    """The days that could not be had, what could not be had or checked beside them, and what a
    review of the days that are there came to.
    """

    failures: Failures
    incomplete: list[ScraperError]
    reviewed: list[ScraperError]


def days_to_fetch(
    kept: Mapping[date, LedgerDay], window: Window, caution: Caution, *, totals: bool, doubts: bool
) -> list[date]:
    """The days of the window that are missing or not settled, oldest first; with `doubts`, also
    those that are in doubt.

    A day is in doubt while a newer version is held, and where it does not add up or is suspicious
    until the source has repeated the answer on some later days. With `totals`, also those that were
    kept without the tenant's figures, and so never checked.
    """
    return [
        day
        for day in window.days()
        if day not in kept
        or not caution.is_settled(kept[day])
        or (doubts and caution.is_open(kept[day]))
        or (totals and kept[day].totals is None)
    ]


def days_to_recheck(
    kept: Mapping[date, LedgerDay], needed: Collection[date], most: int, now: datetime
) -> list[date]:
    """Days to read again that need not be: a source may restate what no total tells.

    Those that were fetched longest ago, so that each has its turn; none of which somebody was
    removed, who would come back.
    """
    due = [
        row
        for day, row in kept.items()
        if day not in needed and not row.forgotten and now - row.fetched_at > _RECHECKED_AFTER
    ]
    due.sort(key=lambda row: row.fetched_at)
    return sorted(row.day for row in due[:most])


def run_daily_job(
    job: Job, make_source: MakeSource, export: DailyExport, *, refresh: bool
) -> Verdict:
    """Bring every day of the window into the store, then write every file; returns what its doubts
    come to.

    Raises DaysMissing after the files of the others are written, or the error that ended the run:
    `withdraw` says what stays then. LockHeld leaves all as it is.
    """
    undo = functools.partial(withdraw, job.store, export, job.clock)
    with latest_follows(export):
        verdict = _write_daily(job, make_source, export, undo, refresh=refresh)
    prune(export)
    return verdict


def _write_daily(
    job: Job,
    make_source: MakeSource,
    export: DailyExport,
    undo: Callable[[BaseException], None],
    *,
    refresh: bool,
) -> Verdict:
    with undone_on_failure(undo, job.store.locked()), job.store.opened(), make_source() as source:
        remove_leftovers_of_runs(export.outputs.folder)
        outcome = bring_up_to_date(job, source, export.window, refresh=refresh, compare=True)
        _raise_if_all_failed(outcome, export.window)
        job.store.check_lock()
        with job.store.reading() as reader:
            doubts = write_files(reader, export, outcome.failures, job.clock())
        verdict = job.rules.verdict_on(doubts, FILES_MARKED, outcome.reviewed)
        _note_success(job, source, outcome, verdict)
    _raise_unless_whole(outcome, export.window)
    return verdict


def backfill(job: Job, make_source: MakeSource, window: Window) -> Verdict:
    """Fetch what is missing of the window, oldest first; raises DaysMissing where some stays so."""
    with job.store.locked(), job.store.opened(), make_source() as source:
        outcome = bring_up_to_date(job, source, window, refresh=False, compare=False)
        with job.store.reading() as reader:
            doubts = doubts_in(reader.ledger(source.name, window).values(), job.rules.tolerance)
        verdict = job.rules.verdict_on(doubts, STORE_MARKED, outcome.reviewed)
        _note_success(job, source, outcome, verdict)
    _raise_if_all_failed(outcome, window)
    _raise_unless_whole(outcome, window)
    return verdict


def bring_up_to_date(
    job: Job, source: Source, window: Window, *, refresh: bool, compare: bool
) -> Outcome:
    """Fetch what the ledger lacks of the window (with `refresh` all), each day kept by itself.

    With `compare`, days that have settled are compared with what the source says of them now, and
    fetched again where that is something else.
    """
    if not source.has_totals:
        logger.warning("the tenant's figures are not selected: nothing shows whether users add up")
    with job.store.reading() as reader:
        kept = reader.ledger(source.name, window)
    now = job.clock()
    needed = days_to_fetch(kept, window, job.caution, totals=source.has_totals, doubts=compare)
    needed = list(window.days()) if refresh else needed
    published = source.published(now)
    failures: Failures = {day: _not_published(day) for day in needed if day > published.end}
    needed = [day for day in needed if day not in failures]
    again = {*needed, *failures}
    rest = {day: row for day, row in kept.items() if day not in again and day >= published.start}
    recheck = days_to_recheck(rest, again, job.recheck_days, now) if compare else []
    compared = [*needed, *rest] if compare and source.has_totals else []
    source.prepare(sorted({*needed, *recheck, *compared}))
    _tell_plan(source, window, needed, recheck)
    fetched = _fetch(job, source, sorted([*needed, *recheck]))
    failures |= fetched.failures
    incomplete: list[ScraperError] = []
    if len(compared) > 1:
        again_fetched, incomplete = _compare(job, source, compared, failures)
        failures |= again_fetched.failures
        # A day that was new is so still when the source repeats it in the same run.
        fetched.stored.update(
            (day, stored)
            for day, stored in again_fetched.stored.items()
            if stored is not Stored.SAME or day not in fetched.stored
        )
    # Before the details, which go with the figures in force.
    reviewed = review(job.store, source.name, window, fetched.stored, job.caution)
    incomplete += fill_details(job.store, source, window, now)
    return Outcome(failures, incomplete, reviewed.errors())


def _not_published(day: date) -> NotPublished:
    return NotPublished(f"{day} is not published yet: the source has it some hours after its end")


def _tell_plan(source: Source, window: Window, needed: list[date], recheck: list[date]) -> None:
    total = len(window)
    logger.info("%s: %d days are kept, %d to fetch", window, total - len(needed), len(needed))
    if recheck:
        logger.info("reading again, in turn: %s", listed_days(recheck))
    estimate = source.estimate(needed)
    if estimate is not None and estimate.seconds >= _LONG_SECONDS:
        logger.info(
            "%d days have %d pages of users: as many requests, about %s at the source's limit",
            len(needed),
            estimate.requests,
            rough_duration(estimate.seconds),
        )


def _note_success(job: Job, source: Source, outcome: Outcome, verdict: Verdict) -> None:
    if not outcome.failures and not outcome.incomplete and not verdict.errors:
        job.store.put_success(source.name, job.clock())


def _compare(
    job: Job, source: Source, days: Collection[date], failures: Failures
) -> tuple[_Fetched, list[ScraperError]]:
    """Fetch again the days whose totals now are not what the source last said of them.

    Days that were fetched just now are compared too: a range without gaps costs fewer requests, and
    a range that is not the sum of its days is a contradiction. It is one where a day stays as it
    was, and differs all the same. Whatever goes wrong, what was fetched is returned with it.
    """
    fetched = _Fetched()
    try:
        before = _totals_of(_last_answers(job, source, days, failures))
        changed = source.changed_days(before)
        if not changed:
            return fetched, []
        logger.warning("the source has revised %s; fetching again", listed_days(changed))
        fetched = _fetch(job, source, changed)
        answers = _last_answers(job, source, days, failures | fetched.failures)
        after = _totals_of(answers)
        if any(before[day] == after.get(day) for day in changed):
            known = {day for day, row in answers.items() if row.unreconciled}
            _refuse_contradiction(source, after, known)
    except _FAILED_DAY as error:
        what = "the days kept could not be compared with what the source says of them now"
        return fetched, [type(error)(f"{what}: {error}")]
    return fetched, []


def _last_answers(
    job: Job, source: Source, days: Collection[date], failures: Failures
) -> dict[date, LedgerDay]:
    """What the source last said of the days that could be had, in force or not."""
    with job.store.reading() as reader:
        answers = reader.last_answers(source.name, Window(min(days), max(days)))
    return {day: row for day, row in answers.items() if day not in failures}


def _totals_of(answers: Mapping[date, LedgerDay]) -> dict[date, Totals]:
    return {day: row.totals for day, row in answers.items() if row.totals is not None}


def _refuse_contradiction(
    source: Source, totals: dict[date, Totals], known: Collection[date]
) -> None:
    """Of days `known` not to add up, that has been said."""
    changed = [day for day in source.changed_days(totals) if day not in known]
    if changed:
        raise ContractBroken(
            f"the totals of {Window(min(totals), max(totals))} are not the sum of its days, of"
            f" which {listed_days(changed)} seem to differ, but are the same when asked for alone"
        )


@dataclass(frozen=True, slots=True)
class _Fetched:
    """What became of each day that could be had, and why the others could not."""

    stored: dict[date, Stored] = field(default_factory=dict)
    failures: Failures = field(default_factory=dict)


def _fetch(job: Job, source: Source, days: list[date]) -> _Fetched:
    """Every day once, and those that failed once more at the end."""
    if not days:
        return _Fetched()
    with job.progress(days, source.estimate) as report:
        fetched = _fetch_days(job, source, days, report, give_up_after=_OUTAGE)
        if fetched.failures:
            logger.info("%d days failed; trying them again", len(fetched.failures))
            second = _fetch_days(job, source, sorted(fetched.failures), report)
            fetched = _Fetched(fetched.stored | second.stored, second.failures)
    return fetched


def _fetch_days(
    job: Job, source: Source, days: list[date], report: Report, give_up_after: int | None = None
) -> _Fetched:
    fetched = _Fetched()
    in_a_row = 0
    with contextlib.ExitStack() as on_error:
        on_error.callback(source.stop)  # the threads that wait for their next attempt end too
        # A thread keeps the day as soon as it has it: eight of them would be a lot of memory.
        for day, result in each_done(lambda day: _fetch_day(job, source, day), days, job.workers):
            error = result if isinstance(result, ScraperError) else None
            if isinstance(result, ScraperError):
                fetched.failures[day] = _bearable(result)
            else:
                fetched.stored[day] = result
            report(day, error)
            in_a_row = in_a_row + 1 if isinstance(error, SourceUnavailable) else 0
            if in_a_row == give_up_after:
                raise SourceUnavailable(
                    f"{in_a_row} days in a row could not be had; {day}: {error}"
                ) from error
        on_error.pop_all()
    return fetched


def _fetch_day(job: Job, source: Source, day: date) -> Stored:
    fetched_at = job.clock()
    usage = source.fetch_day(day)
    if usage.differences:
        logger.info("%s: %s; fetching it once more", day, usage.differences[0])
        fetched_at = job.clock()
        usage = source.fetch_day(day)
    return keep_day(job.store, source.name, usage, fetched_at, job.caution)


def keep_day(
    store: Store, source_name: str, usage: DayUsage, fetched_at: datetime, caution: Caution
) -> Stored:
    """Put a day in the store; the log says what does not add up, and what a revision changed."""
    stored, before = store.put(source_name, usage, fetched_at, caution)
    if usage.differences:
        told = listed(usage.differences, separator="; ")
        logger.warning("%s does not add up: %s; kept as it is", usage.day, told)
    if (
        before is not None
        and stored is Stored.REVISED
        and (changes := revision(before.sums, usage.sums))
    ):
        logger.info("%s was revised: %s", usage.day, changes)
    if stored is Stored.REJECTED:
        logger.info("%s: the source says again what was rejected", usage.day)
    return stored


def _bearable(error: ScraperError) -> ScraperError:
    """An error that costs one day; one that would cost every day ends the run."""
    if not isinstance(error, _FAILED_DAY):
        raise error
    return error


def _raise_if_all_failed(outcome: Outcome, window: Window) -> None:
    if all(day in outcome.failures for day in window.days()):
        day = min(outcome.failures)
        error = outcome.failures[day]
        raise type(error)(f"no day could be had; {day}: {error}") from error


def _raise_unless_whole(outcome: Outcome, window: Window) -> None:
    _log_failures(outcome.failures)
    # One error ends the run; the others are told. Without one, those of the review end it.
    others = outcome.incomplete[0 if outcome.failures else 1 :]
    if outcome.failures or outcome.incomplete:
        others = others + outcome.reviewed
    for error in others[:NAMED_AT_MOST]:
        logger.error("%s", error)
    if len(others) > NAMED_AT_MOST:
        logger.error("and %d more errors", len(others) - NAMED_AT_MOST)
    summarise(window, outcome.failures, "run it again")
    for error in outcome.incomplete:
        raise error


def _log_failures(failures: Failures) -> None:
    """Why days failed, for as many as somebody reads."""
    days = sorted(failures)
    for day in days[:NAMED_AT_MOST]:
        if isinstance(failures[day], NotPublished):
            logger.warning("%s", failures[day])
        else:
            logger.error("%s failed: %s", day, failures[day])
    if more := days[NAMED_AT_MOST:]:
        logger.error("%d more days failed: %s", len(more), listed_days(more))
