"""The status of the store's days, and their freshness, for people and for programs."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta

import msgspec

from dashboard_scraper.errors import Stale
from dashboard_scraper.model.checks import Difference
from dashboard_scraper.model.dates import (
    Window,
    end_of_day,
    iso_utc,
    last_complete_days,
    utc_day,
)
from dashboard_scraper.model.doubts import Doubt, DoubtKind, doubts_in
from dashboard_scraper.model.listing import NAMED_AT_MOST, listed_days, many
from dashboard_scraper.model.tolerance import EXACT, Tolerance
from dashboard_scraper.store import DetailStatus, LedgerDay, Reader, Status
from dashboard_scraper.store.cost_status import CostStatus, cost_status, lines_of
from dashboard_scraper.store.runs import Run
from dashboard_scraper.store.settling import Settling, is_in_future, is_settled, was_over

logger = logging.getLogger(__name__)


class Unreconciled(msgspec.Struct):
    """A day whose users' sums differ from the tenant's own figures by more than the tolerance."""

    day: date
    differences: list[Difference]


class Doubtful(msgspec.Struct):
    """A day whose figures are in doubt, and the reason in words."""

    day: date
    reason: str


class SourceStatus(msgspec.Struct):
    """The days of one source, from the first that was fetched to the newest completed one.

    `last` may be today. Days after it are in `future`, and neither `complete` nor `empty`: they
    were stored while a clock was ahead. The `fetched_at` of days in `fetched_in_future` is in the
    future. `newest_over` is the newest day that had ended when it was fetched, as far as clocks
    were right: the freshness is measured from its end. `rows` is the number of user-days. `missing`
    days should be stored by now: days that the source is not expected to have yet are not among
    them. `unsettled` days may still grow, `unchecked` days came without the tenant's figures, and
    from `forgotten` days a user was removed. `editor_language` and `credits` count the days that
    have such figures; on the days in `editor_language_unreconciled`, the figures do not add up to
    the users' figures. `costs` is None if no day has costs. `last_success` is when a run last
    fetched everything that it should have, without a day in doubt.
    """

    source: str
    first: date
    last: date
    newest_over: date | None
    rows: int
    complete: int
    future: list[date]
    fetched_in_future: list[date]
    empty: list[date]
    missing: list[date]
    unsettled: list[date]
    unchecked: list[date]
    unreconciled: list[Unreconciled]
    suspicious: list[Doubtful]
    held: list[Doubtful]
    forgotten: list[date]
    editor_language: int
    editor_language_unreconciled: list[date]
    credits: int
    costs: CostStatus | None
    last_success: datetime | None

    def days_in_doubt(self) -> dict[DoubtKind, list[date]]:
        """The days in doubt by kind of doubt, the worst kind first."""
        return {
            DoubtKind.UNRECONCILED: [each.day for each in self.unreconciled],
            DoubtKind.SUSPICIOUS: [each.day for each in self.suspicious],
            DoubtKind.HELD: [each.day for each in self.held],
        }


class StoreStatus(msgspec.Struct):
    """The report of `status`; `runs` has the newest ended run of each source."""

    store: str
    sources: list[SourceStatus]
    runs: list[Run] = []


_RULER = "1   5    10   15   20   25   30"
_MONTHS_AT_MOST = 24
_DAY_IS = {
    DoubtKind.UNRECONCILED: "does not add up",
    DoubtKind.SUSPICIOUS: "suspicious",
    DoubtKind.HELD: "newer figures are held",
}
_DAYS_ARE = {
    DoubtKind.UNRECONCILED: "days that do not add up",
    DoubtKind.SUSPICIOUS: "days that are suspicious",
    DoubtKind.HELD: "days of which newer figures are held",
}
_LEGEND = (
    "# complete   o empty   . missing   ~ may still grow   ? not checked",
    "   ".join(f"{kind.sign} {words}" for kind, words in _DAY_IS.items()),
)


def status_of(
    reader: Reader, place: str, settling: Settling, now: datetime, tolerance: Tolerance = EXACT
) -> StoreStatus:
    """The status of every source in the store."""
    return StoreStatus(
        place,
        [
            _source_status(reader, source, reader.ledger(source), settling, now, tolerance)
            for source in reader.sources()
        ],
        reader.newest_runs(),
    )


def _source_status(
    reader: Reader,
    source: str,
    ledger: Mapping[date, LedgerDay],
    settling: Settling,
    now: datetime,
    tolerance: Tolerance,
) -> SourceStatus:
    rows, today, lag = ledger.values(), utc_day(now), settling.lag_of(source)
    doubts = doubts_in(rows, tolerance)
    first = min(ledger)
    last = max((day for day in ledger if day <= today), default=max(ledger))
    return SourceStatus(
        source=source,
        first=first,
        last=last,
        newest_over=max((row.day for row in rows if was_over(row, now)), default=None),
        rows=sum(row.users for row in rows),
        complete=sum(row.status is Status.COMPLETE for row in rows if row.day <= last),
        future=[day for day in ledger if day > today],
        fetched_in_future=[row.day for row in rows if is_in_future(row, now)],
        empty=[row.day for row in rows if row.status is Status.EMPTY and row.day <= last],
        missing=[day for day in _expected_days(first, today, lag) if day not in ledger],
        unsettled=[row.day for row in rows if not is_settled(row, settling.counts, now)],
        unchecked=[row.day for row in rows if row.totals is None],
        unreconciled=[
            Unreconciled(each.window.start, [*each.differences])
            for each in doubts
            if each.kind is DoubtKind.UNRECONCILED
        ],
        suspicious=_of_kind(doubts, DoubtKind.SUSPICIOUS),
        held=_of_kind(doubts, DoubtKind.HELD),
        forgotten=[row.day for row in rows if row.forgotten],
        editor_language=sum(row.editor_language is not None for row in rows),
        editor_language_unreconciled=[
            row.day for row in rows if row.editor_language is DetailStatus.UNRECONCILED
        ],
        credits=sum(row.credits is not None for row in rows),
        costs=cost_status(reader, source, ledger, settling.costs, now),
        last_success=reader.last_success(source),
    )


def _of_kind(doubts: Iterable[Doubt], kind: DoubtKind) -> list[Doubtful]:
    return [Doubtful(each.window.start, each.words) for each in doubts if each.kind is kind]


def _expected_days(first: date, today: date, lag: int) -> Iterator[date]:
    """The days up to yesterday, or up to the newest that the source is expected to have."""
    newest = last_complete_days(1, today - timedelta(lag)).end
    return Window(first, newest).days() if first <= newest else iter(())


def as_text(status: StoreStatus) -> str:
    """The report for people; every line ends with a line break."""
    lines = [f"store: {status.store}"]
    if not status.sources:
        lines.append("no day has been fetched yet")
    lines += [
        f"last run for {run.source}, {iso_utc(run.started_at)}: {run.ending}" for run in status.runs
    ]
    for source in status.sources:
        success = iso_utc(source.last_success) if source.last_success else "never"
        lines += [
            "",
            f"{source.source}: {source.first} to {source.last}",
            f"  {source.complete} complete, {len(source.empty)} empty,"
            f" {len(source.missing)} missing",
            f"  last run that got everything: {success}",
            f"  {many(len(source.unreconciled), 'day does', 'days do')} not add up",
        ]
        lines += _newest(
            [
                f"    {each.day}: {difference}"
                for each in source.unreconciled
                for difference in each.differences
            ]
        )
        lines += _reasons(DoubtKind.SUSPICIOUS, source.suspicious)
        lines += _reasons(DoubtKind.HELD, source.held)
        lines += _details(source)
        if source.forgotten:
            lines.append(
                f"  {many(len(source.forgotten), 'day lacks', 'days lack')} a user who was removed"
            )
        lines += [f"  {remark}" for remark in _clock_remarks(source)]
        lines += ["", f"           {_RULER}", *(f"  {line}" for line in _calendar(source))]
    if status.sources:
        lines += ["", *(f"  {line}" for line in _LEGEND)]
    return "".join(f"{line}\n" for line in lines)


def _reasons(kind: DoubtKind, days: Sequence[Doubtful]) -> list[str]:
    if not days:
        return []
    reasons = _newest([f"    {each.day}: {each.reason}" for each in days])
    return [f"  {many(len(days), 'day')}: {_DAY_IS[kind]}", *reasons]


def _details(source: SourceStatus) -> Iterator[str]:
    """Lines about figures that only some sources have, and only some runs fetch."""
    if source.editor_language:
        yield f"  {many(source.editor_language, 'day has', 'days have')} editors and languages"
    if source.editor_language_unreconciled:
        days = listed_days(source.editor_language_unreconciled)
        yield f"    they do not add up to the users' figures: {days}"
    if source.credits:
        yield f"  {many(source.credits, 'day has', 'days have')} credits"
    if source.costs:
        yield from lines_of(source.costs)


def _newest(lines: list[str]) -> list[str]:
    more = len(lines) - NAMED_AT_MOST
    if more <= 0:
        return lines
    return [f"    {more:,} more, which --json has; the newest are:", *lines[more:]]


def _clock_remarks(source: SourceStatus) -> Iterator[str]:
    """Lines about days that were stored while a clock was wrong."""
    if source.future:
        yield (
            f"{many(len(source.future), 'day')} in the future, not counted:"
            f" {listed_days(source.future)}; a clock was ahead when they were fetched"
        )
    if source.fetched_in_future:
        yield (
            f"{many(len(source.fetched_in_future), 'day')} fetched at a moment still to come,"
            f" not counted: {listed_days(source.fetched_in_future)}; a clock was ahead, or"
            " this one is behind"
        )


def _calendar(source: SourceStatus) -> Iterator[str]:
    """One line per month with one character per day, for the newest months."""
    marks = dict.fromkeys(source.empty, "o")
    marks |= dict.fromkeys(source.unsettled, "~") | dict.fromkeys(source.unchecked, "?")
    for kind, days in reversed(source.days_in_doubt().items()):  # the worst kind overwrites others
        marks |= dict.fromkeys(days, kind.sign)
    marks |= dict.fromkeys(source.missing, ".")
    end = max([source.last, *source.missing])
    months = [
        (month, list(days))
        for month, days in itertools.groupby(Window(source.first, end).days(), _month_of)
    ]
    earlier = months[:-_MONTHS_AT_MOST]
    if earlier:
        yield f"({len(earlier)} months from {earlier[0][0]} to {earlier[-1][0]}: see --json)"
    for month, days in months[-_MONTHS_AT_MOST:]:
        line = "".join(marks.get(day, "#") for day in days)
        yield f"{month}  {' ' * (days[0].day - 1)}{line}"


def _month_of(day: date) -> str:
    return f"{day:%Y-%m}"


def raise_if_stale(
    status: StoreStatus, source_name: str, max_age: timedelta, now: datetime, *, costs: bool
) -> None:
    """Raise Stale if the source's newest day ended longer than `max_age` ago, or there is none;
    with `costs`, also if its newest day with costs did (if the store has any).

    An empty day counts: it was fetched, and nobody was active. A day that had not ended when it was
    fetched does not count, nor does a day whose fetch is in the future. Logs a warning for days
    within `max_age` that are in doubt, and for days that were stored while a clock was wrong.
    """
    source = next((each for each in status.sources if each.source == source_name), None)
    if source is None:
        others = "".join(f"; there are days of {each.source}" for each in status.sources)
        raise Stale(f"{status.store}: no day has been fetched yet from {source_name}{others}")
    for remark in _clock_remarks(source):
        logger.warning("%s: %s", source_name, remark)
    for kind, days in source.days_in_doubt().items():
        if new := [day for day in days if now - end_of_day(day) <= max_age]:
            logger.warning("%s: %s: %s", source_name, _DAYS_ARE[kind], listed_days(new))
    if source.newest_over is None:
        raise Stale(f"{source_name}: every stored day was fetched before it had ended")
    age = now - end_of_day(source.newest_over)
    if age > max_age:
        newer = "; newer ones do not count" if source.last > source.newest_over else ""
        raise Stale(
            f"{source_name}: the newest day, {source.newest_over}, ended"
            f" {age.total_seconds() / 3600:.0f} hours ago{newer}"
        )
    if costs and source.costs:
        source.costs.raise_if_stale(source_name, max_age, now)
