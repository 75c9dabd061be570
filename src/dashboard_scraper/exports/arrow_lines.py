"""Records of both Copilot formats from Arrow batches, for programs that distribute the work.

The batches have the columns of `user_days` in Parquet and Iceberg, and one row per person and day.
The lines are the same as in the local files, but need no store or settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from functools import cache
from itertools import repeat
from typing import Any, NamedTuple

from dashboard_scraper.errors import UsageError
from dashboard_scraper.exports import copilot_converter as copilot
from dashboard_scraper.exports.copilot_files import ids_by_name
from dashboard_scraper.github import lines as github
from dashboard_scraper.github.lines import Stamp
from dashboard_scraper.github.records import Part, cells_of_figures, known_of_whole
from dashboard_scraper.github.reports import NEEDS as GITHUB_NEEDS
from dashboard_scraper.installation import how_to_install
from dashboard_scraper.model.figures import Values, has_activity, maker
from dashboard_scraper.model.metrics import (
    ACTIVE_DAYS,
    COUNTS,
    DETAILED,
    METRICS,
    REQUIRED,
    Figures,
)
from dashboard_scraper.output import Needs
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.sources.registry import info_of

try:
    import pyarrow as pa
except ImportError:
    raise UsageError(
        f"Arrow batches need a library that is not installed: {how_to_install('parquet')}"
    ) from None

PARTS = "parts"
CREDITS = "credits_consumed"
PHASE = "adoption_phase"
LINES = pa.schema(
    [
        pa.field("day", pa.date32(), nullable=False),
        pa.field("sort_key", pa.string(), nullable=False),
        pa.field("line", pa.string(), nullable=False),
    ]
)
"""What both functions return. A day's lines, sorted by `sort_key`, are those of its file."""

_NEEDED = ("day", "user_login", *(metric.name for metric in REQUIRED))
_NUMBERS = frozenset([*COUNTS, ACTIVE_DAYS])
_detailed = maker(DETAILED)


class Shown(NamedTuple):
    """How records name a user; `shown` is false for accounts that get no records."""

    id: int
    login: str
    shown: bool = True


People = Mapping[str, Shown]
"""Everybody by `user_login`; any mapping that can be pickled."""


def github_people(
    first_days: Iterable[tuple[str, date]], audience: Audience | None = None
) -> People:
    """Names for `github_lines`, from each user's first day: the earliest user keeps a disputed id.

    Without an `audience`, the table must have the names that outputs show, such as pseudonyms.
    """
    audience = audience or Audience()
    names = [name for name, _ in sorted(first_days, key=lambda each: (each[1], each[0]))]
    persons = audience.persons(names)
    return {name: Shown(person.id, person.login) for name, person in persons.items()}


def copilot_people(
    last_days: Iterable[tuple[str, date]], audience: Audience | None = None
) -> People:
    """Names for `copilot_lines`, from each user's last day in the window: the newest spelling
    counts.
    """
    audience, spellings = audience or Audience(), list(last_days)
    naming = audience.naming(spellings)
    ids = ids_by_name([name for name, _ in spellings], audience, naming)
    names = {name: naming.name(name) for name, _ in spellings}
    return {name: Shown(ids[shown], shown) for name, shown in names.items()}


def github_lines(batch: pa.RecordBatch, people: People, stamp: Stamp) -> pa.RecordBatch:
    """A line of GitHub's reports on users for each row with activity. Raises UsageError if the
    batch's column `source` names a source without the figures that the reports need.

    The optional column `parts`, a list of structs of editor, language and their figures, splits a
    row by editor and language; the optional numbers `credits_consumed` and `adoption_phase` are
    added to the line.
    """
    _check_sources(batch, GITHUB_NEEDS)
    columns = [
        _parts_in(batch),
        _numbers(batch, CREDITS, pa.float64()),
        _numbers(batch, PHASE),
    ]
    stamps = cache(lambda day: github.stamp_of(stamp, day))
    heads = cache(lambda shown: github.head_of(shown.id, shown.login))

    def line(row: _Row) -> tuple[str, bytes]:
        parts, consumed, phase = row.more
        figures = Figures(*row.values)
        known = [_part(each, figures) for each in parts or ()]
        cells = cells_of_figures(figures)
        return row.name, github.user_part(heads(row.shown), cells, known, consumed, phase)

    return _lines(batch, people, columns, stamps, line)


def copilot_lines(batch: pa.RecordBatch, people: People, stamp: Stamp) -> pa.RecordBatch:
    """A record of the Copilot JSON for each row with activity; the stamp must have a window."""
    _check_sources(batch, copilot.NEEDS)
    window = stamp.window
    if window is None:
        raise UsageError("the Copilot JSON needs a window; pass Stamp(enterprise_id, window)")
    stamps = cache(lambda day: copilot.stamp_of(day, window, stamp.enterprise_id))
    heads = cache(lambda shown: copilot.head_of(shown.id, shown.login))

    def line(row: _Row) -> tuple[str, bytes]:
        return row.shown.login, copilot.line_of(heads(row.shown), row.values)

    return _lines(batch, people, [], stamps, line)


def _check_sources(batch: pa.RecordBatch, needs: Needs) -> None:
    if "source" in batch.schema.names:
        for source in batch.column("source").unique().to_pylist():
            needs.check(info_of(source))


class _Row(NamedTuple):
    name: str
    shown: Shown
    values: Values
    more: tuple[Any, ...]


def _lines(
    batch: pa.RecordBatch,
    people: People,
    more: list[Iterable[Any]],
    stamps: Callable[[date], bytes],
    line: Callable[[_Row], tuple[str, bytes]],
) -> pa.RecordBatch:
    days, keys, texts = list[date](), list[str](), list[bytes]()
    for day, row in _active(batch, people, more):
        key, text = line(row)
        days.append(day)
        keys.append(key)
        texts.append(b"%b,%b" % (stamps(day), text))
    arrays = [pa.array(c, f.type) for c, f in zip((days, keys, texts), LINES, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=LINES)


def _active(
    batch: pa.RecordBatch, people: People, more: list[Iterable[Any]]
) -> Iterator[tuple[date, _Row]]:
    if absent := [name for name in _NEEDED if name not in batch.schema.names]:
        raise UsageError(f"the batch lacks the column {absent[0]}; read it from the table, too")
    days, names = _days(batch), batch.column("user_login").to_pylist()
    columns = [_numbers(batch, m.name) if m in _NUMBERS else repeat(None) for m in METRICS]
    found: set[tuple[date, int]] = set()
    details = zip(*more, strict=False) if more else repeat(())
    for day, name, values, others in zip(
        days, names, zip(*columns, strict=False), details, strict=False
    ):
        shown = people.get(name)
        if shown is None:
            raise UsageError(
                f"`people` lacks users of the batch, such as of {day}; make it from the same table"
            )
        if not shown.shown or not has_activity(values):
            continue
        if (day, shown.id) in found:
            raise UsageError(
                f"the batch has two rows of one person on {day}; export the table again, which"
                " merges the spellings of a name"
            )
        found.add((day, shown.id))
        yield day, _Row(name, shown, values, others)


def _days(batch: pa.RecordBatch) -> list[date]:
    """UsageError for timestamps, whose day depends on the time zone, and for texts."""
    column = batch.column("day")
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not pa.types.is_date(kind) or column.null_count:
        what = "null in a row" if column.null_count else f"{kind}"
        raise UsageError(f"the batch's column day is {what}; it must be a date, as date32")
    days: list[date] = column.to_pylist()
    return days


_WHOLE = pa.int64()


def _numbers(batch: pa.RecordBatch, name: str, kind: pa.DataType = _WHOLE) -> Iterable[Any]:
    """A column's numbers; all unknown if the column is missing, as newer metrics are in older
    exports.

    Programs that mark nulls by NaN make decimals of whole numbers.
    """
    if name not in batch.schema.names or batch.column(name).null_count == batch.num_rows:
        return repeat(None)
    try:
        numbers: list[Any] = batch.column(name).cast(kind).to_pylist()
    except pa.ArrowException as error:
        raise UsageError(f"the batch's column {name} is not of {kind}: {error}") from error
    return numbers


def _parts_in(batch: pa.RecordBatch) -> Iterable[Any]:
    if PARTS not in batch.schema.names:
        return repeat(None)
    parts: list[Any] = batch.column(PARTS).to_pylist()
    return parts


def _part(fields: Mapping[str, Any], whole: Figures) -> Part:
    figures = _detailed([fields.get(metric.name) for metric in DETAILED])
    return Part(fields["editor"], fields["language"], known_of_whole(figures, whole))
