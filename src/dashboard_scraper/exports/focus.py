"""Costs as charges of FOCUS, the FinOps Foundation's format of bills: a row per user and resource.

It is version 1.4 of the dataset Cost and Usage: every mandatory column, other columns for which
there are figures, and our own columns, which begin with `x_`. If nothing was billed, the costs are
null: an estimate is never written as a cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum

import msgspec

from dashboard_scraper.csv_text import guard, render
from dashboard_scraper.model.costs import (
    BILLED,
    COST_METRICS,
    WHERE_COSTS_DIFFER,
    Cost,
    CostKind,
    CostMetric,
    text_of,
)
from dashboard_scraper.model.dates import end_of_day, month_of, start_of_day
from dashboard_scraper.sources.products import Product

VERSION = "1.4"
VIRTUAL_CURRENCY = "Credits"
"""The `PricingCurrency` of charges priced in credits, which are not a currency of ISO 4217."""
MODEL = "MODEL"
"""The source's resource type for a model."""

Value = str | int | Decimal | datetime | None


class Type(Enum):
    """The type of a column's values."""

    TEXT = "text"
    MOMENT = "date and time"
    DECIMAL = "decimal"
    WHOLE = "whole number"


class Charge(msgspec.Struct, frozen=True):
    """One row before it is written: a shown cost of a day, and what is known of the day.

    `account` is the billing account. `unreconciled` says in words where the day does not add up, if
    anywhere.
    """

    day: date
    cost: Cost
    person: str | None
    source: str
    product: Product
    currency: str
    account: str
    fetched_at: datetime
    unreconciled: str | None

    @property
    def in_credits(self) -> bool:
        """Whether it was paid for with credits, and nothing of it was billed."""
        return bool(self.cost.figures.credits) and not self.cost.figures.billed

    @property
    def billed(self) -> Decimal | None:
        """The amount on the bill; None if nothing was billed, or the source does not say."""
        return None if self.in_credits else self.cost.figures.billed


class Column(msgspec.Struct, frozen=True):
    """A column: its name, its type, and how it is filled, in words and as a function."""

    name: str
    type: Type
    meaning: str
    value: Callable[[Charge], Value]


def _resource(charge: Charge) -> str:
    cost = charge.cost
    return f"Usage of {cost.resource or 'an unnamed resource'} ({cost.resource_type or 'no type'})"


def _billed(name: str, meaning: str) -> Column:
    return Column(name, Type.DECIMAL, meaning, lambda charge: charge.billed)


def _vendor(name: str, meaning: str) -> Column:
    return Column(name, Type.TEXT, meaning, lambda charge: charge.product.vendor)


def _constant(name: str, value: str | None, meaning: str) -> Column:
    return Column(name, Type.TEXT, meaning, lambda _: value)


def _nothing(name: str, meaning: str, kind: Type = Type.TEXT) -> Column:
    return Column(name, kind, f"null: {meaning}", lambda _: None)


_NO_PRICES = "the source has no price list, so there is no `SkuPriceId`"
_NO_INVOICES = "the source does not name invoices"

_STANDARD = (
    _billed("BilledCost", "Billed amount; null where nothing was billed"),
    Column(
        "BillingAccountId",
        Type.TEXT,
        "`FOCUS_BILLING_ACCOUNT_ID`, or such as `augment`",
        lambda c: c.account,
    ),
    _nothing("BillingAccountName", "the source does not name accounts"),
    Column("BillingCurrency", Type.TEXT, "The currency of the costs", lambda c: c.currency),
    Column(
        "BillingPeriodEnd",
        Type.MOMENT,
        "Start of the next calendar month, UTC",
        lambda c: end_of_day(month_of(c.day).end),
    ),
    Column(
        "BillingPeriodStart",
        Type.MOMENT,
        "Start of the calendar month, UTC",
        lambda c: start_of_day(month_of(c.day).start),
    ),
    _constant(
        "ChargeCategory",
        "Usage",
        "`Usage`, also where an amount is negative, as FOCUS says of refunds",
    ),
    _nothing("ChargeClass", "the source does not say which month a negative amount corrects"),
    Column("ChargeDescription", Type.TEXT, "The resource and its type", _resource),
    _constant("ChargeFrequency", "Usage-Based", "`Usage-Based`"),
    Column(
        "ChargePeriodEnd", Type.MOMENT, "Start of the next day, UTC", lambda c: end_of_day(c.day)
    ),
    Column(
        "ChargePeriodStart", Type.MOMENT, "Start of the day, UTC", lambda c: start_of_day(c.day)
    ),
    _nothing("ConsumedQuantity", f"{_NO_PRICES}; tokens are in columns of their own", Type.DECIMAL),
    _nothing("ConsumedUnit", "as `ConsumedQuantity`"),
    _billed("ContractedCost", "As `BilledCost`, which FOCUS demands where there is no unit price"),
    _billed("EffectiveCost", "As `BilledCost`; null for credits, whose price is not known"),
    _vendor("HostProviderName", "As `ServiceProviderName`, which does not say where it runs"),
    _nothing("InvoiceDetailId", _NO_INVOICES),
    _nothing("InvoiceId", _NO_INVOICES),
    _vendor("InvoiceIssuerName", "As `ServiceProviderName`"),
    _billed("ListCost", "As `ContractedCost`"),
    Column(
        "PricingCurrency",
        Type.TEXT,
        f"`{VIRTUAL_CURRENCY}` where nothing but credits was consumed, else `BillingCurrency`",
        lambda c: VIRTUAL_CURRENCY if c.in_credits else c.currency,
    ),
    Column(
        "PricingCurrencyEffectiveCost",
        Type.DECIMAL,
        "The credits, or `EffectiveCost`",
        lambda c: c.cost.figures.credits if c.in_credits else c.billed,
    ),
    _nothing("PricingQuantity", _NO_PRICES, Type.DECIMAL),
    _nothing("PricingUnit", _NO_PRICES),
    _constant("ServiceCategory", "AI and Machine Learning", "`AI and Machine Learning`"),
    Column("ServiceName", Type.TEXT, "The assistant, as `Augment Code`", lambda c: c.product.name),
    _vendor("ServiceProviderName", "The assistant's vendor, as `Augment Code`"),
    _constant("ServiceSubcategory", "Generative AI", "`Generative AI`"),
    _nothing("SkuPriceId", "the source has no price list"),
)


def _of_metric(metric: CostMetric) -> Column:
    """A metric that no column of the standard has."""
    name = "".join(word.capitalize() for word in metric.name.split("_"))
    end = "Cost" if metric.kind is CostKind.MONEY else ""
    kind = Type.WHOLE if metric.kind is CostKind.TOKENS else Type.DECIMAL
    return Column(
        f"x_{name}{end}", kind, metric.definition, lambda charge: charge.cost.figures[metric]
    )


PEOPLE = (
    Column(
        "x_User",
        Type.TEXT,
        "The user, as other exports show users; null where the source names nobody",
        lambda c: c.cost.user or None,
    ),
    Column("x_Person", Type.TEXT, "The same for all spellings of a person", lambda c: c.person),
)
"""The columns that name people."""
_OWN = (
    Column("x_Source", Type.TEXT, "The source of the figures", lambda c: c.source),
    *PEOPLE,
    Column("x_Account", Type.TEXT, "Whose cost it is", lambda c: c.cost.account.value),
    Column("x_ResourceType", Type.TEXT, "The resource's type", lambda c: c.cost.resource_type),
    Column("x_Resource", Type.TEXT, "The resource", lambda c: c.cost.resource),
    Column(
        "x_Model",
        Type.TEXT,
        "The resource, if it is a model",
        lambda c: c.cost.resource if c.cost.resource_type == MODEL else None,
    ),
    *(_of_metric(metric) for metric in COST_METRICS if metric is not BILLED),
    Column("x_FetchedAt", Type.MOMENT, "When the day was fetched", lambda c: c.fetched_at),
    Column(
        "x_Unreconciled",
        Type.TEXT,
        WHERE_COSTS_DIFFER,
        lambda c: c.unreconciled,
    ),
)

COLUMNS: Sequence[Column] = (*_STANDARD, *_OWN)
"""Every column in order: the standard demands that its own come first."""


def rows(charges: Sequence[Charge]) -> Iterator[list[Value]]:
    """The values of each charge, in the order of the columns."""
    for charge in charges:
        yield [column.value(charge) for column in COLUMNS]


def csv(charges: Sequence[Charge]) -> bytes:
    """The charges as CSV; an empty cell is null."""
    header = [column.name for column in COLUMNS]
    return render(header, ([_cell(value) for value in row] for row in rows(charges)))


def _cell(value: Value) -> str | None:
    if isinstance(value, str):
        return guard(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return text_of(value)
