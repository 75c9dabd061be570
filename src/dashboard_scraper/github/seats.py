"""Seats as GitHub's billing endpoints list them: everybody known, and when last active."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime

import msgspec

from dashboard_scraper.model import seats as model
from dashboard_scraper.model.dates import start_of_day
from dashboard_scraper.model.seats import merged
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.identity import Person, Persons
from dashboard_scraper.store import Reader
from dashboard_scraper.store.people_reader import KnownUser


class Seat(msgspec.Struct, frozen=True):
    """A person, since when they are known or have the seat, and when they were last active (None if
    never). Also the plan, and when the seat ends, if the source says so.
    """

    person: Person
    since: datetime
    last_activity: datetime | None
    plan: str | None = None
    ends: date | None = None


def seats_in(reader: Reader, source: str, audience: Audience, persons: Persons) -> list[Seat]:
    """Everybody's seat, by login: as the source reports it or, if it reports none, one for
    everybody who ever had a row.
    """
    if reader.seats_fetched_at(source) is not None:
        seats = _reported(reader, source, audience, persons)
    else:
        seats = _assumed(reader, source, audience, persons)
    return sorted(seats, key=lambda seat: seat.person.login)


def _reported(reader: Reader, source: str, audience: Audience, persons: Persons) -> Iterator[Seat]:
    """The seats of the source's newest answer; several seats of one person become one. A person
    without any row gets an id that follows from the name. What the source does not say with a seat,
    such as when it was last used, is taken from the person's rows.
    """
    current = [each for each in reader.seats(source) if each.current]
    holders = _holders_of([each.seat.user for each in current], audience, persons)
    known = _times_of(reader.known(source), persons)
    of_person: dict[Person, tuple[model.Seat, datetime]] = {}
    for each in current:
        seat, person = each.seat, holders[each.seat.user]
        if seat.assigned_on:
            since = start_of_day(seat.assigned_on)
        else:
            since = min([each.first_fetched_at, *known[person].first])
        if person in of_person:
            other, before = of_person[person]
            seat, since = merged(other, seat), min(before, since)
        of_person[person] = seat, since
    for person, (seat, since) in of_person.items():
        said = [seat.last_active] if seat.last_active else []
        last = max([*said, *known[person].last], default=None)
        yield Seat(person, since, last, seat.plan, seat.ends_on)


def _holders_of(names: Sequence[str], audience: Audience, persons: Persons) -> Persons:
    """The persons behind these names: people with rows, perhaps in another spelling, or else new
    ones.
    """
    key_of = audience.people.key
    by_key = {key_of(name): person for name, person in persons.items()}
    unused = audience.persons(name for name in names if key_of(name) not in by_key)
    return {name: by_key.get(key_of(name)) or unused[name] for name in names}


def _assumed(reader: Reader, source: str, audience: Audience, persons: Persons) -> Iterator[Seat]:
    """Seats for sources that do not report any: created when the person was first seen."""
    rows = (each for each in reader.known(source) if audience.includes(service=each.service))
    for person, times in _times_of(rows, persons).items():
        yield Seat(person, min(times.first), max(times.last, default=None))


class _Times(msgspec.Struct):
    """When the users that are one person were first seen or, if unknown, had their first stored
    day; and when they were last active: the source's time, and the start of the last active day.
    """

    first: list[datetime] = []
    last: list[datetime] = []


def _times_of(rows: Iterable[KnownUser], persons: Persons) -> defaultdict[Person, _Times]:
    times: defaultdict[Person, _Times] = defaultdict(_Times)
    for each in rows:
        of_person = times[persons[each.user]]
        of_person.first.append(each.first_seen or start_of_day(each.first_day))
        of_person.last += [start_of_day(each.last_active)] if each.last_active else []
        of_person.last += [each.last_seen] if each.last_seen else []
    return times
