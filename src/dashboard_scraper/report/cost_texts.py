"""How costs are phrased, on the page and by `explain`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal

from dashboard_scraper.model.cost_changes import Cause, share_text
from dashboard_scraper.model.cost_forecast import METHOD, Forecast, NoForecast
from dashboard_scraper.model.costs import CostKind, CostMetric
from dashboard_scraper.model.money import CENTS, places_of, rounded

Show = Callable[[Decimal, bool], str]
"""An amount as text, perhaps with its sign."""


def cause_text(cause: Cause | None, whole: Decimal, unit: str, show: Show) -> str:
    """The largest cause in a sentence."""
    if cause is None:
        return "No cause: everybody's costs of every model are the same in both periods"
    percent = share_text(cause.difference, whole)
    share = f"{percent} of the difference" if percent else "against the whole difference"
    head = f"{show(cause.difference, True)} {unit} ({share})"
    amount, usual = show(cause.amount, False), show(cause.usual, False)
    what = f"{cause.payer.name}, {cause.resource.label}"
    if cause.day is None:
        return f"Largest cause: {head}: {what}: {amount}, in the period before {usual}"
    where = " (in the period before)" if cause.in_before else ""
    other = "the later period" if cause.in_before else "the period before"
    return (
        f"Largest cause: {head}: {what}, on {cause.day}{where}: {amount}, on a usual day of"
        f" {other} {usual}"
    )


def exact_show(metric: CostMetric) -> Show:
    """Shows every digit of each amount."""
    return lambda amount, sign: amount_text(amount, places_for(metric, [amount]), sign=sign)


def forecast_lines(forecast: Forecast | NoForecast, metric: CostMetric, unit: str) -> Iterator[str]:
    """The forecast in two sentences, or why there is none."""
    month = f"{forecast.month.start:%B %Y}"
    if isinstance(forecast, NoForecast):
        yield f"No forecast of {month}: {forecast.why}"
        return
    low, high, spent = (
        amount_text(rounded(each, CENTS), CENTS)
        for each in (forecast.low, forecast.high, forecast.spent)
    )
    yield (
        f"Forecast of {month}, not a bill: {low} to {high} {unit} {metric.name}, of which {spent}"
        f" up to {forecast.until}"
    )
    yield f"How: {METHOD}"


def places_for(metric: CostMetric, amounts: Iterable[Decimal]) -> int:
    """The fewest digits after the point with which each of these amounts is exact."""
    least = CENTS if metric.kind is CostKind.MONEY else 0
    return max([least, *map(places_of, amounts)])


def exact_text(amount: Decimal) -> str:
    """An amount for programs: every digit, and no zeros at the end."""
    return f"{rounded(amount, places_of(amount)):f}"


def amount_text(amount: Decimal, places: int, *, sign: bool = False) -> str:
    """The exact amount, with at least so many digits after the point: `1,234.50`, `+1,234.50`."""
    padded = rounded(amount, max(places, places_of(amount)))
    return f"{padded:+,f}" if sign and padded else f"{padded:,f}"
