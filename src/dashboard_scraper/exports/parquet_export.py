"""User-days as Parquet: a file per day in `day=YYYY-MM-DD/`, in a folder or an object store.

This is Hive's partition layout, which Spark, Trino, BigQuery, Snowflake and DuckDB read directly.
The day is in the folder's name, and by that convention not a column of the file. A day's doubts are
columns, so that a query can filter by them; they are also in the file's metadata, for days without
rows. There is no manifest or notes file, since these readers take every file for a partition's
data. The metadata also identifies what a day was written from, so an up-to-date file is not written
again.

Costs have their own folders of this kind, in a folder whose name begins with an underscore:
programs that read a whole folder skip it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from dashboard_scraper.errors import UsageError
from dashboard_scraper.exports.daily_export import DailyExport, advice_of, summarise
from dashboard_scraper.exports.stored_costs import StoredCosts
from dashboard_scraper.files import (
    STALE_SUFFIX,
    explained,
    give_mode,
    make_folder,
    remove_leftovers_beside,
    replaced_or_set_aside,
    set_aside,
)
from dashboard_scraper.installation import how_to_install
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.doubts import DoubtKind, doubts_in, words_by_kind
from dashboard_scraper.model.listing import listed_days
from dashboard_scraper.model.reconciliation import Rules, Verdict
from dashboard_scraper.publication import Publication, write_whole
from dashboard_scraper.store import Reader, Store
from dashboard_scraper.store.backend import first_line_of

try:
    import pyarrow as pa
    import pyarrow.fs
    import pyarrow.parquet

    from dashboard_scraper.exports.arrow_days import (
        CostContents,
        DayContents,
        cost_days,
        parquet_of,
        user_days,
    )
    from dashboard_scraper.store.arrow import COST_DAYS, USER_DAYS, without
except ImportError:
    raise UsageError(
        f"Parquet needs a library that is not installed: {how_to_install('parquet')}"
    ) from None

logger = logging.getLogger(__name__)

COSTS = "_cost_days"
"""The folder of days with costs."""
_CONTENT = b"content"
_MARKED = "every file is written; its rows and its metadata say so"
SCHEMA = without(USER_DAYS.schema, ["day"])
COST_SCHEMA = without(COST_DAYS.schema, ["day"])


def export_days(store: Store, export: DailyExport, place: str, rules: Rules) -> tuple[str, Verdict]:
    """Write the window's days below `place`, a folder or a URL such as `s3://BUCKET/PREFIX`.

    Returns the place and the verdict on the days' doubts. Raises DaysMissing, after writing the
    others, if days are not in the store. `export.folder` is not used.
    """
    source_name, window = export.source, export.window
    if "://" in place:
        _check_url(place)
    with store.reading() as reader:
        users, of_costs = _UserFiles(reader, export), _CostFiles(reader, export)
        costs = of_costs.stored
        doubts = doubts_in(users.stored.values(), export.tolerance)
        # Even if the source has no costs: files of another source's costs must not stay there.
        parts: list[_DayFiles] = [users, of_costs]
        if "://" in place:
            for each in parts:
                _upload(f"{place}/{each.folder}" if each.folder else place, each, window)
        else:
            place = str(Path(place).absolute())
            for each in parts:
                _write(Path(place) / each.folder, each, window, export.outputs.mode)
        if costs.expected and costs.missing:
            logger.warning(
                "%s: the store has no costs, so there is no file of them",
                listed_days(costs.missing),
            )
        missing = [day for day in window.days() if day not in users.stored]
        advice = advice_of(reader, source_name)
    summarise(window, missing, advice)
    return place, rules.verdict_on(doubts, _MARKED, costs=costs.unreconciled)


class _DayFiles(Protocol):
    """The days of one export that have a file; a day is read from the store only when it is
    written.

    `contents` identifies what each stored day is written from, oldest first.
    """

    folder: str
    name: str
    contents: dict[date, bytes]

    def parquet(self, day: date) -> bytes:
        """The file of a day."""
        ...


class _UserFiles:
    """The days of users."""

    folder = ""
    name = "user_days.parquet"

    def __init__(self, reader: Reader, export: DailyExport) -> None:
        self._reader = reader
        self._export = export
        self.stored = reader.ledger(export.source, export.window)
        contents = DayContents(export.audience, export.tolerance, reader.forgets)
        rows = reader.ledger_rows(export.source, export.window)
        self.contents = {day: contents.of(row).encode() for day, row in rows.items()}

    def parquet(self, day: date) -> bytes:
        audience, tolerance, row = self._export.audience, self._export.tolerance, self.stored[day]
        users = audience.shown(self._reader.day(row).users)
        table = user_days(row, users, audience, tolerance).select(SCHEMA.names)
        return parquet_of(table, {_CONTENT: self.contents[day], **words_by_kind(row, tolerance)})


class _CostFiles:
    """The days with costs."""

    folder = COSTS
    name = "cost_days.parquet"

    def __init__(self, reader: Reader, export: DailyExport) -> None:
        self._audience = export.audience
        self.stored = StoredCosts(reader, export)
        contents = CostContents(export.audience)
        self.contents = {day: contents.of(row).encode() for day, row in self.stored.days.items()}

    def parquet(self, day: date) -> bytes:
        row = self.stored.days[day]
        table = cost_days(row, self.stored.shown(row), self._audience).select(COST_SCHEMA.names)
        metadata: dict[Any, Any] = {_CONTENT: self.contents[day]}
        if words := row.unreconciled_words:
            metadata[DoubtKind.UNRECONCILED.word] = words
        return parquet_of(table, metadata)


def _changed(files: _DayFiles, content_of: Callable[[date], bytes | None]) -> list[date]:
    """The days whose file has other content or is missing."""
    return [day for day, content in files.contents.items() if content_of(day) != content]


def rewrite_day(store: Store, folder: Path, day: date, export: DailyExport) -> list[Path]:
    """Rewrite one day of an earlier export below `folder`, if it is stored, as `export` says.

    The folder may be the one of costs. Returns the files that were written.
    """
    kind = _CostFiles if folder.name == COSTS else _UserFiles
    path = folder / _partition(day) / kind.name
    try:
        with path.open("rb") as file:  # its library takes no path that is not UTF-8
            table = pyarrow.parquet.read_table(file, columns=["source"])
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path} was not written by an export: {error}") from error
    window, written = Window(day, day), []
    with store.reading() as reader:
        for source in set(table.column("source").to_pylist()):
            files = kind(reader, export.of(source, window))
            for stored in files.contents:
                write_whole(path, files.parquet(stored), export.outputs.mode)
                written.append(path)
    return written


def place_of(folder: Path) -> Path:
    """The place of the export that a folder of days belongs to."""
    return folder.parent if folder.name == COSTS else folder


def _content_of(open_file: Callable[[], Any]) -> bytes | None:
    """What a file was written from; None if it is missing or not a complete file of an export."""
    try:
        with open_file() as file:
            metadata = pyarrow.parquet.read_metadata(file).metadata
    except (pa.ArrowException, OSError):
        return None
    content: bytes | None = (metadata or {}).get(_CONTENT)
    return content


def _partition(day: date) -> str:
    return f"day={day}"


def _hidden(name: str) -> str:
    """The name for a file set aside: readers of partitions skip names that begin with a dot."""
    return f".{name}{STALE_SUFFIX}"


def _write(folder: Path, files: _DayFiles, window: Window, mode: int) -> None:
    """Write all changed files or none; files of days that are no longer stored are set aside."""
    paths = {day: folder / _partition(day) / files.name for day in window.days()}
    changed = _changed(files, lambda day: _content_of(partial(paths[day].open, "rb")))
    gone = [path for day, path in paths.items() if day not in files.contents]
    targets = [paths[day] for day in changed] + gone
    remove_leftovers_beside(paths.values())
    with (
        replaced_or_set_aside(targets, stale_name=_hidden),
        Publication(mode) as publication,
    ):
        for day in changed:
            make_folder(paths[day].parent, mode)
            publication.add(paths[day], files.parquet(day))
        set_aside(gone, _hidden)
        for day in files.contents.keys() - {*changed}:
            give_mode(paths[day], mode)
        publication.publish()
    _log(files, len(changed))


def _log(files: _DayFiles, written: int) -> None:
    if days := len(files.contents):
        logger.info(
            "%s: %d of %d days written, the others are unchanged", files.name, written, days
        )


def _upload(url: str, files: _DayFiles, window: Window) -> None:
    """Upload one object after another; an earlier export's objects of other days are hidden.

    Object stores have no transaction over several objects, so after a failure some days are new and
    the old objects of the others are hidden: a reader then misses days, but never takes old ones
    for current.
    """
    with _explained(url):
        place, folder = pyarrow.fs.FileSystem.from_uri(url)
        # Raises after some seconds if nothing answers; otherwise every day would wait as long.
        place.get_file_info(folder)
        objects = {day: f"{folder}/{_partition(day)}/{files.name}" for day in window.days()}
        changed = _changed(
            files, lambda day: _content_of(partial(place.open_input_file, objects[day]))
        )
        left = {*changed} | (set(objects) - files.contents.keys())
        try:
            for day in changed:
                data = files.parquet(day)
                with place.open_output_stream(objects[day]) as stream:
                    stream.write(data)
                left.discard(day)
        finally:
            hidden = [
                day for day in left if _hide(place, f"{folder}/{_partition(day)}", files.name)
            ]
            if hidden:
                logger.warning("%s: hid what earlier exports left of %s", url, listed_days(hidden))
    _log(files, len(changed))


def _hide(place: Any, folder: str, name: str) -> bool:
    """Rename a day's object so that readers skip it; returns whether there was one."""
    path = f"{folder}/{name}"
    if place.get_file_info(path).type is not pyarrow.fs.FileType.File:
        return False
    place.move(path, f"{folder}/{_hidden(name)}")
    return True


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        with explained(url):
            yield
    except pa.ArrowException as error:
        raise UsageError(f"--out: {url}: {first_line_of(error)}") from error


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
