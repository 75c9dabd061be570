"""Whether the days that an answer or a record names are the days that were requested."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.dates import Window, end_of_day
from dashboard_scraper.sources.rest.claims import Claim, claims_in, contradicted
from dashboard_scraper.sources.rest.shown import shown_name

_RECENT = 10**9  # seconds from 1970 to 2001; numbers of anything else do not reach it


def is_date(value: Mapping[str, object]) -> bool:
    """Whether the object is a day, as the dashboard writes it in URLs."""
    return value.keys() == {"year", "month", "day"}


def _moment(value: Any) -> date | datetime | None:
    """A day or a moment in any form that sources use; None for anything else."""
    try:
        if isinstance(value, dict) and is_date(value):
            return date(**value)
        if isinstance(value, str):
            return date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
    except (ValueError, TypeError, OverflowError):
        pass
    return None


def other_days(claim: Claim, value: Any, asked: Window) -> str | None:
    """Why a field about days contradicts the request, or None."""
    if claim is Claim.DAYS:
        return None if value == len(asked) and value is not True else _requested(asked)
    if claim is Claim.WINDOW:
        return _other_window(value, asked)
    named = _moment(value)
    if named is None:
        return f"it is not a readable day; {_requested(asked)}"
    if claim is Claim.DAY:
        fits = asked.start == asked.end and _is_start(named, asked.start)
    elif claim is Claim.START:
        fits = _is_start(named, asked.start)
    else:
        fits = _is_end(named, asked.end)
    return None if fits else _requested(asked)


def _requested(asked: Window) -> str:
    return f"{asked} was requested"


def _other_window(value: Any, asked: Window) -> str | None:
    ends = re.split(r"/|\.\.|,| to ", value) if isinstance(value, str) else value
    if isinstance(ends, str | dict) or (isinstance(ends, list) and len(ends) == 1):
        return other_days(Claim.DAY, ends[0] if isinstance(ends, list) else ends, asked)
    if not isinstance(ends, list) or len(ends) != 2:
        return f"it has no readable days; {_requested(asked)}"
    start, end = (each.strip() if isinstance(each, str) else each for each in ends)
    return other_days(Claim.START, start, asked) or other_days(Claim.END, end, asked)


def _is_start(named: date | datetime, day: date) -> bool:
    if not isinstance(named, datetime):
        return named == day
    return _is_utc(named) and named.replace(tzinfo=None) == datetime.combine(day, time.min)


def _is_end(named: date | datetime, day: date) -> bool:
    """An end may be any moment of the day, or the midnight after it, as in a half-open interval."""
    if not isinstance(named, datetime):
        return named == day
    begin = datetime.combine(day, time.min, UTC)
    return _is_utc(named) and begin < named.replace(tzinfo=UTC) <= begin + timedelta(days=1)


def _is_utc(named: datetime) -> bool:
    return not named.utcoffset()


def generated_too_early(value: Any, asked: Window, now: datetime) -> str | None:
    """Why a time of generation is too early: before the end of a day, its figures were incomplete.

    A moment without a time zone proves nothing; a day that has not ended cannot be complete anyway.
    """
    generated, end = _moment(value) or _since_1970(value), end_of_day(asked.end)
    if isinstance(generated, datetime):
        is_early = generated.tzinfo is not None and generated < end
    else:
        is_early = generated is not None and generated < asked.end
    return f"{asked.end} had not ended by then" if is_early and end <= now else None


def _since_1970(value: Any) -> datetime | None:
    """The moment of a number of seconds or milliseconds; None for a number that is too small."""
    if not isinstance(value, int) or not _RECENT <= value < _RECENT * 10**4:
        return None
    return datetime.fromtimestamp(value if value < _RECENT * 100 else value / 1000, UTC)


def refuse_other_days(where: str, record: Mapping[str, object], asked: Window) -> None:
    """Raise ContractBroken if an unknown field says that the record is of other days, is partial,
    or that something went wrong.

    A start without an end may belong to anything, such as a membership; with an end, it belongs to
    a period.
    """
    for name, value, claim in claims_in(record):
        if claim is Claim.DAY and _moment(value) and other_days(claim, value, asked):
            raise contradicted(where, name, value, _requested(asked))
        if claim is Claim.PARTIAL and value is True:
            raise contradicted(where, name, value, "a partial answer is not accepted")
        if claim is Claim.ERROR and value and isinstance(value, str | list | dict):
            raise contradicted(where, name, value, "a record with an error is not accepted")
        if claim is Claim.WINDOW and isinstance(value, dict):
            refuse_other_days(f"{where}: {shown_name(name)}", value, asked)
    ends = [each for each in claims_in(record) if each[2] in (Claim.START, Claim.END)]
    if {claim for _, _, claim in ends} == {Claim.START, Claim.END}:
        for name, value, claim in ends:
            if _moment(value) and other_days(claim, value, asked):
                raise contradicted(where, name, value, _requested(asked))


def refuse_too_many_days(endpoint: str, field: str, user: str, days: int, asked: Window) -> None:
    """Raise ContractBroken if a user was active on more days than were requested."""
    if days > len(asked):
        raise ContractBroken(
            f"{endpoint}: {field} of {user} is {days}, but {_requested(asked)}: these are the"
            " figures of other days",
            names=(user,),
        )
