"""The store as a Python library: days as typed figures, and as records of both Copilot formats.

import dashboard_scraper

with dashboard_scraper.open_store("sqlite:///data/usage.db") as store:
    for day in store.days(date(2026, 11, 1), date(2026, 11, 28)):
        print(day.day, sum(user.figures.chat_messages or 0 for user in day.users))
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import date
from typing import Any

import msgspec
from msgspec.structs import replace

from dashboard_scraper.errors import DaysMissing, UsageError
from dashboard_scraper.exports.copilot_converter import NEEDS as COPILOT_NEEDS
from dashboard_scraper.exports.copilot_converter import convert, flags_by_name
from dashboard_scraper.exports.copilot_files import ids_by_name
from dashboard_scraper.exports.stored_costs import cost_doubts
from dashboard_scraper.github.kinds import GithubOptions, Report, Scope, Subject
from dashboard_scraper.github.recorded import (
    RecordedReports,
    no_records,
    recorded_persons,
    unrecorded,
)
from dashboard_scraper.github.reports import NEEDS as GITHUB_NEEDS
from dashboard_scraper.github.reports import GithubReports, persons_in
from dashboard_scraper.model.costs import CostDay
from dashboard_scraper.model.dates import DAYS, Window
from dashboard_scraper.model.doubts import Doubt, doubts_in
from dashboard_scraper.model.figures import is_active
from dashboard_scraper.model.listing import listed_days
from dashboard_scraper.model.tolerance import EXACT
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.store import LedgerDay, Reader, store_at


@contextlib.contextmanager
def open_store(url: str) -> Iterator[StoredFigures]:
    """Open a snapshot of a store for reading; `url` is written as in STORE_URL.

    Raises UsageError if there is no store, and StoreFailed if it cannot be read.
    """
    with store_at(url).reading() as reader:
        yield StoredFigures(reader)


class StoredFigures:
    """A store as it was when it was opened.

    Every method takes the first and the last day, both inclusive, and the source, which may be left
    out only if the store has a single one (else UsageError). Raises DaysMissing if a day is not in
    the store, since a sum without it would look complete.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def sources(self) -> list[str]:
        """The names of the sources that the store has days from."""
        return self._reader.sources()

    def days(self, start: date, end: date, source: str | None = None) -> Iterator[DayUsage]:
        """Each day, oldest first: its users by address, and the source's own totals.

        A figure that is None is unknown, which is not the same as 0.
        """
        for row in self._ledger(Window(start, end), source):
            yield self._reader.day(row)

    def doubts(self, start: date, end: date, source: str | None = None) -> list[Doubt]:
        """Why days are in doubt: not reconciled, suspicious, or with a held revision; and which
        costs do not add up, including those of a billing period, which `costs` cannot show.
        """
        window = Window(start, end)
        rows = self._ledger(window, source)
        costs = self._reader.unreconciled_costs(rows[0].source, window)
        return [*doubts_in(rows, EXACT), *cost_doubts(costs)]

    def costs(self, start: date, end: date, source: str | None = None) -> Iterator[CostDay]:
        """The costs of each day, oldest first: a row for each user and resource, in exact decimals,
        and the source's own figures. Raises DaysMissing if the costs of a day were not fetched.
        """
        window = Window(start, end)
        rows = self._reader.cost_ledger(source or self._only_source(), window)
        if missing := [day for day in window.days() if day not in rows]:
            raise DaysMissing(
                f"the costs of these days are not in the store: {listed_days(missing)}"
            )
        for row in rows.values():
            yield CostDay(
                row.day, self._reader.costs(row), row.total, row.currency, sums_of_nothing=row.sums
            )

    def copilot_records(
        self, start: date, end: date, enterprise_id: str, source: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """A record for each user and day with activity, as in `copilot_metrics_YYYY-MM-DD.json`.
        Raises UsageError if the source does not have the figures that the records need.
        """
        window = Window(start, end)
        rows = self._ledger(window, source)
        audience = Audience().of(rows[0].source)
        COPILOT_NEEDS.check(info_of(rows[0].source))
        include = audience.service_accounts
        spellings = self._reader.spellings(rows[0].source, window, service_accounts=include)
        naming = audience.naming(spellings)
        logins = self._reader.users(rows[0].source, window)
        ids = ids_by_name(logins, audience, naming)
        for row in rows:
            users = self._reader.day(row).users
            flags = flags_by_name(users, audience, naming.name)
            for user in naming.shown(users):
                if is_active(user.figures):
                    number, used = ids[user.user], flags[user.user]
                    yield convert(user, row.day, window, enterprise_id, number, used)

    def github_records(
        self, start: date, end: date, enterprise_id: str, source: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """A record for each user and day with activity: as in GitHub's `users-28-day` report for 28
        days, as in its one-day reports for any other number. Raises UsageError like
        `copilot_records`. Records that came from GitHub are unchanged, ids included.
        """
        window = Window(start, end)
        name = self._ledger(window, source)[0].source
        latest = len(window) == DAYS
        report = Report(Scope.ENTERPRISE, Subject.USERS, window, latest=latest)
        for piece in self._github_chunks(name, report, GithubOptions(enterprise_id)):
            yield from map(msgspec.json.decode, piece.splitlines())

    def _github_chunks(
        self, source: str, report: Report, options: GithubOptions
    ) -> Iterator[bytes]:
        reader, info, audience = self._reader, info_of(source), Audience().of(source)
        if not info.has_records:
            GITHUB_NEEDS.check(info)
            persons = persons_in(reader, source, audience)
            return GithubReports(reader, source, audience, options, persons).chunks(report)
        if missing := unrecorded(reader, source, report.window):
            raise DaysMissing(no_records(missing))
        persons = recorded_persons(reader, source, audience)
        recorded = RecordedReports(reader, source, audience, persons)
        of_organization = replace(report, scope=Scope.ORGANIZATION)
        either = (report, of_organization)
        found = min(either, key=lambda each: len(recorded.missing(each)))
        if missing := recorded.missing(found):
            raise DaysMissing(f"days with records of another tenant: {listed_days(missing)}")
        return recorded.chunks(found)

    def _ledger(self, window: Window, source: str | None) -> list[LedgerDay]:
        rows = self._reader.ledger(source or self._only_source(), window)
        if missing := [day for day in window.days() if day not in rows]:
            raise DaysMissing(f"these days are not in the store: {listed_days(missing)}")
        return list(rows.values())

    def _only_source(self) -> str:
        sources = self.sources()
        if len(sources) > 1:
            raise UsageError(f"the store has days from {' and '.join(sources)}; name one of them")
        if not sources:
            raise DaysMissing("the store has no day yet")
        return sources[0]
