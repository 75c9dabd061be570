"""User-days as Parquet: a file per day in `day=YYYY-MM-DD/`, in a folder or an object store.

This is Hive's partition layout, which Spark, Trino, BigQuery, Snowflake and DuckDB read directly.
The day is in the folder's name, and by that convention not a column of the file. A day's doubts are
columns, so that a query can filter by them, and also in the file's metadata, for a day without
rows. There is no manifest or notes file: these readers take every file for a partition's data.
The metadata also identifies what a day was written from: a file that has it already is not written
again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dashboard_scraper.errors import UsageError
from dashboard_scraper.exports.daily_export import DailyExport, advice_of, summarise
from dashboard_scraper.files import (
    STALE_SUFFIX,
    Publication,
    explained,
    make_folder,
    remove_leftovers_beside,
    replaced_or_set_aside,
    set_aside,
    write_whole,
)
from dashboard_scraper.installation import how_to_install
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.doubts import doubts_in
from dashboard_scraper.model.listing import listed_days
from dashboard_scraper.model.reconciliation import Rules, Verdict
from dashboard_scraper.store import LedgerDay, Reader, Store

try:
    import pyarrow as pa
    import pyarrow.fs
    import pyarrow.parquet

    from dashboard_scraper.exports.arrow_days import DayContents, marks_of, user_days
    from dashboard_scraper.store.arrow import USER_DAYS, without
except ImportError:
    raise UsageError(
        f"Parquet needs a library that is not installed: {how_to_install('parquet')}"
    ) from None

logger = logging.getLogger(__name__)

_FILE = "user_days.parquet"
_CONTENT = b"content"
_MARKED = "every file is written; its rows and its metadata say so"
SCHEMA = without(USER_DAYS.schema, ["day"])


def export_days(store: Store, export: DailyExport, place: str, rules: Rules) -> tuple[str, Verdict]:
    """Write the window's days below `place`, a folder or a URL such as `s3://BUCKET/PREFIX`.

    Returns the place and the verdict on the days' doubts. Raises DaysMissing if days are not in the
    store, after writing the others. `export.folder` is not used.
    """
    source_name, window = export.source, export.window
    if "://" in place:
        _check_url(place)
    with store.reading() as reader:
        run = _Run(reader, export)
        doubts = doubts_in(run.stored.values(), export.tolerance)
        if "://" in place:
            _upload(place, run, window)
        else:
            place = str(Path(place).absolute())
            _write(Path(place), run, window, export.outputs.mode)
        missing = [day for day in window.days() if day not in run.stored]
        advice = advice_of(reader, source_name)
    summarise(window, missing, advice)
    return place, rules.verdict_on(doubts, _MARKED)


class _Run:
    """The days of one export, each read from the store only when its file is to be written."""

    def __init__(self, reader: Reader, export: DailyExport) -> None:
        self._reader = reader
        self._export = export
        self.stored = reader.ledger(export.source, export.window)
        contents = DayContents(export.audience, export.tolerance)
        rows = reader.ledger_rows(export.source, export.window)
        self._contents = {day: contents.of(row).encode() for day, row in rows.items()}

    def changed(self, content_of: Callable[[date], bytes | None]) -> Iterator[LedgerDay]:
        """The days whose file has another content, or is missing."""
        for day, row in self.stored.items():
            if content_of(day) != self._contents[day]:
                yield row

    def parquet(self, row: LedgerDay) -> bytes:
        """The file of a day."""
        audience, tolerance = self._export.audience, self._export.tolerance
        users = audience.shown(self._reader.day(row).users)
        table = user_days(row, users, audience, tolerance).select(SCHEMA.names)
        metadata: dict[Any, Any] = {_CONTENT: self._contents[row.day], **marks_of(row, tolerance)}
        sink = pa.BufferOutputStream()
        pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), sink)
        data: bytes = sink.getvalue().to_pybytes()
        return data


def rewrite_day(store: Store, folder: Path, day: date, export: DailyExport) -> None:
    """Rewrite one day of an earlier export below `folder`, if it is stored, as `export` says."""
    path = folder / _partition(day) / _FILE
    try:
        table = pyarrow.parquet.read_table(path, columns=["source"], partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path} was not written by an export: {error}") from error
    window = Window(day, day)
    with store.reading() as reader:
        for source in set(table.column("source").to_pylist()):
            run = _Run(reader, dataclasses.replace(export, source=source, window=window))
            for stored in run.stored.values():
                write_whole(path, run.parquet(stored), export.outputs.mode)


def _content_of(path: str, place: Any = None) -> bytes | None:
    """What a file was written from; None if it is missing, or not a whole file of an export."""
    try:
        metadata = pyarrow.parquet.read_metadata(path, filesystem=place).metadata
    except (pa.ArrowException, OSError):
        return None
    content: bytes | None = (metadata or {}).get(_CONTENT)
    return content


def _partition(day: date) -> str:
    return f"day={day}"


def _hidden(name: str) -> str:
    """A name for a file set aside: readers of partitions skip names that begin with a dot."""
    return f".{name}{STALE_SUFFIX}"


def _write(folder: Path, run: _Run, window: Window, mode: int) -> None:
    """Write all changed files or none; those of days that are not stored any more are set aside."""
    files = {day: folder / _partition(day) / _FILE for day in window.days()}
    changed = list(run.changed(lambda day: _content_of(f"{files[day]}")))
    gone = [path for day, path in files.items() if day not in run.stored]
    targets = [files[row.day] for row in changed] + gone
    remove_leftovers_beside(files.values())
    with (
        replaced_or_set_aside(targets, stale_name=_hidden),
        Publication(mode) as publication,
    ):
        for row in changed:
            make_folder(files[row.day].parent, mode)
            publication.add(files[row.day], run.parquet(row))
        set_aside(gone, _hidden)
        publication.publish()
    _log(len(changed), len(run.stored))


def _log(written: int, stored: int) -> None:
    logger.info("%d of %d days written, the others are unchanged", written, stored)


def _upload(url: str, run: _Run, window: Window) -> None:
    """Upload one object after another; an earlier export's objects of other days are hidden.

    Object stores have no transaction over several objects, so a failure leaves some days new and
    hides the old ones of the rest: a reader then misses days, and never takes old ones for current.
    """
    with _explained(url):
        place, folder = pyarrow.fs.FileSystem.from_uri(url)
        objects = {day: f"{folder}/{_partition(day)}/{_FILE}" for day in window.days()}
        changed = list(run.changed(lambda day: _content_of(objects[day], place)))
        left = {row.day for row in changed} | (set(objects) - set(run.stored))
        try:
            for row in changed:
                data = run.parquet(row)
                with place.open_output_stream(objects[row.day]) as stream:
                    stream.write(data)
                left.discard(row.day)
        finally:
            hidden = [day for day in left if _hide(place, f"{folder}/{_partition(day)}")]
            if hidden:
                logger.warning("%s: hid what earlier exports left of %s", url, listed_days(hidden))
    _log(len(changed), len(run.stored))


def _hide(place: Any, folder: str) -> bool:
    """Rename a day's object so that readers skip it; whether there was one."""
    path = f"{folder}/{_FILE}"
    if place.get_file_info(path).type is not pyarrow.fs.FileType.File:
        return False
    place.move(path, f"{folder}/{_hidden(_FILE)}")
    return True


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        with explained(url):
            yield
    except pa.ArrowException as error:
        raise UsageError(f"--out: {url}: {str(error).splitlines()[0]}") from error


def _check_url(url: str) -> None:
    """UsageError for a URL without a bucket, or with credentials in it, which logs would show."""
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise UsageError(
            "--out: remove the credentials from the URL, and set them in the environment or .env,"
            " as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if parts.scheme == "file" or not parts.netloc:
        raise UsageError(
            f"--out: {url} does not name a bucket; use s3://BUCKET/PREFIX, or a folder"
        )
