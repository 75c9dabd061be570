"""Costs and budgets of the Analytics API, per user, day and resource; read only."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Protocol

from dashboard_scraper.clock import Clock
from dashboard_scraper.errors import ContractBroken, UsageError
from dashboard_scraper.logs import Once
from dashboard_scraper.model.addresses import Names, is_address
from dashboard_scraper.model.costs import (
    NO_COST,
    USD,
    Budget,
    Cost,
    CostFigures,
    CostKind,
)
from dashboard_scraper.model.dates import Window, utc_day
from dashboard_scraper.people.people import person_key
from dashboard_scraper.sources.analytics.amounts import Amounts
from dashboard_scraper.sources.analytics.budget_answers import (
    MONTHLY,
    RESOURCES,
    BudgetReading,
)
from dashboard_scraper.sources.analytics.cost_answers import (
    POINTS,
    CostReading,
    Row,
    cost_of,
    refuse_group,
)
from dashboard_scraper.sources.analytics.paths import BUDGET_OVERRIDES, COST_ANALYTICS
from dashboard_scraper.sources.analytics.refused import Absent, QueryRefused
from dashboard_scraper.sources.analytics.settings import AnalyticsSettings
from dashboard_scraper.sources.interface import ClosedPeriod, StoredCosts
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.pagination import Page, Paginator, refuse_too_many
from dashboard_scraper.sources.rest.unknown_fields import UnknownFields

logger = logging.getLogger(__name__)

PAGE_SIZE = 1000
USERS_AT_ONCE = 500
_BY_DAY = "COST_ANALYTICS_TIME_GRANULARITY_DAY"
# The spelling of the first one is not documented; `_refused_keys` names it if it is refused.
_GROUPS = ("COST_ANALYTICS_GROUP_BY_USER", "COST_ANALYTICS_GROUP_BY_RESOURCE")


class Api(Protocol):
    """What costs need from the source to which they belong."""

    days_at_once: int

    def check_window(self, window: Window) -> None:
        """Raise UsageError or NotPublished for a window that cannot be requested."""
        ...

    def post(self, endpoint: str, query: object) -> bytes | bytearray:
        """The body of an answer with data; for any other answer, raises the matching error."""
        ...


class AnalyticsCosts:
    """Implements `CostSource`; usable from several threads.

    A tenant without the endpoint has no costs; with `FETCH_COST=true`, that is an error.
    """

    has_totals = True
    come_with_usage = False

    def __init__(
        self,
        api: Api,
        settings: AnalyticsSettings,
        clock: Clock,
        names: Names,
        unknown: UnknownFields,
    ) -> None:
        self._api = api
        self.wanted = settings.wants_costs
        self._required = settings.fetch_cost == "true"
        self._clock = clock
        self._names = names
        self._unknown = unknown
        self._amounts = {name: Amounts(name) for name in (COST_ANALYTICS, BUDGET_OVERRIDES)}
        self._once = Once(logger)
        self._answered: set[str] = set()

    @property
    def days_at_once(self) -> int:
        """The longest range of days that one request may ask for."""
        return self._api.days_at_once

    def fetch_totals(self, window: Window) -> dict[date, CostFigures] | None:
        """The API's own figures of each day; zeros for a day that it leaves out.

        None, and a line in the log, if it has no costs for this tenant; UsageError if they are
        required.
        """
        found: dict[date, CostFigures] = {}
        try:
            for row in self._rows(window, ()):
                refuse_group(row)
                if row.day in found:
                    raise ContractBroken(f"{row.where}: {row.day} came twice")
                found[row.day] = row.figures
        except Absent as error:
            self._note_absence(COST_ANALYTICS, error, required=self._required)
            return None
        return {day: found.get(day, NO_COST) for day in window.days()}

    def close_period(self, stored: StoredCosts) -> ClosedPeriod | None:  # noqa: ARG002
        """None: costs are closed by day, not by period."""
        return None

    def fetch_costs(self, window: Window) -> dict[date, list[Cost]]:
        """Every row of each day, sorted; the memory needed grows with the window."""
        found: dict[date, dict[tuple[str, str, str], Cost]] = {day: {} for day in window.days()}
        try:
            for row in self._rows(window, _GROUPS):
                self._add(found[row.day], row)
        except QueryRefused as error:
            raise _refused_keys(error) from error
        return {day: [costs[key] for key in sorted(costs)] for day, costs in found.items()}

    def _add(self, of_day: dict[tuple[str, str, str], Cost], row: Row) -> None:
        cost = cost_of(row, self._names)
        key = (cost.user, cost.resource_type, cost.resource)
        if key in of_day:
            raise ContractBroken(
                f"{row.where}: {cost.user or 'no user'}, {cost.resource_type} {cost.resource} came"
                f" twice for {row.day}",
                names=(cost.user,) if cost.user else (),
            )
        of_day[key] = cost
        refuse_too_many(COST_ANALYTICS, len(of_day))

    def _rows(self, window: Window, groups: tuple[str, ...]) -> Iterator[Row]:
        """The rows of all pages."""
        self._api.check_window(window)
        envelope = Envelope(COST_ANALYTICS, window, self._clock())
        reading = CostReading(window, envelope, self._amounts[COST_ANALYTICS], self._unknown)
        # The URLs stand for the pages: it refuses a repeated page or cursor, and too many pages.
        paginator = Paginator(COST_ANALYTICS, COST_ANALYTICS)
        query: dict[str, object] = {
            "start_date": f"{window.start}",
            "end_date": f"{window.end}",
            "granularity": _BY_DAY,
            "group_by_keys": groups,
            "page_size": PAGE_SIZE,
        }
        count = 0
        while True:
            page = reading.read(self._post(COST_ANALYTICS, query))
            count += len(page.rows)
            yield from page.rows
            following = Page(page.raw, POINTS, None, page.next_cursor)
            if paginator.after(COST_ANALYTICS, following) is None:
                break
            query["cursor"] = page.next_cursor
        envelope.check(count)

    def currency_of(self, day: date) -> str:  # noqa: ARG002
        """US dollars: any other currency was refused."""
        return USD

    def fetch_budgets(self, users: Iterable[str]) -> list[Budget] | None:
        """The limits of those users who have one of their own; service accounts have none.

        None, and a line in the log, if the API has no budgets for this tenant.
        """
        asked: dict[str, str] = {}  # the first spelling of each address
        for user in users:
            if is_address(user):  # the other names belong to service accounts
                asked.setdefault(person_key(user), user)
        found: list[Budget] = []
        try:
            for batch in _batches(list(asked.values())):
                for kind in RESOURCES:
                    found += self._budgets(batch, kind)
        except Absent as error:
            self._note_absence(BUDGET_OVERRIDES, error, required=False)
            return None
        return sorted(found, key=lambda budget: (budget.user, budget.kind.value))

    def _budgets(self, users: list[str], kind: CostKind) -> list[Budget]:
        now = self._clock()
        today = utc_day(now)
        envelope = Envelope(BUDGET_OVERRIDES, Window(today, today), now)
        query = {"user_emails": users, "resource": RESOURCES[kind], "period": MONTHLY}
        reading = BudgetReading(
            users, kind, envelope, self._amounts[BUDGET_OVERRIDES], self._names, self._unknown
        )
        return reading.read(self._post(BUDGET_OVERRIDES, query))

    def _post(self, endpoint: str, query: object) -> bytes | bytearray:
        try:
            body = self._api.post(endpoint, query)
        except Absent as error:
            if endpoint in self._answered:
                broken = ContractBroken(f"{error}, after it had answered before")
                broken.of_every_day = True
                raise broken from error
            raise
        self._answered.add(endpoint)
        return body

    def _note_absence(self, endpoint: str, error: Absent, *, required: bool) -> None:
        if required:
            raise UsageError(
                f"FETCH_COST is true, but the API does not offer {endpoint} to this token"
                f" ({error}); set FETCH_COST=auto to go on without costs"
            ) from error
        self._once.info(
            "costs: the API does not offer %s to this token, so there are none of these figures",
            endpoint,
        )


def _batches(users: list[str]) -> Iterator[list[str]]:
    for first in range(0, len(users), USERS_AT_ONCE):
        yield users[first : first + USERS_AT_ONCE]


def _refused_keys(error: QueryRefused) -> ContractBroken:
    """Which keys of a query by user and resource caused its refusal, as far as known."""
    named = [key for key in _GROUPS if key in str(error)] or [*_GROUPS]
    broken = ContractBroken(f"{error}; it does not group by {' or '.join(named)}")
    broken.of_every_day = True
    return broken
