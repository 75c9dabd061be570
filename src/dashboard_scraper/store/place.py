"""The store that the setting STORE_URL names."""

from __future__ import annotations

from pathlib import Path

import msgspec
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from dashboard_scraper.errors import UsageError
from dashboard_scraper.files import PRIVATE
from dashboard_scraper.installation import how_to_install
from dashboard_scraper.people.people import People
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.settings.groups import LAKE_PREFIX, LEASE_SECONDS, SQLITE_PREFIX
from dashboard_scraper.settings.library_settings import Libraries
from dashboard_scraper.store.patience import Patience
from dashboard_scraper.store.store import Store

_PATIENCE = Patience()


class Waiting(msgspec.Struct, frozen=True):
    """How long to retry while a server is unavailable, and the lease time: after that many seconds
    without a heartbeat, a run counts as dead.
    """

    patience: Patience = _PATIENCE
    lease_seconds: float = LEASE_SECONDS


def store_of(settings: Settings, people: People | None = None) -> Store:
    """The store of the settings, not opened yet. Pass `people` in order to write."""
    patience = Patience(settings.retry_budget_seconds, settings.retry_backoff_seconds)
    waiting = Waiting(patience, settings.store_lease_seconds)
    return store_at(
        settings.store_url,
        people,
        waiting=waiting,
        mode=settings.file_mode,
        libraries=settings.libraries,
        renaming=settings.pseudonym_key_file is not None,
    )


def store_at(
    url: str,
    people: People | None = None,
    *,
    waiting: Waiting | None = None,
    mode: int = PRIVATE,
    libraries: Libraries | None = None,
    renaming: bool = False,
) -> Store:
    """The store that a STORE_URL names, as `store_of`. New files get `mode`.

    For a lake: the settings of its `libraries`, and in `renaming` whether its names are replaced by
    pseudonyms.
    """
    if url.startswith(LAKE_PREFIX):
        return _lake_at(url, libraries or Libraries(), renaming=renaming)
    waiting = waiting or Waiting()
    if url.startswith(SQLITE_PREFIX):
        from dashboard_scraper.store.sqlite import SqliteBackend  # noqa: PLC0415

        return Store(SqliteBackend(Path(url.removeprefix(SQLITE_PREFIX)), mode), people)
    try:
        from dashboard_scraper.store.postgres import PostgresBackend  # noqa: PLC0415 - an extra
    except ImportError as error:
        if not (error.name or "psycopg").startswith("psycopg"):
            raise
        raise UsageError(
            "STORE_URL names a PostgreSQL server, and its driver is not installed:"
            f" {how_to_install('postgres')}"
        ) from None

    try:
        backend = PostgresBackend(make_url(url), waiting.patience, waiting.lease_seconds)
        return Store(backend, people)
    except (ArgumentError, ValueError):  # ValueError: the port is not a number
        raise UsageError(
            "STORE_URL is not a URL; write it as postgresql://USER:PASSWORD@HOST/DATABASE"
        ) from None


def _lake_at(url: str, libraries: Libraries, *, renaming: bool) -> Store:
    try:
        from dashboard_scraper.store.lake.backend import LakeBackend  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError(
            "STORE_URL names a lake, and its libraries are not installed:"
            f" {how_to_install('iceberg')}"
        ) from None
    return Store(LakeBackend(url, libraries.of_object_stores, renaming=renaming))
