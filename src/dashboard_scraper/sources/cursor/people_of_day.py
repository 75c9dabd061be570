"""One day's users, from the rows of their accounts; a person may have two with one address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.columns import sum_of
from dashboard_scraper.model.figures import accept_rate, maker
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.metrics import (
    ACCEPT_RATE,
    ACCEPTED,
    ACTIVE_DAYS,
    SHOWN,
    TOTALS,
    USER_COUNT,
    Totals,
)
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.sources.cursor.daily_usage import AccountDay
from dashboard_scraper.sources.cursor.fields import COUNTED, EMAIL, IS_ACTIVE, SUMMED, TEXTS
from dashboard_scraper.sources.cursor.paths import DAILY_USAGE

_counts_of = maker(tuple(COUNTED))
_figures_of = maker((*COUNTED, ACTIVE_DAYS, ACCEPT_RATE))
_SHOWN, _ACCEPTED = (tuple(COUNTED).index(metric) for metric in (SHOWN, ACCEPTED))
_TOTALLED = [total for total in TOTALS if total.name in {metric.name for metric in COUNTED}]


class PeopleOfDay:
    """Collects the rows of one day; the same account twice is an error."""

    def __init__(self) -> None:
        self._accounts: set[str] = set()
        self._rows: dict[str, list[AccountDay]] = {}

    def __len__(self) -> int:
        return len(self._accounts)

    @property
    def contradictions(self) -> int:
        """How many rows have counts although they say that the account was not active."""
        rows = (row for rows in self._rows.values() for row in rows)
        return sum(row.is_active is False and any(row.counts) for row in rows)

    def refuse_renamed(self) -> None:
        """ContractBroken if no row has an address, or says whether the account was active, but some
        have such values in other fields.
        """
        rows = [row for rows in self._rows.values() for row in rows]
        if all(row.name == row.account for row in rows) and any(
            "@" in f"{value}" for row in rows for value in row.extra.values()
        ):
            raise _renamed(EMAIL, "addresses")
        if all(row.is_active is None for row in rows) and any(
            isinstance(value, bool) for row in rows for value in row.extra.values()
        ):
            raise _renamed(IS_ACTIVE, "values of true or false")

    def add(self, row: AccountDay) -> None:
        """Add a row; ContractBroken if the account already has one."""
        if row.account in self._accounts:
            raise ContractBroken(
                f"{DAILY_USAGE}: the account {row.account} of {row.name} came twice for {row.day}",
                names=(row.name, row.account),
            )
        self._accounts.add(row.account)
        self._rows.setdefault(row.name, []).append(row)

    def users(self) -> list[UserUsage]:
        """One user for each person with any activity, sorted by name.

        Which people without activity are listed depends on the days that were requested together:
        somebody who joined on one of them has rows of zeros on the days before.
        """
        return [
            _user(name, self._rows[name])
            for name in sorted(self._rows)
            if any(map(_says_anything, self._rows[name]))
        ]

    def totals(self) -> Totals:
        """The sums of the counts, and the number of people who were active."""
        rows = [row for rows in self._rows.values() for row in rows]
        sums = sum_of(_counts_of(row.counts) for row in rows)
        known = {total.name: getattr(sums, total.name) for total in _TOTALLED}
        active = sum(any(map(is_active, rows)) for rows in self._rows.values())
        return {**known, USER_COUNT.name: active}


def _renamed(field: str, values: str) -> ContractBroken:
    return ContractBroken(
        f"{DAILY_USAGE}: no row has a value for {field}, but there are {values} in other fields;"
        " has it been renamed?"
    )


def is_active(row: AccountDay) -> bool:
    """Whether the source says that the account was active, or has a count that shows it."""
    return bool(row.is_active) or any(row.counts)


def _says_anything(row: AccountDay) -> bool:
    return is_active(row) or any(value for field, value in row.extra.items() if field not in TEXTS)


def _user(name: str, rows: list[AccountDay]) -> UserUsage:
    counts: Any = rows[0].counts
    if len(rows) > 1:
        counts = tuple(map(sum, zip(*(row.counts for row in rows), strict=True)))
    rate = accept_rate(counts[_SHOWN], counts[_ACCEPTED])
    active = int(any(map(is_active, rows)))
    figures = _figures_of((*counts, active, None if rate is None else round(rate, 2)))
    extra = rows[0].extra if len(rows) == 1 else _joined([row.extra for row in rows])
    return UserUsage(name, figures, dict(extra))


def _joined(extras: Sequence[Mapping[str, Cell]]) -> dict[str, Cell]:
    """The fields of several accounts together: sums of counts, unless one of them is unknown; other
    fields list their distinct values.
    """
    found: dict[str, list[Cell]] = {}
    for extra in extras:
        for name, value in extra.items():
            found.setdefault(name, []).append(value)
    return {
        name: _join(name, values)
        for name, values in found.items()
        if name not in SUMMED or len(values) == len(extras)
    }


def _join(name: str, values: list[Cell]) -> Cell:
    if name in SUMMED:
        return sum(value for value in values if isinstance(value, int))
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else ", ".join(f"{value}" for value in distinct)
