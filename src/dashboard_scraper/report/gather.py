"""The report's figures, read from the store."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta

from dashboard_scraper.audience import Audience, Naming
from dashboard_scraper.date_utils import DAYS, Window, newest_over, utc_day
from dashboard_scraper.metrics import LINES
from dashboard_scraper.report.figures import (
    MESSAGE_KINDS,
    Activity,
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
from dashboard_scraper.report.options import ReportOptions
from dashboard_scraper.store import DetailStatus, Reader


def newest_window(kept: Collection[date], today: date) -> Window | None:
    """The 28 days that end with the newest one that is kept and over; from the store's first day,
    where that is later. None where there is no such day.
    """
    end = newest_over(kept, today)
    return Window(max(min(kept), end - timedelta(days=DAYS - 1)), end) if end else None


def figures_of(
    reader: Reader,
    source: str,
    window: Window,
    options: ReportOptions,
    failed: Collection[date],
) -> ReportFigures:
    """Those of the window, of as many days before it, and what both look back on; days that
    `failed` are missing.
    """
    before = period_before(window)
    reach = Window(before.start - timedelta(days=DAYS - 1), window.end)
    ledger = {d: k for d, k in reader.ledger(source, reach).items() if d not in failed}
    naming = options.audience.naming(reader.spellings(source, reach))
    activity = Activity(reach)
    for kept in (kept for day, kept in ledger.items() if day < before.start):
        activity.add(kept.day, naming.names(reader.activity(kept, ())))
    tallies = [PeriodTally(each, options.tolerance) for each in (before, window)]
    for tally in tallies:
        for kept in (ledger[day] for day in tally.window.days() if day in ledger):
            users = naming.shown(reader.day(kept).users)
            activity.add(kept.day, tally.add(kept, users))
    earlier, now = (tally.period(activity) for tally in tallies)
    known = _known_names(reader, source, window.end, naming)
    whole = [
        day
        for day in window.days()
        if day in ledger and ledger[day].editor_language is DetailStatus.COMPLETE
    ]
    parts = _parts(reader, source, whole, naming, now)
    fetched = [kept.fetched_at for day, kept in ledger.items() if day >= window.start]
    return ReportFigures(
        source=source,
        now=now,
        before=earlier,
        known=len(known),
        idle=idle_of(now, known),
        # Of the day alone: figures that are fetched again and are the same give the same page.
        fetched=utc_day(max(fetched)) if fetched else None,
        editor_days=len(whole),
        editors=places_of(parts, lambda part: part.editor),
        languages=places_of(parts, lambda part: part.language),
        teams=_teams(now, known, options.audience),
    )


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
    if not any(person.teams for person in audience.identities.values()):
        return None
    members: dict[str, set[str]] = {}
    for name in known | {person.name for person in period.people}:
        person = audience.identities.get(audience.people.key(name))
        for team in (person.teams if person else ()) or ("",):
            members.setdefault(team, set()).add(name)
    return teams_of(period, members)
