"""The sums of a day without rows: 0 for metrics that its source reports, unknown for the others.

If there are rows, a metric that the source does not report is unknown in each, and so in the sum.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec.structs import replace

from dashboard_scraper.model.costs import COST_METRICS, NO_COST, CostFigures, sum_costs
from dashboard_scraper.model.metrics import COUNTS, Figures
from dashboard_scraper.model.usage import UserUsage, sums_of
from dashboard_scraper.sources.registry import SOURCES, info_of


def usage_sums(source: str, users: Collection[UserUsage]) -> Figures:
    """The sums of a day's users."""
    return sums_of(users) if users else sums_of_nobody(source)


def sums_of_nobody(source: str) -> Figures:
    """The sums of a day without users."""
    known = info_of(source).metrics if source in SOURCES else COUNTS
    return replace(sums_of(()), **{each.name: None for each in COUNTS if each not in known})


def cost_sums(source: str, rows: Iterable[CostFigures]) -> CostFigures:
    """The sums of a day's rows."""
    listed = list(rows)
    return sum_costs(listed) if listed else _without_rows(source)


def are_cost_sums(sums: CostFigures, rows: Iterable[CostFigures]) -> bool:
    """Whether `sums` may be the sums of a day's rows."""
    listed = list(rows)
    if listed:
        return sum_costs(listed) == sums
    return not any(sums[metric] for metric in COST_METRICS)


def _without_rows(source: str) -> CostFigures:
    known = info_of(source).cost_metrics if source in SOURCES else COST_METRICS
    return replace(NO_COST, **{each.name: None for each in COST_METRICS if each not in known})
