"""Periods for a source that has only days: each user's figures, added up day by day."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import date

from msgspec.structs import replace

from dashboard_scraper.model.columns import sum_of
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import accept_rate, is_active
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.metrics import ACCEPTED, SHOWN, TOTALS, USER_COUNT, Figures, Totals
from dashboard_scraper.model.usage import DayUsage, TenantFigure, UserUsage


class SummedDays(ABC):
    """The part of `PeriodSource` that follows from `fetch_day`; a period costs as much as its days.

    Fields of `UserUsage.extra` are left out of a period of several days, since the meaning of their
    sum is unknown, except for those in `summed_extra` and those for which `is_count` is true.
    """

    summed_extra: Collection[str] = ()
    """Fields of `UserUsage.extra` that add up; a sum is unknown if one of the days has none."""
    _latest: tuple[Window, list[Totals | None]] | None = None

    @abstractmethod
    def fetch_day(self, day: date) -> DayUsage:
        """Every user's figures of one day, and the tenant's if the source has them."""

    def is_count(self, name: str) -> bool:  # noqa: ARG002
        """Whether a field of `UserUsage.extra` adds up over days; without it, a day counts as 0."""
        return False

    def fetch_users(self, window: Window) -> list[UserUsage]:
        """Every user's figures over the window, sorted; those of a single day in the order in which
        they came.

        A count that is unknown on one of a user's days is unknown in their sum.
        """
        totals: list[Totals | None] = []
        found: dict[tuple[str, bool], UserUsage] = {}
        for day in window.days():
            usage = self.fetch_day(day)
            totals.append(usage.totals)
            if len(window) == 1:
                self._latest = window, totals
                return usage.users
            for user in usage.users:
                key = (user.user, user.service)
                found[key] = self._added(found.get(key), user)
        self._latest = window, totals
        return [_with_rate(found[key]) for key in sorted(found)]

    def fetch_tenant(self, window: Window) -> list[TenantFigure]:
        """The sums of the tenant's own figures, if every day has them; the number of users only for
        a single day. Costs nothing right after `fetch_users` for the same window.
        """
        latest, self._latest = self._latest, None
        if latest is None or latest[0] != window:
            latest = window, [self.fetch_day(day).totals for day in window.days()]
        days = [totals or {} for totals in latest[1]]
        return [
            TenantFigure(window, total.name, sum(totals[total.name] for totals in days))
            for total in TOTALS
            if all(total.name in totals for totals in days)
            and (len(window) == 1 or total is not USER_COUNT)
        ]

    def _added(self, before: UserUsage | None, user: UserUsage) -> UserUsage:
        days = int(is_active(user.figures))
        if before is None:
            figures, extra = sum_of((user.figures,)), self._extra((user.extra,))
        else:
            figures = sum_of((before.figures, user.figures))
            extra = self._extra((before.extra, user.extra))
            days += before.figures.active_days or 0
        return UserUsage(user.user, replace(figures, active_days=days), extra, user.service)

    def _extra(self, days: Sequence[Mapping[str, Cell]]) -> dict[str, Cell]:
        found: dict[str, Cell] = {}
        for name in dict.fromkeys(itertools.chain(*days)):
            counts = [each for day in days if isinstance(each := day.get(name), int | float)]
            is_known = (
                len(counts) == len(days) if name in self.summed_extra else self.is_count(name)
            )
            if counts and is_known:
                found[name] = sum(counts)
        return found


def _with_rate(user: UserUsage) -> UserUsage:
    figures: Figures = user.figures
    rate = accept_rate(figures[SHOWN], figures[ACCEPTED])
    rounded = None if rate is None else round(rate, 2)
    return replace(user, figures=replace(figures, acceptance_rate=rounded))
