"""The store: every user-day that was ever fetched, and the ledger of days.

A day and its row in the ledger are written in one transaction: a day is complete or missing.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, bindparam, delete
from sqlalchemy.exc import OperationalError

from dashboard_scraper.errors import StoreFailed, UsageError
from dashboard_scraper.model.costs import Budget, CostDay, CostDifference
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import picker, values_of
from dashboard_scraper.model.metrics import DETAILED
from dashboard_scraper.model.seats import Seat
from dashboard_scraper.model.usage import DayUsage, EditorLanguageUsage, TenantFigure
from dashboard_scraper.people.people import People
from dashboard_scraper.store import day_people, persons, runs, unversioned
from dashboard_scraper.store.backend import Backend, View, first_line_of
from dashboard_scraper.store.cost_days import LossPolicy, StoredCosts, mark_days
from dashboard_scraper.store.cost_rows import CostLedgerDay
from dashboard_scraper.store.forgetting import remove_person
from dashboard_scraper.store.migration import migrate, version_of
from dashboard_scraper.store.notices import Notice
from dashboard_scraper.store.notices import put as put_notices
from dashboard_scraper.store.reader import Reader
from dashboard_scraper.store.revising import AcceptAll, Policy, Stored, StoredDay
from dashboard_scraper.store.rows import DetailStatus, LedgerDay
from dashboard_scraper.store.schema import (
    CREDIT_DAY,
    EDITOR_LANGUAGE_DAY,
    INFO,
    LAST_SUCCESS,
    SEATS,
    VERSION,
)
from dashboard_scraper.store.statements import insertion
from dashboard_scraper.store.unjudged import NOT_JUDGED
from dashboard_scraper.store.versions import Content

Result = TypeVar("Result")

_detailed_in = picker(DETAILED)

# Built once: see `statements`.
_DELETION_OF_NOTE = delete(INFO).where(INFO.c.name == bindparam("note"))


class Store:
    """A store of user-days. Creating the object opens nothing; writing requires `locked`.

    `people` says which names are one person, for the views; without it, the stored keys stay.

    Every method raises StoreFailed if the store cannot be read or written, and UsageError if it is
    not a store, or is one of a newer version.
    """

    def __init__(self, backend: Backend, people: People | None = None) -> None:
        self._backend = backend
        self._people = people
        self._write_lock = threading.Lock()
        self._is_open = False
        self.is_new = False
        """Whether this object has created the store."""
        self._put_days: set[date] = set()
        self._numbers: Mapping[str, int] = {}

    @property
    def put_days(self) -> frozenset[date]:
        """Days that this object has written, or tried to."""
        return frozenset(self._put_days)

    @property
    def shown(self) -> str:
        """The store's place without a password, for logs and messages."""
        return self._backend.shown

    def exists(self) -> bool:
        """Whether there is a store, or anything else, in this place."""
        with self._explained():
            return self._backend.exists()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the store's lock; if another run has it, LockHeld, which names the holder."""
        with contextlib.ExitStack() as held:
            with self._explained():
                held.enter_context(self._backend.locked())
            yield

    def check_lock(self) -> None:
        """Raise LockLost if another run has taken over the lock."""
        with self._explained():
            self._backend.check_lock()

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Open for writing, within `locked`: create a missing store, migrate an old one."""
        with contextlib.ExitStack() as stack:
            with self._explained():
                if not self._backend.exists():
                    self._backend.create()
                    self.is_new = True
                stack.enter_context(self._backend.writing())
                self._backend.transact(self._bring_up_to_date)
            self._numbers = {}  # another run may have removed people
            self._is_open = True
            try:
                yield
            finally:
                self._backend.stop_waiting()
                with self._write_lock:  # a worker thread may still be writing a day
                    self._is_open = False

    def _bring_up_to_date(self, connection: Connection) -> None:
        if self._version(connection) < VERSION:
            migrate(connection)
            for source, names in persons.names_by_source(connection).items():
                persons.add(connection, source, names, People())
            persons.add_numbers(connection)
            day_people.fill(connection)
        if self._people is not None:
            persons.refresh(connection, self._people)

    def _version(self, connection: Connection) -> int:
        version = version_of(connection)
        if version is None:
            raise UsageError(f"{self.shown} is not a store of usage figures; fix STORE_URL")
        if version > VERSION:
            raise UsageError(
                f"{self.shown} was written by a newer version of this program (schema {version},"
                f" here {VERSION}); update the program"
            )
        return version

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reader]:
        """A snapshot of the store as it is now, whatever is written meanwhile."""
        with contextlib.ExitStack() as stack:
            with self._explained():
                if not self._backend.exists():
                    raise UsageError(
                        f"there is no store at {self.shown}; fetch something first, or fix"
                        " STORE_URL"
                    )
                view = stack.enter_context(self._backend.reading())
                # While this object writes, the store has been migrated already.
                if not self._is_open and self._is_old(view):
                    stack.close()
                    with self.locked(), self.opened():
                        pass
                    view = stack.enter_context(self._backend.reading())
            yield Reader(view.connection, self.shown, lambda: self._confirmed(view))

    def state(self) -> Hashable:
        """Equal to an earlier state only if no program committed anything in between."""
        with self._explained():
            return self._backend.watch.state()

    def close(self) -> None:
        """Close the connection that `state` keeps open."""
        self._backend.watch.close()

    def as_of(self, moment: datetime) -> Store:
        """The store for reading, as of an earlier moment; UsageError for a lake."""
        return _StoreAsOf(self.with_versions(), self._backend, moment)

    def with_versions(self) -> Store:
        """This store; UsageError for a lake."""
        if not self._backend.has_versions:
            raise UsageError(
                f"{self.shown} has each day as it is now: for other versions, read the store that"
                " is exported to it"
            )
        return self

    def _is_old(self, view: View) -> bool:
        """Whether the store needs a migration; UsageError if this user may not migrate it."""
        with self._confirmed(view):
            version = self._version(view.connection)
            if version == VERSION:
                return False
            if not self._backend.may_change(view.connection):
                raise UsageError(
                    f"{self.shown} was written by an older version of this program (schema"
                    f" {version}, here {VERSION}), and this user may only read it: run `status`"
                    " once as the user who fetches, which migrates it"
                )
        return True

    def _write(self, work: Callable[[Connection], Result]) -> Result:
        """Run the work in one transaction; if the connection is lost, the work may run again."""
        with self._write_lock, self._explained():
            if not self._is_open:
                raise StoreFailed(f"{self.shown} is closed: the run has ended")
            return self._backend.transact(work)

    @contextlib.contextmanager
    def _confirmed(self, view: View) -> Iterator[None]:
        with self._explained():
            try:
                yield
            finally:  # also after an error: a file that changes during a query may look damaged
                view.confirm()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except self._backend.errors as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> StoreFailed:
        message, advice = first_line_of(error), self._backend.explain(error)
        failed = StoreFailed(f"{self.shown}: {message}" + (f"; {advice}" if advice else ""))
        failed.is_away = isinstance(error, OperationalError)
        return failed

    def put(
        self,
        source: str,
        usage: DayUsage,
        fetched_at: datetime,
        policy: Policy | None = None,
    ) -> tuple[Stored, LedgerDay | None]:
        """Upsert an answer for a day, from any thread; returns what was done with it, and the
        ledger's row before.

        An answer that differs from the version in force replaces it, unless the policy holds it.
        With a policy, new figures are marked as not judged yet, until they are `judged`.
        `fetched_at` is when the fetch began: the answer may lack anything that happened since.
        """
        self._put_days.add(usage.day)

        def put(connection: Connection) -> tuple[Stored, LedgerDay | None, Mapping[str, int]]:
            people = (self._people or People()).of(source)
            stored_day = self._stored_day(connection, source, usage.day)
            stored_day.rows.numbers = self._numbers
            stored, before = stored_day.put(
                usage,
                fetched_at,
                policy or AcceptAll(),
                people,
                suspicious=NOT_JUDGED if policy else None,
            )
            return stored, before, stored_day.rows.numbers

        stored, before, self._numbers = self._write(put)
        return stored, before

    def _stored_day(self, connection: Connection, source: str, day: date) -> StoredDay:
        return StoredDay(connection, self._backend.load, source, day)

    def accept(self, source: str, day: date, moment: datetime) -> bool:
        """Put the held version of a day in force from `moment` on; without one, clear the day's
        `suspicious` mark. No run judges the day any more. Returns whether there was anything to
        accept.
        """
        self._put_days.add(day)
        return self._write(lambda c: self._stored_day(c, source, day).accept(moment))

    def reject(self, source: str, day: date, moment: datetime) -> bool:
        """Reject the held version of a day for good; returns whether there was one."""
        return self._write(lambda c: self._stored_day(c, source, day).reject(moment))

    def mark(self, source: str, day: date, moment: datetime, **reasons: str | None) -> None:
        """Set in the ledger why a day is `suspicious`, or what is `held`; None clears it."""
        self._write(lambda c: self._stored_day(c, source, day).mark(moment, **reasons))

    def judged(self, source: str, days: Collection[date], moment: datetime) -> None:
        """Record that these days were compared with other days, and marked if they are odd."""

        def judged(connection: Connection) -> None:
            for day in days:
                self._stored_day(connection, source, day).judged(moment)

        if days:
            self._write(judged)

    def put_costs(
        self,
        source: str,
        costs: CostDay,
        fetched_at: datetime,
        without: Collection[str] = (),
        policy: LossPolicy | None = None,
    ) -> tuple[Stored, CostLedgerDay | None]:
        """Upsert the costs of a day, from any thread; returns what was done with them, and the
        ledger's row before. An answer that differs from the version in force replaces it; with a
        policy, it is marked where it may lack costs.

        The rows of users in `without`, who were removed from the store, are not stored.
        """

        def put(connection: Connection) -> tuple[Stored, CostLedgerDay | None]:
            stored = StoredCosts(connection, source, costs.day, self._backend.load)
            return stored.put(costs, fetched_at, self._people or People(), without, policy)

        return self._write(put)

    def mark_costs(
        self, source: str, window: Window, differences: Sequence[CostDifference]
    ) -> None:
        """Set the differences of a period whose costs do not add up, for each of its stored days; a
        day's next different answer removes them.
        """
        self._write(lambda connection: mark_days(connection, source, window, differences))

    def put_budgets(self, source: str, budgets: Iterable[Budget], fetched_at: datetime) -> None:
        """Replace the limits of users by those that the source reports now."""
        listed = list(budgets)  # the work may run twice

        def replace(connection: Connection) -> None:
            unversioned.put_budgets(connection, source, listed, fetched_at)
            self._add_names(connection, source, (budget.user for budget in listed))

        self._write(replace)

    def put_seats(self, source: str, seats: Iterable[Seat], fetched_at: datetime) -> None:
        """Upsert the seats that the source reports now; seats that it no longer reports stay, but
        are not current.
        """
        listed = list(seats)  # the work may run twice

        def put(connection: Connection) -> None:
            unversioned.put_seats(connection, source, listed, fetched_at)
            self._add_names(connection, source, (seat.user for seat in listed))
            self._put_note(connection, f"{SEATS}:{source}", fetched_at.isoformat())

        self._write(put)

    def put_tenant_figures(
        self, source: str, figures: Iterable[TenantFigure], fetched_at: datetime
    ) -> None:
        """Upsert the tenant's figures of a period."""
        rows = list(figures)  # the work may run twice
        self._write(lambda c: unversioned.put_tenant_figures(c, source, rows, fetched_at))

    def put_editor_languages(
        self,
        source: str,
        day: date,
        usages: Iterable[EditorLanguageUsage],
        status: DetailStatus,
        moment: datetime,
    ) -> None:
        """Upsert a day's figures by editor and language; its users' figures must be stored."""
        content = {
            (each.user, each.editor, each.language): _detailed_in(values_of(each.figures))
            for each in usages
        }
        ledger = {"editor_language": status.value, "editor_language_at": moment}
        self._put_details(EDITOR_LANGUAGE_DAY, source, day, content, ledger)

    def put_credits(
        self, source: str, day: date, credits_of: Mapping[str, float], moment: datetime
    ) -> None:
        """Upsert each user's credits of a day; its users' figures must be stored."""
        content = {(user,): (consumed,) for user, consumed in credits_of.items()}
        ledger = {"credits": DetailStatus.COMPLETE.value, "credits_at": moment}
        self._put_details(CREDIT_DAY, source, day, content, ledger)

    def _put_details(
        self, table: Table, source: str, day: date, content: Content, ledger: dict[str, Any]
    ) -> None:

        def put(connection: Connection) -> None:
            self._stored_day(connection, source, day).put_details(table, content, ledger)
            self._add_names(connection, source, (key[0] for key in content))

        self._write(put)

    def _add_names(self, connection: Connection, source: str, names: Iterable[str]) -> None:
        persons.add(connection, source, names, self._people or People())

    def start_run(self, source: str, command: str, started_at: datetime, version: str) -> int:
        """Record that a run for the source has begun; returns its number for `end_run`."""
        return self._write(lambda c: runs.start(c, source, command, started_at, version))

    def end_run(
        self, number: int, ended_at: datetime, exit_code: int, counts: runs.RunCounts
    ) -> None:
        """Record how a run ended."""
        self._write(lambda c: runs.end(c, number, ended_at, exit_code, counts))

    def put_notices(self, notices: Iterable[Notice]) -> None:
        """Upsert notices, sent or not."""
        rows = list(notices)  # the work may run twice
        self._write(lambda connection: put_notices(connection, rows))

    def put_success(self, source: str, moment: datetime) -> None:
        """Record that a run fetched everything that it should have."""
        self.put_note(f"{LAST_SUCCESS}:{source}", moment.isoformat())

    def put_note(self, name: str, value: str) -> None:
        """Upsert a value under a name, for later runs."""
        self._write(lambda connection: self._put_note(connection, name, value))

    def _put_note(self, connection: Connection, name: str, value: str) -> None:
        connection.execute(_DELETION_OF_NOTE, {"note": name})
        connection.execute(insertion(INFO), {"name": name, "value": value})

    def forget(self, user: str, source: str = "") -> int:
        """Remove a person under every name in every source; returns the number of deleted rows.

        Afterwards, the ledger has the sums of the remaining users and the number of removed ones. A
        name that is not an address is one in the spelling of this `source`.
        """
        people = (self._people or People()).of(source)
        removed = self._write(lambda connection: remove_person(connection, people, user))
        self._numbers = {}
        self._scrub()  # even without rows: an earlier call may have been interrupted before this
        return removed

    def _scrub(self) -> None:
        try:
            with self._write_lock, self._explained():
                self._backend.scrub()
        except StoreFailed as error:
            raise StoreFailed(
                "the rows are removed, but copies of them may be left in the store's files; fix"
                f" this, and run the same command again: {error}"
            ) from error


class _StoreAsOf(Store):
    """A store as of an earlier moment."""

    def __init__(self, store: Store, backend: Backend, moment: datetime) -> None:
        super().__init__(backend)
        self._store = store
        self._moment = moment

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reader]:
        """A snapshot of the store as of the moment."""
        # Imported on use: a PostgreSQL store needs SQLite for nothing else.
        from dashboard_scraper.store.as_of import snapshot  # noqa: PLC0415

        with self._store.reading() as reader, contextlib.ExitStack() as stack:
            with self._explained():
                copy = stack.enter_context(snapshot(reader.connection, self._moment))
            yield Reader(copy, self.shown, contextlib.nullcontext, self._moment)
