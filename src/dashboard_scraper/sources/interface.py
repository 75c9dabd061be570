"""The interface of a source, and what the program knows about a source before opening it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import msgspec

from dashboard_scraper.clock import Clock
from dashboard_scraper.model.costs import (
    COST_METRICS,
    Budget,
    Cost,
    CostDifference,
    CostFigures,
    CostMetric,
)
from dashboard_scraper.model.dates import Window, last_complete_days
from dashboard_scraper.model.meanings import Meaning
from dashboard_scraper.model.metrics import Metric, Totals
from dashboard_scraper.model.names import NameKind
from dashboard_scraper.model.seats import Seat
from dashboard_scraper.model.usage import (
    CreditUsage,
    DayUsage,
    EditorLanguageUsage,
    OtherRecords,
    TenantFigure,
    UserUsage,
)
from dashboard_scraper.sources.products import Product

if TYPE_CHECKING:
    from dashboard_scraper.settings.config import Settings
    from dashboard_scraper.store import Store


class Estimate(msgspec.Struct, frozen=True):
    """The cost of fetching days from a source with a rate limit."""

    requests: int
    seconds: float


class Details(Protocol):
    """What a source provides for a day besides users' figures. Raises the same as `Source`."""

    @property
    def days_at_once(self) -> int:
        """The longest range of days that one request may ask for."""
        ...

    @property
    def editor_language_requests(self) -> int | None:
        """How many requests a run may spend on editors and languages: None for any number, 0 for
        none. A day during which they run out is still finished.
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
        """The cost of fetching days with these numbers of records by editor and language."""
        ...

    def fetch_editor_languages(self, day: date) -> list[EditorLanguageUsage]:
        """Every user-day of the day by editor and language."""
        ...

    def fetch_credits(self, window: Window) -> list[CreditUsage] | None:
        """Every user's credits per day of at most `days_at_once` days; None if there are none."""
        ...


StoredCosts = Callable[[Window], Mapping[date, list[Cost]]]
"""The stored rows of the days of a window that have costs in the store, without days from which
somebody was removed.
"""


class ClosedPeriod(msgspec.Struct, frozen=True):
    """A billing period up to the last complete day, and where its rows differ from the source's own
    figures for it. It is unknown which of its days is wrong, so the differences concern them all.
    """

    window: Window
    differences: list[CostDifference]


class CostSource(Protocol):
    """The costs that a source knows. Methods that fetch raise the same errors as `Source`."""

    @property
    def wanted(self) -> bool:
        """Whether the settings ask for costs."""
        ...

    @property
    def days_at_once(self) -> int:
        """The longest range of days that one request may ask for."""
        ...

    @property
    def has_totals(self) -> bool:
        """Whether the source has its own figures of each day, to which rows must add up. If not,
        `fetch_totals` is not called, and it cannot be known by day whether rows are missing.
        """
        ...

    @property
    def come_with_usage(self) -> bool:
        """Whether the costs of a day are part of the answer with its usage."""
        ...

    def fetch_totals(self, window: Window) -> dict[date, CostFigures] | None:
        """The source's own figures of each day of at most `days_at_once` days, zeros for a day
        without costs; None if it has no costs for this tenant.
        """
        ...

    def fetch_costs(self, window: Window) -> dict[date, list[Cost]]:
        """Every row of each day of at most `days_at_once` days, for a window that has totals."""
        ...

    def close_period(self, stored: StoredCosts) -> ClosedPeriod | None:
        """Compare the stored rows of the current billing period with the source's own figures for
        it, after the rows were fetched; None if it closes each day instead, or cannot compare them.
        """
        ...

    def currency_of(self, day: date) -> str:
        """The currency of the amounts of a day, after its rows were fetched."""
        ...

    def fetch_budgets(self, users: Iterable[str]) -> list[Budget] | None:
        """The limits that are set for these users; None if the source has none for this tenant."""
        ...


class SeatSource(Protocol):
    """The seats that a source knows. Raises the same errors as `Source`."""

    def fetch_seats(self) -> list[Seat] | None:
        """Every current seat, one for each user; None if the source has none for this tenant."""
        ...


class Source(Protocol):
    """A service from which usage is fetched.

    Methods that fetch raise SignInRequired, SourceUnavailable or ContractBroken, and never return
    part of an answer.
    """

    @property
    def name(self) -> str:
        """The source's name in logs and manifests."""
        ...

    @property
    def details(self) -> Details | None:
        """What the source provides besides the users' figures, if anything."""
        ...

    @property
    def costs(self) -> CostSource | None:
        """The costs that the source knows, if it can know any."""
        ...

    @property
    def seats(self) -> SeatSource | None:
        """The seats that the source knows, if it can know any."""
        ...

    def published(self, now: datetime) -> Window:
        """The days whose figures are available at `now`."""
        ...

    def prepare(self, days: Collection[date], needed: Collection[date], *, compared: bool) -> None:
        """Fetch what can be fetched cheaply for all the days at once. UsageError if one is too old.

        The days that are `needed` will be fetched. If `compared`, `changed_days` is asked about the
        days afterwards, except those that failed.
        """
        ...

    def estimate(self, days: Collection[date]) -> Estimate | None:
        """The cost of fetching days that were prepared; None without a rate limit."""
        ...

    def fetch_day(self, day: date) -> DayUsage:
        """Fetch every user's figures of one day, and the tenant's if `has_totals`."""
        ...

    @property
    def has_totals(self) -> bool:
        """Whether the tenant's own totals are available."""
        ...

    @property
    def requests(self) -> int:
        """How many requests were sent so far, including retries."""
        ...

    def changed_days(self, stored: Mapping[date, Totals]) -> list[date]:
        """Which of the prepared days now have totals that differ from the stored ones."""
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


class Selection(msgspec.Struct, frozen=True):
    """The figures of a period that are to be fetched."""

    users: bool
    tenant: bool


def _no_lag(_settings: Settings) -> int:
    return 0


def _unknown(_settings: Settings) -> None:
    return None


class SessionInfo(msgspec.Struct, frozen=True):
    """A session that ends unless it is used."""

    keep_alive: Callable[[Settings, datetime], None]
    """Uses it with one small request, and stores what is renewed; raises SignInRequired."""
    state: Callable[[Settings], Hashable]
    """A value that stays equal as long as the same session is stored."""


class SourceInfo(msgspec.Struct, frozen=True):
    """What the program knows about a source before opening it.

    `title` is its name in the report, and `product` the assistant that it reports on. `metrics` are
    the columns of its CSV, in order; `has_service_accounts` adds a column that marks service
    accounts. `tenant_names` are its own names for the tenant's totals, if they differ from ours.
    `meanings` say what the metrics count in this source: a metric without a meaning is unknown for
    every user. `active_rule` says in words what makes a user active on a day; `leaves_out` says
    whom the source is known to leave out, if anybody.
    """

    name: str
    title: str
    product: Product
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
    meanings: Mapping[Metric, Meaning] = {}
    active_rule: str = "any figure above zero"
    leaves_out: str = ""
    """Whom the source is known to leave out, in words; an answer without them looks complete."""
    name_kind: NameKind = NameKind.SERVICE_ACCOUNT
    """What a user name without `@` is."""
    lag_days: Callable[[Settings], int] = _no_lag
    """How many full days after a day's end its figures are expected; windows without dates end this
    much earlier.
    """
    session: SessionInfo | None = None
    """How its session is kept alive; None if it has a token or key, which need not be used."""
    session_life: Callable[[Settings], timedelta | None] = _unknown
    """How long a session lasts after its last use, if nothing renews it."""
    token_expires_at: Callable[[Settings], datetime | None] = _unknown
    """When the token expires, if it says so itself."""
    cost_metrics: Collection[CostMetric] = COST_METRICS
    """The cost metrics that it may know; empty if it never knows any."""
    history: timedelta | None = None
    """How long before today its oldest day is, as far as is known."""
    has_records: bool = False
    """Whether it has records in GitHub's format, which are stored unchanged."""

    def last_days(self, settings: Settings, count: int, today: date) -> Window:
        """The newest days that the source is expected to have."""
        return last_complete_days(count, today - timedelta(days=self.lag_days(settings)))

    @property
    def has_costs(self) -> bool:
        """Whether it may know what the use of the assistant costs."""
        return bool(self.cost_metrics)

    def lacks(self, metrics: Iterable[Metric]) -> list[Metric]:
        """Those of the metrics that the source knows for nobody."""
        return [metric for metric in metrics if metric not in self.metrics]
