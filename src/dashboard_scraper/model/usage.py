"""What a source yields: figures of users, per day or per period, and the protocol of a source."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any, Protocol

import msgspec

from dashboard_scraper.model.checks import Difference, closing_differences
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import sum_of
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.metrics import Figures, Totals

DASHBOARD = "dashboard"
ANALYTICS = "analytics"
SOURCES = (DASHBOARD, ANALYTICS)
"""The names of the sources, in the store and in manifests."""


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


class Estimate(msgspec.Struct, frozen=True):
    """What a number of days costs at a source that limits its requests."""

    requests: int
    seconds: float


DAYS_AT_ONCE = 90
"""The longest range that the Analytics API answers for."""


class Details(Protocol):
    """What a source knows of days beside their users' figures. Raises what `Source` raises."""

    @property
    def editor_language_requests(self) -> int | None:
        """How many requests may be spent on editors and languages: None for any number, 0 for
        none. The day on which they run out is finished.
        """
        ...

    @property
    def credits_wanted(self) -> bool:
        """Whether the settings ask for credits."""
        ...

    @property
    def requests(self) -> int:
        """How many were sent so far."""
        ...

    def estimate_records(self, days: Iterable[float]) -> Estimate:
        """What it costs to fetch days of so many records by editor and language."""
        ...

    def fetch_editor_languages(self, day: date) -> list[EditorLanguageUsage]:
        """Every user-day of the day by editor and language."""
        ...

    def fetch_credits(self, window: Window) -> list[CreditUsage] | None:
        """Every user's credits on each of at most DAYS_AT_ONCE days; None where there are none."""
        ...


class Source(Protocol):
    """Where usage comes from.

    What fetches raises SignInRequired, SourceUnavailable or ContractBroken, and never returns part
    of an answer.
    """

    @property
    def name(self) -> str:
        """Names the source in logs and manifests."""
        ...

    @property
    def details(self) -> Details | None:
        """What it knows beside the users' figures, if anything."""
        ...

    def published(self, now: datetime) -> Window:
        """The days whose figures can be had at the moment."""
        ...

    def prepare(self, days: Collection[date]) -> None:
        """Learn what is cheap to know of the days beforehand. UsageError where one is too old."""
        ...

    def estimate(self, days: Collection[date]) -> Estimate | None:
        """What it will cost to fetch days that were prepared; None where nothing limits it."""
        ...

    def fetch_day(self, day: date) -> DayUsage:
        """Fetch every user's figures of one day, and the tenant's where `has_totals`."""
        ...

    @property
    def has_totals(self) -> bool:
        """Whether the tenant's own figures may be asked for."""
        ...

    def changed_days(self, kept: Mapping[date, Totals]) -> list[date]:
        """Those of the days that were prepared whose totals now are not those that were kept."""
        ...

    def stop(self) -> None:
        """End requests that wait, from another thread; later calls fail at once."""
        ...


class PeriodSource(Source, Protocol):
    """A source that also sums periods itself."""

    def fetch_users(self, window: Window) -> list[UserUsage] | OtherRecords:
        """Every user's figures, summed by the source over the window; by their names."""
        ...

    def fetch_tenant(self, window: Window) -> list[TenantFigure]:
        """The whole tenant's figures in the window."""
        ...
