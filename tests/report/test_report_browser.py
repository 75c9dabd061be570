"""The report in a browser: from a file, without a network, for everybody's eyes, ears and hands."""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

import browser
from browser import Browser
from conftest import Home
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.doubts import DoubtKind
from dashboard_scraper.model.usage import DayUsage, UserUsage
from kept_days import mark
from made_up_days import LAST, MONTH, TWO_MONTHS, figures_of, keep_days, users
from report_reading import REPORT, Report, read_report
from take_screenshots import page_in
from tree import ROOT

pytestmark = pytest.mark.skipif(not browser.is_there(), reason="no chromium and chromedriver")

SCRIPT = "</script><script>document.title='Taken'</script>"
DAYS = list(MONTH.days())
GAPS, LARGE, DAY, EMPTY, FULL, SAME = "gaps", "large", "day", "empty", "full", "same"
ALL = [GAPS, LARGE, DAY, EMPTY, FULL]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three organizations, one in which nobody does anything, one in which all do the same, and one
    of which everything is known: teams, editors, languages.
    """

    def page(name: str, code: int = 0) -> Path:
        home = Home(tmp_path_factory.mktemp(name))
        if name == GAPS:
            gaps = {"missing": [DAYS[3], DAYS[20]], "empty": [DAYS[8]], "change": _differs}
            keep_days(home, [SCRIPT, *users(4)], TWO_MONTHS, **gaps)  # type: ignore[arg-type]
            for column, words, days in (
                ("suspicious", "a third of the Mondays before", (DAYS[8], DAYS[14])),
                ("held", f"70 users -> 0 {SCRIPT}", (DAYS[11], DAYS[16])),
            ):
                for day in days:
                    mark(home.settings["STORE_URL"], day, column, words)
        elif name == SAME:
            keep_days(home, users(3), TWO_MONTHS, change=_all_at_work)
        elif name == DAY:
            keep_days(home, users(500), Window(LAST, LAST), change=_four_known)
        else:
            keep_days(home, users(5000) if name == LARGE else [], MONTH)
        assert home.run("report").code == code
        return home.data / REPORT

    found = {name: page(name, 6 * (name == GAPS)) for name in (GAPS, LARGE, DAY, EMPTY, SAME)}
    return found | {FULL: page_in(tmp_path_factory.mktemp(FULL))}


def _all_at_work(usage: DayUsage) -> DayUsage:
    figures = figures_of({"chat_messages": 7})
    return DayUsage(usage.day, [UserUsage(name, figures) for name in users(3)], {})


def _differs(usage: DayUsage) -> DayUsage:
    totals = {"user_count": 99} if usage.day == DAYS[11] else {}
    return DayUsage(usage.day, usage.users, totals)


def _four_known(usage: DayUsage) -> DayUsage:
    """Of the first four: one with an unknown figure, one without completions, and two others."""
    shown: dict[str, int | None] = {"completions_count": 9, "completions_accepted": 3}
    counts: list[dict[str, int | None]] = [
        shown | {"chat_messages": None},
        {"chat_messages": 3},
        shown | {"chat_messages": 4, "completions_accepted": 4},
        shown | {"chat_messages": 5},
    ]
    first = [UserUsage(name, figures_of(each)) for name, each in zip(users(4), counts, strict=True)]
    return DayUsage(usage.day, [*first, *usage.users[4:]], {})


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.started() as started:
        yield started


@pytest.fixture
def opened(chromium: Browser, pages: dict[str, Path]) -> Any:
    """Opens a page by the name of its organization, on a wide screen unless told."""

    def open_it(name: str, width: int = 1280, *, dark: bool = False, media: str = "") -> Browser:
        browser.show(chromium, width, dark=dark, media=media)
        browser.requests_of(chromium)
        browser.console_of(chromium)
        browser.open_page(chromium, pages[name])
        return chromium

    return open_it


def all_of(chromium: Browser, selector: str) -> list[WebElement]:
    return chromium.find_elements(By.CSS_SELECTOR, selector)


def one(chromium: Browser, selector: str) -> WebElement:
    return chromium.find_element(By.CSS_SELECTOR, selector)


def texts(chromium: Browser, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent.trim())"
    found: list[str] = chromium.execute_script(script, selector)
    return found


@pytest.mark.parametrize("name", ALL)
def test_it_loads_without_a_request_and_without_a_complaint(
    name: str, opened: Any, pages: dict[str, Path]
) -> None:
    chromium = opened(name)
    asked = browser.requests_of(chromium)
    assert [url for url in asked if not url.startswith("data:")] == [pages[name].as_uri()]
    assert browser.console_of(chromium) == []
    assert chromium.title.startswith("Augment Code usage")


@pytest.mark.parametrize("name", ALL)
def test_the_numbers_that_are_seen_are_those_of_the_file(
    name: str, opened: Any, pages: dict[str, Path]
) -> None:
    chromium, report = opened(name), read_report(pages[name])
    tiles = [tile.text for tile in all_of(chromium, ".tiles .value")]
    keys = ("active", "total_messages", "total_modified_lines_of_code", "completions_accepted")
    assert tiles == [report.number(key) for key in keys]


def numbers(report: Report, table: str, title: str) -> list[float | None]:
    """A column of a chart's table; None where there is none."""
    told = report.column(table, title).values()
    return [
        float(text.strip("%").replace(",", "")) if text[:1].isdigit() else None for text in told
    ]


def points(chromium: Browser, selector: str) -> list[list[float]]:
    """The places of a line, in pixels from the left and the top of its drawing."""
    paths = chromium.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map(e => e.getAttribute('d'))",
        selector,
    )
    return [
        [float(number) for number in place.split(",")]
        for path in paths
        for place in re.findall(r"[-\d.]+,[-\d.]+", path)
    ]


def base_of(chromium: Browser, chart: str) -> float:
    """Where zero is drawn."""
    script = (
        "const box = document.querySelector(arguments[0]);"
        "return box.y.baseVal.value + box.height.baseVal.value"
    )
    return float(chromium.execute_script(script, f"#f-{chart} .screen .hits rect"))


def heights(chromium: Browser, chart: str, style: str) -> list[float]:
    """Of the bars that are not flat."""
    script = (
        "return [...document.querySelectorAll(arguments[0])]"
        ".map(e => e.height.baseVal.value).filter(height => height)"
    )
    bars = f"#f-{chart} .screen .bars rect[fill='var(--{style})']"
    return list(chromium.execute_script(script, bars))


@pytest.mark.parametrize("name", [GAPS, LARGE, FULL])
def test_bars_are_as_high_as_their_numbers(name: str, opened: Any, pages: dict[str, Path]) -> None:
    chromium, report = opened(name), read_report(pages[name])
    for chart in ("active", "messages", "lines", "accepted"):
        head = report.tables[f"t-{chart}"][0]
        styles = [series["style"] for series in report.charts[chart]["bars"]]
        scale = None
        for style, title in zip(styles, head[1:-1], strict=True):
            drawn = heights(chromium, chart, style)
            told = [number for number in numbers(report, f"t-{chart}", title) if number]
            assert len(drawn) == len(told) > 0, (chart, title)
            scale = scale or sum(drawn) / sum(told)
            for height, number in zip(drawn, told, strict=True):
                assert height == pytest.approx(number * scale, abs=0.2), (chart, title)


@pytest.mark.parametrize("name", [GAPS, LARGE])
def test_lines_are_where_their_numbers_are_and_begin_anew_after_a_gap(
    name: str, opened: Any, pages: dict[str, Path]
) -> None:
    chromium, report = opened(name), read_report(pages[name])
    rates = numbers(report, "t-rate", "Accept Rate")
    base, top = base_of(chromium, "rate"), 18
    runs = [
        list(run) for known, run in itertools.groupby(rates, lambda rate: rate is not None) if known
    ]
    told = [rate for rate in rates if rate is not None]
    drawn = points(chromium, "#f-rate .screen .lines path")
    assert len(drawn) == len(told) > 0
    for (_, y), rate in zip(drawn, told, strict=True):
        assert y == pytest.approx(base - (base - top) * rate / 100, abs=0.1)
    path = one(chromium, "#f-rate .screen .lines path").get_attribute("d") or ""
    assert path.count("M") == len(runs)
    alone = all_of(chromium, "#f-rate .screen .lines circle")
    assert len(alone) == len([run for run in runs if len(run) == 1])


def test_the_period_before_is_drawn_where_its_numbers_are(
    opened: Any, pages: dict[str, Path]
) -> None:
    chromium, report = opened(FULL), read_report(pages[FULL])
    told = [number for number in numbers(report, "t-active", "Daily active people") if number]
    scale = sum(heights(chromium, "active", "people")) / sum(told)
    script = "return [...document.querySelectorAll(arguments[0])].map(e => e.dataset.tip)"
    tips = chromium.execute_script(script, "#f-active .screen .hits rect")
    before = [int(tip.rpartition("the period before: ")[2]) for tip in tips]
    drawn = points(chromium, "#f-active .screen .earlier path")
    assert len(before) == len(drawn) == 28
    for (_, y), number in zip(drawn, before, strict=True):
        assert y == pytest.approx(base_of(chromium, "active") - number * scale, abs=0.3)


def test_a_missing_day_is_a_gap_in_every_chart_over_days(opened: Any) -> None:
    chromium = opened(GAPS)
    charts = ("active", "messages", "lines", "accepted", "rate")
    for chart in charts:
        assert len(all_of(chromium, f"#f-{chart} .screen .gaps rect")) == 2, chart
        marks = texts(chromium, f"#f-{chart} .screen .signs text")
        assert marks.count("\u00d7") == 2, chart
        assert marks.count("!") == 1, chart  # the worst of what it has
        assert marks.count("*") == 2, chart
        assert marks.count("%") == 1, chart


def test_days_in_doubt_say_why_where_they_are_pointed_at_and_in_the_list(opened: Any) -> None:
    chromium = opened(GAPS)
    boxes = all_of(chromium, ".strip .doubtful")
    assert [box.text for box in boxes] == ["*", "!", "*", "%"]
    ActionChains(chromium).move_to_element(boxes[1]).perform()
    both = one(chromium, "#tip").text
    assert "Daily active people: the source says 99, the users' sum is " in both
    assert f"; held: 70 users -> 0 {SCRIPT}" in both
    script = "return [...document.querySelectorAll(arguments[0])].map(e => e.dataset.tip)"
    tips = chromium.execute_script(script, "#f-active .screen .hits rect")
    assert "suspicious: a third of the Mondays before; nobody was active\n" in tips[8]
    listed = texts(chromium, ".whole ul li")
    assert [text for text in listed if text.startswith("Suspicious: ")] == [
        f"Suspicious: {DAYS[8]}: a third of the Mondays before; {DAYS[14]}: a third of the Mondays"
        " before"
    ]
    held = f"Newer figures of the source are held, and not in force: {DAYS[11]}: 70 users -> 0 "
    assert [text for text in listed if text.startswith(held)]
    remarks = texts(chromium, "#t-active td:last-child")
    assert remarks[8] == f"{DoubtKind.SUSPICIOUS.meaning}; fetched, and nobody was active"
    assert remarks[16] == DoubtKind.HELD.meaning
    assert f"* With 2 days on which {DoubtKind.SUSPICIOUS.meaning}" in texts(chromium, ".note")
    assert browser.console_of(chromium) == []


def test_a_day_of_which_one_kind_is_unknown_has_no_bar_but_a_gap(opened: Any) -> None:
    chromium = opened(DAY)
    assert len(all_of(chromium, "#f-messages .screen .gaps rect")) == 1
    assert all_of(chromium, "#f-messages .screen .bars rect") == []
    assert all_of(chromium, "#f-lines .screen .gaps rect") == []
    assert len(all_of(chromium, "#f-lines .screen .bars rect")) == 5


def test_a_name_with_markup_in_it_is_shown_and_not_run(opened: Any) -> None:
    chromium = opened(GAPS)
    assert chromium.title != "Taken"
    one(chromium, "#search").send_keys("'taken'</SCRIPT>")
    assert texts(chromium, "#user-table tbody th") == [SCRIPT]
    assert chromium.title != "Taken"


def test_searching_finds_by_any_part_of_the_name(opened: Any) -> None:
    chromium = opened(LARGE)
    one(chromium, "#search").send_keys("USER012")
    assert one(chromium, "#found").text == "10 of 5,000 users"
    assert sorted(texts(chromium, "#user-table tbody th")) == [
        f"user012{last}@example.com" for last in range(10)
    ]
    one(chromium, "#search").send_keys("nobody")
    assert one(chromium, "#found").text == "0 of 5,000 users"
    assert texts(chromium, "#user-table tbody th") == []


def test_sorting_works_for_every_column_both_ways(opened: Any, pages: dict[str, Path]) -> None:
    chromium, rows = opened(LARGE), read_report(pages[LARGE]).rows or []
    heads = all_of(chromium, "#user-table thead button")
    assert len(heads) == len(rows[0]) - 1
    for place, head in enumerate(heads):
        values = [row[place] for row in rows if row[place] not in (None, "")]
        ways = []
        for _ in range(2):
            head.click()
            down = head.find_element(By.XPATH, "..").get_attribute("aria-sort") == "descending"
            first = texts(chromium, f"#user-table tbody tr:first-child > :nth-child({place + 1})")
            best = max(values) if down else min(values)
            shown = best if isinstance(best, str) else f"{best:,}"
            shown = f"{best:.1f}%" if isinstance(best, float) else shown
            assert first == [shown], (place, down)
            ways.append(down)
            arrow = chromium.execute_script(
                "return getComputedStyle(arguments[0].lastElementChild, '::after').content", head
            )
            assert ("\u25bc" if down else "\u25b2") in arrow, place
        assert ways == ([True, False] if place else [False, True])


@pytest.mark.parametrize(("title", "there_is_none"), [("Total Messages", "?"), ("Accept Rate", "")])
def test_what_is_unknown_or_blank_comes_last_whichever_way_one_sorts(
    title: str, there_is_none: str, opened: Any
) -> None:
    chromium = opened(DAY)
    one(chromium, "#search").send_keys("user000")
    place = texts(chromium, "#user-table thead button").index(title)
    head = all_of(chromium, "#user-table thead button")[place]
    for _ in range(2):
        head.click()
        *known, last = texts(chromium, f"#user-table tbody tr > :nth-child({place + 1})")
        assert last == there_is_none
        assert len(known) > 2
        assert there_is_none not in known


def test_all_users_can_be_paged_through(opened: Any) -> None:
    chromium = opened(LARGE)
    assert not one(chromium, "#previous").is_enabled()
    assert one(chromium, "#range").text == "1\u201325 of 5,000"
    one(chromium, "#next").click()
    assert one(chromium, "#range").text == "26\u201350 of 5,000"
    assert len(texts(chromium, "#user-table tbody th")) == 25
    one(chromium, "#previous").click()
    assert one(chromium, "#range").text == "1\u201325 of 5,000"


def test_the_first_rows_are_the_same_without_the_script(
    opened: Any, pages: dict[str, Path]
) -> None:
    for name in (GAPS, LARGE):
        chromium = opened(name)
        seen = [
            texts(chromium, f"#user-table tbody tr:nth-child({row + 1}) > *") for row in range(5)
        ]
        assert seen == read_report(pages[name]).tables["user-table"][1:6]


def test_pointing_at_a_day_tells_its_figures(opened: Any, pages: dict[str, Path]) -> None:
    chromium = opened(GAPS)
    hit = all_of(chromium, "#f-active .screen .hits rect")[0]
    chromium.execute_script("arguments[0].scrollIntoView({block: 'center'})", hit)
    settle(chromium)  # told of the scrolling, the page hides what it shows
    ActionChains(chromium).move_to_element(hit).perform()
    count = read_report(pages[GAPS]).column("t-active", "Daily active people")[str(DAYS[0])]
    assert f"Daily active people: {count}" in one(chromium, "#tip").text
    assert one(chromium, "#tip").value_of_css_property("visibility") == "visible"


def test_the_keyboard_reads_a_chart_day_by_day(opened: Any) -> None:
    chromium = opened(GAPS)
    plot = one(chromium, "#f-messages .plot")
    chromium.execute_script("arguments[0].focus({preventScroll: true})", plot)
    plot.send_keys(Keys.ARROW_RIGHT)
    first = one(chromium, "#tip").text
    plot.send_keys(Keys.ARROW_RIGHT * 3)
    assert first.startswith("Mon 3 Mar")
    assert one(chromium, "#tip").text.startswith("Thu 6 Mar: missing")
    plot.send_keys(Keys.ESCAPE)
    assert one(chromium, "#tip").text == ""


@pytest.mark.parametrize("name", [GAPS, FULL])
@pytest.mark.parametrize("width", [360, 768, 1280, 2200])
def test_nothing_is_wider_than_the_screen_and_text_stays_readable(
    width: int, name: str, opened: Any
) -> None:
    chromium = opened(name, width)
    script = "return document.documentElement.scrollWidth"
    assert chromium.execute_script(script) <= width
    drawn = chromium.execute_script(
        "return [...document.querySelectorAll('.plot')]"
        ".map(plot => [plot.clientWidth, plot.firstChild.getBoundingClientRect().width,"
        " plot.firstChild.width.baseVal.value])"
    )
    assert len(drawn) == 9
    assert [widths for widths in drawn if len(set(widths)) > 1] == []
    dates = chromium.execute_script(
        "return [...document.querySelectorAll('.screen .dates')].map(dates => [...dates.children]"
        ".map(text => text.getBoundingClientRect()).map(box => [box.left, box.right]))"
    )
    assert len(dates) == 9
    for boxes in dates:
        assert boxes
        assert all(right < left for (_, right), (left, _) in itertools.pairwise(boxes))


def test_charts_are_drawn_anew_for_another_width(opened: Any) -> None:
    chromium = opened(GAPS, 1280)
    for width in (600, 1000):
        browser.show(chromium, width)
        settle(chromium)
        drawn = chromium.execute_script(
            "return [...document.querySelectorAll('.plot')]"
            ".map(plot => [plot.clientWidth, plot.firstChild.width.baseVal.value])"
        )
        assert [widths for widths in drawn if len(set(widths)) > 1] == []


def settle(chromium: Browser) -> None:
    """Until what follows from a change is drawn."""
    chromium.execute_async_script(
        "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"
    )


def colours(chromium: Browser) -> tuple[str, str]:
    body = one(chromium, "body")
    return body.value_of_css_property("background-color"), body.value_of_css_property("color")


def test_dark_is_dark_and_paper_is_light(opened: Any) -> None:
    light, dark = (colours(opened(GAPS, dark=dark)) for dark in (False, True))
    assert light != dark
    assert brightness(dark[0]) < 0.1 < 0.8 < brightness(dark[1])
    printed = colours(opened(GAPS, dark=True, media="print"))
    assert brightness(printed[1]) < 0.2


def test_paper_has_every_chart_as_large_as_it_can_be_read(opened: Any) -> None:
    chromium = opened(GAPS, dark=True)
    paper = chromium.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    pages = re.findall(rb"/Count (\d+)", base64.b64decode(paper["data"]))
    assert 3 <= int(pages[0]) <= 12
    chromium = opened(GAPS, 760, media="print")
    widths = chromium.execute_script(
        "return [...document.querySelectorAll('.plot')].map(plot =>"
        " [...plot.children].filter(svg => svg.getClientRects().length)"
        ".map(svg => svg.getBoundingClientRect().width / svg.width.baseVal.value))"
    )
    assert len(widths) == 9
    for (scale,) in widths:  # one drawing each
        assert 0.85 < scale < 1.2


def test_paper_has_no_controls_and_says_how_many_users_it_lacks(opened: Any) -> None:
    chromium = opened(LARGE, media="print")
    for selector in ("#search", ".tools label", "#next", "#previous", "summary", "#tip"):
        assert not one(chromium, selector).is_displayed(), selector
    assert one(chromium, "#f-messages .plot").is_displayed()
    assert one(chromium, "#range").text == "1\u201325 of 5,000"


def brightness(colour: str) -> float:
    red, green, blue = (int(part) / 255 for part in colour.strip("rgba()").split(",")[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def audit(chromium: Browser) -> list[str]:
    """What axe finds, each with the first element that it is about."""
    axe = (ROOT / "tests" / "vendor" / "axe.min.js").read_text("utf-8")
    chromium.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true })")
    chromium.execute_script(axe)
    found: list[dict[str, Any]] = chromium.execute_async_script(
        "const done = arguments[0];"
        "axe.run(document).then(result => done(result.violations), error => done([{id: `${error}`,"
        " impact: 'critical', nodes: []}]))"
    )
    return [
        f"{each['impact']}: {each['id']}: {[node['html'][:160] for node in each['nodes'][:2]]}"
        for each in found
    ]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_accessibility_check_finds_nothing(
    name: str, dark: bool, width: int, opened: Any
) -> None:
    chromium = opened(name, width, dark=dark)
    assert audit(chromium) == []


def test_the_headings_are_an_outline(opened: Any) -> None:
    chromium = opened(GAPS)
    script = (
        "return [...document.querySelectorAll('h1, h2, h3, h4')].map(e => Number(e.tagName[1]))"
    )
    levels = chromium.execute_script(script)
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


# What people see who lack one of three kinds of cones (Machado et al. 2009, severity 1).
_SEEN = {
    "by all": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "without red cones": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "without green cones": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "without blue cones": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}


def oklab(linear: list[float]) -> list[float]:
    red, green, blue = (min(1.0, max(0.0, part)) for part in linear)
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    medium = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return [
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    ]


def linear(colour: str) -> list[float]:
    parts = [int(part) / 255 for part in colour.strip("rgba()").split(",")[:3]]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("seen", _SEEN)
def test_the_kinds_can_be_told_apart_whatever_cones_one_has(
    seen: str, dark: bool, opened: Any
) -> None:
    chromium = opened(GAPS, dark=dark)
    swatches = all_of(chromium, "#f-messages .keys .swatch:not(.before)")
    card = one(chromium, ".card").value_of_css_property("background-color")
    found = [swatch.value_of_css_property("background-color") for swatch in swatches]
    assert len(found) == 5
    places = [
        oklab([sum(map(float.__mul__, map(float, row), linear(each))) for row in _SEEN[seen]])
        for each in found
    ]
    for i, left in enumerate(places):
        assert contrast(found[i], card) >= 3
        for right in places[i + 1 :]:
            assert sum((a - b) ** 2 for a, b in zip(left, right, strict=True)) ** 0.5 > 0.1


def contrast(left: str, right: str) -> float:
    weights = (0.2126, 0.7152, 0.0722)
    lights = [sum(map(float.__mul__, weights, linear(each))) + 0.05 for each in (left, right)]
    return max(lights) / min(lights)


def colour_of(chromium: Browser, chart: str, style: str) -> str:
    """As it is drawn, of the bars or of a line."""
    drawn = ", ".join(
        f"#f-{chart} .screen :is(.bars, .lines){inside}[{attribute}='var(--{style})']"
        for attribute in ("fill", "stroke")
        for inside in ("", " ")
    )
    script = (
        "const seen = getComputedStyle(document.querySelector(arguments[0]));"
        "return seen.stroke.startsWith('rgb') && seen.fill === 'none' ? seen.stroke : seen.fill"
    )
    return str(chromium.execute_script(script, drawn))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_colour_means_one_kind_in_every_chart(
    dark: bool, opened: Any, pages: dict[str, Path]
) -> None:
    chromium, report = opened(LARGE, dark=dark), read_report(pages[LARGE])
    seen: dict[str, set[str]] = {}
    for chart, spec in report.charts.items():
        for series in (*spec.get("bars", ()), *spec.get("lines", ())):
            colour = colour_of(chromium, chart, series["style"])
            seen.setdefault(series["style"], set()).add(colour)
            swatch = one(chromium, f"#f-{chart} .swatch.{series['style']}")
            assert swatch.value_of_css_property("background-color").startswith(
                colour.replace("rgb(", "rgba(").removesuffix(")")
            )
    assert len(seen) == 8 + 2  # kinds of messages and lines; everybody, and 28 days
    assert [style for style, colours in seen.items() if len(colours) > 1] == []
    places = [oklab(linear(*colours)) for colours in seen.values()]
    for left, right in itertools.combinations(places, 2):
        assert sum((a - b) ** 2 for a, b in zip(left, right, strict=True)) ** 0.5 > 0.08


@pytest.mark.parametrize("width", [360, 1280])
def test_lines_that_agree_are_both_seen_and_named(width: int, opened: Any) -> None:
    chromium = opened(SAME, width)
    drawn = chromium.execute_script(
        "return [...document.querySelectorAll('#f-distinct .screen .lines path')].map(path =>"
        " [path.getAttribute('d'), getComputedStyle(path).stroke,"
        " parseFloat(getComputedStyle(path).strokeWidth)])"
    )
    (under, *_), (over, *_) = drawn
    assert under == over
    assert drawn[0][1] != drawn[1][1]
    assert drawn[0][2] >= 2 * drawn[1][2]
    order = chromium.execute_script(
        "return [...document.querySelectorAll('#f-distinct .screen :is(.lines, .earlier)')]"
        ".filter(group => group.querySelector('path')).map(group => group.classList[0])"
    )
    assert order == ["lines", "earlier", "earlier", "lines"]
    boxes = chromium.execute_script(
        "return ['.ends text:first-child', '.ends text:last-child', '']"
        ".map(each => document.querySelector(`#f-distinct svg.screen ${each}`)"
        ".getBoundingClientRect()).map(box => [box.top, box.bottom, box.left, box.right])"
    )
    *names, chart = boxes
    above, below = sorted(names)
    assert above[1] <= below[0] + 3  # a box is higher than its letters
    for top, bottom, left, right in names:
        assert chart[0] <= top < bottom <= chart[1]
        assert chart[2] <= left < right <= chart[3]


@pytest.mark.parametrize("name", [FULL, DAY])
@pytest.mark.parametrize("width", [360, 390, 768])
def test_no_blank_band_is_above_a_table(width: int, name: str, opened: Any) -> None:
    chromium = opened(name, width)
    line = 1.5 * 14.1  # of the tables' text
    heads = chromium.execute_script(
        "return [...document.querySelectorAll('.tabled thead, #user-table thead')]"
        ".map(head => head.getBoundingClientRect().height)"
    )
    assert heads
    assert max(heads) <= 2 * line + 16
    blank = chromium.execute_script(
        "const tools = document.querySelector('#users .tools').getBoundingClientRect();"
        "const box = document.querySelector('#users .scroll').getBoundingClientRect();"
        "const lines = [...document.querySelectorAll('#user-table thead .line')]"
        ".map(line => line.getBoundingClientRect()).filter(line => line.right <= box.right);"
        "return Math.min(...lines.map(line => line.top)) - tools.bottom"
    )
    assert 0 <= blank < 1.5 * line


@pytest.mark.parametrize("width", [360, 390])
def test_a_telephone_shows_what_the_users_are_sorted_by(width: int, opened: Any) -> None:
    chromium = opened(FULL, width)
    right = chromium.execute_script(
        "return document.querySelector('#user-table [aria-sort=descending]')"
        ".getBoundingClientRect().right"
    )
    assert right <= width
