"""Fetches days, several at once, and stores each as it arrives; failed days are tried once more."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Collection
from datetime import date, datetime
from pathlib import Path

import msgspec

from dashboard_scraper.clock import Clock
from dashboard_scraper.errors import (
    ContractBroken,
    NotPublished,
    ScraperError,
    SourceUnavailable,
)
from dashboard_scraper.model.checks import revision
from dashboard_scraper.model.dates import DAYS
from dashboard_scraper.model.listing import listed
from dashboard_scraper.model.reconciliation import Rules
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.sources.interface import Estimate, Source
from dashboard_scraper.sources.rest.turns import Turns
from dashboard_scraper.spans import span
from dashboard_scraper.store import Store, Stored
from dashboard_scraper.sync.cost_rules import CostRules
from dashboard_scraper.sync.revisions import Caution
from dashboard_scraper.sync.run_record import RunRecord
from dashboard_scraper.sync.workers import each_done

logger = logging.getLogger(__name__)

# These errors fail one day, which may succeed later; any other error would fail every day, and ends
# the run.
DAY_ERRORS = (SourceUnavailable, ContractBroken, NotPublished)

# After this many unavailable days in a row, the source is down, and more requests would only add
# load.
_OUTAGE = DAYS

Failures = dict[date, ScraperError]
Report = Callable[[date, ScraperError | None], None]
"""Called for each day that was fetched (with None) or failed."""
Progress = Callable[
    [Collection[date], Callable[[Collection[date]], Estimate | None]],
    contextlib.AbstractContextManager[Report],
]
"""Shows the progress; gets the days, and a function that estimates the cost of those left."""


class Job(msgspec.Struct, frozen=True):
    """How to bring a source's days into the store. `command` is the name under which the run is
    recorded, `outputs` is EXPORT_DIR, and `meanwhile` is called while the first answers are
    awaited.
    """

    store: Store
    source: str
    command: str
    outputs: Path
    workers: int
    caution: Caution
    recheck_days: int
    cost_rules: CostRules
    clock: Clock
    progress: Progress
    rules: Rules
    meanwhile: Callable[[], None]


class Fetched(msgspec.Struct, frozen=True):
    """What the store did with each fetched day, and why the others failed."""

    results: dict[date, Stored] = {}
    failures: Failures = {}


def fetch_and_store(job: Job, source: Source, days: list[date], record: RunRecord) -> Fetched:
    """Fetch every day, and at the end try the failed ones once more."""
    if not days:
        return Fetched()
    with job.progress(days, source.estimate) as report:
        fetched = _fetch_days(job, source, days, record, report, give_up_after=_OUTAGE)
        again = [day for day, e in fetched.failures.items() if not isinstance(e, NotPublished)]
        for part in _parts_to_try(sorted(again), fetched):
            logger.info("%d days failed; trying %d of them again", len(fetched.failures), len(part))
            second = _fetch_days(job, source, part, record, report)
            failures = {day: fetched.failures[day] for day in fetched.failures if day not in part}
            fetched = Fetched(fetched.results | second.results, failures | second.failures)
            if not fetched.results:
                break
    return fetched


def _parts_to_try(again: list[date], fetched: Fetched) -> list[list[date]]:
    """All days at once; if the source seems to be down, first one day that shows whether it is."""
    errors = (fetched.failures[day] for day in again)
    is_down = not fetched.results and all(isinstance(e, SourceUnavailable) for e in errors)
    return [part for part in ((again[:1], again[1:]) if is_down else (again,)) if part]


def _fetch_days(
    job: Job,
    source: Source,
    days: list[date],
    record: RunRecord,
    report: Report,
    give_up_after: int | None = None,
) -> Fetched:
    fetched = Fetched()
    in_a_row = 0
    with contextlib.ExitStack() as on_error:
        on_error.callback(source.stop)  # also ends threads that wait for their next attempt
        # Each thread stores its day at once: a queue of days of a large tenant would be big.
        fetch = functools.partial(_fetch_day, job, source, Turns())
        for day, result in each_done(fetch, days, job.workers, job.meanwhile):
            error = result if isinstance(result, ScraperError) else None
            if isinstance(result, ScraperError):
                record.add_failed(day)
                fetched.failures[day] = _error_of_day(result)
            else:
                record.add(day, result)
                fetched.results[day] = result
            report(day, error)
            in_a_row = in_a_row + 1 if isinstance(error, SourceUnavailable) else 0
            if in_a_row == give_up_after:
                raise SourceUnavailable(
                    f"{in_a_row} days in a row could not be fetched; {day}: {error}"
                ) from error
        on_error.pop_all()
    return fetched


def _fetch_day(job: Job, source: Source, turns: Turns, day: date) -> Stored:
    with turns.day():
        usage, fetched_at = _fetched(job, source, day)
        return store_day(job.store, source.name, usage, fetched_at, job.caution)


def _fetched(job: Job, source: Source, day: date) -> tuple[DayUsage, datetime]:
    """A day's figures, and the time at which fetching them began."""
    with span("fetch day", {"day": f"{day}"}):
        fetched_at = job.clock()
        usage = source.fetch_day(day)
        if usage.differences:
            # Users and totals are separate requests; the source may have changed between the two.
            logger.info("%s: %s; fetching it once more", day, usage.differences[0])
            fetched_at = job.clock()
            usage = source.fetch_day(day)
    return usage, min(fetched_at, usage.as_of or fetched_at)


def store_day(
    store: Store, source_name: str, usage: DayUsage, fetched_at: datetime, caution: Caution
) -> Stored:
    """Store a day; logs what does not add up, and what a revision changed."""
    with span("store day", {"day": f"{usage.day}"}) as note:
        result, before = store.put(source_name, usage, fetched_at, caution)
        note({"stored": result.name.lower()})
    if usage.differences:
        differences = listed(usage.differences, separator="; ")
        logger.warning("%s does not add up: %s; stored as it is", usage.day, differences)
    if (
        before is not None
        and result is Stored.REVISED
        and (changes := revision(before.sums, usage.sums))
    ):
        logger.info("%s was revised: %s", usage.day, changes)
    if result is Stored.REJECTED:
        logger.info("%s: the source repeats an answer that was rejected", usage.day)
    return result


def _error_of_day(error: ScraperError) -> ScraperError:
    """The error, if it fails only its day; raises one that would fail every day."""
    if not isinstance(error, DAY_ERRORS):
        raise error
    return error
