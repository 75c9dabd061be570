"""Fetches the seats that a source reports: the current ones, since no source has past ones."""

from __future__ import annotations

from datetime import datetime

from dashboard_scraper.errors import ScraperError
from dashboard_scraper.sources.interface import Source
from dashboard_scraper.spans import measured
from dashboard_scraper.store import Store
from dashboard_scraper.sync.day_details import DETAIL_ERRORS


@measured("fetch seats")
def fill_seats(store: Store, source: Source, now: datetime) -> list[ScraperError]:
    """Store the current seats; returns the error if they could not be fetched."""
    if source.seats is None:
        return []
    try:
        seats = source.seats.fetch_seats()
    except DETAIL_ERRORS as error:
        return [error.preceded_by("seats could not be fetched")]
    if seats is not None:
        store.put_seats(source.name, seats, now)
    return []
