"""User-days, details, totals and costs as Iceberg tables: only days that changed are written.

The totals of a day are the ledger's, but count only the users in the rows: no service accounts if
outputs leave them out, and each person once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from dashboard_scraper.errors import OutputFailed, UsageError
from dashboard_scraper.exports.daily_export import DailyExport, advice_of, summarise
from dashboard_scraper.files import make_folder, new_files_get
from dashboard_scraper.installation import how_to_install
from dashboard_scraper.model.dates import Window, month_of
from dashboard_scraper.model.doubts import doubts_in
from dashboard_scraper.model.figures import added, picker, values_of
from dashboard_scraper.model.listing import listed_days
from dashboard_scraper.model.metrics import DETAILED
from dashboard_scraper.model.reconciliation import Rules, Verdict
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.people import person_key
from dashboard_scraper.settings.groups import LAKE_PREFIX
from dashboard_scraper.store import LedgerDay, Reader, Store
from dashboard_scraper.store.empty_days import usage_sums
from dashboard_scraper.store.rows import digest_of, sum_columns

try:
    import pyarrow as pa
    import pyarrow.parquet

    from dashboard_scraper.exports.arrow_days import (
        FRESHNESS,
        DayContents,
        user_days,
    )
    from dashboard_scraper.exports.lake_costs import CostsOfDays
    from dashboard_scraper.store.lake.commits import LakeDay, MadeDay, made_day, prepare, put
    from dashboard_scraper.store.lake.expiry import expire, files_of
    from dashboard_scraper.store.lake.place import Lake, folder_of, opened
    from dashboard_scraper.store.lake.state import Contents, are_whole, contents_of_rows, totals_in
    from dashboard_scraper.store.lake.tables import (
        CONTENT,
        CREDIT_DAYS,
        EDITOR_LANGUAGE_DAYS,
        PSEUDONYMS,
        USAGE,
        LakeTable,
    )
except ImportError:
    raise UsageError(
        f"Iceberg needs libraries that are not installed: {how_to_install('iceberg')}"
    ) from None

logger = logging.getLogger(__name__)

_MARKED = "every day is written; its rows and its totals say so"
_FOREVER = datetime.max.replace(tzinfo=UTC)
_detailed_in = picker(DETAILED)


def export_days(
    store: Store, export: DailyExport, url: str, rules: Rules, expire_before: datetime | None = None
) -> tuple[str, Verdict]:
    """Bring the window's days in the lake up to date with the store. Then remove snapshots from
    before `expire_before`.

    Returns the place and the verdict on the days' doubts. Days that are no longer stored are
    removed. Raises DaysMissing, after writing the others, if days are not in the store.
    """
    folder = folder_of(url)
    if folder is not None:
        make_folder(folder, export.outputs.mode)
    with (
        new_files_get(export.outputs.mode),
        opened(url, OutputFailed) as lake,
        store.reading() as reader,
    ):
        usage, costs = _UsageOfDays(reader, export), CostsOfDays(reader, export)
        _write(lake, export, (usage, costs))
        if expire_before is not None:
            expire(lake, expire_before)
        if costs.stored.expected and costs.stored.missing:
            logger.warning(
                "%s: the store has no costs, so the lake has none either",
                listed_days(costs.stored.missing),
            )
        missing = [day for day in export.window.days() if day not in usage.stored]
        advice = advice_of(reader, export.source)
        doubts = doubts_in(usage.stored.values(), export.tolerance)
    summarise(export.window, missing, advice)
    return lake.shown, rules.verdict_on(doubts, _MARKED, costs=costs.stored.unreconciled)


def days_in(path: Path) -> set[tuple[str, date]]:
    """The source and day of each row of a lake's file."""
    keys = pyarrow.parquet.read_table(path, columns=["source", "day"], partitioning=None)
    return set(zip(*(keys.column(name).to_pylist() for name in ("source", "day")), strict=True))


def rewrite_days(
    store: Store, folder: Path, days: Collection[date], export: DailyExport
) -> set[Path]:
    """Bring some days of the export's window up to date in the lake in `folder`, and remove its
    earlier states. Returns the files that the lake has afterwards.
    """
    with (
        new_files_get(export.outputs.mode),
        opened(f"{LAKE_PREFIX}/{folder}", OutputFailed) as lake,
        store.reading() as reader,
    ):
        _write(lake, export, (_UsageOfDays(reader, export), CostsOfDays(reader, export)), days)
        expire(lake, _FOREVER)  # also the states between the commits above
        has = {os.path.realpath(name) for name in files_of(lake)}
    return {path for path in folder.rglob("*.parquet") if os.path.realpath(path) in has}


def _write(
    lake: Lake, export: DailyExport, parts: Iterable[_Days], only: Collection[date] | None = None
) -> None:
    """Commit what changed, month by month; with `only`, just these days."""
    prepare(lake)
    for days in parts:
        _write_group(lake, export, days, only)


def _write_group(
    lake: Lake, export: DailyExport, days: _Days, only: Collection[date] | None
) -> None:
    window, source, group = export.window, export.source, days.group
    totals = totals_in(lake, group, source, window)
    there = contents_of_rows(lake, group, source, window)
    written: list[date] = []
    for month in _months(window):
        changed = [
            change
            for day in month.days()
            if (only is None or day in only)
            and (change := _change(days, day, totals.get(day), there))
        ]
        if changed:
            put(lake, group, source, changed)
        written += (each.day for each in changed if each.content and each.totals is None)
        gone = [each.day for each in changed if each.content is None]
        if gone:
            logger.warning(
                "%s: removed the %s of %s, which the store does not have",
                lake.shown,
                days.title,
                listed_days(gone),
            )
    logger.info(
        "%s: %s of %d of %d days written",
        lake.shown,
        days.title,
        len(written),
        len(days.contents),
    )


def _change(
    days: _Days,
    day: date,
    totals: Mapping[str, Any] | None,
    there: Mapping[str, Contents],
) -> LakeDay | None:
    """The change to make to a day of the window, if any."""
    content, make = days.contents.get(day), partial(days.made, day)
    found = {name: contents.get(day, {}) for name, contents in there.items()}
    if content is None:
        nothing = totals is None and not any(found.values())
        return None if nothing else LakeDay(day, None, make)
    if (
        totals is None
        or totals[CONTENT] != content
        or not are_whole(days.group, totals, found)  # of an interrupted run, or of another program
    ):
        return LakeDay(day, content, make)
    fresh = {name: days.totals[day][name] for name in days.freshness}
    if totals == {**totals, **fresh}:
        return None
    return LakeDay(day, content, make, {**totals, **fresh})


class _UsageOfDays:
    """Users, details and totals. `totals` are the ledger's rows; their `freshness` columns may
    change while the content stays the same.
    """

    group = USAGE
    freshness = FRESHNESS
    title = "usage"

    def __init__(self, reader: Reader, export: DailyExport) -> None:
        self._reader = reader
        self._export = export
        contents = DayContents(export.audience, export.tolerance, reader.forgets)
        self.stored = reader.ledger(export.source, export.window)
        self.totals = reader.ledger_rows(export.source, export.window)
        self.contents = {day: contents.of(row) for day, row in self.totals.items()}

    def made(self, day: date) -> MadeDay:
        """The rows of a day, read from the store."""
        row, audience = self.stored[day], self._export.audience
        users = self._reader.day(row).users
        shown = audience.shown(users)
        content = self.contents[day]
        totals = {**self.totals[day], PSEUDONYMS: audience.anonymous}
        if audience.anonymous or shown != users:
            totals |= _totals_of(row.source, DayUsage(row.day, shown))
        names = _Names(audience, users, shown)
        rows = (
            user_days(row, shown, audience, self._export.tolerance),
            self._editor_languages(row, names),
            self._credits(row, names),
        )
        return made_day(self.group, totals, rows, content)

    def _editor_languages(self, row: LedgerDay, names: _Names) -> pa.Table:
        usages = self._reader.editor_languages(row.source, row.day) if row.editor_language else []
        values = (
            ((each.user, each.editor, each.language), _detailed_in(values_of(each.figures)))
            for each in usages
        )
        return _detail_rows(EDITOR_LANGUAGE_DAYS, row, names, values)

    def _credits(self, row: LedgerDay, names: _Names) -> pa.Table:
        credits_of = self._reader.credits_of(row.source, row.day) if row.credits else {}
        values = (((user,), (consumed,)) for user, consumed in credits_of.items())
        return _detail_rows(CREDIT_DAYS, row, names, values)


_Days = _UsageOfDays | CostsOfDays


def _months(window: Window) -> Iterator[Window]:
    """The part of the window in each month."""
    start = window.start
    while start <= window.end:
        end = min(month_of(start).end, window.end)
        yield Window(start, end)
        if end == window.end:
            return
        start = date.fromordinal(end.toordinal() + 1)


def _totals_of(source: str, shown: DayUsage) -> dict[str, Any]:
    """What the ledger would have with only these users. The differences from the tenant's own
    figures stay: a new comparison would count users who are left out as a difference.
    """
    return {
        **sum_columns(usage_sums(source, shown.users)),
        "users": len(shown.users),
        "active_users": len(shown.active),
        "digest": digest_of(shown),
    }


class _Names:
    """The names under which a day's details are shown: the same as its users'."""

    def __init__(
        self, audience: Audience, users: Iterable[UserUsage], shown: Iterable[UserUsage]
    ) -> None:
        self._audience = audience
        key = audience.people.key
        self._shown = {} if audience.anonymous else {key(user.user): user.user for user in shown}
        self._left_out = audience.left_out(users)

    def of(self, user: str) -> str | None:
        """The name to show; None if outputs leave the account out."""
        if person_key(user) in self._left_out:
            return None
        if self._audience.anonymous:
            return self._audience.rename(user)
        return self._shown.get(self._audience.people.key(user), user)

    def person_of(self, name: str) -> str:
        """The person of a name that `of` returned."""
        return self._audience.person_of_shown(name)


def _detail_rows(
    kind: LakeTable,
    row: LedgerDay,
    names: _Names,
    values: Iterable[tuple[tuple[str, ...], tuple[Any, ...]]],
) -> pa.Table:
    """The rows of details by user and place; those of a person's spellings are added up."""
    found: dict[tuple[str, ...], tuple[Any, ...]] = {}
    for (user, *place), numbers in values:
        name = names.of(user)
        if name is not None:
            key = (name, *place)
            before = found.get(key)
            found[key] = numbers if before is None else tuple(map(_sum, before, numbers))
    schema = pa.schema([field for field in kind.arrow.schema if field.name != CONTENT])
    rows = [
        (row.source, row.day, *key, *numbers, names.person_of(key[0]))
        for key, numbers in sorted(found.items(), key=lambda item: item[0])
    ]
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(c, field.type) for c, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _sum(left: Any, right: Any) -> Any:
    return added((left, right))
