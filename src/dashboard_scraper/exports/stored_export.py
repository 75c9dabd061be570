"""The files of a window from the store only, without any request."""

from __future__ import annotations

import functools

from dashboard_scraper.clock import Clock
from dashboard_scraper.exports.bundle import write_files
from dashboard_scraper.exports.daily_export import DailyExport, advice_of, summarise
from dashboard_scraper.exports.day_workers import NO_WORKERS, DayWorkers
from dashboard_scraper.exports.export_folders import latest_follows
from dashboard_scraper.exports.withdrawal import withdraw
from dashboard_scraper.files import undone_on_failure
from dashboard_scraper.model.reconciliation import FILES_MARKED, Rules, Verdict
from dashboard_scraper.store import Store


def export_stored(
    store: Store,
    export: DailyExport,
    rules: Rules,
    clock: Clock,
    workers: DayWorkers = NO_WORKERS,
) -> Verdict:
    """Write every file from the store only; raises DaysMissing afterwards if days are missing."""
    undo = functools.partial(withdraw, store, export, clock)
    with latest_follows(export, clock), undone_on_failure(undo), store.reading() as reader:
        stored = reader.ledger(export.source, export.window)
        missing = [day for day in export.window.days() if day not in stored]
        advice = advice_of(reader, export.source)
        if not stored:
            summarise(export.window, missing, advice)
        doubts = write_files(reader, export, {}, clock(), workers)
        costs = reader.unreconciled_costs(export.source, export.window)
    summarise(export.window, missing, advice)
    return rules.verdict_on(doubts, FILES_MARKED, costs=costs)
