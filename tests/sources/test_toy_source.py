"""A source is a module and a row in the registry: nothing else of the program knows its name."""

from __future__ import annotations

import csv
import json

import pytest

import toy_source
from conftest import Home, yesterday
from dashboard_scraper.sources.registry import SOURCES


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    """The program with one row more in its registry of sources; its name."""
    monkeypatch.setitem(SOURCES, toy_source.NAME, toy_source.__name__)
    return toy_source.NAME


@pytest.mark.slow
def test_daily_job_exports_a_new_source(home: Home, toy: str) -> None:
    result = home.run("--last-28-days", "--source", toy)
    assert result.code == 0, result.err
    with (home.daily_folder / f"augment_metrics_{yesterday()}.csv").open(encoding="utf-8-sig") as f:
        rows = list(csv.DictReader(f))
    sent = str(yesterday().day)
    assert [dict(row) for row in rows] == [
        {"User": name, "Chat Messages": sent, "Total Messages": sent} for name in toy_source.PEOPLE
    ]
    manifest = json.loads((home.daily_folder / "manifest.json").read_bytes())
    assert manifest["source"] == toy
    assert toy_source.INFO.title in (home.daily_folder / "report.html").read_text()


def test_period_of_a_new_source_has_its_totals(home: Home, toy: str) -> None:
    result = home.run(f"{yesterday()}", "--source", toy)
    assert result.code == 0, result.err
    users, tenant = result.paths
    assert "user_count,2" in tenant.read_text()
    assert toy_source.PEOPLE[1] in users.read_text()


@pytest.mark.slow
def test_status_and_its_check_know_a_new_source(home: Home, toy: str) -> None:
    home.settings["METRICS_SOURCE"] = toy
    assert home.run("--last-28-days").code == 0
    status = home.run("status", "--check", "--json", "--max-age", "2d")
    assert status.code == 0, status.err
    assert json.loads(status.out)["sources"][0]["source"] == toy


def test_unregistered_source_is_refused(home: Home) -> None:
    home.settings["METRICS_SOURCE"] = toy_source.NAME
    result = home.run("--last-28-days")
    assert result.code == 2
    assert "write auto, dashboard or analytics" in result.err
