"""How the report words its numbers, and what each of its terms means."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date

from dashboard_scraper.model.checks import Difference
from dashboard_scraper.model.dates import DAYS, Window, runs_of_days
from dashboard_scraper.model.doubts import Doubt
from dashboard_scraper.model.figures import accept_rate
from dashboard_scraper.model.metrics import (
    ACCEPT_RATE,
    ACCEPTED,
    COUNTS,
    LINES,
    MESSAGES,
    SHOWN,
    TOOL_CALLS,
    USER_COUNT,
    Metric,
)
from dashboard_scraper.model.metrics import ACTIVE_DAYS as DAYS_METRIC
from dashboard_scraper.report.figures import (
    LINE_KINDS,
    MESSAGE_KINDS,
    WEEK,
    Day,
    Period,
    State,
    change_of,
)

UNKNOWN, NONE = "unknown", "none"
_MOST_RUNS = 20
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Term:
    """Something that the page counts, and its footnote."""

    key: str
    title: str
    definition: str


def term_of(metric: Metric) -> Term:
    """As the catalogue has it."""
    return Term(metric.name, metric.title, metric.definition)


ACTIVE = Term(
    "active", "Active people", f"{USER_COUNT.definition} in the period, each address counted once"
)
ACTIVE_DAY = Term("active-day", "Daily active people", f"{USER_COUNT.definition} on the day")
ACTIVE_WEEK = Term(
    "active-week",
    "Weekly active people",
    f"{USER_COUNT.definition} on one of the {WEEK} days that end with the day",
)
ACTIVE_MONTH = Term(
    "active-month",
    "Monthly active people",
    f"{USER_COUNT.definition} on one of the {DAYS} days that end with the day",
)
KNOWN = Term("known", "Known people", "Users that the source ever named, up to the period's end")
NEW = Term("new", "Newly active", "Active in the period, and not in the one before")
STAYED = Term("stayed", "Active again", "Active in the period and in the one before")
LAPSED = Term("lapsed", "Lapsed", "Active in the period before, and not in this one")
IDLE = Term("idle", "Idle people", "Known people without any activity in the period")
LAST_DAY = Term("last-day", "Last Active", "Last day of the period with any activity")
TOP_SHARE = Term(
    "top-share", "Sent by the top tenth", "Messages of the tenth of the active people who sent most"
)
MEDIAN = Term(
    "median", "Median messages", "Half of the active people sent as many messages or fewer"
)
WEEKDAY = Term(
    "weekday", "Weekday pattern", "Daily active people of the average Monday, Tuesday, ..."
)
ACTIVE_DAYS, RATE_TERM = term_of(DAYS_METRIC), term_of(ACCEPT_RATE)

_TITLES = {metric.name: metric.title for metric in COUNTS} | {USER_COUNT.name: ACTIVE_DAY.title}

TERMS: tuple[Term, ...] = (
    ACTIVE,
    ACTIVE_DAY,
    ACTIVE_WEEK,
    ACTIVE_MONTH,
    KNOWN,
    NEW,
    STAYED,
    LAPSED,
    IDLE,
    *map(
        term_of,
        (MESSAGES, *MESSAGE_KINDS, LINES, *LINE_KINDS, SHOWN, ACCEPTED, ACCEPT_RATE, TOOL_CALLS),
    ),
    ACTIVE_DAYS,
    LAST_DAY,
    TOP_SHARE,
    MEDIAN,
    WEEKDAY,
)


def number(count: float | None) -> str:
    """What is counted is whole: `1,234`; what is not known says so."""
    return UNKNOWN if count is None else f"{count:,.0f}"


def mean(value: float | None) -> str:
    """An average of counts, or the one in their middle, has one decimal: `1,234.0`."""
    return UNKNOWN if value is None else f"{value:,.1f}"


def rate(value: float | None) -> str:
    """One decimal; the CSV has up to two."""
    return UNKNOWN if value is None else f"{value:.1f}%"


def share(part: float | None, whole: float | None) -> str:
    """Whole percents; none where there is nothing to have a share of. What is not nothing does not
    look like it, nor what is not all.
    """
    if part is None or not whole:
        return ""
    rounded = f"{100 * part / whole:.0f}%"
    if rounded == "0%" and part:
        return "<1%"
    return ">99%" if rounded == "100%" and part < whole else rounded


def signed(change: float | None) -> str:
    """`+12%`, with a minus that is one; `\u00b10%` is less than half of one percent."""
    if change is None:
        return ""
    if not change:
        return "no change"
    return _with_sign(f"{change:+,.0f}%")


def _with_sign(text: str) -> str:
    if not any(digit in text for digit in "123456789"):
        text = f"\u00b1{text[1:]}"
    return text.replace("-", "\u2212")


def many(count: int, one: str, several: str | None = None) -> str:
    """`1 day`, `2 days`."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def days_text(days: Iterable[date]) -> str:
    """`2025-03-01, 2025-03-04 to 2025-03-06`; of very many, the first."""
    return listed([str(run) for run in runs_of_days(days)], _MOST_RUNS, ", ")


def two_lines(title: str) -> tuple[str, str]:
    """The title in two halves, of which each stays on one line at the head of a column."""
    words = title.split(" ")
    halves = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(1, len(words) + 1)]
    return min(halves, key=lambda half: max(map(len, half)))


def against(now: float | None, before: float | None, periods: Iterable[Period]) -> str:
    """A number beside that of the period before; nothing where a day of either is missing."""
    if any(period.missing for period in periods) or now is None or before is None:
        return ""
    change = signed(change_of(now, before))
    return f"{change} against {number(before)} before" if change else f"{number(before)} before"


def points(now: float | None, before: float | None, periods: Iterable[Period]) -> str:
    """The same for a rate: the difference of percents is in points."""
    if any(period.missing for period in periods) or now is None or before is None:
        return ""
    change = "no change" if now == before else f"{_with_sign(f'{now - before:+.1f}')} points"
    return f"{change} against {rate(before)} before"


def window_text(window: Window) -> str:
    """`3 to 30 November 2025`, as short as it is clear."""
    start, end = window.start, window.end
    last = f"{end.day} {end:%B} {end.year}"
    if start == end:
        return last
    if start.year != end.year:
        return f"{start.day} {start:%B} {start.year} to {last}"
    if start.month != end.month:
        return f"{start.day} {start:%B} to {last}"
    return f"{start.day} to {last}"


def weekday_text(day: date) -> str:
    """`Mon 3 Nov`."""
    return f"{WEEKDAYS[day.weekday()]} {day.day} {day:%b}"


def difference_text(difference: Difference) -> str:
    """In the catalogue's words."""
    title = _TITLES.get(difference.metric, difference.metric)
    told, own = number(difference.tenant), number(difference.users)
    return f"{title}: the source says {told}, the users' sum is {own}"


def listed(items: Collection[str], most: int, separator: str = "; ") -> str:
    """So many of them, and how many more there are."""
    first = separator.join(list(items)[:most])
    return f"{first}{separator}and {len(items) - most:,} more" if len(items) > most else first


def short(value: float) -> str:
    """For labels without room: `940`, `12k`, `1.5M`."""
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def rate_cell(shown: int | None, accepted: int | None) -> str:
    """Blank without completions, as in the CSV."""
    return "" if shown == 0 else rate(accept_rate(shown, accepted))


def day_head(day: Day) -> str:
    """The day, and what is to be known of it."""
    head = weekday_text(day.day)
    if day.state is State.MISSING:
        return f"{head}: missing"
    known = [doubt_text(each) for each in day.doubts]
    known += ["nobody was active"] if day.state is State.EMPTY else []
    return f"{head}: {'; '.join(known)}" if known else head


def doubt_text(doubt: Doubt) -> str:
    """Where users and the source's own totals disagree, the first two of these; else its words."""
    if doubt.differences:
        return listed([difference_text(each) for each in doubt.differences], 2)
    return f"{doubt.kind.word}: {doubt.words}"
