"""What usage costs: tokens, money and credits by user, day and resource.

The catalogue of cost metrics is the struct `CostFigures`, as `Figures` is that of usage. Money and
credits are decimals (see `money`); billed and estimated amounts are never added to each other.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Annotated

import msgspec
from msgspec.structs import replace

from dashboard_scraper.model.money import exact_sum, shown

USD = "USD"
"""The only currency that the source knows; any other is refused when it is read."""
MAX_TOKENS = 2**63 - 1
"""The largest number that a column of the store holds."""


class CostKind(Enum):
    """What a cost metric counts."""

    TOKENS = "tokens"  # int >= 0
    MONEY = "money"  # decimal in the currency of its row; negative in a correction
    CREDITS = "credits"  # decimal; negative in a correction


class CostMetric(msgspec.Struct, frozen=True, eq=False):
    """The definition of one cost metric; `name` is the field's name."""

    title: str
    kind: CostKind
    definition: str
    name: str = ""


CostValue = int | Decimal | None
Tokens = int | None
Amount = Decimal | None


class CostFigures(msgspec.Struct, frozen=True, gc=False):
    """The cost of one user, day and resource, or a sum of such costs; None is unknown."""

    input_tokens: Annotated[
        Tokens,
        CostMetric(
            "Input tokens", CostKind.TOKENS, "Tokens sent to a model, without those from its cache"
        ),
    ] = None
    output_tokens: Annotated[
        Tokens, CostMetric("Output tokens", CostKind.TOKENS, "Tokens that a model returned")
    ] = None
    cache_read_tokens: Annotated[
        Tokens,
        CostMetric("Cache read tokens", CostKind.TOKENS, "Input tokens read from a model's cache"),
    ] = None
    cache_write_tokens: Annotated[
        Tokens,
        CostMetric(
            "Cache write tokens", CostKind.TOKENS, "Input tokens written to a model's cache"
        ),
    ] = None
    base: Annotated[
        Amount, CostMetric("Base", CostKind.MONEY, "Cost as the source calls its base cost")
    ] = None
    billed: Annotated[
        Amount, CostMetric("Billed", CostKind.MONEY, "Amount that is on the bill")
    ] = None
    estimated: Annotated[
        Amount,
        CostMetric(
            "Estimated",
            CostKind.MONEY,
            "The source's estimate of what it costs the customer; not a bill",
        ),
    ] = None
    credits: Annotated[
        Amount, CostMetric("Credits", CostKind.CREDITS, "Credits consumed, on contracts in credits")
    ] = None

    def __getitem__(self, metric: CostMetric) -> CostValue:
        value: CostValue = getattr(self, metric.name)
        return value


def _catalogue() -> tuple[CostMetric, ...]:
    hints = typing.get_type_hints(CostFigures, include_extras=True)
    return tuple(
        replace(typing.get_args(hints[name])[1], name=name)
        for name in CostFigures.__struct_fields__
    )


COST_METRICS = _catalogue()
"""Every cost metric, in the order of the columns."""
COSTS_BY_NAME = {metric.name: metric for metric in COST_METRICS}
TOKEN_METRICS = tuple(m for m in COST_METRICS if m.kind is CostKind.TOKENS)
AMOUNT_METRICS = tuple(m for m in COST_METRICS if m.kind is not CostKind.TOKENS)
BILLED = COSTS_BY_NAME["billed"]
ESTIMATED = COSTS_BY_NAME["estimated"]
CREDITS = COSTS_BY_NAME["credits"]


class Account(Enum):
    """What kind of account caused a cost."""

    PERSON = "person"
    SERVICE_ACCOUNT = "service_account"
    UNATTRIBUTED = "unattributed"  # the source names nobody


class Cost(msgspec.Struct, frozen=True):
    """What one user consumed of one resource on a day. `user` is empty if the source names none.

    `resource_type` and `resource` are the source's own words, such as `MODEL` and a model's name.
    """

    user: str
    account: Account
    resource_type: str
    resource: str
    figures: CostFigures


def names_of(cost: Cost) -> tuple[str, str, str, str]:
    """User, account, resource type and resource: these identify a cost within a day, and outputs
    sort by them in this order.
    """
    return cost.user, cost.account.value, cost.resource_type, cost.resource


WHERE_COSTS_DIFFER = "Null, or where the day's rows and the source's own or earlier figures differ"
"""The meaning of the column that every output has for the differences of a day, in words."""


class CostDifference(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of the source's own figures of a day that differs from the sum of its rows; both as text,
    None if unknown. With `of_earlier`, `total` is what an earlier answer had: the rows may lack the
    rest.
    """

    metric: str
    rows: str | None
    total: str | None
    of_earlier: bool = False

    def __str__(self) -> str:
        total, rows = self.total or "unknown", self.rows or "unknown"
        if self.of_earlier:
            return f"{self.metric} is {rows}, an earlier answer had {total}"
        return f"{self.metric} is {total}, the sum of its rows is {rows}"


@dataclass(frozen=True)
class CostDay:
    """A source's answer for the costs of one UTC day: one entry per user and resource.

    `total` is the source's own figure for the day, from a query without users; None if the source
    has no such figure, so that only earlier answers show whether rows are missing.
    `sums_of_nothing` are the sums of a day without rows, if it is known which metrics the source
    never reports.
    """

    day: date
    costs: list[Cost]
    total: CostFigures | None
    currency: str = USD
    sums_of_nothing: CostFigures | None = field(default=None, compare=False)

    @cached_property
    def sums(self) -> CostFigures:
        """The sums of all rows."""
        if self.sums_of_nothing is not None and not self.costs:
            return self.sums_of_nothing
        return sum_costs(cost.figures for cost in self.costs)

    @cached_property
    def differences(self) -> list[CostDifference]:
        """Where the rows' sums and the source's own figures differ, in any digit."""
        return [] if self.total is None else cost_differences(self.sums, self.total)


class Budget(msgspec.Struct, frozen=True):
    """A limit that is set for one user and calendar month, in money or in credits.

    Users without one may still be limited by a budget of the whole organization.
    """

    user: str
    kind: CostKind
    limit: Decimal


def sum_costs(many: Iterable[CostFigures]) -> CostFigures:
    """The exact sum, field by field; unknown if one of the values is unknown; zeros for no rows."""
    rows = list(many)
    return CostFigures(*(_sum_of([row[metric] for row in rows], metric) for metric in COST_METRICS))


def _sum_of(values: list[CostValue], metric: CostMetric) -> typing.Any:
    if None in values:
        return None
    if metric.kind is CostKind.TOKENS:
        return sum(value for value in values if isinstance(value, int))
    return exact_sum(value for value in values if isinstance(value, Decimal))


def cost_differences(sums: CostFigures, total: CostFigures) -> list[CostDifference]:
    """Where the rows' sums and the source's own figures differ, in any digit.

    A figure that is unknown on only one side differs, unless the other side is 0: a day without
    rows has sums of 0 for every metric, even for those that the source does not know.
    """
    return [
        CostDifference(metric.name, text_of(sums[metric]), text_of(total[metric]))
        for metric in COST_METRICS
        if (sums[metric] or None) != (total[metric] or None)
    ]


def text_of(value: CostValue) -> str | None:
    """A figure as exact text; None if it is unknown."""
    return shown(value) if isinstance(value, Decimal) else None if value is None else f"{value}"


NO_COST = sum_costs(())
"""The figures of a day without any cost."""
