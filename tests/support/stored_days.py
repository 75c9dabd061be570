"""Days fetched into a store in process, at a time that the test chooses, and SQL on the store."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg

from conftest import Home
from dashboard_scraper.cli import forgetting
from dashboard_scraper.cli.fetching import backfill_days, fetch_daily
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import COUNTS
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.settings.config import Settings, load_settings
from dashboard_scraper.settings.groups import SQLITE_PREFIX
from dashboard_scraper.simulator import Fault, Simulator, raw_body, set_value
from dashboard_scraper.sources.dashboard.fields import FIELDS, TENANT_TOTALS, USER_FIELD
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import LedgerDay, store_at

USERS, TENANT = "user-feature-stats", "tenant-feature-stats"
TODAY = date(2025, 3, 10)
NOON = datetime(2025, 3, 10, 12, tzinfo=UTC)


def march(day: int) -> date:
    return date(2025, 3, day)


def settings_of(home: Home) -> Settings:
    """The settings of the home's runs."""
    return load_settings(
        home.path, **{name.lower(): value for name, value in home.settings.items()}
    )


def backfill(home: Home, first: date, last: date, now: datetime = NOON) -> None:
    """Run `backfill` at that time."""
    backfill_days(settings_of(home), Window(first, last), lambda: now)


def fetch(home: Home, first: date, last: date, now: datetime = NOON) -> None:
    """Run `--daily` at that time."""
    fetch_daily(settings_of(home), Window(first, last), clock=lambda: now)


def begin_with(home: Home, data: Path) -> None:
    """Copy what runs in another home left, store and files, instead of running again."""
    shutil.copytree(data, home.data, symlinks=True, dirs_exist_ok=True)


def forget(home: Home, user: str, *, files: bool = False) -> None:
    forgetting.forget(settings_of(home), user, files=files)


def ledger(home: Home, source: str = DASHBOARD) -> dict[date, LedgerDay]:
    with store_at(settings_of(home).store_url).reading() as reader:
        return reader.ledger(source)


def stored_users(home: Home, source: str = DASHBOARD) -> dict[date, list[UserUsage]]:
    """Every day's users; each day is checked against the ledger, as exports do."""
    with store_at(settings_of(home).store_url).reading() as reader:
        return {day: reader.day(row).users for day, row in reader.ledger(source).items()}


def record_of(user: str, **fields: object) -> dict[str, object]:
    """A dashboard record with every count, and other fields."""
    counts = dict.fromkeys((FIELDS[metric] for metric in COUNTS if metric in FIELDS), 1)
    return {USER_FIELD: user, **counts, **fields}


def answer_with_nobody(sim: Simulator, day: date) -> None:
    sim.add_fault(Fault(raw_body(b'{"userFeatureStats":[]}'), USERS, day))
    for total in TENANT_TOTALS:
        sim.add_fault(Fault(set_value(total, 0), TENANT, day))


def mark(store_url: str, day: date, column: str, words: str) -> None:
    """Write a reason into the ledger's column `suspicious` or `held` for a day."""
    sql(
        store_url,
        f"UPDATE day_ledger SET {column} = '{words.replace(chr(39), chr(39) * 2)}'"
        f" WHERE day = '{day}'",
    )


def sql(store_url: str, statement: str) -> list[tuple[Any, ...]]:
    """Execute SQL as another program would; returns the rows, if there are any."""
    if store_url.startswith(SQLITE_PREFIX):
        with closing(sqlite3.connect(store_url.removeprefix(SQLITE_PREFIX))) as file, file:
            return file.execute(statement).fetchall()
    with psycopg.connect(store_url) as server:
        cursor = server.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def set_schema_version(store_url: str, version: int) -> None:
    """Make the store look like one of this version."""
    sql(store_url, f"UPDATE store_info SET value = '{version}' WHERE name = 'schema_version'")
