"""GitHub's reports, from records that came from GitHub and are passed on unchanged.

Values stay as they were written: a number keeps its digits, absent fields stay absent, and null
stays null. Nothing is computed. Only the period in the fields about a report is that of the report
that is written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import Any

import msgspec

from dashboard_scraper.errors import StoreFailed
from dashboard_scraper.github.kinds import Report, Scope, Subject
from dashboard_scraper.github.record_fields import SHOWN_OF_PEOPLE
from dashboard_scraper.github.reports import chunked, team_rows
from dashboard_scraper.model.dates import Window, end_of_day, iso_utc
from dashboard_scraper.model.listing import listed, listed_days
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.identity import Person, Persons, persons_of
from dashboard_scraper.people.people import People
from dashboard_scraper.people.pseudonyms import Rename, hidden
from dashboard_scraper.store import LedgerDay, Reader, RecordedDay
from dashboard_scraper.store.day_people import new_on

Fields = dict[str, Any]
"""The fields of a record, each as the JSON text that GitHub sent."""

TENANT = ""
"""The user name under which the store has the records on everybody."""
_ENTERPRISE, _ORGANIZATION = "enterprise_id", "organization_id"
_USER, _LOGIN = "user_id", "user_login"
_OF_REPORT = ("report_start_day", "report_end_day")

_encode = msgspec.json.Encoder().encode
_fields_in = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items_in = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Account(msgspec.Struct, frozen=True):
    user_id: int | None = None
    user_login: str | None = None


_account_in = msgspec.json.Decoder(_Account).decode


def recorded_persons(reader: Reader, source: str, audience: Audience) -> Persons:
    """Everybody by name, with the login and id of their newest record and the teams of
    IDENTITY_FILE; with pseudonyms, if these are set.
    """
    names = reader.first_days(source)
    if audience.anonymous:
        return persons_of(names, {}, audience.rename, People())
    known = audience.persons(names)
    accounts = _newest_accounts(reader, source)
    return {
        name: (
            Person(account.user_login, account.user_id, person.teams)
            if (account := accounts.get(name)) and account.user_login and account.user_id
            else person
        )
        for name, person in known.items()
    }


def _newest_accounts(reader: Reader, source: str) -> dict[str, _Account]:
    newest_first = reversed(reader.people(source).items())
    found = {}
    for day, new in new_on((day, people.listed) for day, people in newest_first):
        records = reader.records(source, day)
        for name in reader.names_of(new):
            if name in records:
                with _readable(day):
                    found[name] = _account_in(records[name])
    return found


def unrecorded(reader: Reader, source: str, window: Window) -> list[date]:
    """The stored days for which some records are not in the store, such as days from before it
    stored records.
    """
    ledger, recorded = reader.ledger(source, window), reader.recorded(source, window)
    return [
        day
        for day, row in ledger.items()
        if row.users != (recorded[day].users if day in recorded else 0)
    ]


def no_records(days: Collection[date]) -> str:
    """The days, and what can be done about them."""
    return (
        f"{listed_days(days)}: the store has only the figures of these days; to get the records"
        " too, fetch them again with --refresh"
    )


class RecordedReports:
    """Writes the reports of a source with records, from one snapshot of the store.

    Days `without` are treated as if they were not stored. Afterwards, `remarks` has what a reader
    should know.
    """

    def __init__(
        self,
        reader: Reader,
        source: str,
        audience: Audience,
        persons: Persons,
        without: Collection[date] = (),
    ) -> None:
        self._reader = reader
        self._source = source
        self._audience = audience
        self._persons = persons
        self._without = without
        self._left_out: set[str] = set()

    def missing(self, report: Report) -> list[date]:
        """The days that are not in the report: they are not stored, or have no such records, or
        only records of another scope.
        """
        there = self._recorded(report)
        return [day for day in report.days.days() if day not in there]

    def absence(self, report: Report) -> str:
        """Why there is no such report, if it has nothing from any of its days."""
        recorded, scope = self._reader.recorded(self._source, report.days), report.scope.value
        if others := [day for day, each in recorded.items() if _scope_of(each) is not report.scope]:
            return f"the records of {listed_days(others)} are not those of an {scope}"
        if report.subject is Subject.WHOLE and recorded:
            return f"the store has no record of the whole {scope}: {listed_days(recorded)}"
        return f"days without records: {no_records(self.missing(report))}"

    def chunks(self, report: Report) -> Iterator[bytes]:
        """The report in chunks; empty if it has nothing from any of its days."""
        there = self._recorded(report)
        if not there:
            return
        if report.subject is Subject.USERS:
            yield from chunked(line for day in there for line in self._user_lines(report, day))
        elif report.subject is Subject.TEAMS:
            ids = self._ids(there, last=True)
            yield from chunked(
                _encode(row) + b"\n"
                for row in team_rows(self._persons.values(), report.window.end, ids)
            )
        elif report.latest:
            yield self._wrapper(report, there) + b"\n"
        else:
            ((day, recorded),) = there.items()
            yield _encode(self._whole(day, recorded)) + b"\n"

    def remarks(self) -> list[str]:
        """What the records lack because of pseudonyms."""
        if not self._left_out:
            return []
        return [
            "GitHub's records are shown without fields that may name somebody, since there are"
            f" pseudonyms: {listed(sorted(self._left_out))}"
        ]

    def _recorded(self, report: Report) -> Mapping[date, RecordedDay | None]:
        """The days that the report covers, oldest first. Empty if nobody was active on any of them
        while records of other days are missing: it would look as if nobody was active at all.
        """
        ledger = self._reader.ledger(self._source, report.days)
        recorded = self._reader.recorded(self._source, report.days)
        there = {
            day: recorded.get(day)
            for day, row in ledger.items()
            if day not in self._without and _has(report, row, recorded.get(day))
        }
        if not any(there.values()) and any(row.users for row in ledger.values()):
            return {}
        return there

    def _user_lines(self, report: Report, day: date) -> Iterator[bytes]:
        """A line for each account with a record, sorted by login."""
        records = self._reader.records(self._source, day)
        hidden_accounts = self._services(day)
        stamp = _stamp(report)
        lines = []
        for user, text in records.items():
            if user != TENANT and user not in hidden_accounts:
                person = self._persons[user]
                fields = {**stamp, **self._shown(_record(text, day), person)}
                lines.append((person.login, _encode(fields) + b"\n"))
        # Otherwise the order would reveal the order of the logins.
        return (line for _, line in (sorted(lines) if self._audience.anonymous else lines))

    def _services(self, day: date) -> set[str]:
        """The service accounts of the day, if outputs leave them out."""
        if self._audience.service_accounts:
            return set()
        people = self._reader.people(self._source, Window(day, day))
        return set(self._reader.names_of(people[day].service))

    def _whole(self, day: date, recorded: RecordedDay | None) -> Fields:
        """The tenant's record; if there is one, it is the first of the day."""
        return self._shown(_record(recorded.example if recorded else "{}", day))

    def _wrapper(self, report: Report, there: Mapping[date, RecordedDay | None]) -> bytes:
        """The report's own fields, without those that GitHub computes from the 28 days, such as
        engagement with features: only GitHub's report of exactly these days would have them.
        """
        start, end = report.window.start, report.window.end
        ids = self._ids(there)
        return _encode(
            {
                "report_start_day": start,
                "report_end_day": end,
                **ids,
                "created_at": iso_utc(end_of_day(end)),
                "day_totals": [self._whole(day, recorded) for day, recorded in there.items()],
            }
        )

    def _ids(self, there: Mapping[date, RecordedDay | None], *, last: bool = False) -> Fields:
        """The ids of the enterprise and organization in the newest record; with `last`, only the
        last.
        """
        examples = [recorded.example for recorded in there.values() if recorded]
        fields = _fields_in(examples[-1].encode())
        ids = {name: fields[name] for name in (_ENTERPRISE, _ORGANIZATION) if name in fields}
        return dict([ids.popitem()]) if last and ids else ids

    def _shown(self, fields: Fields, person: Person | None = None) -> Fields:
        """The record without its report's period; with pseudonyms, also without anything that may
        name somebody.
        """
        fields = {name: value for name, value in fields.items() if name not in _OF_REPORT}
        if not self._audience.anonymous:
            return fields
        hiding = _Hiding(self._audience.rename)
        shown = hiding.fields(fields)
        self._left_out |= hiding.left_out - {_USER, _LOGIN}
        if person is not None:
            shown |= {_USER: person.id, _LOGIN: person.login}
        return shown


def _has(report: Report, row: LedgerDay, recorded: RecordedDay | None) -> bool:
    if recorded is None:  # nobody was active: a report without people
        return report.subject is Subject.USERS and not row.users
    if _scope_of(recorded) is not report.scope:
        return False
    if report.subject is Subject.WHOLE:
        return recorded.has_tenant
    return recorded.users == row.users


def _scope_of(recorded: RecordedDay) -> Scope:
    """GitHub's records of an organization name it; those of an enterprise do not."""
    in_organization = _ORGANIZATION in _fields_in(recorded.example.encode())
    return Scope.ORGANIZATION if in_organization else Scope.ENTERPRISE


def _record(text: str, day: date) -> Fields:
    """The record's fields, without line breaks between them."""
    with _readable(day):
        return _fields_in(msgspec.json.format(text.encode(), indent=-1))


@contextlib.contextmanager
def _readable(day: date) -> Iterator[None]:
    try:
        yield
    except msgspec.DecodeError as error:
        raise StoreFailed(f"a record of {day} is not one of GitHub's: {error}") from error


def _stamp(report: Report) -> Fields:
    if not report.latest:
        return {}
    return dict(zip(_OF_REPORT, (report.window.start, report.window.end), strict=True))


class _Hiding:
    """Leaves out every field, at any depth, unless it is known to name nobody."""

    def __init__(self, rename: Rename) -> None:
        self._rename = rename
        self.left_out: set[str] = set()

    def fields(self, fields: Fields) -> Fields:
        self.left_out |= fields.keys() - SHOWN_OF_PEOPLE
        return {
            name: self._value(value) for name, value in fields.items() if name in SHOWN_OF_PEOPLE
        }

    def _value(self, value: msgspec.Raw) -> Any:
        first = bytes(memoryview(value)[:1])
        if first == b"{":
            return self.fields(_fields_in(value))
        if first == b"[":
            return [self._value(item) for item in _items_in(value)]
        if first == b'"':
            return hidden(msgspec.json.decode(value, type=str), self._rename)
        return value
