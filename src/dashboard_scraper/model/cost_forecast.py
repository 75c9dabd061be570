"""A forecast of what a month will cost: a range, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal

import msgspec

from dashboard_scraper.model.dates import Window, is_weekend, month_of
from dashboard_scraper.model.listing import listed_days
from dashboard_scraper.model.money import difference, exact_sum

LOW, MIDDLE, HIGH = 10, 50, 90
"""The percentiles of a forecast."""

METHOD = (
    "every remaining day costs the median of its weekday in this month and the one before, plus the"
    f" {LOW}th or the {HIGH}th percentile of the days' differences from that median, separately for"
    " working days and weekends; the range assumes that all days are low, or all high"
)


class Forecast(msgspec.Struct, frozen=True):
    """What the whole `month` will probably cost, from `low` to `high`: a forecast, not a bill.

    `spent` is what is known so far, up to the day `until`.
    """

    month: Window
    until: date
    spent: Decimal
    low: Decimal
    high: Decimal


class NoForecast(msgspec.Struct, frozen=True):
    """Why a month has no forecast, in words."""

    month: Window
    why: str


def forecast_of(amounts: Mapping[date, Decimal], day: date) -> Forecast | NoForecast:
    """The forecast of the month of a day, from the known amounts of days.

    There is none unless every day of the month before is known, and every day of this month up to
    its newest known day: a whole month shows what its weekdays and its end are like.
    """
    month = month_of(day)
    earlier = month_of(month.start - timedelta(days=1))
    until = max((each for each in amounts if each in month), default=None)
    if until is None:
        return NoForecast(month, "no day of the month is known")
    if until == month.end:
        return NoForecast(month, "every day of the month is known")
    needed = Window(earlier.start, until)
    missing = [each for each in needed.days() if each not in amounts]
    if missing:
        return NoForecast(
            month,
            "it needs every day of the month before, and of this month up to its newest day;"
            f" missing are {listed_days(missing)}",
        )
    spent = exact_sum(amounts[each] for each in Window(month.start, until).days())
    rest = list(Window(until + timedelta(days=1), month.end).days())
    history = {each: amounts[each] for each in needed.days()}
    low, high = _range_of(history, rest)
    return Forecast(month, until, spent, exact_sum((spent, low)), exact_sum((spent, high)))


def percentile(values: Iterable[Decimal], percent: int) -> Decimal:
    """The percentile by nearest rank: one of the values, so that no new digits arise."""
    ordered = sorted(values)
    return ordered[max(-(-percent * len(ordered) // 100), 1) - 1]


def _range_of(history: Mapping[date, Decimal], rest: Sequence[date]) -> tuple[Decimal, Decimal]:
    """What the remaining days will cost, at least and at most."""
    by_weekday: dict[int, list[Decimal]] = {}
    for day, amount in history.items():
        by_weekday.setdefault(day.weekday(), []).append(amount)
    usual = {weekday: percentile(values, MIDDLE) for weekday, values in by_weekday.items()}
    off: dict[bool, list[Decimal]] = {}
    for day, amount in history.items():
        off.setdefault(is_weekend(day), []).append(difference(amount, usual[day.weekday()]))
    medians = [usual[day.weekday()] for day in rest]
    low, high = (
        exact_sum([*medians, *(percentile(off[is_weekend(day)], percent) for day in rest)])
        for percent in (LOW, HIGH)
    )
    return low, high
