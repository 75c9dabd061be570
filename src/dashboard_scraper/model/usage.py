"""What a source yields: figures of users, per day or per period."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import msgspec

from dashboard_scraper.model.checks import Difference, closing_differences
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import is_active, sum_of
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.metrics import Figures, Totals


class OtherRecords(msgspec.Struct, frozen=True):
    """Records of another API behind the same settings: no user statistics, kept as they came."""

    records: list[dict[str, Any]]


class UserUsage(msgspec.Struct, frozen=True):
    """One user's figures in one period; of a period of one day, a user-day.

    `extra` holds the fields that the catalogue does not know, flattened. `service` marks an account
    that is no person; `user` is its name then.
    """

    user: str
    figures: Figures
    extra: dict[str, Cell] = {}
    service: bool = False


@dataclass(frozen=True)
class DayUsage:
    """All that a source said of one UTC day, one entry per user in the source's order.

    `totals` are the tenant's own figures of the day, None where they were not asked for.
    """

    day: date
    users: list[UserUsage]
    totals: Totals | None = None

    @cached_property
    def sums(self) -> Figures:
        """What the users' counts add up to."""
        return sums_of(self.users)

    @cached_property
    def active(self) -> list[UserUsage]:
        """The users with activity, or who may have had some: asked once for every output."""
        return [user for user in self.users if is_active(user.figures)]

    @cached_property
    def differences(self) -> list[Difference]:
        """Where the users and the tenant's own figures disagree."""
        return closing_differences(self.sums, len(self.users), self.totals)


def sums_of(users: Iterable[UserUsage]) -> Figures:
    """What the users' counts add up to; what is unknown makes its sum unknown."""
    return sum_of(user.figures for user in users)


class TenantFigure(msgspec.Struct, frozen=True):
    """One figure of the whole tenant in a period."""

    window: Window
    metric: str
    value: Cell


class EditorLanguageUsage(msgspec.Struct, frozen=True):
    """What of a user-day happened in one editor and language; only DETAILED figures are known."""

    user: str
    editor: str
    language: str
    figures: Figures


class CreditUsage(msgspec.Struct, frozen=True):
    """The credits that a user consumed on one day."""

    day: date
    user: str
    credits: float
