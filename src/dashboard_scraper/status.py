"""What the store knows of its days, for people and for programs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta

import msgspec

from dashboard_scraper.checks import Difference
from dashboard_scraper.date_utils import (
    Window,
    end_of_day,
    iso_utc,
    last_complete_days,
    newest_over,
    utc_day,
)
from dashboard_scraper.errors import Stale
from dashboard_scraper.settling import is_settled
from dashboard_scraper.store import DetailStatus, LedgerDay, Reader, Status


class Unreconciled(msgspec.Struct):
    """A day whose users do not add up to the tenant's own figures."""

    day: date
    differences: list[Difference]


class SourceStatus(msgspec.Struct):
    """The days of one source, from the first that was fetched to the newest that is over.

    `newest_over` is the newest day that is kept and had ended, `rows` the number of user-days.
    `unsettled` days may still grow, `unchecked` ones came without the tenant's figures, and of
    `forgotten` ones a user was removed. `editor_language` and `credits` count the days that have
    such figures; those of `editor_language_unreconciled` do not add up to the users' figures.
    `last_success` is when a run last got all that it wanted.
    """

    source: str
    first: date
    last: date
    newest_over: date | None
    rows: int
    complete: int
    empty: list[date]
    missing: list[date]
    unsettled: list[date]
    unchecked: list[date]
    unreconciled: list[Unreconciled]
    forgotten: list[date]
    editor_language: int
    editor_language_unreconciled: list[date]
    credits: int
    last_success: datetime | None


class StoreStatus(msgspec.Struct):
    """All that `status` tells."""

    store: str
    sources: list[SourceStatus]


_RULER = "1   5    10   15   20   25   30"
_LEGEND = "# complete   o empty   . missing   ~ may still grow   ? not checked   ! does not add up"


def status_of(reader: Reader, place: str, settle_days: int, now: datetime) -> StoreStatus:
    """What there is at the moment."""
    return StoreStatus(
        place,
        [
            _source_status(reader, source, reader.ledger(source), settle_days, now)
            for source in reader.sources()
        ],
    )


def _source_status(
    reader: Reader,
    source: str,
    kept: Mapping[date, LedgerDay],
    settle_days: int,
    now: datetime,
) -> SourceStatus:
    first, last = min(kept), max(kept)
    span = Window(first, max(last, last_complete_days(1, utc_day(now)).end))
    rows = kept.values()
    return SourceStatus(
        source=source,
        first=first,
        last=last,
        newest_over=newest_over(kept, utc_day(now)),
        rows=sum(row.users for row in rows),
        complete=sum(row.status is Status.COMPLETE for row in rows),
        empty=[row.day for row in rows if row.status is Status.EMPTY],
        missing=[day for day in span.days() if day not in kept],
        unsettled=[row.day for row in rows if not is_settled(row, settle_days, now)],
        unchecked=[row.day for row in rows if row.totals is None],
        unreconciled=[Unreconciled(row.day, row.unreconciled) for row in rows if row.unreconciled],
        forgotten=[row.day for row in rows if row.forgotten],
        editor_language=sum(row.editor_language is not None for row in rows),
        editor_language_unreconciled=[
            row.day for row in rows if row.editor_language is DetailStatus.UNRECONCILED
        ],
        credits=sum(row.credits is not None for row in rows),
        last_success=reader.last_success(source),
    )


def as_text(status: StoreStatus) -> str:
    """For people; every line ends with a line break."""
    lines = [f"store: {status.store}"]
    if not status.sources:
        lines.append("no day has been fetched yet")
    for source in status.sources:
        success = iso_utc(source.last_success) if source.last_success else "never"
        lines += [
            "",
            f"{source.source}: {source.first} to {source.last}",
            f"  {source.complete} complete, {len(source.empty)} empty,"
            f" {len(source.missing)} missing",
            f"  last run that got everything: {success}",
            f"  {len(source.unreconciled)} days do not add up",
        ]
        lines += [
            f"    {each.day}: {difference}"
            for each in source.unreconciled
            for difference in each.differences
        ]
        lines += _details(source)
        if source.forgotten:
            lines.append(f"  {len(source.forgotten)} days lack a user who was removed")
        lines += ["", f"           {_RULER}", *(f"  {line}" for line in _calendar(source))]
    if status.sources:
        lines += ["", f"  {_LEGEND}"]
    return "".join(f"{line}\n" for line in lines)


def _details(source: SourceStatus) -> Iterator[str]:
    """Of figures that not every source has, and not every run fetches."""
    if source.editor_language:
        yield f"  {source.editor_language} days have editors and languages"
    if source.editor_language_unreconciled:
        days = ", ".join(map(str, source.editor_language_unreconciled))
        yield f"    they do not add up to the users' figures: {days}"
    if source.credits:
        yield f"  {source.credits} days have credits"


def _calendar(source: SourceStatus) -> Iterator[str]:
    """One line a month, with one character a day."""
    marks = dict.fromkeys(source.empty, "o")
    marks |= dict.fromkeys(source.unsettled, "~") | dict.fromkeys(source.unchecked, "?")
    marks |= dict.fromkeys([each.day for each in source.unreconciled], "!")
    marks |= dict.fromkeys(source.missing, ".")
    end = max([source.last, *source.missing])
    for month, days in itertools.groupby(Window(source.first, end).days(), _month_of):
        listed = list(days)
        line = "".join(marks.get(day, "#") for day in listed)
        yield f"{month}  {' ' * (listed[0].day - 1)}{line}"


def _month_of(day: date) -> str:
    return f"{day:%Y-%m}"


def raise_if_stale(
    status: StoreStatus, source_name: str, max_age: timedelta, now: datetime
) -> None:
    """Stale where the newest day of the source ended longer ago, or where there is none.

    A day on which nobody was active counts: it was fetched, and is as whole as it can be.
    """
    for source in status.sources:
        if source.source == source_name:
            age = now - end_of_day(source.last)
            if age > max_age:
                raise Stale(
                    f"{source_name}: the newest day, {source.last}, ended"
                    f" {age.total_seconds() / 3600:.0f} hours ago"
                )
            return
    others = "".join(f"; there are days of {source.source}" for source in status.sources)
    raise Stale(f"{status.store}: no day has been fetched yet from {source_name}{others}")
