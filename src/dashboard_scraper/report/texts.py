"""How the report phrases its numbers, and what its terms mean."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import msgspec

from dashboard_scraper.model.checks import Difference
from dashboard_scraper.model.dates import DAYS, Window
from dashboard_scraper.model.doubts import Doubt
from dashboard_scraper.model.figures import accept_rate
from dashboard_scraper.model.listing import listed, listed_days, many
from dashboard_scraper.model.metrics import (
    ACCEPT_RATE,
    COUNTS,
    USER_COUNT,
    Metric,
)
from dashboard_scraper.model.metrics import ACTIVE_DAYS as DAYS_METRIC
from dashboard_scraper.report.figures import (
    WEEK,
    Day,
    Period,
    State,
    change_of,
)

UNKNOWN, NONE = "unknown", "none"
PERIOD_BEFORE = "the period before"
_MOST_RUNS = 20
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Term(msgspec.Struct, frozen=True):
    """A name on the page, with the footnote that defines it."""

    key: str
    title: str
    definition: str


def term_of(metric: Metric) -> Term:
    """A metric's title and definition in the catalogue, as a term."""
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


def number(count: float | None) -> str:
    """A count: `1,234`, or `unknown`."""
    return UNKNOWN if count is None else f"{count:,.0f}"


def mean(value: float | None) -> str:
    """A mean or median of counts, with one decimal: `1,234.0`."""
    return UNKNOWN if value is None else f"{value:,.1f}"


def rate(value: float | None) -> str:
    """A percentage with one decimal (the CSV has up to two)."""
    return UNKNOWN if value is None else f"{value:.1f}%"


def share(part: float | None, whole: float | None) -> str:
    """A share in whole percent; empty if the whole is 0 or unknown. Rounding never shows a positive
    share as 0 %, or less than the whole as 100 %, but as `<1%` and `>99%`.
    """
    if part is None or not whole:
        return ""
    rounded = f"{100 * part / whole:.0f}%"
    if rounded == "0%" and part:
        return "<1%"
    return ">99%" if rounded == "100%" and part < whole else rounded


def signed(change: float | None) -> str:
    """`+12%`, with a typographic minus; `\u00b10%` is a change of less than half a percent."""
    if change is None:
        return ""
    if not change:
        return "no change"
    return _with_sign(f"{change:+,.0f}%")


def _with_sign(text: str) -> str:
    if not any(digit in text for digit in "123456789"):
        text = f"\u00b1{text[1:]}"
    return text.replace("-", "\u2212")


OTHER_TEAMS = "all others"
"""The name for people who are in no team that is shown."""


def hidden_teams_text(hidden: int, minimum: int) -> str:
    """Why some teams are included in all others."""
    teams, are = many(hidden, "team"), "is" if hidden == 1 else "are"
    return (
        f"{teams} {are} among {OTHER_TEAMS}, so that nothing here is of fewer than"
        f" {minimum} people."
    )


def days_text(days: Iterable[date]) -> str:
    """`2025-03-01, 2025-03-04 to 2025-03-06`, cut off after the first 20 runs."""
    return listed_days(days, _MOST_RUNS)


def two_lines(title: str) -> tuple[str, str]:
    """The title split into two lines of similar length, for the head of a column."""
    words = title.split(" ")
    halves = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(1, len(words) + 1)]
    return min(halves, key=lambda half: max(map(len, half)))


def against(now: float | None, before: float | None, periods: Iterable[Period]) -> str:
    """The change of a number against the period before; empty if either period lacks a day."""
    if any(period.missing for period in periods) or now is None or before is None:
        return ""
    change = signed(change_of(now, before))
    return f"{change} against {number(before)} before" if change else f"{number(before)} before"


def points(now: float | None, before: float | None, periods: Iterable[Period]) -> str:
    """Like `against`, for a rate, whose change is in percentage points."""
    if any(period.missing for period in periods) or now is None or before is None:
        return ""
    change = "no change" if now == before else f"{_with_sign(f'{now - before:+.1f}')} points"
    return f"{change} against {rate(before)} before"


def window_text(window: Window) -> str:
    """`3 to 30 November 2025`, without repeating a month or year."""
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
    """`Mon 3 Nov 2025`."""
    return f"{WEEKDAYS[day.weekday()]} {day.day} {day:%b %Y}"


def difference_text(difference: Difference) -> str:
    """Both numbers of a difference, with the metric's title."""
    title = _TITLES.get(difference.metric, difference.metric)
    tenant, users = number(difference.tenant), number(difference.users)
    return f"{title}: the source says {tenant}, the users' sum is {users}"


def short(value: float) -> str:
    """The number for narrow labels: `940`, `12k`, `1.5M`."""
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def rate_cell(shown: int | None, accepted: int | None) -> str:
    """The accept rate; blank without completions, as in the CSV."""
    return "" if shown == 0 else rate(accept_rate(shown, accepted))


def day_head(day: Day) -> str:
    """The day, and whether it is missing, in doubt, empty or not settled."""
    head = weekday_text(day.day)
    if day.state is State.MISSING:
        return f"{head}: missing"
    known = [doubt_text(each) for each in day.doubts]
    known += ["nobody was active"] if day.state is State.EMPTY else []
    known += [] if day.settled else ["may still change"]
    return f"{head}: {'; '.join(known)}" if known else head


def doubt_text(doubt: Doubt) -> str:
    """A doubt in words: the first two differences from the source's totals, or its reason."""
    if doubt.differences:
        return listed([difference_text(each) for each in doubt.differences], 2, "; ")
    return f"{doubt.kind.word}: {doubt.words}"


def plain(markdown: str) -> str:
    """A source's text about itself without the Markdown for code, which its documentation needs."""
    return markdown.replace("`", "")
