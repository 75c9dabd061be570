"""Queries about the people in a snapshot of the store: their names, and the bitmaps of each day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from functools import cache, cached_property
from typing import Any, NamedTuple

from sqlalchemy import Select, select

from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import FIRST_SEEN, LAST_SEEN, Metric
from dashboard_scraper.people.people import Spelling
from dashboard_scraper.store import persons
from dashboard_scraper.store.day_people import DayPeople, bits_in, from_bytes, new_on, union
from dashboard_scraper.store.schema import DAY_LEDGER, DAY_PEOPLE, PERSON, USER_DAY
from dashboard_scraper.store.snapshot import IS_OF_DAY, Snapshot
from dashboard_scraper.store.statements import of_source, source_values

_NAMES = 500
"""How many names one query asks for."""

# Each is built once: see `statements`.
_NAMES_OF_ALL = select(PERSON.c.user_login)
_SEEN = select(
    USER_DAY.c.user_login, USER_DAY.c[FIRST_SEEN.name], USER_DAY.c[LAST_SEEN.name]
).where(*IS_OF_DAY)


class KnownUser(NamedTuple):
    """A user with at least one row. `service` says whether all their rows are a service account's.
    Then the first day with a row, the last day with activity, and when they were first and last
    seen according to their newest row, if it says so.
    """

    user: str
    service: bool
    first_day: date
    last_active: date | None
    first_seen: datetime | None
    last_seen: datetime | None


@cache
def _people(metrics: tuple[Metric, ...], *, windowed: bool) -> Select[Any]:
    ledger, table = DAY_LEDGER.c, DAY_PEOPLE
    query = select(
        ledger.day,
        ledger.users,
        ledger.active_users,
        *(table.c.listed, table.c.service, table.c.active),
        *(table.c[metric.name] for metric in metrics),
    ).outerjoin_from(
        DAY_LEDGER, table, (table.c.source == ledger.source) & (table.c.day == ledger.day)
    )
    return of_source(DAY_LEDGER, query, windowed=windowed).order_by(ledger.day)


def _in_areas(
    areas: Sequence[Iterable[Metric]], metrics: Sequence[Metric], counted: Sequence[int]
) -> tuple[int, ...]:
    """For each area, the bitmap of people with more than 0 in one of its metrics."""
    return tuple(union(counted[metrics.index(metric)] for metric in area) for area in areas)


class PeopleQueries(Snapshot):
    """The part of a `Reader` that queries people."""

    def users(self, source: str, window: Window) -> list[str]:
        """Every address with a row in the window."""
        return self.names_of(union(day.listed for day in self.people(source, window).values()))

    def names(self) -> list[str]:
        """Every user name in the store, in each source's spelling."""
        return [row[0] for row in self._all(_NAMES_OF_ALL)]

    def names_by_source(self) -> dict[str, set[str]]:
        """Every user name in the store, as each source spelled it; reads every row."""
        with self._explained():
            return persons.names_by_source(self._connection)

    def spellings(self, source: str, window: Window, *, service_accounts: bool) -> list[Spelling]:
        """Every spelling of an address in the window, with its newest day there."""
        listed = [
            (day, each.listed if service_accounts else each.listed & ~each.service)
            for day, each in self.people(source, window).items()
        ]
        return [(name, day) for day, new in new_on(listed[::-1]) for name in self.names_of(new)]

    def first_days(self, source: str) -> dict[str, date]:
        """The first day of every user of the source, ordered by day, then by address."""
        listed = ((day, people.listed) for day, people in self.people(source).items())
        return self._days_of_names(new_on(listed))

    def people(
        self,
        source: str,
        window: Window | None = None,
        areas: Sequence[Iterable[Metric]] = (),
    ) -> dict[date, DayPeople]:
        """Who had a row and who was active on each stored day of the window, by default of all;
        oldest first.

        Somebody is active in an area if one of its counts is above 0. Raises StoreFailed if the
        bitmaps do not match the ledger.
        """
        metrics = tuple(dict.fromkeys(metric for area in areas for metric in area))
        query = _people(metrics, windowed=window is not None)
        found = {}
        for day, users, active_users, *bitmaps in self._all(query, source_values(source, window)):
            if None in bitmaps:
                raise self._damaged(day, "the bitmaps")
            listed, service, active, *counted = map(from_bytes, bitmaps)
            if (listed.bit_count(), active.bit_count()) != (users, active_users):
                raise self._damaged(day, "the bitmaps")
            found[day] = DayPeople(listed, service, active, _in_areas(areas, metrics, counted))
        return found

    def names_of(self, bitmap: int) -> list[str]:
        """The names that a bitmap stands for, in alphabetical order."""
        return sorted(self.name_of_bit[number] for number in bits_in(bitmap))

    @cached_property
    def name_of_bit(self) -> dict[int, str]:
        """The name that each bit of a bitmap stands for."""
        with self._explained():
            numbers = persons.numbers(self._connection)
        return persons.NameOfNumber(self._place, numbers)

    def known(self, source: str) -> list[KnownUser]:
        """Every user of the source, sorted by name."""
        people = self.people(source)
        newest_first = [*reversed(people.items())]
        not_service = {
            name
            for _, new in new_on((day, p.listed & ~p.service) for day, p in newest_first)
            for name in self.names_of(new)
        }
        last = self._days_of_names(new_on((day, each.active) for day, each in newest_first))
        first = self.first_days(source)
        found = []
        for day, newest in new_on((day, each.listed) for day, each in newest_first):
            names = self.names_of(newest)
            # Most people have their newest row on the newest day, so all its rows are read.
            times = self._seen_on(source, day, None if newest == people[day].listed else names)
            found += [
                KnownUser(name, name not in not_service, first[name], last.get(name), *times[name])
                for name in names
            ]
        return sorted(found)

    def _days_of_names(self, days: Iterable[tuple[date, int]]) -> dict[str, date]:
        return {name: day for day, bitmap in days for name in self.names_of(bitmap)}

    def _seen_on(
        self, source: str, day: date, names: list[str] | None
    ) -> dict[str, tuple[datetime | None, datetime | None]]:
        """When these users (None: all) were first and last seen, according to their rows of the
        day.
        """
        values = {"source": source, "day": day}
        if names is None:
            rows = self._all(_SEEN, values)
        else:
            chunks = (names[at : at + _NAMES] for at in range(0, len(names), _NAMES))
            chosen = (_SEEN.where(USER_DAY.c.user_login.in_(chunk)) for chunk in chunks)
            rows = [row for part in chosen for row in self._all(part, values)]
        return {row[0]: (row[1], row[2]) for row in rows}
