"""Why costs changed: the difference of two periods, taken apart so that the parts sum exactly.

All amounts are of one metric. Who is one person, and under which name, has been decided before.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple, TypeVar

import msgspec

from dashboard_scraper.model.costs import Account
from dashboard_scraper.model.dates import Window, is_weekend
from dashboard_scraper.model.money import ZERO, difference, exact_sum

_MODEL = "MODEL"  # the source's resource type for a model
_SPIKE = 4
"""One day is the cause if it makes up at least a quarter of the largest difference of any person
and model: of a change that lasts a week, each working day makes up a fifth.
"""

_MOST_PERCENT = 999


class Payer(NamedTuple):
    """Who caused a cost, under the name that outputs show."""

    name: str
    account: Account


class Resource(NamedTuple):
    """What was consumed, in the source's own words."""

    type: str
    name: str

    @property
    def label(self) -> str:
        """A model's name; for anything else, the name with its type."""
        return self.name if self.type == _MODEL else f"{self.name} ({self.type.lower()})".strip()


Cell = tuple[Payer, Resource]
Amounts = Mapping[date, Decimal]
"""Amounts by day; 0 on days that are not in it."""


class Spending(msgspec.Struct, frozen=True):
    """What was spent on the `days` of a period; other days of its window do not count."""

    window: Window
    days: Sequence[date]
    cells: Mapping[Cell, Amounts]


class Change(msgspec.Struct, frozen=True):
    """A part of the difference. `account` is set if the part is a person's."""

    name: str
    before: Decimal
    now: Decimal
    account: Account | None = None

    @property
    def difference(self) -> Decimal:
        """What this part adds, exact; below zero for a fall."""
        return difference(self.now, self.before)


class DayPair(msgspec.Struct, frozen=True):
    """A day, and the day of the period before with which it is compared. If one period is longer,
    its last days are compared with none.
    """

    now: date | None
    before: date | None

    @property
    def label(self) -> str:
        """Both days, the later period's first."""
        if self.now is None:
            return f"- / {self.before}"
        return f"{self.now} / {self.before or '-'}"


class Cause(msgspec.Struct, frozen=True):
    """The largest single part of the difference: one person's cost of one model, on one `day` or
    (None) in the whole period.

    `usual` is what a day costs in the other period: the lower median of its working days or of its
    weekends. For a whole period it is the other period's amount. `in_before` says that the day is
    in the period before, whose spike makes the later period look low.
    """

    payer: Payer
    resource: Resource
    day: date | None
    amount: Decimal
    usual: Decimal
    in_before: bool = False

    @property
    def difference(self) -> Decimal:
        """What it adds to the difference of the periods."""
        excess = difference(self.amount, self.usual)
        return difference(ZERO, excess) if self.in_before else excess


class Explanation(msgspec.Struct, frozen=True):
    """A difference, its largest cause, and its parts by kind, the largest first. Each kind's parts
    sum exactly to the `whole`. `cause` is None if no person's cost changed.
    """

    now: Window
    before: Window
    whole: Change
    cause: Cause | None
    parts: Mapping[str, Sequence[Change]] = {}


PERSON, TEAM, MODEL, DAY = KINDS = ("person", "team", "model", "day")
"""The kinds of parts into which a difference is taken apart."""


def day_pairs(now: Window, before: Window) -> list[DayPair]:
    """The days to compare: the first with the first, the second with the second, and so on."""
    return [DayPair(*pair) for pair in itertools.zip_longest(now.days(), before.days())]


def explain(
    now: Spending, before: Spending, team_of: Callable[[Payer], str] | None = None
) -> Explanation:
    """Take the difference apart; by team only if teams are known."""
    sums = [_sums_of(now), _sums_of(before)]
    parts = {
        PERSON: _parts(sums, lambda cell: cell[0], lambda payer: payer.name, _account_of),
        MODEL: _parts(sums, lambda cell: cell[1], lambda resource: resource.label),
        DAY: _by_day(now, before),
    }
    if team_of is not None:
        parts[TEAM] = _parts(sums, lambda cell: team_of(cell[0]), lambda team: team)
    spent = [exact_sum(each.values()) for each in sums]
    whole = Change("", before=spent[1], now=spent[0])
    ordered = {kind: _largest_first(parts[kind]) for kind in KINDS if kind in parts}
    return Explanation(now.window, before.window, whole, _cause(now, before, sums), ordered)


def share_of(part: Decimal, whole: Decimal) -> int | None:
    """A part's share of a difference in whole percent, halves away from zero; None for a part that
    works against the difference, and if there is no difference.
    """
    if not part or not whole or (part < 0) != (whole < 0):
        return None
    (above, below), (over, under) = part.as_integer_ratio(), whole.as_integer_ratio()
    numerator, denominator = 100 * abs(above) * under, below * abs(over)
    return (2 * numerator + denominator) // (2 * denominator)


def share_text(part: Decimal, whole: Decimal) -> str:
    """A part's share in words; rounding never makes it look like nothing or like the whole."""
    percent = share_of(part, whole)
    if percent is None:
        return ""
    if percent == 0:
        return "<1%"
    if percent > _MOST_PERCENT:
        return f">{_MOST_PERCENT}%"
    return ">99%" if percent == 100 and part.copy_abs() < whole.copy_abs() else f"{percent}%"


def usual_of(amounts: Amounts, days: Iterable[date], like: date) -> Decimal:
    """The lower median of the days that are of the same kind as `like`: working days or weekends.

    If there are no days of its kind, the lower median of all days; 0 without any day.
    """
    listed = list(days)
    same = [day for day in listed if is_weekend(day) == is_weekend(like)] or listed
    values = sorted(amounts.get(day, ZERO) for day in same)
    return values[(len(values) - 1) // 2] if values else ZERO


_Key = TypeVar("_Key", bound=Hashable)
_Sums = Mapping[Cell, Decimal]


def _sums_of(spending: Spending) -> dict[Cell, Decimal]:
    return {cell: exact_sum(amounts.values()) for cell, amounts in spending.cells.items()}


def _account_of(payer: Payer) -> Account:
    return payer.account


def _parts(
    sums: Sequence[_Sums],
    key_of: Callable[[Cell], _Key],
    name_of: Callable[[_Key], str],
    account_of: Callable[[_Key], Account | None] = lambda _: None,
) -> list[Change]:
    """The parts of the difference: sums of now and before, grouped by a key of their cells."""
    grouped: list[dict[_Key, list[Decimal]]] = [{}, {}]
    for groups, each in zip(grouped, sums, strict=True):
        for cell, amount in each.items():
            groups.setdefault(key_of(cell), []).append(amount)
    now, before = ({key: exact_sum(some) for key, some in groups.items()} for groups in grouped)
    return [
        Change(name_of(key), before.get(key, ZERO), now.get(key, ZERO), account_of(key))
        for key in now | before
    ]


def _by_day(now: Spending, before: Spending) -> list[Change]:
    pairs = day_pairs(now.window, before.window)
    sums = [_sums_by_day(each) for each in (now, before)]
    return [
        Change(pair.label, _amount(sums[1], pair.before), _amount(sums[0], pair.now))
        for pair in pairs
        if pair.now in sums[0] or pair.before in sums[1]
    ]


def _sums_by_day(spending: Spending) -> dict[date, Decimal]:
    """The sum of each day that counts."""
    found: dict[date, list[Decimal]] = {day: [] for day in spending.days}
    for amounts in spending.cells.values():
        for day, amount in amounts.items():
            found[day].append(amount)
    return {day: exact_sum(some) for day, some in found.items()}


def _amount(sums: Amounts, day: date | None) -> Decimal:
    return sums.get(day, ZERO) if day else ZERO


def _largest_first(parts: Iterable[Change]) -> list[Change]:
    by_name = sorted(parts, key=lambda part: part.name)
    return sorted(by_name, key=lambda part: part.difference.copy_abs(), reverse=True)


def _cause(now: Spending, before: Spending, sums: Sequence[_Sums]) -> Cause | None:
    cells = sorted(now.cells.keys() | before.cells.keys(), key=lambda cell: (cell[0][0], cell[1]))
    lasting = (
        Cause(*cell, None, sums[0].get(cell, ZERO), sums[1].get(cell, ZERO)) for cell in cells
    )
    most = max(lasting, key=_size, default=None)
    spikes = (spike for cell in cells for spike in _spikes(cell, now, before))
    spike = max(spikes, key=_size, default=None)
    if spike and (most is None or exact_sum([_size(spike)] * _SPIKE) >= _size(most)):
        return spike
    return most if most and most.difference else None


def _size(cause: Cause) -> Decimal:
    return cause.difference.copy_abs()


def _spikes(cell: Cell, now: Spending, before: Spending) -> Iterator[Cause]:
    """What each day adds, compared with the usual day of the other period."""
    for this, other in ((now, before), (before, now)):
        here, there = this.cells.get(cell, {}), other.cells.get(cell, {})
        usual: dict[bool, Decimal] = {}
        for day in this.days:
            kind = is_weekend(day)
            if kind not in usual:
                usual[kind] = usual_of(there, other.days, day)
            amount = here.get(day, ZERO)
            if amount != usual[kind]:
                yield Cause(*cell, day, amount, usual[kind], in_before=this is before)
