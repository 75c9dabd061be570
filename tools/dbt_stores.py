"""Stores for the dbt package to read: filled by the program from the simulator, and damaged."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from types import MappingProxyType

import psycopg
from sqlalchemy.engine import make_url

from dashboard_scraper.cli.demo import demo_settings, write_people
from dashboard_scraper.cli.fetching import backfill_days
from dashboard_scraper.cli.several import for_each_source
from dashboard_scraper.cli.wiring import daily_export, read_settings
from dashboard_scraper.errors import StoreFailed
from dashboard_scraper.exports.iceberg_export import export_days
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.reconciliation import Rules
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.settings.groups import LAKE_PREFIX
from dashboard_scraper.simulator import Organization, Simulator
from dashboard_scraper.sources.registry import ALL_SOURCES, ANALYTICS, CLAUDE_CODE, CURSOR, info_of
from dashboard_scraper.store import store_of
from dashboard_scraper.store.lake.place import opened
from dashboard_scraper.store.lake.tables import USAGE

DAYS = 33
"""Enough for some figures of 28 days, and that the newest ones are those of all sources."""
_USERS = 10
_FASTER = 1000


def fill(folder: Path, urls: list[str], today: date) -> Settings:
    """Fill stores with the same days of all simulated sources; returns settings for the first."""
    organization = Organization(users=_USERS, today=today)
    with Simulator(organization, clock_scale=_FASTER) as simulator:
        own = demo_settings(simulator, read_settings(folder, "ERROR"), ALL_SOURCES)
        own.export_dir.mkdir(parents=True)
        write_people(own, organization, ALL_SOURCES)
        each = [own.model_copy(update={"store_url": url}) for url in urls]
        for settings in each:
            for_each_source(settings, lambda one: backfill_days(one, stored_days(one, today)))
    return each[0]


def stored_days(settings: Settings, today: date) -> Window:
    """The days of a source."""
    return info_of(settings.source).last_days(settings, DAYS, today)


def export_lake(settings: Settings, lake: Path, today: date) -> None:
    """Write a store's days as Iceberg tables."""

    def export(one: Settings) -> None:
        days = daily_export(one, stored_days(one, today), None)
        export_days(store_of(one), days, f"{LAKE_PREFIX}/{lake}", Rules())

    for_each_source(settings, export)


@contextlib.contextmanager
def database(server: str) -> Iterator[str]:
    """The URL of a new database on this PostgreSQL server."""
    name = f"dbt_{secrets.token_hex(8)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        try:
            yield make_url(server).set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


DAMAGES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "a day is gone": (
            f"DELETE FROM user_day WHERE source = '{ANALYTICS}' AND day = $day - 9;"
            f"DELETE FROM day_ledger WHERE source = '{ANALYTICS}' AND day = $day - 9",
            "no_day_is_missing",
        ),
        "a user is there twice": (
            "ALTER TABLE user_day DROP CONSTRAINT user_day_pkey;"
            f"INSERT INTO user_day SELECT * FROM user_day WHERE source = '{ANALYTICS}'",
            "unique_together_stg_dashboard_scraper__user_days",
        ),
        "a user's figure is another": (
            f"UPDATE user_day SET chat_messages = chat_messages + 1 WHERE source = '{ANALYTICS}'",
            "user_days_are_those_of_the_totals",
        ),
        "the tenant's own figure is another": (
            "UPDATE day_ledger SET tenant_chat_messages = chat_messages + 1"
            f" WHERE source = '{ANALYTICS}' AND unreconciled IS NULL",
            "tenant_totals_are_the_sums",
        ),
        "a figure that the source does not know is 0": (
            f"UPDATE user_day SET remote_agent_messages = 0 WHERE source = '{CURSOR}'",
            "unknown_figures_are_null",
        ),
        "a figure is below 0": (
            f"UPDATE user_day SET commits = -1 WHERE source = '{CLAUDE_CODE}'",
            "counts_are_not_negative_stg_dashboard_scraper__user_days",
        ),
        "an amount is another by less than a binary number shows": (
            "UPDATE cost_day SET billed = billed + 0.000000000000000001"
            f" WHERE source = '{CURSOR}'",
            "costs_are_those_of_the_totals",
        ),
        "the source's own sum of the costs is another": (
            f"UPDATE cost_ledger SET source_billed = billed + 1 WHERE source = '{ANALYTICS}'"
            " AND unreconciled IS NULL",
            "source_costs_are_the_sums",
        ),
    }
)
"""What is changed in a store, with its newest day for `$day`, and the test that must then fail. The
last statement of each changes something on whatever weekday."""


def damage(url: str, today: date) -> None:
    """Apply every damage, end one source's days four days ago, and let none of its runs succeed."""
    day = today - timedelta(1)
    with psycopg.connect(url) as connection:
        for statements, _ in DAMAGES.values():
            for statement in statements.split(";"):
                done = connection.execute(statement.replace("$day", f"DATE '{day}'"))
            if not done.rowcount:
                raise StoreFailed(f"nothing to damage: {statements}")
        old = day - timedelta(3)
        for table in ("day_ledger", "user_day", "cost_ledger", "cost_day"):
            where = f"source = '{CURSOR}' AND day > '{old}'"
            connection.execute(f"DELETE FROM {table} WHERE {where}")
        connection.execute(f"UPDATE run SET exit_code = 9 WHERE source = '{CURSOR}'")


def damage_lake(lake: Path, today: date) -> None:
    """Remove a day of one source, and the newest days of another."""
    day = today - timedelta(1)
    gone = f"source = '{ANALYTICS}' AND day = '{day - timedelta(9)}'"
    newest = f"source = '{CURSOR}' AND day > '{day - timedelta(3)}'"
    with opened(f"{LAKE_PREFIX}/{lake}", StoreFailed) as place:
        for kind in USAGE.tables:
            table = place.catalog.load_table(place.identifier(kind.name))
            for rows in (gone, newest):
                if table.scan(row_filter=rows, limit=1).to_arrow().num_rows:
                    table.delete(rows)
