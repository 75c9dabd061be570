"""Closes the costs of a billing period, for sources that report no daily totals."""

from __future__ import annotations

import logging
from datetime import date
from typing import Protocol

from dashboard_scraper.model.costs import Cost
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.listing import listed
from dashboard_scraper.sources.interface import ClosedPeriod, CostSource
from dashboard_scraper.store import Store

logger = logging.getLogger(__name__)


class Refetch(Protocol):
    """Fetches and stores the costs of a window's stored days again."""

    def __call__(self, window: Window, *, again: bool) -> bool:
        """Returns whether there were any. With `again`, the days have been fetched again before:
        then only those that are still in doubt, and that this run has not fetched.
        """
        ...


def close_period(store: Store, name: str, source: CostSource, fetch: Refetch) -> None:
    """Compare the stored costs of the current billing period with the source's own figures for it.

    If they differ for the first time, the period's days are fetched once more. If they still
    differ, each of these days is marked: nothing shows which one is wrong. Later runs fetch the
    marked days again, those outside their window too, until the source has repeated its answers. If
    the figures agree, marks are removed.
    """
    closed = source.close_period(lambda window: _rows(store, name, window))
    if closed is None:
        return
    if closed.differences:
        logger.info("costs: %s", closed.differences[0])
        if fetch(closed.window, again=_is_marked(store, name, closed)):
            closed = source.close_period(lambda window: _rows(store, name, window)) or closed
    if closed.differences:
        differences = listed(closed.differences, separator="; ")
        logger.warning(
            "the costs of %s do not add up: %s; stored as they are", closed.window, differences
        )
    store.mark_costs(name, closed.window, closed.differences)


def _rows(store: Store, name: str, window: Window) -> dict[date, list[Cost]]:
    with store.reading() as reader:
        ledger = reader.cost_ledger(name, window)
        return {day: reader.costs(row) for day, row in ledger.items() if not row.forgotten}


def _is_marked(store: Store, name: str, closed: ClosedPeriod) -> bool:
    with store.reading() as reader:
        ledger = reader.cost_ledger(name, closed.window)
    marks = (mark for row in ledger.values() for mark in row.unreconciled)
    return any(not mark.of_earlier for mark in marks)
