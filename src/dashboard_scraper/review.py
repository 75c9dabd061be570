"""The end of a run's fetching: held revisions are judged, and doubtful days are marked."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from dashboard_scraper.checks import revision
from dashboard_scraper.date_utils import Window
from dashboard_scraper.errors import Implausible, RevisionsHeld, ScraperError
from dashboard_scraper.listing import listed, listed_days
from dashboard_scraper.plausibility import doubts_of, history_for, implausible
from dashboard_scraper.revisions import Caution, Judgement, judge
from dashboard_scraper.store import Store

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
    store: Store, source_name: str, window: Window, new: Collection[date], caution: Caution
) -> Review:
    """Judge every revision of the window that is held, and mark those of the `new` days that are
    doubtful: days with figures that were stored in this run.
    """
    with store.reading() as reader:
        held = reader.held(source_name, window)
        ledger = reader.ledger(source_name, history_for(window)) if held or new else {}
    judgements = judge(held, ledger, caution)
    accepted = [judgement for judgement in judgements if judgement.reason is None]
    for judgement in accepted:
        _accept(store, source_name, judgement, caution)
    still_held = [judgement for judgement in judgements if judgement.reason is not None]
    for judgement in still_held:
        day = judgement.change.before.day
        if judgement.reason != ledger[day].held:
            store.mark(source_name, day, caution.clock(), held=judgement.reason)
    revised = {judgement.change.before.day for judgement in accepted}
    doubt = _mark_doubtful(store, source_name, window, {*new, *revised}, caution)
    return Review(sorted(still_held, key=lambda v: v.change.before.day), doubt)


def _accept(store: Store, source_name: str, judgement: Judgement, caution: Caution) -> None:
    change = judgement.change
    store.accept(source_name, change.before.day, caution.clock())
    changes = revision(change.before.sums, change.after.sums)
    if judgement.note:
        day = change.before.day
        logger.warning("the revision of %s is accepted: %s: %s", day, judgement.note, changes)
    elif changes:
        logger.info("%s was revised: %s", change.before.day, changes)


def _mark_doubtful(
    store: Store, source_name: str, window: Window, new: Collection[date], caution: Caution
) -> str | None:
    """Returns what cannot well be true of the whole window."""
    with store.reading() as reader:
        ledger = reader.ledger(source_name, history_for(window))
    whole = implausible(window, ledger)
    doubts: dict[date, str] = {}
    for day in sorted(new):
        doubt = doubts_of(day, ledger) or whole
        if doubt != ledger[day].suspicious:
            store.mark(source_name, day, caution.clock(), suspicious=doubt)
        if doubt:
            doubts[day] = doubt
    if doubts:
        told = [f"{day}: {doubt}" for day, doubt in doubts.items()]
        logger.warning("doubtful: %s", listed(told, _NAMED_AT_MOST, "; "))
    return whole
