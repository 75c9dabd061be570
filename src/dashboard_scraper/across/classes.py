"""Everybody in exactly one class, per source and over all sources: who uses what, and who is
missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum

import msgspec

from dashboard_scraper.across.people import PeopleAcross
from dashboard_scraper.model.addresses import is_address
from dashboard_scraper.model.costs import Account
from dashboard_scraper.model.seats import Seat
from dashboard_scraper.people.roster import Colleague, Roster, sources_alike
from dashboard_scraper.store import Reader
from dashboard_scraper.store.day_people import union


class PersonClass(Enum):
    """What is known about somebody in a window: the first of these that holds."""

    UNATTRIBUTED = "unattributed"
    LEFT_ACTIVE = "left_active"
    SEVERAL = "several_identities"
    ACTIVE = "active"
    NEVER_SEEN = "never_seen"
    IDLE_WITH_SEAT = "idle_with_seat"
    IDLE = "idle"

    @property
    def title(self) -> str:
        """The class in words."""
        return _TITLES[self]

    @property
    def meaning(self) -> str:
        """The definition of the class."""
        return _MEANINGS[self]


_TITLES = {
    PersonClass.UNATTRIBUTED: "unattributed",
    PersonClass.LEFT_ACTIVE: "left but still active",
    PersonClass.SEVERAL: "several identities",
    PersonClass.ACTIVE: "active",
    PersonClass.NEVER_SEEN: "never seen",
    PersonClass.IDLE_WITH_SEAT: "idle with a seat",
    PersonClass.IDLE: "idle, no seat known",
}
_MEANINGS = {
    PersonClass.UNATTRIBUTED: "a service account, an API key, or a login or id of which no address"
    " is known: nobody knows whose it is",
    PersonClass.LEFT_ACTIVE: "active on a day after the last day in ROSTER_FILE",
    PersonClass.SEVERAL: "one person with two names in one source, such as two addresses: two"
    " accounts, and perhaps two seats",
    PersonClass.ACTIVE: "active on a day of the window",
    PersonClass.NEVER_SEEN: "not active on any stored day up to the end of the window",
    PersonClass.IDLE_WITH_SEAT: "active earlier, not in the window, and has a seat now",
    PersonClass.IDLE: "active earlier, not in the window, and no seat is known",
}


class SeatsFrom(Enum):
    """Where it is known from who has a seat."""

    SOURCE = "source"
    ROSTER = "roster"


class Members(msgspec.Struct, frozen=True):
    """Disjoint bitmaps, as `PeopleAcross` has them: each bit is in exactly one class.

    `seated` are people with a seat, whatever their class; None if it is not known who has one.
    """

    of: Mapping[PersonClass, int]
    seated: int | None
    seats_from: SeatsFrom | None = None
    seats_as_of: datetime | None = None

    @property
    def everybody(self) -> int:
        """All who are in a class."""
        return union(self.of.values())

    def class_of(self, bit: int) -> PersonClass:
        """The class of a person, who must be in one."""
        return next(each for each, members in self.of.items() if members >> bit & 1)

    def counts(self) -> dict[PersonClass, int]:
        """How many are in each class."""
        return {each: members.bit_count() for each, members in self.of.items()}


class _Facts(msgspec.Struct, frozen=True):
    """What classes follow from, as bitmaps; `seen` are people who were active on any stored day, or
    according to the source's seats.
    """

    everybody: int
    unattributed: int
    left_active: int
    several: int
    active: int
    seen: int
    seated: int | None

    def classes(self) -> dict[PersonClass, int]:
        tests = {
            PersonClass.UNATTRIBUTED: self.unattributed,
            PersonClass.LEFT_ACTIVE: self.left_active,
            PersonClass.SEVERAL: self.several,
            PersonClass.ACTIVE: self.active,
            PersonClass.NEVER_SEEN: ~self.seen,
            PersonClass.IDLE_WITH_SEAT: self.seated or 0,
            PersonClass.IDLE: -1,
        }
        found, rest = {}, self.everybody
        for each in PersonClass:
            found[each] = rest & tests[each]
            rest &= ~tests[each]
        return found


class Classes:
    """Everybody who is in the window, has a seat, or is in the roster, each in one class.

    `of[source]` has the classes in one source, of everybody with a row or a cost in the window or
    with a seat. `overall` has the classes over all sources, also of everybody in the roster, except
    people who left before the window or started after it.
    """

    def __init__(self, reader: Reader, across: PeopleAcross, roster: Roster | None = None) -> None:
        self.across = across
        self.seats: dict[str, dict[int, list[Seat]]] = {}
        self.services = 0
        self.colleagues = _colleagues(across, roster)
        self._payers = {source: reader.payers(source, across.window) for source in across.sources}
        facts = {source: self._facts(reader, source, roster) for source in across.sources}
        self.of = {
            source: Members(each.classes(), each.seated, *self._seats_said_by(reader, source, each))
            for source, each in facts.items()
        }
        self.overall = self._over_all(facts.values())

    def _facts(self, reader: Reader, source: str, roster: Roster | None) -> _Facts:
        across = self.across
        seats, from_seats = self._seats_of(reader, source, roster)
        self.seats[source] = seats
        # Addresses of the roster are the company's, not names that the source uses.
        beside = self._names_beside_seats(source) if from_seats is SeatsFrom.SOURCE else {}
        people, services = self._payers_of(source)
        present = _bits(across.present(source))
        seated = None if from_seats is None else _bits(seats)
        everybody = present | people | services | (seated or 0)
        known = _bits(bit for bit, key in across.keys.items() if is_address(key))
        service = (across.service_accounts(source) | services) & ~(
            present & ~across.service_accounts(source) | people
        )
        self.services |= across.service_accounts(source) | service
        active = across.used[source]
        said = _bits(bit for bit in seats if any(seat.last_active for seat in seats[bit]))
        return _Facts(
            everybody,
            everybody & (~known | service),
            self._active_after_leaving(source),
            across.several(source, beside),
            active,
            active | across.active_before(source) | said,
            seated,
        )

    def _seats_of(
        self, reader: Reader, source: str, roster: Roster | None
    ) -> tuple[dict[int, list[Seat]], SeatsFrom | None]:
        """The seats by person: the source's own if it reports seats, otherwise the roster's."""
        seats: dict[int, list[Seat]] = {}
        if reader.seats_fetched_at(source) is not None:
            for each in reader.seats(source):
                if each.current:
                    bit = self.across.bit_of(source, each.seat.user)
                    seats.setdefault(bit, []).append(each.seat)
            return seats, SeatsFrom.SOURCE
        if roster is None or not roster.has_seats:
            return seats, None
        alike = sources_alike(source)
        for bit, colleague in self.colleagues.items():
            if colleague.seats & alike:
                seats[bit] = [Seat(colleague.email)]
        return seats, SeatsFrom.ROSTER

    def unmatched(self, source: str) -> list[str]:
        """The logins and ids with a row or a seat but no known address, in alphabetical order."""
        beside = (name for names in self._names_beside_seats(source).values() for name in names)
        found = {name for name in beside if not self.across.is_matched(source, name)}
        return sorted(found.union(self.across.unmatched[source]))

    def _names_beside_seats(self, source: str) -> dict[int, list[str]]:
        return {bit: [seat.user for seat in seats] for bit, seats in self.seats[source].items()}

    def _seats_said_by(
        self, reader: Reader, source: str, facts: _Facts
    ) -> tuple[SeatsFrom | None, datetime | None]:
        fetched_at = reader.seats_fetched_at(source)
        if fetched_at is not None:
            return SeatsFrom.SOURCE, fetched_at
        return (None if facts.seated is None else SeatsFrom.ROSTER), None

    def _payers_of(self, source: str) -> tuple[int, int]:
        """The people with costs, and the service accounts with costs, as bitmaps."""
        found = {Account.PERSON: 0, Account.SERVICE_ACCOUNT: 0}
        for name, account in self._payers[source]:
            if account in found and name:
                found[account] |= 1 << self.across.bit_of(source, name)
        return found[Account.PERSON], found[Account.SERVICE_ACCOUNT]

    def _active_after_leaving(self, source: str) -> int:
        found = 0
        leaving = [(each.left, bit) for bit, each in self.colleagues.items() if each.left]
        for day in self.across.days(source):
            gone = _bits(bit for left, bit in leaving if left < day)
            found |= self.across.active(source, day) & gone
        return found

    def _over_all(self, facts: Iterable[_Facts]) -> Members:
        parts = list(facts)
        window = self.across.window
        listed = _bits(
            bit
            for bit, each in self.colleagues.items()
            if each.had_started(window.end) and not each.had_left(window.start)
        )
        somewhere_a_person = union(part.everybody & ~part.unattributed for part in parts)
        seated = [part.seated for part in parts if part.seated is not None]
        whole = _Facts(
            union(part.everybody for part in parts) | listed,
            union(part.unattributed for part in parts) & ~somewhere_a_person,
            union(part.left_active for part in parts),
            union(part.several for part in parts),
            union(part.active for part in parts),
            union(part.seen for part in parts),
            union(seated) if seated else None,
        )
        return Members(whole.classes(), whole.seated)


def _colleagues(across: PeopleAcross, roster: Roster | None) -> dict[int, Colleague]:
    """The people of the roster by their bits."""
    people = roster.people.values() if roster else ()
    return {across.bit_of("", each.email): each for each in people}


def _bits(numbers: Iterable[int]) -> int:
    places = sorted(numbers)
    if not places:
        return 0
    bitmap = bytearray(places[-1] // 8 + 1)
    for place in places:
        bitmap[place >> 3] |= 1 << (place & 7)
    return int.from_bytes(bitmap, "little")
