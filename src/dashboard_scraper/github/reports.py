"""GitHub's reports of any day or window of 28 days, from the store.

Reports on users and teams are NDJSON, with a compact object per line; those on an enterprise or
organization are a single compact object. There are no records of a day that is not in the store.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import cached_property
from typing import Any

import msgspec

from dashboard_scraper.github.active_people import ActivePeople
from dashboard_scraper.github.adoption import totals_by_phase
from dashboard_scraper.github.counters import Counter
from dashboard_scraper.github.kinds import GithubOptions, Report, Subject
from dashboard_scraper.github.lines import Stamp, head_of, stamp_of, user_part, user_parts
from dashboard_scraper.github.records import (
    AT_LEAST,
    MAPPED_LINES,
    MAPPED_REQUIRED,
    PLACE_OF,
    Cells,
    Column,
    Part,
    arrays_of,
    cells_of_figures,
    cli_of,
    columns_of_cells,
    columns_of_lines_added,
    is_unknown,
    known_of_whole,
    lines_added,
    rows_of,
    totals_of,
)
from dashboard_scraper.model.dates import Window, end_of_day, iso_utc
from dashboard_scraper.model.listing import many
from dashboard_scraper.model.metrics import LINES, Figures
from dashboard_scraper.model.usage import DayUsage, EditorLanguageUsage, UserUsage
from dashboard_scraper.output import Needs, OutputDay
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.identity import Person, Persons, team_id, usual_person
from dashboard_scraper.people.people import person_key
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.store import DetailStatus, LedgerDay, Reader
from dashboard_scraper.store.day_columns import DayColumns
from dashboard_scraper.store.day_people import bits_in

_RULES = 2
"""To be raised if lines of the same days and settings change in a way that a sample of one person's
line does not show.
"""
_LINES_PER_CHUNK = 32  # fit into a processor's cache: with 200, it takes twice as long
_encode = msgspec.json.Encoder().encode

NEEDS = Needs("GitHub's reports", MAPPED_REQUIRED)


def persons_in(reader: Reader, source: str, audience: Audience) -> Persons:
    """Everybody ever stored, by name: an id or login, once given, must not go to anybody else."""
    return audience.persons(reader.first_days(source))


class _UserDay(msgspec.Struct):
    """One person's day; `credits` is None if unknown, or not in the report."""

    person: Person
    cells: Cells
    parts: list[Part]
    credits: float | None = None

    def add(self, other: _UserDay) -> None:
        """Add the figures of the same person under another spelling or address."""
        self.cells = tuple(map(sum, zip(self.cells, other.cells, strict=True)))
        self.parts += other.parts
        if self.credits is not None or other.credits is not None:
            self.credits = (self.credits or 0) + (other.credits or 0)


class GithubReports:
    """Writes the reports of one source from one snapshot of the store.

    Afterwards, `remarks` has what a reader should know about them.
    """

    def __init__(
        self,
        reader: Reader,
        source: str,
        audience: Audience,
        options: GithubOptions,
        persons: Persons,
    ) -> None:
        self._reader = reader
        self._source = source
        self._audience = audience
        self._options = options
        self._persons = persons
        self._heads: dict[int, bytes] = {}
        self._unknown = 0
        self._open = 0
        self._first_open: tuple[date, str] | None = None
        self._out_of_reach: set[date] = set()
        self._active = ActivePeople(reader, source, audience, persons)

    def chunks(self, report: Report) -> Iterator[bytes]:
        """The report in chunks; empty if none of its days is in the store."""
        ledger = self._reader.ledger(self._source, report.days).values()
        if report.subject is Subject.USERS:
            self._active.load(report.days)
            for row in ledger:
                lines = self.user_lines(OutputDay(self._reader, row, self._audience))
                yield from stamped(lines, self.stamp(report, row.day))
        elif report.subject is Subject.TEAMS:
            yield from self.teams(report)
        elif ledger:
            self.count_people(report.window)
            yield self.whole(report, [self.totals(row) for row in ledger])

    def remarks(self) -> list[str]:
        """How the records differ from the source, because of the format or of missing days."""
        found = []
        if self._out_of_reach:
            found.append(
                "in GitHub's reports, weekly and monthly active users are counted without"
                f" {many(len(self._out_of_reach), 'day')} not in the store, from"
                f" {min(self._out_of_reach)} to {max(self._out_of_reach)}"
            )
        if self._first_open is not None:
            found.append(
                f"in GitHub's reports, the lines of {many(self._open, 'user-day')} differ from the"
                f" source's own total, {self._first_open[1]}"
            )
        if self._unknown:
            found.append(
                f"in GitHub's reports, unknown figures of {many(self._unknown, 'user-day')} are 0:"
                " the format has no null"
            )
        return found

    def stamp(self, report: Report, day: date) -> bytes:
        """How every line of one day begins in a report on users: the fields before the user's."""
        ids = self._options.ids(report.scope)
        return stamp_of(Stamp(**ids, window=report.window if report.latest else None), day)

    def user_lines(self, day: OutputDay) -> Iterator[bytes]:
        """A line without its stamp for everybody who was active on a stored day.

        Reports of different scopes differ only in the stamp, so the lines are encoded once for all.
        There are adoption phases for days that `count_people` has covered.
        """
        numbers, bit_of = self._active.phase_numbers_on(day.day), self._active.bit_of

        def phase_of(person: Person) -> int | None:
            return numbers.get(bit_of[person.id])

        if found := self._columns_of(day):
            active, persons = found
            cells = columns_of_cells(active.values, len(persons))
            self._note_columns(day.day, active, cells)
            return user_parts(map(self._head, persons), cells, map(phase_of, persons))
        return (
            user_part(
                self._head(user.person), user.cells, user.parts, user.credits, phase_of(user.person)
            )
            for user in self._user_days(day.ledger_day, day.counted)
        )

    def _columns_of(self, day: OutputDay) -> tuple[DayColumns, list[Person]] | None:
        """Everybody who was active, as columns, which is several times as fast, and as persons.
        None if their lines need more than columns: parts, credits, or two rows for one person.
        """
        row, active = day.ledger_day, day.active
        has_parts = row.editor_language is DetailStatus.COMPLETE
        if active is None or has_parts or (self._options.with_credits and row.credits is not None):
            return None
        persons = [self._persons[name] for name in active.names]
        is_one_each = len({person.id for person in persons}) == len(persons)
        return (active, persons) if is_one_each else None

    def lines_depend_on(self, row: LedgerDay) -> list[Any]:
        """What the day's lines depend on besides its content and the settings.

        That is the content of the days that decide the adoption phases, the details that are stored
        separately from the day, and the persons whose names depend on other people.
        """
        return [
            _RULES,
            self._active.contents_up_to(row.day),
            self._details(row),
            self._credits_by_person(row),
            self._unusual_persons,
        ]

    def _details(self, row: LedgerDay) -> list[EditorLanguageUsage]:
        if row.editor_language is not DetailStatus.COMPLETE:
            return []
        return self._reader.editor_languages(self._source, row.day)

    @cached_property
    def _unusual_persons(self) -> list[tuple[str, str, int]]:
        """Everybody whose login or id does not follow from the name or the identities alone: it is
        from an earlier spelling, or somebody else had theirs first.
        """
        rename, people = self._audience.rename, self._audience.people
        found = []
        for name, person in sorted(self._persons.items()):
            key = people.key(name)
            usual = self._audience.identities.get(key) or usual_person(rename(name), rename(key))
            if person != usual:
                found.append((name, person.login, person.id))
        return found

    def _head(self, person: Person) -> bytes:
        """How a person's lines begin after the stamp, the same on every day."""
        head = self._heads.get(person.id)
        if head is None:
            head = self._heads[person.id] = head_of(person.id, person.login)
        return head

    def _user_days(self, row: LedgerDay, usage: DayUsage) -> Iterable[_UserDay]:
        """Everybody who was active on the day, merged by person."""
        audience, found = self._audience, dict[int, _UserDay]()
        parts = self._parts_by_person(row, usage.users)
        consumed = self._credits_by_person(row, audience.left_out(usage.users))
        for user in usage.active:
            if not audience.includes(service=user.service):
                continue
            person, cells = self._persons[user.user], cells_of_figures(user.figures)
            self._note(user.user, row.day, user.figures, cells)
            day = _UserDay(person, cells, [])
            if parts or consumed:
                # Popped, so that the person does not get the same parts again under another
                # spelling.
                key = audience.people.key(user.user)
                day.parts, day.credits = parts.pop(key, []), consumed.pop(key, None)
            before = found.setdefault(person.id, day)
            if before is not day:
                before.add(day)
        if audience.anonymous:  # otherwise the order would reveal that of the addresses
            return sorted(found.values(), key=lambda user: user.person.login)
        return found.values()

    def _parts_by_person(self, row: LedgerDay, users: list[UserUsage]) -> dict[str, list[Part]]:
        parts: dict[str, list[Part]] = {}
        for user, part in self._parts(row, users):
            parts.setdefault(self._audience.people.key(user), []).append(part)
        return parts

    def _parts(self, row: LedgerDay, users: list[UserUsage]) -> Iterator[tuple[str, Part]]:
        """The shown parts by address; none if the day's do not add up to its users' figures."""
        details = self._details(row)
        if details:
            left_out = self._audience.left_out(users)
            figures = {person_key(user.user): user.figures for user in users}
            # An exact name wins over its key, which another spelling may share.
            figures |= {user.user: user.figures for user in users}
            for usage in details:
                if person_key(usage.user) not in left_out:
                    whole = figures.get(usage.user) or figures.get(person_key(usage.user))
                    known = known_of_whole(usage.figures, whole)
                    yield usage.user, Part(usage.editor, usage.language, known)

    def _credits_by_person(
        self, row: LedgerDay, left_out: Collection[str] = ()
    ) -> dict[str, float]:
        if not self._options.with_credits or row.credits is None:
            return {}
        found: dict[str, float] = {}
        for user, consumed in self._reader.credits_of(self._source, row.day).items():
            if person_key(user) not in left_out:
                key = self._audience.people.key(user)
                found[key] = found.get(key, 0) + consumed
        return found

    def note_differences(self, days: Collection[date]) -> None:
        """Look for what `remarks` has to say about days for which no line is written."""
        include, reader = self._audience.service_accounts, self._reader
        self._unknown += reader.unknown_user_days(
            self._source, days, MAPPED_REQUIRED, service_accounts=include
        )
        count, first = reader.open_sums(
            self._source, days, LINES, MAPPED_LINES, service_accounts=include
        )
        if first is not None:
            self._note_open(first.user, first.day, first.total, first.parts, count)

    def _note(self, name: str, day: date, figures: Figures, cells: Cells) -> None:
        self._unknown += is_unknown(figures)
        total, added = figures[LINES], lines_added(cells)
        if total is not None and total != added:
            self._note_open(name, day, total, added)

    def _note_columns(self, day: date, active: DayColumns, cells: Sequence[Column]) -> None:
        """`_note` for everybody at once; the required figures must be known."""
        totals = active.values.get(LINES, [None] * len(active.names))
        added = columns_of_lines_added(cells)
        differing = [
            each
            for each in zip(active.names, totals, added, strict=True)
            if each[1] is not None and each[1] != each[2]
        ]
        if differing:
            name, total, parts = differing[0]
            self._note_open(name, day, total, parts, len(differing))

    def _note_open(self, name: str, day: date, total: int, added: int, count: int = 1) -> None:
        self._open += count
        if self._first_open is None or day < self._first_open[0]:
            shown = self._audience.rename(name)
            words = f"{LINES.title} is {total}, the sum of the features is {added}"
            self._first_open = day, f"such as of {shown} on {day}: {words}"

    def whole(self, report: Report, totals: list[dict[str, Any]]) -> bytes:
        """A report on everybody, from the `totals` of each of its days, oldest first."""
        ids = self._options.ids(report.scope)
        days = [{"day": each["day"], **ids, **each} for each in totals]
        if not report.latest:
            return _encode(days[0]) + b"\n"
        window = report.window
        wrapper = {
            "report_start_day": window.start,
            "report_end_day": window.end,
            **ids,
            # The end of the window, not the time of the run, so that the same figures give the same
            # bytes.
            "created_at": iso_utc(end_of_day(window.end)),
            "day_totals": days,
        }
        if engagement := self._active.engagement_on(window.end):
            wrapper["copilot_feature_engagement"] = engagement
        return _encode(wrapper) + b"\n"

    def totals(self, row: LedgerDay, users: list[UserUsage] | None = None) -> dict[str, Any]:
        """The totals of all people on a stored day, which `count_people` must have covered.

        Pass all `users` of the day if they are loaded already.
        """
        options = self._options
        all_accounts = self._audience.service_accounts
        # Only metrics that the source knows or that have a sum: others count as their lower bound.
        known = {*info_of(self._source).metrics}
        there = [m for m in PLACE_OF if m in known or row.sums[m] is not None]
        sums = self._reader.figure_sums(
            row, there, service_accounts=all_accounts, at_least=AT_LEAST
        )
        rows = rows_of(cells_of_figures(sums))
        if not row.editor_language:
            users = []  # not needed: there are no parts
        elif users is None:
            users = self._reader.day(row).users
        parts = [part for _, part in self._parts(row, users)]
        return {
            "day": row.day,
            **self._active.counts_on(row.day),
            **totals_of(rows),
            **arrays_of(rows, parts, merge_ides=options.merge_ides),
            **cli_of(rows),
            **self._by_phase(row),
        }

    def _by_phase(self, row: LedgerDay) -> dict[str, Any]:
        """`totals_by_ai_adoption_phase`, which GitHub leaves out if it is not known."""
        phases = self._active.phases_on(row.day)
        if not phases:
            return {}
        active, bit_of = self._active.on(row.day), self._active.bit_of
        phase_of = {bit: each.number for each in phases for bit in bits_in(each.people & active)}
        # With zeros, so that even a phase without people has sums.
        rows_of = {each.number: [("", *(0 for _ in _AVERAGES))] for each in phases}
        for sums in self._reader.group_sums(
            row, [*_AVERAGES.values()], service_accounts=self._audience.service_accounts
        ):
            rows_of[phase_of[bit_of[self._persons[sums[0]].id]]].append(sums)
        named = {}
        for number, rows in rows_of.items():
            _, *columns = zip(*rows, strict=True)
            named[number] = dict(zip(_AVERAGES, map(sum, columns), strict=True))
        return {"totals_by_ai_adoption_phase": [*totals_by_phase(phases, active, named)]}

    def count_people(self, window: Window) -> None:
        """Count who was active in a window and (for the monthly counts) the 27 days before it."""
        self._out_of_reach.update(self._active.load(window))

    def teams(self, report: Report) -> Iterator[bytes]:
        """A line per person and team, whether the person was active or not; empty if the day is not
        in the store.
        """
        if self._reader.ledger(self._source, report.window):
            entity = dict([self._options.ids(report.scope).popitem()])
            rows = team_rows(self._persons.values(), report.window.end, entity)
            yield from chunked(map(_line, rows))


def team_rows(
    persons: Iterable[Person], day: date, entity: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """A row for each person and team, by login; `entity` has the id of the teams' owner."""
    people = {person.id: person for person in persons}
    for person in sorted(people.values(), key=lambda person: person.login):
        for slug in person.teams:
            yield {
                "user_id": person.id,
                "user_login": person.login,
                "day": day,
                "team_id": team_id(slug),
                "slug": slug,
                **entity,
            }


_AVERAGES = {
    name: [metric for metric, place in PLACE_OF.items() if place.counter is counter]
    for name, counter in (
        ("avg_user_initiated_interactions", Counter.INTERACTIONS),
        ("avg_code_generation_activities", Counter.GENERATIONS),
        ("avg_code_acceptance_activities", Counter.ACCEPTANCES),
        ("avg_loc_added", Counter.ADDED),
        ("avg_loc_deleted", Counter.DELETED),
    )
}
"""GitHub's averages of a phase, with the metrics they are computed from: none for pull requests."""


def stamped(lines: Iterable[bytes], stamp: bytes) -> Iterator[bytes]:
    """The lines, each with the stamp and a comma before it and a line break after it, in large
    chunks.
    """
    before = b"%b," % stamp
    separator = b"\n" + before
    for few in _batches(lines):
        yield before + separator.join(few) + b"\n"


def _line(row: dict[str, Any]) -> bytes:
    return _encode(row) + b"\n"


def chunked(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines, which have their line breaks, in chunks of many lines."""
    return map(b"".join, _batches(lines))


def _batches(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    iterator = iter(lines)
    while few := list(itertools.islice(iterator, _LINES_PER_CHUNK)):
        yield few
