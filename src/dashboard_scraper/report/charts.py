"""What is drawn of the figures, as the page's script hands it to the charting library.

The library is Observable Plot, which stands in the page: see `templates/vendor/README.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dashboard_scraper.model.metrics import BY_NAME, Metric
from dashboard_scraper.report.figures import Day, State

Values = Sequence[float | None]
Pick = Callable[[Day], float | None]

MISSING, EMPTY, GAP = "\u00d7", "\u25cb", "\u25a8"
"""What stands under a day that is not as others, but for one in doubt, which has a sign of its
doubt; GAP is the hatched place of what is not known.
"""

PEOPLE, MONTH, BEFORE = "people", "month", "before"
"""Colours of the style sheet that are no kind's: of everybody, of 28 days, of the period before."""

_WHOLES = ("_messages", "_lines_of_code")
_MONDAY = 0


def style_of(kind: Metric) -> str:
    """The colour of a kind, on the whole page: its messages have that of its lines."""
    stem = kind.name
    for whole in _WHOLES:
        stem = stem.removesuffix(whole)
    return f"kind-{stem.replace('_', '-')}"


COMPLETIONS = style_of(BY_NAME["completions_lines_of_code"])
"""Of what is told of completions."""


@dataclass(frozen=True, slots=True)
class Series:
    """One value a day, None where it is unknown; `style` is a colour of the style sheet. A `wide`
    line lies under the others, and is seen beside one that has the same values.
    """

    label: str
    values: Values
    style: str
    wide: bool = False


@dataclass(frozen=True, slots=True)
class ChartDay:
    """A place on the axis; `gap` where nothing is known of the day."""

    label: str
    monday: bool
    mark: str
    gap: bool


@dataclass(frozen=True, slots=True)
class DayChart:
    """What is drawn over the days of a period.

    `bars` stand on each other, `lines` have their labels at their ends; `before` are the quiet
    lines of the period before. `tips` tell each day in words. The scale reaches `top` at least.
    """

    days: Sequence[ChartDay]
    tips: Sequence[str]
    bars: Sequence[Series]
    lines: Sequence[Series]
    before: Sequence[Series]
    unit: str
    top: float


@dataclass(frozen=True, slots=True)
class BarChart:
    """Bars over each other's names, with their values in words; `before` are marks of the period
    before.
    """

    labels: Sequence[str]
    values: Values
    texts: Sequence[str]
    tips: Sequence[str]
    before: Values = ()


def chart_day(day: Day, *, gap: bool) -> ChartDay:
    """As `3 Nov`."""
    return ChartDay(f"{day.day.day} {day.day:%b}", day.day.weekday() == _MONDAY, mark_of(day), gap)


def mark_of(day: Day) -> str:
    """What stands under a day that is not as others; of several doubts, the sign of the worst."""
    return next(iter(marks_of(day)), "")


def marks_of(day: Day) -> list[str]:
    """All that is to be known of a day: missing, in doubt, empty."""
    if day.state is State.MISSING:
        return [MISSING]
    signs = [doubt.kind.sign for doubt in day.doubts]
    return [*signs, EMPTY] if day.state is State.EMPTY else signs
