"""The page of several sources in a browser: gaps, colours, screen sizes, each source's users."""

from __future__ import annotations

import itertools
from datetime import timedelta
from pathlib import Path

import pytest
from test_report_appearance import audit, contrast, distance, linear, oklab

import browser
from browser import Browser, all_of, one, texts
from conftest import Home
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.doubts import DoubtKind
from dashboard_scraper.report.options import REPORT
from dashboard_scraper.sources.registry import ANALYTICS, CLAUDE_CODE, COPILOT, CURSOR
from filled_store import MONTH
from report_pages import SEVERAL, Pages, Screen
from report_reading import read_report
from several_sources import ADA, LAST, WEEK, put

SOURCES = (ANALYTICS, COPILOT, CURSOR, CLAUDE_CODE)


@pytest.mark.slow
def test_page_of_several_loads_and_reads_alone(screen: Screen, pages: Pages) -> None:
    chromium = screen.open(SEVERAL)
    asked = browser.requests_of(chromium)
    assert [url for url in asked if not url.startswith("data:")] == [pages[SEVERAL].as_uri()]
    assert browser.console_of(chromium) == []
    ids = chromium.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    links = chromium.execute_script(
        "return [...document.querySelectorAll('a[href^=\"#\"]')].map(e => e.hash.slice(1))"
    )
    assert set(links) <= set(ids)
    assert set(SOURCES) <= set(links)
    levels = chromium.execute_script(
        "return [...document.querySelectorAll('h1, h2, h3, h4')].map(e => Number(e.tagName[1]))"
    )
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


@pytest.mark.slow
def test_gap_breaks_the_line_of_its_source_alone(screen: Screen) -> None:
    chromium = screen.look(SEVERAL)
    paths = chromium.execute_script(
        "return [...document.querySelectorAll('#f-together-day .screen .lines path')]"
        ".map(path => [path.closest('[stroke]').getAttribute('stroke'), path.getAttribute('d')])"
    )
    runs = {stroke: drawn.count("M") for stroke, drawn in paths}
    assert sorted(runs.values()) == [1, 1, 1, 2]
    assert runs["var(--source-5)"] == 2  # Copilot
    assert all_of(chromium, "#f-together-day .screen .gaps rect") == []
    assert texts(chromium, "#f-together-day .screen .signs text") == ["\u00d7", "%"]


@pytest.mark.slow
def test_day_in_doubt_is_marked_beside_others_as_in_its_own_part(screen: Screen) -> None:
    chromium = screen.look(SEVERAL)
    own = texts(chromium, f"#f-{COPILOT}-active .marks li")
    beside = texts(chromium, "#f-together-day .marks li")
    assert own[-1] == beside[-1] == f"% {DoubtKind.HELD.meaning}"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.slow
def test_colour_of_a_source_is_its_own_everywhere(dark: bool, screen: Screen) -> None:
    chromium = screen.look(SEVERAL, dark=dark)
    card = one(chromium, ".card").value_of_css_property("background-color")
    colours = []
    for source in SOURCES:
        drawn = one(chromium, f"#f-{source}-active .screen .bars rect")
        colour = chromium.execute_script("return getComputedStyle(arguments[0]).fill", drawn)
        swatch = one(chromium, f"nav a[href='#{source}'] .swatch")
        seen = swatch.value_of_css_property("background-color").replace("rgba(", "rgb(")
        assert seen.startswith(colour.removesuffix(")"))
        assert contrast(colour, card) >= 3
        colours.append(oklab(linear(colour)))
    assert all(distance(*pair) > 0.1 for pair in itertools.combinations(colours, 2))


@pytest.mark.slow
def test_page_of_several_fits_the_screen(screen: Screen) -> None:
    chromium = screen.open(SEVERAL, 768)
    for width in (360, 768, 1280):
        browser.show(chromium, width, dark=width == 360)
        browser.settle(chromium)
        assert chromium.execute_script("return document.documentElement.scrollWidth") <= width
        assert cut_names(chromium) == [], width


def cut_names(chromium: Browser) -> list[str]:
    """The names of lines that do not fit beside their charts."""
    found: list[str] = chromium.execute_script(
        "return [...document.querySelectorAll('.screen .ends text')].filter(text =>"
        " text.getBoundingClientRect().right"
        " > text.closest('svg').getBoundingClientRect().right + 1).map(e => e.textContent)"
    )
    return found


@pytest.mark.slow
def test_short_names_of_lines_are_whole(screen: Screen, home: Home) -> None:
    """Also a name with wide letters: no longer name makes room for it."""
    url = home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
    home.data.mkdir()
    for source in (ANALYTICS, CURSOR):
        put(url, source, {MONTH: [ADA]})
    home.settings["SOURCES"] = f"{ANALYTICS},{CURSOR}"
    assert home.run("report", "--source", "all").code == 0
    browser.show(screen.chromium, 360)
    browser.open_page(screen.chromium, home.data / REPORT)
    screen.forget()
    assert "Augment" in texts(screen.chromium, ".screen .ends text")
    assert cut_names(screen.chromium) == []


@pytest.mark.slow
def test_name_of_a_line_that_ends_at_zero_is_beside_no_date(screen: Screen, home: Home) -> None:
    url = home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
    home.data.mkdir()
    at_work, last = Window(WEEK.start, LAST - timedelta(1)), Window(LAST, LAST)
    for source in (ANALYTICS, CURSOR):
        put(url, source, {at_work: [ADA], last: []})
    home.settings["SOURCES"] = f"{ANALYTICS},{CURSOR}"
    assert home.run("report", f"{WEEK.start}", f"{LAST}", "--source", "all").code == 0
    for media, drawing in (("", "screen"), ("print", "paper")):
        browser.show(screen.chromium, 760, dark=False, media=media)
        browser.open_page(screen.chromium, home.data / REPORT)
        screen.forget()
        names, dates = (
            screen.chromium.execute_script(
                "return [...document.querySelectorAll(arguments[0])].map(text =>"
                " text.getBoundingClientRect().toJSON())",
                f"#f-together-day .{drawing} .{what} text",
            )
            for what in ("ends", "dates")
        )
        assert len(names) == 2
        assert max(name["bottom"] for name in names) <= min(date["top"] for date in dates)


@pytest.mark.heavy
@pytest.mark.slow
def test_page_of_several_is_accessible(screen: Screen) -> None:
    chromium = screen.open(SEVERAL)
    # Two sources are enough, and other pages test their charts: axe is slow.
    chromium.execute_script(
        "document.querySelectorAll('.source:nth-of-type(n+3), .source svg.chart')"
        ".forEach(e => e.remove())"
    )
    assert len(all_of(chromium, ".source")) == 2
    assert audit(chromium) == []


@pytest.mark.slow
def test_each_source_has_its_own_table_of_users(screen: Screen, pages: Pages) -> None:
    chromium = screen.open(SEVERAL)
    names = {
        source: texts(chromium, f"#{source}-user-table tbody th") for source in (COPILOT, CURSOR)
    }
    one(chromium, f"#{COPILOT}-search").send_keys("ada")
    assert len(texts(chromium, f"#{COPILOT}-user-table tbody th")) == 1 < len(names[COPILOT])
    assert texts(chromium, f"#{CURSOR}-user-table tbody th") == names[CURSOR]
    tables = read_report(Path(pages[SEVERAL])).tables
    assert tables[f"{CLAUDE_CODE}-user-table"][0][:3] == [
        "User",
        "Sessions",
        "Total Modified Lines of Code",
    ]
