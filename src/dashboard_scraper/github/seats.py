"""Seats as GitHub's billing endpoints list them: who has used the assistant, and when last."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

from dashboard_scraper.github.reports import Persons
from dashboard_scraper.model.dates import Window, iso_utc
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.identity import Person
from dashboard_scraper.store import Reader

PLAN = "unknown"  # a value that GitHub's API defines


def seats_in(
    reader: Reader, source: str, window: Window, audience: Audience, persons: Persons
) -> list[dict[str, Any]]:
    """A seat for each person with a row in the window, by login.

    The sources do not report seats, so a seat's creation is when the person was first seen, or else
    the first stored day. `last_activity_at` is the source's time if it has one, else the start of
    the last active day.
    """
    first_days = reader.first_days(source)
    last_days: dict[str, date] = {}
    for row in reader.ledger(source, window).values():
        last_days |= dict.fromkeys((each.user for each in reader.activity(row, ())), row.day)
    seen: dict[Person, tuple[list[datetime], list[datetime]]] = {}
    for each in reader.seen(source, window):
        if audience.includes(service=each.service):
            first, last = seen.setdefault(persons[each.user], ([], []))
            first.append(each.first_seen or _start_of(first_days[each.user]))
            if each.last_seen or each.user in last_days:
                last.append(each.last_seen or _start_of(last_days[each.user]))
    seats = [
        _seat(person, min(first), max(last, default=None)) for person, (first, last) in seen.items()
    ]
    return sorted(seats, key=lambda seat: seat["assignee"]["login"])


def _seat(person: Person, since: datetime, last: datetime | None) -> dict[str, Any]:
    return {
        "created_at": iso_utc(since),
        "updated_at": iso_utc(last or since),
        "last_activity_at": iso_utc(last) if last else None,
        "last_activity_editor": None,
        "last_authenticated_at": None,
        "pending_cancellation_date": None,
        "plan_type": PLAN,
        "assigning_team": None,
        "assignee": {"login": person.login, "id": person.id, "type": "User"},
    }


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
