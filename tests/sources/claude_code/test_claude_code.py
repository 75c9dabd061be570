"""Claude Code as a source: every figure against the simulator's own, in every output."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from claude_code_runs import (
    DAY,
    ENDPOINT,
    NOON,
    TODAY,
    Spending,
    by_actor,
    fetched,
    ledger,
    opened,
    true_costs,
    true_figures,
)
from conftest import Home, all_files
from dashboard_scraper.cli.commands.revisions import decide
from dashboard_scraper.cli.fetching import fetch_daily
from dashboard_scraper.errors import DaysMissing, RevisionsHeld
from dashboard_scraper.model.costs import COST_METRICS, NO_COST, Account, Cost
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import COUNTS
from dashboard_scraper.report.options import REPORT
from dashboard_scraper.simulator import Fault, Simulator
from dashboard_scraper.simulator.claude_code import API_KEYS
from dashboard_scraper.simulator.claude_code_faults import in_currency, nobody
from dashboard_scraper.sources.claude_code.days import MODEL, DayCosts, RecentCosts
from dashboard_scraper.sources.registry import CLAUDE_CODE, info_of
from dashboard_scraper.store import CostLedgerDay, store_at
from report_reading import read_report
from stored_days import settings_of

NEXT = DAY + timedelta(1)
TOKENS = ("Input tokens", "Output tokens", "Cache read tokens", "Cache write tokens")
OF_MONEY = ("Base", "Billed", "Credits")


def folder_of(home: Home) -> Path:
    return home.data / f"daily_exports_{DAY}_to_{NEXT}"


def rows_of(path: Path) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig")))]


def export(home: Home, kind: str) -> Path:
    result = home.run("export", f"{DAY}", f"{DAY}", "--format", kind)
    assert result.code == 0, result.err
    return home.data / kind


def spending(rows: list[dict[str, Any]], user: str, model: str, *columns: str) -> Spending:
    """The rows in the form of `true_costs`."""
    *tokens, amount = columns
    return {
        (row[user], row[model]): (
            *(int(row[name]) for name in tokens),
            Decimal(row[amount]),
        )
        for row in rows
    }


def costs_of_the_day(home: Home) -> CostLedgerDay:
    """The only day of costs in the store."""
    with store_at(settings_of(home).store_url).reading() as reader:
        (row,) = reader.cost_ledger(CLAUDE_CODE).values()
    return row


def true_estimate(simulator: Simulator) -> int | Decimal:
    return sum(amount for *_, amount in true_costs(simulator).values())


@pytest.mark.slow
def test_csv_has_the_sums_of_each_actors_records(home: Home, claude: Simulator) -> None:
    assert any(len(rows) > 1 for rows in by_actor(claude).values())
    fetched(home, DAY, NEXT)
    for day in (DAY, NEXT):
        rows = rows_of(folder_of(home) / f"claude_code_metrics_{day}.csv")
        expected = true_figures(claude, day)
        columns = [*next(iter(expected.values()))]
        found = {row["User"]: {name: int(row[name]) for name in columns} for row in rows}
        assert found == expected
        assert set(rows[0]) == {
            "User",
            *columns,
            "Service Account",
            "sessions.customer_type.api",
        }
        services = {row["User"] for row in rows if row["Service Account"] == "true"}
        assert services == set(API_KEYS)
        for row in rows:
            assert row["sessions.customer_type.api"] == row["Sessions"]


@pytest.mark.slow
def test_costs_are_estimates_in_every_output(home: Home, claude: Simulator) -> None:
    fetched(home, DAY, NEXT)
    truth = true_costs(claude)
    rows = rows_of(folder_of(home) / f"claude_code_costs_{DAY}.csv")
    assert spending(rows, "User", "Resource", *TOKENS, "Estimated") == truth
    assert {row[name] for row in rows for name in OF_MONEY} == {""}
    assert {row["Currency"] for row in rows} == {"USD"}
    accounts = {row["User"]: row["Account"] for row in rows}
    assert {name for name, kind in accounts.items() if kind == "service_account"} == set(API_KEYS)

    focus = rows_of(export(home, "focus") / f"focus_{DAY}.csv")
    names = ("x_InputTokens", "x_OutputTokens", "x_CacheReadTokens", "x_CacheWriteTokens")
    assert spending(focus, "x_User", "x_Model", *names, "x_EstimatedCost") == truth
    for name in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"):
        assert {row[name] for row in focus} == {""}
    assert {row["InvoiceIssuerName"] for row in focus} == {"Anthropic"}


@pytest.mark.slow
def test_parquet_has_figures_and_costs(home: Home, claude: Simulator) -> None:
    fetched(home)
    folder = export(home, "parquet")
    (users,) = [p for p in all_files(folder) if "user_days" in f"{p}"]
    found = {
        row["user_login"]: row["sessions"]
        for row in pyarrow.parquet.read_table(users, partitioning=None).to_pylist()
    }
    assert found == {name: f["Sessions"] for name, f in true_figures(claude).items()}
    (costs,) = [p for p in all_files(folder) if "cost_days" in f"{p}" and p.suffix == ".parquet"]
    rows = pyarrow.parquet.read_table(costs, partitioning=None).to_pylist()
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    assert spending(rows, "user_login", "resource", *names, "estimated") == true_costs(claude)
    assert {row["billed"] for row in rows} == {None}


@pytest.mark.slow
def test_one_request_a_day_has_usage_and_costs(home: Home, claude: Simulator) -> None:
    fetched(home, DAY, NEXT)
    assert [claude.count(ENDPOINT, day) for day in (DAY, NEXT)] == [1, 1]
    assert len(claude.requests) == 2
    first = min(claude.requests, key=lambda request: request.query["starting_at"])
    assert first.headers["user-agent"].startswith("dashboard-scraper/")
    assert first.query == {"starting_at": f"{DAY}", "limit": "1000"}
    assert first.authorization is None


@pytest.mark.slow
def test_costs_can_be_left_out(home: Home, claude: Simulator) -> None:
    home.settings["FETCH_COST"] = "false"
    fetched(home, DAY)
    assert claude.count(ENDPOINT, DAY) == 1
    with store_at(home.settings["STORE_URL"]).reading() as reader:
        assert list(reader.ledger(CLAUDE_CODE)) == [DAY]
        assert reader.cost_ledger(CLAUDE_CODE) == {}


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_second_night_asks_for_unsettled_days_only(home: Home, claude: Simulator) -> None:
    """Costs settle later than usage; a day on which neither has settled is requested once."""
    window = Window(TODAY - timedelta(10), TODAY - timedelta(1))
    settings = settings_of(home)
    fetch_daily(settings, window, clock=lambda: NOON)
    assert len(claude.requests) == len(window)
    claude.requests.clear()
    fetch_daily(settings, window, clock=lambda: NOON + timedelta(hours=1))
    unsettled = [day for day in window.days() if (TODAY - day).days <= settings.cost_settle_days]
    assert settings.settle_days < settings.cost_settle_days < len(window)
    assert sorted(filter(None, (r.day for r in claude.requests))) == unsettled


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_costs_of_a_settled_day_are_fetched_with_its_revision(
    home: Home, claude: Simulator
) -> None:
    home.settings |= {"RECHECK_DAYS": "1", "REVISION_LIMIT": "100"}
    settings, window = settings_of(home), Window(DAY, DAY)
    later = NOON + timedelta(days=30)
    fetch_daily(settings, window, clock=lambda: NOON)
    claude.revise(DAY)
    for moment in (later, later + timedelta(days=1)):
        fetch_daily(settings, window, clock=partial(datetime.fromisoformat, f"{moment}"))
        row = costs_of_the_day(home)
        assert (row.version, row.fetched_at.date()) == (2, later.date())
        assert row.sums.estimated == true_estimate(claude)


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("nights_before", "then"), [(5, "corrected"), (5, "rejected"), (1, "corrected")]
)
def test_costs_of_an_answer_that_is_not_in_force_are_not_either(
    home: Home, claude: Simulator, nights_before: int, then: str
) -> None:
    """Also if only the costs of the day had not settled yet: the answer has the usage too."""
    settings, window = settings_of(home), Window(DAY, DAY)
    settled = datetime(2026, 3, 12, 3, tzinfo=UTC)  # seven days after the end of the day
    night = timedelta(days=1)
    fetch_daily(settings, window, clock=lambda: settled - nights_before * night)
    claude.add_fault(Fault(nobody()))
    with pytest.raises(RevisionsHeld):
        fetch_daily(settings, window, clock=lambda: settled)
    assert costs_of_the_day(home).sums.estimated == true_estimate(claude)
    if then == "rejected":
        decide(settings, "reject", [window], settled)
    else:
        claude.clear_faults()
    fetch_daily(settings, window, clock=lambda: settled + night)
    assert costs_of_the_day(home).sums.estimated == true_estimate(claude)


def test_pages_are_followed_to_the_end(home: Home, claude: Simulator) -> None:
    claude.claude_code.most = 3
    with opened(home) as source:
        users = {user.user: user.figures.sessions for user in source.fetch_day(DAY).users}
    assert len(claude.requests) == -(-sum(map(len, by_actor(claude).values())) // 3) > 1
    assert users == {name: f["Sessions"] for name, f in true_figures(claude).items()}


@pytest.mark.slow
def test_day_is_complete_an_hour_after_its_end(home: Home, claude: Simulator) -> None:
    yesterday = TODAY - timedelta(1)
    early = datetime(2026, 3, 20, 0, 59, tzinfo=UTC)
    with pytest.raises(DaysMissing, match="is not published yet"):
        fetch_daily(settings_of(home), Window(yesterday, yesterday), clock=lambda: early)
    assert claude.requests == []
    late = early + timedelta(minutes=1)
    fetch_daily(settings_of(home), Window(yesterday, yesterday), clock=lambda: late)
    assert yesterday in ledger(home)


@pytest.mark.parametrize("day", ["2024-12-31", "today"])
def test_day_without_a_report_is_refused(home: Home, claude: Simulator, day: str) -> None:
    result = home.run(day, day)
    assert result.code == 2, result.err
    assert claude.requests == []


def test_period_is_the_sum_of_its_days(home: Home, claude: Simulator) -> None:
    result = home.run(f"{DAY}", f"{NEXT}")
    assert result.code == 0, result.err
    rows = {row["User"]: row for row in rows_of(result.paths[0])}
    first, second = true_figures(claude, DAY), true_figures(claude, NEXT)
    assert set(rows) == {*first, *second}
    for name, row in rows.items():
        days = [of_day[name] for of_day in (first, second) if name in of_day]
        assert int(row["Sessions"]) == sum(day["Sessions"] for day in days)
        assert int(row["Active Days"]) == len(days)
        assert row["sessions.customer_type.api"] == row["Sessions"]


@pytest.mark.slow
def test_explained_are_estimates_where_nothing_is_billed(home: Home, claude: Simulator) -> None:
    """A day without rows counts as 0; its amounts and their currency are all unknown."""
    claude.add_fault(Fault(nobody(), ENDPOINT, NEXT))
    claude.add_fault(Fault(in_currency("EUR"), ENDPOINT, DAY))
    fetched(home, DAY, NEXT)
    result = home.run("explain", f"{NEXT}", "--before", f"{DAY}", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    spent = sum(Decimal(row[-1]) for row in true_costs(claude).values())
    assert (found["metric"], found["unit"]) == ("estimated", "EUR")
    assert Decimal(found["difference"]) == -spent


@pytest.mark.slow
def test_day_of_nobody_leaves_unknown_what_is_never_known(home: Home, claude: Simulator) -> None:
    """No bill of 0, which would be a figure, not even on the page or after people are removed."""
    claude.add_fault(Fault(nobody(), ENDPOINT))
    fetched(home, NEXT, NEXT)
    claude.clear_faults()
    fetched(home)
    for name in true_figures(claude):
        home.run("forget", name, "--source", CLAUDE_CODE)
    with store_at(settings_of(home).store_url).reading() as reader:
        usage, costs = reader.ledger(CLAUDE_CODE), reader.cost_ledger(CLAUDE_CODE)
        assert reader.damaged_costs(CLAUDE_CODE) == []
        assert [reader.costs(row) for row in costs.values()] == [[], []]
    known = info_of(CLAUDE_CODE)
    for day in (DAY, NEXT):
        assert usage[day].users == 0
        of_usage = {each: usage[day].sums[each] for each in COUNTS}
        of_costs = {each: costs[day].sums[each] for each in COST_METRICS}
        assert of_usage == {each: 0 if each in known.metrics else None for each in COUNTS}
        assert of_costs == {each: 0 if each in known.cost_metrics else None for each in of_costs}
    report = home.run("report", f"{NEXT}", f"{NEXT}")
    assert report.code == 0, report.err
    numbers = read_report(home.data / REPORT).numbers
    assert "cost-estimated" in numbers
    assert "cost-billed" not in numbers


def test_meanings_are_the_columns_of_its_csv() -> None:
    info = info_of(CLAUDE_CODE)
    assert set(info.metrics) == set(info.meanings)
    assert "subscription" in info.leaves_out


def test_costs_wait_for_their_turn_within_bounds() -> None:
    """A day that was dropped to make room is fetched again."""
    cost = Cost("ada@example.com", Account.PERSON, MODEL, "model-a", NO_COST)
    recent = RecentCosts(most_rows=3)
    for day in (DAY, NEXT):
        recent.put(DayCosts(day, [cost, cost], {"USD": ""}, wrote_code=True))
    assert [recent.take(day) is None for day in (DAY, NEXT, NEXT)] == [True, False, True]
