"""Several sources side by side: people, seats and money, without wording or layout.

A missing day of one source makes its own figures unknown, and those of all sources together, but
not the figures of another source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import msgspec

from dashboard_scraper.across.classes import Classes, PersonClass
from dashboard_scraper.across.people import PeopleAcross
from dashboard_scraper.model.addresses import is_address
from dashboard_scraper.model.dates import Window, utc_day
from dashboard_scraper.model.distinct import DistinctPeople
from dashboard_scraper.model.seat_prices import SeatPrice
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.groups import grouped_teams
from dashboard_scraper.report.figures import WEEK, ReportFigures
from dashboard_scraper.report.options import ReportOptions
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.store import Reader
from dashboard_scraper.store.day_people import bits_in, counts_of_bits, union


class PeopleOfDay(msgspec.Struct, frozen=True):
    """How many people were active on a day, and in the week up to it; None if a day is missing."""

    day: date
    active: int | None
    week: int | None


class SeatUse(msgspec.Struct, frozen=True):
    """The seats that a source reported last or, if it reports none, those of ROSTER_FILE, and how
    many of them belong to nobody who was active in the window; None if days are missing.

    `fetched` is None for seats of the roster.
    """

    seats: int
    idle: int | None
    fetched: date | None
    price: SeatPrice | None


class Side(msgspec.Struct, frozen=True):
    """One source beside the others: people only, without service accounts.

    `services` is how many service accounts were active. `unmatched` counts the active people who
    are known only by a login or an id, and so cannot be found in another source; `unmatched_seats`
    counts such people with a seat.
    """

    figures: ReportFigures
    days: Sequence[PeopleOfDay]
    people: int
    before: int
    new: int | None
    lapsed: int | None
    services: int
    unmatched: int
    unmatched_seats: int
    seats: SeatUse | None

    @property
    def source(self) -> str:
        return self.figures.source

    @property
    def missing(self) -> list[date]:
        """The days of the window that are not in the store."""
        return [each.day for each in self.days if each.active is None]


class TeamUse(msgspec.Struct, frozen=True):
    """How many people a team has, and how many of them were active in each source. People in no
    team that is shown are one team with an empty name.
    """

    name: str
    people: int
    active: Mapping[str, int]
    any: int


class Together(msgspec.Struct, frozen=True):
    """All sources of a page.

    `people` counts those active in any source, `by_count` those active with one assistant, with
    two, and so on; two sources of one product are one assistant. `without` counts people with a
    seat who were active in none; None if that is not known. `classes` has everybody in one class,
    by source, and over all sources under an empty name.
    """

    sides: Sequence[Side]
    people: int
    before: int
    by_count: Sequence[int]
    without: int | None
    teams: Sequence[TeamUse] | None
    hidden_teams: int
    min_group_size: int
    classes: Mapping[PersonClass, Mapping[str, int]]

    @property
    def incomplete(self) -> bool:
        """Whether a source lacks days of the window."""
        return any(side.missing for side in self.sides)

    @property
    def unmatched(self) -> bool:
        """Whether any active person is known only by a login or an id: this may be somebody who is
        already counted in another source.
        """
        return any(side.unmatched for side in self.sides)

    @property
    def has_seats(self) -> bool:
        """Whether any source reports seats."""
        return any(side.seats for side in self.sides)


def together_of(
    reader: Reader,
    several: Sequence[ReportFigures],
    audience: Audience,
    options: ReportOptions,
) -> Together:
    """The sources of these figures, which must have the same window, side by side."""
    now, before = several[0].now.window, several[0].before.window
    sources = [figures.source for figures in several]
    reach = Window(before.start - timedelta(WEEK - 1), now.end)
    across = PeopleAcross(reader, sources, reach, audience)
    here, there = (
        {source: across.active_in(source, window) for source in sources} for window in (now, before)
    )
    classes = Classes(reader, PeopleAcross(reader, sources, now, audience), options.roster)
    sides = [_side(across, classes, figures, here, there, options) for figures in several]
    teams, hidden = _teams(across, audience, here, options.min_group_size)
    return Together(
        sides,
        union(here.values()).bit_count(),
        union(there.values()).bit_count(),
        _by_count(here),
        None if any(side.missing for side in sides) else _without(classes),
        teams if audience.has_teams else None,
        hidden,
        options.min_group_size,
        _class_counts(classes),
    )


def _without(classes: Classes) -> int | None:
    """How many people have a seat in any source but were active in none."""
    if classes.overall.seated is None:
        return None
    active = union(classes.across.used.values())
    seated = {bit for source in classes.across.sources for bit in _holders(classes, source)}
    return sum(not active >> bit & 1 for bit in seated)


def _holders(classes: Classes, source: str) -> list[int]:
    """The owner of each seat, without seats assigned after the window, which could not be used in
    it.
    """
    end = classes.across.window.end
    return [
        bit
        for bit, seats in classes.seats[source].items()
        for seat in seats
        if seat.assigned_on is None or seat.assigned_on <= end
    ]


def _unmatched_holders(classes: Classes, source: str) -> int:
    across = classes.across
    unmatched = {across.bit_of(source, name) for name in classes.unmatched(source)}
    return len(unmatched.intersection(_holders(classes, source)))


def _class_counts(classes: Classes) -> dict[PersonClass, Mapping[str, int]]:
    """How many are in each class, by source, and over all sources under an empty name."""
    members = {**classes.of, "": classes.overall}
    counts = {source: each.counts() for source, each in members.items()}
    return {each: {source: found[each] for source, found in counts.items()} for each in PersonClass}


def _side(
    across: PeopleAcross,
    classes: Classes,
    figures: ReportFigures,
    here: Mapping[str, int],
    there: Mapping[str, int],
    options: ReportOptions,
) -> Side:
    source, window = figures.source, figures.now.window
    now, before = here[source], there[source]
    compared = not figures.now.missing and not figures.before.missing
    services = union(across.services(source, day) for day in across.days(source) if day in window)
    unmatched = {across.bit_of(source, name) for name in across.unmatched[source]}
    return Side(
        figures,
        _days(across, source, window),
        now.bit_count(),
        before.bit_count(),
        (now & ~before).bit_count() if compared else None,
        (before & ~now).bit_count() if compared else None,
        services.bit_count(),
        sum(now >> bit & 1 for bit in unmatched),
        _unmatched_holders(classes, source),
        _seat_use(classes, figures, options),
    )


def _days(across: PeopleAcross, source: str, window: Window) -> list[PeopleOfDay]:
    distinct = DistinctPeople()
    for day in across.days(source):
        distinct.add(day, across.active(source, day))
    return [
        PeopleOfDay(day, distinct.exactly(day, 1), distinct.exactly(day, WEEK))
        for day in window.days()
    ]


def _seat_use(classes: Classes, figures: ReportFigures, options: ReportOptions) -> SeatUse | None:
    source = figures.source
    members = classes.of[source]
    if members.seats_from is None:
        return None
    active, holders = classes.across.used[source], _holders(classes, source)
    return SeatUse(
        len(holders),
        None if figures.now.missing else sum(not active >> bit & 1 for bit in holders),
        utc_day(members.seats_as_of) if members.seats_as_of else None,
        options.seat_prices.by_source.get(source),
    )


def _by_count(here: Mapping[str, int]) -> list[int]:
    """How many people use one assistant, two, and so on."""
    by_product: dict[str, int] = {}
    for source, bitmap in here.items():
        product = info_of(source).product.name
        by_product[product] = by_product.get(product, 0) | bitmap
    counts = [*counts_of_bits(by_product.values()).values()]
    return [counts.count(number) for number in range(1, len(by_product) + 1)]


def _teams(
    across: PeopleAcross, audience: Audience, here: Mapping[str, int], least: int
) -> tuple[list[TeamUse], int]:
    """The teams of IDENTITY_FILE by name, each with all of its people, and how many teams are not
    shown separately.
    """
    people = audience.of("").people
    members: dict[str, set[str]] = {}
    for name, person in audience.identities.items():
        key = people.key(name)
        if not is_address(key):  # service accounts would hide how few people a team has
            continue
        for team in person.teams or ("",):
            members.setdefault(team, set()).add(key)
    groups = grouped_teams(members, least)
    active = {
        source: {across.keys[bit] for bit in bits_in(bitmap)} for source, bitmap in here.items()
    }
    anywhere = set().union(*active.values())
    shown = [
        TeamUse(
            team,
            len(keys),
            {source: len(keys & found) for source, found in active.items()},
            len(keys & anywhere),
        )
        for team, keys in groups.items()
    ]
    return shown, len(members.keys() - groups.keys() - {""})
