"""Reads from the store who is in which class, and writes this as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import msgspec

from dashboard_scraper.across.classes import Classes
from dashboard_scraper.across.people import PeopleAcross
from dashboard_scraper.across.summary import PeopleSummary, members_of, summary_of
from dashboard_scraper.across.tables import PEOPLE_CSV, USAGE_CSV, people_csv, usage_csv
from dashboard_scraper.across.usage import usage_of
from dashboard_scraper.cli.wiring import audience_of
from dashboard_scraper.files import (
    make_folder,
    remove_leftovers_beside,
    replaced_or_set_aside,
    set_aside,
)
from dashboard_scraper.model.dates import DAYS, Window
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.groups import grouped
from dashboard_scraper.people.roster import read_roster
from dashboard_scraper.publication import Publication
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.spans import measured
from dashboard_scraper.store import Reader, store_of


class Everybody(msgspec.Struct, frozen=True):
    """Everybody, each person in one class; and whom outputs may name."""

    classes: Classes
    audience: Audience
    teams: dict[int, frozenset[str]]
    named: bool
    min_group_size: int

    def summary(self) -> PeopleSummary:
        """The numbers."""
        return summary_of(
            self.classes, self.teams, named=self.named, min_group_size=self.min_group_size
        )

    def shown_teams(self) -> dict[int, str]:
        """The teams of each person that may be shown, as one text."""
        members = members_of(self.classes.overall, self.teams)
        shown = grouped(members, self.min_group_size).keys()
        return {bit: ", ".join(sorted(found & shown)) for bit, found in self.teams.items()}


def newest_window(reader: Reader, sources: Sequence[str], yesterday: date) -> Window | None:
    """The newest 28 completed days that any source has in the store; None if there are none."""
    newest = [day for source in sources for day in reader.days(source)[-1:]]
    stored = [min(day, yesterday) for day in newest]
    return Window(max(stored) - timedelta(DAYS - 1), max(stored)) if stored else None


def everybody_of(
    settings: Settings, reader: Reader, sources: Sequence[str], window: Window
) -> Everybody:
    """Everybody who is known to these sources, to their seats or to ROSTER_FILE."""
    audience = audience_of(settings).of("")
    roster = read_roster(settings.roster_file, audience.people) if settings.roster_file else None
    across = PeopleAcross(reader, sources, window, audience)
    classes = Classes(reader, across, roster)
    return Everybody(
        classes,
        audience,
        _teams_of(classes, audience),
        settings.report_users and not audience.anonymous,
        settings.min_group_size,
    )


def _teams_of(classes: Classes, audience: Audience) -> dict[int, frozenset[str]]:
    """The teams of each person: from ROSTER_FILE if it has any, else from IDENTITY_FILE."""
    in_roster = {
        bit: frozenset([each.team]) for bit, each in classes.colleagues.items() if each.team
    }
    if audience.anonymous:
        return {}
    if in_roster:
        return in_roster
    by_key = {audience.people.key(key): each for key, each in audience.identities.items()}
    return {
        bit: frozenset(person.teams)
        for bit, key in classes.across.keys.items()
        if (person := by_key.get(key)) and person.teams
    }


def write_tables(
    settings: Settings, reader: Reader, everybody: Everybody, folder: Path
) -> list[Path]:
    """Write the CSVs; returns their paths. Without REPORT_USERS, the CSV of people is not written,
    and an earlier one is set aside.
    """
    classes, audience = everybody.classes, everybody.audience
    usage = {source: usage_of(reader, classes, source) for source in classes.across.sources}
    cost_days = {
        source: len(reader.cost_ledger(source, classes.across.window))
        for source in usage
        if reader.has_costs(source)
    }
    files = {folder / USAGE_CSV: usage_csv(classes, usage, cost_days)}
    if settings.report_users:
        files[folder / PEOPLE_CSV] = people_csv(
            classes,
            everybody.shown_teams(),
            anonymous=audience.anonymous,
            service_accounts=audience.service_accounts,
        )
    make_folder(folder, settings.file_mode)
    remove_leftovers_beside(files)
    with Publication(settings.file_mode) as publication:
        for path, content in files.items():
            publication.add(path, content)
        publication.publish()
    if not settings.report_users:
        set_aside([folder / PEOPLE_CSV])
    return [*files]


def tables_in(folder: Path) -> list[Path]:
    """The paths of both CSVs. They do not say which days they cover, so those of an earlier run
    would pass for others.
    """
    return [folder / USAGE_CSV, folder / PEOPLE_CSV]


@measured("write tables")
def export_tables(settings: Settings, window: Window | None, today: date) -> list[Path]:
    """Write the CSVs of a window, by default of the newest 28 days, for all sources that the
    settings cover and the store has; none for a single source, or without a store.
    """
    store = store_of(settings)
    if len(settings.covered) < 2 or not store.exists():
        return []
    folder = settings.export_dir
    with replaced_or_set_aside(tables_in(folder)), store.reading() as reader:
        sources = [name for name in settings.covered if name in reader.sources()]
        window = window or newest_window(reader, sources, today - timedelta(1))
        if window is None:
            return []
        everybody = everybody_of(settings, reader, sources, window)
        return write_tables(settings, reader, everybody, folder)
