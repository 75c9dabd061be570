"""What a source reports besides its days: seats, budgets and the tenant's figures of a period. Of
these the store has only the latest answer, and no versions.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy import Connection, bindparam, delete, select, update

from dashboard_scraper.model.costs import Budget
from dashboard_scraper.model.seats import Seat
from dashboard_scraper.model.usage import TenantFigure
from dashboard_scraper.store.schema import BUDGET, SEAT, TENANT_FIGURE
from dashboard_scraper.store.statements import insertion, of_source, source_values

_encode = msgspec.json.Encoder().encode

_SEAT_COLUMNS = tuple(SEAT.c)[1:6]
_PERIOD = ("start_day", "end_day", "metric")

# Each is built once: see `statements`.
SEATS_OF_SOURCE = of_source(
    SEAT, select(*_SEAT_COLUMNS, SEAT.c.first_fetched_at, SEAT.c.fetched_at, SEAT.c.current)
).order_by(SEAT.c.user_login)
BUDGETS_OF_SOURCE = of_source(
    BUDGET, select(BUDGET.c.user_login, BUDGET.c.kind, BUDGET.c.monthly_limit)
).order_by(BUDGET.c.user_login, BUDGET.c.kind)
_DELETION_OF_BUDGETS = delete(BUDGET).where(BUDGET.c.source == bindparam("source"))
_DELETION_OF_FIGURE = delete(TENANT_FIGURE).where(
    *(TENANT_FIGURE.c[name] == bindparam(name) for name in ("source", *_PERIOD))
)


def put_seats(
    connection: Connection, source: str, seats: Iterable[Seat], fetched_at: datetime
) -> None:
    """Upsert the seats that the source reports now; seats that it no longer reports stay, but are
    not current.
    """
    rows = {seat.user: msgspec.structs.astuple(seat) for seat in seats}
    names = [column.name for column in _SEAT_COLUMNS]
    is_of = SEAT.c.source == source
    query = select(SEAT.c.user_login, SEAT.c.first_fetched_at).where(is_of)
    known = {row[0]: row[1] for row in connection.execute(query)}
    connection.execute(update(SEAT).where(is_of).values(current=False))
    # One by one, since a statement may have only some ten thousand values.
    if gone := [{"name": name} for name in known.keys() & rows.keys()]:
        replaced = delete(SEAT).where(is_of, SEAT.c.user_login == bindparam("name"))
        connection.execute(replaced, gone)
    values = [
        {
            **dict(zip(names, row, strict=True)),
            "source": source,
            "first_fetched_at": known.get(user, fetched_at),
            "fetched_at": fetched_at,
            "current": True,
        }
        for user, row in rows.items()
    ]
    if values:
        connection.execute(insertion(SEAT), values)


def put_budgets(
    connection: Connection, source: str, budgets: Iterable[Budget], fetched_at: datetime
) -> None:
    """Replace the limits of users by those that the source reports now."""
    rows = [
        {
            "source": source,
            "user_login": budget.user,
            "kind": budget.kind.value,
            "monthly_limit": budget.limit,
            "fetched_at": fetched_at,
        }
        for budget in budgets
    ]
    connection.execute(_DELETION_OF_BUDGETS, source_values(source))
    if rows:
        connection.execute(insertion(BUDGET), rows)


def put_tenant_figures(
    connection: Connection, source: str, figures: Iterable[TenantFigure], fetched_at: datetime
) -> None:
    """Upsert the tenant's figures by period and metric."""
    for figure in figures:
        key = {
            "source": source,
            "start_day": figure.window.start,
            "end_day": figure.window.end,
            "metric": figure.metric,
        }
        connection.execute(_DELETION_OF_FIGURE, key)
        value = _encode(figure.value).decode()
        connection.execute(
            insertion(TENANT_FIGURE), {**key, "value": value, "fetched_at": fetched_at}
        )
