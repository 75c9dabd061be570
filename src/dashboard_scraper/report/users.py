"""The table of users: everybody who was active, one row each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dashboard_scraper.metrics import ACCEPTED, SHOWN, Metric, accept_rate
from dashboard_scraper.report.figures import (
    LINES,
    MESSAGE_KINDS,
    MESSAGES,
    Period,
    ReportFigures,
    movement_of,
)
from dashboard_scraper.report.texts import (
    ACTIVE_DAYS,
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
"""As many are in the page as it comes; its script has the others."""

_COUNTS: tuple[tuple[Term, Sequence[Metric]], ...] = (
    (term_of(MESSAGES), MESSAGE_KINDS),
    (term_of(LINES), (LINES,)),
    (term_of(SHOWN), (SHOWN,)),
    (term_of(ACCEPTED), (ACCEPTED,)),
)


def user_terms() -> list[Term]:
    """The columns after their names; the first of the counts is what the rows are sorted by."""
    return [ACTIVE_DAYS, LAST_DAY, *(term for term, _ in _COUNTS), RATE_TERM]


def user_rows(period: Period) -> list[list[Any]]:
    """Each active person's row, those with most messages first; None is unknown, "" is blank.

    After the columns, whether it is a service account.
    """
    rows: list[list[Any]] = []
    for person in period.people:
        counts = [person.sum_of(parts) for _, parts in _COUNTS]
        shown, accepted = counts[-2:]
        of_shown = accept_rate(shown, accepted)
        rows.append(
            [
                person.name,
                person.active_days,
                str(person.last_day),
                *counts,
                "" if shown == 0 else None if of_shown is None else round(of_shown, 2),
                person.service,
            ]
        )
    rows.sort(key=lambda row: (-(row[3] if row[3] is not None else -1), row[0]))
    return rows


def moved_users(figures: ReportFigures) -> list[tuple[Term, list[str]]]:
    """Who came and who went since the period before; nobody where days of either are missing."""
    movement = movement_of(figures.now, figures.before)
    return [(NEW, movement.new), (LAPSED, movement.lapsed)] if movement else []


def user_cells(rows: Iterable[Sequence[Any]]) -> list[list[str]]:
    """The rows in words, as the script words the others."""
    return [[row[0], str(row[1]), row[2], *map(_cell, row[3:-2]), _rate(row[-2])] for row in rows]


def _cell(count: int | None) -> str:
    return "?" if count is None else number(count)


def _rate(value: Any) -> str:
    return "?" if value is None else value if value == "" else rate(value)
