"""Sums that the database computes on a second connection, while it computes others on the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dashboard_scraper.beside import beside
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import Metric
from dashboard_scraper.store import LedgerDay, Reader, Store, UserSums

_WORTH_ROWS = 10_000
"""Opening a connection takes SQLite as long as adding up some thousand rows."""

SumsLater = Callable[[], list[UserSums] | None]
"""Waits for the sums; None if the reader has to be asked for them."""


def nothing_beside() -> None:
    """The `SumsLater` if nothing is added up on a second connection."""


def sums_beside(
    store: Store,
    reader: Reader,
    source: str,
    days: Sequence[LedgerDay],
    metrics: Iterable[Metric],
    *,
    service_accounts: bool,
) -> SumsLater:
    """Begin to add up what `reader.sums_by_user` would return for the days of its ledger.

    Does nothing if that is not worth a connection. The sums are None if the store no longer has the
    days as the reader sees them.
    """
    if sum(row.users for row in days) < _WORTH_ROWS:
        return nothing_beside
    contents = {row.day: reader.content_of(row) for row in days}

    def add_up() -> list[UserSums] | None:
        with store.reading() as other:
            ledger = other.ledger(source, Window(min(contents), max(contents)))
            found = {day: other.content_of(row) for day, row in ledger.items() if day in contents}
            if found != contents:
                return None
            return other.sums_by_user(
                source, [*contents], metrics, service_accounts=service_accounts
            )

    return beside(add_up)
