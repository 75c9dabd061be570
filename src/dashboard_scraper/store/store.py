"""The store: every user-day that was ever fetched, and the ledger of days.

A day is there whole, together with its row in the ledger, or not at all.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Table, delete, insert
from sqlalchemy.exc import OperationalError

from dashboard_scraper.errors import StoreFailed, UsageError
from dashboard_scraper.model.figures import picker, values_of
from dashboard_scraper.model.metrics import DETAILED
from dashboard_scraper.model.usage import DayUsage, EditorLanguageUsage, TenantFigure
from dashboard_scraper.people.people import People
from dashboard_scraper.store import persons
from dashboard_scraper.store.backend import Backend, View
from dashboard_scraper.store.forgetting import remove_person
from dashboard_scraper.store.reader import Reader
from dashboard_scraper.store.revising import Credulous, Policy, Stored, StoredDay
from dashboard_scraper.store.rows import DetailStatus, LedgerDay
from dashboard_scraper.store.schema import (
    CREDIT_DAY,
    EDITOR_LANGUAGE_DAY,
    INFO,
    LAST_SUCCESS,
    TENANT_FIGURE,
    VERSION,
    migrate,
    version_of,
)
from dashboard_scraper.store.versions import Content

Result = TypeVar("Result")

_encode = msgspec.json.Encoder().encode
_detailed_in = picker(DETAILED)


class Store:
    """A place for user-days. Making one touches nothing; only `locked` runs may write.

    `people` say for the views who is one person; without them, what the store noted of that stays.

    Every method raises StoreFailed where the place cannot be read or written, and UsageError where
    it holds what this program does not know.
    """

    def __init__(self, backend: Backend, people: People | None = None) -> None:
        self._backend = backend
        self._people = people
        self._write_lock = threading.Lock()
        self._is_open = False
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

    def check_lock(self) -> None:
        """LockLost where this run had the lock, and another has it by now."""
        with self._explained():
            self._backend.check_lock()

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Make ready to write, within `locked`: a store that is absent is made, an old migrated."""
        with contextlib.ExitStack() as stack:
            with self._explained():
                if not self._backend.exists():
                    self._backend.create()
                stack.enter_context(self._backend.writing())
                self._backend.transact(self._bring_up_to_date)
            self._is_open = True
            try:
                yield
            finally:
                self._backend.hurry()
                with self._write_lock:  # a thread may be about to keep a day
                    self._is_open = False

    def _bring_up_to_date(self, connection: Connection) -> None:
        if self._version(connection) < VERSION:
            migrate(connection)
            persons.add(connection, persons.names_in_days(connection), People())
        if self._people is not None:
            persons.refresh(connection, self._people)

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
        with contextlib.ExitStack() as stack:
            with self._explained():
                if not self._backend.exists():
                    raise UsageError(
                        f"there is no store at {self.shown}; fetch something first, or mend"
                        " STORE_URL"
                    )
                view = stack.enter_context(self._backend.reading())
                if not self._is_open and self._is_old(view):
                    stack.close()
                    with self.locked(), self.opened():
                        pass
                    view = stack.enter_context(self._backend.reading())
            yield Reader(view.connection, self.shown, lambda: self._confirmed(view))

    def as_of(self, moment: datetime) -> Store:
        """The same store for reading, as it was known at the moment."""
        return _StoreAsOf(self, self._backend, moment)

    def _is_old(self, view: View) -> bool:
        """UsageError where it is, and may not be brought up to date by whoever reads."""
        with self._confirmed(view):
            version = self._version(view.connection)
            if version == VERSION:
                return False
            if not self._backend.may_change(view.connection):
                raise UsageError(
                    f"{self.shown} was written by an older version of this program (schema"
                    f" {version}, here {VERSION}), and may only be read here: run `status` once as"
                    " the one who fetches, which brings it up to date"
                )
        return True

    def _write(self, work: Callable[[Connection], Result]) -> Result:
        """One transaction; where a connection is lost, the work may be done once more."""
        with self._write_lock, self._explained():
            if not self._is_open:
                raise StoreFailed(f"{self.shown} is closed: the run has ended")
            return self._backend.transact(work)

    @contextlib.contextmanager
    def _confirmed(self, view: View) -> Iterator[None]:
        with self._explained():
            try:
                yield
            finally:  # what changed under a query may well look like a damaged file
                view.confirm()

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

    def put(
        self,
        source: str,
        usage: DayUsage,
        fetched_at: datetime,
        policy: Policy | None = None,
    ) -> tuple[Stored, LedgerDay | None]:
        """Store an answer for a day, from any thread; returns what became of it, and the ledger's
        row before.

        An answer that differs from the version in force replaces it, unless the policy holds it.
        `fetched_at` is when the fetch began: what the source said then is what is stored.
        """
        self._put_days.add(usage.day)

        def put(connection: Connection) -> tuple[Stored, LedgerDay | None]:
            people = self._people or People()
            stored_day = self._stored_day(connection, source, usage.day)
            stored = stored_day.put(usage, fetched_at, policy or Credulous(), people)
            self._note_names(connection, (user.user for user in usage.users))
            return stored

        return self._write(put)

    def _stored_day(self, connection: Connection, source: str, day: date) -> StoredDay:
        return StoredDay(connection, self._backend.load, source, day)

    def accept(self, source: str, day: date, moment: datetime) -> bool:
        """Put the held version of a day in force, from `moment` on; where none is held, note that
        the day is not suspicious. Returns whether there was anything to accept.
        """
        self._put_days.add(day)
        return self._write(lambda c: self._stored_day(c, source, day).accept(moment))

    def reject(self, source: str, day: date, moment: datetime) -> bool:
        """Leave the held version of a day aside for good; returns whether there was one."""
        return self._write(lambda c: self._stored_day(c, source, day).reject(moment))

    def mark(self, source: str, day: date, moment: datetime, **reasons: str | None) -> None:
        """Write in the ledger why a day is `suspicious`, or what is `held`; None removes it."""
        self._write(lambda c: self._stored_day(c, source, day).mark(moment, **reasons))

    def put_tenant_figures(
        self, source: str, figures: Iterable[TenantFigure], fetched_at: datetime
    ) -> None:
        """Keep what the source said of the tenant in a period, in place of what it said before."""
        table = TENANT_FIGURE
        said = list(figures)

        def replace(connection: Connection) -> None:
            for figure in said:
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

        self._write(replace)

    def put_editor_languages(
        self,
        source: str,
        day: date,
        usages: Iterable[EditorLanguageUsage],
        status: DetailStatus,
        moment: datetime,
    ) -> None:
        """Store a day's figures by editor and language; its users' figures are there already."""
        content = {
            (each.user, each.editor, each.language): _detailed_in(values_of(each.figures))
            for each in usages
        }
        noted = {"editor_language": status.value, "editor_language_at": moment}
        self._put_details(EDITOR_LANGUAGE_DAY, source, day, content, noted)

    def put_credits(
        self, source: str, day: date, credits_of: Mapping[str, float], moment: datetime
    ) -> None:
        """Store what each user consumed on a day whose users' figures are there."""
        content = {(user,): (consumed,) for user, consumed in credits_of.items()}
        noted = {"credits": DetailStatus.COMPLETE.value, "credits_at": moment}
        self._put_details(CREDIT_DAY, source, day, content, noted)

    def _put_details(
        self, table: Table, source: str, day: date, content: Content, noted: dict[str, Any]
    ) -> None:

        def put(connection: Connection) -> None:
            self._stored_day(connection, source, day).put_details(table, content, noted)
            self._note_names(connection, (key[0] for key in content))

        self._write(put)

    def _note_names(self, connection: Connection, names: Iterable[str]) -> None:
        persons.add(connection, names, self._people or People())

    def put_success(self, source: str, moment: datetime) -> None:
        """Note that a run got all that it was to get."""
        self.put_note(f"{LAST_SUCCESS}:{source}", moment.isoformat())

    def put_note(self, name: str, value: str) -> None:
        """Leave something under a name for the next run."""

        def replace(connection: Connection) -> None:
            connection.execute(delete(INFO).where(INFO.c.name == name))
            connection.execute(insert(INFO).values(name=name, value=value))

        self._write(replace)

    def forget(self, user: str) -> int:
        """Remove a person under every spelling and address; returns the number of rows.

        The ledger says for each day how many users it lost, and has the sums of those who are left.
        """
        people = self._people or People()
        removed = self._write(lambda connection: remove_person(connection, people, user))
        self._scrub()  # also without rows: an earlier call may have been cut off right here
        return removed

    def _scrub(self) -> None:
        try:
            with self._write_lock, self._explained():
                self._backend.scrub()
        except StoreFailed as error:
            raise StoreFailed(
                f"the rows are removed, but copies of them may be left in the store's files; mend"
                f" this, and run the same again: {error}"
            ) from error


class _StoreAsOf(Store):
    """What a store knew at an earlier moment."""

    def __init__(self, store: Store, backend: Backend, moment: datetime) -> None:
        super().__init__(backend)
        self._store = store
        self._moment = moment

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reader]:
        """A view of the store as it was."""
        # Imported here: who asks for no such moment needs no SQLite.
        from dashboard_scraper.store.as_of import snapshot  # noqa: PLC0415

        with self._store.reading() as reader, contextlib.ExitStack() as stack:
            with self._explained():
                copy = stack.enter_context(snapshot(reader.connection, self._moment))
            yield Reader(copy, self.shown, contextlib.nullcontext)
