"""The end of a run: judges held revisions, and marks suspicious days."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from datetime import date

import msgspec

from dashboard_scraper.errors import Implausible, RevisionsHeld, ScraperError
from dashboard_scraper.model.checks import revision
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.listing import listed, listed_days
from dashboard_scraper.store import Change, Store, Stored
from dashboard_scraper.store.unjudged import is_unjudged, unmarked
from dashboard_scraper.sync.plausibility import doubts_of, history_for, implausible
from dashboard_scraper.sync.revisions import Caution, Judgement, judge

logger = logging.getLogger(__name__)

_NAMED_AT_MOST = 3


class Review(msgspec.Struct, frozen=True):
    """The revisions that stay held, and why the whole window is implausible, if it is."""

    held: list[Judgement]
    implausible: str | None

    def errors(self) -> list[ScraperError]:
        """The errors that end the run, the most important first."""
        errors: list[ScraperError] = []
        if self.implausible:
            errors.append(Implausible(f"{self.implausible}; every file is written and marked"))
        if self.held:
            errors.append(RevisionsHeld(_message(self.held)))
        return errors


def _message(held: list[Judgement]) -> str:
    days = [judgement.change.before.day for judgement in held]
    reasons = [f"{judgement.change.before.day}: {judgement.reason}" for judgement in held]
    return (
        f"revisions of {listed_days(days)} are held, the earlier versions stay in force"
        f" ({listed(reasons, _NAMED_AT_MOST, '; ')}); list them with `revisions`, then"
        " `revisions accept DAY` or `revisions reject DAY`"
    )


def review(
    store: Store,
    source_name: str,
    window: Window,
    stored: Mapping[date, Stored],
    caution: Caution,
) -> Review:
    """Judge every held revision of the window, and mark suspicious days.

    `stored` says what the store did with each answer of this run. New days of an earlier run that
    ended before this step are judged too.
    """
    with store.reading() as reader:
        held = [_unmarked(change) for change in reader.held(source_name, window)]
        new = {day for day, row in reader.ledger(source_name, window).items() if is_unjudged(row)}
        ledger = reader.judged_ledger(source_name, history_for(window)) if held else {}
    judgements = judge(held, ledger, caution)
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
    suspicions = _Suspicions(store, source_name, window, first_held)
    again = {day for day, what in stored.items() if what is Stored.SAME}
    suspicions.mark(new, again, caution)
    store.judged(source_name, new, caution.clock())
    return Review(sorted(still_held, key=lambda each: each.change.before.day), suspicions.whole)


def _unmarked(change: Change) -> Change:
    """That a day was not judged yet does not make a later answer an improvement."""
    return msgspec.structs.replace(change, before=unmarked(change.before))


def _accept(store: Store, source_name: str, judgement: Judgement, caution: Caution) -> None:
    change = judgement.change
    store.accept(source_name, change.before.day, caution.clock())
    changes = revision(change.before.sums, change.after.sums)
    if judgement.note:
        day = change.before.day
        logger.warning("the revision of %s is accepted: %s: %s", day, judgement.note, changes)
    elif changes:
        logger.info("%s was revised: %s", change.before.day, changes)


class _Suspicions:
    """Marks suspicious days of a run; `whole` is why the whole window is implausible."""

    def __init__(
        self, store: Store, source_name: str, window: Window, held: Collection[date]
    ) -> None:
        self._store = store
        self._source_name = source_name
        with store.reading() as reader:
            self._ledger = reader.judged_ledger(source_name, history_for(window))
        self.whole = implausible(window, self._ledger)
        # A source that is wrong about some days may be wrong about everything it reports that
        # night.
        self._beside = f"fetched when answers for {listed_days(held)} were held" if held else None

    def mark(self, new: Collection[date], again: Collection[date], caution: Caution) -> None:
        """Mark days with `new` figures, and those whose figures came `again`.

        A repeated answer loses its mark when the reason is gone, or after enough repetitions.
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
            reasons = [f"{day}: {doubt}" for day, doubt in doubts.items()]
            logger.warning("suspicious: %s", listed(reasons, _NAMED_AT_MOST, "; "))
