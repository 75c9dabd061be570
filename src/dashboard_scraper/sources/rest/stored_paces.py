"""Consecutive runs share a server's rate limits, so the paces are stored between them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from dashboard_scraper.clock import utc_now
from dashboard_scraper.sources.rest.pacing import Pace

if TYPE_CHECKING:
    from dashboard_scraper.store import Store


@contextlib.contextmanager
def stored_paces(store: Store, paces: Mapping[str, Pace]) -> Iterator[None]:
    """Resume each pace from the store's note of this name, and store it at the end."""
    with store.reading() as reader:
        for note, pace in paces.items():
            pace.resume(reader.note(note), utc_now())
    try:
        yield
    finally:
        for note, pace in paces.items():
            store.put_note(note, pace.save(utc_now()))
