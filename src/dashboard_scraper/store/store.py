"""The store: every user-day that was ever fetched, and the ledger of days.

A day is there whole, together with its row in the ledger, or not at all.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, delete, insert, select, update
from sqlalchemy.exc import OperationalError

from dashboard_scraper.errors import StoreFailed, UsageError
from dashboard_scraper.metrics import is_active
from dashboard_scraper.store.backend import Backend
from dashboard_scraper.store.reader import Reader
from dashboard_scraper.store.rows import (
    DetailStatus,
    LedgerDay,
    ledger_day,
    ledger_row,
    named,
    recounted,
    user_rows,
)
from dashboard_scraper.store.schema import (
    ANALYTICS_COLUMNS,
    CREDIT_DAY,
    DAY_LEDGER,
    DAY_TABLES,
    EDITOR_LANGUAGE_DAY,
    FIGURE_COLUMNS,
    INFO,
    LAST_SUCCESS,
    TENANT_FIGURE,
    USER_DAY,
    VERSION,
    migrate,
    version_of,
)
from dashboard_scraper.usage import DayUsage, EditorLanguageUsage, TenantFigure

_encode = msgspec.json.Encoder().encode


def _is_of(table: Table, source: str, day: date) -> ColumnElement[bool]:
    return (table.c.source == source) & (table.c.day == day)


class Store:
    """A place for user-days. Making one touches nothing; only `locked` runs may write.

    Every method raises StoreFailed where the place cannot be read or written, and UsageError where
    it holds what this program does not know.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._write_lock = threading.Lock()
        self._writer: Connection | None = None
        self._put_days: set[date] = set()

    @property
    def put_days(self) -> frozenset[date]:
        """Days that were put, or may have been, since this object was made."""
        return frozenset(self._put_days)

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
        failed = StoreFailed(f"{self.shown}: {first}" + (f"; {advice}" if advice else ""))
        failed.is_away = isinstance(error, OperationalError)
        return failed

    def put(self, source: str, usage: DayUsage, fetched_at: datetime) -> LedgerDay | None:
        """Replace a day and its row in the ledger, from any thread; returns the earlier row.

        `fetched_at` is when the fetch began: what the source said then is what is kept.
        """
        row = ledger_row(source, usage, fetched_at)
        ledger_is = _is_of(DAY_LEDGER, source, usage.day)
        with self._writing() as connection:
            self._put_days.add(usage.day)
            before = connection.execute(select(DAY_LEDGER).where(ledger_is)).mappings().first()
            # With the users' figures goes what was said of them beside.
            for table in (*DAY_TABLES, DAY_LEDGER):
                connection.execute(delete(table).where(_is_of(table, source, usage.day)))
            self._backend.load(connection, user_rows(source, usage))
            connection.execute(insert(DAY_LEDGER).values(row))
        return None if before is None else ledger_day(before)

    def confirm(self, source: str, day: date, fetched_at: datetime) -> None:
        """Note that the source said the same of a day once more."""
        with self._writing() as connection:
            connection.execute(
                update(DAY_LEDGER)
                .where(_is_of(DAY_LEDGER, source, day))
                .values(fetched_at=fetched_at)
            )

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

    def put_editor_languages(
        self, source: str, day: date, usages: Iterable[EditorLanguageUsage], status: DetailStatus
    ) -> None:
        """Keep a day's figures by editor and language; its users' figures are there already."""
        rows = [
            {
                "source": source,
                "day": day,
                "user_login": usage.user,
                "editor": usage.editor,
                "language": usage.language,
                **named(ANALYTICS_COLUMNS, usage.counts),
            }
            for usage in usages
        ]
        self._put_detail(EDITOR_LANGUAGE_DAY, source, day, rows, {"editor_language": status.value})

    def put_credits(self, source: str, day: date, credits_of: Mapping[str, float]) -> None:
        """Keep what each user consumed on a day whose users' figures are there."""
        rows = [
            {"source": source, "day": day, "user_login": user, "credits_consumed": consumed}
            for user, consumed in credits_of.items()
        ]
        status = {"credits": DetailStatus.COMPLETE.value}
        self._put_detail(CREDIT_DAY, source, day, rows, status)

    def _put_detail(
        self,
        table: Table,
        source: str,
        day: date,
        rows: list[dict[str, Any]],
        status: dict[str, str],
    ) -> None:
        with self._writing() as connection:
            connection.execute(delete(table).where(_is_of(table, source, day)))
            if rows:
                connection.execute(insert(table), rows)
            connection.execute(
                update(DAY_LEDGER).where(_is_of(DAY_LEDGER, source, day)).values(status)
            )

    def put_success(self, source: str, moment: datetime) -> None:
        """Note that a run got all that it was to get."""
        self.put_note(f"{LAST_SUCCESS}:{source}", moment.isoformat())

    def put_note(self, name: str, value: str) -> None:
        """Leave something under a name for the next run."""
        with self._writing() as connection:
            connection.execute(delete(INFO).where(INFO.c.name == name))
            connection.execute(insert(INFO).values(name=name, value=value))

    def forget(self, user: str) -> int:
        """Remove a person, however the address is capitalised; returns the number of rows.

        The ledger says for each day how many users it lost, and has the sums of those who are left.
        """
        with self._writing() as connection:
            # In Python: the databases' own lower() may know the letters of ASCII alone.
            logins = {
                login
                for table in DAY_TABLES
                for login in connection.scalars(select(table.c.user_login).distinct())
            }
            names = [login for login in logins if login.lower() == user.lower()]
            person = USER_DAY.c.user_login.in_(names)
            rows = connection.execute(
                select(USER_DAY.c.source, USER_DAY.c.day, *FIGURE_COLUMNS).where(person)
            ).all()
            removed = sum(
                connection.execute(delete(table).where(table.c.user_login.in_(names))).rowcount
                for table in DAY_TABLES
            )
            lost: dict[tuple[str, date], list[bool]] = {}
            for source, day, *figures in rows:
                lost.setdefault((source, day), []).append(is_active(tuple(figures)))
            for (source, day), active in lost.items():
                left = recounted(connection, source, day, active)
                connection.execute(
                    update(DAY_LEDGER).where(_is_of(DAY_LEDGER, source, day)).values(left)
                )
        self._scrub()  # also without rows: an earlier call may have been cut off right here
        return removed

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
