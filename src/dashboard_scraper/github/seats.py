"""Seats as GitHub's billing endpoints list them: everybody who is known, and when last active."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

import msgspec

from dashboard_scraper.model import seats as model
from dashboard_scraper.model.dates import start_of_day
from dashboard_scraper.model.seats import merged
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.identity import Person, Persons
from dashboard_scraper.store import Reader


class Seat(msgspec.Struct, frozen=True):
    """A person, since when they are known or have the seat, and when they were last active: None if
    never. The plan, and when the seat ends, if the source says so.
    """

    person: Person
    since: datetime
    last_activity: datetime | None
    plan: str | None = None
    ends: date | None = None


def seats_in(reader: Reader, source: str, audience: Audience, persons: Persons) -> list[Seat]:
    """Everybody's seat, by login: as the source reports it, or else one for everybody who ever had
    a row.
    """
    if reader.seats_fetched_at(source) is not None:
        seats = _reported(reader, source, audience, persons)
    else:
        seats = _assumed(reader, source, audience, persons)
    return sorted(seats, key=lambda seat: seat.person.login)


def _reported(reader: Reader, source: str, audience: Audience, persons: Persons) -> Iterator[Seat]:
    """The seats of the source's newest answer; several of one person are one. Who never had a row
    has an id that follows from the name.
    """
    current = [each for each in reader.seats(source) if each.current]
    idle = [each.seat.user for each in current if each.seat.user not in persons]
    unused = audience.persons(idle)
    everybody = {**unused, **persons}
    of_person: dict[Person, tuple[model.Seat, datetime]] = {}
    for each in current:
        seat, person = each.seat, everybody[each.seat.user]
        since = start_of_day(seat.assigned_on) if seat.assigned_on else each.first_fetched_at
        if person in of_person:
            other, before = of_person[person]
            seat, since = merged(other, seat), min(before, since)
        of_person[person] = seat, since
    for person, (seat, since) in of_person.items():
        yield Seat(person, since, seat.last_active, seat.plan, seat.ends_on)


def _assumed(reader: Reader, source: str, audience: Audience, persons: Persons) -> Iterator[Seat]:
    """For sources that do not report seats. A seat's creation is when the person was first seen, or
    else the first stored day. The last activity is the source's time, or the start of the last
    active day if that is later or all that is known.
    """
    seen: dict[Person, tuple[list[datetime], list[datetime]]] = {}
    for each in reader.known(source):
        if audience.includes(service=each.service):
            first, last = seen.setdefault(persons[each.user], ([], []))
            first.append(each.first_seen or start_of_day(each.first_day))
            last += [start_of_day(each.last_active)] if each.last_active else []
            last += [each.last_seen] if each.last_seen else []
    for person, (first, last) in seen.items():
        yield Seat(person, min(first), max(last, default=None))
