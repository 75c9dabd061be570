"""The report in a browser: it loads offline, and draws the numbers in the file."""

from __future__ import annotations

import itertools
import re

import pytest
from selenium.webdriver.common.action_chains import ActionChains

import browser
from browser import Browser, all_of, one, texts
from dashboard_scraper.model.doubts import DoubtKind
from report_pages import ALL, DAY, DAYS, FULL, GAPS, LARGE, SCRIPT, Pages, Screen
from report_reading import Report, read_report


@pytest.mark.parametrize("name", ALL)
@pytest.mark.slow
def test_page_loads_offline_without_errors(name: str, screen: Screen, pages: Pages) -> None:
    """The visible tiles are those of the file."""
    chromium = screen.open(name)
    asked = browser.requests_of(chromium)
    assert [url for url in asked if not url.startswith("data:")] == [pages[name].as_uri()]
    assert browser.console_of(chromium) == []
    assert chromium.title.startswith("Augment Code usage")
    tiles = [tile.text for tile in all_of(chromium, ".tiles .value")]
    keys = ("active", "total_messages", "total_modified_lines_of_code", "completions_accepted")
    report = read_report(pages[name])
    assert tiles == [report.number(key) for key in keys]


def numbers(report: Report, table: str, title: str) -> list[float | None]:
    """A column of a chart's table; None for cells without a number."""
    cells = report.column(table, title).values()
    return [
        float(text.strip("%").replace(",", "")) if text[:1].isdigit() else None for text in cells
    ]


def points(chromium: Browser, selector: str) -> list[list[float]]:
    """The points of a line, in pixels from the left and the top of its drawing."""
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
    """The height at which zero is drawn, in pixels."""
    script = (
        "const box = document.querySelector(arguments[0]);"
        "return box.y.baseVal.value + box.height.baseVal.value"
    )
    return float(chromium.execute_script(script, f"#f-{chart} .screen .hits rect"))


def heights(chromium: Browser, chart: str, style: str) -> list[float]:
    """The heights of the bars that are not zero, in pixels."""
    script = (
        "return [...document.querySelectorAll(arguments[0])]"
        ".map(e => e.height.baseVal.value).filter(height => height)"
    )
    bars = f"#f-{chart} .screen .bars rect[fill='var(--{style})']"
    return list(chromium.execute_script(script, bars))


@pytest.mark.parametrize("name", [GAPS, LARGE, FULL])
@pytest.mark.slow
def test_bars_match_their_numbers(name: str, screen: Screen, pages: Pages) -> None:
    chromium, report = screen.look(name), read_report(pages[name])
    for chart in ("active", "messages", "lines", "accepted"):
        head = report.tables[f"t-{chart}"][0]
        styles = [series["style"] for series in report.charts[chart]["bars"]]
        scale = None
        for style, title in zip(styles, head[1:-1], strict=True):
            drawn = heights(chromium, chart, style)
            expected = [number for number in numbers(report, f"t-{chart}", title) if number]
            assert len(drawn) == len(expected) > 0, (chart, title)
            scale = scale or sum(drawn) / sum(expected)
            for height, number in zip(drawn, expected, strict=True):
                assert height == pytest.approx(number * scale, abs=0.2), (chart, title)


@pytest.mark.parametrize("name", [GAPS, LARGE])
@pytest.mark.slow
def test_lines_match_their_numbers(name: str, screen: Screen, pages: Pages) -> None:
    chromium, report = screen.look(name), read_report(pages[name])
    rates = numbers(report, "t-rate", "Accept Rate")
    base, top = base_of(chromium, "rate"), 18
    runs = [
        list(run) for known, run in itertools.groupby(rates, lambda rate: rate is not None) if known
    ]
    known = [rate for rate in rates if rate is not None]
    drawn = points(chromium, "#f-rate .screen .lines path")
    assert len(drawn) == len(known) > 0
    for (_, y), rate in zip(drawn, known, strict=True):
        assert y == pytest.approx(base - (base - top) * rate / 100, abs=0.1)
    path = one(chromium, "#f-rate .screen .lines path").get_attribute("d") or ""
    assert path.count("M") == len(runs)
    alone = all_of(chromium, "#f-rate .screen .lines circle")
    assert len(alone) == len([run for run in runs if len(run) == 1])


@pytest.mark.slow
def test_earlier_period_is_drawn_to_scale(screen: Screen, pages: Pages) -> None:
    chromium, report = screen.look(FULL), read_report(pages[FULL])
    active = [number for number in numbers(report, "t-active", "Daily active people") if number]
    scale = sum(heights(chromium, "active", "people")) / sum(active)
    script = "return [...document.querySelectorAll(arguments[0])].map(e => e.dataset.tip)"
    tips = chromium.execute_script(script, "#f-active .screen .hits rect")
    before = [int(tip.rpartition("the period before: ")[2]) for tip in tips]
    drawn = points(chromium, "#f-active .screen .earlier path")
    assert len(before) == len(drawn) == 28
    for (_, y), number in zip(drawn, before, strict=True):
        assert y == pytest.approx(base_of(chromium, "active") - number * scale, abs=0.3)


@pytest.mark.slow
def test_missing_day_is_a_gap_in_every_chart(screen: Screen) -> None:
    chromium = screen.look(GAPS)
    charts = ("active", "messages", "lines", "accepted", "rate")
    for chart in charts:
        assert len(all_of(chromium, f"#f-{chart} .screen .gaps rect")) == 2, chart
        marks = texts(chromium, f"#f-{chart} .screen .signs text")
        assert marks.count("\u00d7") == 2, chart
        assert marks.count("!") == 1, chart  # the most important mark of a day that has two
        assert marks.count("*") == 2, chart
        assert marks.count("%") == 1, chart


@pytest.mark.slow
def test_days_in_doubt_say_why(screen: Screen) -> None:
    chromium = screen.open(GAPS)
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


@pytest.mark.slow
def test_unknown_kind_makes_the_day_a_gap(screen: Screen) -> None:
    chromium = screen.look(DAY)
    assert len(all_of(chromium, "#f-messages .screen .gaps rect")) == 1
    assert all_of(chromium, "#f-messages .screen .bars rect") == []
    assert all_of(chromium, "#f-lines .screen .gaps rect") == []
    assert len(all_of(chromium, "#f-lines .screen .bars rect")) == 5
