"""Which findings are new, worse, due again or over, compared with the notices in the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import Enum

import msgspec

from dashboard_scraper.errors import SignInRequired
from dashboard_scraper.model.dates import runs_of_days
from dashboard_scraper.notify.occasions import Details, Finding, Occasion, RunFacts
from dashboard_scraper.store import Notice
from dashboard_scraper.store.runs import NIGHTLY

# A growing number of days is worth a new message when it is this many times the last one.
_WORSE_FACTOR = 2


class Change(Enum):
    """Why something is in a message."""

    NEW = "new"
    WORSE = "worse"
    STILL = "still"
    OVER = "over"


class News(msgspec.Struct, frozen=True):
    """A part of a message. `notice` is what the store should have for it; its message is empty."""

    change: Change
    finding: Finding
    notice: Notice


class Comparison(msgspec.Struct, frozen=True):
    """What to send, and the notices that change although no message is sent."""

    news: list[News]
    silent: list[Notice]


def details_of(notice: Notice) -> Details:
    """What the store remembers of a notice."""
    return msgspec.json.decode(notice.details, type=Details)


def compare(
    findings: Iterable[Finding],
    open_notices: Sequence[Notice],
    facts: RunFacts,
    remind_after: timedelta | None,
) -> Comparison:
    """Compare the findings about a run's source with its open notices.

    The end of an occasion is reported only if nothing else is open for the source, as all is well
    again.
    """
    now = facts.ended_at
    known = {Occasion(n.occasion): n for n in open_notices if not _is_event(n)}
    # An event stays open only as long as no message about it could be sent.
    news = [_again(notice, Change.NEW) for notice in open_notices if _is_event(notice)]
    silent, is_open = [], False
    for finding in findings:
        notice = known.pop(finding.occasion, None)
        change = _change(finding, notice, now, remind_after)
        updated = _updated(finding, notice, now, tell=change is not None)
        if change is None:
            is_open = True
            # Writing a notice that is there already would take the store's lock from a run that
            # begins.
            silent += [updated] if updated != notice else []
        else:
            news.append(News(change, finding, updated))
    over = [notice for notice in known.values() if _is_over(notice, facts)]
    if (
        is_open
        or len(over) < len(known)
        or any(not each.finding.occasion.is_event for each in news)
    ):
        ended = [msgspec.structs.replace(notice, ended_at=now) for notice in over]
        return Comparison(news, [*silent, *ended])
    return Comparison([*news, *(_again(notice, Change.OVER) for notice in over)], [])


def recorded(news: News, message: str, now: datetime, *, sent: bool) -> Notice | None:
    """What the store should have for a part of a message; None if it stays unchanged, so that the
    next run tries again.
    """
    if sent:
        is_over = news.change is Change.OVER or news.finding.occasion.is_event
        return msgspec.structs.replace(
            news.notice,
            message=news.notice.message if news.change is Change.OVER else message,
            notified_at=now,
            ended_at=now if is_over else None,
        )
    if news.change is Change.NEW:
        return msgspec.structs.replace(news.notice, message=message)
    return None


def _is_event(notice: Notice) -> bool:
    return Occasion(notice.occasion).is_event


def _again(notice: Notice, change: Change) -> News:
    finding = Finding(notice.source, Occasion(notice.occasion), details_of(notice))
    return News(change, finding, notice)


def _change(
    finding: Finding, notice: Notice | None, now: datetime, remind_after: timedelta | None
) -> Change | None:
    """Why to send a message about it; None if it would only repeat the last one."""
    if notice is None or notice.notified_at is None:
        return Change.NEW
    before = details_of(notice)
    if _is_worse(finding.details, before):
        return Change.WORSE
    if finding.occasion is Occasion.DAYS_MISSING and _has_new_gap(finding.details, before):
        return Change.WORSE
    if remind_after is not None and now - notice.notified_at >= remind_after:
        return Change.STILL
    return None


def _is_worse(now: Details, before: Details) -> bool:
    """Whether what to do has changed, or the number of days has doubled."""
    if (now.exit_code, now.expires_at) != (before.exit_code, before.expires_at):
        return True
    return bool(before.reported) and len(now.days) >= _WORSE_FACTOR * before.reported


def _has_new_gap(now: Details, before: Details) -> bool:
    """Whether a day is missing that was not missing before and is not next to such a day either.
    One more day of a continuing outage, or of a source that is late every night, is not a new gap.
    """
    known = {day.toordinal() for day in before.days}
    gaps = [(gap.start.toordinal(), gap.end.toordinal()) for gap in runs_of_days(now.days)]
    return any(known.isdisjoint(range(start - 1, end + 2)) for start, end in gaps)


def _updated(finding: Finding, notice: Notice | None, now: datetime, *, tell: bool) -> Notice:
    details = finding.details
    earlier = details_of(notice).reported if notice is not None else 0
    details = msgspec.structs.replace(details, reported=len(details.days) if tell else earlier)
    encoded = msgspec.json.encode(details).decode()
    if notice is not None:
        return msgspec.structs.replace(notice, details=encoded)
    return Notice(finding.source, finding.occasion.value, now, "", details=encoded)


def _is_over(notice: Notice, facts: RunFacts) -> bool:
    """Whether a run that did not find the occasion again shows that it has ended."""
    occasion, details = Occasion(notice.occasion), details_of(notice)
    if occasion is not Occasion.RUN_FAILED:
        # Without days nothing is known: the store could not be read, or the run stores none.
        return bool(facts.expected)
    if facts.exit_code:
        return False  # it failed in another way, which the message reports
    # The nightly job fetches, stores and exports: its success shows that everything works.
    shown_by = (NIGHTLY, details.command)
    return facts.command in shown_by or details.exit_code == SignInRequired.exit_code
