"""A day's users as columns of values, for outputs that write all rows of many days."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any

import msgspec
from sqlalchemy import Select, select

from dashboard_scraper.model.columns import sum_of_column
from dashboard_scraper.model.figures import maker
from dashboard_scraper.model.metrics import REQUIRED, Count, Kind, Metric
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.store.column_types import days_seen
from dashboard_scraper.store.schema import USER_DAY
from dashboard_scraper.store.snapshot import IS_OF_DAY

Column = Sequence[Any]


class DayColumns(msgspec.Struct, frozen=True, dict=True):
    """A day's users, sorted by `names`, with a column of values for each of some metrics.

    Values are as the database has them, None if unknown; of moments, only the day, as text.
    `has_extra`: whether any row has further fields, which are in none of the columns.
    """

    names: Column
    values: dict[Metric, Column]
    services: Sequence[bool]
    has_extra: bool

    @cached_property
    def counts(self) -> dict[Metric, Column]:
        """The columns of counts."""
        return {m: column for m, column in self.values.items() if m.kind is Kind.COUNT}

    @cached_property
    def sums(self) -> dict[Metric, Count]:
        """The sums of the counts; an unknown count makes its sum unknown."""
        return {metric: sum_of_column(column) for metric, column in self.counts.items()}

    def active(self) -> DayColumns | None:
        """The rows with any activity; None if a required count is unknown, so that other rows may
        have activity too.
        """
        if not all(map(self.is_known, REQUIRED)):
            return None
        used = [*map(any, zip(*self.counts.values(), strict=True))]

        def of_used(column: Column) -> Column:
            return [*itertools.compress(column, used)]

        values = {metric: of_used(column) for metric, column in self.values.items()}
        return DayColumns(of_used(self.names), values, of_used(self.services), self.has_extra)

    def is_known(self, metric: Metric) -> bool:
        """Whether the metric, a count, has a column and is known for every user."""
        return self.sums.get(metric) is not None

    def counted(self) -> list[UserUsage]:
        """The users with only their counts and active days; all other figures are None."""
        metrics = [metric for metric in self.values if metric.kind in (Kind.COUNT, Kind.DAYS)]
        make = maker(metrics)
        rows = zip(*(self.values[metric] for metric in metrics), strict=True)
        return [
            UserUsage(name, make(row), service=service)
            for name, service, row in zip(self.names, self.services, rows, strict=True)
        ]


@cache
def users_of_day(metrics: tuple[Metric, ...]) -> Select[Any]:
    """A query for every user, by name: the figures, the further fields, and whether it is a service
    account.
    """
    table = USER_DAY.c
    figures = (table[metric.name] for metric in metrics)
    query = select(table.user_login, *figures, table.extra, table.service_account)
    return query.where(*IS_OF_DAY).order_by(table.user_login)


def columns_of(metrics: Sequence[Metric], rows: Sequence[Sequence[Any]]) -> DayColumns:
    """The columns from the result of `users_of_day`, as the driver returns it."""
    names, *values, extras, services = (
        zip(*rows, strict=True) if rows else [()] * (len(metrics) + 3)
    )
    by_metric: dict[Metric, Column] = dict(zip(metrics, values, strict=True))
    for metric, column in by_metric.items():
        if metric.kind is Kind.MOMENT:
            by_metric[metric] = days_seen(column)
    return DayColumns(names, by_metric, [*map(bool, services)], any(extras))
