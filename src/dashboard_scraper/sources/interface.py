"""What a source is: what the program may ask it, and what has to be known of it beforehand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol

import msgspec

from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import Metric, Totals
from dashboard_scraper.model.usage import (
    CreditUsage,
    DayUsage,
    EditorLanguageUsage,
    OtherRecords,
    TenantFigure,
    UserUsage,
)

if TYPE_CHECKING:
    from dashboard_scraper.settings.config import Settings
    from dashboard_scraper.store import Store

Clock = Callable[[], datetime]
"""Gives the current moment, in UTC."""


class Estimate(msgspec.Struct, frozen=True):
    """What a number of days costs at a source that limits its requests."""

    requests: int
    seconds: float


class Details(Protocol):
    """What a source knows of days beside their users' figures. Raises what `Source` raises."""

    @property
    def days_at_once(self) -> int:
        """The longest range of days that it answers for."""
        ...

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
        """Every user's credits on each of `days_at_once` days at most; None where it has none."""
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


MakeSource = Callable[[], AbstractContextManager[PeriodSource]]
"""Opens a source, once the store is open."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of the two kinds of figures of a period are asked for."""

    users: bool
    tenant: bool


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """All that the program knows of a source before it opens it.

    `title` names it in the report. `metrics` are the columns of its CSV, in their order, and
    `has_service_accounts` whether one more says who is no person. `tenant_names` are its names of
    the tenant's totals where these are not ours.
    """

    name: str
    title: str
    metrics: tuple[Metric, ...]
    has_service_accounts: bool
    tenant_names: Mapping[str, str]
    is_configured: Callable[[Settings], bool]
    """Whether the settings have what METRICS_SOURCE=auto chooses the source for."""
    open: Callable[[Settings, Store, Clock], AbstractContextManager[PeriodSource]]
    """Opens it; the store is open already."""
    check: Callable[[Settings, datetime], None]
    """Proves with one small request that it lets us in, and says so in the log."""
    check_period: Callable[[Window, date], None]
    """UsageError, or a warning in the log, where a period that ends today or later is asked for."""
    check_days: Callable[[Settings], None]
    """UsageError where the settings leave out what fetching days needs."""
    selection: Callable[[Settings], Selection]
    """What of a period the settings ask for."""
