"""How a run ends if all its days and files are there: with success, or with days in doubt."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from types import MappingProxyType

import msgspec

from dashboard_scraper.errors import NotReconciled, ScraperError
from dashboard_scraper.model.costs import CostDifference
from dashboard_scraper.model.doubts import Doubt, DoubtKind, days_of
from dashboard_scraper.model.listing import listed, listed_days
from dashboard_scraper.model.tolerance import EXACT, Tolerance

logger = logging.getLogger(__name__)

_NAMED = 3

FILES_MARKED = "every file is written; manifest, page and NOTES.txt say so"
STORE_MARKED = "the days are in the store, and marked there"


class Verdict(msgspec.Struct, frozen=True):
    """The `errors`, the first of which ends the run, and a `remark` to log; usually neither."""

    errors: tuple[ScraperError, ...] = ()
    remark: str = ""

    @property
    def error(self) -> ScraperError | None:
        """The error that ends the run, if one does."""
        return self.errors[0] if self.errors else None

    def conclude(self) -> None:
        """Log the remark and all errors but the first, which is raised. To be called last."""
        if self.remark:
            logger.warning("%s", self.remark)
        for error in self.errors[1:]:
            logger.error("%s", error)
        for error in self.errors:
            raise error


class Rules(msgspec.Struct, frozen=True):
    """How to judge doubts, according to the settings."""

    tolerance: Tolerance = EXACT
    warn_of_unreconciled: bool = False

    def verdict_on(
        self,
        doubts: Sequence[Doubt],
        outcome: str,
        heavier: Sequence[ScraperError] = (),
        costs: Mapping[date, Sequence[CostDifference]] = MappingProxyType({}),
    ) -> Verdict:
        """The verdict on a run's doubts; `outcome` says in words what was done with its days.

        `heavier` errors, such as held days, come before days that do not add up; `costs` has the
        days whose costs do not add up. A run with an error is not recorded as a success.
        """
        texts = []
        if days := days_of(doubts, DoubtKind.UNRECONCILED):
            first = [f"{doubt.window}: {each}" for doubt in doubts for each in doubt.differences]
            does = "does" if len(days) == 1 else "do"
            texts.append(
                f"{listed_days(days)} {does} not add up ({listed(first, _NAMED, '; ')}); {outcome}"
            )
        if costs:
            first = [f"{day}: {each}" for day, found in costs.items() for each in found]
            texts.append(
                f"the costs of {listed_days(costs)} do not add up"
                f" ({listed(first, _NAMED, '; ')}); {outcome}"
            )
        if self.warn_of_unreconciled:
            return Verdict(tuple(heavier), "; ".join(texts))
        return Verdict((*heavier, *map(NotReconciled, texts)))
