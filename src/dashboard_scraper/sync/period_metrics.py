"""Fetches the figures of a period, summed by the source, into one CSV."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path

import msgspec

from dashboard_scraper.clock import utc_now
from dashboard_scraper.errors import Implausible, ScraperError, UsageError
from dashboard_scraper.exports.csv_days import (
    name_has,
    period_csv,
    period_path,
    tenant_path,
    windows_beside,
)
from dashboard_scraper.exports.csv_tables import records_csv, tenant_csv, users_csv
from dashboard_scraper.exports.daily_export import Outputs
from dashboard_scraper.exports.export_folders import remove_leftovers_of_runs
from dashboard_scraper.exports.notes import is_foreign, notes_path, notes_text, refuse_foreign
from dashboard_scraper.files import (
    make_folder,
    remove_leftovers_beside,
    replaced_or_set_aside,
    set_aside,
)
from dashboard_scraper.model.checks import Difference
from dashboard_scraper.model.dates import Window, utc_day
from dashboard_scraper.model.doubts import Doubt, DoubtKind, doubts_in, unreconciled
from dashboard_scraper.model.listing import listed
from dashboard_scraper.model.metrics import TOTALS, Totals
from dashboard_scraper.model.reconciliation import Rules, Verdict
from dashboard_scraper.model.tolerance import Tolerance
from dashboard_scraper.model.usage import (
    DayUsage,
    OtherRecords,
    TenantFigure,
    UserUsage,
    sums_of,
)
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.pseudonyms import hidden_in_figures
from dashboard_scraper.publication import Publication
from dashboard_scraper.sources.interface import MakeSource, Selection
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.spans import span
from dashboard_scraper.store import Store
from dashboard_scraper.sync.day_fetching import store_day
from dashboard_scraper.sync.plausibility import unlike_its_days, without_anybody
from dashboard_scraper.sync.review import review
from dashboard_scraper.sync.revisions import Caution
from dashboard_scraper.sync.run_record import RunRecord, recorded

logger = logging.getLogger(__name__)


def default_name(window: Window, today: date, *, asked_for: bool) -> str:
    """The file's name: the dates that were asked for, or else the current date."""
    if not asked_for:
        return f"metrics_{today:%Y%m%d}.csv"
    if window.start == window.end:
        return f"metrics_{window.start:%Y%m%d}.csv"
    return f"metrics_{window.start:%Y%m%d}_to_{window.end:%Y%m%d}.csv"


class Period(msgspec.Struct, frozen=True):
    """A source's period, when it is fetched, and the users' file; the tenant's is beside that."""

    source: str
    window: Window
    now: datetime
    target: Path
    selected: Selection
    caution: Caution

    @property
    def is_over(self) -> bool:
        """Whether the period is over, so that its figures can be stored: today's still grow."""
        return self.window.end < utc_day(self.now)

    @property
    def targets(self) -> list[Path]:
        """The files to write."""
        users = [self.target] if self.selected.users else []
        return users + ([tenant_path(self.target)] if self.selected.tenant else [])

    @property
    def replaced(self) -> list[Path]:
        """The files of an earlier run that are outdated, even if this run fails."""
        if not self.selected.users:
            return self.targets
        notes = [] if is_foreign(self.notes) else [self.notes]
        return [*self.targets, period_path(self.target), *notes]

    @property
    def notes(self) -> Path:
        """The file that names the users' doubts, if there are any."""
        return notes_path(self.target)

    @property
    def marked(self) -> str:
        """What was done with figures in doubt."""
        return f"every file is written; {self.notes.name} says so"


def export_period(
    make_source: MakeSource,
    store: Store,
    period: Period,
    audience: Audience,
    outputs: Outputs,
    rules: Rules,
) -> tuple[list[Path], Verdict]:
    """Fetch the selected endpoints, store completed days, and write the files, all or none.

    Returns the paths and the verdict on doubts. If it fails, files of an earlier run under the same
    names are set aside; with LockHeld, nothing has changed.
    """
    with (
        replaced_or_set_aside(period.replaced, store.locked()),
        _recorded(store, period, outputs.folder) as record,
        make_source() as source,
    ):
        record.source = source
        remove_leftovers_of_runs(outputs.folder)
        with span("fetch period", {"window": f"{period.window}"}):
            users = source.fetch_users(period.window) if period.selected.users else None
            tenant = source.fetch_tenant(period.window) if period.selected.tenant else []
        reviewed = _store(store, period, users, tenant, record) if period.is_over else []
        doubts = _doubts(store, source.name, period, users, tenant, rules.tolerance)
        if words := _implausible(store, period, users, rules.tolerance):
            doubts.append(Doubt(period.window, DoubtKind.SUSPICIOUS, words))
            reviewed.append(Implausible(f"{words}; {period.marked}"))
        files = _files(period, users, tenant, doubts, audience)
        store.check_lock()
        make_folder(period.target.parent, outputs.mode)
        remove_leftovers_beside(files)
        with span("write files"), Publication(outputs.mode) as publication:
            for path, data in files.items():
                publication.add(path, data)
            if users is not None and not doubts and not is_foreign(period.notes):
                set_aside([period.notes])
            publication.publish()
        verdict = _verdict(period, doubts, reviewed, rules)
        record.error = verdict.error
    return sorted(files, key=lambda path: path == period.notes), verdict


@contextlib.contextmanager
def _recorded(store: Store, period: Period, outputs: Path) -> Iterator[RunRecord]:
    """Record the run in the store, unless the period is not over: then nothing is stored."""
    if not period.is_over:
        yield RunRecord()
        return
    with recorded(store, period.source, "fetch", utc_now, outputs) as record:
        yield record


def _verdict(
    period: Period, doubts: Sequence[Doubt], reviewed: Sequence[ScraperError], rules: Rules
) -> Verdict:
    # Users and tenant are two requests, and today's figures grow between them.
    if not period.is_over:
        rules = msgspec.structs.replace(rules, warn_of_unreconciled=True)
    return rules.verdict_on(doubts, period.marked, reviewed)


def _implausible(
    store: Store,
    period: Period,
    users: list[UserUsage] | OtherRecords | None,
    tolerance: Tolerance,
) -> str | None:
    """Why a period as a whole is implausible: an account that sees nobody, or only some of the
    people, looks like this. A single day was judged when it was stored.
    """
    if not isinstance(users, list):
        return None
    window = period.window
    if not DayUsage(window.end, users).active and (words := without_anybody(window)):
        return words
    if len(window) == 1 or not period.is_over:  # there may be no store for a period with today
        return None
    with store.reading() as reader:
        days = [*reader.ledger(period.source, window).values()]
    doubtful = doubts_in(days, tolerance) or any(day.forgotten for day in days)
    if doubtful or len(days) < len(window):
        return None
    return unlike_its_days(sums_of(users), days, period.caution)


def _doubts(
    store: Store,
    source_name: str,
    period: Period,
    users: list[UserUsage] | OtherRecords | None,
    tenant: Sequence[TenantFigure],
    tolerance: Tolerance,
) -> list[Doubt]:
    """The doubts about these users; for a single day also those in the store."""
    if not isinstance(users, list):
        return []
    differences = _differences(period.window, users, _totals(source_name, tenant))
    found = unreconciled(period.window, differences, tolerance)
    if len(period.window) == 1 and period.is_over:
        with store.reading() as reader:
            stored = reader.ledger(source_name, period.window)
        of_store = doubts_in(stored.values(), tolerance)
        found += (doubt for doubt in of_store if doubt.kind is not DoubtKind.UNRECONCILED)
    return found


def _files(
    period: Period,
    users: list[UserUsage] | OtherRecords | None,
    tenant: Sequence[TenantFigure],
    doubts: Sequence[Doubt],
    audience: Audience,
) -> dict[Path, bytes]:
    """The files to write, with their contents; OutputFailed if a foreign file is in the way."""
    files: dict[Path, bytes] = {}
    if doubts:
        refuse_foreign(period.notes)
        files[period.notes] = notes_text(doubts)
    if users is not None:
        files[period.target] = _users_file(period.window, users, period.source, audience)
    if period.selected.tenant:
        figures = hidden_in_figures(tenant, audience.rename)
        files[tenant_path(period.target)] = tenant_csv(figures)
    return files | _period_file(period, users, tenant)


def _period_file(
    period: Period, users: list[UserUsage] | OtherRecords | None, tenant: Sequence[TenantFigure]
) -> dict[Path, bytes]:
    """The file that tells `convert` which days the users' file covers, if it is needed."""
    path, window = period_path(period.target), period.window
    if users is None:
        # An earlier run's users' file may get its days from the tenant's file, which is now
        # replaced.
        earlier = windows_beside(period.target) if _exists(period.target) else set()
        return {path: period_csv(*earlier)} if len(earlier) == 1 and earlier != {window} else {}
    is_known = name_has(period.target, window) or bool(tenant)
    if isinstance(users, OtherRecords) or (is_known and not _exists(path)):
        return {}
    return {path: period_csv(window)}


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - pathlib raises for a name that is too long


def _store(
    store: Store,
    period: Period,
    users: list[UserUsage] | OtherRecords | None,
    tenant: Sequence[TenantFigure],
    record: RunRecord,
) -> list[ScraperError]:
    """Store the tenant's figures, and the users' if the period is a single day.

    Returns the errors that end the run once the files are written.
    """
    if tenant:
        store.put_tenant_figures(period.source, tenant, period.now)
    if not isinstance(users, list):
        return []
    totals = _totals(period.source, tenant)
    if period.window.start == period.window.end:
        usage = DayUsage(period.window.start, users, totals)
        stored = store_day(store, period.source, usage, period.now, period.caution)
        record.add(usage.day, stored)
        became = {usage.day: stored}
        return review(store, period.source, period.window, became, period.caution).errors()
    if differences := _differences(period.window, users, totals):
        logger.warning("%s does not add up: %s", period.window, listed(differences, separator="; "))
    return []


def _differences(window: Window, users: list[UserUsage], totals: Totals | None) -> list[Difference]:
    """As for a stored day: somebody without an active day is not counted among the active users."""
    return DayUsage(window.end, users, totals).differences


def _totals(source_name: str, tenant: Sequence[TenantFigure]) -> Totals | None:
    """The tenant's figures that must equal the sums of the users', under the catalogue's names."""
    names, our_names = {total.name for total in TOTALS}, info_of(source_name).tenant_names
    found = {our_names.get(each.metric, each.metric): each.value for each in tenant}
    known = {name: n for name, n in found.items() if name in names and isinstance(n, int)}
    return known or None


def _users_file(
    window: Window, users: list[UserUsage] | OtherRecords, source_name: str, audience: Audience
) -> bytes:
    if isinstance(users, OtherRecords):
        logger.warning("%s: %d records that are not user statistics", window, len(users.records))
        if audience.anonymous:
            raise UsageError(
                "PSEUDONYM_KEY_FILE: the records are not user statistics, so it is unknown which of"
                " their fields name a person; leave the setting out"
            )
        return records_csv(users.records)
    if not users:
        logger.warning("%s: the source answered without a single record", window)
    logger.info("%s: %d users", window, len(users))
    return users_csv(audience.shown(users, len(window)), source_name)
