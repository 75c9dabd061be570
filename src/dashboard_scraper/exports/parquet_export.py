"""User-days as Parquet: a file per day in `day=YYYY-MM-DD/`, in a folder or an object store.

This is Hive's partition layout, which Spark, Trino, BigQuery, Snowflake and DuckDB read directly.
The day is in the folder's name, and by that convention not a column of the file. A day's doubts are
columns, so that a query can filter by them, and also in the file's metadata, for a day without
rows. There is no manifest or notes file: these readers take every file for a partition's data.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

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
from dashboard_scraper.model.doubts import DoubtKind, doubts_in, doubts_of
from dashboard_scraper.model.figures import values_of
from dashboard_scraper.model.listing import listed_days
from dashboard_scraper.model.metrics import METRICS, Kind
from dashboard_scraper.model.reconciliation import Rules, Verdict
from dashboard_scraper.model.tolerance import Tolerance
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.store import LedgerDay, Reader, Store

try:
    import pyarrow as pa
    import pyarrow.fs
    import pyarrow.parquet
except ImportError:
    raise UsageError(
        f"Parquet needs a library that is not installed: {how_to_install('parquet')}"
    ) from None

logger = logging.getLogger(__name__)

_FILE = "user_days.parquet"
_MARKED = "every file is written; its rows and its metadata say so"
_TYPES = {
    Kind.COUNT: pa.int64(),
    Kind.DAYS: pa.int64(),
    Kind.PERCENT: pa.float64(),
    Kind.MOMENT: pa.timestamp("us", tz="UTC"),
}
SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("user_login", pa.string(), nullable=False),
        *(pa.field(metric.name, _TYPES[metric.kind]) for metric in METRICS),
        pa.field("extra", pa.string()),  # JSON: fields of the source that are not in the catalogue
        pa.field("service_account", pa.bool_(), nullable=False),
        pa.field("person", pa.string(), nullable=False),  # the same for all spellings of a name
        *(pa.field(kind.word, pa.string()) for kind in DoubtKind),  # null, or the reason in words
    ]
)
_encode = msgspec.json.Encoder().encode


def export_days(store: Store, export: DailyExport, place: str, rules: Rules) -> tuple[str, Verdict]:
    """Write the window's days below `place`, a folder or a URL such as `s3://BUCKET/PREFIX`.

    Returns the place and the verdict on the days' doubts. Raises DaysMissing if days are not in the
    store, after writing the others. `export.folder` is not used.
    """
    source_name, window = export.source, export.window
    if "://" in place:
        _check_url(place)
    with store.reading() as reader:
        stored = reader.ledger(source_name, window)
        doubts = doubts_in(stored.values(), export.tolerance)
        days = (
            (day, _parquet(reader, row, export.audience, export.tolerance))
            for day, row in stored.items()
        )
        if "://" in place:
            _upload(place, days, window)
        else:
            place = str(Path(place).absolute())
            _write(Path(place), days, window, export.outputs.mode)
        missing = [day for day in window.days() if day not in stored]
        advice = advice_of(reader, source_name)
    summarise(window, missing, advice)
    return place, rules.verdict_on(doubts, _MARKED)


def rewrite_day(store: Store, folder: Path, day: date, export: DailyExport) -> None:
    """Rewrite one day of an earlier export below `folder`, if it is stored, as `export` says."""
    path = folder / _partition(day) / _FILE
    try:
        table = pyarrow.parquet.read_table(path, columns=["source"], partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path} was not written by an export: {error}") from error
    with store.reading() as reader:
        for source in set(table.column("source").to_pylist()):
            for stored in reader.ledger(source, Window(day, day)).values():
                data = _parquet(reader, stored, export.audience, export.tolerance)
                write_whole(path, data, export.outputs.mode)


def _parquet(reader: Reader, row: LedgerDay, audience: Audience, tolerance: Tolerance) -> bytes:
    marks = {doubt.kind.word: doubt.words for doubt in doubts_of(row, tolerance)}
    users = audience.shown(reader.day(row).users)
    columns: list[Any] = [[row.source] * len(users), [user.user for user in users]]
    all_values = (values_of(user.figures) for user in users)
    columns += (list(column) for column in zip(*all_values, strict=True))
    columns += [[_extra(user) for user in users], [user.service for user in users]]
    columns.append([audience.person_of_shown(user.user) for user in users])
    columns += ([marks.get(kind.word)] * len(users) for kind in DoubtKind)
    if not users:  # zip(*all_values) without users yields no columns
        columns = [[] for _ in SCHEMA]
    arrays = [pa.array(c, field.type) for c, field in zip(columns, SCHEMA, strict=True)]
    sink = pa.BufferOutputStream()
    schema = SCHEMA.with_metadata(marks) if marks else SCHEMA
    pyarrow.parquet.write_table(pa.Table.from_arrays(arrays, schema=schema), sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _extra(user: UserUsage) -> str | None:
    return _encode(user.extra).decode() if user.extra else None


def _partition(day: date) -> str:
    return f"day={day}"


def _hidden(name: str) -> str:
    """A name for a file set aside: readers of partitions skip names that begin with a dot."""
    return f".{name}{STALE_SUFFIX}"


def _write(folder: Path, days: Iterable[tuple[date, bytes]], window: Window, mode: int) -> None:
    """Write all files or none; those of days that are no longer stored are set aside."""
    targets = {day: folder / _partition(day) / _FILE for day in window.days()}
    left = set(targets)
    remove_leftovers_beside(targets.values())
    with (
        replaced_or_set_aside(targets.values(), stale_name=_hidden),
        Publication(mode) as publication,
    ):
        for day, data in days:
            make_folder(targets[day].parent, mode)
            publication.add(targets[day], data)
            left.discard(day)
        set_aside([targets[day] for day in left], _hidden)
        publication.publish()


def _upload(url: str, days: Iterable[tuple[date, bytes]], window: Window) -> None:
    """Upload one object after another; an earlier export's objects of other days are hidden.

    Object stores have no transaction over several objects, so a failure leaves some days new and
    hides the old ones of the rest: a reader then misses days, and never takes old ones for current.
    """
    with _explained(url):
        place, folder = pyarrow.fs.FileSystem.from_uri(url)
        left = set(window.days())
        try:
            for day, data in days:
                with place.open_output_stream(f"{folder}/{_partition(day)}/{_FILE}") as stream:
                    stream.write(data)
                left.discard(day)
        finally:
            hidden = [day for day in left if _hide(place, f"{folder}/{_partition(day)}")]
            if hidden:
                logger.warning("%s: hid what earlier exports left of %s", url, listed_days(hidden))


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
