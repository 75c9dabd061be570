"""The Python interface: the public names of `dashboard_scraper`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

import dashboard_scraper
from conftest import Home
from dashboard_scraper.errors import DaysMissing, UsageError
from dashboard_scraper.model.costs import Account, Cost, CostDay, CostDifference, CostFigures
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.sources.registry import ANALYTICS, DASHBOARD
from dashboard_scraper.store import store_at
from made_up_days import store_days, user_days, users
from tree import ROOT

LAST = datetime.now(UTC).date() - timedelta(10)
MONTH = Window(LAST - timedelta(27), LAST)
ENTERPRISE = "283613"  # the default of ENTERPRISE_ID


@pytest.fixture
def url(home: Home) -> str:
    """The URL of a store with a month from the dashboard."""
    store_days(home, users(4), MONTH)
    return home.settings["STORE_URL"]


@pytest.mark.slow
def test_days_are_typed_figures_oldest_first(url: str) -> None:
    with dashboard_scraper.open_store(url) as store:
        assert store.sources() == [DASHBOARD]
        days = list(store.days(MONTH.start, MONTH.end))
    assert [day.day for day in days] == list(MONTH.days())
    assert days[-1].users == user_days(users(4), LAST)
    assert isinstance(days[-1].users[0].figures.chat_messages, int)


@pytest.mark.slow
def test_api_records_equal_exports(home: Home, url: str) -> None:
    home.settings["GITHUB_REPORTS_USERS_28_DAY"] = "true"
    assert home.run("export", f"{MONTH.start}", f"{MONTH.end}").code == 0
    folder = home.data / f"daily_exports_{MONTH.start}_to_{MONTH.end}"
    with dashboard_scraper.open_store(url) as store:
        copilot = list(store.copilot_records(MONTH.start, MONTH.end, ENTERPRISE))
        github = list(store.github_records(MONTH.start, MONTH.end, ENTERPRISE))
    files = [folder / f"copilot_metrics_{day}.json" for day in MONTH.days()]
    assert copilot == [record for file in files for record in json.loads(file.read_bytes())]
    lines = (folder / "github_reports" / "users-28-day.ndjson").read_bytes().splitlines()
    assert github == [json.loads(line) for line in lines]


@pytest.mark.slow
def test_missing_day_raises_and_doubt_is_reported(home: Home, url: str) -> None:
    with dashboard_scraper.open_store(url) as store:
        assert store.doubts(MONTH.start, MONTH.end) == []
        with pytest.raises(DaysMissing, match=f"{LAST + timedelta(1)}"):
            list(store.days(MONTH.start, LAST + timedelta(1)))
    wrong = {"user_count": 99}
    store_days(home, users(4), Window(LAST, LAST), change=lambda u: DayUsage(u.day, u.users, wrong))
    with dashboard_scraper.open_store(url) as store:
        (doubt,) = store.doubts(LAST, LAST)
    assert "user_count is 99" in doubt.words


@pytest.mark.slow
def test_of_several_sources_one_has_to_be_named(url: str) -> None:
    other = store_at(url)
    with other.locked(), other.opened():
        other.put(ANALYTICS, DayUsage(LAST, []), datetime.now(UTC))
    with dashboard_scraper.open_store(url) as store:
        with pytest.raises(UsageError, match="analytics and dashboard; name one"):
            list(store.days(LAST, LAST))
        assert len(next(iter(store.days(LAST, LAST, DASHBOARD))).users) == 4


def test_where_there_is_no_store_that_is_said(home: Home) -> None:
    with (
        pytest.raises(UsageError, match="there is no store"),
        dashboard_scraper.open_store(f"sqlite:///{home.path / 'absent.db'}"),
    ):
        pass


def test_the_examples_of_the_documentation_run(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    week = Window(date(2025, 3, 1), date(2025, 3, 7))
    store_days(home, users(4), week)
    page = ROOT / "docs" / "python.md"
    examples = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    store, batches = examples
    result = home.run("export", f"{week.start}", f"{week.end}", "--format", "parquet")
    assert result.code == 0, result.err
    monkeypatch.chdir(home.path)
    stored: dict[str, Any] = {}
    exec(store, stored)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        f"{day}" for day in week.days()
    ]
    converted: dict[str, Any] = {}
    exec(batches, converted)
    found = [line for batch in converted["lines"] for line in batch.column("line").to_pylist()]
    assert [json.loads(line) for line in found] == stored["records"]


def test_the_import_alone_loads_nothing_slow() -> None:
    code = "import sys, dashboard_scraper; print({'sqlalchemy', 'pyarrow'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    assert "open_store" in dir(dashboard_scraper)
    with pytest.raises(AttributeError, match="nothing"):
        _ = dashboard_scraper.nothing


def test_costs_that_do_not_add_up_are_doubts(home: Home) -> None:
    """A billing period does not show that a single day is wrong, so only `doubts` has its marks."""
    store_days(home, users(1), Window(LAST, LAST))
    url = home.settings["STORE_URL"]
    place = store_at(url)
    with place.locked(), place.opened():
        place.put_costs(DASHBOARD, CostDay(LAST, [], None), datetime.now(UTC))
        different = CostDifference("billed of 1 member", "1.5", "2")
        place.mark_costs(DASHBOARD, Window(LAST, LAST), [different])
    with dashboard_scraper.open_store(url) as store:
        (doubt,) = store.doubts(LAST, LAST)
    assert doubt.words == f"costs: {different}"


def test_costs_are_exact_and_never_missing_unseen(home: Home) -> None:
    store_days(home, users(1), Window(LAST, LAST))
    url = home.settings["STORE_URL"]
    figures = CostFigures(1, 2, 3, 4, None, Decimal("0.1"), Decimal("0.2"), Decimal(0))
    cost = Cost("ada@example.com", Account.PERSON, "MODEL", "model-a", figures)
    place = store_at(url)
    with place.locked(), place.opened():
        place.put_costs(DASHBOARD, CostDay(LAST, [cost], figures), datetime.now(UTC))
    with dashboard_scraper.open_store(url) as store:
        assert list(store.costs(LAST, LAST)) == [CostDay(LAST, [cost], figures)]
        with pytest.raises(DaysMissing, match="costs of these days are not in the store"):
            list(store.costs(LAST - timedelta(1), LAST))
