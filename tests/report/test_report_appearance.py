"""The report in a browser: accessibility, colours, screens of any size, and print."""

from __future__ import annotations

import base64
import itertools
import math
import re
from typing import Any

import pytest

import browser
from browser import Browser, all_of, one
from report_pages import DAY, EMPTY, FULL, GAPS, LARGE, SAME, SCRIPT, SEVERAL, WIDE, Pages, Screen
from report_reading import read_report
from tree import ROOT

# One is enough of several rows with the same elements, classes and attributes, and of such bars and
# lines in a chart: axe examines each element, and computes the contrast of each text.
_LEAVE_ONE_OF_A_KIND = """
const attributes = (element, valued) =>
  [...element.attributes].map(each => valued.includes(each.name) ? each.value : each.name);
const kindOf = (elements, valued) =>
  elements.map(element => element.tagName + attributes(element, valued)).join();
const leaveOne = (elements, kind) => {
  const seen = new Set();
  elements.forEach(element => {
    const found = kind(element);
    if (seen.has(found)) element.remove();
    seen.add(found);
  });
};
document.querySelectorAll('tbody').forEach(body => leaveOne([...body.rows],
  row => kindOf([row, ...row.querySelectorAll('*')], ['class'])));
document.querySelectorAll('svg').forEach(svg => leaveOne([...svg.querySelectorAll('rect, line')],
  mark => kindOf([mark.parentNode, mark], ['class', 'fill', 'stroke', 'aria-label', 'role'])));
"""


def audit(chromium: Browser) -> list[str]:
    """The violations that axe finds, each with the first elements concerned."""
    axe = (ROOT / "tests" / "vendor" / "axe.min.js").read_text("utf-8")
    chromium.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true })")
    chromium.execute_script(_LEAVE_ONE_OF_A_KIND)
    chromium.execute_script(axe)
    found: list[dict[str, Any]] = chromium.execute_async_script(
        "const done = arguments[0];"
        "axe.run(document, {resultTypes: ['violations']})"
        ".then(result => done(result.violations),"
        " error => done([{id: `${error}`, impact: 'critical', nodes: []}]))"
    )
    return [
        f"{each['impact']}: {each['id']}: {[node['html'][:160] for node in each['nodes'][:2]]}"
        for each in found
    ]


PHONE, DESK = (360, False), (1280, True)
"""Width in pixels, and whether the page is dark."""


@pytest.mark.parametrize(
    ("name", "screens"),
    [
        (FULL, [PHONE]),
        pytest.param(FULL, [DESK], marks=pytest.mark.heavy),
        pytest.param(GAPS, [PHONE, DESK], marks=pytest.mark.heavy),
        pytest.param(LARGE, [DESK], marks=pytest.mark.heavy),
        pytest.param(DAY, [PHONE], marks=pytest.mark.heavy),
        pytest.param(EMPTY, [DESK], marks=pytest.mark.heavy),
    ],
    ids=[FULL, f"{FULL} on a desk", GAPS, LARGE, DAY, EMPTY],
)
@pytest.mark.slow
def test_accessibility_check_finds_nothing(
    name: str, screens: list[tuple[int, bool]], screen: Screen
) -> None:
    chromium = screen.open(name)
    for width, dark in screens:
        browser.show(chromium, width, dark=dark)
        browser.settle(chromium)
        assert audit(chromium) == [], (width, dark)


@pytest.mark.slow
def test_headings_are_an_outline(screen: Screen) -> None:
    chromium = screen.look(GAPS)
    script = (
        "return [...document.querySelectorAll('h1, h2, h3, h4')].map(e => Number(e.tagName[1]))"
    )
    levels = chromium.execute_script(script)
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


# Simulations of the three kinds of colour blindness (Machado et al. 2009, severity 1).
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


def distance(left: list[float], right: list[float]) -> float:
    return math.dist(left, right)


def linear(colour: str) -> list[float]:
    parts = [int(part) / 255 for part in colour.strip("rgba()").split(",")[:3]]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def contrast(left: str, right: str) -> float:
    weights = (0.2126, 0.7152, 0.0722)
    lights = [sum(map(float.__mul__, weights, linear(each))) + 0.05 for each in (left, right)]
    return max(lights) / min(lights)


def colour_of(chromium: Browser, chart: str, style: str) -> str:
    """The colour of bars or of a line."""
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


def brightness(colour: str) -> float:
    red, green, blue = (int(part) / 255 for part in colour.strip("rgba()").split(",")[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def colours(chromium: Browser) -> tuple[str, str]:
    body = one(chromium, "body")
    return body.value_of_css_property("background-color"), body.value_of_css_property("color")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.slow
def test_colour_blind_people_can_distinguish_kinds(dark: bool, screen: Screen) -> None:
    chromium = screen.look(GAPS, dark=dark)
    swatches = all_of(chromium, "#f-messages .keys .swatch:not(.before)")
    card = one(chromium, ".card").value_of_css_property("background-color")
    found = [swatch.value_of_css_property("background-color") for swatch in swatches]
    assert len(found) == 5
    assert all(contrast(colour, card) >= 3 for colour in found)
    for seen, matrix in _SEEN.items():
        places = [
            oklab([sum(map(float.__mul__, map(float, row), linear(each))) for row in matrix])
            for each in found
        ]
        assert all(distance(*pair) > 0.1 for pair in itertools.combinations(places, 2)), seen


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.slow
def test_colour_means_one_kind_in_every_chart(dark: bool, screen: Screen, pages: Pages) -> None:
    chromium, report = screen.look(LARGE, dark=dark), read_report(pages[LARGE])
    seen: dict[str, set[str]] = {}
    for chart, spec in report.charts.items():
        for series in (*spec.get("bars", ()), *spec.get("lines", ())):
            colour = colour_of(chromium, chart, series["style"])
            seen.setdefault(series["style"], set()).add(colour)
            swatch = one(chromium, f"#f-{chart} .swatch.{series['style']}")
            assert swatch.value_of_css_property("background-color").startswith(
                colour.replace("rgb(", "rgba(").removesuffix(")")
            )
    assert len(seen) == 8 + 2  # kinds of messages and lines, all people, and people of 28 days
    assert [style for style, colours in seen.items() if len(colours) > 1] == []
    places = [oklab(linear(*colours)) for colours in seen.values()]
    assert all(distance(*pair) > 0.08 for pair in itertools.combinations(places, 2))


@pytest.mark.slow
def test_dark_is_dark_and_paper_is_light(screen: Screen) -> None:
    light, dark = (colours(screen.look(GAPS, dark=dark)) for dark in (False, True))
    assert light != dark
    assert brightness(dark[0]) < 0.1 < 0.8 < brightness(dark[1])
    printed = colours(screen.open(GAPS, dark=True, media="print"))
    assert brightness(printed[1]) < 0.2


@pytest.mark.slow
def test_charts_are_readable_on_paper(screen: Screen) -> None:
    chromium = screen.open(GAPS, dark=True)
    paper = chromium.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    pages = re.findall(rb"/Count (\d+)", base64.b64decode(paper["data"]))
    assert 3 <= int(pages[0]) <= 12
    chromium = screen.open(GAPS, 760, media="print")
    widths = chromium.execute_script(
        "return [...document.querySelectorAll('.plot')].map(plot =>"
        " [...plot.children].filter(svg => svg.getClientRects().length)"
        ".map(svg => svg.getBoundingClientRect().width / svg.width.baseVal.value))"
    )
    assert len(widths) == 9
    for (scale,) in widths:  # one drawing per chart
        assert 0.85 < scale < 1.2


@pytest.mark.slow
def test_paper_has_no_controls(screen: Screen, pages: Pages) -> None:
    chromium, people = screen.open(LARGE, media="print"), len(read_report(pages[LARGE]).rows or [])
    for selector in ("#search", ".tools label", "#next", "#previous", "summary", "#tip"):
        assert not one(chromium, selector).is_displayed(), selector
    script = "return [...document.querySelectorAll('#user-table button')].map(e => e.offsetWidth)"
    assert {*chromium.execute_script(script)} == {0}  # the next page repeats only text
    assert one(chromium, "#user-table thead").text.startswith("User")
    assert one(chromium, "#f-messages .plot").is_displayed()
    assert one(chromium, "#range").text == f"1\u201325 of {people:,}"


@pytest.mark.parametrize("name", [GAPS, SEVERAL, WIDE])
@pytest.mark.slow
def test_tables_fit_on_paper(name: str, screen: Screen) -> None:
    """Paper cannot be scrolled, and what is wider than its card would cover the next one."""
    width = 688  # A4 without the margins of the style sheet
    chromium = screen.open(name, width, media="print")
    assert chromium.execute_script("return document.documentElement.scrollWidth") <= width
    wider = chromium.execute_script(
        "return [...document.querySelectorAll('.card')]"
        ".filter(card => card.scrollWidth > card.clientWidth).map(card => card.textContent)"
    )
    assert wider == []


@pytest.mark.slow
def test_long_names_of_users_are_whole(screen: Screen) -> None:
    chromium = screen.look(GAPS)
    (name,) = [each for each in all_of(chromium, "#user-table tbody th") if each.text == SCRIPT]
    script = "return arguments[0].scrollWidth <= arguments[0].clientWidth"
    assert chromium.execute_script(script, name)


@pytest.mark.parametrize(
    ("name", "width"), [(GAPS, 360), (GAPS, 2200), (FULL, 360), (FULL, 768), (FULL, 1280)]
)
@pytest.mark.slow
def test_page_fits_the_screen(name: str, width: int, screen: Screen) -> None:
    """Nothing is wider than the screen, charts are drawn to size, and dates do not overlap."""
    chromium = screen.look(name, width)
    charts = 11 if name == FULL else 9  # with costs, there are two more: billed and estimated
    script = "return document.documentElement.scrollWidth"
    assert chromium.execute_script(script) <= width
    drawn = chromium.execute_script(
        "return [...document.querySelectorAll('.plot')]"
        ".map(plot => [plot.clientWidth, plot.firstChild.getBoundingClientRect().width,"
        " plot.firstChild.width.baseVal.value])"
    )
    assert len(drawn) == charts
    assert [widths for widths in drawn if len(set(widths)) > 1] == []
    dates = chromium.execute_script(
        "return [...document.querySelectorAll('.screen .dates')].map(dates => [...dates.children]"
        ".map(text => text.getBoundingClientRect()).map(box => [box.left, box.right]))"
    )
    assert len(dates) == charts
    for boxes in dates:
        assert boxes
        assert all(right < left for (_, right), (left, _) in itertools.pairwise(boxes))


@pytest.mark.parametrize("width", [412, 1024])
@pytest.mark.slow
def test_texts_of_charts_are_whole_and_apart(width: int, screen: Screen) -> None:
    """Without its minus or its first digits, a number is another one."""
    chromium = screen.look(WIDE, width)
    drawn = chromium.execute_script(
        "return [...document.querySelectorAll('svg.screen')].flatMap(svg => {"
        " const edge = svg.getBoundingClientRect();"
        " return ['scale', 'values', 'dates'].map(group =>"
        " [...svg.querySelectorAll(`.${group} text`)].map(text => [text.textContent,"
        " text.getBoundingClientRect()]).map(([text, box]) =>"
        " [text, box.left - edge.left, box.right - edge.right, box.left, box.right, box.top]))})"
    )
    texts = {text for group in drawn for text, *_ in group}
    assert {"\u2212400B", "1,170,000,000,025"} <= texts
    for group in drawn:
        assert [text for text, left, right, *_ in group if left < 0 or right > 0] == []
        for (text, *_, right, top), (_, _, _, left, _, level) in itertools.pairwise(group):
            assert right <= left or top != level, text
    for scale, values in zip(drawn[::3], drawn[1::3], strict=True):
        edge = max(right for *_, right, _ in scale)
        assert [text for text, *_, left, _, _ in values if left < edge] == []


@pytest.mark.slow
def test_charts_are_redrawn_for_another_width(screen: Screen) -> None:
    chromium = screen.open(GAPS, 1280)
    for width in (600, 1000):
        browser.show(chromium, width)
        browser.settle(chromium)
        drawn = chromium.execute_script(
            "return [...document.querySelectorAll('.plot')]"
            ".map(plot => [plot.clientWidth, plot.firstChild.width.baseVal.value])"
        )
        assert [widths for widths in drawn if len(set(widths)) > 1] == []


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.slow
def test_lines_that_coincide_are_both_visible(width: int, screen: Screen) -> None:
    chromium = screen.look(SAME, width)
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


@pytest.mark.parametrize(
    ("name", "width"), [(FULL, 360), (FULL, 390), (FULL, 768), (DAY, 360), (DAY, 768)]
)
@pytest.mark.slow
def test_no_blank_band_above_a_table(name: str, width: int, screen: Screen) -> None:
    chromium = screen.look(name, width)
    line = 1.5 * 14.1  # the height of a line in the tables
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
@pytest.mark.slow
def test_telephone_shows_the_sorted_column(width: int, screen: Screen) -> None:
    chromium = screen.look(FULL, width)
    right = chromium.execute_script(
        "return document.querySelector('#user-table [aria-sort=descending]')"
        ".getBoundingClientRect().right"
    )
    assert right <= width
