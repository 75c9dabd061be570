"""The store: every user-day that was ever fetched, and the ledger of days.

A day is there whole, together with its row in the ledger, or not at all.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from datetime import date, datetime

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from dashboard_scraper.errors import StoreFailed, UsageError
from dashboard_scraper.metrics import is_active
from dashboard_scraper.store.backend import Backend
from dashboard_scraper.store.reader import Reader
from dashboard_scraper.store.rows import LedgerDay, ledger_day, ledger_row, recounted, user_rows
from dashboard_scraper.store.schema import (
    DAY_LEDGER,
    FIGURE_COLUMNS,
    INFO,
    LAST_SUCCESS,
    TENANT_FIGURE,
    USER_DAY,
    VERSION,
    migrate,
    version_of,
)
from dashboard_scraper.usage import DayUsage, TenantFigure

_encode = msgspec.json.Encoder().encode


class Store:
    """A place for user-days. Making one touches nothing; only `locked` runs may write.

    Every method raises StoreFailed where the place cannot be read or written, and UsageError where
    it holds what this program does not know.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._write_lock = threading.Lock()
        self._writer: Connection | None = None

    @property
    def shown(self) -> str:
        """The place, without a password."""
        return self._backend.shown

    def exists(self) -> bool:
        """Whether a store, or anything else, is in the place."""
        with self._explained():
            return self._backend.exists()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other run away; LockHeld, which says who it is, where one is there already."""
        with contextlib.ExitStack() as held:
            with self._explained():
                held.enter_context(self._backend.locked())
            yield

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Make ready to write, within `locked`: a store that is absent is made, an old migrated."""
        with contextlib.ExitStack() as stack:
            with self._explained():
                if not self._backend.exists():
                    self._backend.create()
                connection = stack.enter_context(self._backend.writing())
                with connection.begin():
                    if self._version(connection) < VERSION:
                        migrate(connection)
            self._writer = connection
            try:
                yield
            finally:
                with self._write_lock:  # a thread may be about to keep a day
                    self._writer = None

    def _version(self, connection: Connection) -> int:
        version = version_of(connection)
        if version is None:
            raise UsageError(
                f"{self.shown} holds something else than usage figures; mend STORE_URL"
            )
        if version > VERSION:
            raise UsageError(
                f"{self.shown} was written by a newer version of this program (schema {version},"
                f" here {VERSION}); update the program"
            )
        return version

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reader]:
        """A view of the store as it is now, whatever is written meanwhile."""
        with self._explained():
            if not self._backend.exists():
                raise UsageError(
                    f"there is no store at {self.shown}; fetch something first, or mend STORE_URL"
                )
            self._migrate_if_old()
        with contextlib.ExitStack() as stack:
            with self._explained():
                connection = stack.enter_context(self._backend.reading())
                stack.enter_context(connection.begin())
            yield Reader(connection, self.shown, self._explained)

    def _migrate_if_old(self) -> None:
        with self._backend.reading() as connection, connection.begin():
            version = self._version(connection)
        if version < VERSION and self._writer is None:
            with self.locked(), self.opened():
                pass

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._write_lock, self._explained():
            if self._writer is None:
                raise StoreFailed(f"{self.shown} is closed: the run has ended")
            with self._writer.begin():
                yield self._writer

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except self._backend.errors as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> StoreFailed:
        """The error in words; without the lines in which a server may repeat data."""
        reason = str(getattr(error, "orig", None) or error).strip()
        first = reason.splitlines()[0] if reason else type(error).__name__
        advice = self._backend.explain(error)
        return StoreFailed(f"{self.shown}: {first}" + (f"; {advice}" if advice else ""))

    def put(self, source: str, usage: DayUsage, fetched_at: datetime) -> LedgerDay | None:
        """Replace a day and its row in the ledger, from any thread; returns the earlier row.

        `fetched_at` is when the fetch began: what the source said then is what is kept.
        """
        row = ledger_row(source, usage, fetched_at)
        day_is = (USER_DAY.c.source == source) & (USER_DAY.c.day == usage.day)
        ledger_is = (DAY_LEDGER.c.source == source) & (DAY_LEDGER.c.day == usage.day)
        with self._writing() as connection:
            before = connection.execute(select(DAY_LEDGER).where(ledger_is)).mappings().first()
            connection.execute(delete(USER_DAY).where(day_is))
            connection.execute(delete(DAY_LEDGER).where(ledger_is))
            self._backend.load(connection, user_rows(source, usage))
            connection.execute(insert(DAY_LEDGER).values(row))
        return None if before is None else ledger_day(before)

    def put_tenant_figures(
        self, source: str, figures: Iterable[TenantFigure], fetched_at: datetime
    ) -> None:
        """Keep what the source said of the tenant in a period, in place of what it said before."""
        table = TENANT_FIGURE
        with self._writing() as connection:
            for figure in figures:
                key = {
                    "source": source,
                    "start_day": figure.window.start,
                    "end_day": figure.window.end,
                    "metric": figure.metric,
                }
                connection.execute(
                    delete(table).where(*(table.c[name] == value for name, value in key.items()))
                )
                value = _encode(figure.value).decode()
                connection.execute(insert(table).values(**key, value=value, fetched_at=fetched_at))

    def put_success(self, source: str, moment: datetime) -> None:
        """Note that a run got all that it was to get."""
        name = f"{LAST_SUCCESS}:{source}"
        with self._writing() as connection:
            connection.execute(delete(INFO).where(INFO.c.name == name))
            connection.execute(insert(INFO).values(name=name, value=moment.isoformat()))

    def forget(self, user: str) -> int:
        """Remove a person, however the address is capitalised; returns the number of user-days.

        The ledger says for each day how many users it lost, and has the sums of those who are left.
        """
        login = USER_DAY.c.user_login
        with self._writing() as connection:
            # In Python: the databases' own lower() may know the letters of ASCII alone.
            logins = connection.scalars(select(login).distinct()).all()
            person = login.in_([name for name in logins if name.lower() == user.lower()])
            rows = connection.execute(
                select(USER_DAY.c.source, USER_DAY.c.day, *FIGURE_COLUMNS).where(person)
            ).all()
            connection.execute(delete(USER_DAY).where(person))
            lost: dict[tuple[str, date], list[bool]] = {}
            for source, day, *figures in rows:
                lost.setdefault((source, day), []).append(is_active(tuple(figures)))
            for (source, day), active in lost.items():
                left = recounted(connection, source, day, active)
                ledger_is = (DAY_LEDGER.c.source == source) & (DAY_LEDGER.c.day == day)
                connection.execute(update(DAY_LEDGER).where(ledger_is).values(left))
        self._scrub()  # also without rows: an earlier call may have been cut off right here
        return len(rows)

    def _scrub(self) -> None:
        try:
            with self._write_lock, self._explained():
                if self._writer is not None:
                    self._backend.scrub(self._writer)
        except StoreFailed as error:
            raise StoreFailed(
                f"the rows are removed, but copies of them may be left in the store's files; mend"
                f" this, and run the same again: {error}"
            ) from error
