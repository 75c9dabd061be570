"""The page from top to bottom: which numbers, charts and tables stand under which heading."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard_scraper.date_utils import DAYS
from dashboard_scraper.metrics import ACCEPTED, SHOWN, Metric, accept_rate
from dashboard_scraper.report.charts import Pick, mark_of
from dashboard_scraper.report.figures import (
    LINE_KINDS,
    LINES,
    MESSAGE_KINDS,
    MESSAGES,
    TOOL_CALLS,
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
    ACTIVE_DAYS,
    ACTIVE_MONTH,
    ACTIVE_WEEK,
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
    differences_text,
    listed,
    many,
    number,
    rate,
    rate_cell,
    share,
    signed,
    term_of,
    weekday_text,
)

_LONGEST_LIST = 10


def sections_of(figures: ReportFigures) -> list[Section]:
    """From top to bottom, after the four numbers and before the users."""
    found = [_people(figures), _messages(figures), _code(figures), _spread(figures)]
    found.append(_places(figures))
    if figures.teams is not None:
        found.append(_teams(figures, figures.teams))
    return found


def tiles_of(figures: ReportFigures) -> list[Number]:
    """The four numbers at the top."""
    now, before = figures.now, figures.before
    shown, accepted = now.sum_of((SHOWN,)), now.sum_of((ACCEPTED,))
    return [
        _active(figures),
        _sum_number(figures, MESSAGES, MESSAGE_KINDS, _each(now, MESSAGE_KINDS)),
        _sum_number(figures, LINES, (LINES,), _each(now, (LINES,))),
        Number(
            term_of(ACCEPTED),
            number(accepted),
            (
                f"{rate(accept_rate(shown, accepted))} of {number(shown)} shown"
                if shown
                else "none shown"
            ),
            against(accepted, before.sum_of((ACCEPTED,)), (now, before)),
            _warning(now),
        ),
    ]


def _active(figures: ReportFigures) -> Number:
    now, before = figures.now, figures.before
    text = number(len(now.people))
    return Number(
        ACTIVE,
        f"at least {text}" if now.missing else text,
        f"{_of_known(figures)} of {number(figures.known)} known",
        against(len(now.people), len(before.people), (now, before)),
        _warning(now),
    )


def _of_known(figures: ReportFigures) -> str:
    return share(len(figures.now.people), figures.known) or "0%"


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
    return f"{number(round(total / len(period.people), 1))} per active person"


def _warning(period: Period) -> str:
    days = many(len(period.days), "day")
    return f"{len(period.kept)} of {days} only" if period.missing else ""


def completeness_of(figures: ReportFigures) -> list[str]:
    """What is whole, and by name what is not."""
    now, before = figures.now, figures.before
    empty = [day.day for day in now.days if day.state is State.EMPTY]
    missing = [day.day for day in now.days if day.state is State.MISSING]
    texts = [f"{len(now.kept)} of {many(len(now.days), 'day')} are in the store"]
    if missing:
        texts.append(f"Missing, and shown as gaps: {days_text(missing)}")
    if empty:
        texts.append(f"Fetched, and nobody was active: {days_text(empty)}")
    different = [f"{day.day}: {differences_text(day)}" for day in now.days if day.differences]
    if different:
        texts.append(f"Not what the source's own totals say: {listed(different, _LONGEST_LIST)}")
    lost = [day.day for day in now.days if day.forgotten]
    if lost:
        texts.append(f"A user was removed since, and is not counted: {days_text(lost)}")
    if not before.kept:
        texts.append("No day of the period before is in the store, so nothing is compared with it")
    elif before.missing:
        days = f"{before.missing} of {many(len(before.days), 'day')}"
        texts.append(f"Missing of the period before: {days}, so no sum is compared with its")
    return texts


def strip_of(period: Period) -> list[tuple[str, str, str]]:
    """Each day's style, mark and words."""
    return [
        ("differs" if day.differences else day.state.value, mark_of(day), day_head(day))
        for day in period.days
    ]


def _people(figures: ReportFigures) -> Section:
    last, earlier = figures.now.days[-1], figures.before.days[-1]
    rows = (
        Row(ACTIVE, lambda day: day.active),
        Row(ACTIVE_WEEK, lambda day: day.week, f"{WEEK} days"),
        Row(ACTIVE_MONTH, lambda day: day.month, f"{DAYS} days"),
    )
    numbers = [
        Number(
            row.term,
            number(row.pick(last)),
            f"{'on' if row is rows[0] else 'to'} {weekday_text(last.day)}",
            against(row.pick(last), row.pick(earlier), ()),
            "not all of these days are in the store" if row.pick(last) is None else "",
        )
        for row in rows
    ]
    of_known = f"{_of_known(figures)} of them were active in the period"
    numbers.append(Number(KNOWN, number(figures.known), of_known))
    daily = day_figure(
        figures,
        DayPlot("active", "Active people, day by day", rows[:1]),
        [Key("c1", ACTIVE, "active on the day")],
    )
    title = f"Distinct people in {WEEK} and in {DAYS} days"
    distinct = day_figure(
        figures,
        DayPlot("distinct", title, rows[1:], lines=True),
        [
            Key("c1", ACTIVE_WEEK, f"{WEEK} days to the day"),
            Key("c2", ACTIVE_MONTH, f"{DAYS} days to the day"),
        ],
        _rolling_notes(figures.now),
    )
    return Section("people", "How many people are active", numbers, [daily, distinct])


def _rolling_notes(period: Period) -> list[str]:
    unknown = sum(day.month is None for day in period.kept)
    if not unknown:
        return []
    days = many(unknown, "day")
    return [f"The {DAYS} days are unknown for {days}: not all days before are in the store"]


def _pick(*metrics: Metric) -> Pick:
    return lambda day: day.sum_of(metrics)


def _stack(
    figures: ReportFigures, name: str, title: str, kinds: Sequence[Metric], whole: Sequence[Metric]
) -> Figure:
    """Bars of each kind that the source tells; the legend has their sums."""
    now, before = figures.now, figures.before
    told = [metric for metric in kinds if now.tells(metric)]
    total = now.sum_of(told)
    comparable = not now.missing and not before.missing
    keys = []
    for place, metric in enumerate(told, start=1):
        own, earlier = now.sum_of((metric,)), before.sum_of((metric,))
        change = signed(change_of(own, earlier)) if comparable else ""
        of_all = share(own, total)
        keys.append(Key(f"c{place}", term_of(metric), metric.title, number(own), of_all, change))
    notes = [f"{metric.title}: not told by this source" for metric in kinds if metric not in told]
    of_whole = now.sum_of(whole)
    if total is not None and of_whole is not None and total != of_whole:
        notes.append(
            f"The kinds add up to {number(total)}; the source's own total is {number(of_whole)}"
        )
    rows = [Row(term_of(metric), _pick(metric)) for metric in told]
    return day_figure(figures, DayPlot(name, title, rows, full=True), keys, notes)


def _messages(figures: ReportFigures) -> Section:
    now = figures.now
    top, messages, warning = top_share(now), now.sum_of(MESSAGE_KINDS), _warning(now)
    median = number(median_messages(now)) if now.people else NONE
    most = f"{top:.0f}%" if top is not None else UNKNOWN if messages is None else NONE
    numbers = [
        _sum_number(figures, TOOL_CALLS, (TOOL_CALLS,)),
        Number(MEDIAN, median, "per active person", warning=warning),
        Number(TOP_SHARE, most, f"of {number(messages)} messages", warning=warning),
    ]
    chart = _stack(figures, "messages", "Messages by kind", MESSAGE_KINDS, MESSAGE_KINDS)
    return Section("work", "What they do", numbers, [chart])


def _code(figures: ReportFigures) -> Section:
    now, before = figures.now, figures.before
    rates = [accept_rate(p.sum_of((SHOWN,)), p.sum_of((ACCEPTED,))) for p in (now, before)]
    accepted = day_figure(
        figures,
        DayPlot("accepted", ACCEPTED.title, [Row(term_of(ACCEPTED), _pick(ACCEPTED))]),
        [Key("c1", term_of(ACCEPTED), "accepted on the day")],
    )
    rates_plot = DayPlot(
        "rate",
        RATE_TERM.title,
        [Row(RATE_TERM, _rate_on, "rate")],
        lines=True,
        details=[Row(term_of(metric), _pick(metric)) for metric in (SHOWN, ACCEPTED)],
        show=lambda value: NONE if value is None else rate(value),
        unit="%",
        top=100,
        may_be_blank=True,
    )
    of_shown = [Key("c1", RATE_TERM, "of the completions shown on the day")]
    comparable = not now.missing and not before.missing and rates[1] is not None
    shown = now.sum_of((SHOWN,))
    numbers = [
        _sum_number(figures, SHOWN, (SHOWN,)),
        _sum_number(figures, ACCEPTED, (ACCEPTED,)),
        Number(
            RATE_TERM,
            NONE if shown == 0 else rate(rates[0]),
            f"of {number(shown)} shown",
            f"{rate(rates[1])} before" if comparable else "",
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
        moved = ((NEW, movement.new), (STAYED, movement.stayed), (LAPSED, movement.lapsed))
        numbers = [Number(term, number(len(names)), "people") for term, names in moved]
    else:
        why = "days are missing in the period or in the one before"
        numbers = [Number(term, UNKNOWN, warning=why) for term in (NEW, STAYED, LAPSED)]
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


def _places(figures: ReportFigures) -> Section:
    title = "Editors and languages"
    kept = len(figures.now.kept)
    if not figures.editor_days:
        return Section(
            "places", title, notes=["Not known: the store has no such figures of these days."]
        )
    notes = []
    if figures.editor_days < len(figures.now.days):
        notes.append(
            f"Of {figures.editor_days} of {many(kept, 'day')}; the others have no such figures, or"
            " ones that are not those of their users"
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
    notes = ["A person of several teams counts in each of them", *whole_notes(figures.now)]
    return Section("teams", "Teams", tables=[("Use by team", table)], notes=notes)
