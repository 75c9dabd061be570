"""GitHub's reports, for any day or window of 28 days, from the store.

Reports on users and teams are NDJSON, one compact object a line; those on an enterprise or an
organization are one compact object on one line. A day that is not in the store has no record.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from typing import Any

import msgspec

from dashboard_scraper.github.records import (
    AGENT_FEATURES,
    CHAT_FEATURES,
    PLACE_OF,
    Cells,
    GithubFeature,
    Part,
    UserTexts,
    arrays_of,
    cells_of_figures,
    is_unknown,
    known_of_whole,
    lines_added,
    rows_of,
    totals_of,
    user_fields,
)
from dashboard_scraper.model.dates import DAYS, Window, end_of_day, iso_utc
from dashboard_scraper.model.distinct import DistinctPeople
from dashboard_scraper.model.metrics import LINES, Figures
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.identity import Person, persons_of, team_id
from dashboard_scraper.people.people import person_key
from dashboard_scraper.store import DetailStatus, LedgerDay, Reader

WEEK = 7
_LINES_PER_CHUNK = 200
_encode = msgspec.json.Encoder().encode

Persons = Mapping[str, Person]
"""Everybody who was ever kept, by the names that the store has."""


class Scope(Enum):
    """Whom a report is on; the beginning of GitHub's names for reports of the whole."""

    ENTERPRISE = "enterprise"
    ORGANIZATION = "organization"


class Subject(Enum):
    """What its records are of; the beginning of GitHub's names, but for the whole's."""

    WHOLE = ""
    USERS = "users"
    TEAMS = "user-teams"


@dataclass(frozen=True, slots=True)
class Report:
    """One of GitHub's reports; `latest` ones are of 28 days, the others of one."""

    scope: Scope
    subject: Subject
    window: Window
    latest: bool

    @property
    def name(self) -> str:
        """As GitHub calls it, `users-1-day`."""
        return f"{self.subject.value or self.scope.value}-{DAYS if self.latest else 1}-day"


@dataclass(frozen=True, slots=True)
class GithubOptions:
    """What the settings say of GitHub's reports; without `organization_id` there are none of it."""

    enterprise_id: str
    organization_id: str | None = None
    merge_ides: bool = False
    with_credits: bool = False

    def ids(self, scope: Scope) -> dict[str, str]:
        """What every record says of where it is from."""
        ids = {"enterprise_id": self.enterprise_id}
        if scope is Scope.ORGANIZATION and self.organization_id:
            ids["organization_id"] = self.organization_id
        return ids


def persons_in(reader: Reader, source: str, audience: Audience) -> Persons:
    """Everybody by name: of all time, since an id or a login is one person's for ever."""
    return persons_of(
        reader.first_days(source), audience.identities, audience.rename, audience.people
    )


class _UserDay(msgspec.Struct):
    """What one person did on a day; `credits` is None where that is unknown or not asked for."""

    person: Person
    cells: Cells
    parts: list[Part]
    credits: float | None = None

    def add(self, other: _UserDay) -> None:
        """The same person under another spelling or address."""
        self.cells = tuple(map(sum, zip(self.cells, other.cells, strict=True)))
        self.parts += other.parts
        if self.credits is not None or other.credits is not None:
            self.credits = (self.credits or 0) + (other.credits or 0)


class GithubReports:
    """Makes the reports of one source from one view of the store.

    `remarks` tell, once a report was made, what of it a reader should know.
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
        self._texts = UserTexts()
        self._unknown = 0
        self._open = 0
        self._first_open = ""
        self._out_of_reach: set[date] = set()
        self._active: dict[str, DistinctPeople] = {}

    def chunks(self, report: Report) -> Iterator[bytes]:
        """The report in pieces; nothing where its day is not in the store."""
        ledger = self._reader.ledger(self._source, report.window).values()
        if report.subject is Subject.USERS:
            for kept in ledger:
                lines = self.user_lines(kept, self._reader.day(kept))
                yield from stamped(lines, self.stamp(report, kept.day))
        elif report.subject is Subject.TEAMS:
            yield from self.teams(report)
        elif ledger:
            self.count_people(report.window)
            yield self.whole(report, [self.totals(kept) for kept in ledger])

    def remarks(self) -> list[str]:
        """What the records cannot say as the source does."""
        found = []
        if self._out_of_reach:
            found.append(
                "in GitHub's reports, weekly and monthly active users are counted without"
                f" {len(self._out_of_reach)} days that are not in the store, from"
                f" {min(self._out_of_reach)} to {max(self._out_of_reach)}"
            )
        if self._open:
            found.append(
                f"in GitHub's reports, the lines of {self._open} user-days are not the source's"
                f" own total, {self._first_open}"
            )
        if self._unknown:
            found.append(
                f"in GitHub's reports, {self._unknown} user-days have a 0 where a figure is"
                " unknown: the format cannot say that"
            )
        return found

    def stamp(self, report: Report, day: date) -> bytes:
        """What each line of a report on users begins with, of one day: the same for everybody."""
        head: dict[str, Any] = {}
        if report.latest:
            window = report.window
            head |= {"report_start_day": window.start, "report_end_day": window.end}
        return _encode(head | {"day": day} | self._options.ids(report.scope))[:-1]

    def user_lines(self, kept: LedgerDay, usage: DayUsage) -> Iterator[bytes]:
        """A line for everybody with activity on a stored day, without its stamp."""
        merge = self._options.merge_ides
        for user in self._user_days(kept, usage):
            if user.parts:
                fields = _encode(user_fields(user.cells, user.parts, merge_ides=merge))
            else:
                fields = self._texts.text_of(user.cells)
            person = _encode({"user_id": user.person.id, "user_login": user.person.login})
            end = b"" if user.credits is None else b',"ai_credits_used":%b' % _encode(user.credits)
            yield b"%b,%b%b}\n" % (person[1:-1], fields[1:-1], end)

    def _user_days(self, kept: LedgerDay, usage: DayUsage) -> Iterable[_UserDay]:
        """Everybody with activity on the day, once."""
        audience, found = self._audience, dict[int, _UserDay]()
        parts = self._parts_by_person(kept, usage.users)
        consumed = self._credits_by_person(kept)
        for user in usage.active:
            if not audience.includes(service=user.service):
                continue
            person, cells = self._persons[user.user], cells_of_figures(user.figures)
            self._note(audience.rename(user.user), kept.day, user.figures, cells)
            # Taken once: the same person may come again under another spelling.
            key = audience.people.key(user.user)
            day = _UserDay(person, cells, parts.pop(key, []), consumed.pop(key, None))
            before = found.setdefault(person.id, day)
            if before is not day:
                before.add(day)
        if audience.anonymous:  # the order of the addresses would tell something of them
            return sorted(found.values(), key=lambda user: user.person.login)
        return found.values()

    def _parts_by_person(self, kept: LedgerDay, users: list[UserUsage]) -> dict[str, list[Part]]:
        parts: dict[str, list[Part]] = {}
        for user, part in self._parts(kept, users):
            parts.setdefault(self._audience.people.key(user), []).append(part)
        return parts

    def _parts(self, kept: LedgerDay, users: list[UserUsage]) -> Iterator[tuple[str, Part]]:
        """By address, where the day has editors and languages that add up to its users' figures."""
        if kept.editor_language is DetailStatus.COMPLETE:
            figures = {person_key(user.user): user.figures for user in users}
            figures |= {user.user: user.figures for user in users}  # of two spellings, its own
            for usage in self._reader.editor_languages(self._source, kept.day):
                whole = figures.get(usage.user) or figures.get(person_key(usage.user))
                known = known_of_whole(usage.figures, whole)
                yield usage.user, Part(usage.editor, usage.language, known)

    def _credits_by_person(self, kept: LedgerDay) -> dict[str, float]:
        if not self._options.with_credits or kept.credits is None:
            return {}
        found: dict[str, float] = {}
        for user, consumed in self._reader.credits_of(self._source, kept.day).items():
            key = self._audience.people.key(user)
            found[key] = found.get(key, 0) + consumed
        return found

    def _note(self, name: str, day: date, figures: Figures, cells: Cells) -> None:
        self._unknown += is_unknown(figures)
        told, added = figures[LINES], lines_added(cells)
        if told is not None and told != added:
            self._open += 1
            self._first_open = self._first_open or (
                f"such as of {name} on {day}: {LINES.title} is {told}, the sum of"
                f" the features is {added}"
            )

    def whole(self, report: Report, totals: list[dict[str, Any]]) -> bytes:
        """A report on everybody, from what `totals` gave of each of its days, oldest first."""
        ids = self._options.ids(report.scope)
        days = [{"day": each["day"], **ids, **each} for each in totals]
        if not report.latest:
            return _encode(days[0]) + b"\n"
        window = report.window
        wrapper = {
            "report_start_day": window.start,
            "report_end_day": window.end,
            **ids,
            # From when on it could be made: the same figures give the same bytes, whenever fetched.
            "created_at": iso_utc(end_of_day(window.end)),
            "day_totals": days,
        }
        return _encode(wrapper) + b"\n"

    def totals(self, kept: LedgerDay, users: list[UserUsage] | None = None) -> dict[str, Any]:
        """What all people together did on a stored day, of which `count_people` was told.

        `users` are all of the day's, where somebody has read them already.
        """
        options = self._options
        sums = self._reader.figure_sums(kept, service_accounts=self._audience.service_accounts)
        rows = rows_of(cells_of_figures(sums))
        if not kept.editor_language:
            users = []
        elif users is None:
            users = self._reader.day(kept).users
        left_out = {
            person_key(user.user)
            for user in users
            if not self._audience.includes(service=user.service)
        }
        found = self._parts(kept, users)
        parts = [part for user, part in found if person_key(user) not in left_out]
        return {
            "day": kept.day,
            **self._people_on(kept.day),
            **totals_of(rows),
            **arrays_of(rows, parts, merge_ides=options.merge_ides),
        }

    def count_people(self, window: Window) -> None:
        """Read who was active in a window, and on the days that its counts look back on."""
        reach = Window(window.start - timedelta(days=DAYS - 1), window.end)
        ledger = self._reader.ledger(self._source, reach)
        self._out_of_reach.update(day for day in reach.days() if day not in ledger)
        if not self._active or reach.start < self._active[_ANY].first:
            self._active = {area: DistinctPeople(reach.start) for area in (_ANY, *_AREAS)}
        for day, kept in ledger.items():
            if self._active[_ANY].has(day):  # most are those of the report before
                continue
            active = self._reader.activity(kept, _AREA_COUNTS)
            users = [u for u in active if self._audience.includes(service=u.service)]
            ids = [self._persons[user.user].id for user in users]
            self._active[_ANY].add(day, ids)
            for number, area in enumerate(_AREAS):
                there = zip(ids, users, strict=True)
                self._active[area].add(day, [one for one, user in there if user.areas[number]])

    def _people_on(self, day: date) -> dict[str, int]:
        """GitHub's fields; that of the command line only where somebody used it."""
        active, found = self._active, {}
        for area in (_ANY, "copilot_cloud_agent"):
            users = f"{area}_users".lstrip("_")
            found[f"daily_active_{users}"] = active[area].at_least(day, 1)
            found[f"weekly_active_{users}"] = active[area].at_least(day, WEEK)
            found[f"monthly_active_{users}"] = active[area].at_least(day, DAYS)
        for area in ("chat", "agent"):
            found[f"monthly_active_{area}_users"] = active[area].at_least(day, DAYS)
        if cli := active["cli"].at_least(day, 1):
            found["daily_active_cli_users"] = cli
        return found

    def teams(self, report: Report) -> Iterator[bytes]:
        """A line for each person and team of theirs, whether active on the day or not; nothing
        where the day is not in the store.
        """
        if self._reader.ledger(self._source, report.window):
            yield from _pieces(map(_line, self._teams(report)))

    def _teams(self, report: Report) -> Iterator[dict[str, Any]]:
        entity = dict([self._options.ids(report.scope).popitem()])
        people = {person.id: person for person in self._persons.values()}
        for person in sorted(people.values(), key=lambda person: person.login):
            for slug in person.teams:
                yield {
                    "user_id": person.id,
                    "user_login": person.login,
                    "day": report.window.end,
                    "team_id": team_id(slug),
                    "slug": slug,
                    **entity,
                }


_ANY = ""  # any activity at all
_AREAS: dict[str, tuple[GithubFeature, ...]] = {
    "chat": CHAT_FEATURES,
    "agent": AGENT_FEATURES,
    "cli": (GithubFeature.CLI,),
    "copilot_cloud_agent": (GithubFeature.OTHERS,),
}
"""What people are counted by, besides any activity; as in the names of GitHub's fields."""
_AREA_COUNTS = [
    [metric for metric, place in PLACE_OF.items() if place.feature in features]
    for features in _AREAS.values()
]


def stamped(lines: Iterable[bytes], stamp: bytes) -> Iterator[bytes]:
    """Whole lines, several at a time."""
    return _pieces(b"%b,%b" % (stamp, line) for line in lines)


def _line(row: dict[str, Any]) -> bytes:
    return _encode(row) + b"\n"


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    iterator = iter(lines)
    while few := b"".join(itertools.islice(iterator, _LINES_PER_CHUNK)):
        yield few
