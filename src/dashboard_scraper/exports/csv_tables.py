"""CSV tables: users in the dashboard's columns, other records flattened, the tenant's figures."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache, lru_cache
from typing import Any

from dashboard_scraper.csv_text import guard, marked, quoted, quoted_texts, render, render_rows
from dashboard_scraper.model.dates import iso_utc
from dashboard_scraper.model.figures import picker, values_of
from dashboard_scraper.model.flatten import Cell, flatten
from dashboard_scraper.model.metrics import SERVICE_ACCOUNT_TITLE, USER_TITLE, Kind, Metric
from dashboard_scraper.model.usage import TenantFigure, UserUsage
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.store.day_columns import DayColumns

TENANT_HEADER = ("start_date", "end_date", "metric", "value")
PRIORITY_COLUMNS = ("timestamp", "date", "user_id", "email", "metric", "value")

_DATE_PART = len("YYYY-MM-DD")
_ROWS_PER_PIECE = 300  # fit into a processor's cache: all at once take a fifth longer


def users_csv(users: Sequence[UserUsage], source_name: str) -> bytes:
    """One row per user: the source's columns, then fields that are not in the catalogue, in
    alphabetical order.
    """
    table = _table_of(source_name)
    extra_names = sorted({name for user in users for name in user.extra})
    if not extra_names:
        return b"".join(marked([render_rows([table.header]), *map(table.line, users)]))
    rows = (table.row(user) + _row(user.extra, extra_names) for user in users)
    return render((*table.header, *extra_names), rows)


def columns_csv(columns: DayColumns, source_name: str) -> list[bytes]:
    """The same from columns, several times as fast and in pieces."""
    table = _table_of(source_name)
    return marked([render_rows([table.header]), *table.pieces(columns)])


class _Table:
    """The columns of a source's CSV, and how a user's row is filled.

    `line` is a `row` as text. It is several times as fast as the CSV writer, since only the name
    may need quotes.
    """

    def __init__(self, metrics: Sequence[Metric], *, service: bool) -> None:
        self.header = (USER_TITLE, *(m.title for m in metrics))
        if service:
            self.header += (SERVICE_ACCOUNT_TITLE,)
        self._metrics = metrics
        self._pick = picker(metrics)
        self._moments = [i for i, m in enumerate(metrics, start=1) if m.kind is Kind.MOMENT]
        self._percents = [i for i, m in enumerate(metrics, start=1) if m.kind is Kind.PERCENT]
        self._service = service
        self._gaps = ["%b", *(_GAPS[metric.kind] for metric in metrics)]
        if service:
            self._gaps.append("%b")
        self._whole = render_rows([self._gaps])

    def line(self, user: UserUsage) -> bytes:
        cells: list[Any] = [quoted(user.user), *self._pick(values_of(user.figures))]
        for i in self._moments:
            cells[i] = _day_text(cells[i])
        for i in self._percents:
            cells[i] = _percent_text(cells[i])
        if self._service:
            cells.append(_SERVICE_TEXTS[user.service])
        try:
            return self._whole % tuple(cells)
        except TypeError:  # a count is None, which is rare
            gaps = tuple(
                [c if c is None else gap for gap, c in zip(self._gaps, cells, strict=True)]
            )
            return _row_with(gaps) % tuple([cell for cell in cells if cell is not None])

    def pieces(self, columns: DayColumns) -> Iterator[bytes]:
        """The lines of all users, many at a time."""
        cells: list[Sequence[Any]] = [quoted_texts(columns.names)]
        gaps = ["%s"]
        for metric in self._metrics:
            values = columns.values[metric]
            is_count = metric.kind is Kind.COUNT and columns.is_known(metric)
            gaps.append("%d" if is_count else "%s")
            cells.append(values if is_count else _texts(metric.kind, values))
        if self._service:
            gaps.append("%s")
            cells.append([f"{_guarded(service)}" for service in columns.services])
        line = ",".join(gaps) + "\r\n"
        rows = map(line.__mod__, zip(*cells, strict=True))
        while piece := "".join(itertools.islice(rows, _ROWS_PER_PIECE)):
            yield piece.encode()

    def row(self, user: UserUsage) -> list[Cell]:
        row: list[Any] = [guard(user.user), *self._pick(values_of(user.figures))]
        for i in self._moments:
            if row[i] is not None:
                row[i] = iso_utc(row[i])[:_DATE_PART]
        for i in self._percents:
            if row[i] is not None:
                row[i] = percent(row[i])
        if self._service:
            row.append(_guarded(user.service))
        return row


def _texts(kind: Kind, values: Sequence[Any]) -> list[Any]:
    """The cells of a column; each different value is converted once, since most recur."""
    as_text = percent if kind is Kind.PERCENT else str
    text_of = {value: as_text(value) for value in {*values} - {None}}
    return [*map(text_of.get, values, itertools.repeat(""))]


_GAPS = {Kind.MOMENT: "%b", Kind.PERCENT: "%b", Kind.COUNT: "%d", Kind.DAYS: "%d"}


@lru_cache(maxsize=1000)
def _row_with(gaps: Sequence[str | None]) -> bytes:
    return render_rows([gaps])


@cache
def _table_of(source_name: str) -> _Table:
    info = info_of(source_name)
    return _Table(info.metrics, service=info.has_service_accounts)


def _day_text(moment: datetime | None) -> bytes:
    if moment is None:
        return b""
    return _iso(moment.date()) if moment.tzinfo is UTC else iso_utc(moment)[:_DATE_PART].encode()


@cache
def _iso(day: date) -> bytes:
    """A day as a cell; cached, since there are few days."""
    return day.isoformat().encode()


@lru_cache(maxsize=20_000)
def _percent_text(number: float | None) -> bytes:
    """A percentage as a cell; cached, since most sources round to two digits."""
    return b"" if number is None else percent(number).encode()


def percent(number: float) -> str:
    """The number with two decimals, or one if the second is 0: `40.0%`, `41.67%`."""
    text = f"{number:.2f}"
    return f"{text.removesuffix('0')}%"


def records_csv(records: Iterable[Mapping[str, object]]) -> bytes:
    """Records that are not user statistics: the priority columns first, the rest in alphabetical
    order.
    """
    rows = [flatten(record) for record in records]
    names = {name for row in rows for name in row}
    first = [name for name in PRIORITY_COLUMNS if name in names]
    header = (*first, *sorted(names.difference(first)))
    return render(header, (_row(row, header) for row in rows))


def tenant_csv(figures: Iterable[TenantFigure]) -> bytes:
    """One row per figure, in the given order."""
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


_SERVICE_TEXTS = {service: str(_guarded(service)).encode() for service in (False, True)}
