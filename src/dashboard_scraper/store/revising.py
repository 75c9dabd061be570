"""Storing an answer for a day: as its first version, a repeat, a revision, or a held version.

Versions are never overwritten: one that is no longer in force is archived with its ledger row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from typing import Any, Protocol

import msgspec
from sqlalchemy import Connection, RowMapping, Table, bindparam, select

from dashboard_scraper.model.columns import Columns
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.people.people import People
from dashboard_scraper.store import day_people, persons
from dashboard_scraper.store.backend import Load
from dashboard_scraper.store.history import Change, VersionState
from dashboard_scraper.store.movements import movement_of
from dashboard_scraper.store.rows import (
    DetailStatus,
    LedgerDay,
    ledger_day,
    ledger_row,
    record_rows,
    user_rows,
)
from dashboard_scraper.store.schema import (
    ANSWER_TABLES,
    DAY_FETCH,
    DAY_LEDGER,
    DAY_MARK,
    DAY_TABLES,
    DAY_VERSION,
    DETAIL_TABLES,
    RECORD_DAY,
    SUM_COLUMNS,
    TOTAL_COLUMNS,
    USER_DAY,
)
from dashboard_scraper.store.statements import (
    deletion_of_day,
    deletion_of_version,
    insertion,
    is_of_day,
    rows_of_day,
    update_of_day,
    update_of_version,
    version_values,
)
from dashboard_scraper.store.unjudged import NOT_JUDGED
from dashboard_scraper.store.versions import Content, DayRows, difference

_MARKS = ("held", "suspicious")
_OF_FIGURES = ("status", "users", "active_users", *(column.name for column in SUM_COLUMNS))
"""The columns of the ledger that describe the figures."""

# Each is built once: see `statements`.
_OF_FETCH = deletion_of_day(DAY_FETCH).where(DAY_FETCH.c.fetched_at == bindparam("at"))
_OF_MARK = deletion_of_day(DAY_MARK).where(DAY_MARK.c.marked_at == bindparam("at"))
_CURRENT = select(DAY_LEDGER.c.version).where(is_of_day(DAY_LEDGER))
_CURRENT_MARKS = select(*(DAY_LEDGER.c[name] for name in _MARKS)).where(is_of_day(DAY_LEDGER))
_NEVER = [state.value for state in VersionState if state is not VersionState.SUPERSEDED]
_NEVER_IN_FORCE = rows_of_day(DAY_VERSION).where(
    DAY_VERSION.c.digest == bindparam("with_digest"),
    DAY_VERSION.c.state.in_(_NEVER),
)
_HELD = rows_of_day(DAY_VERSION).where(DAY_VERSION.c.state == VersionState.HELD.value)

Answer = dict[Table, Content]
"""The rows of one answer, in each of ANSWER_TABLES."""


class Stored(Enum):
    """What was done with an answer by `put`."""

    FIRST = "first"  # the day was missing before
    SAME = "same"  # it equals the version in force
    REVISED = "revised"  # it replaced the version in force
    HELD = "held"
    REJECTED = "rejected"  # it equals a version that was rejected


class Policy(Protocol):
    """Decides whether an answer that differs from the version in force replaces it."""

    def is_settled(self, stored: LedgerDay) -> bool:
        """Whether the day was settled when it was fetched."""
        ...

    def reason_to_hold(self, change: Change) -> str | None:
        """Why the change needs a decision, in words; None to accept it."""
        ...


class AcceptAll:
    """The policy that accepts every change."""

    def is_settled(self, stored: LedgerDay) -> bool:  # noqa: ARG002
        """True, so that details stay if an answer repeats."""
        return True

    def reason_to_hold(self, change: Change) -> str | None:  # noqa: ARG002
        """No reason."""
        return None


class StoredDay:
    """One day of the store, within a transaction."""

    def __init__(self, connection: Connection, load: Load, source: str, day: date) -> None:
        self._connection = connection
        self._source = source
        self._day = day
        self.rows = DayRows(connection, source, day, load)

    def put(
        self,
        usage: DayUsage,
        fetched_at: datetime,
        policy: Policy,
        people: People,
        suspicious: str | None = None,
    ) -> tuple[Stored, LedgerDay | None]:
        """Store an answer; returns what was done with it, and the ledger's row before.

        New figures get the mark `suspicious`, if it is given.
        """
        row = ledger_row(self._source, usage, fetched_at)
        new = user_rows(usage)
        self._add_persons(new, people)
        answer = {USER_DAY: new, RECORD_DAY: record_rows(usage)}
        current = self._in_force()
        if current is None:
            self._put_first(row, answer, suspicious)
            return Stored.FIRST, None
        before = ledger_day(current)
        stored = {table: self.rows.current(table) for table in ANSWER_TABLES}
        old = stored[USER_DAY]
        if _is_damaged(old, before):  # comparing with damaged rows is useless: repair them
            if row["digest"] != current["digest"]:
                self._supersede(current, row, stored, answer, suspicious)
                return Stored.REVISED, before
            self.rows.replace(USER_DAY, old, new)
            stored[USER_DAY] = old = new
        else:
            self._repair_people(old, people)
        # After `forget`, even an equal answer is a revision: then nobody is missing any more.
        if new == old and _totals_of(row) == _totals_of(current) and not before.forgotten:
            self._update_records(before.version, stored, answer)
            self._repeat(current, row, answer, settled=policy.is_settled(before))
            return Stored.SAME, before
        change = Change(before, ledger_day(row), movement_of(old, new, people))
        return self._decide(change, current, row, stored, answer, policy, suspicious), before

    def _decide(
        self,
        change: Change,
        current: RowMapping,
        row: dict[str, Any],
        stored: Answer,
        answer: Answer,
        policy: Policy,
        suspicious: str | None,
    ) -> Stored:
        """Put figures in force that differ from the current ones, unless they were rejected or are
        held.
        """
        known, fetched_at = self._version_like(row), row["fetched_at"]
        if known is not None and known["state"] == VersionState.REJECTED.value:
            self._repeat_archived(known, fetched_at)
            return Stored.REJECTED
        reason = policy.reason_to_hold(change)
        if reason is None:
            self._supersede(current, row, stored, answer, suspicious)
            return Stored.REVISED
        if known is None:
            self._hold(change, row, stored, answer)
        else:
            self._repeat_archived(known, fetched_at)
        self.mark(fetched_at, held=reason)
        return Stored.HELD

    def _add_persons(self, rows: Content, people: People) -> None:
        names = (name for (name,) in rows)
        known = self.rows.numbers
        self.rows.numbers = persons.add(self._connection, self._source, names, people, known)

    def _put_first(self, row: dict[str, Any], answer: Answer, suspicious: str | None) -> None:
        """Store the first answer for the day."""
        self._replace_rows({}, answer)
        self._connection.execute(insertion(DAY_LEDGER), {**row, "suspicious": suspicious})
        self._record_fetch(row["fetched_at"], row["version"])
        if suspicious:
            self._record_marks(row["fetched_at"], {"held": None, "suspicious": suspicious})

    def _repair_people(self, rows: Content, people: People) -> None:
        """Write the bitmaps again, and lost names, if they do not match the rows."""
        source, day, numbers = self._source, self._day, self.rows.numbers
        if not day_people.is_right(self._connection, source, day, rows, numbers):
            self._add_persons(rows, people)
            self.rows.replace(USER_DAY, rows, rows)

    def _replace_rows(self, old: Answer, new: Answer) -> None:
        for table in ANSWER_TABLES:
            self.rows.replace(table, old.get(table, {}), new[table])

    def _update_records(self, current: int, old: Answer, new: Answer) -> None:
        """Store records that changed without any figure, in a field unknown to the catalogue."""
        if old[RECORD_DAY] != new[RECORD_DAY]:
            self.rows.rebase(RECORD_DAY, current, old[RECORD_DAY], new[RECORD_DAY])
            self.rows.replace(RECORD_DAY, old[RECORD_DAY], new[RECORD_DAY])

    def _in_force(self) -> RowMapping | None:
        found: RowMapping | None = self.rows.execute(rows_of_day(DAY_LEDGER)).mappings().first()
        return found

    def _record_fetch(self, fetched_at: datetime, version: int) -> None:
        self.rows.execute(_OF_FETCH, {"at": fetched_at})
        self._connection.execute(
            insertion(DAY_FETCH),
            {
                "source": self._source,
                "day": self._day,
                "fetched_at": fetched_at,
                "version": version,
            },
        )

    def _update_ledger(self, **values: Any) -> None:
        self.rows.execute(update_of_day(DAY_LEDGER), values)

    def _repeat(
        self, current: Mapping[Any, Any], row: dict[str, Any], content: Answer, *, settled: bool
    ) -> None:
        """Record that the source gave the same answer again.

        Details (editors and languages, credits) of a settled day stay. Otherwise they may have
        changed although the users' figures have not: they are archived as a separate version, so
        that they are fetched again.
        """
        # The same figures give the same sums, unless those in the ledger are damaged.
        of_figures = {name: row[name] for name in _OF_FIGURES}
        current = {**current, **of_figures}
        later = current["fetched_at"].date() < row["fetched_at"].date()
        repeats = current["repeats"] + later
        wrong = current["editor_language"] == DetailStatus.UNRECONCILED.value
        has_details = current["editor_language"] or current["credits"]
        if wrong or (has_details and not settled):
            again = {**row, "repeats": repeats}
            self._supersede(current, again, content, content, suspicious=current["suspicious"])
            return
        self._withdraw_held(row["fetched_at"])
        self._update_ledger(
            fetched_at=row["fetched_at"], digest=row["digest"], repeats=repeats, **of_figures
        )
        self.mark(row["fetched_at"], held=None)
        self._record_fetch(row["fetched_at"], current["version"])

    def _current(self) -> int:
        number: int = self.rows.execute(_CURRENT).scalar_one()
        return number

    def _newest(self) -> int:
        """The highest number that a version of the day has."""
        return max([self._current(), *self.rows.bases()])

    def _supersede(
        self,
        current: Mapping[Any, Any],
        row: dict[str, Any],
        old: Answer,
        new: Answer,
        suspicious: str | None = None,
    ) -> None:
        """Put a new answer in force, with the next number."""
        self._withdraw_held(row["fetched_at"])
        row["version"] = self._newest() + 1
        self._record_fetch(row["fetched_at"], row["version"])
        self._replace(dict(current), row, old, new, suspicious)

    def _replace(
        self,
        current: dict[str, Any],
        row: dict[str, Any],
        old: Answer,
        new: Answer,
        suspicious: str | None = None,
    ) -> None:
        """Put a ledger row and its users' rows in force, and archive the `current` ones."""
        archived = VersionState.SUPERSEDED
        self._add_version(current, archived, row["version"], row["accepted_at"])
        for table in ANSWER_TABLES:
            delta = difference(old[table], new[table])
            self.rows.put_delta(table, current["version"], delta)
        for table in DETAIL_TABLES:  # the new version has no details until they are fetched
            self.rows.put_delta(table, current["version"], {**self.rows.current(table)})
            self.rows.execute(deletion_of_day(table))
        self._replace_rows(old, new)
        self.rows.execute(deletion_of_day(DAY_LEDGER))
        marks = {name: current[name] for name in _MARKS}
        self._connection.execute(insertion(DAY_LEDGER), {**row, **marks})
        self.mark(row["accepted_at"], held=None, suspicious=suspicious)

    def _add_version(
        self, row: dict[str, Any], state: VersionState, base: int, since: datetime, **beside: str
    ) -> None:
        values = {**row, **beside, "state": state.value, "base": base, "state_since": since}
        self._connection.execute(insertion(DAY_VERSION), values)

    def _hold(self, change: Change, row: dict[str, Any], old: Answer, new: Answer) -> None:
        number, since = self._newest() + 1, row["fetched_at"]
        self._withdraw_held(since)
        row |= {"version": number, "accepted_at": None}
        movement = msgspec.json.encode(change.movement).decode()
        self._add_version(row, VersionState.HELD, change.before.version, since, movement=movement)
        for table in ANSWER_TABLES:
            self.rows.put_delta(table, number, difference(new[table], old[table]))
        self._record_fetch(since, number)

    def _repeat_archived(self, known: RowMapping, fetched_at: datetime) -> None:
        """Record that the source repeated an answer that is stored but not in force."""
        number = known["version"]
        self._withdraw_held(fetched_at, but=number)
        again = known["fetched_at"].date() < fetched_at.date()
        values: dict[str, Any] = {"fetched_at": fetched_at, "repeats": known["repeats"] + again}
        if known["state"] == VersionState.WITHDRAWN.value:
            values |= {"state": VersionState.HELD.value, "state_since": fetched_at, "repeats": 0}
        self._update_version(number, **values)
        self._record_fetch(fetched_at, number)
        self.mark(fetched_at, held=None)

    def _version_like(self, row: dict[str, Any]) -> RowMapping | None:
        """The version with the same figures among those that were never in force."""
        of_digest = {"with_digest": row["digest"]}
        found: Sequence[RowMapping] = self.rows.execute(_NEVER_IN_FORCE, of_digest).mappings().all()
        return next((each for each in found if _totals_of(each) == _totals_of(row)), None)

    def _update_version(self, number: int, **values: Any) -> None:
        self.rows.execute(update_of_version(DAY_VERSION), {**version_values(number), **values})

    def _withdraw_held(self, moment: datetime, but: int | None = None) -> None:
        """Withdraw the held version, since the source has given another answer."""
        for held in self._held():
            if held["version"] != but:
                self._update_version(
                    held["version"], state=VersionState.WITHDRAWN.value, state_since=moment
                )

    def _held(self) -> Sequence[RowMapping]:
        """The held version: at most one."""
        found: Sequence[RowMapping] = self.rows.execute(_HELD).mappings().all()
        return found

    def accept(self, moment: datetime) -> bool:
        """Put the held version in force; without one, clear the day's `suspicious` mark.

        Returns whether there was anything to accept.
        """
        current = self._in_force()
        if current is None:
            return False
        for held in self._held():
            self._put_in_force(dict(held), dict(current), moment)
            return True
        self.mark(moment, suspicious=None)
        return current["suspicious"] is not None

    def _put_in_force(
        self, held: dict[str, Any], current: dict[str, Any], moment: datetime
    ) -> None:
        number = held["version"]
        old = {table: self.rows.current(table) for table in ANSWER_TABLES}
        new = {table: self.rows.version(table, number) for table in ANSWER_TABLES}
        for table in DAY_TABLES:
            self.rows.drop_delta(table, number)
        self.rows.execute(deletion_of_version(DAY_VERSION), version_values(number))
        row = {column.name: held[column.name] for column in DAY_LEDGER.c}
        self._replace(current, row | {"accepted_at": moment}, old, new)

    def reject(self, moment: datetime) -> bool:
        """Reject the held version for good; returns whether there was one."""
        held = list(self._held())
        for each in held:
            self._update_version(
                each["version"], state=VersionState.REJECTED.value, state_since=moment
            )
        if held:
            self.mark(moment, held=None)
        return bool(held)

    def mark(self, moment: datetime, **reasons: str | None) -> None:
        """Set or clear `held` or `suspicious` in the ledger, and record when for `as_of`."""
        before = self._marks()
        marks = {**before, **reasons}
        if marks != before:
            self._update_ledger(**marks)
            self._record_marks(moment, marks)

    def _marks(self) -> dict[str, str | None]:
        """The marks of the version in force."""
        return dict(self.rows.execute(_CURRENT_MARKS).mappings().one())

    def _record_marks(self, moment: datetime, marks: dict[str, str | None]) -> None:
        self.rows.execute(_OF_MARK, {"at": moment})
        row = {"source": self._source, "day": self._day, "marked_at": moment, **marks}
        self._connection.execute(insertion(DAY_MARK), row)

    def judged(self, moment: datetime) -> None:
        """Clear the mark of a day that was not judged yet."""
        if self._marks()["suspicious"] == NOT_JUDGED:
            self.mark(moment, suspicious=None)

    def put_details(self, table: Table, content: Content, status: dict[str, Any]) -> None:
        """Upsert the details fetched for the version in force."""
        old = self.rows.current(table)
        self.rows.rebase(table, self._current(), old, content)
        self.rows.replace(table, old, content)
        self._update_ledger(**status)


def _is_damaged(content: Content, ledger: LedgerDay) -> bool:
    """Whether the rows do not match the ledger's counts."""
    if len(content) != ledger.users:
        return True
    return bool(content) and Columns(content.values()).sums() != ledger.sums


def _totals_of(row: Any) -> list[int | None]:
    return [row[column.name] for column in TOTAL_COLUMNS.values()]
