"""The table of users: a row for everybody who was active."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from dashboard_scraper.model.figures import accept_rate
from dashboard_scraper.model.listing import many
from dashboard_scraper.model.metrics import ACCEPTED, COUNTS, LINES, SHOWN, Metric, Unit
from dashboard_scraper.report.figures import (
    USE,
    Measures,
    Period,
    Person,
    ReportFigures,
    movement_of,
)
from dashboard_scraper.report.texts import (
    ACTIVE_DAYS,
    IDLE,
    LAPSED,
    LAST_DAY,
    NEW,
    RATE_TERM,
    Term,
    number,
    rate,
    term_of,
)

_USED = (USE, (LINES,))
"""The metrics for each of the first columns, before those of days: the first that the source knows
is shown.
"""
_REST = (SHOWN, ACCEPTED, *(m for m in COUNTS if m.unit in (Unit.COMMITS, Unit.EDITS)))
"""The metrics of the columns after those."""

ROWS_AT_ONCE = 25
"""How many rows the HTML has; its script adds the others."""

_NAMES_LISTED = 200
"""How many names of people who came, left or were idle are listed; the others are only counted."""

UNKNOWN_CELL = "?"


class NamedPeople(msgspec.Struct, frozen=True):
    """The number of `people` that a term applies to, and the first of their `names`."""

    term: Term
    people: int
    names: Sequence[str]

    @property
    def more(self) -> int:
        return self.people - len(self.names)


class Column(NamedTuple):
    """A column after the name. In its cells, None is unknown, "" is blank, and a rate is a
    percentage.
    """

    term: Term
    cell: Callable[[Person], Any]


class UserTable(msgspec.Struct, frozen=True):
    """The table and the lists under it: all rows for the script, and the first ones as text."""

    terms: Sequence[Term]
    rows: Sequence[Sequence[Any]]
    cells: Sequence[Sequence[str]]
    notes: Sequence[str]
    named: Sequence[NamedPeople]
    rows_at_once: int = ROWS_AT_ONCE

    @property
    def found(self) -> str:
        return many(len(self.rows), "user")

    @property
    def shown(self) -> str:
        """Which rows are shown without the script, in the words that the script uses for pages."""
        return f"1\u2013{len(self.cells):,} of {len(self.rows):,}" if self.rows else ""

    @property
    def rate_column(self) -> int:
        """The position of the rate's column among the cells of a row; 0 without one."""
        return next((at for at, each in enumerate(self.terms, 1) if each is RATE_TERM), 0)


def user_table(figures: ReportFigures) -> UserTable:
    """The table of everybody who was active."""
    columns = user_columns(figures.measures)
    rows = user_rows(figures.now, columns)
    return UserTable(
        [column.term for column in columns],
        rows,
        user_cells(rows[:ROWS_AT_ONCE], columns),
        users_notes(figures.now, rows),
        named_people(figures),
    )


def user_columns(measures: Measures) -> list[Column]:
    """The columns after the name, for metrics that the source knows. Rows are sorted by the first
    column, which is visible on any screen.
    """
    used = [_column(measures, metric) for choice in _USED if (metric := measures.first(*choice))]
    rest = [_column(measures, each) for each in _REST if measures.knows(each)]
    days = [
        Column(ACTIVE_DAYS, lambda person: person.active_days),
        Column(LAST_DAY, lambda person: str(person.last_day)),
    ]
    rate = [Column(RATE_TERM, _rate_of)] if measures.has_rate else []
    return [*used, *days, *rest, *rate]


def _column(measures: Measures, metric: Metric) -> Column:
    parts = measures.parts(metric)
    return Column(term_of(metric), lambda person: person.sum_of(parts))


def _rate_of(person: Person) -> Any:
    shown = person.sum_of((SHOWN,))
    of_shown = accept_rate(shown, person.sum_of((ACCEPTED,)))
    # Rounded here, since JavaScript rounds halves differently.
    return "" if shown == 0 else None if of_shown is None else round(of_shown, 1)


def user_rows(period: Period, columns: Sequence[Column]) -> list[list[Any]]:
    """A row for each active person, the largest values of the first column first.

    The last item, after the columns, says whether it is a service account.
    """
    rows: list[list[Any]] = [
        [person.name, *(cell(person) for _, cell in columns), person.service]
        for person in period.people
    ]
    rows.sort(key=lambda row: (-(row[1] if row[1] is not None else -1), row[0]))
    return rows


def named_people(figures: ReportFigures) -> list[NamedPeople]:
    """Who came and who left since the period before, and who was idle; empty if days are missing,
    since people may have been active on them.
    """
    movement = movement_of(figures.now, figures.before)
    groups = [(NEW, movement.new), (LAPSED, movement.lapsed)] if movement else []
    groups.append((IDLE, figures.idle or []))
    return [NamedPeople(term, len(names), names[:_NAMES_LISTED]) for term, names in groups if names]


def users_notes(period: Period, rows: Iterable[Sequence[Any]]) -> list[str]:
    """Notes on the table, such as on its blanks and question marks."""
    cells = {cell for row in rows for cell in row[1:] if cell in (None, "")}
    notes = ["People who were active in the period."]
    if None in cells:
        notes.append(f"A {UNKNOWN_CELL} is unknown.")
    if "" in cells:
        notes.append("A rate is blank without completions.")
    if period.missing:
        notes.append("Without the missing days.")
    return notes


def user_cells(rows: Iterable[Sequence[Any]], columns: Sequence[Column]) -> list[list[str]]:
    """The rows as text, formatted as the script formats the others."""
    return [
        [row[0], *(_cell(value, column) for value, column in zip(row[1:], columns, strict=False))]
        for row in rows
    ]


def _cell(value: Any, column: Column) -> str:
    if value is None:
        return UNKNOWN_CELL
    if isinstance(value, str):
        return value
    return rate(value) if column.term is RATE_TERM else number(value)
