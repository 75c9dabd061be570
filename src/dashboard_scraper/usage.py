"""What a source yields: figures of users, per day or per period, and the protocol of a source."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Protocol

import msgspec

from dashboard_scraper.date_utils import Window
from dashboard_scraper.flatten import Cell
from dashboard_scraper.metrics import COUNTS, Figures, Sums, Totals, counts_of

DASHBOARD = "dashboard"
"""The name of the dashboard source, in the store and in manifests."""


class UserUsage(msgspec.Struct, frozen=True):
    """One user's figures in one period; of a period of one day, a user-day.

    `figures` stand in the order of the catalogue. `extra` holds the fields that the catalogue does
    not know, flattened.
    """

    user: str
    figures: Figures
    extra: dict[str, Cell] = {}


class DayUsage(msgspec.Struct, frozen=True):
    """All that a source said of one UTC day, one entry per user in the source's order.

    `totals` are the tenant's own figures of the day, None where they were not asked for.
    """

    day: date
    users: list[UserUsage]
    totals: Totals | None = None


def sums_of(users: Iterable[UserUsage]) -> Sums:
    """What the users' counts add up to; what is unknown makes its sum unknown."""
    rows = [counts_of(user.figures) for user in users]
    columns = zip(*rows, strict=True) if rows else ((),) * len(COUNTS)
    return tuple(None if None in column else sum(column) for column in columns)


class TenantFigure(msgspec.Struct, frozen=True):
    """One figure of the whole tenant in a period."""

    window: Window
    metric: str
    value: Cell


class Source(Protocol):
    """Where usage comes from.

    What fetches raises SignInRequired, SourceUnavailable or ContractBroken, and never returns part
    of an answer.
    """

    @property
    def name(self) -> str:
        """Names the source in logs and manifests."""
        ...

    def fetch_day(self, day: date) -> DayUsage:
        """Fetch every user's figures of one day, and the tenant's where `has_totals`."""
        ...

    @property
    def has_totals(self) -> bool:
        """Whether the tenant's own figures may be asked for."""
        ...

    def fetch_totals(self, window: Window) -> Totals:
        """Fetch the tenant's own figures, summed over the window."""
        ...

    def stop(self) -> None:
        """End requests that wait, from another thread; later calls fail at once."""
        ...
