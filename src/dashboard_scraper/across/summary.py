"""The classes in numbers, for `status` and `people`, as text and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime

import msgspec

from dashboard_scraper.across.classes import Classes, Members, PersonClass, SeatsFrom
from dashboard_scraper.model.dates import iso_utc
from dashboard_scraper.model.listing import listed, listed_days, many
from dashboard_scraper.people.groups import grouped_teams
from dashboard_scraper.sources.registry import SOURCES, info_of
from dashboard_scraper.store.day_people import bits_in, union
from dashboard_scraper.store.notices import NoticeStatus
from dashboard_scraper.store.status import StoreStatus


class ClassCounts(msgspec.Struct, omit_defaults=True):
    """How many people are in each class, by the class's name, and how many have a seat; None if
    that is not known.
    """

    people: int
    classes: dict[str, int]
    with_seat: int | None


class SourcePeople(msgspec.Struct):
    """The people of one source in the window.

    If days are `missing`, people who look idle or never seen may have been active on them.
    `unmatched` are the logins and ids without a known address: their number, and their names if
    outputs name people. `leaves_out` says whom the source is known to leave out.
    """

    source: str
    counts: ClassCounts
    seats_from: str | None
    seats_as_of: datetime | None
    missing: list[date]
    unmatched: int
    unmatched_names: list[str] | None
    leaves_out: str | None


class TeamPeople(msgspec.Struct):
    """The people of one team, over all sources; `team` is empty for people in no shown team.

    `active` counts people with activity in the window, whichever class they are in.
    """

    team: str
    counts: ClassCounts
    active: int


class PeopleSummary(msgspec.Struct):
    """Everybody in one class: in each source, over all sources, and by team if teams are known."""

    start: date
    end: date
    sources: list[SourcePeople]
    overall: ClassCounts
    teams: list[TeamPeople]

    @property
    def adds_to_days(self) -> bool:
        """Whether it says more than the days of a single source."""
        return len(self.sources) > 1 or any(
            each.seats_from or each.unmatched or each.leaves_out for each in self.sources
        )


class StatusWithPeople(StoreStatus):
    """The status of the store's days, with that of its people (None if there is no day) and of its
    notices (None if there are none).
    """

    people: PeopleSummary | None = None
    notices: NoticeStatus | None = None


def summary_of(
    classes: Classes, teams: Mapping[int, frozenset[str]], *, named: bool, min_group_size: int
) -> PeopleSummary:
    """The numbers of the window; `teams` has the teams of each person, by bit."""
    across = classes.across
    window = across.window
    return PeopleSummary(
        window.start,
        window.end,
        [_source_people(classes, source, named=named) for source in across.sources],
        _counts(classes.overall),
        _teams(classes, teams, min_group_size),
    )


def leaves_out(source: str) -> str | None:
    """Whom the source is known to leave out, if anybody."""
    return (info_of(source).leaves_out or None) if source in SOURCES else None


def _source_people(classes: Classes, source: str, *, named: bool) -> SourcePeople:
    members, across = classes.of[source], classes.across
    stored = set(across.days(source))
    unmatched = classes.unmatched(source)
    return SourcePeople(
        source,
        _counts(members),
        members.seats_from and members.seats_from.value,
        members.seats_as_of,
        [day for day in across.window.days() if day not in stored],
        len(unmatched),
        unmatched if named else None,
        leaves_out(source),
    )


def _counts(members: Members, within: int = -1) -> ClassCounts:
    counted = {each.value: (found & within).bit_count() for each, found in members.of.items()}
    seated = members.seated
    with_seat = None if seated is None else (seated & within & members.everybody).bit_count()
    return ClassCounts(sum(counted.values()), counted, with_seat)


def members_of(overall: Members, teams: Mapping[int, frozenset[str]]) -> dict[str, set[int]]:
    """The members of each team and, under an empty name, people without a team. Service accounts
    and others who cannot be attributed are left out: they would hide how few people have no team.
    """
    found: dict[str, set[int]] = {}
    for bit in bits_in(overall.everybody & ~overall.of[PersonClass.UNATTRIBUTED]):
        for team in teams.get(bit) or ("",):
            found.setdefault(team, set()).add(bit)
    return found


def _teams(
    classes: Classes, teams: Mapping[int, frozenset[str]], min_group_size: int
) -> list[TeamPeople]:
    shown = grouped_teams(members_of(classes.overall, teams), min_group_size)
    active = union(classes.across.used.values())
    members = {team: sum(1 << bit for bit in bits) for team, bits in shown.items()}
    return [
        TeamPeople(team, _counts(classes.overall, bits), (active & bits).bit_count())
        for team, bits in members.items()
    ]


def as_text(summary: PeopleSummary) -> str:
    """The numbers as text for people; every line ends with a line break."""
    lines = [f"people from {summary.start} to {summary.end}, each in one class:"]
    columns = [*(each.source for each in summary.sources), "overall"]
    counts = [*(each.counts for each in summary.sources), summary.overall]
    lines.append(f"  {'':<24}{''.join(f'{name:>13}' for name in columns)}")
    for each in PersonClass:
        cells = "".join(f"{count.classes[each.value]:>13,}" for count in counts)
        lines.append(f"  {each.title:<24}{cells}")
    cells = "".join(
        f"{'unknown' if count.with_seat is None else f'{count.with_seat:,}':>13}"
        for count in counts
    )
    lines.append(f"  {'with a seat':<24}{cells}")
    for source in summary.sources:
        lines += (f"  {source.source}: {remark}" for remark in _remarks(source))
    if summary.teams:
        lines.append("  by team: " + ", ".join(_team_words(each) for each in summary.teams))
    return "".join(f"{line}\n" for line in lines)


def _team_words(team: TeamPeople) -> str:
    return f"{team.team or 'all others'} {team.active:,} of {team.counts.people:,} in use"


def _remarks(source: SourcePeople) -> Iterator[str]:
    if source.missing:
        yield (
            f"{many(len(source.missing), 'day')} missing ({listed_days(source.missing)}): people"
            " who seem idle may have been active then"
        )
    if source.unmatched:
        names = f": {listed(source.unmatched_names)}" if source.unmatched_names else ""
        count = many(source.unmatched, "login or id", "logins or ids")
        yield f"{count} without a known address, which IDENTITY_FILE can give{names}"
    if source.seats_from == SeatsFrom.SOURCE.value and source.seats_as_of:
        yield f"seats as of {iso_utc(source.seats_as_of)}"
    elif source.seats_from == SeatsFrom.ROSTER.value:
        yield "seats as ROSTER_FILE has them"
    if source.leaves_out:
        yield f"leaves out {source.leaves_out}"
