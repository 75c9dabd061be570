"""The report in a browser: users can be searched, sorted and paged through, and charts read."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

import browser
from browser import all_of, one, texts
from conftest import Home
from dashboard_scraper.report.options import REPORT
from made_up_days import MONTH, store_days, users
from report_pages import DAY, DAYS, GAPS, LARGE, SCRIPT, Pages, Screen
from report_reading import read_report


@pytest.mark.slow
def test_markup_in_a_name_is_not_run(screen: Screen) -> None:
    chromium = screen.open(GAPS)
    assert chromium.title != "Taken"
    one(chromium, "#search").send_keys("'taken'</SCRIPT>")
    assert texts(chromium, "#user-table tbody th") == [SCRIPT]
    assert chromium.title != "Taken"


@pytest.mark.slow
def test_search_finds_any_part_of_a_name(screen: Screen, pages: Pages) -> None:
    chromium, rows = screen.open(LARGE), read_report(pages[LARGE]).rows or []
    named = sorted(row[0] for row in rows if "user010" in row[0])
    one(chromium, "#search").send_keys("USER010")
    assert len(named) > 5
    assert one(chromium, "#found").text == f"{len(named)} of {len(rows):,} users"
    assert sorted(texts(chromium, "#user-table tbody th")) == named
    one(chromium, "#search").send_keys("nobody")
    assert one(chromium, "#found").text == f"0 of {len(rows):,} users"
    assert texts(chromium, "#user-table tbody th") == []


@pytest.mark.slow
def test_search_finds_every_spelling_of_a_name(home: Home, screen: Screen) -> None:
    """As elsewhere, names that differ only in composition and case belong to one person."""
    name = "josé.größe@example.com"
    store_days(home, [name, *users(3)], MONTH)
    assert home.run("report", f"{MONTH.start}", f"{MONTH.end}").code == 0
    screen.forget()
    browser.open_page(screen.chromium, home.data / REPORT)
    for spelling in (name, "JOSE\u0301.GRO\u0308SSE", "José.grösse", "GRÖẞE"):
        one(screen.chromium, "#search").clear()
        one(screen.chromium, "#search").send_keys(spelling)
        assert texts(screen.chromium, "#user-table tbody th") == [name], spelling
    assert one(screen.chromium, "#found").text == "1 of 4 users"


@pytest.mark.slow
def test_every_column_sorts_both_ways(screen: Screen, pages: Pages) -> None:
    chromium, rows = screen.open(LARGE), read_report(pages[LARGE]).rows or []
    assert len(all_of(chromium, "#user-table thead button")) == len(rows[0]) - 1
    clicked = chromium.execute_script(
        "return [...document.querySelectorAll('#user-table thead button')]"
        ".map((head, place) => [1, 2].map(() => {"
        "  head.click();"
        "  return [head.parentElement.getAttribute('aria-sort'),"
        "    document.querySelector('#user-table tbody tr').children[place].textContent.trim(),"
        "    getComputedStyle(head.lastElementChild, '::after').content];"
        "}))"
    )
    for place, seen in enumerate(clicked):
        values = [row[place] for row in rows if row[place] not in (None, "")]
        ways = []
        for sort, first, arrow in seen:
            down = sort == "descending"
            best = max(values) if down else min(values)
            shown = best if isinstance(best, str) else f"{best:,}"
            shown = f"{best:.1f}%" if isinstance(best, float) else shown
            assert first == shown, (place, down)
            ways.append(down)
            assert ("\u25bc" if down else "\u25b2") in arrow, place
        assert ways == ([True, False] if place else [False, True])


@pytest.mark.parametrize(("title", "placeholder"), [("Total Messages", "?"), ("Accept Rate", "")])
@pytest.mark.slow
def test_unknown_values_always_sort_last(title: str, placeholder: str, screen: Screen) -> None:
    chromium = screen.open(DAY)
    one(chromium, "#search").send_keys("user000")
    place = texts(chromium, "#user-table thead button").index(title)
    head = all_of(chromium, "#user-table thead button")[place]
    for _ in range(2):
        head.click()
        *known, last = texts(chromium, f"#user-table tbody tr > :nth-child({place + 1})")
        assert last == placeholder
        assert len(known) > 2
        assert placeholder not in known


@pytest.mark.slow
def test_users_are_paged_through(screen: Screen, pages: Pages) -> None:
    chromium, people = screen.open(LARGE), len(read_report(pages[LARGE]).rows or [])
    assert people > 1000
    assert not one(chromium, "#previous").is_enabled()
    assert one(chromium, "#range").text == f"1\u201325 of {people:,}"
    one(chromium, "#next").click()
    assert one(chromium, "#range").text == f"26\u201350 of {people:,}"
    assert len(texts(chromium, "#user-table tbody th")) == 25
    one(chromium, "#previous").click()
    assert one(chromium, "#range").text == f"1\u201325 of {people:,}"


@pytest.mark.slow
def test_first_rows_match_those_without_the_script(screen: Screen, pages: Pages) -> None:
    for name in (GAPS, LARGE):
        chromium = screen.look(name)
        seen = [
            texts(chromium, f"#user-table tbody tr:nth-child({row + 1}) > *") for row in range(5)
        ]
        report = read_report(pages[name])
        assert seen == report.tables["user-table"][1:6]
        assert f'id="range" class="range">{one(chromium, "#range").text}<' in report.text


@pytest.mark.slow
def test_hovering_a_day_shows_its_figures(screen: Screen, pages: Pages) -> None:
    chromium = screen.open(GAPS)
    hit = all_of(chromium, "#f-active .screen .hits rect")[0]
    chromium.execute_script("arguments[0].scrollIntoView({block: 'center'})", hit)
    browser.settle(chromium)  # the page hides its tooltip when it scrolls
    ActionChains(chromium).move_to_element(hit).perform()
    count = read_report(pages[GAPS]).column("t-active", "Daily active people")[str(DAYS[0])]
    assert f"Daily active people: {count}" in one(chromium, "#tip").text
    assert one(chromium, "#tip").value_of_css_property("visibility") == "visible"


@pytest.mark.slow
def test_arrow_keys_read_a_chart_day_by_day(screen: Screen) -> None:
    chromium = screen.open(GAPS)
    plot = one(chromium, "#f-messages .plot")
    chromium.execute_script("arguments[0].focus({preventScroll: true})", plot)
    plot.send_keys(Keys.ARROW_RIGHT)
    first = one(chromium, "#tip").text
    plot.send_keys(Keys.ARROW_RIGHT * 3)
    assert first.startswith("Mon 3 Mar 2025")
    assert one(chromium, "#tip").text.startswith("Thu 6 Mar 2025: missing")
    plot.send_keys(Keys.ESCAPE)
    assert one(chromium, "#tip").text == ""
