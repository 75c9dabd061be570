"""The CSV files: users in the dashboard's columns, other records flattened, the tenant apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dashboard_scraper.csv_text import guard, render
from dashboard_scraper.date_utils import iso_utc
from dashboard_scraper.flatten import Cell, flatten
from dashboard_scraper.metrics import (
    DASHBOARD_FIGURES,
    FIGURES,
    USER_HEADER,
    USER_TITLE,
    Figures,
    Kind,
)
from dashboard_scraper.usage import DASHBOARD, TenantFigure, UserUsage

TENANT_HEADER = ("start_date", "end_date", "metric", "value")
PRIORITY_COLUMNS = ("timestamp", "date", "user_id", "email", "metric", "value")

_DATE_PART = len("YYYY-MM-DD")
_MOMENTS = [i for i, metric in enumerate(FIGURES, start=1) if metric.kind is Kind.MOMENT]
_PERCENTS = [i for i, metric in enumerate(FIGURES, start=1) if metric.kind is Kind.PERCENT]


def users_csv(users: Sequence[UserUsage], source_name: str) -> bytes:
    """One row a user: the dashboard's columns, those that only the source knows, and after them the
    fields that the catalogue does not know, alphabetically.
    """
    if source_name == DASHBOARD:
        header, row_of = (USER_TITLE, *(m.title for m in DASHBOARD_FIGURES)), _dashboard_row
    else:
        header, row_of = USER_HEADER, _user_row
    extra_names = sorted({name for user in users for name in user.extra})
    rows: Iterable[list[Cell]] = map(row_of, users)
    if extra_names:
        rows = (row_of(user) + _row(user.extra, extra_names) for user in users)
    return render((*header, *extra_names), rows)


def _user_row(user: UserUsage) -> list[Cell]:
    row = _figures_row(user, user.figures)
    row.append(_guarded(user.service))
    return row


def _dashboard_row(user: UserUsage) -> list[Cell]:
    return _figures_row(user, user.figures[: len(DASHBOARD_FIGURES)])


def _figures_row(user: UserUsage, figures: Figures) -> list[Cell]:
    row: list[Any] = [guard(user.user), *figures]
    for i in _MOMENTS:
        if row[i] is not None:
            row[i] = iso_utc(row[i])[:_DATE_PART]
    for i in _PERCENTS:
        if row[i] is not None:
            row[i] = percent(row[i])
    return row


def percent(number: float) -> str:
    """At most two decimals, at least one: `40.0%`, `41.67%`."""
    text = f"{number:.2f}"
    return f"{text.removesuffix('0')}%"


def records_csv(records: Iterable[Mapping[str, object]]) -> bytes:
    """Records that are no user statistics; the priority columns first, then alphabetically."""
    rows = [flatten(record) for record in records]
    names = {name for row in rows for name in row}
    first = [name for name in PRIORITY_COLUMNS if name in names]
    header = (*first, *sorted(names.difference(first)))
    return render(header, (_row(row, header) for row in rows))


def tenant_csv(figures: Iterable[TenantFigure]) -> bytes:
    """One row a figure, in the order given."""
    return render(
        TENANT_HEADER,
        (
            [
                figure.window.start.isoformat(),
                figure.window.end.isoformat(),
                guard(figure.metric),
                _guarded(figure.value),
            ]
            for figure in figures
        ),
    )


def _row(record: Mapping[str, Cell], names: Iterable[str]) -> list[Cell]:
    return [_guarded(record.get(name)) for name in names]


def _guarded(value: Cell) -> Cell:
    if isinstance(value, str):
        return guard(value)
    return str(value).lower() if isinstance(value, bool) else value
