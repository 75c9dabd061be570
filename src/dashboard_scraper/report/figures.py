"""From user-days to the numbers of the report: no store, no text, no colour.

A figure that is not known is None, and so is every sum that it is part of; a day that is not in the
store has no figures at all. Whoever adds up the days of a period asks it how many are missing.
"""

from __future__ import annotations

import bisect
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import Enum

from dashboard_scraper.model.dates import DAYS, Window
from dashboard_scraper.model.distinct import DistinctPeople
from dashboard_scraper.model.doubts import Doubt, DoubtKind, doubts_of
from dashboard_scraper.model.figures import Sums, added, counts_of
from dashboard_scraper.model.metrics import (
    ACCEPTED,
    LINES,
    MESSAGES,
    SHOWN,
    Figures,
    Metric,
    parts_of,
)
from dashboard_scraper.model.tolerance import Tolerance
from dashboard_scraper.model.usage import UserUsage, sums_of
from dashboard_scraper.store import LedgerDay, Status

WEEK = 7
MESSAGE_KINDS, LINE_KINDS = parts_of(MESSAGES), parts_of(LINES)

# How many messages a person sent: the first number of each step.
STEPS = (0, 1, 10, 30, 100, 300, 1000, 3000)
_MOST_BARS = 31


class State(Enum):
    """What the store has of a day."""

    COMPLETE = "complete"
    EMPTY = "empty"  # fetched, and nobody was active
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Day:
    """One day of everybody.

    `active` people, `week` and `month` are distinct people of the 7 and 28 days that end with it,
    None where not all of these are in the store. `sums` is None for a missing day. `doubts` say why
    the figures may be wrong, the worst first, `forgotten` how many users were removed since.
    """

    day: date
    state: State
    active: int | None = None
    week: int | None = None
    month: int | None = None
    sums: Figures | None = None
    doubts: tuple[Doubt, ...] = ()
    forgotten: int = 0

    def doubts_of(self, kind: DoubtKind) -> list[Doubt]:
        """Those of one kind: one or none."""
        return [doubt for doubt in self.doubts if doubt.kind is kind]

    def sum_of(self, metrics: Iterable[Metric]) -> int | None:
        """Of the metrics together."""
        return None if self.sums is None else total_of(self.sums, metrics)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who was active in a period, and what the days add up to."""

    name: str
    service: bool
    sums: Figures
    active_days: int
    last_day: date

    def sum_of(self, metrics: Iterable[Metric]) -> int | None:
        """Of the metrics together."""
        return total_of(self.sums, metrics)


@dataclass(frozen=True, slots=True)
class Period:
    """The days of a window, and who was active on one of them, by name."""

    window: Window
    days: tuple[Day, ...]
    people: tuple[Person, ...]

    @property
    def kept(self) -> list[Day]:
        """The days that are in the store."""
        return [day for day in self.days if day.state is not State.MISSING]

    @property
    def missing(self) -> int:
        """How many days are not: with any, every sum and number of people may be too low."""
        return len(self.days) - len(self.kept)

    def sum_of(self, metrics: Collection[Metric]) -> int | None:
        """Of the metrics together, over the days that are in the store; None without any."""
        return added([day.sum_of(metrics) for day in self.kept]) if self.kept else None

    def tells(self, metric: Metric) -> bool:
        """Whether the source knows the metric: it told some day's sum, or somebody's count. Where
        nobody was active, nothing says that it does not.
        """
        told = [day.sum_of((metric,)) for day in self.days if day.state is State.COMPLETE]
        told += [person.sum_of((metric,)) for person in self.people]
        return not self.people or any(count is not None for count in told)


@dataclass(frozen=True, slots=True)
class Movement:
    """Names of two periods: active in this one alone, in both, in the one before alone."""

    new: list[str]
    stayed: list[str]
    lapsed: list[str]


@dataclass(frozen=True, slots=True)
class Group:
    """An editor, a language or a team; `active` of its `people`, None where these are not known."""

    name: str
    active: int
    messages: int | None
    lines: int | None
    people: int | None = None
    shown: int | None = None
    accepted: int | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a distribution: people with a number from `start` to `end`, None without one."""

    start: int
    end: int | None
    people: int

    @property
    def label(self) -> str:
        return f"{self.start:,}+" if self.end is None else _span(self.start, self.end)


@dataclass(frozen=True, slots=True)
class Weekday:
    """Active people on the average of so many `days` of one weekday; None without any."""

    weekday: int
    mean: float | None
    days: int


@dataclass(frozen=True, slots=True)
class Part:
    """What one person did in one editor and language over the days that have such figures."""

    user: str
    editor: str
    language: str
    messages: int | None
    lines: int | None


@dataclass(frozen=True, slots=True)
class ReportFigures:
    """Everything that the page tells.

    `known` people have a row in the store up to the window's end, the `idle` ones among them none
    with activity in the window; None where days of it are missing. The newest of the window's days
    was `fetched` then. `editor_days` are those whose editors and languages add up to their users'
    figures. `teams` is None where no team is known.
    """

    source: str
    now: Period
    before: Period
    known: int
    idle: list[str] | None
    fetched: date | None
    editor_days: int
    editors: list[Group]
    languages: list[Group]
    teams: list[Group] | None


def total_of(sums: Figures, metrics: Iterable[Metric]) -> int | None:
    """Of the metrics together."""
    return added(sums[metric] for metric in metrics)


def change_of(now: float | None, before: float | None) -> float | None:
    """In percent; None where one is unknown, or the one before is 0."""
    return None if now is None or not before else 100 * (now - before) / before


class PeriodTally:
    """Adds a window's user-days up, of each day and of each person."""

    def __init__(self, window: Window, tolerance: Tolerance) -> None:
        self.window = window
        self._tolerance = tolerance
        self._days: dict[date, Day] = {}
        self._sums = Sums()
        self._active_days: dict[str, int] = {}
        self._last: dict[str, tuple[bool, date]] = {}

    def add(
        self, kept: LedgerDay, users: Sequence[UserUsage], active: Sequence[UserUsage]
    ) -> list[str]:
        """Add the users of a day that are shown, oldest day first; returns the names of those who
        were active.
        """
        for user in active:
            self._add_person(user, kept.day)
        self._days[kept.day] = Day(
            kept.day,
            State.EMPTY if kept.status is Status.EMPTY else State.COMPLETE,
            active=len(active),
            # The ledger's are those of all users, and were compared when these were read.
            sums=kept.sums if users and len(users) == kept.users else sums_of(users),
            doubts=tuple(doubts_of(kept, self._tolerance)),
            forgotten=kept.forgotten,
        )
        return [user.user for user in active]

    def _add_person(self, user: UserUsage, day: date) -> None:
        name = user.user
        self._sums.add(name, counts_of(user.figures))
        self._active_days[name] = self._active_days.get(name, 0) + 1
        self._last[name] = (user.service, day)

    def period(self, distinct: DistinctPeople) -> Period:
        """All of it; `distinct` has also the days before that the first days look back on."""
        days = [
            self._with_distinct(distinct, day) if day in self._days else Day(day, State.MISSING)
            for day in self.window.days()
        ]
        people = [
            Person(name, service, self._sums[name], self._active_days[name], last)
            for name, (service, last) in sorted(self._last.items())
        ]
        return Period(self.window, tuple(days), tuple(people))

    def _with_distinct(self, distinct: DistinctPeople, day: date) -> Day:
        week, month = distinct.exactly(day, WEEK), distinct.exactly(day, DAYS)
        return replace(self._days[day], week=week, month=month)


def period_before(window: Window) -> Window:
    """As many days, right before."""
    length = timedelta(days=len(window))
    return Window(window.start - length, window.end - length)


def movement_of(now: Period, before: Period) -> Movement | None:
    """None where days are missing: on one of them, anybody may have been active."""
    if now.missing or before.missing:
        return None
    here, there = ({person.name for person in period.people} for period in (now, before))
    return Movement(*map(sorted, (here - there, here & there, there - here)))


def idle_of(now: Period, known: Collection[str]) -> list[str] | None:
    """Names of the known people without activity; None where days are missing."""
    return None if now.missing else sorted(set(known) - {person.name for person in now.people})


def weekdays_of(period: Period) -> list[Weekday]:
    """Monday first."""
    found = []
    for weekday in range(WEEK):
        counts = [
            day.active
            for day in period.days
            if day.active is not None and day.day.weekday() == weekday
        ]
        mean = sum(counts) / len(counts) if counts else None
        found.append(Weekday(weekday, mean, len(counts)))
    return found


def by_active_days(period: Period) -> list[Bar]:
    """People by the number of days on which they were active, in steps for long periods."""
    length = len(period.days)
    step = -(-length // _MOST_BARS)
    people = [0] * (-(-length // step))
    for person in period.people:
        people[(person.active_days - 1) // step] += 1
    starts = range(1, length + 1, step)
    return [
        Bar(start, min(start + step - 1, length), count)
        for start, count in zip(starts, people, strict=True)
    ]


def by_messages(period: Period) -> tuple[list[Bar], int]:
    """People by how many messages they sent, and how many of whom that is unknown."""
    people = [0] * len(STEPS)
    counts = [person.sum_of(MESSAGE_KINDS) for person in period.people]
    for count in counts:
        if count is not None:
            people[bisect.bisect_right(STEPS, count) - 1] += 1
    ends = [*(following - 1 for following in STEPS[1:]), None]
    return [Bar(*each) for each in zip(STEPS, ends, people, strict=True)], counts.count(None)


def used_bars(now: Sequence[Bar], before: Sequence[Bar]) -> int:
    """How many bars there are up to the last with anybody in either; 1 at least."""
    counts = [bar.people for bar in now], [bar.people for bar in before]
    return max([1, *(i for each in counts for i, count in enumerate(each, start=1) if count)])


def _span(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,}\u2013{high:,}"


def top_share(period: Period) -> float | None:
    """Percent of all messages that the tenth of the people who sent most of them sent."""
    counts = [person.sum_of(MESSAGE_KINDS) for person in period.people]
    known = sorted((count for count in counts if count is not None), reverse=True)
    if len(known) < len(counts) or not sum(known):
        return None
    return 100 * sum(known[: -(-len(known) // 10)]) / sum(known)


def median_messages(period: Period) -> float | None:
    """Of the people who were active."""
    counts = [person.sum_of(MESSAGE_KINDS) for person in period.people]
    known = [count for count in counts if count is not None]
    return statistics.median(known) if known and len(known) == len(counts) else None


def places_of(parts: Iterable[Part], name_of: Callable[[Part], str]) -> list[Group]:
    """Editors or languages, those with most lines first."""
    found: dict[str, list[Part]] = {}
    for part in parts:
        found.setdefault(name_of(part), []).append(part)
    groups = [
        Group(
            name,
            len({part.user for part in each}),
            added(part.messages for part in each),
            added(part.lines for part in each),
        )
        for name, each in found.items()
    ]
    return sorted(groups, key=lambda group: (-(group.lines or 0), group.name))


def teams_of(period: Period, members: Mapping[str, Collection[str]]) -> list[Group]:
    """Each team by its name; `members` are everybody's names by team, "" for those without one."""
    people = {person.name: person for person in period.people}
    groups = []
    for team, names in sorted(members.items(), key=lambda item: (not item[0], item[0])):
        active = [people[name] for name in names if name in people]
        groups.append(
            Group(
                team,
                len(active),
                added(person.sum_of(MESSAGE_KINDS) for person in active),
                added(person.sum_of((LINES,)) for person in active),
                len(names),
                added(person.sum_of((SHOWN,)) for person in active),
                added(person.sum_of((ACCEPTED,)) for person in active),
            )
        )
    return groups
