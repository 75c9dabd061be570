"""`report`: the HTML report of a window of the store, as a file of its own."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from dashboard_scraper.exports.daily_export import advice_of, summarise
from dashboard_scraper.files import (
    PRIVATE,
    Publication,
    make_folder,
    remove_leftovers_beside,
    replaced_or_set_aside,
)
from dashboard_scraper.model.dates import DAYS, Window, last_complete_days
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.report.gather import newest_window
from dashboard_scraper.report.options import ReportOptions
from dashboard_scraper.report.render import page_of
from dashboard_scraper.store import Store


def write_page(
    store: Store,
    source: str,
    window: Window | None,
    audience: Audience,
    options: ReportOptions,
    target: Path,
    today: date,
    mode: int = PRIVATE,
) -> None:
    """Write the page of a window; by default, of the 28 days up to the newest completed stored day.

    Raises DaysMissing where days are not in the store: after writing the page, which marks them,
    or, if no day of the window is stored, after setting an earlier page aside.
    """
    with replaced_or_set_aside([target]), store.reading() as reader:
        window = (
            window or newest_window(reader.days(source), today) or last_complete_days(DAYS, today)
        )
        stored = reader.ledger(source, window)
        missing = [day for day in window.days() if day not in stored]
        advice = advice_of(reader, source)
        if not stored:
            summarise(window, missing, advice)
        page = page_of(reader, source, window, audience, options)
        make_folder(target.parent, mode)
        remove_leftovers_beside([target])
        with Publication(mode) as publication:
            publication.add(target, page)
            publication.publish()
    summarise(window, missing, advice)
