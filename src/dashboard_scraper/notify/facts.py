"""Reads from the store the facts that `occasions` judges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta

from msgspec.structs import replace

from dashboard_scraper.errors import ScraperError
from dashboard_scraper.model.checks import shown
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import COUNTS
from dashboard_scraper.notify.compared import details_of
from dashboard_scraper.notify.occasions import Occasion, Revised, RunFacts, SignIn
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.sources.interface import SourceInfo
from dashboard_scraper.store import LedgerDay, Notice, Reader, Run, VersionState
from dashboard_scraper.store.runs import NIGHTLY
from dashboard_scraper.store.settling import is_settled
from dashboard_scraper.sync.left_behind import left_behind
from dashboard_scraper.sync.plausibility import history_for
from dashboard_scraper.sync.revisions import NEGLIGIBLE

_RUNS = 200
"""How many runs of all sources are read, in order to find earlier ones of the source."""
_PEOPLE = "active users"
_KNOWN = {occasion.value for occasion in Occasion}
"""A newer version may have stored other occasions, which only it can end."""


def sign_in_of(info: SourceInfo, settings: Settings, *, keeps_session: bool) -> SignIn:
    """What the settings and the token say. Empty if the token cannot be read, since the run has
    reported that; a session that somebody keeps alive is left out.
    """
    try:
        life = None if keeps_session else info.session_life(settings)
        return SignIn(life, info.token_expires_at(settings))
    except ScraperError:
        return SignIn()


def read(
    reader: Reader,
    base: RunFacts,
    newest: Window,
    asked: Window | None,
    settle_days: int,
    started_at: datetime,
) -> tuple[RunFacts, list[Notice]]:
    """Add to the facts what the store says of the source; also returns the source's open notices.

    `newest` are the days that the daily job fetches; `asked` are the days of a run that was asked
    for others.
    """
    source = base.source
    notices = [
        notice
        for notice in reader.notices()
        if notice.source == source and notice.ended_at is None and notice.occasion in _KNOWN
    ]
    runs = runs_of(reader, source)
    if not base.stores_days:
        return replace(base, runs=runs), notices
    expected = _expected_days(asked or newest, notices)
    if base.command == NIGHTLY:
        earlier = Window(date.min, newest.start - timedelta(days=1))
        left = left_behind(reader, source, earlier, base.ended_at, settle_days=settle_days)
        expected = sorted({*expected, *left.missing})
    whole = Window(min(expected[0], newest.start), max(expected[-1], newest.end))
    ledger = reader.ledger(source, history_for(whole))
    return (
        replace(
            base,
            ledger=ledger,
            asked=[*(asked or newest).days()],
            expected=expected,
            recent=[*newest.days()],
            revised=[*_revised_since(reader, ledger, settle_days, started_at)],
            runs=runs,
        ),
        notices,
    )


def runs_of(reader: Reader, source: str) -> list[Run]:
    """The last runs of the source, newest first."""
    return reader.runs(_RUNS, source)


def _expected_days(asked: Window, open_notices: Sequence[Notice]) -> list[date]:
    """The days that the run should have stored, and those that earlier runs failed to store."""
    days = {*asked.days()}
    for notice in open_notices:
        if Occasion(notice.occasion) is Occasion.DAYS_MISSING:
            days.update(details_of(notice).days)
    return sorted(days)


def _revised_since(
    reader: Reader, ledger: Mapping[date, LedgerDay], settle_days: int, since: datetime
) -> Iterator[Revised]:
    """The settled days whose figures were replaced since the moment."""
    for row in ledger.values():
        if row.version == 1 or row.accepted_at is None or row.accepted_at < since:
            continue
        earlier = [
            version
            for version in reader.versions(row.source, row.day)
            if version.state is VersionState.SUPERSEDED
        ]
        if not earlier:
            continue
        before = max(earlier, key=lambda version: version.since).ledger
        if is_settled(before, settle_days, since) and not before.forgotten:
            percent, change = _largest_change(before, row)
            yield Revised(row.day, percent, f"{row.day}: {change}")


def _largest_change(before: LedgerDay, after: LedgerDay) -> tuple[float, str]:
    """The largest change of a sum: in percent of the earlier sum, and in words."""
    pairs = [(_PEOPLE, before.active_users, after.active_users)] + [
        (metric.name, old, new)
        for metric in COUNTS
        if (old := before.sums[metric]) is not None and (new := after.sums[metric]) is not None
    ]
    largest, words = 0.0, ""
    for name, old, new in pairs:
        percent = 100 * abs(new - old) / max(old, 1)
        if percent > largest and (name == _PEOPLE or abs(new - old) >= NEGLIGIBLE):
            largest, words = percent, f"{name} {shown(old)} -> {shown(new)}"
    return largest, words


def length_of(days: int) -> timedelta | None:
    """The time after which an open occasion is reported again; None for never."""
    return timedelta(days=days) if days else None
