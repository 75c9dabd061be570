"""Moments as the Admin API writes them: milliseconds since 1970. Periods include both ends."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec

from dashboard_scraper.decoding import decodable
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.dates import Window, end_of_day, start_of_day
from dashboard_scraper.sources.rest.pagination import decode_field

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

Period = tuple[int, int]
"""The first and the last millisecond."""


@decodable
class _Period(msgspec.Struct, frozen=True):
    startDate: int  # noqa: N815 - the names on the wire
    endDate: int  # noqa: N815


def ms_of(moment: datetime) -> int:
    """The millisecond of an aware moment."""
    return (moment - _EPOCH) // _MILLISECOND


def day_of(ms: int) -> date:
    """The UTC day of a millisecond; ValueError or OverflowError if it is beyond the calendar."""
    return (_EPOCH + ms * _MILLISECOND).date()


def first_ms(day: date) -> int:
    """The first millisecond of a UTC day."""
    return ms_of(start_of_day(day))


def last_ms(day: date) -> int:
    """The last one of a day; with the first one of the next day, events would count twice."""
    return ms_of(end_of_day(day)) - 1


def period_of(window: Window) -> Period:
    """The period of all of the days."""
    return first_ms(window.start), last_ms(window.end)


def refuse_other_period(endpoint: str, raw: msgspec.Raw | None, asked: Window | Period) -> None:
    """Raise ContractBroken if an answer does not repeat the requested period."""
    if raw is None:
        raise ContractBroken(f"{endpoint}: period is missing")
    start, end = period_of(asked) if isinstance(asked, Window) else asked
    found = decode_field(endpoint, "period", raw, _Period)
    if (found.startDate, found.endDate) != (start, end):
        raise ContractBroken(
            f"{endpoint}: {start} to {end} was requested, and period is {found.startDate} to"
            f" {found.endDate}"
        )
