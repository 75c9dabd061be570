"""The end of a run's fetching: held revisions are judged, and doubtful days are marked."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

from dashboard_scraper.errors import Implausible, RevisionsHeld, ScraperError
from dashboard_scraper.model.checks import revision
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.listing import listed, listed_days
from dashboard_scraper.store import Store, Stored
from dashboard_scraper.sync.plausibility import doubts_of, history_for, implausible
from dashboard_scraper.sync.revisions import Caution, Judgement, judge

logger = logging.getLogger(__name__)

_NAMED_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class Review:
    """What a run has to report of days that are there: revisions that are held, and a window that
    cannot well be true.
    """

    held: list[Judgement]
    implausible: str | None

    def errors(self) -> list[ScraperError]:
        """What the run ends with, the first being the most important."""
        errors: list[ScraperError] = []
        if self.implausible:
            errors.append(Implausible(f"{self.implausible}; every file is written, and says so"))
        if self.held:
            errors.append(RevisionsHeld(_told(self.held)))
        return errors


def _told(held: list[Judgement]) -> str:
    days = [judgement.change.before.day for judgement in held]
    told = [f"{judgement.change.before.day}: {judgement.reason}" for judgement in held]
    return (
        f"revisions of {listed_days(days)} are held, and the versions before stay in force"
        f" ({listed(told, _NAMED_AT_MOST, '; ')}); `revisions` shows them, `revisions accept DAY`"
        " puts one in force, `revisions reject DAY` never does"
    )


def review(
    store: Store,
    source_name: str,
    window: Window,
    stored: Mapping[date, Stored],
    caution: Caution,
) -> Review:
    """Judge every revision of the window that is held, and mark the days that are doubtful.

    `stored` says what became of each answer of this run.
    """
    with store.reading() as reader:
        held = reader.held(source_name, window)
        ledger = reader.ledger(source_name, history_for(window)) if held else {}
    judgements = judge(held, ledger, caution)
    new = {day for day, what in stored.items() if what in (Stored.FIRST, Stored.REVISED)}
    still_held = []
    for judgement in judgements:
        day = judgement.change.before.day
        if judgement.reason is None:
            _accept(store, source_name, judgement, caution)
            new.add(day)
        else:
            still_held.append(judgement)
            if judgement.reason != ledger[day].held:
                store.mark(source_name, day, caution.clock(), held=judgement.reason)
    first_held = [judgement.change.before.day for judgement in still_held if judgement.is_first]
    doubts = _Doubts(store, source_name, window, first_held)
    again = {day for day, what in stored.items() if what is Stored.SAME}
    doubts.mark(new, again, caution)
    return Review(sorted(still_held, key=lambda each: each.change.before.day), doubts.whole)


def _accept(store: Store, source_name: str, judgement: Judgement, caution: Caution) -> None:
    change = judgement.change
    store.accept(source_name, change.before.day, caution.clock())
    changes = revision(change.before.sums, change.after.sums)
    if judgement.note:
        day = change.before.day
        logger.warning("the revision of %s is accepted: %s: %s", day, judgement.note, changes)
    elif changes:
        logger.info("%s was revised: %s", change.before.day, changes)


class _Doubts:
    """What makes the days of a run doubtful; `whole` is what cannot well be true of all of them."""

    def __init__(
        self, store: Store, source_name: str, window: Window, held: Collection[date]
    ) -> None:
        self._store = store
        self._source_name = source_name
        with store.reading() as reader:
            self._ledger = reader.ledger(source_name, history_for(window))
        self.whole = implausible(window, self._ledger)
        # A source that is wrong about some days may be wrong about all that it says that night.
        self._beside = f"fetched when answers for {listed_days(held)} were held" if held else None

    def mark(self, new: Collection[date], again: Collection[date], caution: Caution) -> None:
        """Of days with `new` figures; and of those whose doubtful figures came `again`, which pass
        when the doubt does, or when they have come often enough.
        """
        doubts: dict[date, str] = {}
        passing = {day for day in again if self._ledger[day].suspicious}
        for day in sorted({*new, *passing}):
            row = self._ledger[day]
            often = day not in new and row.repeats >= caution.confirmations
            doubt = None if often else doubts_of(day, self._ledger) or self.whole or self._beside
            if doubt != row.suspicious:
                self._store.mark(self._source_name, day, caution.clock(), suspicious=doubt)
            if doubt:
                doubts[day] = doubt
        if doubts:
            told = [f"{day}: {doubt}" for day, doubt in doubts.items()]
            logger.warning("doubtful: %s", listed(told, _NAMED_AT_MOST, "; "))
