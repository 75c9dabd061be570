"""The 28-day job and backfill: days are fetched, checked, stored and written."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from datetime import date

import msgspec

from dashboard_scraper.errors import (
    ContractBroken,
    DaysMissing,
    NotPublished,
    ScraperError,
)
from dashboard_scraper.exports.daily_export import DailyExport, summarise
from dashboard_scraper.exports.export_folders import latest_follows, remove_leftovers_of_runs
from dashboard_scraper.exports.retention import prune
from dashboard_scraper.files import undone_on_failure
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.doubts import doubts_in
from dashboard_scraper.model.listing import NAMED_AT_MOST, listed_days
from dashboard_scraper.model.metrics import Totals
from dashboard_scraper.model.reconciliation import FILES_MARKED, STORE_MARKED, Verdict
from dashboard_scraper.sources.interface import MakeSource, Source
from dashboard_scraper.spans import measured, span
from dashboard_scraper.store import LedgerDay, Stored
from dashboard_scraper.store.runs import NIGHTLY
from dashboard_scraper.sync.day_costs import fill_costs
from dashboard_scraper.sync.day_details import fill_details
from dashboard_scraper.sync.day_fetching import (
    DAY_ERRORS,
    Failures,
    Fetched,
    Job,
    fetch_and_store,
)
from dashboard_scraper.sync.left_behind import warn_of_left_behind
from dashboard_scraper.sync.planning import planned
from dashboard_scraper.sync.review import review
from dashboard_scraper.sync.run_record import RunRecord, recorded
from dashboard_scraper.sync.seats import fill_seats

logger = logging.getLogger(__name__)


class Outcome(msgspec.Struct, frozen=True):
    """Why days failed, what else could not be fetched or compared, and the errors of the review."""

    failures: Failures
    incomplete: list[ScraperError]
    reviewed: list[ScraperError]

    def error(self, window: Window) -> ScraperError | None:
        """The error to end with if days are missing; the verdict has the errors of doubts."""
        if self.failures.keys() >= set(window.days()):
            return self.failures[min(self.failures)]
        if self.failures:
            return DaysMissing(listed_days(self.failures))
        return self.incomplete[0] if self.incomplete else None


def run_daily_job(
    job: Job, make_source: MakeSource, export: DailyExport, *, refresh: bool
) -> Verdict:
    """Bring every day of the window into the store, then write every file.

    Returns the verdict on days in doubt. Raises DaysMissing after the files of the other days are
    written, or the error that ended the run; `withdraw` says which files remain then. With
    LockHeld, nothing has changed.
    """
    undo = functools.partial(_withdraw, job, export)
    with latest_follows(export, job.clock):
        verdict = _write_daily(job, make_source, export, undo, refresh=refresh)
    prune(export, job.clock())
    return verdict


def _withdraw(job: Job, export: DailyExport, error: BaseException) -> None:
    # Imported here: all formats take long to import, and the first request need not wait for them.
    from dashboard_scraper.exports.withdrawal import withdraw  # noqa: PLC0415

    withdraw(job.store, export, job.clock, error)


def _write_daily(
    job: Job,
    make_source: MakeSource,
    export: DailyExport,
    undo: Callable[[BaseException], None],
    *,
    refresh: bool,
) -> Verdict:
    with (
        undone_on_failure(undo, job.store.locked()),
        _recorded(job) as record,
        make_source() as source,
    ):
        remove_leftovers_of_runs(export.outputs.folder)
        record.source, window = source, export.window
        outcome = bring_up_to_date(job, source, window, record, refresh=refresh, compare=True)
        _raise_if_all_failed(outcome, export.window)
        job.store.check_lock()
        from dashboard_scraper.exports.bundle import write_files  # noqa: PLC0415 - see _withdraw

        with job.store.reading() as reader:
            doubts = write_files(reader, export, outcome.failures, job.clock())
            costs = reader.unreconciled_costs(source.name, export.window)
            if job.command == NIGHTLY:
                warn_of_left_behind(job, reader, source, export.window)
        verdict = job.rules.verdict_on(doubts, FILES_MARKED, outcome.reviewed, costs)
        _note_success(job, source, outcome, verdict)
        record.error = outcome.error(window) or verdict.error
    _raise_unless_whole(outcome, export.window)
    return verdict


def backfill(job: Job, make_source: MakeSource, window: Window) -> Verdict:
    """Fetch the missing days of the window, oldest first; raises DaysMissing if some remain."""
    with (
        job.store.locked(),
        _recorded(job) as record,
        make_source() as source,
    ):
        record.source = source
        outcome = bring_up_to_date(job, source, window, record, refresh=False, compare=False)
        with job.store.reading() as reader:
            doubts = doubts_in(reader.ledger(source.name, window).values(), job.rules.tolerance)
            costs = reader.unreconciled_costs(source.name, window)
        verdict = job.rules.verdict_on(doubts, STORE_MARKED, outcome.reviewed, costs)
        _note_success(job, source, outcome, verdict)
        record.error = outcome.error(window) or verdict.error
    _raise_if_all_failed(outcome, window)
    _raise_unless_whole(outcome, window)
    return verdict


def _recorded(job: Job) -> AbstractContextManager[RunRecord]:
    return recorded(job.store, job.source, job.command, job.clock, job.outputs)


def bring_up_to_date(
    job: Job, source: Source, window: Window, record: RunRecord, *, refresh: bool, compare: bool
) -> Outcome:
    """Fetch and store, one by one, the days of the window that are needed; with `refresh`, all.

    With `compare`, stored days are compared with the source's current totals, and fetched again if
    these differ.
    """
    if not source.has_totals:
        logger.warning(
            "%s: there are no figures of the whole tenant to reconcile users with", source.name
        )
    now = job.clock()
    plan = planned(job, source, window, now, refresh=refresh, compare=compare)
    failures: Failures = {**plan.unpublished}
    record.failed.update(failures)
    with span("prepare days", {"days": len(plan.fetched)}):
        source.prepare(
            sorted({*plan.fetched, *plan.compared}), plan.fetched, compared=bool(plan.compared)
        )
    plan.log(source, window)
    fetched = fetch_and_store(job, source, plan.fetched, record)
    failures |= fetched.failures
    incomplete: list[ScraperError] = []
    if plan.compared:
        again_fetched, incomplete = _compare(job, source, plan.compared, failures, record)
        failures |= again_fetched.failures
        # A day that is new in this run stays new even if the source then repeats the same answer.
        fetched.results.update(
            (day, result)
            for day, result in again_fetched.results.items()
            if result is not Stored.SAME or day not in fetched.results
        )
    # Before the details, which belong to the figures in force: the review may change which these
    # are.
    reviewed = review(job.store, source.name, window, fetched.results, job.caution)
    incomplete += fill_details(job.store, source, window, now)
    incomplete += fill_costs(job.store, source, window, job.cost_rules, refresh=refresh)
    incomplete += fill_seats(job.store, source, job.clock())
    return Outcome(failures, incomplete, reviewed.errors())


def _note_success(job: Job, source: Source, outcome: Outcome, verdict: Verdict) -> None:
    if not outcome.failures and not outcome.incomplete and not verdict.errors:
        job.store.put_success(source.name, job.clock())


@measured("compare days")
def _compare(
    job: Job, source: Source, days: Collection[date], failures: Failures, record: RunRecord
) -> tuple[Fetched, list[ScraperError]]:
    """Fetch again the days whose totals have changed since the source's last answer for them.

    Days that were fetched just now are compared too: a range without gaps costs fewer requests, and
    a range's total that is not the sum of its days is a contradiction in the source's answers. So
    is a day that differs here, but is unchanged when it is fetched again. Errors are returned
    together with the days that were fetched before them.
    """
    fetched = Fetched()
    try:
        before = _totals_of(_last_answers(job, source, days, failures))
        changed = source.changed_days(before)
        if not changed:
            return fetched, []
        logger.warning("the source has revised %s; fetching them again", listed_days(changed))
        fetched = fetch_and_store(job, source, changed, record)
        answers = _last_answers(job, source, days, failures | fetched.failures)
        after = _totals_of(answers)
        if any(before[day] == after.get(day) for day in changed):
            known = {day for day, row in answers.items() if row.unreconciled}
            _refuse_contradiction(source, after, known)
    except DAY_ERRORS as error:
        what = "the stored days could not be compared with the source's totals of now"
        return fetched, [error.preceded_by(what)]
    return fetched, []


def _last_answers(
    job: Job, source: Source, days: Collection[date], failures: Failures
) -> dict[date, LedgerDay]:
    """The source's last answers for the days that did not fail, whether in force or held."""
    with job.store.reading() as reader:
        answers = reader.last_answers(source.name, Window(min(days), max(days)))
    return {day: row for day, row in answers.items() if day not in failures}


def _totals_of(answers: Mapping[date, LedgerDay]) -> dict[date, Totals]:
    return {day: row.totals for day, row in answers.items() if row.totals is not None}


def _refuse_contradiction(
    source: Source, totals: dict[date, Totals], known: Collection[date]
) -> None:
    """Raise ContractBroken if days still differ, except those `known` to be unreconciled."""
    changed = [day for day in source.changed_days(totals) if day not in known]
    if changed:
        raise ContractBroken(
            f"the totals of {Window(min(totals), max(totals))} are not the sum of its days:"
            f" {listed_days(changed)} differ in it, but are unchanged when fetched alone"
        )


def _raise_if_all_failed(outcome: Outcome, window: Window) -> None:
    if all(day in outcome.failures for day in window.days()):
        day = min(outcome.failures)
        error = outcome.failures[day]
        raise error.preceded_by(f"no day could be fetched; {day}") from error


def _raise_unless_whole(outcome: Outcome, window: Window) -> None:
    _log_failures(outcome.failures)
    # The run ends with one error, so the others are logged; the caller raises the review's.
    others = outcome.incomplete[0 if outcome.failures else 1 :]
    if outcome.failures or outcome.incomplete:
        others = others + outcome.reviewed
    for error in others[:NAMED_AT_MOST]:
        logger.error("%s", error)
    if len(others) > NAMED_AT_MOST:
        logger.error("and %d more errors", len(others) - NAMED_AT_MOST)
    # With --quiet, only this is logged of the failures.
    early = all(isinstance(error, NotPublished) for error in outcome.failures.values())
    advice = "run it again when the source has published them" if early else "run it again"
    summarise(window, outcome.failures, advice)
    for error in outcome.incomplete:
        raise error


def _log_failures(failures: Failures) -> None:
    """Log why days failed, up to NAMED_AT_MOST of them."""
    days = sorted(failures)
    for day in days[:NAMED_AT_MOST]:
        if isinstance(failures[day], NotPublished):
            logger.warning("%s", failures[day])
        else:
            logger.error("%s failed: %s", day, failures[day])
    if more := days[NAMED_AT_MOST:]:
        logger.error("%d more days failed: %s", len(more), listed_days(more))
