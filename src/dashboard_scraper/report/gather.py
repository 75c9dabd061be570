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


def newest_window(stored: Collection[date], today: date) -> Window | None:
    """The 28 days up to the newest completed stored day, or from the store's first day if that is
    later; None without a completed day.
    """
    end = newest_over(stored, today)
    return Window(max(min(stored), end - timedelta(days=DAYS - 1)), end) if end else None


class PageTally:
    """Collects the page's figures from stored days, oldest first: of the window, of the period of
    the same length before it, and of the 27 days before that, which monthly counts look back on.
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
        """Add the next stored day of `reach`."""
        tally = next((t for t in (self._before, self._now) if day.day in t.window), None)
        if tally is None:
            self._people.add(day.day, self._naming.names(day.active_accounts))
        else:
            active = self._naming.renamed(day.shown.active)
            self._people.add(day.day, tally.add(day.ledger_day, day.shown.users, active))
        if tally is self._now:
            self._fetched.append(day.ledger_day.fetched_at)
            if day.ledger_day.editor_language is DetailStatus.COMPLETE:
                self._whole.append(day.day)

    def figures(self) -> ReportFigures:
        """The figures of the days that were added; all other days are missing."""
        before, now = (tally.period(self._people) for tally in (self._before, self._now))
        known = _known_names(self._reader, self._source, self._window.end, self._naming)
        parts = _parts(self._reader, self._source, self._whole, self._naming, now)
        return ReportFigures(
            source=self._source,
            now=now,
            before=before,
            known=len(known),
            idle=idle_of(now, known),
            # The day without the time: fetching the same figures again gives the same page.
            fetched=utc_day(max(self._fetched)) if self._fetched else None,
            editor_days=len(self._whole),
            editors=places_of(parts, lambda part: part.editor),
            languages=places_of(parts, lambda part: part.language),
            teams=_teams(now, known, self._audience),
        )


def reach_of(window: Window) -> Window:
    """All days that the page of a window reads."""
    return Window(period_before(window).start - timedelta(days=DAYS - 1), window.end)


def figures_of(
    reader: Reader, source: str, window: Window, audience: Audience, tolerance: Tolerance
) -> ReportFigures:
    """The figures for the page of a window, from the store."""
    tally = PageTally(reader, source, window, audience, tolerance)
    for row in reader.ledger(source, tally.reach).values():
        tally.add_day(OutputDay(reader, row, audience))
    return tally.figures()


def _known_names(reader: Reader, source: str, end: date, naming: Naming) -> set[str]:
    """The names of everybody with a row up to the day."""
    seen = reader.seen(source, Window(date.min, end))
    return naming.names(seen)


def _parts(
    reader: Reader, source: str, days: list[date], naming: Naming, period: Period
) -> list[Part]:
    """The sums over the days by person, editor and language."""
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
