"""The layout of the page: which numbers, charts and tables are in which section."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard_scraper.model.dates import DAYS
from dashboard_scraper.model.doubts import Doubt, DoubtKind
from dashboard_scraper.model.figures import accept_rate
from dashboard_scraper.model.metrics import (
    ACCEPTED,
    LINES,
    MESSAGES,
    SHOWN,
    TOOL_CALLS,
    Metric,
)
from dashboard_scraper.report.charts import COMPLETIONS, MONTH, PEOPLE, Pick, mark_of, style_of
from dashboard_scraper.report.cost_page import cost_section
from dashboard_scraper.report.figures import (
    LINE_KINDS,
    MESSAGE_KINDS,
    WEEK,
    Day,
    Group,
    Period,
    ReportFigures,
    State,
    by_active_days,
    by_messages,
    change_of,
    median_messages,
    movement_of,
    top_share,
    used_bars,
)
from dashboard_scraper.report.parts import Figure, Key, Number, Section, Table
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
    day_head,
    days_text,
    doubt_text,
    listed,
    many,
    mean,
    number,
    points,
    rate,
    rate_cell,
    share,
    signed,
    term_of,
    weekday_text,
)

_LONGEST_LIST = 10


def sections_of(figures: ReportFigures, *, with_users: bool) -> list[Section]:
    """The sections between the four numbers at the top and the table of users, in order."""
    found = [_people(figures), _messages(figures), _code(figures), _spread(figures)]
    if figures.costs is not None:
        found.append(cost_section(figures.costs, figures.now, with_users=with_users))
    found.append(_places(figures))
    if figures.teams is not None:
        found.append(_teams(figures, figures.teams))
    return found


def tiles_of(figures: ReportFigures) -> list[Number]:
    """The four numbers at the top."""
    now = figures.now
    sums = ((MESSAGES, MESSAGE_KINDS), (LINES, (LINES,)), (ACCEPTED, (ACCEPTED,)))
    numbers = [_sum_number(figures, each, parts, _each(now, parts)) for each, parts in sums]
    return [_active(figures), *numbers]


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


def completeness_of(figures: ReportFigures) -> list[str]:
    """Sentences on the completeness of the data, naming the days that are not complete."""
    now, before = figures.now, figures.before
    empty = [day.day for day in now.days if day.state is State.EMPTY]
    missing = [day.day for day in now.days if day.state is State.MISSING]
    texts = [_in_store(now)]
    if missing:
        texts.append(f"Missing, and shown as gaps: {days_text(missing)}")
    if empty:
        texts.append(f"Fetched, and nobody was active: {days_text(empty)}")
    for kind, title in _DOUBTS.items():
        doubts = [f"{day.day}: {_reason(d)}" for day in now.days for d in day.doubts_of(kind)]
        if doubts:
            texts.append(f"{title}: {listed(doubts, _LONGEST_LIST)}")
    lost = [day.day for day in now.days if day.forgotten]
    if lost:
        texts.append(f"A user was removed since, and is not counted: {days_text(lost)}")
    if not before.stored:
        texts.append("No day of the period before is in the store, so nothing is compared with it")
    elif before.missing:
        days = f"{before.missing} of {many(len(before.days), 'day')}"
        texts.append(f"Missing of the period before: {days}, so no sum is compared with its")
    if in_doubt := [day.day for day in before.days if day.doubts]:
        texts.append(f"In doubt of the period before: {days_text(in_doubt)}")
    return texts


_DOUBTS = {
    DoubtKind.UNRECONCILED: "Not what the source's own totals say",
    DoubtKind.SUSPICIOUS: "Suspicious",
    DoubtKind.HELD: "Newer figures of the source are held, and not in force",
}


def _reason(doubt: Doubt) -> str:
    """The doubt's reason, in a sentence that already names its kind."""
    return doubt_text(doubt) if doubt.differences else doubt.words


def _in_store(period: Period) -> str:
    stored, days = len(period.stored), len(period.days)
    if days == 1:
        return "The day is in the store" if stored else "The day is not in the store"
    if stored == days:
        return f"All {many(days, 'day')} are in the store"
    return f"{stored} of {many(days, 'day')} {'is' if stored == 1 else 'are'} in the store"


def strip_of(period: Period) -> list[tuple[str, str, str]]:
    """For each day: its style, its mark, and its description."""
    return [
        ("doubtful" if day.doubts else day.state.value, mark_of(day), day_head(day))
        for day in period.days
    ]


def _people(figures: ReportFigures) -> Section:
    last, earlier = figures.now.days[-1], figures.before.days[-1]
    rows = (
        Row(ACTIVE_DAY, lambda day: day.active),
        Row(ACTIVE_WEEK, lambda day: day.week, f"{WEEK} days"),
        Row(ACTIVE_MONTH, lambda day: day.month, f"{DAYS} days", MONTH, wide=True),
    )
    last_day = weekday_text(last.day)
    # Over 28 days, the monthly active people are those of the first tile: do not repeat them.
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


def _stack(
    figures: ReportFigures, name: str, title: str, kinds: Sequence[Metric], whole: Sequence[Metric]
) -> Figure:
    """Stacked bars of each kind that the source reports; the legend has their sums."""
    now, before = figures.now, figures.before
    reported = [metric for metric in kinds if now.reports(metric)]
    total = now.sum_of(reported)
    comparable = not now.missing and not before.missing
    keys = []
    for metric in reported:
        own, earlier = now.sum_of((metric,)), before.sum_of((metric,))
        change = signed(change_of(own, earlier)) if comparable else ""
        of_all = share(own, total)
        keys.append(
            Key(style_of(metric), term_of(metric), metric.title, number(own), of_all, change)
        )
    lacking = ", ".join(metric.title for metric in kinds if metric not in reported)
    notes = [f"This source does not tell {lacking}."] if lacking else []
    of_whole = now.sum_of(whole)
    if total is not None and of_whole is not None and total != of_whole:
        notes.append(
            f"The kinds add up to {number(total)}; the source's own total is {number(of_whole)}."
        )
    rows = [Row(term_of(metric), _pick(metric), style=style_of(metric)) for metric in reported]
    return day_figure(figures, DayPlot(name, title, rows, full=True), keys, notes)


def _messages(figures: ReportFigures) -> Section:
    now = figures.now
    top, messages, warning = top_share(now), now.sum_of(MESSAGE_KINDS), _warning(now)
    median = mean(median_messages(now)) if now.people else NONE
    most = share(top, 100) if top is not None else UNKNOWN if messages is None else NONE
    numbers = [
        _sum_number(figures, TOOL_CALLS, (TOOL_CALLS,)),
        Number(MEDIAN, median, "per active person", warning=warning),
        Number(TOP_SHARE, most, "of all messages", warning=warning),
    ]
    chart = _stack(figures, "messages", "Messages by kind", MESSAGE_KINDS, MESSAGE_KINDS)
    return Section("work", "What they do", numbers, [chart])


def _code(figures: ReportFigures) -> Section:
    now, before = figures.now, figures.before
    own, earlier = (accept_rate(p.sum_of((SHOWN,)), p.sum_of((ACCEPTED,))) for p in (now, before))
    accepted_row = Row(term_of(ACCEPTED), _pick(ACCEPTED), style=COMPLETIONS)
    accepted = day_figure(
        figures,
        DayPlot("accepted", ACCEPTED.title, [accepted_row]),
        [Key(COMPLETIONS, term_of(ACCEPTED), "accepted on the day")],
    )
    rates_plot = DayPlot(
        "rate",
        RATE_TERM.title,
        [Row(RATE_TERM, _rate_on, "rate", COMPLETIONS)],
        lines=True,
        details=[Row(term_of(SHOWN), _pick(SHOWN)), accepted_row],
        show=lambda value: NONE if value is None else rate(value),
        unit="%",
        top=100,
        may_be_blank=True,
    )
    of_shown = [Key(COMPLETIONS, RATE_TERM, "of the completions shown on the day")]
    shown = now.sum_of((SHOWN,))
    numbers = [
        _sum_number(figures, SHOWN, (SHOWN,)),
        Number(
            RATE_TERM,
            NONE if shown == 0 else rate(own),
            "of the completions shown",
            points(own, earlier, (now, before)),
            _warning(now),
        ),
    ]
    lines = _stack(figures, "lines", "Lines of code by kind", LINE_KINDS, (LINES,))
    drawn = [lines, accepted, day_figure(figures, rates_plot, of_shown)]
    return Section("code", "How much code", numbers, drawn)


def _rate_on(day: Day) -> float | None:
    return accept_rate(day.sum_of((SHOWN,)), day.sum_of((ACCEPTED,)))


def _spread(figures: ReportFigures) -> Section:
    now, before = figures.now, figures.before
    movement = movement_of(now, before)
    if movement:
        moved = (
            (NEW, movement.new, "not in the period before"),
            (STAYED, movement.stayed, "in both periods"),
            (LAPSED, movement.lapsed, "in the period before alone"),
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
    bars, unknown = by_messages(now)
    bars_before, unknown_before = by_messages(before)
    used = used_bars(bars, bars_before)
    left_out = many(unknown, "person", "people")
    messages = people_figure(
        "spread-messages",
        term_of(MESSAGES),
        bars[:used],
        bars_before[:used] if compared and not unknown_before else (),
        [*([f"{left_out} left out: a figure is unknown"] if unknown else []), *notes],
    )
    drawn = [days, messages, weekday_figure(figures, notes)]
    return Section("spread", "How use is spread", numbers, drawn)


def _why_uncompared(now: Period, before: Period) -> str:
    """Which of the two periods has missing days."""
    if not before.stored:
        return "the period before is not in the store"
    lacking = [
        name for period, name in ((now, "period"), (before, "period before")) if period.missing
    ]
    return f"days of the {' and of the '.join(lacking)} are missing"


def _places(figures: ReportFigures) -> Section:
    title = "Editors and languages"
    stored = len(figures.now.stored)
    if not figures.editor_days:
        return Section(
            "places", title, notes=["Not known: the store has no such figures of these days."]
        )
    notes = []
    if figures.editor_days < len(figures.now.days):
        notes.append(
            f"Of {figures.editor_days} of {many(stored, 'day')}; the others have no such figures,"
            " or ones that are not those of their users."
        )
    notes += whole_notes(figures.now)
    tables = [
        ("Editors", _group_table("Editor", figures.editors)),
        ("Languages", _group_table("Language", figures.languages)),
    ]
    return Section("places", title, tables=tables, notes=notes)


def _group_table(head: str, groups: Sequence[Group]) -> Table:
    rows = [
        [group.name, number(group.lines), number(group.messages), number(group.active)]
        for group in groups
    ]
    headers: list[str | Term] = [head, term_of(LINES), term_of(MESSAGES), ACTIVE]
    return Table(headers, rows, _share_bars(groups))


def _share_bars(groups: Sequence[Group]) -> list[float]:
    most = max((group.lines or 0 for group in groups), default=0)
    return [(group.lines or 0) / most if most else 0 for group in groups]


def _teams(figures: ReportFigures, groups: Sequence[Group]) -> Section:
    rows = [
        [
            group.name or "no team",
            number(group.lines),
            number(group.messages),
            f"{number(group.active)} of {number(group.people)}",
            rate_cell(group.shown, group.accepted),
        ]
        for group in groups
    ]
    headers: list[str | Term] = ["Team", term_of(LINES), term_of(MESSAGES), ACTIVE, RATE_TERM]
    table = Table(headers, rows, _share_bars(groups))
    several = sum(group.people or 0 for group in groups) > figures.known
    notes = ["A person of several teams counts in each of them."] if several else []
    notes += whole_notes(figures.now)
    return Section("teams", "Teams", tables=[("Use by team", table)], notes=notes)
