"""Judges figures that were fetched for the first time, and so have no earlier version.

They are compared with the same weekdays of earlier weeks, and with all other days. A holiday looks
like a fault here, so a single day is only marked as suspicious; but a whole window of empty or
equal days is hardly a holiday. A period in one answer is compared with its stored days.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta

from dashboard_scraper.model.checks import parts_differences
from dashboard_scraper.model.columns import sum_of
from dashboard_scraper.model.dates import DAYS_A_WEEK, Window
from dashboard_scraper.model.listing import listed
from dashboard_scraper.model.metrics import COUNTS, Figures
from dashboard_scraper.store import LedgerDay, Status
from dashboard_scraper.sync.revisions import NEGLIGIBLE, Caution, same_as_another

_WEEKS = 4
_WEEKS_AT_LEAST = 2
# Suspicious: more than the factor times the highest of these weeks, or less than the lowest divided
# by the factor; values below *_AT_LEAST vary too much to judge.
_PEOPLE_FACTOR, _PEOPLE_AT_LEAST = 3, 4
_SUM_FACTOR, _SUM_AT_LEAST = 10, 300
_DAYS_EMPTY_AT_LEAST = DAYS_A_WEEK
_DAYS_EQUAL_AT_LEAST = 3
_NAMED_AT_MOST = 3


def history_for(window: Window) -> Window:
    """The days that `doubts_of` needs for the days of the window."""
    return Window(window.start - timedelta(weeks=_WEEKS), window.end)


def doubts_of(day: date, ledger: Mapping[date, LedgerDay]) -> str | None:
    """Why a day is suspicious; `ledger` must also have the weeks before it."""
    row = ledger[day]
    doubts = []
    if twin := same_as_another(row, ledger):
        doubts.append(f"the same figures as {twin}")
    before = [ledger.get(day - timedelta(weeks=back)) for back in range(1, _WEEKS + 1)]
    usual = [each for each in before if each and not each.suspicious]
    if len(usual) >= _WEEKS_AT_LEAST:
        doubts += [*_open(row, usual), *_unusual(row, usual)]
    return listed(doubts, _NAMED_AT_MOST, "; ") if doubts else None


def active_before(day: date, ledger: Mapping[date, LedgerDay]) -> tuple[int, int] | None:
    """The fewest and the most active users on the same weekday of the weeks before; None if these
    are too few weeks, or too few people, to expect anybody to be active on the day.
    """
    before = [ledger.get(day - timedelta(weeks=back)) for back in range(1, _WEEKS + 1)]
    people = [each.active_users for each in before if each and not each.suspicious]
    if len(people) < _WEEKS_AT_LEAST or min(people) < _PEOPLE_AT_LEAST:
        return None
    return min(people), max(people)


def _unusual(row: LedgerDay, usual: Collection[LedgerDay]) -> list[str]:
    """Figures far outside the range of the same weekdays."""
    found = []
    people = [each.active_users for each in usual]
    if _is_far(row.active_users, people, _PEOPLE_FACTOR, _PEOPLE_AT_LEAST):
        found.append(_described("active users", row.active_users, people))
    if min(people) < _PEOPLE_AT_LEAST:  # sums of few people vary too much
        return found
    for metric in COUNTS:
        known = [count for each in usual if (count := each.sums[metric]) is not None]
        value = row.sums[metric]
        if value is None or len(known) < len(usual):
            continue
        if _is_far(value, known, _SUM_FACTOR, _SUM_AT_LEAST):
            found.append(_described(metric.name, value, known))
    return found


def _open(row: LedgerDay, usual: Collection[LedgerDay]) -> list[str]:
    """Totals that are not the sum of their parts, though they were on all of the other days."""
    before = [parts_differences(each.sums) for each in usual]
    return [
        f"{name} is not the sum of its parts"
        for name, difference in parts_differences(row.sums).items()
        if difference and all(each.get(name) == 0 for each in before)
    ]


def _is_far(value: int, usual: list[int], factor: int, at_least: int) -> bool:
    lowest, highest = min(usual), max(usual)
    too_low = lowest >= at_least and value * factor < lowest
    return too_low or value > factor * max(highest, at_least)


def _described(name: str, value: int, usual: list[int]) -> str:
    return (
        f"{name} {value:,}, on the same weekday of {len(usual)} weeks before {min(usual):,} to"
        f" {max(usual):,}"
    )


def without_anybody(window: Window) -> str | None:
    """Why a window in which nobody is active is implausible; None for a short one."""
    if len(window) < _DAYS_EMPTY_AT_LEAST:
        return None
    return f"nobody is active on any of the {len(window)} days from {window}"


def unlike_its_days(sums: Figures, days: Sequence[LedgerDay], caution: Caution) -> str | None:
    """Why the sums of a period are implausible, given all of its stored days; None if they are not.

    They may differ by as much as a new answer for a stored day, and a day that has not settled may
    have grown.
    """
    before = sum_of(day.sums for day in days)
    may_grow = not all(map(caution.is_settled, days))
    found = []
    for metric in COUNTS:
        value, stored = sums[metric], before[metric]
        if value is None or stored is None or (may_grow and value > stored):
            continue
        change = abs(value - stored)
        if change >= NEGLIGIBLE and change > caution.limit * stored:
            found.append(f"{metric.name} {value:,}, the stored days have {stored:,}")
    return listed(found, _NAMED_AT_MOST, "; ") or None


def implausible(window: Window, ledger: Mapping[date, LedgerDay]) -> str | None:
    """Why a whole window is implausible; None if it is not."""
    rows = [ledger[day] for day in window.days() if day in ledger]
    if len(rows) < len(window):
        return None
    if all(row.status is Status.EMPTY for row in rows):
        return without_anybody(window)
    active = [row for row in rows if row.status is not Status.EMPTY]
    twins = len(active) >= _DAYS_EQUAL_AT_LEAST and len({row.digest for row in active}) == 1
    if twins and same_as_another(active[0], ledger):
        return f"all {len(active)} days with any activity from {window} have the same figures"
    return None
