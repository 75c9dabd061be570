"""The data of the charts, as JSON in the page, whose script draws them.

The charting library, Observable Plot, is embedded in the page: see `templates/vendor/README.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal

import msgspec

from dashboard_scraper.model.metrics import BY_NAME, Metric
from dashboard_scraper.report.figures import Day, State
from dashboard_scraper.sources.registry import SOURCES

Values = Sequence[float | None]
Pick = Callable[[Day], float | None]

MISSING, EMPTY, UNSETTLED, GAP = "\u00d7", "\u25cb", "~", "\u25a8"
"""The marks under special days; days in doubt have the sign of their doubt instead. GAP stands in
the legend for the hatching of days with an unknown figure.
"""

MAY_CHANGE = "not settled: may still change"
"""What UNSETTLED means."""

PEOPLE, MONTH, BEFORE, OTHER = "people", "month", "before", "other"
"""Colours of the style sheet for series that do not belong to one kind of use: all people, the
people of 28 days, the period before, and everything else.
"""

_SOURCE_COLOURS = 5
"""How many colours for sources the style sheet has."""

_WHOLES = ("_messages", "_lines_of_code")
_MONDAY = 0
_LONGEST_WITHOUT_YEAR = 335
"""Days: one more may be from the end of a January to the beginning of the next."""


def style_of(kind: Metric) -> str:
    """The colour of a kind of use on the whole page, the same for its messages and its lines."""
    stem = kind.name
    for whole in _WHOLES:
        stem = stem.removesuffix(whole)
    return f"kind-{stem.replace('_', '-')}"


def source_style(name: str) -> str:
    """The colour of a source on every page, whichever other sources are there."""
    return f"source-{[*SOURCES].index(name) % _SOURCE_COLOURS + 1}"


COMPLETIONS = style_of(BY_NAME["completions_lines_of_code"])
"""The colour of everything about completions."""


class Series(msgspec.Struct, frozen=True):
    """One value per day, None if unknown; `style` is a colour of the style sheet. A `wide` line is
    drawn below the others, and stays visible if another line has the same values.
    """

    label: str
    values: Values
    style: str
    wide: bool = False


class AmountSeries(msgspec.Struct, frozen=True):
    """Like `Series`, for exact amounts: the page has all digits, and draws them as numbers."""

    label: str
    values: Sequence[Decimal | None]
    style: str
    wide: bool = False


class ChartDay(msgspec.Struct, frozen=True):
    """A day on the axis; with `gap` it is drawn hatched, since its values are unknown."""

    label: str
    monday: bool
    mark: str
    gap: bool


class DayChart(msgspec.Struct, frozen=True):
    """A chart over the days of a period.

    `bars` are stacked, `lines` labelled at their ends; `before` are muted lines of the period
    before. `tips` describe each day in words. The scale reaches at least up to `top`. `texts` label
    the bars instead of the numbers.
    """

    days: Sequence[ChartDay]
    tips: Sequence[str]
    bars: Sequence[Series | AmountSeries]
    lines: Sequence[Series]
    before: Sequence[Series | AmountSeries]
    unit: str
    top: float
    texts: Sequence[str] = ()


class BarChart(msgspec.Struct, frozen=True):
    """Labelled bars with their values as text; `before` are markers for the period before."""

    labels: Sequence[str]
    values: Values
    texts: Sequence[str]
    tips: Sequence[str]
    before: Values = ()


def chart_days(days: Sequence[tuple[date, str, bool]]) -> list[ChartDay]:
    """The places of a period's days on the axis, each from its mark and whether it is a gap.

    They are labelled like `3 Nov`, or `3 Nov 2025` in a period with the same month of two years.
    """
    year = " %Y" if len(days) > _LONGEST_WITHOUT_YEAR else ""
    return [
        ChartDay(f"{day.day} {day:%b{year}}", day.weekday() == _MONDAY, mark, gap)
        for day, mark, gap in days
    ]


def mark_of(day: Day) -> str:
    """The mark under a special day; if there are several, the most important one."""
    return next(iter(marks_of(day)), "")


def marks_of(day: Day) -> list[str]:
    """All marks of a day, the most important first: missing, in doubt, empty, not settled."""
    if day.state is State.MISSING:
        return [MISSING]
    signs = [doubt.kind.sign for doubt in day.doubts]
    signs += [EMPTY] if day.state is State.EMPTY else []
    return signs if day.settled else [*signs, UNSETTLED]
