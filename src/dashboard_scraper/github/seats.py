"""Seats as GitHub's billing endpoints list them: everybody who is known, and when last active."""

from __future__ import annotations

from datetime import datetime

import msgspec

from dashboard_scraper.github.reports import Persons
from dashboard_scraper.model.dates import Window, start_of_day
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.identity import Person
from dashboard_scraper.store import Reader


class Seat(msgspec.Struct, frozen=True):
    """A person, since when they are known, and when they were last active: None if never."""

    person: Person
    since: datetime
    last_activity: datetime | None


def seats_in(
    reader: Reader, source: str, latest: Window, audience: Audience, persons: Persons
) -> list[Seat]:
    """A seat for everybody who ever had a row, by login.

    The sources do not report seats, so a seat's creation is when the person was first seen, or else
    the first stored day. The last activity is the source's time, or the start of the last active
    day if that is later or all that is known. The source's own times are those of the `latest`
    window: whoever has no row there has stopped, and days will do.
    """
    seen: dict[Person, tuple[list[datetime], list[datetime]]] = {}
    times = {each.user: each for each in reader.seen(source, latest)}
    for each in reader.known(source):
        if audience.includes(service=each.service):
            first, last = seen.setdefault(persons[each.user], ([], []))
            first.append(start_of_day(each.first_day))
            last += [start_of_day(each.last_active)] if each.last_active else []
            if own := times.get(each.user):
                first += [own.first_seen] if own.first_seen else []
                last += [own.last_seen] if own.last_seen else []
    seats = [
        Seat(person, min(first), max(last, default=None)) for person, (first, last) in seen.items()
    ]
    return sorted(seats, key=lambda seat: seat.person.login)
