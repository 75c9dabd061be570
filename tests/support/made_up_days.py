"""Stores of made-up organizations, written in process, and what is in them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from conftest import Home
from dashboard_scraper.model.dates import Window, is_weekend
from dashboard_scraper.model.figures import NOTHING_KNOWN
from dashboard_scraper.model.metrics import COUNTS, Figures, parts_of
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.settings.groups import sqlite_url
from dashboard_scraper.sources.dashboard.fields import FIELDS
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import store_at

LAST = date(2025, 3, 30)  # a Sunday
MONTH = Window(LAST - timedelta(27), LAST)
TWO_MONTHS = Window(LAST - timedelta(55), LAST)
FETCHED = datetime(2025, 4, 10, 3, tzinfo=UTC)

_TOTALS = {
    metric.name: [part.name for part in parts_of(metric)]
    for metric in COUNTS
    if metric in FIELDS and all(part in FIELDS for part in parts_of(metric)) and parts_of(metric)
}

Change = Callable[[DayUsage], DayUsage]


def figures_of(counts: Mapping[str, int | None]) -> Figures:
    """A user's figures: these counts by name, and 0 for the dashboard's other ones."""
    known = {metric.name: counts.get(metric.name, 0) for metric in COUNTS if metric in FIELDS}
    for total, names in _TOTALS.items():
        parts = [known[name] for name in names]
        if total not in counts:
            known[total] = None if None in parts else sum(part or 0 for part in parts)
    return replace(NOTHING_KNOWN, **known)


def user_days(names: Iterable[str], day: date) -> list[UserUsage]:
    """A day's figures, of which two thirds are active on a weekday; the same on every call."""
    draw = random.Random(f"{day}")
    chance = 0.15 if is_weekend(day) else 0.66
    return [
        UserUsage(
            name,
            figures_of(_counts(draw) if draw.random() < chance else {}),
        )
        for name in names
    ]


def _counts(draw: random.Random) -> dict[str, int | None]:
    shown = draw.randrange(1, 90)
    counts: dict[str, int | None] = {
        metric.name: draw.randrange(60) for metric in COUNTS if metric in FIELDS
    }
    counts |= {"completions_count": shown, "completions_accepted": draw.randrange(shown)}
    return {name: count for name, count in counts.items() if name not in _TOTALS}


def users(count: int) -> list[str]:
    return [f"user{number:04}@example.com" for number in range(count)]


def store_days(
    home: Home,
    names: Collection[str],
    window: Window,
    *,
    missing: Collection[date] = (),
    empty: Collection[date] = (),
    change: Change = lambda usage: usage,
    source: str = DASHBOARD,
) -> None:
    """Store the days of a window, except for the missing ones."""
    file = home.data / "usage.db"
    url = home.settings.setdefault("STORE_URL", sqlite_url(file))
    home.data.mkdir(exist_ok=True)
    days = _Days(tuple(names), window, frozenset(missing), frozenset(empty), change, source)
    if url == sqlite_url(file) and not file.exists():
        file.touch(0o600)
        file.write_bytes(_store_with(days))
    else:
        days.put(url)


@dataclass(frozen=True)
class _Days:
    """What to store."""

    names: tuple[str, ...]
    window: Window
    missing: frozenset[date]
    empty: frozenset[date]
    change: Change
    source: str

    def put(self, url: str) -> None:
        store = store_at(url)
        with store.locked(), store.opened():
            for day in self.window.days():
                if day not in self.missing:
                    found = [] if day in self.empty else user_days(self.names, day)
                    store.put(self.source, self.change(DayUsage(day, found, {})), FETCHED)


@lru_cache(maxsize=16)
def _store_with(days: _Days) -> bytes:
    """The file of a new store with these days: many tests begin with the same ones."""
    with TemporaryDirectory(dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")) as folder:
        file = Path(folder) / "usage.db"
        days.put(sqlite_url(file))
        return file.read_bytes()
