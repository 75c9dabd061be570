"""What a run ends with whose days are all there and whose files are written: right, or in doubt."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from dashboard_scraper.doubts import Doubt, DoubtKind, days_of
from dashboard_scraper.errors import NotReconciled, ScraperError
from dashboard_scraper.listing import listed, listed_days
from dashboard_scraper.tolerance import EXACT, Tolerance

logger = logging.getLogger(__name__)

_NAMED = 3

FILES_MARKED = "every file is written; manifest, page and NOTES.txt say so"
STORE_MARKED = "the days are in the store, and marked there"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An `error` that ends the run, or a `remark` that is logged instead; mostly neither."""

    error: ScraperError | None = None
    remark: str = ""

    def conclude(self) -> None:
        """To be called last: raise the error, or log the remark."""
        if self.error is not None:
            raise self.error
        if self.remark:
            logger.warning("%s", self.remark)


@dataclass(frozen=True, slots=True)
class Rules:
    """How the settings want doubts to be judged."""

    tolerance: Tolerance = EXACT
    warn_of_unreconciled: bool = False

    def verdict_on(self, doubts: Sequence[Doubt], outcome: str) -> Verdict:
        """Of the doubts of a run's own days; `outcome` says what became of these, in words.

        A run with an error has not got everything: it is not noted as a success.
        """
        # Errors that weigh more, as of days that cannot be or that are held, go before this one.
        return self._verdict_on_unreconciled(doubts, outcome)

    def _verdict_on_unreconciled(self, doubts: Sequence[Doubt], outcome: str) -> Verdict:
        days = days_of(doubts, DoubtKind.UNRECONCILED)
        if not days:
            return Verdict()
        first = [f"{doubt.window}: {each}" for doubt in doubts for each in doubt.differences]
        text = (
            f"{listed_days(days)} {'does' if len(days) == 1 else 'do'} not add up"
            f" ({listed(first, _NAMED, '; ')}); {outcome}"
        )
        return Verdict(remark=text) if self.warn_of_unreconciled else Verdict(NotReconciled(text))
