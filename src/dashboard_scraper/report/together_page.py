"""The sections of the page that compare sources: only what is comparable is compared.

People and seats are comparable; see `model.meanings` for figures. The rest is in the sources' own
parts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from decimal import Decimal

from dashboard_scraper.model.listing import many
from dashboard_scraper.report.charts import (
    EMPTY,
    GAP,
    MISSING,
    BarChart,
    DayChart,
    Series,
    chart_days,
    marks_of,
    source_style,
)
from dashboard_scraper.report.completeness import completeness_of, strip_of
from dashboard_scraper.report.cost_page import money
from dashboard_scraper.report.figures import WEEK, change_of
from dashboard_scraper.report.parts import Amount, Coverage, Figure, Key, Number, Section, Table
from dashboard_scraper.report.plots import MARKS, doubt_notes
from dashboard_scraper.report.texts import (
    LAPSED,
    NEW,
    UNKNOWN,
    Term,
    days_text,
    number,
    plain,
    share,
    signed,
    weekday_text,
)
from dashboard_scraper.report.together import PeopleOfDay, SeatUse, Side, Together
from dashboard_scraper.report.together_tables import (
    IDLE_SEATS,
    PEOPLE,
    Labels,
    classes_section,
    comparable_section,
    idle_cost,
    money_section,
    seats_section,
    teams_section,
)
from dashboard_scraper.sources.registry import info_of

SEVERAL = Term(
    "several", "Use several assistants", "People who were active with two assistants or more"
)
WITHOUT = Term(
    "without",
    "Use none, with a seat",
    "People who have a seat of some assistant, and were not active with any in the period",
)
NUMBER = Term(
    "assistants-used", "Assistants used", "The number of assistants that a person was active with"
)
SHARE = Term("share-of-people", "Share", "Of the people who were active with any assistant")
DAILY = Term("day", "Daily active people", "People who were active on the day")
WEEKLY = Term(
    "week",
    "Weekly active people",
    f"People who were active on one of the {WEEK} days that end with the day",
)


def labels_of(sources: Collection[str]) -> Labels:
    """The labels of sources: the product's, unless another source has the same product."""
    products = [info_of(source).product for source in sources]
    return {
        source: product.label if products.count(product) == 1 else f"{product.label}, {source}"
        for source, product in zip(sources, products, strict=True)
    }


def coverage_of(together: Together, labels: Labels) -> list[Coverage]:
    """How complete each source is: its strip of days, and what is missing. Details are further
    below.
    """
    return [
        Coverage(
            labels[side.source],
            source_style(side.source),
            strip_of(side.figures.now),
            completeness_of(side.figures)[: 2 if side.missing else 1],
        )
        for side in together.sides
    ]


def tiles_together(together: Together) -> list[Number]:
    """The numbers at the top."""
    several = sum(together.by_count[1:])
    warning = "; ".join(_doubts(together))
    change = "" if together.incomplete else _against(together)
    found = [
        Number(
            PEOPLE,
            f"{_bound_of_people(together)}{number(together.people)}",
            "with any assistant",
            change,
            warning,
        ),
        Number(
            SEVERAL,
            f"{'at least ' if warning else ''}{number(several)}",
            f"{share(several, together.people) or '0%'} of the active people",
            warning=warning,
        ),
    ]
    if together.has_seats:
        found += [_idle_tile(together), _without_tile(together)]
    return found


def _doubts(together: Together) -> Iterator[str]:
    """Why the numbers of people may be wrong."""
    if together.incomplete:
        yield "a source misses days"
    if together.unmatched:
        yield "some are known only by a login or an id"


def _bound_of_people(together: Together) -> str:
    """Whether a number of people is a bound: missing days hide people, and an unmatched login may
    count a person twice.
    """
    if together.incomplete:
        return "about " if together.unmatched else "at least "
    return "at most " if together.unmatched else ""


def _against(together: Together) -> str:
    if any(side.figures.before.missing for side in together.sides):
        return ""
    change = signed(change_of(together.people, together.before))
    before = f"{number(together.before)} before"
    return f"{change} against {before}" if change else before


def _idle_tile(together: Together) -> Number:
    seats = [side.seats for side in together.sides if side.seats]
    idle = [each.idle for each in seats]
    known = [each for each in idle if each is not None]
    if not known:
        return Number(IDLE_SEATS, UNKNOWN, warning="days are missing")
    of_all = f"of {many(sum(each.seats for each in seats if each.idle is not None), 'seat')}"
    cost = _cost_of(seats)
    detail = f"{of_all}, {cost} a month" if cost else of_all
    lacking = "" if len(known) == len(idle) else "without a source that misses days"
    return Number(IDLE_SEATS, number(sum(known)), detail, warning=lacking)


def _cost_of(seats: Sequence[SeatUse]) -> str:
    """What idle seats cost together; empty unless all have a price in the same currency."""
    costs = [idle_cost(each) for each in seats if each.idle is not None]
    units = {each.price.currency for each in seats if each.price}
    if None in costs or len(units) != 1:
        return ""
    total = sum((cost for cost in costs if cost is not None), Decimal(0))
    return f"{money(total)} {units.pop()}".rstrip()


def _without_tile(together: Together) -> Number:
    if together.without is None:
        return Number(WITHOUT, UNKNOWN, warning="days are missing")
    unsure = together.unmatched or any(side.unmatched_seats for side in together.sides)
    return Number(
        WITHOUT,
        f"{'at most ' if unsure and together.without else ''}{number(together.without)}",
        "of the people with a seat",
        warning="some are known only by a login or an id" if unsure else "",
    )


def sections_together(together: Together, labels: Labels) -> list[Section]:
    """The sections that compare sources, in order."""
    found = [
        _who(together, labels),
        seats_section(together, labels) if together.has_seats else None,
        money_section(together, labels),
        teams_section(together, labels) if together.teams else None,
        classes_section(together, labels),
        comparable_section(together, labels),
    ]
    return [section for section in found if section is not None and _has_content(section)]


def _has_content(section: Section) -> bool:
    return bool(section.figures or section.tables)


def _who(together: Together, labels: Labels) -> Section:
    rules = [
        f"Active on a day in {labels[side.source]}: {plain(info_of(side.source).active_rule)}."
        for side in together.sides
    ]
    weekly = _days_figure(together, labels, WEEKLY, lambda day: day.week, rules)
    daily = _days_figure(together, labels, DAILY, lambda day: day.active, [])
    return Section(
        "assistants",
        "Who uses which assistant",
        figures=[weekly, daily, _count_figure(together)],
        tables=[("Assistant by assistant", _side_table(together, labels))],
        notes=[*_notes(together, labels)],
    )


def _days_figure(
    together: Together,
    labels: Labels,
    term: Term,
    pick: Callable[[PeopleOfDay], int | None],
    notes: Sequence[str],
) -> Figure:
    """A line for each source; only missing days of that source break it."""
    sides = together.sides
    values = {side.source: [pick(day) for day in side.days] for side in sides}
    days = [each.day for each in sides[0].days]
    places, tips, rows, used = [], [], [], set[str]()
    for at, day in enumerate(days):
        remarks = _remarks(sides, labels, at)
        unknown = all(values[side.source][at] is None for side in sides)
        places.append((day, next(iter(remarks), ""), unknown))
        cells = [_cell(side, at, values[side.source][at]) for side in sides]
        named = [f"{labels[s.source]}: {cell}" for s, cell in zip(sides, cells, strict=True)]
        tips.append("\n".join([weekday_text(day), *named, *remarks.values()]))
        rows.append([f"{day}", *cells, "; ".join(remarks.values())])
        used.update(remarks)
    chart = DayChart(
        chart_days(places),
        tips,
        bars=(),
        lines=[
            Series(labels[side.source], values[side.source], source_style(side.source))
            for side in sides
        ],
        before=(),
        unit="",
        top=0,
    )
    keys = [Key(source_style(side.source), None, labels[side.source]) for side in sides]
    if any(day.gap for day in chart.days):
        used.add(GAP)
    legend = {**MARKS, MISSING: "missing in a source, whose line has a gap"}
    marks = [(mark, meaning) for mark, meaning in legend.items() if mark in used]
    headers = ["Day", *(labels[side.source] for side in sides), "Remark"]
    name = f"together-{term.key}"
    return Figure(
        name, f"{term.title} by assistant", chart, Table(headers, rows), keys, marks, notes,
        full=term is WEEKLY,
    )  # fmt: skip


def _remarks(sides: Sequence[Side], labels: Labels, at: int) -> dict[str, str]:
    """What is special about a day, and in which sources, by its mark, the most important first.

    A day on which nobody was active needs no mark: the source's line is at 0.
    """
    where: dict[str, list[str]] = {}
    for side in sides:
        for mark in marks_of(side.figures.now.days[at]):
            where.setdefault(mark, []).append(labels[side.source])
    meanings = {**MARKS, MISSING: "missing"}
    return {
        mark: f"{meaning}: {', '.join(where[mark])}"
        for mark, meaning in meanings.items()
        if mark in where and mark != EMPTY
    }


def _cell(side: Side, at: int, value: int | None) -> str:
    if value is not None:
        return number(value)
    return "missing" if side.days[at].active is None else UNKNOWN


def _count_figure(together: Together) -> Figure:
    counts = together.by_count
    names = [f"{at}" for at in range(1, len(counts) + 1)]
    tips = [
        f"{name} {'assistant' if name == '1' else 'assistants'}: {many(count, 'person', 'people')}"
        for name, count in zip(names, counts, strict=True)
    ]
    texts = [number(count) for count in counts]
    notes = [f"{doubt.capitalize()}: people may use more." for doubt in _doubts(together)]
    return Figure(
        "together-count",
        "People by number of assistants",
        BarChart(names, list(counts), texts, tips),
        Table([NUMBER, "People"], [[*row] for row in zip(names, texts, strict=True)]),
        notes=notes,
    )


def _side_table(together: Together, labels: Labels) -> Table:
    """A row for each source; only the rows of sources with missing days say so."""
    rows: list[list[str | Amount]] = []
    most = max((side.people for side in together.sides), default=0)
    for side in together.sides:
        now = side.figures.now
        stored = f"{len(now.stored)} of {len(now.days)}"
        rows.append(
            [
                labels[side.source],
                f"at least {number(side.people)}" if now.missing else number(side.people),
                share(side.people, together.people) or "0%",
                UNKNOWN if side.figures.before.missing else number(side.before),
                number(side.new),
                number(side.lapsed),
                stored,
            ]
        )
    headers: list[str | Term] = [
        "Assistant", PEOPLE, SHARE, "Before", NEW, LAPSED, "Days in the store"
    ]  # fmt: skip
    bars = [side.people / most if most else 0 for side in together.sides]
    return Table(headers, rows, bars, full=True)


def _notes(together: Together, labels: Labels) -> Iterator[str]:
    """What a reader has to know about who was counted."""
    for side in together.sides:
        label, info = labels[side.source], info_of(side.source)
        if side.missing:
            yield f"{label}: missing {days_text(side.missing)}."
        if side.figures.before.missing:
            days = many(side.figures.before.missing, "day")
            yield f"{label}: of the period before {days} are missing, so nothing is compared."
        yield from (f"{label}: {note}." for note in doubt_notes(side.figures.now))
        if side.services:
            yield (
                f"{label}: {many(side.services, 'service account or API key', 'service accounts')}"
                " not counted here."
            )
        if side.unmatched:
            yield (
                f"{label}: of {many(side.unmatched, 'person', 'people')} only a login or an id is"
                " known, so they count as people of their own; IDENTITY_FILE can name their"
                " addresses."
            )
        if info.leaves_out:
            yield f"{label} leaves out {plain(info.leaves_out)}."
