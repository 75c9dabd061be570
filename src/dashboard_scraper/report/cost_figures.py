"""The costs on the page: read from the store, without wording or layout.

A day without costs in the store is unknown, never 0: see `PageCosts.missing`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from dashboard_scraper.model.addresses import is_address
from dashboard_scraper.model.cost_changes import (
    MODEL,
    PERSON,
    Change,
    Payer,
    explain,
    share_of,
)
from dashboard_scraper.model.cost_forecast import Forecast, NoForecast
from dashboard_scraper.model.costs import (
    BILLED,
    CREDITS,
    Account,
    Budget,
    CostFigures,
    CostKind,
    CostMetric,
)
from dashboard_scraper.model.dates import Window, month_of, period_before
from dashboard_scraper.model.money import exact_sum
from dashboard_scraper.people.audience import Audience, Naming
from dashboard_scraper.people.shown_costs import SERVICE_ACCOUNTS
from dashboard_scraper.report.options import ReportOptions
from dashboard_scraper.report.spending import (
    Comparison,
    CostReading,
    compare,
    currencies_of,
    month_forecast,
    payer_of,
    unit_of,
)
from dashboard_scraper.store import CostLedgerDay, Reader
from dashboard_scraper.store.settling import was_settled

_METRICS = {CostKind.MONEY: BILLED, CostKind.CREDITS: CREDITS}
"""The metric that a budget of each kind limits."""


class CostDayFigures(msgspec.Struct, frozen=True):
    """One day's costs; `sums` is None for a day that is not in the store."""

    day: date
    sums: CostFigures | None = None
    doubt: str = ""  # where the rows and the source's own or earlier figures differ
    settled: bool = True
    forgotten: int = 0

    def amount(self, metric: CostMetric) -> Decimal | None:
        """The day's amount; None if unknown."""
        value = self.sums[metric] if self.sums else None
        return value if isinstance(value, Decimal) else None


class BudgetUse(msgspec.Struct, frozen=True):
    """A person's limit for a calendar month, and how much of it was consumed so far."""

    person: str
    metric: CostMetric
    limit: Decimal
    consumed: Decimal

    @property
    def percent(self) -> int:
        """The percentage of the limit that was consumed; a very large number for a limit of 0."""
        share = share_of(self.consumed, self.limit)
        return share if share is not None else 0 if self.consumed <= 0 else 10**6


class Budgets(msgspec.Struct, frozen=True):
    """The limits, the most used ones first, and the days of the month for which their use is known.

    `apart` has the other currencies, whose days are not counted.
    """

    month: Window
    until: date
    known: Mapping[CostMetric, Collection[date]]
    uses: Sequence[BudgetUse]
    apart: Sequence[str] = ()


class PageCosts(msgspec.Struct, frozen=True):
    """Everything on the page about costs.

    `metric` is the billed amount or, if nothing is billed, credits: parts, comparison and forecast
    use it. `models` and `people` are the parts of all known days; `comparison` is None if either
    period lacks a day. `people` has one line for service accounts and one for costs of nobody.
    `mixed` has the currencies of both periods, if there are several.
    """

    metric: CostMetric
    currency: str
    days: Sequence[CostDayFigures]
    before: Sequence[CostDayFigures]
    models: Sequence[Change]
    people: Sequence[Change]
    comparison: Comparison | None
    forecast: Forecast | NoForecast
    budgets: Budgets | None
    mixed: Sequence[str] = ()

    def missing(self, metric: CostMetric) -> int:
        """On how many days of the period the metric is unknown."""
        return sum(day.amount(metric) is None for day in self.days)

    def total(self, metric: CostMetric) -> Decimal | None:
        """The sum over the known days; None without any."""
        return _total(self.days, metric)

    def earlier(self, metric: CostMetric) -> Decimal | None:
        """The sum of the period before; None unless each of its days is known."""
        if any(day.amount(metric) is None for day in self.before):
            return None
        return _total(self.before, metric)

    def unit(self, metric: CostMetric) -> str:
        """The unit of the metric's amounts."""
        return unit_of(metric, self.currency)


class MixedCurrencies(msgspec.Struct, frozen=True):
    """Costs of a period in several currencies, which cannot be added up."""

    currencies: Sequence[str]

    def __str__(self) -> str:
        both = " and ".join(self.currencies)
        return (
            f"The costs of these days are in {both}, which are not added up;"
            " a period in one currency has its costs here."
        )


def _total(days: Sequence[CostDayFigures], metric: CostMetric) -> Decimal | None:
    amounts = [amount for day in days if (amount := day.amount(metric)) is not None]
    return exact_sum(amounts) if amounts else None


def costs_of(
    reader: Reader,
    source: str,
    window: Window,
    audience: Audience,
    naming: Naming,
    options: ReportOptions,
) -> PageCosts | MixedCurrencies | None:
    """The costs for the page of a window; None if the store has no costs of the source. Amounts of
    the period before are unknown if they are in another currency.
    """
    if not reader.has_costs(source):
        return None
    before = period_before(window)
    if mixed := _mixed_in(reader, source, window):
        return MixedCurrencies(mixed)
    mixed_before = _mixed_in(reader, source, before, window)
    windows = [window] if mixed_before else [before, window]
    settle_days = options.cost_settle_days
    reading = CostReading(
        reader,
        source,
        audience,
        windows,
        naming=naming,
        min_group_size=options.min_group_size,
    )
    complete = all(day in reading.known for each in (before, window) for day in each.days())
    parts = explain(reading.spending(window), reading.spending(before)).parts
    return PageCosts(
        reading.metric,
        reading.currency,
        _days(reading, window, settle_days),
        _days(reading, before, settle_days),
        parts[MODEL],
        parts[PERSON],
        compare(reading, window, before, settle_days) if complete else None,
        month_forecast(reader, source, reading.metric, window.end),
        _budgets(reader, source, window.end, audience, naming, reading.currency),
        mixed_before,
    )


def _mixed_in(reader: Reader, source: str, *windows: Window) -> list[str]:
    """The currencies of the windows' days, if there are several."""
    days = [day for each in windows for day in reader.cost_ledger(source, each).values()]
    found = currencies_of(days)
    return found if len(found) > 1 else []


def _days(reading: CostReading, window: Window, settle_days: int) -> list[CostDayFigures]:
    return [
        _day(reading.ledger[day], settle_days) if day in reading.ledger else CostDayFigures(day)
        for day in window.days()
    ]


def _day(row: CostLedgerDay, settle_days: int) -> CostDayFigures:
    doubt = "; ".join(map(str, row.unreconciled))
    return CostDayFigures(row.day, row.sums, doubt, was_settled(row, settle_days), row.forgotten)


def _budgets(
    reader: Reader, source: str, until: date, audience: Audience, naming: Naming, currency: str
) -> Budgets | None:
    """Each person's limits; those of all their addresses are added up."""
    # By account, since what an account without a limit consumes does not use up others' limits.
    each_account = replace(audience, service_accounts=True)
    limits: dict[tuple[Payer, CostKind], list[Decimal]] = {}
    for budget in reader.budgets(source):
        payer = payer_of(budget.user, _account_of(budget), each_account, naming)
        limits.setdefault((payer, budget.kind), []).append(budget.limit)
    if not limits:
        return None
    so_far = Window(until.replace(day=1), until)
    known: dict[CostMetric, Collection[date]] = {}
    apart: set[str] = set()
    uses = []
    for kind, metric in _METRICS.items():
        of_kind = {payer: some for (payer, each), some in limits.items() if each is kind}
        if not of_kind:
            continue
        reading = CostReading(reader, source, each_account, (so_far,), metric, naming)
        others = _in_others(reading, currency) if kind is CostKind.MONEY else {}
        apart.update(others.values())
        known[metric] = days = [day for day in reading.known if day not in others]
        consumed: dict[Payer, list[Decimal]] = {}
        for (payer, _), amounts in reading.spending(so_far, days).cells.items():
            consumed.setdefault(payer, []).extend(amounts.values())
        uses += _uses(of_kind, consumed, metric, audience)
    uses.sort(key=lambda use: (-use.percent, use.person))
    return Budgets(month_of(until), until, known, uses, sorted(apart))


def _in_others(reading: CostReading, currency: str) -> dict[date, str]:
    """The days whose costs are in another currency, with that currency."""
    found = {day: currencies_of([row]) for day, row in reading.ledger.items()}
    return {day: other for day, others in found.items() for other in others if other != currency}


def _uses(
    limits: Mapping[Payer, Sequence[Decimal]],
    consumed: Mapping[Payer, Sequence[Decimal]],
    metric: CostMetric,
    audience: Audience,
) -> list[BudgetUse]:
    """The use of each limit; service accounts that are not shown are combined into one."""
    shown: dict[str, tuple[list[Decimal], list[Decimal]]] = {}
    for payer, some in limits.items():
        included = audience.includes(service=payer.account is Account.SERVICE_ACCOUNT)
        of_name = shown.setdefault(payer.name if included else SERVICE_ACCOUNTS, ([], []))
        of_name[0].extend(some)
        of_name[1].extend(consumed.get(payer, ()))
    return [
        BudgetUse(name, metric, exact_sum(limit), exact_sum(amounts))
        for name, (limit, amounts) in shown.items()
    ]


def _account_of(budget: Budget) -> Account:
    return Account.PERSON if is_address(budget.user) else Account.SERVICE_ACCOUNT
