"""Reports of several made-up organizations, open in one browser; fixtures for tests of the page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

import browser
import several_sources
from browser import Browser
from conftest import Home
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import NOTHING_KNOWN
from dashboard_scraper.model.metrics import COUNTS
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.report.options import REPORT
from dashboard_scraper.sources.registry import ANALYTICS, info_of
from made_up_costs import cost, day_of, in_dollars, put_costs
from made_up_days import LAST, MONTH, TWO_MONTHS, figures_of, store_days, users
from stored_days import mark
from take_screenshots import page_in

SCRIPT = "</script><script>document.title='Taken'</script>"
DAYS = list(MONTH.days())
GAPS, LARGE, DAY, EMPTY, FULL, SAME = "gaps", "large", "day", "empty", "full", "same"
SEVERAL, WIDE = "several", "wide"
ALL = [GAPS, LARGE, DAY, EMPTY, FULL]
_MANY = 1100


class Pages:
    """The file of each report by its name, written when a test first requests it.

    In GAPS, days are missing, empty or in doubt, and one user's name is a script. LARGE has more
    than a thousand users, DAY is of one day with unknown figures, EMPTY has nobody. Of FULL,
    everything is known: teams, editors, languages. In SAME, all users do the same on every
    day. SEVERAL has every assistant; a day of one is missing, and one held. WIDE has 49 weeks,
    whose dates are long, with long numbers on the last day, a Monday, and large corrections of
    costs.
    """

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._made: dict[str, Path] = {}

    def __getitem__(self, name: str) -> Path:
        if name not in self._made:
            folder = self._folders.mktemp(name)
            self._made[name] = (
                page_in(folder, users=40, weeks=8) if name == FULL else _report(Home(folder), name)
            )
        return self._made[name]


def _report(home: Home, name: str) -> Path:
    if name == SEVERAL:
        several_sources.store_all(home)
        mark(home.settings["STORE_URL"], several_sources.LAST, "held", "one user -> none")
    elif name == GAPS:
        gaps = {"missing": [DAYS[3], DAYS[20]], "empty": [DAYS[8]], "change": _differs}
        store_days(home, [SCRIPT, *users(4)], TWO_MONTHS, **gaps)  # type: ignore[arg-type]
        for column, words, days in (
            ("suspicious", "a third of the Mondays before", (DAYS[8], DAYS[14])),
            ("held", f"70 users -> 0 {SCRIPT}", (DAYS[11], DAYS[16])),
        ):
            for day in days:
                mark(home.settings["STORE_URL"], day, column, words)
    elif name == SAME:
        store_days(home, users(3), TWO_MONTHS, change=_all_at_work)
    elif name == DAY:
        store_days(home, users(60), Window(LAST, LAST), change=_four_known)
    elif name == WIDE:
        return _wide(home)
    elif name == LARGE:
        store_days(home, users(_MANY), MONTH, change=_few_but_on_the_last_days)
    else:
        store_days(home, [], MONTH)
    assert home.run("report").code == 6 * (name in (GAPS, SEVERAL))
    return home.data / REPORT


def _wide(home: Home) -> Path:
    window = Window(LAST - timedelta(341), LAST + timedelta(1))
    corrections = [cost(users(1)[0], in_dollars("-400000000000"))]
    put_costs(home, [day_of(corrections, day) for day in window.days()])
    store_days(home, users(1), window, change=_much_on_the_last_day, source=ANALYTICS)
    days = (f"{day:%m-%d-%Y}" for day in (window.start, window.end))
    assert home.run("report", *days).code == 0
    return home.data / REPORT


def _much_on_the_last_day(usage: DayUsage) -> DayUsage:
    count = 234_000_000_005 if usage.day > LAST else 5
    counts = {metric.name: count for metric in COUNTS if metric in info_of(ANALYTICS).metrics}
    figures = replace(NOTHING_KNOWN, **counts)
    return DayUsage(usage.day, [UserUsage(user.user, figures) for user in usage.users[:1]])


def _all_at_work(usage: DayUsage) -> DayUsage:
    figures = figures_of({"chat_messages": 7})
    return DayUsage(usage.day, [UserUsage(name, figures) for name in users(3)], {})


def _differs(usage: DayUsage) -> DayUsage:
    totals = {"user_count": 99} if usage.day == DAYS[11] else {}
    return DayUsage(usage.day, usage.users, totals)


def _few_but_on_the_last_days(usage: DayUsage) -> DayUsage:
    """Everybody on the last five days, but twenty users before: many users, and a quick test."""
    return DayUsage(usage.day, usage.users if usage.day in DAYS[-5:] else usage.users[:20], {})


def _four_known(usage: DayUsage) -> DayUsage:
    """The first four users: one with an unknown figure, one without completions, and two others."""
    shown: dict[str, int | None] = {"completions_count": 9, "completions_accepted": 3}
    counts: list[dict[str, int | None]] = [
        shown | {"chat_messages": None},
        {"chat_messages": 3},
        shown | {"chat_messages": 4, "completions_accepted": 4},
        shown | {"chat_messages": 5},
    ]
    first = [UserUsage(name, figures_of(each)) for name, each in zip(users(4), counts, strict=True)]
    return DayUsage(usage.day, [*first, *usage.users[4:]], {})


class Screen:
    """One browser for all tests of a process, with one page at a time in it."""

    def __init__(self, chromium: Browser, pages: Pages) -> None:
        self.chromium = chromium
        self._pages = pages
        self._shown = ""

    def open(self, name: str, width: int = 1280, *, dark: bool = False, media: str = "") -> Browser:
        """Load a page, for a test that changes it or checks what loading did."""
        self._shown = ""
        browser.show(self.chromium, width, dark=dark, media=media)
        browser.requests_of(self.chromium)
        browser.console_of(self.chromium)
        browser.open_page(self.chromium, self._pages[name])
        return self.chromium

    def forget(self) -> None:
        """Have the next test load its page again, as another page is shown."""
        self._shown = ""

    def look(self, name: str, width: int = 1280, *, dark: bool = False) -> Browser:
        """As `open`, for a test that changes nothing: the page may be loaded already."""
        if self._shown != name:
            self.open(name, width, dark=dark)
            self._shown = name
        else:
            browser.show(self.chromium, width, dark=dark)
            browser.settle(self.chromium)
        return self.chromium


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    """The reports by name."""
    return Pages(tmp_path_factory)


@pytest.fixture(scope="session")
def screen(pages: Pages) -> Iterator[Screen]:
    """The browser; skips if there is none."""
    if not browser.is_there():
        pytest.skip("no chromium and chromedriver")
    with browser.started() as chromium:
        yield Screen(chromium, pages)
