"""The CSVs of classes: everybody with their class, and what each class used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from dashboard_scraper.across.classes import Classes, Members, PersonClass
from dashboard_scraper.across.people import Presence
from dashboard_scraper.across.summary import leaves_out
from dashboard_scraper.across.usage import ClassUsage
from dashboard_scraper.csv_text import guard, render
from dashboard_scraper.model.costs import COST_METRICS, CostFigures, text_of
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.metrics import METRICS, Kind, Metric
from dashboard_scraper.people.roster import Colleague
from dashboard_scraper.sources.registry import SOURCES, info_of
from dashboard_scraper.store.day_people import bits_in

PEOPLE_CSV = "people_by_class.csv"
USAGE_CSV = "usage_by_class.csv"
_ALL = "all"


def people_csv(
    classes: Classes, teams: Mapping[int, str], *, anonymous: bool, service_accounts: bool
) -> bytes:
    """A row for each person and account: the class over all sources, and what is known in each.

    `teams` are those that may be shown. With pseudonyms, there are no names of accounts and no
    columns from the roster, since these would identify people.
    """
    across, overall = classes.across, classes.overall
    present = {source: across.present(source) for source in across.sources}
    header = ["User", "Class", *(() if anonymous else ("Name", "Team", "Started", "Left"))]
    for source in across.sources:
        header += [f"{source} {title}" for title in _titles(anonymous=anonymous)]
    rows = []
    for bit in bits_in(overall.everybody):
        if not service_accounts and classes.services >> bit & 1:
            continue
        row: list[Cell] = [guard(across.name(bit)), overall.class_of(bit).value]
        if not anonymous:
            row += _of_roster(classes.colleagues.get(bit), teams.get(bit, ""))
        for source in across.sources:
            row += _in_source(classes, source, bit, present[source].get(bit), anonymous=anonymous)
        rows.append(row)
    return render(header, sorted(rows, key=lambda row: (str(row[0]), str(row[1]))))


def _titles(*, anonymous: bool) -> Sequence[str]:
    accounts = () if anonymous else ("accounts",)
    return ("class", *accounts, "seat", "active days", "last active")


def _of_roster(colleague: Colleague | None, team: str) -> list[Cell]:
    if colleague is None:
        return [None, guard(team) or None, None, None]
    days = [_text(colleague.started), _text(colleague.left)]
    return [guard(colleague.name) or None, guard(team) or None, *days]


def _in_source(
    classes: Classes, source: str, bit: int, presence: Presence | None, *, anonymous: bool
) -> list[Cell]:
    members = classes.of[source]
    found = members.class_of(bit).value if members.everybody >> bit & 1 else None
    seated = members.seated
    seat = None if seated is None else ("yes" if seated >> bit & 1 else "no")
    cells: list[Cell] = [found]
    if not anonymous:
        cells.append(guard("; ".join(presence.names)) if presence else None)
    if presence is None:
        return [*cells, seat, None, None]
    return [*cells, seat, presence.active, _text(presence.last_active)]


def _text(day: date | None) -> str | None:
    return f"{day}" if day else None


def usage_csv(
    classes: Classes,
    usage: Mapping[str, Mapping[PersonClass, ClassUsage]],
    cost_days: Mapping[str, int],
) -> bytes:
    """A row for each source and class with its people and what they used; for all sources together
    only the people, since figures of two sources are not added up.

    If the source has several currencies, there is a row for each. `cost_days` is, for each source
    that has costs, on how many days of the window they are stored.
    """
    metrics = [
        metric
        for metric in METRICS
        if metric.kind is Kind.COUNT and any(metric in _metrics_of(source) for source in usage)
    ]
    header = [
        *("Source", "Start", "End", "Missing Days", "Class", "People", "With a Seat"),
        *(metric.title for metric in metrics),
        *("Missing Days of Costs", "Currency"),
        *(*(metric.title for metric in COST_METRICS), "Leaves Out"),
    ]
    rows: list[list[Cell]] = []
    window = classes.across.window
    for source, of_class in usage.items():
        missing = len(window) - len(classes.across.days(source))
        about: list[Cell] = [source, f"{window.start}", f"{window.end}", missing]
        without = len(window) - cost_days[source] if source in cost_days else None
        for each in PersonClass:
            people = _people(classes.of[source], each)
            rows += _rows(about, each, people, of_class[each], metrics, source, without)
    for each in PersonClass:
        nothing: list[Cell] = [None] * (len(metrics) + 2 + len(COST_METRICS) + 1)
        about = [_ALL, f"{window.start}", f"{window.end}", None]
        rows.append([*about, each.value, *_people(classes.overall, each), *nothing])
    return render(header, rows)


def _metrics_of(source: str) -> Sequence[Metric]:
    return info_of(source).metrics if source in SOURCES else METRICS


def _people(members: Members, each: PersonClass) -> list[Cell]:
    found, seated = members.of[each], members.seated
    return [found.bit_count(), None if seated is None else (found & seated).bit_count()]


def _rows(
    about: list[Cell],
    each: PersonClass,
    people: list[Cell],
    usage: ClassUsage,
    metrics: Sequence[Metric],
    source: str,
    without_costs: int | None,
) -> Iterator[list[Cell]]:
    known = _metrics_of(source)
    figures: list[Cell] = [usage.figures[m] if m in known else None for m in metrics]
    costs: list[tuple[str | None, CostFigures]] = [*usage.costs.items()] or [(None, CostFigures())]
    for number, (currency, amounts) in enumerate(costs):
        first = number == 0
        yield [
            *about,
            each.value,
            *(people if first else [None] * len(people)),
            *(figures if first else [None] * len(figures)),
            *(without_costs, currency),
            *(text_of(amounts[metric]) for metric in COST_METRICS),
            leaves_out(source),
        ]
