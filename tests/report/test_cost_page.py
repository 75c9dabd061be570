"""Costs on the page: amounts are exact, gaps stay gaps, bills are separate from estimates, and no
people are named unless they are shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import browser
from conftest import Home
from dashboard_scraper.model.costs import USD, Budget, Cost, CostDay, CostKind, sum_costs
from dashboard_scraper.model.dates import Window
from dashboard_scraper.report.options import REPORT
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import store_at
from made_up_days import LAST, MONTH, TWO_MONTHS, store_days, users
from report_pages import Screen
from report_reading import Report, read_report
from stored_costs import BOT, Change, cost, day_of, store_costs, with_spike

NAMES = users(12)
FEBRUARY = date(2025, 2, 1)
GAPS = [LAST - timedelta(3), LAST - timedelta(4)]


def stored(
    home: Home,
    window: Window = TWO_MONTHS,
    *,
    missing: Collection[date] = (),
    change: Change = day_of,
    budgets: Collection[Budget] = (),
    fetched: datetime = datetime(2026, 1, 10, tzinfo=UTC),
) -> Report:
    """The page of MONTH, with these costs, and with usage on each day."""
    store_days(home, NAMES[:2], TWO_MONTHS)
    store_costs(
        home, NAMES, window, missing=missing, change=change, budgets=budgets, fetched=fetched
    )
    return page(home)


def page(home: Home) -> Report:
    result = home.run("report", f"{MONTH.start}", f"{MONTH.end}")
    assert result.code == 0, result.err
    return read_report(home.data / REPORT)


def charts(report: Report) -> dict[str, Any]:
    """The data of the charts, with amounts as exact as the page has them."""
    (text,) = re.findall(
        r'<script type="application/json" id="chart-data">(.*?)</script>', report.text
    )
    found: dict[str, Any] = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    return found


def exact_cells(report: Report, table: str) -> list[Decimal]:
    """The exact amounts in the second column of a table."""
    (body,) = re.findall(rf'<table id="{table}">.*?</table>', report.text, re.DOTALL)
    rows = re.findall(r"<tr><th scope=\"row\">.*?</th><td data-exact=\"(.*?)\"", body)
    return [Decimal(each) for each in rows]


def section(report: Report) -> str:
    (found,) = re.findall(r'<section[^>]* id="costs">.*?</section>', report.text, re.DOTALL)
    return str(found)


def truth(home: Home, window: Window = MONTH) -> dict[date, Decimal]:
    with store_at(home.settings["STORE_URL"]).reading() as reader:
        ledger = reader.cost_ledger(DASHBOARD, window)
    return {day: row.sums.billed or Decimal(0) for day, row in ledger.items()}


@pytest.mark.slow
def test_every_amount_is_exact(home: Home) -> None:
    report = stored(home, change=with_spike(NAMES[2]))
    amounts = truth(home)
    assert exact_cells(report, "t-cost-billed") == list(amounts.values())
    whole = sum(amounts.values())
    for table in ("t-by-model", "t-the-ten-largest"):
        assert sum(exact_cells(report, table)) == whole, table
    (bars,) = charts(report)["cost-billed"]["bars"]
    assert bars["values"] == list(amounts.values())
    assert f'data-exact="{whole}"' in section(report)
    assert report.number("cost-billed") == f"{whole:,.2f} USD"


@pytest.mark.slow
def test_estimates_have_a_chart_of_their_own(home: Home) -> None:
    drawn = charts(stored(home))
    assert [chart for chart in drawn if chart.startswith("cost-")] == [
        "cost-billed",
        "cost-estimated",
    ]
    for name, label in (("cost-billed", "Billed"), ("cost-estimated", "Estimated")):
        assert [series["label"] for series in drawn[name]["bars"]] == [label]
        assert drawn[name]["lines"] == []


@pytest.mark.slow
def test_largest_cause_is_on_the_page(home: Home) -> None:
    report = stored(home, change=with_spike(NAMES[2]))
    assert re.search(rf"Largest cause: \+479\.90 USD \(.*\): {NAMES[2]}, ", report.words)
    parts = report.column("t-why-it-changed", "Difference")
    assert parts["Everything"].startswith("+480.")
    assert parts[NAMES[2]].startswith("+480.")


@pytest.mark.slow
def test_days_without_costs_are_gaps(home: Home) -> None:
    report = stored(home, missing=GAPS)
    for chart in ("cost-billed", "cost-estimated"):
        days = charts(report)[chart]["days"]
        assert [day["gap"] for day in days[-5:]] == [True, True, False, False, False]
        assert [day["mark"] for day in days[-5:-3]] == ["\u00d7", "\u00d7"]
        assert charts(report)[chart]["bars"][0]["values"][-5:-3] == [None, None]
    assert "26 of 28 days only" in report.words
    assert report.column("t-cost-billed", "Billed")[f"{GAPS[0]}"] == "unknown"
    assert report.number("cost-per-person") == "unknown"
    assert report.number("cost-forecast") == "none"
    assert "Nothing is compared with the period before: the period lacks 2 days." in report.words
    assert "t-why-it-changed" not in report.tables
    assert " against " not in section(report).split('<div class="figures">')[0]


@pytest.mark.slow
def test_period_without_costs_has_the_unit_of_other_days(home: Home) -> None:
    first = TWO_MONTHS.start
    report = stored(home, Window(first - timedelta(9), first - timedelta(3)))
    assert report.number("cost-billed") == "unknown"
    assert "Credits" not in section(report)


@pytest.mark.slow
def test_days_in_doubt_are_marked(home: Home) -> None:
    day = MONTH.start + timedelta(2)

    def other(each: date, costs: list[Cost]) -> CostDay:
        whole = sum_costs(c.figures for c in costs)
        more = sum_costs([whole, cost("", "1").figures])
        return CostDay(each, costs, more if each == day else whole)

    report = stored(home, change=other, fetched=datetime(2025, 4, 2, tzinfo=UTC))
    marks = [day["mark"] for day in charts(report)["cost-billed"]["days"]]
    assert marks == ["", "", "!", *[""] * 20, *["~"] * 5]
    remarks = report.column("t-cost-billed", "Remark")
    assert remarks[f"{day}"] == "not what the source's own or earlier figures say"
    assert remarks[f"{LAST}"] == "not settled: may still change"


@pytest.mark.slow
def test_user_removed_from_the_period_before_is_a_remark(home: Home) -> None:
    """Otherwise, a user whom the next fetch brings back looks new, and seems to raise costs."""
    stored(home)
    assert home.run("forget", NAMES[1]).code == 0
    words = page(home).words
    days = f"{TWO_MONTHS.start} to {MONTH.start - timedelta(1)}"
    assert f"Of the period before, a user was removed since: {days}" in words
    assert f"Of the period before: A user was removed since, and is not counted: {days}." in words


@pytest.mark.slow
def test_page_without_users_names_nobody(home: Home) -> None:
    home.settings["REPORT_USERS"] = "false"
    budgets = [Budget(NAMES[0], CostKind.MONEY, Decimal(1))]
    report = stored(home, change=with_spike(NAMES[2]), budgets=budgets)
    assert "@" not in section(report)
    assert "t-the-ten-largest" not in report.tables
    assert "1 of 1 budget is exceeded." in report.words
    assert "model-large" in report.column("t-why-it-changed", "Difference")


@pytest.mark.slow
def test_costs_of_a_small_team_are_not_shown_apart(home: Home) -> None:
    people = home.path / "people.csv"
    people.write_text(f"email,login,id,team\n{NAMES[2]},cy,1,skunkworks\n")
    home.settings |= {"REPORT_USERS": "false", "IDENTITY_FILE": str(people)}
    report = stored(home, change=with_spike(NAMES[2]))
    assert "skunkworks" not in report.text
    assert "(all others)" in report.column("t-why-it-changed", "Difference")
    home.settings["MIN_GROUP_SIZE"] = "1"
    assert "skunkworks" in page(home).column("t-why-it-changed", "Difference")


@pytest.mark.slow
def test_costs_of_a_few_in_no_file_are_not_shown_apart(home: Home) -> None:
    """One person is not in IDENTITY_FILE, so the costs without a team would be that person's, even
    beside service accounts, which do not count as people.
    """
    people = home.path / "people.csv"
    rows = [f"{name},u{place},{place + 1},core" for place, name in enumerate(NAMES[:-1])]
    rows += [f"bot-{number},bot-{number},{100 + number}," for number in range(5)]
    people.write_text("\n".join(["email,login,id,team", *rows]))
    home.settings |= {"REPORT_USERS": "false", "IDENTITY_FILE": str(people)}
    report = stored(home, change=with_spike(NAMES[-1]))
    differences = report.column("t-why-it-changed", "Difference")
    assert not {"core", "(no team)"} & differences.keys()


@pytest.mark.slow
def test_page_has_pseudonyms(home: Home) -> None:
    key = home.path / "key"
    key.write_text("k" * 40)
    key.chmod(0o600)
    home.settings["PSEUDONYM_KEY_FILE"] = str(key)
    budgets = [Budget(NAMES[0], CostKind.MONEY, Decimal(1))]
    report = stored(home, change=with_spike(NAMES[2]), budgets=budgets)
    assert "@" not in section(report)
    (person,) = report.column("t-budgets", "Share")
    assert person in report.column("t-the-ten-largest", "Share") or person.startswith("user-")


@pytest.mark.slow
def test_budgets_are_beside_what_was_consumed(home: Home) -> None:
    """Consumption is that of the calendar month, not of the page's period."""
    budgets = [
        Budget(NAMES[0], CostKind.MONEY, Decimal("100.005")),
        Budget(NAMES[1], CostKind.MONEY, Decimal(10)),
        Budget(NAMES[1], CostKind.CREDITS, Decimal(10)),
    ]
    report = stored(home, missing=GAPS, budgets=budgets)
    shares = report.tables["t-budgets"][1:]
    assert [row[0] for row in shares] == [NAMES[1], NAMES[0], NAMES[1]]
    assert shares[0][3] == ">999%" or shares[0][3].endswith("%")
    assert shares[1][1] == "100.01 USD"
    assert shares[2][1:] == ["10.00 credits", "0.00 credits", "0%"]
    consumed = amounts_of_the_first(home, Window(date(2025, 3, 1), LAST))
    assert exact_cells_of(report, "t-budgets", 1)[1] == sum(consumed)
    assert "Consumption is what was billed, of 28 of 30 days up to 2025-03-30." in report.words
    assert "1 of 3 budgets is exceeded." in report.words


def costs_in_two_currencies(home: Home, euros: Window) -> Report:
    """The page of MONTH, in dollars; the source's costs on earlier days are in euros."""

    def change(day: date, costs: list[Cost]) -> CostDay:
        return CostDay(day, costs, day_of(day, costs).total, "EUR" if day in euros else USD)

    return stored(home, change=change, budgets=[Budget(NAMES[0], CostKind.MONEY, Decimal(99))])


@pytest.mark.slow
def test_budget_has_nothing_of_another_currency(home: Home) -> None:
    """The month began before the page's period, with days in euros."""
    report = costs_in_two_currencies(home, Window(TWO_MONTHS.start, MONTH.start - timedelta(1)))
    (row,) = report.tables["t-budgets"][1:]
    of_page = sum(amounts_of_the_first(home, MONTH))
    assert exact_cells_of(report, "t-budgets", 1) == [of_page], row
    assert "what was billed, of 28 of 30 days up to 2025-03-30." in report.words
    assert "Days with costs in EUR are not part of it." in report.words
    reason = "their costs are in EUR and USD"
    assert f"Nothing is compared with the period before: {reason}." in report.words


def amounts_of_the_first(home: Home, window: Window) -> list[Decimal]:
    """The billed amounts of the first of the NAMES."""
    with store_at(home.settings["STORE_URL"]).reading() as reader:
        ledger = reader.cost_ledger(DASHBOARD, window).values()
        rows = [each for day in ledger for each in reader.costs(day) if each.user == NAMES[0]]
    return [each.figures.billed or Decimal(0) for each in rows]


@pytest.mark.slow
def test_budget_of_a_service_account_is_its_own(home: Home) -> None:
    """If outputs leave service accounts out, the use of others does not count in the budget."""
    home.settings["INCLUDE_SERVICE_ACCOUNTS"] = "false"
    budgets = [Budget(BOT, CostKind.MONEY, Decimal(10))]

    def change(day: date, costs: list[Cost]) -> CostDay:
        return day_of(day, [*costs, cost("nightly-build", "100")])

    report = stored(home, change=change, budgets=budgets)
    (row,) = report.tables["t-budgets"][1:]
    assert row == ["(service accounts)", "10.00 USD", "2.63 USD", "26%"]
    assert "0 of 1 budget is exceeded." in report.words


def exact_cells_of(report: Report, table: str, column: int) -> list[Decimal]:
    """The exact amounts in one of the columns after the names."""
    (body,) = re.findall(rf'<table id="{table}">.*?</table>', report.text, re.DOTALL)
    rows = re.findall(r"<tr><th scope=\"row\">.*?</tr>", body)
    return [Decimal(re.findall(r'data-exact="(.*?)"', row)[column]) for row in rows]


@pytest.mark.slow
def test_forecast_is_a_labelled_range(home: Home) -> None:
    def uneven(each: date, costs: list[Cost]) -> CostDay:
        return day_of(each, [*costs, cost(NAMES[0], f"{each.day % 3}", "other")])

    report = stored(home, Window(FEBRUARY, LAST), change=uneven)
    low, high = report.number("cost-forecast").removesuffix(" USD").split(" to ")
    spent = sum(amount for day, amount in truth(home).items() if day.month == 3)
    assert spent < Decimal(low.replace(",", "")) < Decimal(high.replace(",", ""))
    assert "not a bill" in report.words


@pytest.mark.slow
def test_page_without_costs_has_no_section(home: Home) -> None:
    store_days(home, NAMES, TWO_MONTHS)
    report = page(home)
    assert "cost" not in " ".join(report.charts)
    assert 'id="costs"' not in report.text


@pytest.mark.slow
def test_corrections_are_drawn_below_zero(home: Home, screen: Screen) -> None:
    def corrected(each: date, costs: list[Cost]) -> CostDay:
        if each != LAST - timedelta(2):
            return day_of(each, costs)
        figures = costs[0].figures
        return day_of(each, [replace(costs[0], figures=replace(figures, billed=Decimal("-55.5")))])

    stored(home, change=corrected)
    chromium = shown(screen, home.data / REPORT)
    script = (
        "return [...document.querySelectorAll('#f-cost-billed .screen .bars rect')]"
        ".map(e => [e.y.baseVal.value, e.height.baseVal.value])"
    )
    drawn = chromium.execute_script(script)
    hits = chromium.execute_script(
        "const box = document.querySelector('#f-cost-billed .screen .hits rect');"
        "return box.y.baseVal.value + box.height.baseVal.value"
    )
    zero = drawn[-1][0] + drawn[-1][1]
    assert drawn[-3][0] == pytest.approx(zero, abs=0.5)
    assert drawn[-3][1] > 5
    assert drawn[-3][0] + drawn[-3][1] <= hits + 0.5
    assert browser.console_of(chromium) == []


def shown(screen: Screen, path: Path) -> browser.Browser:
    browser.show(screen.chromium, 1280)
    browser.console_of(screen.chromium)
    browser.open_page(screen.chromium, path)
    screen.forget()
    return screen.chromium
