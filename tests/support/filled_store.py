"""A store with made-up user-days, and GitHub's reports of it."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

from msgspec.structs import replace

from dashboard_scraper.github.kinds import GithubOptions, Report, Scope, Subject
from dashboard_scraper.github.records import PLACE_OF
from dashboard_scraper.github.reports import GithubReports, persons_in
from dashboard_scraper.model.columns import sum_of
from dashboard_scraper.model.dates import DAYS, Window, end_of_day
from dashboard_scraper.model.metrics import COUNTS, Figures
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.sources.registry import ANALYTICS
from dashboard_scraper.store import store_at

SOURCE = ANALYTICS
LAST = date(2026, 10, 31)
MONTH = Window(LAST - timedelta(DAYS - 1), LAST)
FETCHED = datetime(2026, 11, 10, 3, tzinfo=UTC)


def figures_of(**counts: int | None) -> Figures:
    """These counts, and 0 for all others; figures that are not counts are unknown."""
    return replace(sum_of(()), **counts)


def user(name: str, **counts: int | None) -> UserUsage:
    return UserUsage(name, figures_of(**counts), service="@" not in name)


def put(url: str, days: dict[date, list[UserUsage]], source: str = SOURCE) -> None:
    """Upsert the days; each had ended when it was fetched."""
    store = store_at(url)
    with store.locked(), store.opened():
        for day, users in days.items():
            fetched = max(FETCHED, end_of_day(day))
            store.put(source, DayUsage(day, sorted(users, key=lambda u: u.user)), fetched)


def some_days(count: int, users: int = 6, seed: int = 1) -> dict[date, list[UserUsage]]:
    """Days up to LAST on which users have counts of some kinds, or none."""
    draw = random.Random(seed)
    names = [f"user{number}@example.com" for number in range(users)] + ["triage-bot"]
    days = {}
    for back in range(count):
        found = []
        for name in names:
            kinds = draw.sample(COUNTS, draw.choice([0, 0, 1, 4]))
            found.append(user(name, **{metric.name: draw.randrange(1, 90) for metric in kinds}))
        days[LAST - timedelta(back)] = found
    return days


_store = lru_cache(maxsize=4)(store_at)  # each new store object compiles its queries again


def report_of(
    url: str,
    subject: Subject,
    window: Window | date,
    options: GithubOptions | None = None,
    scope: Scope = Scope.ENTERPRISE,
    audience: Audience | None = None,
) -> bytes:
    """The report of a day or of 28 days, from the store."""
    return remarked(url, subject, window, options, scope, audience)[0]


def remarked(
    url: str,
    subject: Subject,
    window: Window | date,
    options: GithubOptions | None = None,
    scope: Scope = Scope.ENTERPRISE,
    audience: Audience | None = None,
) -> tuple[bytes, list[str]]:
    """The report and its remarks for readers."""
    options, audience = options or GithubOptions("283613"), audience or Audience()
    latest = isinstance(window, Window)
    days = window if isinstance(window, Window) else Window(window, window)
    with _store(url).reading() as reader:
        persons = persons_in(reader, SOURCE, audience)
        reports = GithubReports(reader, SOURCE, audience, options, persons)
        made = b"".join(reports.chunks(Report(scope, subject, days, latest)))
        return made, reports.remarks()


def active(users: Iterable[UserUsage], *features: Any) -> set[str]:
    """The users with any activity, or with activity of one of the features."""
    placed = [metric for metric, place in PLACE_OF.items() if place.feature in features]
    wanted = placed if features else COUNTS
    return {each.user for each in users if any(each.figures[metric] for metric in wanted)}
