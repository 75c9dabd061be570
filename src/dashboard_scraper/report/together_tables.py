"""Tables of the page that compare sources: seats, money, teams, and everybody in one class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from dashboard_scraper.model.costs import BILLED, CREDITS, ESTIMATED, CostMetric
from dashboard_scraper.model.listing import many
from dashboard_scraper.model.meanings import are_comparable
from dashboard_scraper.model.metrics import COUNTS, Metric
from dashboard_scraper.model.money import per
from dashboard_scraper.report.cost_figures import MixedCurrencies, PageCosts
from dashboard_scraper.report.cost_page import PER_PERSON, cost_term, metrics_of, with_unit
from dashboard_scraper.report.parts import Amount, Section, Table
from dashboard_scraper.report.plots import doubt_notes
from dashboard_scraper.report.texts import (
    NONE,
    OTHER_TEAMS,
    UNKNOWN,
    Term,
    hidden_teams_text,
    number,
    share,
)
from dashboard_scraper.report.together import SeatUse, Side, Together
from dashboard_scraper.sources.registry import info_of

PEOPLE = Term(
    "people-together",
    "Active people",
    "People who were active with any assistant in the period, each counted once; service accounts"
    " and API keys are not people",
)
IDLE_SEATS = Term(
    "idle-seats",
    "Seats without activity",
    "Seats whose owner was not active with the assistant in the period",
)
SEATS = Term(
    "seats",
    "Seats",
    "Seats that the source reported last, or else those in ROSTER_FILE, without those that were"
    " assigned after the period",
)
IDLE_COST = Term(
    "idle-cost",
    "Cost a month",
    "The seats without activity, times the price of a seat in SEAT_PRICES",
)
OVERALL = Term("overall", "All assistants", "Everybody once, whatever they use")
ADOPTION = Term("any", "Any assistant", "People of the team who were active with any assistant")

Labels = Mapping[str, str]
"""A short name of each source."""


def idle_cost(seats: SeatUse) -> Decimal | None:
    """What the seats without activity cost per month; None if that is not known."""
    return None if seats.price is None or seats.idle is None else seats.idle * seats.price.amount


def seats_section(together: Together, labels: Labels) -> Section:
    """The seats of each source, how many are not used, and what unused seats cost."""
    rows: list[list[str | Amount]] = []
    notes = []
    for side in together.sides:
        seats = side.seats
        if seats is None:
            notes.append(f"{labels[side.source]}: seats are not known.")
            continue
        cost = idle_cost(seats)
        price = "-" if seats.price is None else f"{seats.price}"
        unit = seats.price.currency if seats.price else ""
        rows.append(
            [
                labels[side.source],
                number(seats.seats),
                number(seats.idle),
                share(seats.idle, seats.seats) or ("0%" if seats.idle == 0 else "-"),
                price,
                with_unit(cost, unit) if cost is not None else "-",
                f"{seats.fetched or 'ROSTER_FILE'}",
            ]
        )
        if side.unmatched_seats:
            notes.append(
                f"{labels[side.source]}: of {many(side.unmatched_seats, 'person', 'people')} with a"
                " seat only a login or an id is known, so they may use another assistant;"
                " IDENTITY_FILE can name their addresses."
            )
        if seats.idle is None:
            notes.append(f"{labels[side.source]}: days are missing, on which seats may be used.")
    headers: list[str | Term] = [
        "Assistant", SEATS, IDLE_SEATS, "Share", "Price a month", IDLE_COST, "As of"
    ]  # fmt: skip
    if any(side.seats and side.seats.price is None for side in together.sides):
        notes.append("A price of - is not set in SEAT_PRICES.")
    table = Table(headers, rows, full=True)
    return Section("seats", "Seats", tables=[("Seats and their use", table)], notes=notes)


def money_section(together: Together, labels: Labels) -> Section:
    """A table for each kind of cost: billed and estimated amounts are never in the same table."""
    tables = []
    for metric in (BILLED, ESTIMATED, CREDITS):
        rows = [
            row for side in together.sides if (row := _cost_row(side, labels, metric)) is not None
        ]
        if rows:
            headers: list[str | Term] = ["Assistant", cost_term(metric), PEOPLE, PER_PERSON, "Days"]
            lead = "An estimate, not a bill." if metric is ESTIMATED else ""
            title = f"{metric.title} per active person"
            tables.append((title, Table(headers, rows, lead=lead)))
    notes = ["Costs include those of service accounts and of nobody; no two tables are added up."]
    notes += [
        f"{labels[side.source]}: {side.figures.costs}"
        for side in together.sides
        if isinstance(side.figures.costs, MixedCurrencies)
    ]
    return Section("money", "Cost per active person", tables=tables, notes=notes)


def _cost_row(side: Side, labels: Labels, metric: CostMetric) -> list[str | Amount] | None:
    """A source's costs of the metric; None if it does not know the metric."""
    costs = side.figures.costs
    if not isinstance(costs, PageCosts) or metric not in metrics_of(costs):
        return None
    total = costs.total(metric)
    unit, missing = costs.unit(metric), costs.missing(metric)
    days = len(costs.days)
    each: str | Amount = UNKNOWN
    if total is not None and not missing and not side.missing:
        each = NONE
        if side.people:
            each = with_unit(per(total, side.people), unit)
    return [
        labels[side.source],
        UNKNOWN if total is None else with_unit(total, unit),
        number(side.people),
        each,
        f"{days - missing} of {days}",
    ]


def teams_section(together: Together, labels: Labels) -> Section:
    """Adoption: how many people of each team were active with each assistant."""
    teams = together.teams or ()
    rows: list[list[str | Amount]] = [
        [
            team.name or OTHER_TEAMS,
            _adoption(team.any, team.people),
            *(_adoption(team.active[side.source], team.people) for side in together.sides),
            number(team.people),
        ]
        for team in teams
    ]
    headers: list[str | Term] = [
        "Team", ADOPTION, *(labels[side.source] for side in together.sides), "People"
    ]  # fmt: skip
    bars = [team.any / team.people for team in teams]
    notes = ["People of IDENTITY_FILE; a person of several teams counts in each of them."]
    if together.hidden_teams:
        notes.append(hidden_teams_text(together.hidden_teams, together.min_group_size))
    notes += _missing_notes(together.sides, labels)
    table = Table(headers, rows, bars, full=True)
    return Section("adoption", "Adoption by team", tables=[("Active by team", table)], notes=notes)


def _adoption(active: int, people: int) -> str:
    return f"{share(active, people) or '0%'} ({number(active)})"


def _missing_notes(sides: Sequence[Side], labels: Labels) -> list[str]:
    return [
        f"{labels[side.source]}: without {many(len(side.missing), 'missing day')}."
        for side in sides
        if side.missing
    ]


def classes_section(together: Together, labels: Labels) -> Section:
    """Everybody in one class, so that nobody is missing unnoticed; also classes without anybody."""
    sources = [side.source for side in together.sides]
    rows: list[list[str | Amount]] = [
        [each.title, number(counts[""]), *(number(counts[source]) for source in sources)]
        for each, counts in together.classes.items()
    ]
    totals = [
        sum(counts[source] for counts in together.classes.values()) for source in ("", *sources)
    ]
    rows.append(["everybody", *map(number, totals)])
    headers: list[str | Term] = ["Class", OVERALL, *(labels[source] for source in sources)]
    used = [each for each, counts in together.classes.items() if any(counts.values())]
    notes = [f"{each.title.capitalize()}: {each.meaning}." for each in used]
    if together.incomplete:
        notes.append("Days of a source are missing: people who are not active here may have been.")
    table = Table(headers, rows, full=True)
    title = "Everybody in one class"
    return Section("everybody", "Everybody accounted for", tables=[(title, table)], notes=notes)


def comparable_section(together: Together, labels: Labels) -> Section | None:
    """The counts that sources of different assistants count in the same way; None without any."""
    sides = together.sides
    rows: list[list[str | Amount]] = []
    for metric in COUNTS:
        alike = _alike(metric, sides)
        if alike:
            cells = [_sum(side, metric) if side in alike else "-" for side in sides]
            rows.append([metric.title, *cells])
    if not rows:
        return None
    table = Table(["Figure", *(labels[side.source] for side in sides)], rows, full=True)
    notes = [
        "Only what these assistants count alike. Messages, lines of code, generated outputs and"
        " edits are not here: each assistant counts something else, so they are in its own part.",
        *_missing_notes(sides, labels),
        *(
            f"{labels[side.source]}: {note}."
            for side in sides
            for note in doubt_notes(side.figures.now)
        ),
    ]
    return Section("alike", "Figures that compare", tables=[("Counted alike", table)], notes=notes)


def _alike(metric: Metric, sides: Sequence[Side]) -> list[Side]:
    """The sources whose figures of the metric can be compared with another assistant's."""
    infos = {side.source: info_of(side.source) for side in sides}
    return [
        side
        for side in sides
        if any(
            infos[side.source].product != other.product
            and are_comparable(metric, infos[side.source].meanings, other.meanings)
            for other in infos.values()
        )
    ]


def _sum(side: Side, metric: Metric) -> str:
    return number(side.figures.now.sum_of((metric,)))
