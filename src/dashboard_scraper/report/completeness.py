"""How complete a period is, in words and as a strip of its days."""

from __future__ import annotations

from collections.abc import Iterator

from dashboard_scraper.model.doubts import Doubt, DoubtKind
from dashboard_scraper.model.listing import listed, many
from dashboard_scraper.report.charts import mark_of
from dashboard_scraper.report.figures import Period, ReportFigures, State
from dashboard_scraper.report.texts import day_head, days_text, doubt_text, plain
from dashboard_scraper.sources.registry import info_of

_LONGEST_LIST, _LONGEST_DOUBT = 10, 1000


def completeness_of(figures: ReportFigures) -> list[str]:
    """Sentences on the completeness of the data, which name the days that are not complete."""
    now = figures.now
    empty = [day.day for day in now.days if day.state is State.EMPTY]
    missing = [day.day for day in now.days if day.state is State.MISSING]
    texts = [_in_store(now)]
    if missing:
        texts.append(f"Missing, and shown as gaps: {days_text(missing)}")
    if empty:
        texts.append(f"Fetched, and nobody was active: {days_text(empty)}")
    for kind, title in _DOUBTS.items():
        doubts = [f"{day.day}: {_reason(d)}" for day in now.days for d in day.doubts_of(kind)]
        if doubts:
            texts.append(f"{title}: {listed(doubts, _LONGEST_LIST, '; ', _LONGEST_DOUBT)}")
    if unsettled := [day.day for day in now.days if not day.settled]:
        texts.append(f"Not settled, and may still change: {days_text(unsettled)}")
    lost = [day.day for day in now.days if day.forgotten]
    if lost:
        texts.append(f"A user was removed since, and is not counted: {days_text(lost)}")
    texts += _of_the_period_before(figures.before)
    if left_out := info_of(figures.source).leaves_out:
        texts.append(f"The source leaves out {plain(left_out)}")
    return texts


def _of_the_period_before(before: Period) -> Iterator[str]:
    if not before.stored:
        yield "No day of the period before is in the store, so nothing is compared with it"
    elif before.missing:
        days = f"{before.missing} of {many(len(before.days), 'day')}"
        yield f"Missing of the period before: {days}, so no sum is compared with its"
    if in_doubt := [day.day for day in before.days if day.doubts]:
        yield f"In doubt of the period before: {days_text(in_doubt)}"
    if unsettled := [day.day for day in before.days if not day.settled]:
        yield f"Of the period before, not settled, and may still change: {days_text(unsettled)}"
    if lost := [day.day for day in before.days if day.forgotten]:
        yield f"Of the period before, a user was removed since: {days_text(lost)}"


_DOUBTS = {
    DoubtKind.UNRECONCILED: "Not what the source's own totals say",
    DoubtKind.SUSPICIOUS: "Suspicious",
    DoubtKind.HELD: "Newer figures of the source are held, and not in force",
}


def _reason(doubt: Doubt) -> str:
    """The doubt's reason, in a sentence that already names its kind."""
    return doubt_text(doubt) if doubt.differences else doubt.words


def _in_store(period: Period) -> str:
    stored, days = len(period.stored), len(period.days)
    if days == 1:
        return "The day is in the store" if stored else "The day is not in the store"
    if stored == days:
        return f"All {many(days, 'day')} are in the store"
    return f"{stored} of {many(days, 'day')} {'is' if stored == 1 else 'are'} in the store"


def strip_of(period: Period) -> list[tuple[str, str, str]]:
    """For each day: its style, its mark, and its description."""
    return [
        ("doubtful" if day.doubts else day.state.value, mark_of(day), day_head(day))
        for day in period.days
    ]
