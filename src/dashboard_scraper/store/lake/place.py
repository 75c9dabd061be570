"""Where a lake is: in a catalogue of pyiceberg's configuration, or in a folder with its own
catalogue.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import requests
from pyiceberg import exceptions
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io import AWS_REGION, S3_ENDPOINT
from pyiceberg.utils.config import Config
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from dashboard_scraper.errors import ScraperError, UsageError
from dashboard_scraper.settings.groups import LAKE_PREFIX
from dashboard_scraper.store.backend import first_line_of

CATALOG_FILE = "catalog.db"
NAMESPACE = "usage"
_OWN_CATALOG = "lake"
_NAMES = re.compile(r"(?P<catalog>[\w-]+)(/(?P<namespace>\w+))?")

CONFLICTS = (exceptions.CommitFailedException, exceptions.ValidationException)
"""Another writer was faster; nothing was committed."""
FAILURES: tuple[type[Exception], ...] = (
    exceptions.RESTError,
    exceptions.SignError,
    exceptions.ValidationError,  # damaged metadata in JSON
    EOFError,  # or in Avro
    requests.RequestException,
    SQLAlchemyError,
    OSError,
    pa.ArrowException,
    *CONFLICTS,
)
"""The exceptions that a catalogue or its files may raise."""
_MISCONFIGURED = (
    exceptions.NoSuchPropertyException,
    exceptions.NotInstalledError,
    ImportError,
    ValueError,
)


class Lake(msgspec.Struct, frozen=True):
    """An open catalogue, and the namespace of the tables. `shown` is for messages."""

    catalog: Catalog
    namespace: str
    shown: str

    def identifier(self, table: str) -> tuple[str, str]:
        """The full name of a table."""
        return self.namespace, table


def folder_of(url: str) -> Path | None:
    """The folder that `iceberg:///FOLDER` names; None if the URL names a catalogue.

    UsageError if its name is not UTF-8: the tables' metadata contains it.
    """
    rest = url.removeprefix(LAKE_PREFIX)
    if not rest.startswith("/"):
        return None
    folder = Path(rest[1:])
    try:
        f"{folder}".encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{folder}: a lake needs a folder whose name is UTF-8; choose another one"
        ) from None
    return folder


def exists(url: str) -> bool:
    """Whether the folder has a catalogue; a catalogue of the configuration always counts as
    existing.
    """
    folder = folder_of(url)
    return folder is None or (folder / CATALOG_FILE).exists()


@contextlib.contextmanager
def opened(url: str, failure: type[ScraperError]) -> Iterator[Lake]:
    """The lake of an `iceberg://CATALOG/NAMESPACE` or `iceberg:///FOLDER`, which must exist.

    UsageError if pyiceberg's configuration has no such catalogue, or an invalid one; `failure` if
    the catalogue or its files fail, now or while it is open.
    """
    folder = folder_of(url)
    shown = f"{folder}" if folder is not None else url
    with _explained(shown, failure):
        catalog, namespace = _named(url) if folder is None else (_catalog_in(folder), NAMESPACE)
        with contextlib.closing(catalog):
            yield Lake(catalog, namespace, shown)


def _named(url: str) -> tuple[Catalog, str]:
    found = _NAMES.fullmatch(url.removeprefix(LAKE_PREFIX))
    if found is None:
        raise UsageError(
            f"{url} does not name a lake: write {LAKE_PREFIX}CATALOG/NAMESPACE, or a folder"
        )
    return _configured(found["catalog"]), found["namespace"] or NAMESPACE


def _catalog_in(folder: Path) -> Catalog:
    uri = URL.create("sqlite", database=f"{folder / CATALOG_FILE}")
    return SqlCatalog(_OWN_CATALOG, uri=uri.render_as_string(), warehouse=f"{folder}")


def _configured(name: str) -> Catalog:
    try:
        # Read again: the library reads its configuration when it is imported, before `.env` is
        # read.
        properties: Any = Config().get_catalog_config(name)
        if properties is None:
            variable = f"PYICEBERG_CATALOG__{name.upper()}__URI"
            raise UsageError(
                f"no catalogue {name} is configured: set {variable} and what else it needs, or"
                " describe it in .pyiceberg.yaml"
            )
        return load_catalog(name, **{**_of_environment(), **properties})
    except _MISCONFIGURED as error:
        raise UsageError(f"the catalogue {name}: {first_line_of(error)}") from error


def _of_environment() -> dict[str, str]:
    """The settings for object stores that the library does not read itself.

    The region only together with an endpoint: without one, the library asks AWS for the bucket's
    region, which may differ from the setting.
    """
    endpoint = _first_set("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    if endpoint is None:
        return {}
    region = _first_set("AWS_REGION", "AWS_DEFAULT_REGION")
    return {S3_ENDPOINT: endpoint} | ({} if region is None else {AWS_REGION: region})


def _first_set(*names: str) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


@contextlib.contextmanager
def _explained(shown: str, kind: type[ScraperError]) -> Iterator[None]:
    """Turn the exceptions of the catalogue and its files into an error of this kind."""
    try:
        yield
    except FAILURES as error:
        raise kind(f"{shown}: {first_line_of(error)}") from error
