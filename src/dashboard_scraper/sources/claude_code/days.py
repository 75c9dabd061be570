"""A day of Claude Code's usage report: what its records say about usage and costs."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterable
from datetime import date
from enum import Enum

import msgspec

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.costs import USD, Account, Cost, CostFigures, sum_costs
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.sources.claude_code.answers import ENDPOINT, ModelUse, Record
from dashboard_scraper.sources.claude_code.fields import key_name, usage_of
from dashboard_scraper.sources.rest.unknown_fields import UnknownFields

MODEL = "MODEL"
"""The `resource_type` of every cost: this report has no other."""
_API = "api"  # the customer_type of customers who pay by use
_Actor = tuple[bool, str]


class DayCosts(msgspec.Struct, frozen=True):
    """A day's costs: the rows of its models. An error in the costs does not affect the usage: it is
    raised only when the costs are asked for.
    """

    day: date
    rows: list[Cost]
    currencies: dict[str, str]
    """Where each currency occurs first."""
    wrote_code: bool
    """Whether a session of the day added lines of code, which takes a model."""

    def refuse_missing(self) -> None:
        """ContractBroken if no model is known of a day with new code: it would look free."""
        if self.wrote_code and not self.rows:
            raise ContractBroken(
                f"{ENDPOINT}: model_breakdown is empty in all records of {self.day}, although there"
                " are lines_of_code"
            )

    @property
    def currency(self) -> str:
        """The currency of all rows; ContractBroken if there are several."""
        if len(self.currencies) > 1:
            (first, _), (other, where) = list(self.currencies.items())[:2]
            raise ContractBroken(
                f"{where}.estimated_cost.currency is {other}, and {first} in other records of"
                f" {self.day}: they cannot be added up"
            )
        return next(iter(self.currencies), USD)


class Who(Enum):
    """Who is in the report of a day."""

    NOBODY = "nobody"
    BY_USE = "only customers who pay by use"
    ALSO_OTHERS = "others too"


class ReportedDay(msgspec.Struct, frozen=True):
    """A day's usage and costs, and who is in its report."""

    usage: DayUsage
    costs: DayCosts
    who: Who


def day_of(day: date, records: Iterable[Record], unknown: UnknownFields) -> ReportedDay:
    """Add up the records of each actor; ContractBroken if one came twice, or if they belong to
    several organizations.
    """
    by_actor: dict[_Actor, list[Record]] = {}
    seen: set[tuple[object, ...]] = set()
    organization: str | None = None
    for record in records:
        if record.dimensions in seen:
            raise _came_twice(record)
        seen.add(record.dimensions)
        if organization not in (None, record.organization):
            raise ContractBroken(
                f"{record.where}.organization_id differs from that of the first record: these are"
                " the figures of several organizations"
            )
        organization = record.organization
        by_actor.setdefault((record.key, record.name), []).append(record)
    named = _by_user(by_actor)
    users = [usage_of(user, named[user], unknown) for user in sorted(named)]
    return ReportedDay(DayUsage(day, users), _costs(day, named), _who(named))


def _who(named: dict[str, list[Record]]) -> Who:
    customers = {record.customer for records in named.values() for record in records}
    if not customers:
        return Who.NOBODY
    return Who.BY_USE if customers == {_API} else Who.ALSO_OTHERS


def _by_user(by_actor: dict[_Actor, list[Record]]) -> dict[str, list[Record]]:
    """The records by the name of their user; ContractBroken if two actors have the same name."""
    named: dict[str, list[Record]] = {}
    for (key, name), records in sorted(by_actor.items()):
        user = key_name(name) if key else name
        if user in named:
            raise ContractBroken(
                f"{records[0].where}.actor: {user} is the name of a person and of an API key, or of"
                " two keys; rename the key in the Claude Console",
                names=(user,),
            )
        named[user] = records
    return named


def _came_twice(record: Record) -> ContractBroken:
    return ContractBroken(
        f"{record.where}: {record.name} came twice with terminal_type {record.terminal} and"
        f" customer_type {record.customer}: a page may have been repeated",
        names=(record.name,),
    )


def _costs(day: date, named: dict[str, list[Record]]) -> DayCosts:
    spent: dict[tuple[str, str], list[ModelUse]] = {}
    currencies: dict[str, str] = {}
    for user, records in named.items():
        for use in (use for record in records for use in record.models):
            spent.setdefault((user, use.model), []).append(use)
            currencies.setdefault(use.currency, use.where)
    rows = [
        Cost(user, _account(named[user]), MODEL, model, _sum(uses))
        for (user, model), uses in sorted(spent.items())
    ]
    return DayCosts(day, rows, currencies, any(map(_wrote_code, itertools.chain(*named.values()))))


def _wrote_code(record: Record) -> bool:
    """Whether a session was started, and added lines: at midnight, lines may belong to one of the
    day before.
    """
    return record.core.num_sessions > 0 and record.core.lines_of_code.added > 0


def _account(records: list[Record]) -> Account:
    return Account.SERVICE_ACCOUNT if records[0].key else Account.PERSON


def _sum(uses: list[ModelUse]) -> CostFigures:
    return uses[0].figures if len(uses) == 1 else sum_costs(use.figures for use in uses)


class RecentCosts:
    """The costs of days that were fetched for their usage, kept until they are asked for, since one
    answer has both. Thread-safe.
    """

    def __init__(self, most_rows: int) -> None:
        self._most = most_rows
        self._days: OrderedDict[date, DayCosts] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, costs: DayCosts) -> None:
        """Store a day's costs; the days that were stored first are dropped to make room."""
        with self._lock:
            self._days[costs.day] = costs
            while len(self._days) > 1 and self._rows() > self._most:
                self._days.popitem(last=False)

    def _rows(self) -> int:
        return sum(len(costs.rows) for costs in self._days.values())

    def take(self, day: date) -> DayCosts | None:
        """The day's costs, once: a second call means that those of a new answer are wanted."""
        with self._lock:
            return self._days.pop(day, None)
