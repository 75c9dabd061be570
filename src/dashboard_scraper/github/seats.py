"""Seats as GitHub's billing endpoints list them: everybody who is known, and when last active."""

from __future__ import annotations

from datetime import datetime

import msgspec

from dashboard_scraper.github.reports import Persons
from dashboard_scraper.model.dates import start_of_day
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.identity import Person
from dashboard_scraper.store import Reader


class Seat(msgspec.Struct, frozen=True):
    """A person, since when they are known, and when they were last active: None if never."""

    person: Person
    since: datetime
    last_activity: datetime | None


def seats_in(reader: Reader, source: str, audience: Audience, persons: Persons) -> list[Seat]:
    """A seat for everybody who ever had a row, by login.

    The sources do not report seats, so a seat's creation is when the person was first seen, or else
    the first stored day. The last activity is the source's time, or the start of the last active
    day if that is later or all that is known.
    """
    seen: dict[Person, tuple[list[datetime], list[datetime]]] = {}
    for each in reader.known(source):
        if audience.includes(service=each.service):
            first, last = seen.setdefault(persons[each.user], ([], []))
            first.append(each.first_seen or start_of_day(each.first_day))
            last += [start_of_day(each.last_active)] if each.last_active else []
            last += [each.last_seen] if each.last_seen else []
    seats = [
        Seat(person, min(first), max(last, default=None)) for person, (first, last) in seen.items()
    ]
    return sorted(seats, key=lambda seat: seat.person.login)
