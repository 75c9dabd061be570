"""The report's figures, read from the store."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, timedelta

from dashboard_scraper.model.columns import sum_of
from dashboard_scraper.model.dates import DAYS, Window, newest_over, period_before, utc_day
from dashboard_scraper.model.distinct import DistinctPeople
from dashboard_scraper.model.doubts import doubts_of
from dashboard_scraper.model.figures import Sums
from dashboard_scraper.model.metrics import COUNTS, LINES, MESSAGES, Figures, Metric
from dashboard_scraper.people.audience import Audience, Naming
from dashboard_scraper.people.groups import grouped_teams
from dashboard_scraper.report.cost_figures import costs_of
from dashboard_scraper.report.figures import (
    WEEK,
    Day,
    Group,
    Measures,
    Part,
    Period,
    Person,
    ReportFigures,
    State,
    idle_of,
    places_of,
    teams_of,
)
from dashboard_scraper.report.options import ReportOptions
from dashboard_scraper.report.sums_beside import SumsLater, nothing_beside, sums_beside
from dashboard_scraper.shown_people import ShownPeople, unknown_of_merged
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.store import DetailStatus, LedgerDay, Reader, Status, Store, UserSums
from dashboard_scraper.store.day_people import bits_in, counts_of_bits, new_on, union
from dashboard_scraper.store.settling import was_settled
from dashboard_scraper.store.sum_queries import PlaceSums

_MOST_BEHIND = timedelta(weeks=1)


def newest_common_window(stored: Sequence[Collection[date]], today: date) -> Window | None:
    """The 28 days up to the newest completed day that every source has, but none before the
    earliest stored day; None without a completed day. `stored` has the stored days of each source.

    A source that is more than a week behind the newest has stopped: it does not hold the others
    back, and its days are missing.
    """
    newest = [end for days in stored if (end := newest_over(days, today))]
    if not newest:
        return None
    end = min(each for each in newest if max(newest) - each <= _MOST_BEHIND)
    first = min(min(days) for days in stored if days)
    return Window(max(first, end - timedelta(days=DAYS - 1)), end)


class _Gathering:
    """Computes periods of the page from one snapshot, without loading rows of users, except those
    for `unknown_of_merged`.

    The days of `left_out` count as missing.
    """

    def __init__(
        self,
        reader: Reader,
        source: str,
        window: Window,
        audience: Audience,
        left_out: Collection[date],
    ) -> None:
        self._reader = reader
        self._source = source
        self._audience = audience
        reach = reach_of(window)
        include = audience.service_accounts
        spellings = reader.spellings(source, reach, service_accounts=include)
        self._logins = [login for login, _ in spellings]
        self.naming = audience.naming(spellings)
        self.ledger = {
            day: row for day, row in reader.ledger(source, reach).items() if day not in left_out
        }
        self._people = ShownPeople(reader, source, reach, audience)
        self._distinct = DistinctPeople()
        for day in self.ledger:
            self._distinct.add(day, self._people.active(day))

    def begin_sums(self, store: Store, window: Window, metrics: Collection[Metric]) -> SumsLater:
        """Begin to add up the sums that `period` needs, in parallel to the reader's other work."""
        days = [row for day, row in self.ledger.items() if day in window]
        include = self._audience.service_accounts
        return sums_beside(
            store, self._reader, self._source, days, metrics, service_accounts=include
        )

    def period(
        self,
        window: Window,
        options: ReportOptions,
        metrics: Collection[Metric],
        sums_later: SumsLater = nothing_beside,
    ) -> Period:
        """The days and the people of a window; people have only sums of the `metrics`."""
        stored = [day for day in window.days() if day in self.ledger]
        sums = self._sums_of_days(stored)
        days = [
            (
                self._day(self.ledger[day], sums[day], options)
                if day in sums
                else Day(day, State.MISSING)
            )
            for day in window.days()
        ]
        users = sums_later()
        if users is None:
            users = self._reader.sums_by_user(
                self._source, stored, metrics, service_accounts=self._audience.service_accounts
            )
        known = [(at, metric) for at, metric in enumerate(COUNTS) if metric in metrics]
        used = [metric for at, metric in known if any(user.known[at] for user in users)]
        people = tuple(self._persons(users, stored, metrics))
        return Period(window, tuple(days), people, frozenset(used))

    def _day(self, row: LedgerDay, sums: Figures, options: ReportOptions) -> Day:
        return Day(
            row.day,
            State.EMPTY if row.status is Status.EMPTY else State.COMPLETE,
            active=self._distinct.at_least(row.day, 1),
            week=self._distinct.exactly(row.day, WEEK),
            month=self._distinct.exactly(row.day, DAYS),
            sums=sums,
            doubts=tuple(doubts_of(row, options.tolerance)),
            settled=was_settled(row, options.settle_days),
            forgotten=row.forgotten,
        )

    def _sums_of_days(self, days: list[date]) -> dict[date, Figures]:
        """The ledger's sums, unless service accounts are left out of a day."""
        parted = [day for day in days if self._people.leaves_out(day)]
        sums = {day: self.ledger[day].sums for day in days if self.ledger[day].users}
        sums |= dict.fromkeys(parted, sum_of([]))  # for a day with service accounts only
        sums |= self._reader.people_sums(self._source, parted) if parted else {}
        return {day: sums.get(day, sum_of([])) for day in days}

    def _persons(
        self, users: Iterable[UserSums], days: list[date], metrics: Collection[Metric]
    ) -> Iterator[Person]:
        """Everybody who was active on any of the days, by name; `users` has the sums by address."""
        sums = Sums()
        for user in users:
            sums.add(self.naming.name(user.user), user.sums)
        rows = [self.ledger[day] for day in days]
        for name, counts in unknown_of_merged(
            self._reader, rows, metrics, self._logins, self.naming
        ):
            sums.add(name, counts)
        active = {day: self._people.active(day) for day in days}
        active_days = counts_of_bits(active.values())
        # Somebody who also has a service account is a person, whichever of the two was active last.
        persons = union(bits & ~self._people.services(day) for day, bits in active.items())
        last: dict[int, date] = {}
        for day, new in new_on(reversed(active.items())):
            last |= dict.fromkeys(bits_in(new), day)
        bits = {self.naming.name(self._reader.name_of_bit[bit]): bit for bit in last}
        for name, bit in sorted(bits.items()):
            yield Person(name, not persons >> bit & 1, sums[name], active_days[bit], last[bit])

    def sums_of_places(self, days: Iterable[date], messages: Collection[Metric]) -> list[PlaceSums]:
        """The sums over the days of messages and of lines, by user, editor and language."""
        return self._reader.editor_language_sums(
            self._source,
            days,
            [messages, (LINES,)],
            service_accounts=self._audience.service_accounts,
        )

    def known_names(self, end: date) -> tuple[set[str], set[str]]:
        """The names of everybody with a row up to the day, and those of service accounts only."""
        people = ShownPeople(self._reader, self._source, Window(date.min, end), self._audience)
        known = persons = 0
        for day in people.days():
            known |= people.listed(day)
            persons |= people.listed(day) & ~people.services(day)
        return self._names(known), self._names(known & ~persons)

    def _names(self, bitmap: int) -> set[str]:
        return {self.naming.name(name) for name in self._reader.names_of(bitmap)}


def reach_of(window: Window) -> Window:
    """All days that the page of a window reads: the window, the period of the same length before
    it, and the 27 days before that, which monthly counts need.
    """
    return Window(period_before(window).start - timedelta(days=DAYS - 1), window.end)


def figures_of(
    reader: Reader,
    source: str,
    window: Window,
    audience: Audience,
    options: ReportOptions,
    left_out: Collection[date] = (),
    store: Store | None = None,
) -> ReportFigures:
    """The figures for the page of a window, from the store; days of `left_out` count as missing.

    With the reader's `store`, the two periods may be added up in parallel.
    """
    gathering = _Gathering(reader, source, window, audience, left_out)
    measures = Measures(info_of(source).metrics)
    messages = measures.parts(MESSAGES)
    earlier = period_before(window)
    later = gathering.begin_sums(store, earlier, messages) if store else nothing_beside
    # The window first: another output has just asked for its sums.
    now = gathering.period(window, options, measures.metrics)
    # About the people of the period before, the page only needs their names and their messages.
    before = gathering.period(earlier, options, messages, later)
    known, services = gathering.known_names(window.end)
    rows = [row for day, row in gathering.ledger.items() if day in window]
    whole = [row.day for row in rows if row.editor_language is DetailStatus.COMPLETE]
    places = gathering.sums_of_places(whole, messages) if whole else []
    parts = _parts(places, gathering.naming, now)
    teams, hidden = _teams(now, known, services, audience, messages, options.min_group_size)
    return ReportFigures(
        source=source,
        measures=measures,
        now=now,
        before=before,
        known=len(known),
        idle=idle_of(now, known),
        # The day without the time, so that fetching the same figures again gives the same page.
        fetched=utc_day(max(row.fetched_at for row in rows)) if rows else None,
        editor_days=len(whole),
        editors=places_of(parts, lambda part: part.editor),
        languages=places_of(parts, lambda part: part.language),
        teams=teams,
        hidden_teams=hidden,
        min_group_size=options.min_group_size,
        costs=costs_of(reader, source, window, audience, gathering.naming, options),
    )


def teams_in(
    reader: Reader, source: str, window: Window, audience: Audience, options: ReportOptions
) -> list[Group]:
    """The teams that may be shown, with their members who were active in the window; empty if a day
    of it is missing, since more people may have been active.
    """
    gathering = _Gathering(reader, source, window, audience, ())
    measures = Measures(info_of(source).metrics)
    now = gathering.period(window, options, measures.metrics)
    if now.missing:
        return []
    known, services = gathering.known_names(window.end)
    messages = measures.parts(MESSAGES)
    return _teams(now, known, services, audience, messages, options.min_group_size)[0] or []


def _parts(sums: Iterable[PlaceSums], naming: Naming, period: Period) -> list[Part]:
    """The sums by person, editor and language of everybody who is shown."""
    shown = {person.name for person in period.people}
    parts = [Part(naming.name(each.user), each.editor, each.language, *each.sums) for each in sums]
    return [part for part in parts if part.user in shown]


def _teams(
    period: Period,
    known: set[str],
    services: set[str],
    audience: Audience,
    messages: Collection[Metric],
    minimum: int,
) -> tuple[list[Group] | None, int]:
    """The teams that may be shown (None if there are none), and how many may not.

    Service accounts without a team are shown among the people without a team, but not counted as
    people: they would hide how few these are.
    """
    if not audience.has_teams:
        return None, 0
    members: dict[str, set[str]] = {}
    for name in known | {person.name for person in period.people}:
        person = audience.identities.get(audience.people.key(name))
        for team in (person.teams if person else ()) or ("",):
            members.setdefault(team, set()).add(name)
    accounts = members.get("", set()) & services
    groups = grouped_teams({**members, "": members.get("", set()) - accounts}, minimum)
    if groups and accounts:
        groups[""] = groups.get("", set()) | accounts
    hidden = len(members.keys() - groups.keys() - {""})
    return teams_of(period, groups, messages) if groups else None, hidden
