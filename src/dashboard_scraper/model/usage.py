"""The data that a source returns: figures of users, per day or per period."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from itertools import compress
from typing import Any

import msgspec

from dashboard_scraper.model.checks import Difference, closing_differences
from dashboard_scraper.model.columns import Columns, sum_of
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import Values, values_of
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.metrics import Figures, Totals

_BATCH = 1000


class OtherRecords(msgspec.Struct, frozen=True):
    """Unchanged records of another API that has the same settings: they are not user statistics."""

    records: list[dict[str, Any]]


class UserUsage(msgspec.Struct, frozen=True):
    """One user's figures for a period; for a single day, a user-day.

    `extra` has the fields that the catalogue does not know, flattened. `service` marks a service
    account; `user` is then its name. `record` is the source's record as JSON, if it is stored.
    """

    user: str
    figures: Figures
    extra: dict[str, Cell] = {}
    service: bool = False
    record: str | None = None

    @property
    def extra_json(self) -> str | None:
        """`extra` as a JSON object; None if it is empty."""
        return msgspec.json.encode(self.extra).decode() if self.extra else None


@dataclass(frozen=True)
class DayUsage:
    """A source's answer for one UTC day, with one entry per user in the source's order.

    `totals` are the tenant's own figures of the day, None if they were not requested; `record` is
    its own record as JSON, if the source has one that is stored. `as_of` is when fetching the
    answer began, if it was fetched earlier together with other days. `sums_of_nobody` are the sums
    of a day without users, if it is known which metrics the source never reports.
    """

    day: date
    users: list[UserUsage]
    totals: Totals | None = None
    record: str | None = None
    as_of: datetime | None = None
    sums_of_nobody: Figures | None = field(default=None, compare=False)

    def values(self) -> Iterator[Values]:
        """Each user's figures in the order of METRICS."""
        return (values_of(user.figures) for user in self.users)

    @cached_property
    def _summary(self) -> tuple[Figures, int, bytes]:
        """The sums, the number of people, and who was active, one after the other.

        Only some users at a time: several threads do this at once, and columns of all users would
        take as much memory as the users themselves.
        """
        sums, people, active = [], 0, b""
        for start in range(0, len(self.users), _BATCH):
            batch = self.users[start : start + _BATCH]
            columns = Columns([values_of(user.figures) for user in batch])
            sums.append(columns.sums())
            people += columns.users()
            active += columns.active()
        return sum_of(sums), people, active

    @property
    def sums(self) -> Figures:
        """The sums of the users' counts."""
        if self.sums_of_nobody is not None and not self.users:
            return self.sums_of_nobody
        return self._summary[0]

    @cached_property
    def active(self) -> list[UserUsage]:
        """The users who had activity, or may have had some; computed once for all outputs."""
        return list(compress(self.users, self._summary[2]))

    @cached_property
    def differences(self) -> list[Difference]:
        """Where the users' sums and the tenant's own figures differ."""
        return closing_differences(self.sums, self._summary[1], self.totals)


def sums_of(users: Iterable[UserUsage]) -> Figures:
    """The sums of the users' counts; an unknown count makes its sum unknown."""
    return sum_of(user.figures for user in users)


class TenantFigure(msgspec.Struct, frozen=True):
    """One figure of the whole tenant in a period."""

    window: Window
    metric: str
    value: Cell


class EditorLanguageUsage(msgspec.Struct, frozen=True):
    """The part of a user-day in one editor and language; only DETAILED figures are known."""

    user: str
    editor: str
    language: str
    figures: Figures


class CreditUsage(msgspec.Struct, frozen=True):
    """The credits that a user consumed on one day."""

    day: date
    user: str
    credits: float
