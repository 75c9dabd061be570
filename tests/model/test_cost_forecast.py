"""The forecast of a month: a range from a whole cycle of history, or why there is none."""

from __future__ import annotations

import itertools
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard_scraper.model.cost_forecast import Forecast, NoForecast, forecast_of, percentile
from dashboard_scraper.model.dates import Window

NOVEMBER = Window(date(2026, 11, 1), date(2026, 11, 30))
CYCLE = Window(date(2026, 10, 1), date(2026, 11, 16))
WORK, WEEKEND = Decimal("10.000000000000000001"), Decimal("0.5")


def steady(window: Window) -> dict[date, Decimal]:
    return {day: WEEKEND if day.weekday() > 4 else WORK for day in window.days()}


def test_steady_month_is_forecast_exactly() -> None:
    found = forecast_of(steady(CYCLE), CYCLE.end)
    whole = sum(steady(NOVEMBER).values())
    assert isinstance(found, Forecast)
    assert (found.month, found.until) == (NOVEMBER, CYCLE.end)
    assert found.low == found.high == whole
    assert found.spent == sum(steady(Window(NOVEMBER.start, CYCLE.end)).values())


def test_forecast_is_a_range_of_days() -> None:
    """Every fifth day costs more: the 90th percentile includes that, the 10th does not."""
    amounts = steady(CYCLE)
    for day in list(amounts)[::5]:
        amounts[day] += 1
    found = forecast_of(amounts, CYCLE.end)
    assert isinstance(found, Forecast)
    rest = sum(steady(Window(CYCLE.end + timedelta(1), NOVEMBER.end)).values())
    assert found.low == found.spent + rest
    assert found.high == found.low + 14


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(st.integers(1 - 10**38, 10**38 - 1), min_size=9, max_size=9))
def test_forecast_is_exact_for_any_amounts(digits: list[int]) -> None:
    values = (Decimal(f"{each}E-18") for each in itertools.cycle(digits))
    found = forecast_of(dict(zip(CYCLE.days(), values, strict=False)), CYCLE.end)
    assert isinstance(found, Forecast)
    assert found.low <= found.high
    assert all(int(each.as_tuple().exponent) >= -18 for each in (found.low, found.high))


@pytest.mark.parametrize(
    ("lacking", "asked", "why"),
    [
        ([date(2026, 10, 1)], CYCLE.end, "missing are 2026-10-01"),
        ([date(2026, 11, 3), date(2026, 11, 4)], CYCLE.end, "missing are 2026-11-03 to 2026-11-04"),
        ([], date(2026, 10, 31), "every day of the month is known"),
        ([], date(2026, 12, 1), "no day of the month is known"),
    ],
)
def test_forecast_needs_a_whole_cycle(lacking: list[date], asked: date, why: str) -> None:
    amounts = {day: amount for day, amount in steady(CYCLE).items() if day not in lacking}
    found = forecast_of(amounts, asked)
    assert isinstance(found, NoForecast)
    assert found.why.endswith(why)


def test_percentile_is_one_of_the_values() -> None:
    values = [Decimal(each) for each in range(1, 11)]
    assert [percentile(values, each) for each in (10, 50, 90, 100)] == [1, 5, 9, 10]
    assert percentile(values[:1], 10) == 1
