"""Removing the snapshots of earlier states of a lake, and the files that only these need."""

from __future__ import annotations

import logging
from datetime import datetime

from pyiceberg.table import Table

from dashboard_scraper.store.lake.place import Lake
from dashboard_scraper.store.lake.tables import TABLES

logger = logging.getLogger(__name__)


def expire(lake: Lake, before: datetime) -> None:
    """Expire all snapshots from before that moment except the current ones, and delete the files
    that only they refer to.

    The library only removes snapshots from the table's metadata.
    """
    removed = 0
    for kind in TABLES:
        table = lake.catalog.load_table(lake.identifier(kind.name))
        known = _files(table)
        table.maintenance.expire_snapshots().older_than(before).commit()
        gone = known - _files(lake.catalog.load_table(table.name()))
        for path in sorted(gone):
            table.io.delete(path)
        removed += len(gone)
    logger.info("%s: %d files of earlier states removed", lake.shown, removed)


def files_of(lake: Lake) -> set[str]:
    """Every file that some state of the lake refers to."""
    tables = (lake.catalog.load_table(lake.identifier(kind.name)) for kind in TABLES)
    return set().union(*map(_files, tables))


def _files(table: Table) -> set[str]:
    """Every file that some snapshot refers to."""
    found: set[str] = set()
    for snapshot in table.snapshots():
        found.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path not in found:
                found.add(manifest.manifest_path)
                entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
                found.update(entry.data_file.file_path for entry in entries)
    return found
