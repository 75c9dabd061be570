"""Costs of periods, read from the store by day, payer and resource, with the names in outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal

import msgspec

from dashboard_scraper.errors import DaysMissing, UsageError
from dashboard_scraper.model.addresses import is_address
from dashboard_scraper.model.cost_changes import (
    Cell,
    DayPair,
    Explanation,
    Payer,
    Resource,
    Spending,
    day_pairs,
    explain,
)
from dashboard_scraper.model.cost_forecast import Forecast, NoForecast, forecast_of
from dashboard_scraper.model.costs import (
    BILLED,
    COST_METRICS,
    CREDITS,
    ESTIMATED,
    Account,
    CostKind,
    CostMetric,
)
from dashboard_scraper.model.dates import Window, month_of
from dashboard_scraper.model.listing import listed_days
from dashboard_scraper.model.money import exact_sum
from dashboard_scraper.people.audience import Audience, Naming
from dashboard_scraper.people.groups import grouped_teams
from dashboard_scraper.people.identity import Person
from dashboard_scraper.people.people import Spelling
from dashboard_scraper.people.shown_costs import SERVICE_ACCOUNTS
from dashboard_scraper.store import CostLedgerDay, Reader
from dashboard_scraper.store.settling import was_settled

UNATTRIBUTED = "(unattributed)"
NO_TEAM, OTHER_TEAMS = "(no team)", "(all others)"

EXPLAINED = (BILLED, ESTIMATED, CREDITS)
"""The metrics whose differences can be explained, each separately."""


class Comparison(msgspec.Struct, frozen=True):
    """A difference of two periods and its parts, and what a reader has to know about them.

    `left_out` are days that are not compared, because they or their counterparts have no costs. The
    other lists have compared days.
    """

    metric: CostMetric
    currency: str
    explained: Explanation
    days: tuple[int, int]
    left_out: Sequence[date]
    unreconciled: Sequence[CostLedgerDay]
    unsettled: Sequence[date]
    forgotten: Sequence[date]

    @property
    def unit(self) -> str:
        """The currency, or another unit."""
        return unit_of(self.metric, self.currency)


def unit_of(metric: CostMetric, currency: str) -> str:
    """The unit of the metric's amounts."""
    return currency if metric.kind is CostKind.MONEY else metric.kind.value


def usual_metric(days: Iterable[CostLedgerDay]) -> CostMetric:
    """Billed amounts if anything was billed, otherwise credits if any were consumed.

    If neither: a metric that is known on every day. A day without any row may have zeros for all
    metrics, so a zero does not show that the source has a metric which is unknown on other days.
    """
    listed = list(days)
    for metric in (BILLED, CREDITS):
        if any(day.sums[metric] for day in listed):
            return metric
    for metric in (BILLED, CREDITS, ESTIMATED):
        if listed and all(day.sums[metric] is not None for day in listed):
            return metric
    return BILLED if any(day.sums[BILLED] is not None for day in listed) else CREDITS


def currencies_of(days: Iterable[CostLedgerDay]) -> list[str]:
    """The currencies of the days' costs. A day without costs has none: its currency is a guess."""
    return sorted(
        {day.currency for day in days if any(day.sums[metric] for metric in COST_METRICS)}
    )


def _known(ledger: Mapping[date, CostLedgerDay], metric: CostMetric) -> dict[date, Decimal]:
    """The amounts of the days on which the metric is known."""
    return {
        day: amount
        for day, row in ledger.items()
        if isinstance(amount := row.sums[metric], Decimal)
    }


class CostReading:
    """One metric's costs of several windows, with one name for each payer in all of them.

    `ledger` has the stored days of the windows, `known` those on which the metric is known. With
    `naming`, people have the same names as elsewhere in an output. Teams of fewer than
    `min_group_size` people are not shown separately.
    """

    def __init__(
        self,
        reader: Reader,
        source: str,
        audience: Audience,
        windows: Sequence[Window],
        metric: CostMetric | None = None,
        naming: Naming | None = None,
        min_group_size: int = 0,
    ) -> None:
        self._reader = reader
        self._audience = audience
        self._min_group_size = min_group_size
        self.source = source
        reach = Window(min(each.start for each in windows), max(each.end for each in windows))
        self.ledger = {
            day: row
            for day, row in reader.cost_ledger(source, reach).items()
            if any(day in window for window in windows)
        }
        # If no day of the windows has costs, the source's newest ones decide the metric and
        # currency.
        self._usual = [*(self.ledger or reader.cost_ledger(source)).values()][-len(reach) :]
        self.metric = metric or usual_metric(self._usual)
        self.known = _known(self.ledger, self.metric)
        self._cells = self._read(naming)

    def _read(self, naming: Naming | None) -> dict[Cell, dict[date, Decimal]]:
        """All known amounts, by payer and resource; merged addresses are one payer."""
        raw: dict[tuple[str, Account, Resource], dict[date, list[Decimal]]] = {}
        newest: dict[str, date] = {}
        for day in self.known:
            for row in self._reader.cost_amounts(self.ledger[day], self.metric):
                if self._audience.includes(service=row.account is Account.SERVICE_ACCOUNT):
                    newest[row.user] = day
                by_day = raw.setdefault(
                    (row.user, row.account, Resource(row.resource_type, row.resource)), {}
                )
                by_day.setdefault(day, []).append(row.amount)
        naming = naming or self._audience.naming(_spellings(newest))
        payers: dict[tuple[str, Account], Payer] = {}
        cells: dict[Cell, dict[date, list[Decimal]]] = {}
        for (user, account, resource), by_day in raw.items():
            key = user, account
            if key not in payers:
                payers[key] = payer_of(user, account, self._audience, naming)
            merged = cells.setdefault((payers[key], resource), {})
            for day, amounts in by_day.items():
                merged.setdefault(day, []).extend(amounts)
        return {
            cell: {day: exact_sum(amounts) for day, amounts in by_day.items()}
            for cell, by_day in cells.items()
        }

    def spending(self, window: Window, days: Sequence[date] | None = None) -> Spending:
        """The costs of these days of the window; by default, of all known days."""
        shown = [day for day in self.known if day in window] if days is None else list(days)
        wanted = set(shown)
        cells = {
            cell: {day: amount for day, amount in by_day.items() if day in wanted}
            for cell, by_day in self._cells.items()
        }
        return Spending(window, shown, {cell: found for cell, found in cells.items() if found})

    @property
    def currency(self) -> str:
        """The currency of all days; UsageError if there are several."""
        found = currencies_of(self._usual)
        if len(found) > 1 and self.ledger and self.metric.kind is CostKind.MONEY:
            raise UsageError(
                f"the days have costs in {' and '.join(found)}, which are not compared"
            )
        return found[0] if found else next((row.currency for row in self._usual), "")

    def team_of(self) -> Callable[[Payer], str] | None:
        """The teams of a payer, as one text so that each amount is in only one line; None if no
        teams are known.
        """
        audience = self._audience
        if not audience.has_teams:
            return None
        members: dict[str, set[str]] = {}
        for name, person in audience.identities.items():
            key = audience.people.key(name)
            # Service accounts without a team would hide how few people have none.
            if person.teams or is_address(key):
                members.setdefault(_teams_text(person), set()).add(key)
        payers = {payer.name for payer, _ in self._cells if payer.account is Account.PERSON}
        unlisted = {audience.people.key(name) for name in payers} - set().union(*members.values())
        if unlisted:
            members.setdefault("", set()).update(unlisted)
        shown = grouped_teams(members, self._min_group_size)
        others = NO_TEAM if members.keys() <= {*shown, ""} else OTHER_TEAMS

        def teams(payer: Payer) -> str:
            person = audience.identities.get(audience.people.key(payer.name))
            if payer.account is not Account.UNATTRIBUTED and person and person.teams:
                text = _teams_text(person)
                return text if text in shown else others
            if payer.account is Account.PERSON:
                return others
            return UNATTRIBUTED if payer.account is Account.UNATTRIBUTED else SERVICE_ACCOUNTS

        return teams


def _teams_text(person: Person) -> str:
    """The person's teams as text: the same for the same teams, whatever the order of the rows."""
    return ", ".join(sorted(person.teams))


def _spellings(newest: dict[str, date]) -> list[Spelling]:
    return [(user, day) for user, day in newest.items() if user]


def payer_of(user: str, account: Account, audience: Audience, naming: Naming) -> Payer:
    """The payer as outputs name them; service accounts that are not shown are combined into one."""
    if account is Account.UNATTRIBUTED:
        return Payer(UNATTRIBUTED, account)
    if not audience.includes(service=account is Account.SERVICE_ACCOUNT):
        return Payer(SERVICE_ACCOUNTS, account)
    return Payer(naming.name(user), account)


def compare(
    costs: CostReading, now: Window, before: Window, settle_days: int, *, incomplete: bool = False
) -> Comparison:
    """The difference of two periods that `costs` was read for.

    Raises DaysMissing if days have no costs, since sums without some days look like complete ones.
    If the comparison may be `incomplete`, such a day and its counterpart are left out instead.
    """
    pairs = day_pairs(now, before)
    whole = [pair for pair in pairs if all(day in costs.known for day in _days_of([pair]))]
    left_out = sorted(set(_days_of(pairs)) - set(_days_of(whole)))
    if left_out and not (incomplete and whole):
        _raise_missing(costs, now, before, others=bool(whole))
    now_days = [pair.now for pair in whole if pair.now]
    before_days = [pair.before for pair in whole if pair.before]
    rows = [costs.ledger[day] for day in sorted(_days_of(whole))]
    explained = explain(
        costs.spending(now, now_days), costs.spending(before, before_days), costs.team_of()
    )
    return Comparison(
        costs.metric,
        costs.currency,
        explained,
        (len(now_days), len(before_days)),
        left_out,
        [row for row in rows if row.unreconciled],
        [row.day for row in rows if not was_settled(row, settle_days)],
        [row.day for row in rows if row.forgotten],
    )


def _days_of(pairs: Iterable[DayPair]) -> list[date]:
    return [day for pair in pairs for day in (pair.now, pair.before) if day]


def _raise_missing(costs: CostReading, now: Window, before: Window, *, others: bool) -> None:
    """Raise DaysMissing; `others` says whether there are other days that could be compared."""
    asked = [*before.days(), *now.days()]
    missing = [day for day in asked if day not in costs.ledger]
    unknown = [day for day in asked if day in costs.ledger and day not in costs.known]
    reasons = []
    if missing:
        reasons.append(f"the store has no costs of {listed_days(missing)}")
    if unknown:
        reasons.append(f"{costs.metric.name} is unknown on {listed_days(unknown)}")
    alone = ", or add --incomplete to compare the other days alone" if others else ""
    raise DaysMissing(
        f"{now} cannot be compared with {before}: {'; '.join(reasons)}; fetch these days with"
        f" backfill{alone}"
    )


def month_forecast(
    reader: Reader, source: str, metric: CostMetric, day: date
) -> Forecast | NoForecast:
    """The forecast of the month of a day, from what is known up to the end of that day."""
    month = month_of(day)
    reach = Window(month_of(month.start - timedelta(days=1)).start, day)
    ledger = reader.cost_ledger(source, reach)
    currencies = currencies_of(ledger.values())
    if len(currencies) > 1:
        return NoForecast(
            month, f"its days and those before have costs in {' and '.join(currencies)}"
        )
    return forecast_of(_known(ledger, metric), day)
