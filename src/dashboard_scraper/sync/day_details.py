"""What goes with the days that are kept, where the source has it: editors, languages, credits.

They come after the users' figures of all days, since these matter more where requests are few; what
is left over, the next run fetches.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from dashboard_scraper.errors import (
    ContractBroken,
    ScraperError,
    SignInRequired,
    SourceUnavailable,
    UsageError,
)
from dashboard_scraper.model.dates import Window, rough_duration, runs_of_days
from dashboard_scraper.model.figures import sum_of
from dashboard_scraper.model.metrics import DETAILED, Figures
from dashboard_scraper.model.usage import (
    EditorLanguageUsage,
    UserUsage,
    sums_of,
)
from dashboard_scraper.people.people import person_key
from dashboard_scraper.sources.interface import Details, Source
from dashboard_scraper.store import DetailStatus, LedgerDay, Store

logger = logging.getLogger(__name__)

# They cost nothing but what they would have brought: the users' figures are kept.
_BORNE = (SourceUnavailable, ContractBroken, SignInRequired, UsageError)
_RECORDS_A_USER = 3  # until the first days tell
_WORTH_TELLING_SECONDS = 10


def fill_details(store: Store, source: Source, window: Window, now: datetime) -> list[ScraperError]:
    """Fetch what days of the window lack, and what the settings ask for; returns what failed."""
    if source.details is None:
        return []
    published = source.published(now)
    with store.reading() as reader:
        kept = reader.ledger(source.name, window)
    rows = [row for day, row in kept.items() if published.start <= day <= published.end]
    return [
        *_fill_editor_languages(store, source.name, source.details, rows, now),
        *_fill_credits(store, source.name, source.details, rows, now),
    ]


def _fill_editor_languages(
    store: Store, name: str, details: Details, kept: Iterable[LedgerDay], now: datetime
) -> list[ScraperError]:
    """The newest days first, until the requests that may be spent are."""
    most = details.editor_language_requests
    lacking = [row for row in kept if row.editor_language is None]
    if not lacking or most == 0:
        return []
    before, total = details.requests, len(lacking)
    expected = _Expected()
    failed: list[ScraperError] = []
    logger.info(
        "editors and languages of %d days follow%s", total, expected.shown(details, lacking)
    )
    while lacking and (most is None or details.requests - before < most):
        row = lacking.pop()
        try:
            expected.learn(row, _fill_day(store, name, details, row, now))
        except _BORNE as error:
            what = f"editors and languages of {row.day} could not be had"
            failed.append(type(error)(f"{what}: {error}"))
            if not isinstance(error, ContractBroken):
                break
        else:
            number, left = total - len(lacking), expected.shown(details, lacking)
            logger.info("%s: editors and languages, %d of %d days%s", row.day, number, total, left)
    if lacking and not failed:
        logger.info(
            "editors and languages of %d days are left to later runs, after %d requests;"
            " FETCH_EDITOR_LANGUAGE=true fetches them all",
            len(lacking),
            details.requests - before,
        )
    return failed


class _Expected:
    """How many requests days will take: nobody knows beforehand how many records a user has."""

    def __init__(self) -> None:
        self._users, self._records = 1, _RECORDS_A_USER

    def learn(self, row: LedgerDay, records: int) -> None:
        """What a day turned out to have."""
        self._users += row.users
        self._records += records

    def shown(self, details: Details, lacking: Iterable[LedgerDay]) -> str:
        """`: about 40 requests, 4 min`; nothing where it is hardly worth telling."""
        records = (row.users * self._records / self._users for row in lacking)
        estimate = details.estimate_records(records)
        if estimate.seconds < _WORTH_TELLING_SECONDS:
            return ""
        return f": about {estimate.requests} requests, {rough_duration(estimate.seconds)}"


def _fill_day(store: Store, name: str, details: Details, row: LedgerDay, now: datetime) -> int:
    """Fetch and keep one day; returns the number of its records."""
    with store.reading() as reader:
        users = reader.day(row).users
    persons = {person_key(user.user) for user in users}

    def fetched() -> list[EditorLanguageUsage]:
        usages = details.fetch_editor_languages(row.day) if users else []
        # Who was removed from the day is not to come back.
        return [each for each in usages if not row.forgotten or person_key(each.user) in persons]

    usages = fetched()
    difference = _difference(users, usages)
    if difference:
        logger.info("%s: %s; fetching it once more", row.day, difference)
        usages = fetched()
        difference = _difference(users, usages)
    if difference:
        logger.warning(
            "%s: editors and languages do not add up to the users' figures: %s; kept as they are",
            row.day,
            difference,
        )
    status = DetailStatus.UNRECONCILED if difference else DetailStatus.COMPLETE
    store.put_editor_languages(name, row.day, usages, status, now)
    return len(usages)


def _difference(users: Iterable[UserUsage], usages: Iterable[EditorLanguageUsage]) -> str:
    """The first user and count that do not close, in words; what is unknown is not compared."""
    parts: dict[str, list[Figures]] = {}
    for usage in usages:
        parts.setdefault(person_key(usage.user), []).append(usage.figures)
    wholes: dict[str, list[UserUsage]] = {}
    for user in users:
        wholes.setdefault(person_key(user.user), []).append(user)
    for person, spellings in wholes.items():
        rows = parts.pop(person, [])
        whole, together = sums_of(spellings), sum_of(rows)
        for metric in DETAILED:
            told, parts_sum = whole[metric], together[metric]
            if told is not None and parts_sum is not None and parts_sum != told:
                return f"{metric.name} of {person} is {told}, its parts are {parts_sum}"
    return f"{min(parts)} is not among the users" if parts else ""


def _fill_credits(
    store: Store, name: str, details: Details, kept: Iterable[LedgerDay], now: datetime
) -> list[ScraperError]:
    lacking = {row.day: row for row in kept if row.credits is None}
    if not lacking or not details.credits_wanted:
        return []
    for run in runs_of_days(lacking):
        for window in _pieces(run, details.days_at_once):
            try:
                usages = details.fetch_credits(window)
            except _BORNE as error:
                return [type(error)(f"credits of {window} could not be had: {error}")]
            if usages is None:
                logger.info("credits are not to be had: the source has no such endpoint for us")
                return []
            for day in window.days():
                of_day = {usage.user: usage.credits for usage in usages if usage.day == day}
                _keep_credits(store, name, lacking[day], of_day, now)
    return []


def _keep_credits(
    store: Store, name: str, row: LedgerDay, credits_of: dict[str, float], now: datetime
) -> None:
    if row.forgotten:  # who was removed from the day is not to come back
        with store.reading() as reader:
            persons = {person_key(user.user) for user in reader.day(row).users}
        credits_of = {
            user: consumed for user, consumed in credits_of.items() if person_key(user) in persons
        }
    store.put_credits(name, row.day, credits_of, now)


def _pieces(window: Window, days_at_once: int) -> Iterable[Window]:
    """The window in pieces of as many days as can be asked for at once."""
    start = window.start
    while start <= window.end:
        end = min(window.end, start + timedelta(days=days_at_once - 1))
        yield Window(start, end)
        start = end + timedelta(days=1)
