"""`demo`: what people see when they try the program for the first time."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest

from conftest import Home, today, yesterday
from dashboard_scraper.cli.demo import clock_of, run_demo
from dashboard_scraper.model.dates import Window
from dashboard_scraper.report.options import REPORT
from dashboard_scraper.settings.groups import sqlite_url
from dashboard_scraper.sources.registry import ALL_SOURCES, ANALYTICS, CLAUDE_CODE, DASHBOARD
from dashboard_scraper.store import DetailStatus, LedgerDay, Status, store_at
from report_reading import Report, read_report

USERS = {ANALYTICS: 56, DASHBOARD: 6}
STORED = Window(today() - timedelta(84), yesterday())


def ledger_of(home: Home, source: str) -> list[LedgerDay]:
    with store_at(sqlite_url(home.data / "demo" / "usage.db")).reading() as reader:
        return list(reader.ledger(source).values())


def demo(home: Home, source: str) -> Report:
    """The page of the source's demo, whose address is printed last."""
    result = home.run("demo", "--source", source, "--users", f"{USERS[source]}")
    assert result.code == 0, result.err
    page = home.data / "demo" / home.daily_folder.name / REPORT
    assert result.out.splitlines()[-1] == page.as_uri()
    return read_report(page)


def assert_store_has_a_status(home: Home, source: str) -> None:
    url = sqlite_url(home.data / "demo" / "usage.db")
    of_store = Home(home.path, {"METRICS_SOURCE": source, "STORE_URL": url})
    assert of_store.run("status", "--max-age", "48h").code == 0


@pytest.mark.slow
def test_demo_shows_every_part_of_the_page(home: Home) -> None:
    """And its store has a status."""
    report = demo(home, ANALYTICS)
    days = ledger_of(home, ANALYTICS)
    assert [each.day for each in days] == list(STORED.days())
    assert {each.status for each in days} == {Status.COMPLETE}
    assert {each.editor_language for each in days} == {DetailStatus.COMPLETE}
    assert "All 28 days are in the store" in report.words
    assert "Compared with" in report.words
    # On some dates nobody is new or has left, so only those who stayed are certain.
    people = {key: int(report.number(key)) for key in ("new", "stayed", "lapsed", "idle")}
    assert people["stayed"] > 0
    assert "unknown" not in {number for numbers in report.numbers.values() for number in numbers}
    assert len(report.tables["t-use-by-team"]) > 5
    assert min(len(report.tables[table]) for table in ("t-editors", "t-languages")) > 4
    assert report.words.count("Total Messages: the source says") == 1
    assert [len(each.unreconciled) for each in days if each.unreconciled] == [1]
    assert any(row[-1] for row in report.rows or []), "no service account"
    assert_store_has_a_status(home, ANALYTICS)


@pytest.mark.slow
def test_dashboard_demo_has_days_to_compare(home: Home) -> None:
    """And its store has a status."""
    report = demo(home, DASHBOARD)
    assert [each.day for each in ledger_of(home, DASHBOARD)] == list(STORED.days())
    assert "Compared with" in report.words
    assert "does not add up" not in report.words
    assert "t-use-by-team" not in report.tables  # every team is too small to be shown
    assert_store_has_a_status(home, DASHBOARD)


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_demo_of_claude_code_works_soon_after_midnight(home: Home) -> None:
    """Before one o'clock, the source does not have the report of the day before yet."""
    half_past = datetime.combine(today(), time(0, 30), UTC)
    run_demo(
        home.path,
        None,
        users=2,
        seed=1,
        source=CLAUDE_CODE,
        billing="dollars",
        clock=lambda: half_past,
    )
    assert max(each.day for each in ledger_of(home, CLAUDE_CODE)) == today() - timedelta(2)


@pytest.mark.parametrize("source", [CLAUDE_CODE, ALL_SOURCES])
def test_demo_of_claude_code_has_yesterday_from_one_o_clock_on(source: str) -> None:
    one = datetime.combine(today(), time(1), UTC)
    assert clock_of(source, lambda: one)() == one
    assert clock_of(source, lambda: one - timedelta(seconds=1))() < one - timedelta(hours=1)


@pytest.mark.usefixtures("csv_alone")  # the demo of one source writes all formats
@pytest.mark.slow
@pytest.mark.longest
def test_demo_of_all_compares_four_assistants(home: Home) -> None:
    result = home.run("demo", "--source", "all", "--users", "4")
    assert result.code == 0, result.err
    page = home.data / "demo" / REPORT
    assert result.out.splitlines()[-1] == page.as_uri()
    report = read_report(page)
    sides = {name: cells for name, *cells in report.tables["t-assistant-by-assistant"][1:]}
    assert list(sides) == ["Augment", "Copilot", "Cursor", "Claude Code"]
    assert all(int(cells[0]) > 0 and cells[-1] == "28 of 28" for cells in sides.values())
    assert "unknown" not in {cell for cells in sides.values() for cell in cells}
    assert int(report.number("several").removeprefix("at least ")) > 0
    seats = [name for name, *_ in report.tables["t-seats-and-their-use"][1:]]
    assert seats == ["Copilot", "Cursor"]
    assert {name for name, *_ in report.tables["t-estimated-per-active-person"]} >= {"Claude Code"}
