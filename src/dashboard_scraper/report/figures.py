"""From user-days to the numbers of the report, without wording or layout.

An unknown figure is None, and so is every sum that includes it. A missing day has no figures at all
and is left out of sums: check `Period.missing` before you compare or display a sum.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from enum import Enum

import msgspec

from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.doubts import Doubt, DoubtKind
from dashboard_scraper.model.figures import added, picker, values_of
from dashboard_scraper.model.metrics import (
    ACCEPTED,
    COUNTS,
    LINES,
    MESSAGES,
    SHOWN,
    Figures,
    Metric,
    Unit,
    parts_of,
)
from dashboard_scraper.report.cost_figures import MixedCurrencies, PageCosts

WEEK = 7
MESSAGE_KINDS, LINE_KINDS = parts_of(MESSAGES), parts_of(LINES)
(SESSIONS,) = (metric for metric in COUNTS if metric.unit is Unit.SESSIONS)
USE = (MESSAGES, *reversed(MESSAGE_KINDS), SESSIONS)
"""The metric for how much an assistant is used: the first of these that the source knows."""

# The lower bounds of the bars by messages: on a logarithmic scale, since most people send few and
# a handful send thousands.
STEPS = (0, 1, 10, 30, 100, 300, 1000, 3000)
_MOST_BARS = 31


class Measures(msgspec.Struct, frozen=True):
    """The metrics that a source knows, which its part of the page is made from."""

    metrics: Collection[Metric]

    def parts(self, metric: Metric) -> tuple[Metric, ...]:
        """The metrics that the page adds up for this one: for messages their kinds, if the source
        knows all of them; for any other metric just itself.
        """
        if metric is MESSAGES and all(kind in self.metrics for kind in MESSAGE_KINDS):
            return MESSAGE_KINDS
        return (metric,)

    def knows(self, metric: Metric) -> bool:
        """Whether the source can know the metric, directly or as a sum of its kinds."""
        return all(part in self.metrics for part in self.parts(metric))

    @property
    def has_rate(self) -> bool:
        """Whether the source can know what share of the completions shown is accepted."""
        return self.knows(SHOWN) and self.knows(ACCEPTED)

    def first(self, *metrics: Metric) -> Metric | None:
        """The first of the metrics that the source knows."""
        return next((metric for metric in metrics if self.knows(metric)), None)


class State(Enum):
    """What the store has for a day."""

    COMPLETE = "complete"
    EMPTY = "empty"  # fetched, and nobody was active
    MISSING = "missing"


class Day(msgspec.Struct, frozen=True):
    """One day of all people together.

    `week` and `month` count distinct active people of the 7 and 28 days up to this one, and are
    None if any of these days is missing. `sums` is None for a missing day. `doubts` say why the
    figures may be wrong, the worst first; a day that is not `settled` may still change; `forgotten`
    is how many users were removed since.
    """

    day: date
    state: State
    active: int | None = None
    week: int | None = None
    month: int | None = None
    sums: Figures | None = None
    doubts: tuple[Doubt, ...] = ()
    settled: bool = True
    forgotten: int = 0

    def doubts_of(self, kind: DoubtKind) -> list[Doubt]:
        """The doubts of one kind: one or none."""
        return [doubt for doubt in self.doubts if doubt.kind is kind]

    def sum_of(self, metrics: Iterable[Metric]) -> int | None:
        """The sum over the metrics."""
        return None if self.sums is None else total_of(self.sums, metrics)


class Person(msgspec.Struct, frozen=True):
    """Somebody who was active in a period, with the sums over its days.

    For the period before, only the sums of the kinds of messages are set; others are None, as if
    unknown.
    """

    name: str
    service: bool
    sums: Figures
    active_days: int
    last_day: date

    def sum_of(self, metrics: Iterable[Metric]) -> int | None:
        """The sum over the metrics."""
        return total_of(self.sums, metrics)


class Period(msgspec.Struct, frozen=True):
    """The days of a window, and the people who were active on any of them, by name.

    `used` are the metrics that are known to be above 0 for anybody on any day.
    """

    window: Window
    days: tuple[Day, ...]
    people: tuple[Person, ...]
    used: frozenset[Metric]

    @property
    def stored(self) -> list[Day]:
        """The days that are in the store."""
        return [day for day in self.days if day.state is not State.MISSING]

    @property
    def missing(self) -> int:
        """How many days are not in the store. If there are any, sums and numbers of people may be
        too low.
        """
        return len(self.days) - len(self.stored)

    def sum_of(self, metrics: Collection[Metric]) -> int | None:
        """The sum over the metrics and all stored days; None if no day is stored."""
        return added([day.sum_of(metrics) for day in self.stored]) if self.stored else None

    def reports(self, metric: Metric) -> bool:
        """Whether the source reports the metric for any day or any person.

        True if nobody was active, since then nothing shows that it does not.
        """
        if metric in self.used:
            return True
        everybody = (person.sums[metric] for person in self.people)
        of_days = (day.sum_of((metric,)) for day in self.days if day.state is State.COMPLETE)
        counts = itertools.chain(of_days, everybody)  # days first: they are usually enough
        return not self.people or any(count is not None for count in counts)


class Movement(msgspec.Struct, frozen=True):
    """Names of people active only in this period, in both periods, and only in the one before."""

    new: list[str]
    stayed: list[str]
    lapsed: list[str]


class Group(msgspec.Struct, frozen=True):
    """An editor, a language or a team; `people` is its size, which only teams have."""

    name: str
    active: int
    messages: int | None
    lines: int | None
    people: int | None = None
    shown: int | None = None
    accepted: int | None = None


class Bar(msgspec.Struct, frozen=True):
    """A bar of a distribution: how many people have a number from `start` to `end`; None is no
    limit.
    """

    start: int
    end: int | None
    people: int

    @property
    def label(self) -> str:
        return f"{self.start:,}+" if self.end is None else _span(self.start, self.end)


class Weekday(msgspec.Struct, frozen=True):
    """The mean number of active people over the stored `days` of one weekday; None without any."""

    weekday: int
    mean: float | None
    days: int


class Part(msgspec.Struct, frozen=True):
    """A person's sums in one editor and language, over the days that have figures by editor and
    language.
    """

    user: str
    editor: str
    language: str
    messages: int | None
    lines: int | None


class ReportFigures(msgspec.Struct, frozen=True):
    """Everything on the page.

    `known` counts people with a row up to the window's end; `idle` are known people without
    activity in the window, None if days of it are missing. `fetched` is the freshness: the newest
    day on which any of the window's days was fetched. `editor_days` counts days whose editors and
    languages add up to the users' figures. `teams` is None if there are none to show, `costs` if
    the store has none. `hidden_teams` counts teams with too few people, who are among the people
    without a team; see `people.groups`.
    """

    source: str
    measures: Measures
    now: Period
    before: Period
    known: int
    idle: list[str] | None
    fetched: date | None
    editor_days: int
    editors: list[Group]
    languages: list[Group]
    teams: list[Group] | None
    hidden_teams: int
    min_group_size: int
    costs: PageCosts | MixedCurrencies | None = None


def total_of(sums: Figures, metrics: Iterable[Metric]) -> int | None:
    """The sum over the metrics; None if one is unknown."""
    counts = _picker_of(tuple(metrics))(values_of(sums))
    return None if None in counts else sum(counts)


_picker_of = functools.cache(picker)  # the page needs the same few sums for every person


def change_of(now: float | None, before: float | None) -> float | None:
    """The change in percent; None if a number is unknown or the earlier one is 0."""
    return None if now is None or not before else 100 * (now - before) / before


def movement_of(now: Period, before: Period) -> Movement | None:
    """Who came and who left; None if days are missing, on which anybody may have been active."""
    if now.missing or before.missing:
        return None
    here, there = ({person.name for person in period.people} for period in (now, before))
    return Movement(*map(sorted, (here - there, here & there, there - here)))


def idle_of(now: Period, known: Collection[str]) -> list[str] | None:
    """The names of known people without activity; None if days are missing."""
    return None if now.missing else sorted(set(known) - {person.name for person in now.people})


def weekdays_of(period: Period) -> list[Weekday]:
    """The average of each weekday, Monday first."""
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
    """People by the number of days on which they were active; in long periods, a bar has several
    days.
    """
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


def by_messages(period: Period, parts: Collection[Metric]) -> tuple[list[Bar], int]:
    """People by how many messages they sent, and the number of people for whom that is unknown.

    `parts` are the metrics that are added up to messages, also in the next two functions.
    """
    people = [0] * len(STEPS)
    counts = [person.sum_of(parts) for person in period.people]
    for count in counts:
        if count is not None:
            people[bisect.bisect_right(STEPS, count) - 1] += 1
    ends = [*(following - 1 for following in STEPS[1:]), None]
    return [Bar(*each) for each in zip(STEPS, ends, people, strict=True)], counts.count(None)


def used_bars(now: Sequence[Bar], before: Sequence[Bar]) -> int:
    """The number of bars up to the last that is not empty in both periods; at least 1."""
    counts = [bar.people for bar in now], [bar.people for bar in before]
    return max([1, *(i for each in counts for i, count in enumerate(each, start=1) if count)])


def _span(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,}\u2013{high:,}"


def top_share(period: Period, parts: Collection[Metric]) -> float | None:
    """The percentage of all messages that was sent by the most active tenth of the people."""
    counts = _all_known(period, parts)
    if counts is None or not sum(counts):
        return None
    top = sorted(counts, reverse=True)[: -(-len(counts) // 10)]
    return 100 * sum(top) / sum(counts)


def median_messages(period: Period, parts: Collection[Metric]) -> float | None:
    """The median of the active people's messages; None if anybody's are unknown."""
    counts = _all_known(period, parts)
    return statistics.median(counts) if counts else None


def _all_known(period: Period, parts: Collection[Metric]) -> list[int] | None:
    """How many messages each person sent; None if anybody's are unknown."""
    counts = [person.sum_of(parts) for person in period.people]
    known = [count for count in counts if count is not None]
    return known if len(known) == len(counts) else None


def places_of(parts: Iterable[Part], name_of: Callable[[Part], str]) -> list[Group]:
    """Editors or languages, those with the most lines first."""
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


def teams_of(
    period: Period, members: Mapping[str, Collection[str]], messages: Collection[Metric]
) -> list[Group]:
    """The teams by name; `members` are names by team, "" for people without one, who come last.

    `messages` are the metrics that are added up to messages.
    """
    people = {person.name: person for person in period.people}
    groups = []
    for team, names in sorted(members.items(), key=lambda item: (not item[0], item[0])):
        active = [people[name] for name in names if name in people]
        groups.append(
            Group(
                team,
                len(active),
                added(person.sum_of(messages) for person in active),
                added(person.sum_of((LINES,)) for person in active),
                len(names),
                added(person.sum_of((SHOWN,)) for person in active),
                added(person.sum_of((ACCEPTED,)) for person in active),
            )
        )
    return groups
