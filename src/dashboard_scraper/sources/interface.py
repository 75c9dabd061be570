"""The interface of a source, and what the program knows of one before it opens it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol

import msgspec

from dashboard_scraper.model.costs import Budget, Cost, CostFigures
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
"""Returns the current time, in UTC."""


class Estimate(msgspec.Struct, frozen=True):
    """What it costs to fetch days from a source with a rate limit."""

    requests: int
    seconds: float


class Details(Protocol):
    """What a source provides for a day besides its users' figures. Raises what `Source` raises."""

    @property
    def days_at_once(self) -> int:
        """The longest range of days that one request may ask for."""
        ...

    @property
    def editor_language_requests(self) -> int | None:
        """How many requests a run may spend on editors and languages: None for any number, 0 for
        none. The day at which they run out is still finished.
        """
        ...

    @property
    def credits_wanted(self) -> bool:
        """Whether the settings ask for credits."""
        ...

    @property
    def requests(self) -> int:
        """How many requests were sent so far."""
        ...

    def estimate_records(self, days: Iterable[float]) -> Estimate:
        """What it costs to fetch days with these numbers of records by editor and language."""
        ...

    def fetch_editor_languages(self, day: date) -> list[EditorLanguageUsage]:
        """Every user-day of the day by editor and language."""
        ...

    def fetch_credits(self, window: Window) -> list[CreditUsage] | None:
        """Every user's credits per day of at most `days_at_once` days; None if it has none."""
        ...


class CostSource(Protocol):
    """What a source knows of costs. Methods that fetch raise what `Source` raises."""

    @property
    def wanted(self) -> bool:
        """Whether the settings ask for costs."""
        ...

    @property
    def required(self) -> bool:
        """Whether it is an error where the source has no costs for this tenant."""
        ...

    @property
    def days_at_once(self) -> int:
        """The longest range of days that one request may ask for."""
        ...

    def fetch_totals(self, window: Window) -> dict[date, CostFigures] | None:
        """The source's own figures of each day of at most `days_at_once` days, zeros for a day
        without cost; None if it has no costs for this tenant.
        """
        ...

    def fetch_costs(self, window: Window) -> dict[date, list[Cost]]:
        """Every row of each day of at most `days_at_once` days, for a window that has totals."""
        ...

    def fetch_budgets(self, users: Iterable[str]) -> list[Budget] | None:
        """The limits that are set for these users; None if the source has none for this tenant."""
        ...


class Source(Protocol):
    """A service that usage is fetched from.

    Methods that fetch raise SignInRequired, SourceUnavailable or ContractBroken, and never return
    part of an answer.
    """

    @property
    def name(self) -> str:
        """The source's name in logs and manifests."""
        ...

    @property
    def details(self) -> Details | None:
        """What it provides besides the users' figures, if anything."""
        ...

    @property
    def costs(self) -> CostSource | None:
        """What it knows of costs, if it can know any."""
        ...

    def published(self, now: datetime) -> Window:
        """The days whose figures are available at `now`."""
        ...

    def prepare(self, days: Collection[date]) -> None:
        """Fetch what is cheap to fetch for all the days at once. UsageError if one is too old."""
        ...

    def estimate(self, days: Collection[date]) -> Estimate | None:
        """What it costs to fetch days that were prepared; None without a rate limit."""
        ...

    def fetch_day(self, day: date) -> DayUsage:
        """Fetch every user's figures of one day, and the tenant's if `has_totals`."""
        ...

    @property
    def has_totals(self) -> bool:
        """Whether the tenant's own totals are available."""
        ...

    def changed_days(self, stored: Mapping[date, Totals]) -> list[date]:
        """Which of the prepared days now have other totals than the stored ones."""
        ...

    def stop(self) -> None:
        """Called from another thread: end waiting requests; later calls fail immediately."""
        ...


class PeriodSource(Source, Protocol):
    """A source that also adds up periods itself."""

    def fetch_users(self, window: Window) -> list[UserUsage] | OtherRecords:
        """Every user's figures, added up by the source over the window."""
        ...

    def fetch_tenant(self, window: Window) -> list[TenantFigure]:
        """The whole tenant's figures in the window."""
        ...


MakeSource = Callable[[], AbstractContextManager[PeriodSource]]
"""Opens a source; called when the store is open."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which figures of a period to fetch."""

    users: bool
    tenant: bool


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What the program knows of a source before it opens it.

    `title` is its name in the report. `metrics` are the columns of its CSV, in order;
    `has_service_accounts` adds a column that marks service accounts. `tenant_names` are its own
    names of the tenant's totals where they differ from ours.
    """

    name: str
    title: str
    metrics: tuple[Metric, ...]
    has_service_accounts: bool
    tenant_names: Mapping[str, str]
    is_configured: Callable[[Settings], bool]
    """Whether METRICS_SOURCE=auto may choose the source: the settings have its credentials."""
    open: Callable[[Settings, Store, Clock], AbstractContextManager[PeriodSource]]
    """Opens the source; the store is already open."""
    check: Callable[[Settings, datetime], None]
    """Sends one small request to prove that the credentials are valid, and logs that they are."""
    check_period: Callable[[Window, date], None]
    """UsageError, or a warning in the log, if a period ends today or later."""
    check_days: Callable[[Settings], None]
    """UsageError if the settings exclude what fetching days needs."""
    selection: Callable[[Settings], Selection]
    """Which figures of a period the settings select."""
