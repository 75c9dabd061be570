"""A store with made-up days of several assistants; some people use two of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, timedelta

from conftest import Home
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.seats import Seat
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.sources.registry import ANALYTICS, CLAUDE_CODE, COPILOT, CURSOR
from dashboard_scraper.store import store_at
from filled_store import figures_of
from toy_ids import NAME as IDS
from toy_logins import NAME as LOGINS

SOURCES = (ANALYTICS, LOGINS, IDS)
LAST = date(2026, 10, 31)
WEEK = Window(LAST - timedelta(6), LAST)
BEFORE = Window(LAST - timedelta(13), LAST - timedelta(7))
FETCHED = datetime(2026, 11, 10, 3, tzinfo=UTC)

ADA, BEN, CYD, DEB = (f"{name}@example.com" for name in ("ada", "ben", "cyd", "deb"))


def put(
    url: str,
    source: str,
    windows: Mapping[Window, Collection[str]],
    services: Collection[str] = (),
    missing: Collection[date] = (),
) -> None:
    """Store days of windows on which each of these people sends a message."""
    store = store_at(url)
    figures = figures_of(chat_messages=1, total_messages=1)
    with store.locked(), store.opened():
        for window, people in windows.items():
            users = [UserUsage(name, figures) for name in people]
            users += [UserUsage(name, figures, service=True) for name in services]
            users.sort(key=lambda user: user.user)
            for day in window.days():
                if day not in missing:
                    store.put(source, DayUsage(day, users), FETCHED)


def put_seats(url: str, seats: Mapping[str, Collection[Seat]]) -> None:
    """Store what each source reports about seats."""
    store = store_at(url)
    with store.locked(), store.opened():
        for source, found in seats.items():
            store.put_seats(source, found, FETCHED)


def store_all(home: Home) -> None:
    """Two weeks of every assistant, with seats; a day of Copilot is missing."""
    home.data.mkdir()
    url = f"sqlite:///{home.data / 'usage.db'}"
    home.settings |= {
        "STORE_URL": url,
        "SOURCES": f"{ANALYTICS},{COPILOT},{CURSOR},{CLAUDE_CODE}",
        "SEAT_PRICES": f"{COPILOT}:19,{CURSOR}:40",
    }
    weeks = Window(BEFORE.start, LAST)
    put(url, ANALYTICS, {weeks: [ADA, BEN, CYD, DEB]}, ["triage-bot"])
    put(url, COPILOT, {weeks: ["ada-m", "deb-m"]}, missing=[LAST - timedelta(3)])
    put(url, CURSOR, {weeks: [ADA, BEN, CYD]})
    put(url, CLAUDE_CODE, {weeks: [ADA]}, ["ci-key"])
    put_seats(url, {COPILOT: [Seat("ada-m"), Seat("zed")], CURSOR: [Seat(ADA)]})
