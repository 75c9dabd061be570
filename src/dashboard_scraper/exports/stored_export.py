"""The files of a window of the store, without a network."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime

from dashboard_scraper.exports.bundle import write_files
from dashboard_scraper.exports.daily_export import DailyExport, advice_of, summarise
from dashboard_scraper.exports.export_folders import latest_follows
from dashboard_scraper.exports.withdrawal import withdraw
from dashboard_scraper.files import undone_on_failure
from dashboard_scraper.model.reconciliation import FILES_MARKED, Rules, Verdict
from dashboard_scraper.store import Store


def give_out_kept(
    store: Store, export: DailyExport, rules: Rules, clock: Callable[[], datetime]
) -> Verdict:
    """Write every file from the store alone; raises DaysMissing where days are not in it."""
    undo = functools.partial(withdraw, store, export, clock)
    with latest_follows(export), undone_on_failure(undo), store.reading() as reader:
        kept = reader.ledger(export.source, export.window)
        missing = [day for day in export.window.days() if day not in kept]
        advice = advice_of(reader, export.source)
        if not kept:
            summarise(export.window, missing, advice)
        doubts = write_files(reader, export, {}, clock())
    summarise(export.window, missing, advice)
    return rules.verdict_on(doubts, FILES_MARKED)
