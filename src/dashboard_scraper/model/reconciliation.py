"""What a run ends with whose days are all there and whose files are written: right, or in doubt."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from dashboard_scraper.errors import NotReconciled, ScraperError
from dashboard_scraper.model.doubts import Doubt, DoubtKind, days_of
from dashboard_scraper.model.listing import listed, listed_days
from dashboard_scraper.model.tolerance import EXACT, Tolerance

logger = logging.getLogger(__name__)

_NAMED = 3

FILES_MARKED = "every file is written; manifest, page and NOTES.txt say so"
STORE_MARKED = "the days are in the store, and marked there"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The `errors` of which the first ends the run, and a `remark` that is logged; mostly none."""

    errors: tuple[ScraperError, ...] = ()
    remark: str = ""

    def conclude(self) -> None:
        """To be called last: log the remark and all errors but the first, which is raised."""
        if self.remark:
            logger.warning("%s", self.remark)
        for error in self.errors[1:]:
            logger.error("%s", error)
        for error in self.errors:
            raise error


@dataclass(frozen=True, slots=True)
class Rules:
    """How the settings want doubts to be judged."""

    tolerance: Tolerance = EXACT
    warn_of_unreconciled: bool = False

    def verdict_on(
        self, doubts: Sequence[Doubt], outcome: str, heavier: Sequence[ScraperError] = ()
    ) -> Verdict:
        """Of the doubts of a run's own days; `outcome` says what became of these, in words.

        What is `heavier`, as days that are held, goes before days that do not add up. A run with an
        error has not got everything: it is not noted as a success.
        """
        days = days_of(doubts, DoubtKind.UNRECONCILED)
        if not days:
            return Verdict(tuple(heavier))
        first = [f"{doubt.window}: {each}" for doubt in doubts for each in doubt.differences]
        text = (
            f"{listed_days(days)} {'does' if len(days) == 1 else 'do'} not add up"
            f" ({listed(first, _NAMED, '; ')}); {outcome}"
        )
        if self.warn_of_unreconciled:
            return Verdict(tuple(heavier), text)
        return Verdict((*heavier, NotReconciled(text)))
