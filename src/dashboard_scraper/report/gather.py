"""The report's figures, read from the store."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta

from dashboard_scraper.model.dates import DAYS, Window, newest_over, utc_day
from dashboard_scraper.model.distinct import DistinctPeople
from dashboard_scraper.model.metrics import LINES
from dashboard_scraper.model.tolerance import Tolerance
from dashboard_scraper.output import OutputDay
from dashboard_scraper.people.audience import Audience, Naming
from dashboard_scraper.report.figures import (
    MESSAGE_KINDS,
    Group,
    Part,
    Period,
    PeriodTally,
    ReportFigures,
    idle_of,
    period_before,
    places_of,
    teams_of,
)
from dashboard_scraper.store import DetailStatus, Reader


def newest_window(kept: Collection[date], today: date) -> Window | None:
    """The 28 days that end with the newest one that is kept and over; from the store's first day,
    where that is later. None where there is no such day.
    """
    end = newest_over(kept, today)
    return Window(max(min(kept), end - timedelta(days=DAYS - 1)), end) if end else None


class PageTally:
    """Gathers what the page shows of a window, of as many days before it, and of those that both
    look back on, from one stored day after the other.
    """

    def __init__(
        self, reader: Reader, source: str, window: Window, audience: Audience, tolerance: Tolerance
    ) -> None:
        self._reader = reader
        self._source = source
        self._window = window
        self._audience = audience
        self.reach = reach_of(window)
        self._naming = audience.naming(reader.spellings(source, self.reach))
        self._people = DistinctPeople(self.reach.start)
        self._before, self._now = (
            PeriodTally(each, tolerance) for each in (period_before(window), window)
        )
        self._fetched: list[datetime] = []
        self._whole: list[date] = []

    def add_day(self, day: OutputDay) -> None:
        """The next day of `reach`."""
        tally = next((t for t in (self._before, self._now) if day.day in t.window), None)
        if tally is None:
            self._people.add(day.day, self._naming.names(day.active_accounts))
        else:
            active = self._naming.renamed(day.shown.active)
            self._people.add(day.day, tally.add(day.kept, day.shown.users, active))
        if tally is self._now:
            self._fetched.append(day.kept.fetched_at)
            if day.kept.editor_language is DetailStatus.COMPLETE:
                self._whole.append(day.day)

    def figures(self) -> ReportFigures:
        """What the days came to; those that were not added are missing."""
        before, now = (tally.period(self._people) for tally in (self._before, self._now))
        known = _known_names(self._reader, self._source, self._window.end, self._naming)
        parts = _parts(self._reader, self._source, self._whole, self._naming, now)
        return ReportFigures(
            source=self._source,
            now=now,
            before=before,
            known=len(known),
            idle=idle_of(now, known),
            # Of the day alone: figures that are fetched again and are the same give the same page.
            fetched=utc_day(max(self._fetched)) if self._fetched else None,
            editor_days=len(self._whole),
            editors=places_of(parts, lambda part: part.editor),
            languages=places_of(parts, lambda part: part.language),
            teams=_teams(now, known, self._audience),
        )


def reach_of(window: Window) -> Window:
    """The days that the page of a window looks at."""
    return Window(period_before(window).start - timedelta(days=DAYS - 1), window.end)


def figures_of(
    reader: Reader, source: str, window: Window, audience: Audience, tolerance: Tolerance
) -> ReportFigures:
    """What the store has for the page of a window."""
    tally = PageTally(reader, source, window, audience, tolerance)
    for kept in reader.ledger(source, tally.reach).values():
        tally.add_day(OutputDay(reader, kept, audience))
    return tally.figures()


def _known_names(reader: Reader, source: str, end: date, naming: Naming) -> set[str]:
    """Everybody with a row up to the day."""
    seen = reader.seen(source, Window(date.min, end))
    return naming.names(seen)


def _parts(
    reader: Reader, source: str, days: list[date], naming: Naming, period: Period
) -> list[Part]:
    """What everybody who is shown did in each editor and language on the days."""
    shown = {person.name for person in period.people}
    sums = reader.editor_language_sums(source, days, [MESSAGE_KINDS, (LINES,)]) if days else []
    parts = [Part(naming.name(each.user), each.editor, each.language, *each.sums) for each in sums]
    return [part for part in parts if part.user in shown]


def _teams(period: Period, known: set[str], audience: Audience) -> list[Group] | None:
    if not audience.has_teams:
        return None
    members: dict[str, set[str]] = {}
    for name in known | {person.name for person in period.people}:
        person = audience.identities.get(audience.people.key(name))
        for team in (person.teams if person else ()) or ("",):
            members.setdefault(team, set()).add(name)
    return teams_of(period, members)
