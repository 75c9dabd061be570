"""The table of users: a row for everybody who was active."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard_scraper.model.figures import accept_rate
from dashboard_scraper.model.metrics import ACCEPTED, LINES, MESSAGES, SHOWN
from dashboard_scraper.report.figures import (
    MESSAGE_KINDS,
    Period,
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

ROWS_AT_ONCE = 25
"""How many rows the HTML has without its script, which adds the others."""

_NAMES_LISTED = 200
"""How many names are listed of people who came, left or were idle; the others are counted."""

UNKNOWN_CELL = "?"


@dataclass(frozen=True, slots=True)
class NamedPeople:
    """The number of `people` of a term, and the first of their `names`."""

    term: Term
    people: int
    names: Sequence[str]

    @property
    def more(self) -> int:
        return self.people - len(self.names)


def user_terms() -> list[Term]:
    """The columns after the name. Rows are sorted by the first, which is visible on any screen."""
    used, completions = (MESSAGES, LINES), (SHOWN, ACCEPTED)
    return [*map(term_of, used), ACTIVE_DAYS, LAST_DAY, *map(term_of, completions), RATE_TERM]


def user_rows(period: Period) -> list[list[Any]]:
    """A row for each active person, those with most messages first; None is unknown, "" is blank.

    The last item, after the columns, says whether it is a service account.
    """
    rows: list[list[Any]] = []
    for person in period.people:
        shown, accepted = person.sum_of((SHOWN,)), person.sum_of((ACCEPTED,))
        of_shown = accept_rate(shown, accepted)
        rows.append(
            [
                person.name,
                person.sum_of(MESSAGE_KINDS),
                person.sum_of((LINES,)),
                person.active_days,
                str(person.last_day),
                shown,
                accepted,
                # Rounded here, since JavaScript rounds halves differently.
                "" if shown == 0 else None if of_shown is None else round(of_shown, 1),
                person.service,
            ]
        )
    rows.sort(key=lambda row: (-(row[1] if row[1] is not None else -1), row[0]))
    return rows


def named_people(figures: ReportFigures) -> list[NamedPeople]:
    """Who came and who left since the period before, and who was idle; empty if days are missing,
    on which they may have been active.
    """
    movement = movement_of(figures.now, figures.before)
    groups = [(NEW, movement.new), (LAPSED, movement.lapsed)] if movement else []
    groups.append((IDLE, figures.idle or []))
    return [NamedPeople(term, len(names), names[:_NAMES_LISTED]) for term, names in groups if names]


def users_notes(period: Period, rows: Iterable[Sequence[Any]]) -> list[str]:
    """Notes on the table, such as on the blanks and question marks that it contains."""
    cells = {cell for row in rows for cell in row[1:] if cell in (None, "")}
    notes = ["People who were active in the period."]
    if None in cells:
        notes.append(f"A {UNKNOWN_CELL} is unknown.")
    if "" in cells:
        notes.append("A rate is blank without completions.")
    if period.missing:
        notes.append("Without the missing days.")
    return notes


def user_cells(rows: Iterable[Sequence[Any]]) -> list[list[str]]:
    """The rows as text, formatted as the script formats the others."""
    return [[row[0], *map(_cell, row[1:-2]), _rate(row[-2])] for row in rows]


def _cell(value: Any) -> str:
    if value is None:
        return UNKNOWN_CELL
    return value if isinstance(value, str) else number(value)


def _rate(value: Any) -> str:
    return _cell(value) if value in (None, "") else rate(value)
