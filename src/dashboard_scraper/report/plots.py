"""Charts with their tables and notes: over days, over people, over weekdays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from dashboard_scraper.model.doubts import DoubtKind
from dashboard_scraper.model.listing import many
from dashboard_scraper.report.charts import (
    BEFORE,
    EMPTY,
    GAP,
    MAY_CHANGE,
    MISSING,
    PEOPLE,
    UNSETTLED,
    BarChart,
    DayChart,
    Pick,
    Series,
    Values,
    chart_days,
    mark_of,
    marks_of,
)
from dashboard_scraper.report.figures import (
    Bar,
    Day,
    Period,
    ReportFigures,
    State,
    weekdays_of,
)
from dashboard_scraper.report.parts import Figure, Key, Table
from dashboard_scraper.report.texts import (
    ACTIVE_DAY,
    NONE,
    PERIOD_BEFORE,
    UNKNOWN,
    WEEKDAY,
    WEEKDAYS,
    Term,
    day_head,
    mean,
    number,
    short,
)

MARKS = {
    MISSING: "missing: not in the store",
    **{kind.sign: kind.meaning for kind in DoubtKind},
    EMPTY: "fetched, and nobody was active",
    UNSETTLED: MAY_CHANGE,
    GAP: UNKNOWN,
}


class Row(msgspec.Struct, frozen=True):
    """A value of each day: its term, how to get it from a day, a short label, and its style."""

    term: Term
    pick: Pick
    label: str = ""
    style: str = PEOPLE
    wide: bool = False

    @property
    def short(self) -> str:
        return self.label or self.term.title


class DayPlot(msgspec.Struct, frozen=True):
    """A chart over the days: the rows as stacked bars, or as `lines`.

    `details` are only in the table and the tooltips. A day that `is_blank` has nothing to show,
    such as a rate without completions: it has no value, but is neither unknown nor a gap.
    """

    name: str
    title: str
    rows: Sequence[Row]
    lines: bool = False
    details: Sequence[Row] = ()
    show: Callable[[float | None], str] = number
    unit: str = ""
    top: float = 0
    is_blank: Callable[[Day], bool] = lambda _: False
    full: bool = False

    def is_gap(self, day: Day) -> bool:
        """Whether the day cannot be drawn: a stack of bars needs all values, lines need at least
        one.
        """
        if day.state is State.MISSING:
            return True
        unknown = [row.pick(day) is None for row in self.rows]
        return not self.is_blank(day) and (all(unknown) if self.lines else any(unknown))

    def text(self, day: Day, value: float | None) -> str:
        """One of the day's values as text."""
        return NONE if self.is_blank(day) else self.show(value)

    def texts(self, day: Day) -> list[tuple[Row, str]]:
        """The day's values as text, blank for a missing day."""
        show = partial(self.text, day)
        shown = [(row, show) for row in self.rows] + [(row, number) for row in self.details]
        missing = day.state is State.MISSING
        return [(row, "" if missing else show(row.pick(day))) for row, show in shown]


def day_figure(
    figures: ReportFigures, plot: DayPlot, keys: Sequence[Key] = (), notes: Sequence[str] = ()
) -> Figure:
    """The chart of the period, with the period before as muted lines."""
    now, before = figures.now, figures.before
    earlier = _lines_before(before, plot)
    series = [
        Series(row.short, [row.pick(day) for day in now.days], row.style, row.wide)
        for row in plot.rows
    ]
    chart = DayChart(
        chart_days([(day.day, mark_of(day), plot.is_gap(day)) for day in now.days]),
        [_tip(plot, day, i, before, earlier) for i, day in enumerate(now.days)],
        bars=() if plot.lines else series,
        lines=series if plot.lines else (),
        before=earlier,
        unit=plot.unit,
        top=plot.top,
    )
    if earlier:
        keys = [*keys, Key(BEFORE, None, PERIOD_BEFORE)]
    marks = {mark for day in now.days for mark in marks_of(day)}
    if any(plot.is_gap(day) for day in now.stored):
        marks.add(GAP)
    headers: list[str | Term] = [
        "Day",
        *(row.term for row in (*plot.rows, *plot.details)),
        "Remark",
    ]
    rows = [
        [f"{day.day}", *(text for _, text in plot.texts(day)), _remark(day)] for day in now.days
    ]
    meanings = [(mark, meaning) for mark, meaning in MARKS.items() if mark in marks]
    table = Table(headers, rows)
    return Figure(plot.name, plot.title, chart, table, keys, meanings, notes, plot.full)


def _remark(day: Day) -> str:
    return "; ".join(MARKS[mark] for mark in marks_of(day))


def _lines_before(before: Period, plot: DayPlot) -> list[Series]:
    """The period before, day by day: a line for each line, or a single one for a stack of bars."""

    def total(day: Day) -> float | None:
        values = [row.pick(day) for row in plot.rows]
        return None if None in values else sum(value for value in values if value is not None)

    picks = [(row.short, row.pick) for row in plot.rows] if plot.lines else [(PERIOD_BEFORE, total)]
    found = [Series(name, [pick(day) for day in before.days], BEFORE) for name, pick in picks]
    return [series for series in found if any(value is not None for value in series.values)]


def _tip(plot: DayPlot, day: Day, place: int, before: Period, earlier: Sequence[Series]) -> str:
    lines = [day_head(day)]
    if day.state is not State.MISSING:
        lines += [f"{row.short}: {text}" for row, text in plot.texts(day)]
    if earlier:
        text = partial(plot.text, before.days[place])
        values = [(text(series.values[place]), series.label) for series in earlier]
        several = plot.lines and len(plot.rows) > 1
        texts = [f"{text} in {label}" if several else text for text, label in values]
        lines.append(f"{PERIOD_BEFORE}: {', '.join(texts)}")
    return "\n".join(lines)


def people_figure(
    name: str,
    term: Term,
    now: Sequence[Bar],
    before: Sequence[Bar],
    notes: Sequence[str],
    *,
    full: bool = False,
) -> Figure:
    """A chart of people per bar; `before` has the same bars, or is empty."""
    earlier = [bar.people for bar in before]
    texts = [number(bar.people) for bar in now]
    rows = [[bar.label, text] for bar, text in zip(now, texts, strict=True)]
    headers: list[str | Term] = [term, "People"]
    tips = [f"{bar.label}: {many(bar.people, 'person', 'people')}" for bar in now]
    keys = []
    if before:
        headers.append(PERIOD_BEFORE.capitalize())
        rows = [[*row, number(count)] for row, count in zip(rows, earlier, strict=True)]
        tips = [
            f"{tip}\n{PERIOD_BEFORE}: {number(count)}"
            for tip, count in zip(tips, earlier, strict=True)
        ]
        keys = [Key(PEOPLE, term, "people"), Key(BEFORE, None, PERIOD_BEFORE)]
    labels = list(map(_label, now))
    chart = BarChart(labels, [bar.people for bar in now], texts, tips, earlier)
    title = f"People by {term.title.lower()}"
    return Figure(name, title, chart, Table(headers, rows), keys, notes=notes, full=full)


def _label(bar: Bar) -> str:
    """The bar's label, with short numbers if it is wide; table and tooltips have exact numbers."""
    if bar.end is None or len(bar.label) <= len("300\u2013999"):
        return bar.label
    return f"{short(bar.start)}\u2013{short(bar.end + 1)}"


def weekday_figure(figures: ReportFigures, notes: Sequence[str]) -> Figure:
    """A chart of the average number of active people on each weekday."""
    now, before = weekdays_of(figures.now), weekdays_of(figures.before)
    earlier: Values = [each.mean for each in before]
    has_before = any(average is not None for average in earlier)
    rows = [
        [
            WEEKDAYS[each.weekday],
            mean(each.mean),
            number(each.days),
            *([mean(average)] if has_before else []),
        ]
        for each, average in zip(now, earlier, strict=True)
    ]
    tips = [
        f"{name}: {text} daily active people on the average of {many(int(days), 'day')}"
        + (f"\n{PERIOD_BEFORE}: {average[0]}" if average else "")
        for name, text, days, *average in rows
    ]
    texts = [mean(each.mean) for each in now]
    chart = BarChart(
        WEEKDAYS, [each.mean for each in now], texts, tips, earlier if has_before else ()
    )
    keys = [Key(PEOPLE, WEEKDAY, "average of the period's days")]
    headers: list[str | Term] = ["Weekday", ACTIVE_DAY, "Days"]
    if has_before:
        keys.append(Key(BEFORE, None, PERIOD_BEFORE))
        headers.append(PERIOD_BEFORE.capitalize())
    return Figure("weekday", WEEKDAY.title, chart, Table(headers, rows), keys, notes=notes)


def whole_notes(period: Period) -> list[str]:
    """Notes for a chart without a time axis: on days left out, and on special days that it
    includes.
    """
    notes = []
    if period.missing:
        notes.append(f"{MISSING} {many(period.missing, 'missing day')} left out")
    notes += doubt_notes(period)
    empty = sum(day.state is State.EMPTY for day in period.stored)
    if empty:
        notes.append(f"{EMPTY} With {many(empty, 'day')} on which nobody was active")
    return notes


def doubt_notes(period: Period) -> list[str]:
    """Notes on the days in doubt that a figure includes, one for each kind of doubt."""
    doubtful = {kind: sum(bool(day.doubts_of(kind)) for day in period.stored) for kind in DoubtKind}
    return [
        f"{kind.sign} With {many(days, 'day')} on which {kind.meaning}"
        for kind, days in doubtful.items()
        if days
    ]
