"""What a source yields: figures of users, per day or per period, and the protocol of a source."""

from __future__ import annotations

from datetime import date
from typing import Protocol

import msgspec

from dashboard_scraper.date_utils import Window
from dashboard_scraper.flatten import Cell
from dashboard_scraper.metrics import Figures


class UserUsage(msgspec.Struct, frozen=True):
    """One user's figures in one period; of a period of one day, a user-day.

    `figures` stand in the order of the catalogue. `extra` holds the fields that the catalogue does
    not know, flattened.
    """

    user: str
    figures: Figures
    extra: dict[str, Cell] = {}


class DayUsage(msgspec.Struct, frozen=True):
    """All that a source said of one UTC day, one entry per user in the source's order."""

    day: date
    users: list[UserUsage]


class TenantFigure(msgspec.Struct, frozen=True):
    """One figure of the whole tenant in a period."""

    window: Window
    metric: str
    value: Cell


class Source(Protocol):
    """Where usage comes from.

    Both methods raise SignInRequired, SourceUnavailable or ContractBroken, and never return part
    of an answer.
    """

    @property
    def name(self) -> str:
        """Names the source in logs and manifests."""
        ...

    def fetch_day(self, day: date) -> DayUsage:
        """Fetch every user's figures of one day."""
        ...

    def stop(self) -> None:
        """End requests that wait, from another thread; later calls fail at once."""
        ...
