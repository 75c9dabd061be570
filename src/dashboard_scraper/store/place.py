"""From the setting STORE_URL to a store."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from dashboard_scraper.config import SQLITE_PREFIX
from dashboard_scraper.errors import UsageError
from dashboard_scraper.files import PRIVATE
from dashboard_scraper.store.store import Store


def store_at(url: str, mode: int = PRIVATE) -> Store:
    """The store that STORE_URL names; nothing is opened yet. A file that is made has `mode`."""
    if url.startswith(SQLITE_PREFIX):
        from dashboard_scraper.store.sqlite import SqliteBackend  # noqa: PLC0415

        return Store(SqliteBackend(Path(url.removeprefix(SQLITE_PREFIX)), mode))
    from dashboard_scraper.store.postgres import PostgresBackend  # noqa: PLC0415

    try:
        return Store(PostgresBackend(make_url(url)))
    except (ArgumentError, ValueError):  # a port that is no number is the latter
        raise UsageError(
            "STORE_URL is no URL; write it as postgresql://USER:PASSWORD@HOST/DATABASE"
        ) from None
