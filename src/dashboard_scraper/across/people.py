"""Who is in which source on which days: bitmaps of all sources, with one bit per person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from functools import cached_property

import msgspec

from dashboard_scraper.model.addresses import is_address
from dashboard_scraper.model.dates import Window
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.store import Reader
from dashboard_scraper.store.day_people import (
    DayPeople,
    bits_in,
    counts_of_bits,
    from_bytes,
    new_on,
    union,
)

Key = str
"""The same for all names of a person, in every source (`People.key`)."""


class Presence(msgspec.Struct, frozen=True):
    """One person or service account in one source, within the window.

    `names` are those that the source uses, in alphabetical order. The first and last day are days
    with a row; `active` is the number of days with activity, `last_active` the newest of these.
    """

    names: tuple[str, ...]
    service: bool
    first_day: date
    last_day: date
    active: int
    last_active: date | None


class _Day(msgspec.Struct, frozen=True):
    listed: int
    service: int
    active: int


class PeopleAcross:
    """Bitmaps of the people on each stored day of a window, in several sources.

    Bit N stands for the same person in every bitmap, whatever the source; `keys[N]` is that
    person's key. Service accounts have bits too, in separate bitmaps: they are not people, and a
    service account is never the same as a person, even one whose login is its name.
    """

    def __init__(
        self, reader: Reader, sources: Iterable[str], window: Window, audience: Audience
    ) -> None:
        self.sources = tuple(sources)
        self.window = window
        self._audiences = {source: audience.of(source) for source in ("", *self.sources)}
        self._numbers = reader.name_of_bit
        self._bits: dict[Key, int] = {}
        self._next = max(self._numbers, default=-1) + 1
        self.keys: dict[int, Key] = {}
        self._spellings: dict[int, set[tuple[str, str]]] = {}
        self._days: dict[str, dict[date, _Day]] = {}
        self._names: dict[str, dict[int, list[str]]] = {}
        self._earlier: dict[str, int] = {}
        for source in self.sources:
            self._read(source, reader.people(source, Window(date.min, window.end)))

    def _read(self, source: str, stored: Mapping[date, DayPeople]) -> None:
        listed = union(each.listed for day, each in stored.items() if day in self.window)
        place = {
            number: self.bit_of(source, self._numbers[number], number)
            for number in bits_in(union(each.listed for each in stored.values()))
        }
        spelled: dict[int, list[str]] = {}
        for number in bits_in(listed):
            spelled.setdefault(place[number], []).append(self._numbers[number])
        self._names[source] = {bit: sorted(found) for bit, found in spelled.items()}
        moved = _Moved(place)
        everybody = self._audiences[source].service_accounts
        days = {day: _by_person(each, moved, everybody=everybody) for day, each in stored.items()}
        self._days[source] = {day: each for day, each in days.items() if day in self.window}
        self._earlier[source] = union(
            each.active & ~each.service for day, each in days.items() if day not in self.window
        )

    def bit_of(self, source: str, name: str, number: int | None = None) -> int:
        """The bit of the person with this name in a source, such as from a seat. If there is none
        yet, a new one, which is `number` if that is free. The source "" has only addresses.
        """
        key = self._audiences[source].people.key(name)
        bit = self._bits.get(key)
        if bit is None:
            if number is None or number in self.keys:
                number, self._next = self._next, self._next + 1
            bit = self._bits[key] = number
            self.keys[bit], self._spellings[bit] = key, set()
        self._spellings[bit].add((source, name))
        return bit

    def is_matched(self, source: str, name: str) -> bool:
        """Whether it is known which address the name belongs to; service accounts have none."""
        return self._audiences[source].people.is_matched(name)

    def days(self, source: str) -> list[date]:
        """The source's stored days, oldest first; other days are unknown, not without activity."""
        return list(self._days[source])

    def active(self, source: str, day: date) -> int:
        """The people with activity on a stored day, without service accounts."""
        each = self._days[source][day]
        return each.active & ~each.service

    def listed(self, source: str, day: date) -> int:
        """The people with a row on a stored day, without service accounts."""
        each = self._days[source][day]
        return each.listed & ~each.service

    def services(self, source: str, day: date) -> int:
        """The service accounts and API keys with activity on a stored day; none if outputs do not
        show them.
        """
        each = self._days[source][day]
        return each.active & each.service if self._audiences[source].service_accounts else 0

    def active_in(self, source: str, window: Window) -> int:
        """The people with activity on any stored day of `window`, a part of the whole window."""
        return union(self.active(source, day) for day in self._days[source] if day in window)

    def active_before(self, source: str) -> int:
        """The people with activity on any stored day before the window."""
        return self._earlier[source]

    @cached_property
    def used(self) -> dict[str, int]:
        """By source, the people with activity on any day of the window."""
        return {source: self.active_in(source, self.window) for source in self.sources}

    def present(self, source: str) -> dict[int, Presence]:
        """Everybody with a row in the window, including service accounts, by their bits."""
        days = self._days[source]
        listed = {day: each.listed for day, each in days.items()}
        active = {day: each.active for day, each in days.items()}
        people = union(each.listed & ~each.service for each in days.values())
        first, last = _first(listed.items()), _first(reversed(listed.items()))
        last_active, counts = _first(reversed(active.items())), counts_of_bits(active.values())
        return {
            bit: Presence(
                tuple(names),
                not people >> bit & 1,
                first[bit],
                last[bit],
                counts.get(bit, 0),
                last_active.get(bit),
            )
            for bit, names in sorted(self._names[source].items())
        }

    def name(self, bit: int) -> str:
        """The name that outputs show: a pseudonym, or an address rather than a login or an id."""
        source, name = max(self._spellings[bit], key=lambda each: (is_address(each[1]), each[1]))
        if not is_address(name) and is_address(self.keys[bit]):
            source, name = "", self.keys[bit]
        return self._audiences[source].rename(name)

    def names(self, bitmap: int) -> list[str]:
        """The names that outputs show, in alphabetical order."""
        return sorted(self.name(bit) for bit in bits_in(bitmap))

    def service_accounts(self, source: str) -> int:
        """Those whose rows in the window are all a service account's, whatever outputs show."""
        days = self._days[source].values()
        return union(each.listed for each in days) & ~union(
            each.listed & ~each.service for each in days
        )

    def several(self, source: str, more: Mapping[int, list[str]]) -> int:
        """The people who have several names in the source, in the window or (`more`) in seats: not
        just spellings of one name, but two addresses, or an address and an id.
        """
        found, account_key = 0, self._audiences[source].people.account_key
        for bit in self._names[source].keys() | more.keys():
            names = [*self._names[source].get(bit, ()), *more.get(bit, ())]
            if len(names) > 1 and len({*map(account_key, names)}) > 1:
                found |= 1 << bit
        return found

    @cached_property
    def unmatched(self) -> dict[str, list[str]]:
        """By source, the logins and ids with a row but no known address, in alphabetical order; a
        login with several spellings is there only once.
        """
        return {
            source: sorted(
                names[-1]
                for names in self._names[source].values()
                if not self.is_matched(source, names[-1])
            )
            for source in self.sources
        }


def _by_person(each: DayPeople, moved: _Moved, *, everybody: bool) -> _Day:
    """A day by person from one by account; without `everybody`, activity of service accounts is
    left out.
    """
    return _Day(
        moved(each.listed),
        # A person is a service account only if all their accounts of the day are.
        moved(each.listed) & ~moved(each.listed & ~each.service),
        # An account that outputs leave out does not make its person active.
        moved(each.active if everybody else each.active & ~each.service),
    )


class _Moved:
    """Moves bits to their persons' places: most stay where they are, and several may become one."""

    def __init__(self, place: Mapping[int, int]) -> None:
        self._place = {bit: to for bit, to in place.items() if bit != to}
        self._size = max(place.values(), default=-1) // 8 + 1
        self._moving = sum(1 << bit for bit in self._place)

    def __call__(self, bitmap: int) -> int:
        moved = bytearray(self._size)
        for bit in bits_in(bitmap & self._moving):
            place = self._place[bit]
            moved[place >> 3] |= 1 << (place & 7)
        return bitmap & ~self._moving | from_bytes(bytes(moved))


def _first(days: Iterable[tuple[date, int]]) -> dict[int, date]:
    """The first of the days on which each bit is set."""
    return {bit: day for day, new in new_on(days) for bit in bits_in(new)}
