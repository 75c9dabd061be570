"""`export --format parquet` with costs: exact decimals, in folders of their own."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.dataset
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings

from conftest import Home
from dashboard_scraper.model.costs import COST_METRICS, Account, Cost, CostFigures, sum_costs
from dashboard_scraper.people.shown_costs import SERVICE_ACCOUNTS
from dashboard_scraper.sources.registry import DASHBOARD
from databases import on_sqlite
from made_up_costs import (
    ADA,
    BEN,
    COSTS_FETCHED,
    DAY,
    MIXED,
    any_costs,
    cost,
    day_of,
    in_dollars,
    put_costs,
    put_usage,
)
from object_stores import BUCKET, objects, sign_in_at

DAYS = [DAY - timedelta(n) for n in (2, 1, 0)]
NAMES = ", ".join(metric.name for metric in COST_METRICS)


def export(home: Home, first: date = DAY, last: date = DAY, code: int = 0) -> Path:
    result = home.run("export", f"{first}", f"{last}", "--format", "parquet")
    assert result.code == code, result.err
    return home.data / "parquet"


def path_of(place: Path, day: date = DAY) -> Path:
    return place / "_cost_days" / f"day={day}" / "cost_days.parquet"


def query(statement: str) -> list[tuple[Any, ...]]:
    """The rows that another engine reads."""
    with duckdb.connect() as engine:
        return engine.execute(statement).fetchall()


def costs_in(place: Path) -> list[Cost]:
    """Every row."""
    columns = f"user_login, account, resource_type, resource, {NAMES}"
    glob = f"{place}/_cost_days/*/*.parquet"
    rows = query(f"SELECT {columns} FROM read_parquet('{glob}')")
    return [
        Cost(user, Account(account), kind, resource, CostFigures(*figures))
        for user, account, kind, resource, *figures in rows
    ]


def by_repr(costs: list[Cost] | tuple[Cost, ...]) -> list[str]:
    """Sorted, and comparable however many zeros a reader adds after the point."""
    return sorted(
        f"{each.user}|{each.account}|{each.resource_type}|{each.resource}|"
        + "|".join(
            "" if (v := each.figures[m]) is None else f"{Decimal(v):.18f}" for m in COST_METRICS
        )
        for each in costs
    )


@on_sqlite
@pytest.mark.slow
def test_amounts_are_exact_decimals(home: Home, store_url: str) -> None:
    put_costs(home, [day_of(MIXED)], url=store_url)
    put_usage(home, [DAY])
    place = export(home)
    assert by_repr(costs_in(place)) == by_repr(MIXED)
    types = query(f"DESCRIBE SELECT {NAMES} FROM '{path_of(place)}'")
    assert [row[1] for row in types] == ["BIGINT"] * 4 + ["DECIMAL(38,18)"] * 4
    (total,) = query(f"SELECT SUM(billed) FROM '{path_of(place)}'")[0]
    assert total == sum_costs(each.figures for each in MIXED).billed


def test_costs_do_not_mix_with_users(home: Home) -> None:
    """Programs that read the whole folder as days of users see no costs."""
    put_costs(home, [day_of(MIXED)])
    put_usage(home, [DAY])
    place = export(home)
    assert "billed" not in pyarrow.dataset.dataset(place).schema.names
    assert pyarrow.dataset.dataset(place).count_rows() == 2
    assert pyarrow.dataset.dataset(place / "_cost_days").count_rows() == len(MIXED)


@pytest.mark.slow
def test_only_changed_costs_are_written_again(home: Home) -> None:
    put_costs(home, [day_of(MIXED, day) for day in DAYS])
    put_usage(home, DAYS)
    place = export(home, DAYS[0], DAYS[2])
    before = {day: path_of(place, day).stat().st_ino for day in DAYS}
    put_costs(home, [day_of([cost(ADA, in_dollars("7"))], DAYS[1])], COSTS_FETCHED + timedelta(1))
    put_costs(home, [day_of(MIXED, DAYS[2])], COSTS_FETCHED + timedelta(1))
    export(home, DAYS[0], DAYS[2])
    changed = {day for day in DAYS if path_of(place, day).stat().st_ino != before[day]}
    assert changed == {DAYS[1]}
    table = pyarrow.parquet.read_table(path_of(place, DAYS[1]), partitioning=None)
    assert table["billed"].to_pylist() == [Decimal(7)]


@pytest.mark.slow
def test_costs_are_those_known_at_a_moment(home: Home) -> None:
    """They are in a separate folder; before the first fetch there are none."""
    put_costs(home, [day_of([cost(ADA, in_dollars("7"))])])
    put_usage(home, [DAY])
    put_costs(home, [day_of([cost(ADA, in_dollars("9"))])], COSTS_FETCHED + timedelta(2))
    words = ("export", f"{DAY}", "--format", "parquet")
    assert home.run(*words).code == 0
    before = COSTS_FETCHED + timedelta(1)
    result = home.run(*words, "--as-of", f"{before:%Y-%m-%dT%H:%M}")
    assert result.code == 0, result.err
    (place,) = result.paths
    billed = {
        path: pyarrow.parquet.read_table(path_of(path), partitioning=None)["billed"].to_pylist()
        for path in (home.data / "parquet", place)
    }
    assert billed == {home.data / "parquet": [Decimal(9)], place: [Decimal(7)]}


@pytest.mark.slow
def test_object_store_gets_costs_and_hides_old_ones(home: Home, object_store: str) -> None:
    sign_in_at(home, object_store)
    place = f"s3://{BUCKET}/{home.path.name}"
    put_costs(home, [day_of(MIXED)])
    put_usage(home, [DAY])
    words = ("export", f"{DAY}", "--format", "parquet", "--out", place)
    assert home.run(*words).code == 0
    name = path_of(Path()).as_posix()
    found = objects(object_store, home.path.name)
    assert found[name] == path_of(export(home)).read_bytes()
    home.settings["METRICS_SOURCE"] = DASHBOARD
    put_usage(home, [DAY])
    assert home.run(*words).code == 0
    found = objects(object_store, home.path.name)
    assert [each for each in found if "cost" in each] == [
        name.replace("cost_days.parquet", ".cost_days.parquet.stale")
    ]


def test_costs_of_another_source_do_not_stay(home: Home) -> None:
    """Otherwise they would look like costs of a source that has none."""
    put_costs(home, [day_of(MIXED)])
    put_usage(home, [DAY])
    assert path_of(export(home)).exists()
    home.settings["METRICS_SOURCE"] = DASHBOARD
    put_usage(home, [DAY])
    place = path_of(export(home))
    assert [path.name for path in place.parent.iterdir()] == [f".{place.name}.stale"]


def test_day_without_costs_has_no_file_of_them(home: Home) -> None:
    put_costs(home, [day_of(MIXED, DAYS[0]), day_of([], DAYS[1])])
    put_usage(home, DAYS)
    place = path_of(home.data / "parquet", DAYS[2])
    place.parent.mkdir(parents=True)
    place.write_bytes(b"of an earlier export")
    result = home.run("export", f"{DAYS[0]}", f"{DAYS[2]}", "--format", "parquet")
    assert result.code == 0
    assert f"{DAYS[2]}: the store has no costs" in result.err
    assert [path.name for path in place.parent.iterdir()] == [".cost_days.parquet.stale"]
    assert pyarrow.parquet.read_metadata(path_of(home.data / "parquet", DAYS[1])).num_rows == 0


def test_unreconciled_costs_are_marked_in_rows(home: Home) -> None:
    put_costs(home, [day_of([cost(ADA, in_dollars("4"))], total=in_dollars("5"))])
    put_usage(home, [DAY])
    place = export(home, code=9)
    table = pyarrow.parquet.read_table(path_of(place), partitioning=None)
    words = "billed is 5, the sum of its rows is 4"
    assert table["unreconciled"][0].as_py().startswith(words)
    assert table.schema.metadata[b"unreconciled"].startswith(words.encode())


def test_service_accounts_left_out_are_one_row(home: Home) -> None:
    home.settings["INCLUDE_SERVICE_ACCOUNTS"] = "false"
    put_costs(home, [day_of(MIXED)])
    put_usage(home, [DAY])
    found = costs_in(export(home))
    assert SERVICE_ACCOUNTS in {each.user for each in found}
    whole = sum_costs(each.figures for each in MIXED)
    assert sum_costs(each.figures for each in found) == whole


@given(costs=any_costs())
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.slow
def test_any_amounts_add_up(home: Home, costs: list[Cost]) -> None:
    put_costs(home, [day_of(costs)])
    put_usage(home, [DAY])
    table = pyarrow.parquet.read_table(path_of(export(home)), partitioning=None)
    found = [CostFigures(*(row[m.name] for m in COST_METRICS)) for row in table.to_pylist()]
    assert sum_costs(found) == sum_costs(each.figures for each in costs)


@pytest.mark.slow
def test_forget_rewrites_parquet_of_costs(home: Home) -> None:
    put_costs(home, [day_of(MIXED)])
    put_usage(home, [DAY])
    place = export(home)
    assert home.run("forget", BEN, "--files").code == 0
    assert by_repr(costs_in(place)) == by_repr([each for each in MIXED if each.user != BEN])


@pytest.mark.slow
def test_sums_longer_than_parquet_end_the_export(home: Home) -> None:
    """Each of a person's two spellings fits, their sum does not: it is not cut, but refused."""
    most = "9" * 20
    spelled = [cost(name, in_dollars(most)) for name in (ADA, "Ada@Example.com")]
    put_costs(home, [day_of([*spelled, cost(BEN, in_dollars(f"-{most}"))])])
    put_usage(home, [DAY])
    result = home.run("export", f"{DAY}", "--format", "parquet")
    assert "is longer than Parquet holds" in result.err
    assert result.code == 1
    assert not path_of(home.data / "parquet").exists()
