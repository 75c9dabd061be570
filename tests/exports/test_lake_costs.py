"""Costs in a lake: every amount as in the store, in tables that change independently of users'."""

from __future__ import annotations

import signal
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from conftest import Home, all_files, content_of
from crash_child import Forks, Trap
from dashboard_scraper.exports import iceberg_export
from dashboard_scraper.model.costs import COST_METRICS, MAX_TOKENS, Cost, CostFigures, sum_costs
from dashboard_scraper.people.shown_costs import SERVICE_ACCOUNTS
from dashboard_scraper.sources.registry import ANALYTICS
from dashboard_scraper.store import CostLedgerDay, store_at
from dashboard_scraper.store.lake.place import CATALOG_FILE, NAMESPACE
from dashboard_scraper.store.lake.tables import COSTS, TABLES
from made_up_costs import (
    ADA,
    BEN,
    COSTS_FETCHED,
    DAY,
    LONG,
    MIXED,
    NOBODY,
    SERVICE,
    cost,
    day_of,
    in_dollars,
    put_costs,
    put_usage,
    service,
)
from stored_days import sql

pytestmark = pytest.mark.slow

DAYS = [DAY - timedelta(n) for n in (3, 2, 1, 0)]
WINDOW = (f"{DAYS[0]}", f"{DAYS[3]}")
WORDS = ("export", *WINDOW, "--format", "iceberg")
MOST = Decimal("99999999999999999999.999999999999999999")
EXTREME = (
    cost(ADA, in_dollars(MOST, MAX_TOKENS - 1)),
    cost(BEN, in_dollars(-LONG)),
    cost(NOBODY, in_dollars("-0.10")),
)
UNKNOWN = (cost(ADA, CostFigures()), cost(BEN, in_dollars("1E-18")))
LATER = COSTS_FETCHED + timedelta(1)
Costs = dict[date, tuple[CostLedgerDay, list[Cost]]]


def exported(home: Home, *more: str) -> Path:
    result = home.run(*WORDS, *more)
    assert result.code == 0, result.err
    return home.data / "iceberg"


def reading(home: Home, lake: Path) -> Home:
    """The same home, but the lake is its store."""
    return Home(home.path, home.settings | {"STORE_URL": f"iceberg:///{lake}"})


def costs_of(home: Home) -> Costs:
    """Every day's row of the ledger with its costs, whose sums must be those of the row."""
    with store_at(home.settings["STORE_URL"]).reading() as reader:
        assert reader.budgets(ANALYTICS) == []
        ledger = reader.cost_ledger(ANALYTICS)
        return {day: (row, reader.costs(row)) for day, row in ledger.items()}


def catalog_in(lake: Path) -> SqlCatalog:
    return SqlCatalog("lake", uri=f"sqlite:///{lake / CATALOG_FILE}", warehouse=f"{lake}")


def query(lake: Path, table: str, what: str) -> list[tuple[Any, ...]]:
    """The rows that another engine reads from the files listed in the catalogue."""
    catalog = catalog_in(lake)
    files = [t.file.file_path for t in catalog.load_table((NAMESPACE, table)).scan().plan_files()]
    catalog.close()
    with duckdb.connect() as engine:
        return engine.execute(
            f"SELECT {what} FROM read_parquet($files, hive_partitioning = false) ORDER BY ALL",
            {"files": files},
        ).fetchall()


def changed(lake: Path, before: dict[str, int | None] | None = None) -> dict[str, int | None]:
    """The current snapshot of each table that has changed since `before`."""
    catalog = catalog_in(lake)
    found = {
        kind.name: catalog.load_table((NAMESPACE, kind.name)).metadata.current_snapshot_id
        for kind in TABLES
    }
    catalog.close()
    return {name: state for name, state in found.items() if not before or before[name] != state}


def outputs(home: Home, name: str) -> dict[str, bytes]:
    """The output of the commands that show costs."""
    folder = home.path / name
    for words in (
        ("export", *WINDOW, "--out", f"{folder / 'files'}"),
        ("export", *WINDOW[1:], "--format", "focus", "--out", f"{folder / 'focus'}"),
        ("report",),
    ):
        result = home.run(*words)
        assert result.code == 0, result.err
    explained = home.run("explain", WINDOW[1], "--before", WINDOW[0], "--json")
    assert explained.code == 0, explained.err
    found = {str(path.relative_to(folder)): content_of(path) for path in all_files(folder)}
    page = (home.data / "report.html").read_bytes()
    return found | {"page": page, "explained": explained.out.encode()}


@pytest.fixture
def filled(home: Home) -> Home:
    """Days with costs of every kind and a day that cost nothing, all of them with users."""
    put_costs(
        home,
        [
            day_of(MIXED, DAYS[0]),
            day_of([], DAYS[1]),
            day_of(UNKNOWN, DAYS[2]),
            day_of(EXTREME, DAYS[3]),
        ],
    )
    put_usage(home, DAYS)
    return home


@pytest.mark.longest
def test_costs_are_read_as_the_store_has_them(filled: Home) -> None:
    lake = exported(filled)
    of_store = costs_of(filled)
    assert costs_of(reading(filled, lake)) == of_store
    names = ", ".join(metric.name for metric in COST_METRICS)
    assert query(lake, "cost_days", f"day, user_login, resource, {names}") == sorted(
        (
            (day, each.user, each.resource, *(each.figures[metric] for metric in COST_METRICS))
            for day, (_, costs) in of_store.items()
            for each in costs
        ),
        key=lambda row: row[:3],
    )
    assert query(lake, "cost_totals", "day, row_count, billed, source_billed") == [
        (day, len(costs), row.sums.billed, row.total and row.total.billed)
        for day, (row, costs) in of_store.items()
    ]
    types = query(lake, "cost_days", "DISTINCT typeof(billed), typeof(input_tokens)")
    assert types == [("DECIMAL(38,18)", "BIGINT")]
    of_nobody = query(lake, "cost_days", "DISTINCT user_login, person, account")[0]
    assert of_nobody == (NOBODY, None, "unattributed")
    assert outputs(reading(filled, lake), "of-lake") == outputs(filled, "of-store")


@pytest.mark.heavy
def test_only_what_changed_of_costs_is_written(filled: Home) -> None:
    lake = exported(filled)
    first = changed(lake)
    exported(filled)
    assert changed(lake, first) == {}
    put_costs(filled, [day_of(MIXED, DAYS[0])], LATER)
    exported(filled)
    assert changed(lake, first).keys() == {"cost_totals"}, "fetched again, with the same answer"
    files = set(query(lake, "cost_days", "DISTINCT day, content"))
    put_costs(filled, [day_of([cost(ADA, in_dollars("7"))], DAYS[0])], LATER)
    put_usage(filled, DAYS)
    exported(filled)
    assert changed(lake, first).keys() == {"cost_days", "cost_totals"}
    written = set(query(lake, "cost_days", "DISTINCT day, content")) - files
    assert {day for day, _ in written} == {DAYS[0]}
    for table in ("cost_day", "cost_ledger"):
        sql(filled.settings["STORE_URL"], f"DELETE FROM {table} WHERE day = '{DAYS[0]}'")
    result = filled.run(*WORDS)
    assert f"removed the costs of {DAYS[0]}" in result.err
    assert f"{DAYS[0]}: the store has no costs" in result.err
    assert costs_of(reading(filled, lake)) == costs_of(filled)
    assert DAYS[0] not in costs_of(filled)


@pytest.mark.parametrize(
    ("settings", "number"),
    [
        ({}, 2),
        # Two of these commits are for the tables of users.
        pytest.param({"INCLUDE_SERVICE_ACCOUNTS": "false"}, 4, marks=pytest.mark.heavy),
    ],
)
def test_killed_run_leaves_no_mixture_of_costs(
    filled: Home, forks: Forks, settings: dict[str, str], number: int
) -> None:
    """Killed between the commits of rows and ledger, on a day that has no rows any more; also if
    the ledger was made with the settings before.
    """
    forks.load(iceberg_export.__name__)
    lake = exported(filled)
    put_costs(filled, [day_of([], DAYS[0])], LATER)
    killed = Home(filled.path, filled.settings | settings)
    trap = Trap("statement", number, "UPDATE iceberg_tables")
    assert forks.run(killed, *WORDS, trap=trap).code == -signal.SIGKILL
    result = reading(filled, lake).run("report")
    assert result.code == 1
    assert "the rows are not those of the totals" in result.err
    exported(filled)
    assert costs_of(reading(filled, lake)) == costs_of(filled)


def test_lake_of_an_earlier_version_has_no_costs(filled: Home) -> None:
    lake = exported(filled)
    catalog = catalog_in(lake)
    for kind in COSTS.tables:
        catalog.drop_table((NAMESPACE, kind.name))
    catalog.close()
    older = reading(filled, lake)
    assert costs_of(older) == {}
    result = older.run("report")
    assert result.code == 0, result.err
    exported(filled)
    assert costs_of(older) == costs_of(filled)


def test_costs_without_names_and_service_accounts(home: Home) -> None:
    key = home.path / "pseudonym.key"
    key.write_text("0123456789abcdef" * 4)
    key.chmod(0o600)
    home.settings |= {"PSEUDONYM_KEY_FILE": f"{key}", "INCLUDE_SERVICE_ACCOUNTS": "false"}
    put_costs(home, [day_of([*MIXED, service(in_dollars("1"), "other-build")])])
    assert home.run(*WORDS).code == 6, "no users are stored"
    lake = home.data / "iceberg"
    names = {row[0] for row in query(lake, "cost_days", "user_login")}
    assert {NOBODY, SERVICE_ACCOUNTS} < names
    everything = b"".join(content_of(path) for path in all_files(lake))
    assert not [name for name in (ADA, BEN, SERVICE) if name.encode() in everything]
    assert query(lake, "cost_totals", "pseudonyms") == [(True,)]
    refused = reading(home, lake).run("report")
    assert refused.code == 2
    assert "unset PSEUDONYM_KEY_FILE" in refused.err
    del home.settings["PSEUDONYM_KEY_FILE"]
    ((row, costs),) = costs_of(reading(home, lake)).values()
    assert row.sums == sum_costs(each.figures for each in costs)
    assert row == costs_of(home)[DAY][0]
    assert [c.figures.billed for c in costs if c.user == SERVICE_ACCOUNTS] == [Decimal("8.25")]


@pytest.mark.heavy
def test_forgotten_person_has_no_costs_in_a_lake(filled: Home) -> None:
    lake = exported(filled)
    result = filled.run("forget", BEN, "--files")
    assert result.code == 0, result.err
    rows = [path for path in lake.rglob("*.parquet") if "cost_days" in path.parts]
    with duckdb.connect() as engine:
        found = engine.execute(
            "SELECT DISTINCT user_login FROM read_parquet($files, hive_partitioning = false)",
            {"files": [f"{path}" for path in rows]},
        )
        assert {name for (name,) in found.fetchall()} == {ADA, SERVICE, NOBODY}
    assert costs_of(reading(filled, lake)) == costs_of(filled)
    assert costs_of(filled)[DAYS[0]][0].forgotten == 1
