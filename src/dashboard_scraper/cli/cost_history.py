"""The versions of a day's costs, and what changed from one to the next, by user and resource."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime

import msgspec

from dashboard_scraper.model.costs import (
    COST_METRICS,
    NO_COST,
    Cost,
    CostDifference,
    CostFigures,
    CostMetric,
    CostValue,
    names_of,
    text_of,
)
from dashboard_scraper.model.dates import iso_utc
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.shown_costs import person_of, shown_costs
from dashboard_scraper.store import CostVersion, Reader


class CostChange(msgspec.Struct, frozen=True):
    """A figure of a user and resource before and after; None is unknown, and no row means 0."""

    user: str
    account: str
    resource_type: str
    resource: str
    metric: str
    before: CostValue
    after: CostValue


class CostVersionHistory(msgspec.Struct, frozen=True):
    """One version of a day's costs, and its changes from the one before.

    `since` is when this answer first came, `fetched_at` when it last came. `sums` are the sums of
    its rows by metric, `totals` the source's own figures; both leave out what is unknown.
    """

    version: int
    since: datetime
    fetched_at: datetime
    currency: str
    sums: dict[str, CostValue]
    totals: dict[str, CostValue]
    unreconciled: list[CostDifference]
    changes: list[CostChange]


def cost_history_of(
    reader: Reader, source: str, day: date, audience: Audience
) -> list[CostVersionHistory]:
    """Every version of the day's costs, the newest last; empty if no costs are stored."""
    histories = []
    before: CostVersion | None = None
    for version in reader.cost_versions(source, day):
        histories.append(_version(before, version, audience))
        before = version
    return histories


def _version(
    before: CostVersion | None, version: CostVersion, audience: Audience
) -> CostVersionHistory:
    ledger = version.ledger
    changes: list[CostChange] = []
    if before is not None:
        changes = list(_changes(before.costs, version.costs, audience))
    return CostVersionHistory(
        version=ledger.version,
        since=ledger.accepted_at,
        fetched_at=ledger.fetched_at,
        currency=ledger.currency,
        sums=_known(ledger.sums),
        totals=_known(ledger.total or CostFigures()),
        unreconciled=ledger.unreconciled,
        changes=changes,
    )


def _known(figures: CostFigures) -> dict[str, CostValue]:
    return {m.name: figures[m] for m in COST_METRICS if figures[m] is not None}


def _changes(old: Iterable[Cost], new: Iterable[Cost], audience: Audience) -> Iterator[CostChange]:
    """The changes by person, under the newer name."""
    before, after = (_by_key(shown_costs(costs, audience), audience) for costs in (old, new))
    found = {**before, **after}
    for key in sorted(found, key=lambda each: names_of(found[each])):
        was, is_now = (costs[key].figures if key in costs else None for costs in (before, after))
        cost = found[key]
        for metric in COST_METRICS:
            values = _value(was, is_now, metric), _value(is_now, was, metric)
            if values[0] != values[1]:
                yield CostChange(*names_of(cost), metric.name, *values)


def _value(figures: CostFigures | None, other: CostFigures | None, metric: CostMetric) -> CostValue:
    """The figure. Without a row it is 0, if the version that has a row knows the figure at all."""
    if figures is not None:
        return figures[metric]
    return NO_COST[metric] if other is not None and other[metric] is not None else None


def _by_key(costs: Iterable[Cost], audience: Audience) -> Mapping[tuple[str, ...], Cost]:
    return {(person_of(cost, audience) or cost.user, *names_of(cost)[1:]): cost for cost in costs}


def cost_lines(histories: Iterable[CostVersionHistory]) -> Iterator[str]:
    """The history as text."""
    for version in histories:
        yield ""
        yield f"version {version.version} of its costs, since {iso_utc(version.since)}"
        sums = ", ".join(f"{name} {text_of(value)}" for name, value in version.sums.items())
        yield f"  {sums or 'no costs'} ({version.currency}); fetched {iso_utc(version.fetched_at)}"
        yield from (f"  does not add up: {difference}" for difference in version.unreconciled)
        if version.version > 1:
            yield f"  changes from version {version.version - 1}:"
            yield from (f"    {_text(change)}" for change in version.changes)
            if not version.changes:
                yield "    none of a user"


def _text(change: CostChange) -> str:
    who = change.user or change.account
    before, after = (text_of(value) or "unknown" for value in (change.before, change.after))
    return f"{who}, {change.resource}: {change.metric} {before} -> {after}"
