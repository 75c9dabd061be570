"""Conversion between a source's costs and the rows of the tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.costs import (
    COST_METRICS,
    MAX_TOKENS,
    Account,
    Cost,
    CostDay,
    CostDifference,
    CostFigures,
    CostValue,
)
from dashboard_scraper.model.listing import listed
from dashboard_scraper.model.money import normalized
from dashboard_scraper.store.empty_days import cost_sums
from dashboard_scraper.store.schema import COST_SUM_COLUMNS, COST_TOTAL_COLUMNS
from dashboard_scraper.store.versions import Content

_encode = msgspec.json.Encoder().encode
_decode_differences = msgspec.json.Decoder(list[CostDifference]).decode


class CostLedgerDay(msgspec.Struct, frozen=True):
    """The ledger's row of one day's costs. The costs of a day without a row were not fetched, so
    they are unknown.

    `fetched_at` is when the fetch began. `sums` are the sums of the rows, `total` are the source's
    own figures, None if it has none. `version` numbers the different answers, `accepted_at` is when
    this one came. `forgotten` counts the rows of people who were removed since: the total still
    includes them.
    """

    source: str
    day: date
    fetched_at: datetime
    currency: str
    sums: CostFigures
    total: CostFigures | None
    unreconciled: list[CostDifference]
    forgotten: int
    accepted_at: datetime
    version: int

    @property
    def unreconciled_words(self) -> str | None:
        """Where the rows and the source's own or earlier figures differ; None if they agree."""
        return listed(self.unreconciled, separator="; ") if self.unreconciled else None


def cost_ledger_day(row: Mapping[Any, Any]) -> CostLedgerDay:
    """From a row of the ledger, or of a superseded version, by column name."""
    differences = row["unreconciled"]
    total = CostFigures(*(row[column.name] for column in COST_TOTAL_COLUMNS))
    return CostLedgerDay(
        source=row["source"],
        day=row["day"],
        fetched_at=row["fetched_at"],
        currency=row["currency"],
        sums=CostFigures(*(row[column.name] for column in COST_SUM_COLUMNS)),
        total=None if total == CostFigures() else total,
        unreconciled=_decode_differences(differences) if differences else [],
        forgotten=row["forgotten"],
        accepted_at=row["accepted_at"],
        version=row["version"],
    )


def cost_ledger_row(source: str, costs: CostDay, fetched_at: datetime) -> dict[str, Any]:
    """The ledger's row for an answer, as the first version of its day. ContractBroken if a sum is
    too large for the store's columns.
    """
    total = costs.total or CostFigures()
    for metric in COST_METRICS:
        for value in (costs.sums[metric], total[metric]):
            _refuse_too_long(f"{costs.day}: {metric.name} of all users", value)
    return {
        "source": source,
        "day": costs.day,
        "fetched_at": fetched_at,
        "currency": costs.currency,
        **sum_columns(cost_sums(source, (cost.figures for cost in costs.costs))),
        **{
            column.name: total[metric]
            for metric, column in zip(COST_METRICS, COST_TOTAL_COLUMNS, strict=True)
        },
        "unreconciled": differences_text(costs.differences),
        "forgotten": 0,
        "accepted_at": fetched_at,
        "version": 1,
    }


def differences_text(differences: Sequence[CostDifference]) -> str | None:
    """The text for the column of differences; None if there are none."""
    return _encode(differences).decode() if differences else None


def _refuse_too_long(what: str, value: CostValue) -> None:
    if isinstance(value, int) and value > MAX_TOKENS:
        raise ContractBroken(f"{what} is {value}, more than {MAX_TOKENS}")
    if isinstance(value, Decimal):
        try:
            normalized(value)
        except ValueError as error:
            raise ContractBroken(f"{what}: {error}") from None


def sum_columns(sums: CostFigures) -> dict[str, Any]:
    """The sums, by column name."""
    columns = zip(COST_METRICS, COST_SUM_COLUMNS, strict=True)
    return {column.name: sums[metric] for metric, column in columns}


def cost_content(costs: CostDay) -> Content:
    """The day's rows: the columns after the key, by the key without source and day."""
    content: Content = {}
    for cost in costs.costs:
        if any("\0" in text for text in (cost.user, cost.resource_type, cost.resource)):
            raise ContractBroken(f"{costs.day}: a row of costs has a NUL in a name")
        key = (cost.user, cost.resource_type, cost.resource)
        if key in content:
            raise ContractBroken(f"{costs.day}: a user and resource have two rows of costs")
        figures = msgspec.structs.astuple(cost.figures)
        content[key] = (cost.account.value, costs.currency, *figures)
    return content


def cost_of(row: Iterable[Any]) -> Cost:
    """From a row: user, resource type, resource, account, currency, and the figures."""
    user, resource_type, resource, account, _currency, *figures = row
    return Cost(user, Account(account), resource_type, resource, CostFigures(*figures))


def is_equal(row: Mapping[Any, Any], other: Mapping[Any, Any]) -> bool:
    """Whether two ledger rows have the same total and currency."""
    names = ["currency", *(column.name for column in COST_TOTAL_COLUMNS)]
    return all(row[name] == other[name] for name in names)
