"""The page's terms, its number formats, and the people it names."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from conftest import Home
from dashboard_scraper.cli.wiring import audience_of, report_options
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import LINES, parts_of
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.report.charts import style_of
from dashboard_scraper.report.figures import LINE_KINDS, MESSAGE_KINDS
from dashboard_scraper.report.render import page_of
from dashboard_scraper.report.texts import against, mean, number, points, rate, share, signed
from dashboard_scraper.settings.config import load_settings
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import store_at
from made_up_days import LAST, MONTH, TWO_MONTHS, figures_of, store_days, users
from report_reading import Report, read_text

THREE_MONTHS = Window(LAST - timedelta(83), LAST)
AT_WORK = figures_of({"chat_messages": 7, "completions_count": 3, "completions_accepted": 1})


def page(home: Home, window: Window = MONTH, **overrides: Any) -> Report:
    """The page of a window, made in this process."""
    settings = load_settings(home.path, store_url=home.settings["STORE_URL"], **overrides)
    with store_at(settings.store_url).reading() as reader:
        text = page_of(reader, [DASHBOARD], window, audience_of(settings), report_options(settings))
    return read_text(text.decode())


def tiles(report: Report) -> list[tuple[str, str, str]]:
    """Key, name and value of each number."""
    found = re.findall(
        r'data-number="([\w-]+)">.*?class="term"[^>]*>([^<]+)<.*?class="value">([^<]+)<',
        report.text,
        re.DOTALL,
    )
    assert len(found) >= 12
    return found


@pytest.mark.parametrize("days", [7, 28, 40], ids="{} days".format)
@pytest.mark.slow
def test_every_tile_has_its_own_name_and_number(days: int, home: Home) -> None:
    store_days(home, users(9), THREE_MONTHS)
    report = page(home, Window(LAST - timedelta(days - 1), LAST))
    keys, names, _ = zip(*tiles(report), strict=True)
    for each in (keys, names):
        assert [name for name, count in Counter(each).items() if count > 1] == []
    assert ("Monthly active people" in names) == (days != 28)  # else these are the active people


@pytest.mark.slow
def test_accept_rate_appears_once_beside_its_chart(home: Home) -> None:
    store_days(home, users(9), TWO_MONTHS)
    report = page(home)
    reported = report.number("acceptance_rate")
    assert re.fullmatch(r"\d+\.\d%", reported)
    prose = re.sub(r"<table.*?</table>|<script.*?</script>", "", report.text, flags=re.DOTALL)
    assert prose.count(reported) == 1


@pytest.mark.slow
def test_more_accepted_than_shown_has_a_remark(home: Home) -> None:
    """The remark stands beside a rate over 100 % and on a day on which nothing was shown."""
    days = {LAST - timedelta(2): (4, 5), LAST - timedelta(1): (0, 1), LAST: (5, 5)}

    def change(usage: DayUsage) -> DayUsage:
        shown, accepted = days[usage.day]
        counts = {"completions_count": shown, "completions_accepted": accepted}
        return DayUsage(usage.day, [UserUsage(users(1)[0], figures_of(counts))])

    window = Window(min(days), LAST)
    store_days(home, users(1), window, change=change)
    report = page(home, window)
    assert [cells[1] for cells in report.tables["t-rate"][1:]] == ["125.0%", "none", "100.0%"]
    assert "More accepted than shown: 2025-03-28 to 2025-03-29." in report.words


def test_each_kind_of_number_has_one_format() -> None:
    assert [number(count) for count in (0, 1234, None)] == ["0", "1,234", "unknown"]
    assert [mean(value) for value in (124, 125.75, 3164.0)] == ["124.0", "125.8", "3,164.0"]
    assert [rate(value) for value in (33.08, 33.0, 100.0)] == ["33.1%", "33.0%", "100.0%"]
    parts = [(0, 9), (1, 999), (1, 3), (998, 999), (9, 9), (1, 0)]
    assert [share(*each) for each in parts] == ["0%", "<1%", "33%", ">99%", "100%", ""]
    changes = (12.4, -3.6, 0.4, -0.4, 0.0, 1234.0, None)
    expected = ["+12%", "\u22124%", "\u00b10%", "\u00b10%", "no change", "+1,234%", ""]
    assert [signed(change) for change in changes] == expected
    assert against(3, 2, ()) == "+50% against 2 before"
    assert against(3, 0, ()) == "0 before"
    assert points(33.1, 30.0, ()) == "+3.1 points against 30.0% before"
    assert points(33.1, 33.12, ()) == "\u00b10.0 points against 33.1% before"
    assert points(30.0, 30.0, ()) == "no change against 30.0% before"


@pytest.mark.slow
def test_rates_and_averages_have_one_decimal(home: Home) -> None:
    store_days(home, users(9), TWO_MONTHS)
    report = page(home)
    for table, title in (("t-rate", "Accept Rate"), ("user-table", "Accept Rate")):
        reported = set(report.column(table, title).values()) - {"", "none"}
        assert [text for text in reported if not re.fullmatch(r"\d+\.\d%", text)] == []
    means = report.column("t-weekday", "Daily active people").values()
    assert [text for text in means if not re.fullmatch(r"\d+\.\d", text)] == []
    assert report.charts["weekday"]["texts"] == list(means)
    rates = [row[-2] for row in report.rows or [] if row[-2] != ""]
    assert rates == [round(value, 1) for value in rates]


@pytest.mark.parametrize(
    ("window", "missing", "reason"),
    [
        (THREE_MONTHS, (), ""),
        (MONTH, (), "the period before is not in the store"),
        (TWO_MONTHS, [MONTH.start - timedelta(3)], "days of the period before are missing"),
        (TWO_MONTHS, [LAST], "days of the period are missing"),
        (
            TWO_MONTHS,
            [LAST, MONTH.start - timedelta(3)],
            "days of the period and of the period before are missing",
        ),
    ],
    ids=["whole", "first", "gap before", "gap", "gaps"],
)
@pytest.mark.slow
def test_missing_days_are_noted_where_they_matter(
    window: Window, missing: list[Any], reason: str, home: Home
) -> None:
    store_days(home, users(9), window, missing=missing)
    report = page(home)
    movement = ("new", "stayed", "lapsed")
    unknown = [key for key in movement if report.number(key) == "unknown"]
    assert unknown == (list(movement) if reason else [])
    if reason:
        idle_too = reason == "days of the period are missing"
        assert report.words.count(f" {reason} ") == 3 + idle_too
    whole = LAST not in missing
    assert ("A gap is a day" in report.words) == (not whole)
    if whole and window is THREE_MONTHS:
        assert re.findall(r"\w* ?(?:missing|gap\b|unknown)", report.words) == []


@pytest.mark.slow
def test_days_that_may_still_change_are_marked(home: Home) -> None:
    """The last days of a nightly page: readers who compare them with others must know."""
    before = LAST - timedelta(1)
    store_days(home, users(9), MONTH, empty=[LAST])
    settled = page(home, settle_days=10)
    report = page(home, settle_days=12)
    marks = [day["mark"] for day in report.charts["active"]["days"]]
    assert marks[-2:] == ["~", "\u25cb"]
    assert "~" not in marks[:-2]
    remarks = report.column("t-active", "Remark")
    assert remarks[f"{before}"] == "not settled: may still change"
    assert remarks[f"{LAST}"] == "fetched, and nobody was active; not settled: may still change"
    assert f"Not settled, and may still change: {before} to {LAST}" in report.words
    for text in report.charts["active"]["tips"][-2:]:
        assert "may still change" in text.splitlines()[0]
    assert "may still change" not in settled.text


@pytest.mark.slow
def test_days_of_the_period_before_that_may_still_change_are_listed(home: Home) -> None:
    store_days(home, users(9), TWO_MONTHS)
    days = f"{MONTH.start - timedelta(2)} to {MONTH.start - timedelta(1)}"
    words = page(home, settle_days=40).words
    assert f"Of the period before, not settled, and may still change: {days}" in words


@pytest.mark.slow
def test_one_day_and_one_person_are_singular(home: Home) -> None:
    store_days(home, users(1), Window(LAST - timedelta(1), LAST), missing=[LAST - timedelta(1)])
    words = page(home, Window(LAST, LAST)).words
    assert "The day is in the store" in words
    assert not re.search(r"\b1 (?:people|users|days)\b", words)
    two = page(home, Window(LAST - timedelta(1), LAST)).words
    assert "1 of 2 days is in the store" in two


@pytest.mark.slow
def test_list_of_empty_days_is_bounded(home: Home) -> None:
    days = list(THREE_MONTHS.days())
    store_days(home, users(2), THREE_MONTHS, empty=days[::2])
    words = page(home, THREE_MONTHS).words
    (listed,) = re.findall(r"nobody was active: (.*? more ranges)", words)
    assert re.search(r" and \d+ more ranges$", listed)
    assert len(listed) < 700


def some_idle(home: Home, idle: int) -> None:
    """Two active people, a service account that is no longer active, and some idle people."""
    before, now = Window(MONTH.start - timedelta(28), MONTH.start - timedelta(1)), MONTH
    bot = UserUsage("old-bot", AT_WORK, service=True)
    resting = [UserUsage(name, figures_of({})) for name in users(idle)]

    def with_others(*others: UserUsage) -> Any:
        def change(usage: DayUsage) -> DayUsage:
            two = [UserUsage(f"{name}@example.com", AT_WORK) for name in ("ada", "bob")]
            # One row is enough for a user to be known.
            known = others if usage.day in (before.end, now.end) else ()
            return DayUsage(usage.day, [*two, *known], {})

        return change

    store_days(home, [], before, change=with_others(bot))
    store_days(home, [], now, change=with_others(*resting))


def named(report: Report, title: str) -> list[str]:
    (listed,) = re.findall(rf'aria-label="Names: {title}".*?<ul.*?>(.*?)</ul>', report.text)
    return re.findall(r"<li>(.*?)</li>", listed)


@pytest.mark.slow
def test_idle_people_are_counted_and_named(home: Home) -> None:
    some_idle(home, 3)
    report = page(home)
    assert (report.number("known"), report.number("active")) == ("6", "2")
    assert report.number("idle") == "4"
    assert named(report, "Idle people") == ["old-bot", *users(3)]
    assert "33% of the known people" in report.words


@pytest.mark.slow
def test_idle_people_follow_the_settings(home: Home) -> None:
    some_idle(home, 3)
    without = page(home, include_service_accounts=False)
    assert without.number("idle") == "3"
    assert named(without, "Idle people") == users(3)
    unnamed = page(home, report_users=False)
    assert unnamed.number("idle") == "4"
    assert "@example.com" not in unnamed.text
    assert "old-bot" not in unnamed.text
    key = home.path / "key"
    key.write_text("0123456789abcdef" * 4)
    key.chmod(0o600)
    names = named(page(home, pseudonym_key_file=key), "Idle people")
    assert len(names) == 4
    assert all(name.startswith("user-") for name in names)
    assert names == sorted(names)


@pytest.mark.slow
def test_long_list_of_names_is_bounded(home: Home) -> None:
    some_idle(home, 1234)
    report = page(home)
    assert report.number("idle") == "1,235"
    listed = named(report, "Idle people")
    assert len(listed) == 201
    assert listed[-1] == "and 1,035 more"


@pytest.mark.slow
def test_idle_is_unknown_with_missing_days(home: Home) -> None:
    store_days(home, users(3), TWO_MONTHS, missing=[LAST])
    report = page(home)
    assert report.number("idle") == "unknown"
    assert "Idle people:" not in report.words


@pytest.mark.slow
def test_every_kind_has_one_colour_of_its_own(home: Home) -> None:
    store_days(home, users(3), MONTH)
    report = page(home)
    kinds = [*MESSAGE_KINDS, *LINE_KINDS]
    drawn = {
        series["label"]: series["style"]
        for chart in ("messages", "lines")
        for series in report.charts[chart]["bars"]
    }
    assert drawn == {kind.title: style_of(kind) for kind in kinds}
    for messages, lines in (("Agent", "Agent"), ("Remote Agent", "Remote Agent")):
        assert drawn[f"{messages} Messages"] == drawn[f"{lines} Lines of Code"]
    assert len(set(drawn.values())) == len(kinds) - 2
    (style,) = re.findall(r"<style>(.*?)</style>", report.text, re.DOTALL)
    others = {"people", "month", "before"}
    schemes = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--([\w-]+): (#\w{6})", scheme))
        used = [colours[name] for name in {*drawn.values(), *others}]
        assert len(set(used)) == len(used)
    for name in {*drawn.values(), *others}:
        assert f".swatch.{name} {{" in style, name


def test_style_sheet_has_every_kind_of_lines() -> None:
    lines = LINES
    assert {style_of(part) for part in parts_of(lines)} == {style_of(kind) for kind in LINE_KINDS}


@pytest.mark.slow
def test_users_are_sorted_by_the_first_column(home: Home) -> None:
    store_days(home, users(3), MONTH)
    report = page(home)
    assert report.tables["user-table"][0][1] == "Total Messages"
    counts = [row[1] for row in report.rows or []]
    assert counts == sorted(counts, reverse=True)
