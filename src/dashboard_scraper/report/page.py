"""The layout of the page: which numbers, charts and tables are in which section."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard_scraper.model.dates import DAYS
from dashboard_scraper.model.figures import accept_rate
from dashboard_scraper.model.listing import many
from dashboard_scraper.model.metrics import (
    ACCEPTED,
    COUNTS,
    LINES,
    MESSAGES,
    SHOWN,
    Metric,
    Unit,
    parts_of,
)
from dashboard_scraper.report.charts import COMPLETIONS, MONTH, OTHER, PEOPLE, Pick, style_of
from dashboard_scraper.report.cost_figures import MixedCurrencies
from dashboard_scraper.report.cost_page import COSTS_TITLE, cost_section
from dashboard_scraper.report.figures import (
    MESSAGE_KINDS,
    SESSIONS,
    USE,
    WEEK,
    Day,
    Period,
    ReportFigures,
    by_active_days,
    by_messages,
    change_of,
    median_messages,
    movement_of,
    top_share,
    used_bars,
)
from dashboard_scraper.report.group_tables import places_section, teams_section
from dashboard_scraper.report.parts import Figure, Key, Number, Section
from dashboard_scraper.report.plots import (
    DayPlot,
    Row,
    day_figure,
    people_figure,
    weekday_figure,
    whole_notes,
)
from dashboard_scraper.report.texts import (
    ACTIVE,
    ACTIVE_DAY,
    ACTIVE_DAYS,
    ACTIVE_MONTH,
    ACTIVE_WEEK,
    IDLE,
    KNOWN,
    LAPSED,
    MEDIAN,
    NEW,
    NONE,
    RATE_TERM,
    STAYED,
    TOP_SHARE,
    UNKNOWN,
    Term,
    against,
    days_text,
    mean,
    number,
    points,
    rate,
    share,
    signed,
    term_of,
    weekday_text,
)

_EDITS = tuple(metric for metric in COUNTS if metric.unit is Unit.EDITS)
_TILES = (USE, (LINES,), (ACCEPTED, *_EDITS))
"""The metrics for each number at the top, after the number of people: the first that the source
knows is shown.
"""
_WORK_UNITS = (Unit.TOOL_CALLS, Unit.SESSIONS, Unit.COMMITS, Unit.PULL_REQUESTS)
_WORK = tuple(metric for metric in COUNTS if metric.unit in _WORK_UNITS)
_CODE = (
    SHOWN,
    *(
        metric
        for metric in COUNTS
        if metric.unit in (Unit.LINES, Unit.OUTPUTS, Unit.EDITS)
        and not (metric.detailed or metric.whole or metric.part_of)
    ),
)
"""The metrics with numbers in the sections on work and on code, if the source knows them."""


def sections_of(figures: ReportFigures, *, with_users: bool) -> list[Section]:
    """The sections between the four numbers at the top and the table of users, in order."""
    found = [_people(figures), _messages(figures), _code(figures), _spread(figures)]
    if isinstance(figures.costs, MixedCurrencies):
        found.append(Section("costs", COSTS_TITLE, notes=[f"{figures.costs}"]))
    elif figures.costs is not None:
        found.append(cost_section(figures.costs, figures.now, with_users=with_users))
    found.append(places_section(figures))
    if figures.teams is not None:
        found.append(teams_section(figures, figures.teams))
    return found


def tiles_of(figures: ReportFigures) -> list[Number]:
    """The numbers at the top: people, and one number each for use, code and acceptance."""
    now, measures = figures.now, figures.measures
    found = [_active(figures)]
    for choice in _TILES:
        if metric := measures.first(*choice):
            parts = measures.parts(metric)
            found.append(_sum_number(figures, metric, parts, _each(now, parts)))
    return found


def _active(figures: ReportFigures) -> Number:
    now, before = figures.now, figures.before
    text = number(len(now.people))
    return Number(
        ACTIVE,
        f"at least {text}" if now.missing else text,
        f"{share(len(now.people), figures.known) or '0%'} of the known people",
        against(len(now.people), len(before.people), (now, before)),
        _warning(now),
    )


def _sum_number(
    figures: ReportFigures, metric: Metric, parts: Sequence[Metric], detail: str = ""
) -> Number:
    now, before = figures.now.sum_of(parts), figures.before.sum_of(parts)
    change = against(now, before, (figures.now, figures.before))
    return Number(term_of(metric), number(now), detail, change, _warning(figures.now))


def _each(period: Period, parts: Sequence[Metric]) -> str:
    total = period.sum_of(parts)
    if total is None or not period.people or period.missing:
        return ""
    return f"{mean(total / len(period.people))} per active person"


def _warning(period: Period) -> str:
    days = many(len(period.days), "day")
    return f"{len(period.stored)} of {days} only" if period.missing else ""


def _people(figures: ReportFigures) -> Section:
    last, earlier = figures.now.days[-1], figures.before.days[-1]
    rows = (
        Row(ACTIVE_DAY, lambda day: day.active),
        Row(ACTIVE_WEEK, lambda day: day.week, f"{WEEK} days"),
        Row(ACTIVE_MONTH, lambda day: day.month, f"{DAYS} days", MONTH, wide=True),
    )
    last_day = weekday_text(last.day)
    # Over 28 days, the monthly active people are the number in the first tile: do not repeat it.
    numbered = rows[:2] if len(figures.now.days) == DAYS else rows
    details = (f"on {last_day}", f"{WEEK} days to {last_day}", f"{DAYS} days to {last_day}")
    numbers = [
        Number(
            row.term,
            number(row.pick(last)),
            detail,
            against(row.pick(last), row.pick(earlier), ()),
            _why_unknown(row, last),
        )
        for row, detail in zip(numbered, details, strict=False)
    ]
    numbers.append(Number(KNOWN, number(figures.known), "up to the period's end"))
    daily = day_figure(
        figures,
        DayPlot("active", ACTIVE_DAY.title, rows[:1]),
        [Key(PEOPLE, ACTIVE_DAY, "active on the day")],
    )
    title = "Weekly and monthly active people"
    distinct = day_figure(
        figures,
        DayPlot("distinct", title, rows[1:], lines=True),
        [
            Key(PEOPLE, ACTIVE_WEEK, f"in the {WEEK} days to the day"),
            Key(MONTH, ACTIVE_MONTH, f"in the {DAYS} days to the day"),
        ],
        _rolling_notes(figures.now),
    )
    return Section("people", "How many people are active", numbers, [daily, distinct])


def _why_unknown(row: Row, last: Day) -> str:
    if row.pick(last) is not None:
        return ""
    return "the day is missing" if row.term is ACTIVE_DAY else "not all of these days are stored"


def _rolling_notes(period: Period) -> list[str]:
    unknown = [day.day for day in period.stored if day.month is None]
    if not unknown:
        return []
    days = f"{many(len(unknown), 'day')}, to {weekday_text(unknown[-1])}"
    return [
        f"{ACTIVE_MONTH.title} are unknown for {days}: not all of the {DAYS} days are in the store."
    ]


def _pick(*metrics: Metric) -> Pick:
    return lambda day: day.sum_of(metrics)


def _stack(figures: ReportFigures, name: str, title: str, metric: Metric) -> Figure:
    """Stacked bars of each kind of the metric that the source reports, or of the metric itself if
    there is none; the legend has their sums.

    The metric is the sum of its kinds, or it is the source's own total: then the rest that belongs
    to no kind has its own bar.
    """
    now, before = figures.now, figures.before
    kinds, whole = parts_of(metric), figures.measures.parts(metric)
    known = [kind for kind in kinds if kind in figures.measures.metrics]
    reported = [kind for kind in known if now.reports(kind)]
    rows = [Row(term_of(kind), _pick(kind), style=style_of(kind)) for kind in reported]
    has_total = whole == (metric,) and figures.measures.knows(metric)
    if not reported:
        title = metric.title
        rows.append(Row(term_of(metric), _pick(*whole)))
    elif has_total and len(known) < len(kinds):
        term = Term(f"other-{name}", "Other kinds", "What the source reports of no kind")
        rest = Row(term, _rest(metric, reported), style=OTHER)
        rows += [rest] if any(rest.pick(day) != 0 for day in now.stored) else []
    total = now.sum_of(whole)
    comparable = not now.missing and not before.missing
    keys = []
    for row in rows:
        own, earlier = (_added(row.pick, period) for period in (now, before))
        change = signed(change_of(own, earlier)) if comparable else ""
        keys.append(
            Key(row.style, row.term, row.term.title, number(own), share(own, total), change)
        )
    notes = []
    lacking = ", ".join(kind.title for kind in kinds if kind not in reported)
    if lacking and reported:
        notes.append(f"This source does not report {lacking}.")
    of_kinds = now.sum_of(reported) if len(rows) == len(reported) else total
    if total is not None and of_kinds is not None and total != of_kinds:
        notes.append(
            f"The kinds add up to {number(of_kinds)}; the source's own total is {number(total)}."
        )
    return day_figure(figures, DayPlot(name, title, rows, full=True), keys, notes)


def _rest(whole: Metric, kinds: Sequence[Metric]) -> Pick:
    """What is left of a day's whole after these kinds; unknown if the kinds add up to more."""

    def pick(day: Day) -> float | None:
        total, known = day.sum_of((whole,)), day.sum_of(kinds)
        return None if total is None or known is None or known > total else total - known

    return pick


def _added(pick: Pick, period: Period) -> float | None:
    """The sum of a value over the stored days; unknown if it is unknown on one of them."""
    values = [pick(day) for day in period.stored]
    return None if not values or None in values else sum(v for v in values if v is not None)


def _messages(figures: ReportFigures) -> Section:
    now, measures = figures.now, figures.measures
    parts, warning = measures.parts(MESSAGES), _warning(now)
    numbers = [
        _sum_number(figures, metric, (metric,)) for metric in _WORK if measures.knows(metric)
    ]
    drawn = []
    if measures.knows(MESSAGES):
        top, messages = top_share(now, parts), now.sum_of(parts)
        median = mean(median_messages(now, parts)) if now.people else NONE
        most = share(top, 100) if top is not None else UNKNOWN if messages is None else NONE
        numbers += [
            Number(MEDIAN, median, "per active person", warning=warning),
            Number(TOP_SHARE, most, "of all messages", warning=warning),
        ]
    if any(kind in measures.metrics for kind in (*MESSAGE_KINDS, MESSAGES)):
        drawn.append(_stack(figures, "messages", "Messages by kind", MESSAGES))
    if measures.knows(SESSIONS):
        plot = DayPlot(
            "sessions", SESSIONS.title, [Row(term_of(SESSIONS), _pick(SESSIONS))], full=True
        )
        drawn.append(day_figure(figures, plot, [Key(PEOPLE, term_of(SESSIONS), "on the day")]))
    return Section("work", "What they do", numbers, drawn)


def _code(figures: ReportFigures) -> Section:
    measures = figures.measures
    drawn = []
    if measures.knows(LINES):
        drawn.append(_stack(figures, "lines", "Lines of code by kind", LINES))
    if measures.knows(ACCEPTED):
        accepted = DayPlot("accepted", ACCEPTED.title, [_ACCEPTED_ROW])
        key = Key(COMPLETIONS, term_of(ACCEPTED), "accepted on the day")
        drawn.append(day_figure(figures, accepted, [key]))
    numbers = [
        _sum_number(figures, metric, (metric,)) for metric in _CODE if measures.knows(metric)
    ]
    if measures.has_rate:
        drawn.append(_rate_figure(figures))
        numbers.append(_rate_number(figures))
    return Section("code", "How much code", numbers, drawn)


def _rate_figure(figures: ReportFigures) -> Figure:
    plot = DayPlot(
        "rate",
        RATE_TERM.title,
        [Row(RATE_TERM, _rate_on, "rate", COMPLETIONS)],
        lines=True,
        details=[Row(term_of(SHOWN), _pick(SHOWN)), _ACCEPTED_ROW],
        show=rate,
        unit="%",
        top=100,
        is_blank=lambda day: day.sum_of((SHOWN,)) == 0,
    )
    keys = [Key(COMPLETIONS, RATE_TERM, "of the completions shown on the day")]
    return day_figure(figures, plot, keys, _more_accepted(figures.now))


def _more_accepted(period: Period) -> list[str]:
    """A note on days on which more completions were accepted than shown."""
    beyond = []
    for day in period.stored:
        shown, accepted = (day.sum_of((metric,)) for metric in (SHOWN, ACCEPTED))
        if shown is not None and accepted is not None and accepted > shown:
            beyond.append(day.day)
    words = "What is shown before midnight may be accepted after it."
    return [f"More accepted than shown: {days_text(beyond)}. {words}"] if beyond else []


def _rate_number(figures: ReportFigures) -> Number:
    now, before = figures.now, figures.before
    own, earlier = (accept_rate(p.sum_of((SHOWN,)), p.sum_of((ACCEPTED,))) for p in (now, before))
    return Number(
        RATE_TERM,
        NONE if now.sum_of((SHOWN,)) == 0 else rate(own),
        "of the completions shown",
        points(own, earlier, (now, before)),
        _warning(now),
    )


_ACCEPTED_ROW = Row(term_of(ACCEPTED), _pick(ACCEPTED), style=COMPLETIONS)


def _rate_on(day: Day) -> float | None:
    return accept_rate(day.sum_of((SHOWN,)), day.sum_of((ACCEPTED,)))


def _spread(figures: ReportFigures) -> Section:
    now, before = figures.now, figures.before
    movement = movement_of(now, before)
    if movement:
        moved = (
            (NEW, movement.new, "not in the period before"),
            (STAYED, movement.stayed, "in both periods"),
            (LAPSED, movement.lapsed, "only in the period before"),
        )
        numbers = [Number(term, number(len(names)), detail) for term, names, detail in moved]
    else:
        why = _why_uncompared(now, before)
        numbers = [Number(term, UNKNOWN, warning=why) for term in (NEW, STAYED, LAPSED)]
    if figures.idle is None:
        numbers.append(Number(IDLE, UNKNOWN, warning="days of the period are missing"))
    else:
        numbers.append(Number(IDLE, number(len(figures.idle)), "known, without activity"))
    notes = whole_notes(now)
    compared = movement is not None
    days = people_figure(
        "spread-days",
        ACTIVE_DAYS,
        by_active_days(now),
        by_active_days(before) if compared else (),
        notes,
        full=True,
    )
    drawn = [days, weekday_figure(figures, notes)]
    if figures.measures.knows(MESSAGES):
        drawn.insert(1, _by_messages(figures, notes, compared=compared))
    return Section("spread", "How use is spread", numbers, drawn)


def _by_messages(figures: ReportFigures, notes: Sequence[str], *, compared: bool) -> Figure:
    parts = figures.measures.parts(MESSAGES)
    bars, unknown = by_messages(figures.now, parts)
    bars_before, unknown_before = by_messages(figures.before, parts)
    used = used_bars(bars, bars_before)
    left_out = many(unknown, "person", "people")
    return people_figure(
        "spread-messages",
        term_of(MESSAGES),
        bars[:used],
        bars_before[:used] if compared and not unknown_before else (),
        [*([f"{left_out} left out: a figure is unknown"] if unknown else []), *notes],
    )


def _why_uncompared(now: Period, before: Period) -> str:
    """Which of the two periods has missing days."""
    if not before.stored:
        return "the period before is not in the store"
    lacking = [
        name for period, name in ((now, "period"), (before, "period before")) if period.missing
    ]
    return f"days of the {' and of the '.join(lacking)} are missing"
