"""`explain` as text and as JSON: why costs changed from one period to another."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from dashboard_scraper.errors import DaysMissing
from dashboard_scraper.model.cost_changes import DAY, Cause, Change, share_of, share_text
from dashboard_scraper.model.cost_forecast import METHOD, Forecast, NoForecast
from dashboard_scraper.model.costs import ESTIMATED, CostMetric
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.listing import listed, listed_days, many
from dashboard_scraper.model.money import exact_sum
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.report.cost_texts import (
    amount_text,
    cause_text,
    exact_show,
    exact_text,
    forecast_lines,
    places_for,
)
from dashboard_scraper.report.spending import (
    EXPLAINED,
    Comparison,
    CostReading,
    compare,
    month_forecast,
)
from dashboard_scraper.store import CostLedgerDay, Reader

_LINES = 10
"""How many lines of each breakdown are printed if all kinds are; the other lines are added up."""
_DOUBTS = 5


class PeriodSums(msgspec.Struct, frozen=True):
    """A period, how many of its days are compared, and what they cost."""

    start: str
    end: str
    days: int
    amount: str


class PartShown(msgspec.Struct, frozen=True):
    """A line of a breakdown; `account` is the account of a person's line."""

    name: str
    before: str
    now: str
    difference: str
    account: str | None = None


class CauseShown(msgspec.Struct, frozen=True):
    """The largest cause. `usual` is the amount of a usual day in the other period, or, without a
    single `day`, that period's amount; `percent` is the cause's share of the difference.
    """

    person: str
    account: str
    resource_type: str
    resource: str
    day: str | None
    in_before: bool
    amount: str
    usual: str
    difference: str
    percent: int | None


class ForecastShown(msgspec.Struct, frozen=True):
    """A forecast of a month, or the reason why there is none."""

    month: str
    until: str | None = None
    spent: str | None = None
    low: str | None = None
    high: str | None = None
    method: str | None = None
    none_because: str | None = None


class DayDoubt(msgspec.Struct, frozen=True):
    """A day whose rows and the source's own or earlier figures differ, and where."""

    day: str
    differences: list[str]


class ExplanationShown(msgspec.Struct, frozen=True):
    """What `explain --json` prints; amounts are exact decimals as text."""

    source: str
    metric: str
    unit: str
    now: PeriodSums
    before: PeriodSums
    difference: str
    cause: CauseShown | None
    by: dict[str, list[PartShown]]
    left_out: list[str]
    unreconciled: list[DayDoubt]
    unsettled: list[str]
    forgotten: list[str]
    forecast: ForecastShown | None


class Question(msgspec.Struct, frozen=True):
    """What `explain` is asked: periods, metric, and breakdowns. None is the default."""

    now: Window
    before: Window
    by: str | None = None
    metric: CostMetric | None = None
    forecast: bool = False
    incomplete: bool = False


class Explained(msgspec.Struct, frozen=True):
    """What a run of `explain` found, for the given kinds of parts."""

    source: str
    comparison: Comparison
    kinds: Sequence[str]
    forecast: Forecast | NoForecast | None = None
    others: Collection[CostMetric] = ()
    """Other metrics that are not 0 in these periods, if no metric was asked for."""


def answer_of(
    reader: Reader, source: str, audience: Audience, question: Question, settle_days: int
) -> Explained:
    """Explain the difference; UsageError if nothing is known, DaysMissing if days are missing."""
    now, before = question.now, question.before
    costs = CostReading(reader, source, audience, (now, before), question.metric)
    if not costs.ledger:
        raise DaysMissing(
            f"the store has no costs of the source {source} in {now} or {before}; fetch them with"
            " backfill, from a source that has costs"
        )
    comparison = compare(costs, now, before, settle_days, incomplete=question.incomplete)
    forecast = month_forecast(reader, source, costs.metric, now.end) if question.forecast else None
    others = [
        metric
        for metric in EXPLAINED
        if metric not in (costs.metric, ESTIMATED)
        and question.metric is None
        and any(row.sums[metric] for row in costs.ledger.values())
    ]
    kinds = [question.by] if question.by else list(comparison.explained.parts)
    return Explained(source, comparison, kinds, forecast, others)


def shown_of(found: Explained) -> ExplanationShown:
    """All parts, however small."""
    comparison, explained = found.comparison, found.comparison.explained
    parts = {kind: list(map(_part, explained.parts[kind])) for kind in found.kinds}
    now, before = comparison.days
    return ExplanationShown(
        source=found.source,
        metric=comparison.metric.name,
        unit=comparison.unit,
        now=_period(explained.now, now, explained.whole.now),
        before=_period(explained.before, before, explained.whole.before),
        difference=exact_text(explained.whole.difference),
        cause=_cause(explained.cause, explained.whole.difference) if explained.cause else None,
        by=parts,
        left_out=[f"{day}" for day in comparison.left_out],
        unreconciled=[
            DayDoubt(f"{row.day}", list(map(str, row.unreconciled)))
            for row in comparison.unreconciled
        ],
        unsettled=[f"{day}" for day in comparison.unsettled],
        forgotten=[f"{day}" for day in comparison.forgotten],
        forecast=_forecast(found.forecast) if found.forecast else None,
    )


def _period(window: Window, days: int, amount: Decimal) -> PeriodSums:
    return PeriodSums(f"{window.start}", f"{window.end}", days, exact_text(amount))


def _part(change: Change) -> PartShown:
    account = change.account.value if change.account else None
    before, now = exact_text(change.before), exact_text(change.now)
    return PartShown(change.name, before, now, exact_text(change.difference), account)


def _cause(cause: Cause, whole: Decimal) -> CauseShown:
    return CauseShown(
        person=cause.payer.name,
        account=cause.payer.account.value,
        resource_type=cause.resource.type,
        resource=cause.resource.name,
        day=f"{cause.day}" if cause.day else None,
        in_before=cause.in_before,
        amount=exact_text(cause.amount),
        usual=exact_text(cause.usual),
        difference=exact_text(cause.difference),
        percent=share_of(cause.difference, whole),
    )


def _forecast(forecast: Forecast | NoForecast) -> ForecastShown:
    month = f"{forecast.month.start:%Y-%m}"
    if isinstance(forecast, NoForecast):
        return ForecastShown(month, none_because=forecast.why)
    return ForecastShown(
        month,
        until=f"{forecast.until}",
        spent=exact_text(forecast.spent),
        low=exact_text(forecast.low),
        high=exact_text(forecast.high),
        method=METHOD,
    )


def as_lines(found: Explained) -> Iterator[str]:
    """The largest cause first, then the total, what to know about it, and the breakdowns."""
    comparison, explained = found.comparison, found.comparison.explained
    unit, metric = comparison.unit, comparison.metric
    yield cause_text(explained.cause, explained.whole.difference, unit, exact_show(metric))
    yield from _whole(comparison)
    yield from _remarks(found)
    for kind in found.kinds:
        yield ""
        most = _LINES if len(found.kinds) > 1 else None
        yield from _table(kind, explained.parts[kind], most, explained.whole, metric)
    if found.forecast:
        yield ""
        yield from forecast_lines(found.forecast, metric, unit)


def raise_if_left_out(found: Explained) -> None:
    """Raise DaysMissing, with the days that were not compared."""
    left_out = found.comparison.left_out
    if left_out:
        raise DaysMissing(f"days without costs are not compared: {listed_days(left_out)}")


def _whole(comparison: Comparison) -> Iterator[str]:
    explained, whole = comparison.explained, comparison.explained.whole
    places = places_for(comparison.metric, (whole.now, whole.before))
    now, before, change = (
        amount_text(each, places, sign=sign)
        for each, sign in ((whole.now, False), (whole.before, False), (whole.difference, True))
    )
    estimate = ", an estimate and not a bill" if comparison.metric is ESTIMATED else ""
    now_days, before_days = (many(days, "day") for days in comparison.days)
    title, unit = comparison.metric.title, comparison.unit
    amount = title if title.lower() == unit else f"{title} in {unit}"  # not "Credits in credits"
    yield (
        f"{amount}{estimate}: {now} in {explained.now}"
        f" ({now_days}), {before} in {explained.before} ({before_days}): {change}"
    )
    if now_days != before_days:
        yield f"The periods are not equally long: {now_days} are compared with {before_days}"


def _remarks(found: Explained) -> Iterator[str]:
    comparison = found.comparison
    for other in found.others:
        yield f"{other.title} are not 0 either: --metric {other.name} explains them"
    if comparison.left_out:
        yield (
            f"Not compared, since they or their counterparts have no costs:"
            f" {listed_days(comparison.left_out)}"
        )
    if comparison.unreconciled:
        days = [_doubt(row, comparison.metric) for row in comparison.unreconciled]
        yield f"Not what the source's own or earlier figures say: {listed(days, _DOUBTS, '; ')}"
    if comparison.unsettled:
        yield f"Not settled, and may still change: {listed_days(comparison.unsettled)}"
    if comparison.forgotten:
        yield f"Without users who were removed since: {listed_days(comparison.forgotten)}"


def _doubt(row: CostLedgerDay, metric: CostMetric) -> str:
    """The day, with the difference in this metric, or else the metrics in which it differs."""
    for each in row.unreconciled:
        if each.metric == metric.name:
            return f"{row.day} ({each})"
    return f"{row.day} (only {', '.join(each.metric for each in row.unreconciled)})"


_HEADS: Mapping[str, str] = {DAY: "by day (now / before)"}


def _table(
    kind: str, parts: Sequence[Change], most: int | None, whole: Change, metric: CostMetric
) -> Iterator[str]:
    """The lines of a breakdown, aligned at the decimal points; the last adds up those cut off."""
    listed_parts = list(parts[:most])
    rest = parts[len(listed_parts) :]
    if len(rest) == 1:
        listed_parts, rest = list(parts), []
    if rest:
        before, now = (exact_sum(getattr(p, name) for p in rest) for name in ("before", "now"))
        listed_parts.append(Change(f"({len(rest):,} others)", before, now))
    places = places_for(metric, (amount for part in parts for amount in (part.before, part.now)))
    rows = [
        (_HEADS.get(kind, f"by {kind}"), "before", "now", "difference", "share"),
        *(_row(part, places, whole) for part in listed_parts),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for name, *cells in rows:
        aligned = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join([name.ljust(widths[0]), *aligned]).rstrip()


def _row(part: Change, places: int, whole: Change) -> tuple[str, ...]:
    return (
        part.name or "-",
        amount_text(part.before, places),
        amount_text(part.now, places),
        amount_text(part.difference, places, sign=True),
        share_text(part.difference, whole.difference),
    )
