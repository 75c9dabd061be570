"""The store's schema: what its version stands for."""

from __future__ import annotations

import hashlib

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from dashboard_scraper.store.schema import VERSION, VIEWS, metadata

# Of all versions since there are digests; a store may have any of them.
DIGESTS = {
    4: "2b184eb46c832ad8",
    5: "ad5b5de15ae9def1",
    6: "83b1d055f0e873cd",
    7: "19740251c76498cf",
    8: "312d9b3926c712b9",
    9: "9f48e1e7ce7447ba",
}


def test_schema_change_needs_new_version() -> None:
    """A store of the same version is not migrated, and would lack a new column.

    If this fails, increase VERSION, and add the new version with the digest that was found.
    """
    dialect = sqlite.dialect()
    definitions = [f"{CreateTable(t).compile(dialect=dialect)}" for t in metadata.sorted_tables]
    definitions += [f"{view} {query.compile(dialect=dialect)}" for view, query in VIEWS.items()]
    digest = hashlib.sha256("\n".join(definitions).encode()).hexdigest()[:16]
    assert DIGESTS[VERSION] == digest
