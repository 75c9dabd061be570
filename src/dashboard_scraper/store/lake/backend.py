"""A lake as a store, read only: DuckDB over the files that the catalogue lists.

The store's tables are views of these files, so that every query of the store works on them. Iceberg
has recorded the days of each file, so only the files with the needed days are read.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import date
from typing import Any, NoReturn, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import Table as IcebergTable
from sqlalchemy import Column, Connection
from sqlalchemy.exc import SQLAlchemyError

from dashboard_scraper.errors import StoreFailed, UsageError
from dashboard_scraper.model.listing import listed_days
from dashboard_scraper.model.metrics import ACTIVE_DAYS, COUNTS, REQUIRED
from dashboard_scraper.store.backend import View
from dashboard_scraper.store.column_types import Moment
from dashboard_scraper.store.lake.duckdb_engine import engine_in
from dashboard_scraper.store.lake.place import Lake, exists, opened
from dashboard_scraper.store.lake.state import are_whole, contents_in, day_bounds, is_true
from dashboard_scraper.store.lake.tables import (
    CONTENT,
    GROUPS,
    PSEUDONYMS,
    TABLES,
    USAGE,
    USER_DAYS,
    LakeTable,
    TableGroup,
)
from dashboard_scraper.store.schema import (
    BUDGET,
    DAY_LEDGER,
    DAY_PEOPLE,
    INFO,
    NOTICE,
    PERSON,
    RECORD_DAY,
    RUN,
    SCHEMA_VERSION,
    SEAT,
    VERSION,
)
from dashboard_scraper.store.watch import Watch

Result = TypeVar("Result")
Environment = Callable[[], AbstractContextManager[None]]

_LOOKS = 4
_PAUSE_SECONDS = 0.5


class LakeBackend:
    """A lake, for reading. `environment` has the settings that its libraries take from environment
    variables. With `renaming`, the reader replaces names by pseudonyms.
    """

    def __init__(
        self, url: str, environment: Environment = contextlib.nullcontext, *, renaming: bool = False
    ) -> None:
        self.shown = url
        self._environment = environment
        self._renaming = renaming
        self.watch: Watch = _LakeWatch(self)

    errors = (SQLAlchemyError, duckdb.Error, pa.ArrowException)
    has_versions = False

    @contextlib.contextmanager
    def opened(self) -> Iterator[Lake]:
        """The catalogue."""
        with self._environment(), opened(self.shown, StoreFailed) as lake:
            yield lake

    def exists(self) -> bool:
        """Whether the catalogue has the tables of usage."""
        if not exists(self.shown):
            return False
        with self.opened() as lake:
            return all(
                lake.catalog.table_exists(lake.identifier(kind.name)) for kind in USAGE.tables
            )

    @contextlib.contextmanager
    def reading(self) -> Iterator[View]:
        """The current snapshots of the tables, once these belong together."""
        with self.opened() as lake, tempfile.TemporaryDirectory() as folder:
            tables = _consistent(lake)
            if self._renaming:
                totals = [kind.totals.name for kind in GROUPS]
                _refuse_pseudonyms((tables[n] for n in totals if n in tables), self.shown)
            engine = engine_in(folder)
            with engine.connect() as connection:
                _create(connection, tables)
                yield View(connection, lambda: None)
            engine.dispose()

    def locked(self) -> AbstractContextManager[None]:
        """Refuse to write."""
        self._refuse()

    def check_lock(self) -> None:
        """Refuse to write."""
        self._refuse()

    def create(self) -> None:
        """Refuse to write."""
        self._refuse()

    def writing(self) -> AbstractContextManager[None]:
        """Refuse to write."""
        self._refuse()

    def transact(self, work: Callable[[Connection], Result]) -> Result:  # noqa: ARG002
        """Refuse to write."""
        self._refuse()

    def load(self, *_: object) -> None:
        """Refuse to write."""
        self._refuse()

    def scrub(self) -> None:
        """Refuse to write."""
        self._refuse()

    def stop_waiting(self) -> None:
        """Nothing waits for long."""

    def may_change(self, connection: Connection) -> bool:  # noqa: ARG002
        """Nobody may."""
        return False

    def explain(self, error: Exception) -> str | None:
        """Advice if a query needs something that no lake has."""
        if isinstance(getattr(error, "orig", error), duckdb.CatalogException):
            return "a lake has no earlier versions: ask the store that is exported to it"
        return None

    def _refuse(self) -> NoReturn:
        raise UsageError(
            f"{self.shown} is a lake, which can only be read here: set STORE_URL to the store that"
            " is exported to it"
        )


class _LakeWatch:
    """Looks which state of each table is the current one."""

    def __init__(self, backend: LakeBackend) -> None:
        self._backend = backend

    def state(self) -> Hashable:
        """The places of the tables' metadata, which change with each commit."""
        with self._backend.opened() as lake:
            return tuple(
                (name, table.metadata_location) for name, table in _load(lake, TABLES).items()
            )

    def close(self) -> None:
        """Nothing stays open."""


def _load(lake: Lake, kinds: Iterable[LakeTable]) -> dict[str, IcebergTable]:
    """The tables by name, in this order, without tables of costs that the lake lacks."""
    found = {}
    for kind in kinds:
        try:
            found[kind.name] = lake.catalog.load_table(lake.identifier(kind.name))
        except NoSuchTableError as error:
            if kind in USAGE.tables:
                raise StoreFailed(f"{lake.shown}: the table {kind.name} is missing") from error
    return found


def _consistent(lake: Lake) -> dict[str, IcebergTable]:
    """The tables, once their rows match the totals; StoreFailed if that takes too long."""
    for look in range(_LOOKS):
        if look:
            time.sleep(_PAUSE_SECONDS)
        # The totals first: rows are committed before them.
        tables = _load(lake, (kind for group in GROUPS for kind in reversed(group.tables)))
        torn = sorted({day for group in GROUPS for day in _torn_days(group, tables)})
        if not torn:
            return tables
    raise StoreFailed(
        f"{lake.shown}: {listed_days(torn)}: the rows are not those of the totals; an export is"
        " running or was interrupted, or another program has added rows: wait for it, or export"
        " these days again"
    )


def _torn_days(group: TableGroup, tables: Mapping[str, IcebergTable]) -> set[date]:
    """Days whose rows in some table do not match the totals."""
    there = [kind.name for kind in group.rows if kind.name in tables]
    found = {name: contents_in(tables[name]) for name in there}
    torn = {key for each in found.values() for key in each}
    if group.totals.name in tables:
        for key, totals in _totals_by_day(group, tables[group.totals.name]).items():
            rows: dict[str, Mapping[str, int]] = {
                kind.name: found.get(kind.name, {}).get(key, {}) for kind in group.rows
            }
            if len(totals) == 1 and are_whole(group, totals[0], rows):
                torn.discard(key)
            else:
                torn.add(key)
    return {day for _, day in torn}


def _totals_by_day(
    group: TableGroup, table: IcebergTable
) -> dict[tuple[str, date], list[dict[str, Any]]]:
    """The totals' `content` and counts of rows for each source and day: one row, unless the same
    was added again. Tables of earlier versions lack some counts.
    """
    wanted = {"source", "day", CONTENT, *group.counts}
    columns = [name for name in table.schema().column_names if name in wanted]
    found: dict[tuple[str, date], list[dict[str, Any]]] = {}
    for row in table.scan(selected_fields=tuple(columns)).to_arrow().to_pylist():
        found.setdefault((row["source"], row["day"]), []).append(row)
    return found


def _refuse_pseudonyms(totals: Iterable[IcebergTable], shown: str) -> None:
    renamed = is_true(PSEUDONYMS)
    if any(table.scan(row_filter=renamed, limit=1).to_arrow().num_rows for table in totals):
        raise UsageError(
            f"{shown}: the names of some days are pseudonyms already, and would get others: unset"
            " PSEUDONYM_KEY_FILE to read this lake"
        )


def _create(connection: Connection, tables: Mapping[str, IcebergTable]) -> None:
    """Create the store's tables as views of the lake's, and empty tables for the rest."""
    session: Any = connection.connection.driver_connection
    duck: duckdb.DuckDBPyConnection = session.connection
    for kind in TABLES:
        if kind.name not in tables:
            kind.arrow.of.create(connection, checkfirst=False)
            continue
        duck.register(f"lake_{kind.name}", _dataset(tables[kind.name], kind))
        columns = ", ".join(map(_expression, kind.arrow.of.c))
        view, rows = kind.arrow.of.name, f"lake_{kind.name}"
        duck.execute(f"CREATE VIEW {view} AS SELECT {columns} FROM {rows}")  # noqa: S608
    for table in (INFO, BUDGET, SEAT, RECORD_DAY, RUN, NOTICE):
        table.create(connection, checkfirst=False)
    connection.execute(INFO.insert().values(name=SCHEMA_VERSION, value=f"{VERSION}"))
    session.later((PERSON.name, DAY_PEOPLE.name), _create_people)


def _create_people(duck: duckdb.DuckDBPyConnection) -> None:
    """Number the names of all days. The numbers may change with each commit."""
    duck.execute(
        f"CREATE TABLE {PERSON.name} AS SELECT user_login, arg_max(person, day) AS person,"  # noqa: S608
        " row_number() OVER (ORDER BY user_login) - 1 AS number"
        f" FROM lake_{USER_DAYS.name} GROUP BY user_login"
    )
    _create_bitmaps(duck)


def _create_bitmaps(duck: duckdb.DuckDBPyConnection) -> None:
    """Create the bitmaps of each day, computed from the rows of the days that are asked for."""
    (people,) = duck.execute(f"SELECT count(*) FROM {PERSON.name}").fetchone() or (0,)  # noqa: S608
    # Whole bytes; in each byte, DuckDB's first bit is the last of `day_people`.
    bit = f"xor(number, 7)::BIGINT, 0, {max(people - 1, 0) | 7}"
    unknown = " OR ".join(f"{metric.name} IS NULL" for metric in REQUIRED)
    may_be_active = f"coalesce({ACTIVE_DAYS.name}, 1) <> 0 AND ({unknown})"
    active = " OR ".join([*(f"{metric.name} > 0" for metric in COUNTS), may_be_active])
    conditions = {"listed": "true", "service": "service_account", "active": active}
    conditions |= {metric.name: f"{metric.name} > 0" for metric in COUNTS}
    bitmaps = ", ".join(
        f"coalesce((bitstring_agg({bit}) FILTER (WHERE {condition}))::BLOB, ''::BLOB) AS {name}"
        for name, condition in conditions.items()
    )
    nobody = ", ".join(f"''::BLOB AS {name}" for name in conditions)
    duck.execute(
        f"CREATE VIEW {DAY_PEOPLE.name} AS SELECT source, day, {bitmaps}"  # noqa: S608
        f" FROM lake_{USER_DAYS.name} JOIN {PERSON.name} USING (user_login) GROUP BY source, day"
        f" UNION ALL SELECT source, day, {nobody} FROM {DAY_LEDGER.name} WHERE users = 0"
    )


def _expression(column: Column[Any]) -> str:
    """A column as SQL; a moment without its zone, which is UTC, since DuckDB would need pytz for
    it.
    """
    if isinstance(column.type, Moment):
        return f"make_timestamp(epoch_us({column.name})) AS {column.name}"
    return column.name


def _dataset(table: IcebergTable, kind: LakeTable) -> ds.Dataset:
    """The files of the current snapshot, with the days that each is known to have."""
    if not isinstance(table.io, PyArrowFileIO):
        raise UsageError(
            f"{'.'.join(table.name())}: set the catalogue's py-io-impl to"
            " pyiceberg.io.pyarrow.PyArrowFileIO"
        )
    form, fragments = ds.ParquetFileFormat(), []
    place: Any = None
    for task in table.scan().plan_files():
        if task.delete_files:
            raise StoreFailed(
                f"{'.'.join(table.name())}: another program has deleted single rows; rewrite the"
                " data files, as by Spark's rewrite_data_files"
            )
        scheme, host, path = table.io.parse_location(task.file.file_path, table.io.properties)
        place = table.io.fs_by_scheme(scheme, host)
        first, last = day_bounds(table, task)
        known = (ds.field("day") >= first) & (ds.field("day") <= last)
        fragments.append(form.make_fragment(path, place, partition_expression=known))
    return ds.FileSystemDataset(fragments, kind.arrow.schema, form, place)
