"""Adds details to stored days if the source has them: editors, languages, credits.

They are fetched after the users' figures of all days, which matter more when requests are limited;
the next run fetches what is left.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime

from dashboard_scraper.errors import (
    ContractBroken,
    ScraperError,
    SignInRequired,
    SourceUnavailable,
    UsageError,
)
from dashboard_scraper.model.columns import sum_of
from dashboard_scraper.model.dates import Window, pieces_of, rough_duration, runs_of_days
from dashboard_scraper.model.metrics import DETAILED, Figures
from dashboard_scraper.model.usage import (
    EditorLanguageUsage,
    UserUsage,
    sums_of,
)
from dashboard_scraper.people.people import person_key
from dashboard_scraper.sources.interface import Details, Source
from dashboard_scraper.spans import measured
from dashboard_scraper.store import DetailStatus, LedgerDay, Store

logger = logging.getLogger(__name__)

# These errors lose only details. SignInRequired and UsageError are among them: a token may lack the
# scope for details, while the users' figures, which are stored by now, could be fetched.
DETAIL_ERRORS = (SourceUnavailable, ContractBroken, SignInRequired, UsageError)
_RECORDS_PER_USER = 3  # until the first days are known
_WORTH_SHOWING_SECONDS = 10


@measured("fetch details")
def fill_details(store: Store, source: Source, window: Window, now: datetime) -> list[ScraperError]:
    """Fetch the details that days of the window lack and the settings ask for; returns errors."""
    if source.details is None:
        return []
    published = source.published(now)
    with store.reading() as reader:
        stored = reader.ledger(source.name, window)
    rows = [row for day, row in stored.items() if published.start <= day <= published.end]
    return [
        *_fill_editor_languages(store, source.name, source.details, rows, now),
        *_fill_credits(store, source.name, source.details, rows, now),
    ]


def _fill_editor_languages(
    store: Store, name: str, details: Details, stored: Iterable[LedgerDay], now: datetime
) -> list[ScraperError]:
    """Newest days first, until the budget of requests is spent."""
    most = details.editor_language_requests
    lacking = [row for row in stored if row.editor_language is None]
    if not lacking or most == 0:
        return []
    before, total = details.requests, len(lacking)
    expected = _Expected()
    failed: list[ScraperError] = []
    logger.info(
        "fetching editors and languages of %d days%s", total, expected.shown(details, lacking)
    )
    while lacking and (most is None or details.requests - before < most):
        row = lacking.pop()
        try:
            expected.learn(row, _fill_day(store, name, details, row, now))
        except DETAIL_ERRORS as error:
            what = f"editors and languages of {row.day} could not be fetched"
            failed.append(error.preceded_by(what))
            # A malformed answer may affect only that day; any other error would repeat on every
            # day.
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
    """Estimates requests from the records per user of the days so far."""

    def __init__(self) -> None:
        self._users, self._records = 1, _RECORDS_PER_USER

    def learn(self, row: LedgerDay, records: int) -> None:
        """Count a day that was fetched."""
        self._users += row.users
        self._records += records

    def shown(self, details: Details, lacking: Iterable[LedgerDay]) -> str:
        """Such as `: about 40 requests, 4 min`; empty if it takes only a few seconds."""
        records = (row.users * self._records / self._users for row in lacking)
        estimate = details.estimate_records(records)
        if estimate.seconds < _WORTH_SHOWING_SECONDS:
            return ""
        return f": about {estimate.requests} requests, {rough_duration(estimate.seconds)}"


def _fill_day(store: Store, name: str, details: Details, row: LedgerDay, now: datetime) -> int:
    """Fetch and store one day; returns the number of its records."""
    with store.reading() as reader:
        users = reader.day(row).users
    persons = {person_key(user.user) for user in users}

    def fetched() -> list[EditorLanguageUsage]:
        usages = details.fetch_editor_languages(row.day) if users else []
        # A person who was removed from the day must not come back.
        return [each for each in usages if not row.forgotten or person_key(each.user) in persons]

    usages = fetched()
    difference = _difference(users, usages)
    if difference:
        logger.info("%s: %s; fetching it once more", row.day, difference)
        usages = fetched()
        difference = _difference(users, usages)
    if difference:
        logger.warning(
            "%s: editors and languages do not add up to the users' figures: %s; stored as they are",
            row.day,
            difference,
        )
    status = DetailStatus.UNRECONCILED if difference else DetailStatus.COMPLETE
    store.put_editor_languages(name, row.day, usages, status, now)
    return len(usages)


def _difference(users: Iterable[UserUsage], usages: Iterable[EditorLanguageUsage]) -> str:
    """The first user and count that do not add up, in words; unknown figures are not compared."""
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
            expected, found = whole[metric], together[metric]
            if expected is not None and found is not None and found != expected:
                return f"{metric.name} of {person} is {expected}, its parts are {found}"
    return f"{min(parts)} is not among the users" if parts else ""


def _fill_credits(
    store: Store, name: str, details: Details, stored: Sequence[LedgerDay], now: datetime
) -> list[ScraperError]:
    lacking = {row.day: row for row in stored if row.credits is None}
    if not lacking or not details.credits_wanted:
        return []
    for run in runs_of_days(lacking):
        for window in pieces_of(run.start, run.end, details.days_at_once):
            try:
                usages = details.fetch_credits(window)
            except DETAIL_ERRORS as error:
                return [error.preceded_by(f"credits of {window} could not be fetched")]
            if usages is None:
                return _without_credits(stored)
            for day in window.days():
                of_day = {usage.user: usage.credits for usage in usages if usage.day == day}
                _store_credits(store, name, lacking[day], of_day, now)
    return []


def _without_credits(stored: Iterable[LedgerDay]) -> list[ScraperError]:
    """An error if there were credits before: then these are missing, and not absent."""
    if any(row.credits is not None for row in stored):
        return [
            ContractBroken(
                "the source does not offer credits any more, perhaps not to these credentials; the"
                " store has some of other days. If there are none to come, set FETCH_CREDITS=false"
            )
        ]
    logger.info("credits are unavailable: the source does not offer that endpoint to this account")
    return []


def _store_credits(
    store: Store, name: str, row: LedgerDay, credits_of: dict[str, float], now: datetime
) -> None:
    if row.forgotten:  # a person who was removed from the day must not come back
        with store.reading() as reader:
            persons = {person_key(user.user) for user in reader.day(row).users}
        credits_of = {
            user: consumed for user, consumed in credits_of.items() if person_key(user) in persons
        }
    store.put_credits(name, row.day, credits_of, now)
