"""Days and windows of days. Every day is a UTC day; `today` is always a parameter."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta

import msgspec

from dashboard_scraper.errors import UsageError

_encode = msgspec.json.Encoder().encode
DAYS = 28
"""The length of the daily job's window."""
DAYS_A_WEEK = 7
_SATURDAY = 5
# No assistant of this kind is older; an earlier timestamp is just the zero of some clock.
EARLIEST = datetime(2015, 1, 1, tzinfo=UTC)

_FORMATS = ("%m-%d-%Y", "%Y-%m-%d")
_DAY_ALONE = re.compile(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}", re.ASCII)
_DAYS_AGO = re.compile(r"-([0-9]{1,5})d", re.ASCII)
_MONTH = re.compile(r"([0-9]{4})-([0-9]{2})", re.ASCII)
DAY_WORDS = ("today", "yesterday")


class Window(msgspec.Struct, frozen=True, order=True):
    """The days from `start` to `end`, both inclusive."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.start > self.end:
            raise UsageError(f"the start {self.start} is after the end {self.end}; swap the dates")

    def days(self) -> Iterator[date]:
        """Oldest first."""
        for offset in range(len(self)):
            yield self.start + timedelta(days=offset)

    def __len__(self) -> int:
        return (self.end - self.start).days + 1

    def __contains__(self, day: date) -> bool:
        return self.start <= day <= self.end

    def __str__(self) -> str:
        return f"{self.start}" if self.start == self.end else f"{self.start} to {self.end}"


def period_before(window: Window) -> Window:
    """The period of the same length right before the window; UsageError if that is before 0001."""
    length = timedelta(days=len(window))
    try:
        return Window(window.start - length, window.end - length)
    except OverflowError:
        raise UsageError(f"{window}: no calendar has a period of that length before it") from None


def utc_day(moment: datetime) -> date:
    """The UTC day of an aware moment."""
    return moment.astimezone(UTC).date()


def start_of_day(day: date) -> datetime:
    """The moment at which a UTC day begins."""
    return datetime.combine(day, time.min, UTC)


def end_of_day(day: date) -> datetime:
    """The moment at which a UTC day ends."""
    return start_of_day(day + timedelta(days=1))


def month_of(day: date) -> Window:
    """The whole month of a day."""
    last = calendar.monthrange(day.year, day.month)[1]
    return Window(day.replace(day=1), day.replace(day=last))


def is_weekend(day: date) -> bool:
    """Whether it is a Saturday or a Sunday."""
    return day.weekday() >= _SATURDAY


def newest_over(days: Iterable[date], today: date) -> date | None:
    """The newest completed day among these."""
    return max((day for day in days if day < today), default=None)


def last_complete_days(count: int, today: date) -> Window:
    """The last `count` completed days, up to yesterday."""
    return Window(today - timedelta(days=count), today - timedelta(days=1))


def parse_day(text: str) -> date:
    """Read `MM-DD-YYYY` or `YYYY-MM-DD`; UsageError for anything else."""
    for form in _FORMATS:
        # strptime also accepts "1-2-2025"; missing digits may be a typing error.
        if len(text) == len("YYYY-MM-DD"):
            try:
                return datetime.strptime(text, form).replace(tzinfo=UTC).date()
            except ValueError:
                continue
    raise UsageError(
        f"{text!r} is not a date; write MM-DD-YYYY or YYYY-MM-DD, such as 10-22-2025, or yesterday,"
        " -7d (seven days ago), or a month as 2025-10"
    )


def parse_days(text: str, today: date) -> Window:
    """Read a day in any form that the command line accepts, or a month, which means all of its
    days.
    """
    word = text.strip().lower()
    if match := _DAYS_AGO.fullmatch(word):
        day = today - timedelta(days=int(match[1]))
    elif word in DAY_WORDS:
        day = today - timedelta(days=DAY_WORDS.index(word))
    elif (match := _MONTH.fullmatch(word)) and int(match[1]) and 1 <= int(match[2]) <= 12:
        year, month = int(match[1]), int(match[2])
        return Window(date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1]))
    else:
        day = parse_day(text.strip() or text)
    return Window(day, day)


def parse_moment(text: str) -> datetime:
    """Read a point in time, in UTC unless it has an offset; a day without a time means its end."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"{text!r} is not a date or time; write 2026-11-20 or 2026-11-20T03:10"
        ) from None
    if _DAY_ALONE.fullmatch(text.strip()):
        found = datetime.combine(found.date(), time.max)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def requested_window(start: date, end: date, today: date) -> Window:
    """The window that a user asked for; UsageError if it starts after its end or ends in the
    future.
    """
    window = Window(start, end)
    if end > today:
        raise UsageError(
            f"{end} is in the future: in UTC, today is {today}; end with yesterday or an older day"
        )
    return window


def runs_of_days(days: Iterable[date]) -> Iterator[Window]:
    """The days as the fewest possible windows without gaps, oldest first."""
    start = end = None
    for day in sorted(days):
        if start is None or end is None:
            start = end = day
        elif day - end > timedelta(days=1):
            yield Window(start, end)
            start = day
        end = day
    if start is not None and end is not None:
        yield Window(start, end)


def pieces_of(start: date, end: date, most: int) -> Iterator[Window]:
    """The days in windows of at most `most` days, oldest first; none if `end` is before `start`."""
    while start <= end:
        last = min(end, start + timedelta(days=most - 1))
        yield Window(start, last)
        start = last + timedelta(days=1)


def complete_window(start: date, end: date, today: date) -> Window:
    """The completed days that a user asked for; UsageError if one has not ended yet."""
    window = Window(start, end)
    if end >= today:
        raise UsageError(
            f"{end} has not ended yet: in UTC, today is {today}; end with yesterday or an older day"
        )
    return window


def parse_duration(text: str) -> timedelta:
    """Read `36h`, `2d` or `90m`; UsageError for anything else."""
    units = {"m": "minutes", "h": "hours", "d": "days"}
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit()) or unit not in units or len(number) > 6:
        raise UsageError(f"{text!r} is not a duration; write it as 36h, 2d or 90m")
    return timedelta(**{units[unit]: int(number)})


def rough_duration(seconds: float) -> str:
    """A rounded duration as text: `40 s`, `5 min`, `3 h`."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def iso_utc(moment: datetime) -> str:
    """ISO 8601 in UTC, `2025-10-21T16:02:11Z`; without an offset, the timestamp counts as UTC."""
    if moment.tzinfo is not UTC:
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        moment = aware.astimezone(UTC)
    return _encode(moment)[1:-1].decode()  # eight times as fast as isoformat
