"""`report`: the HTML report of a window of the store, as a separate file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path

from dashboard_scraper.errors import DaysMissing
from dashboard_scraper.exports.daily_export import advice_of, summarise
from dashboard_scraper.files import (
    PRIVATE,
    make_folder,
    remove_leftovers_beside,
    replaced_or_set_aside,
)
from dashboard_scraper.model.dates import DAYS, Window, last_complete_days
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.publication import Publication
from dashboard_scraper.report.gather import newest_common_window
from dashboard_scraper.report.options import ReportOptions
from dashboard_scraper.report.render import page_of
from dashboard_scraper.store import Store


def write_page(
    store: Store,
    sources: Sequence[str],
    window: Window | None,
    audience: Audience,
    options: ReportOptions,
    target: Path,
    today: date,
    mode: int = PRIVATE,
) -> None:
    """Write the page of a window; by default, of the 28 days up to the newest completed day that
    all sources have.

    Raises DaysMissing if days are not in the store: after writing the page, which marks them, or,
    if no day of the window is stored, after setting an earlier page aside.
    """
    with replaced_or_set_aside([target]), store.reading() as reader:
        window = (
            window
            or newest_common_window([reader.days(source) for source in sources], today)
            or last_complete_days(DAYS, today)
        )
        stored = {source: reader.ledger(source, window) for source in sources}
        missing = {
            source: [day for day in window.days() if day not in stored[source]]
            for source in sources
        }
        several = len(sources) > 1
        advice = {source: advice_of(reader, source, of_several=several) for source in sources}
        if not any(stored.values()):
            _summarise(window, missing, advice)
        page = page_of(reader, sources, window, audience, options, store)
        make_folder(target.parent, mode)
        remove_leftovers_beside([target])
        with Publication(mode) as publication:
            publication.add(target, page)
            publication.publish()
    _summarise(window, missing, advice)


def _summarise(
    window: Window, missing: Mapping[str, Collection[date]], advice: Mapping[str, str]
) -> None:
    """Log how many days there are; raises DaysMissing with all sources that lack some."""
    lacking = []
    for source, days in missing.items():
        try:
            summarise(window, days, advice[source], of=source if len(missing) > 1 else "")
        except DaysMissing as error:
            lacking.append(f"{error}")
    if lacking:
        raise DaysMissing("; ".join(lacking))
