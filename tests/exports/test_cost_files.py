"""The CSV of a day's costs beside its metrics: every amount, and no old file that looks current."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from conftest import Home
from dashboard_scraper.csv_text import parse
from dashboard_scraper.exports.cost_files import HEADER
from dashboard_scraper.model.costs import (
    COST_METRICS,
    Account,
    Cost,
    CostDay,
    CostFigures,
    sum_costs,
)
from dashboard_scraper.people.shown_costs import SERVICE_ACCOUNTS
from made_up_costs import (
    ADA,
    BEN,
    COSTS_FETCHED,
    DAY,
    MIXED,
    NOBODY,
    SERVICE,
    any_costs,
    cost,
    day_of,
    in_dollars,
    put_costs,
    put_usage,
    service,
)
from stored_days import sql

WEEK = [DAY - timedelta(n) for n in range(6, -1, -1)]


def fill(home: Home, *costs: CostDay, days: list[date] | None = None, url: str = "") -> None:
    """Store days of usage, by default the days of the costs, and the costs."""
    put_costs(home, costs, url=url)
    put_usage(home, days or [each.day for each in costs])


def export(home: Home, first: date = DAY, last: date = DAY, code: int = 0) -> Path:
    result = home.run("export", f"{first}", f"{last}")
    assert result.code == code, result.err
    return home.data / f"daily_exports_{first}_to_{last}"


def path_of(folder: Path, day: date = DAY) -> Path:
    return folder / f"augment_costs_{day}.csv"


def costs_in(folder: Path, day: date = DAY) -> list[Cost]:
    """The rows of a file as costs, to compare every figure."""
    header, *rows = parse(path_of(folder, day).read_bytes())
    assert tuple(header) == HEADER
    return [_cost(row) for row in rows]


def _cost(row: list[str]) -> Cost:
    user, account, resource_type, resource, *cells, currency = row
    assert currency == "USD"
    values: list[Any] = [
        type_of(cell) if cell else None
        for cell, type_of in zip(cells, (int,) * 4 + (Decimal,) * 4, strict=True)
    ]
    return Cost(user, Account(account), resource_type, resource, CostFigures(*values))


def whole(costs: list[Cost] | tuple[Cost, ...]) -> CostFigures:
    return sum_costs(each.figures for each in costs)


def manifest(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_bytes())


def made_from(folder: Path) -> dict[str, str]:
    days = manifest(folder)["days"]
    return {file["name"]: file["made_from"] for day in days for file in day["files"]}


@pytest.mark.slow
def test_every_amount_is_in_its_file(home: Home, store_url: str) -> None:
    fill(home, day_of(MIXED), url=store_url)
    found = costs_in(export(home))
    assert sorted(found, key=repr) == sorted(MIXED, key=repr)
    assert [each.user for each in found] == sorted(each.user for each in MIXED)
    assert len(HEADER) == 5 + len(COST_METRICS)


def test_manifest_lists_costs_of_each_day(home: Home) -> None:
    fill(home, day_of(MIXED, WEEK[0]), day_of([], WEEK[1]), days=WEEK[:3])
    folder = export(home, WEEK[0], WEEK[2])
    listed = manifest(folder)
    first, second, third = listed["days"]
    fetched = "2026-10-06T03:00:00Z"
    assert first["costs"] == {"fetched_at": fetched, "version": 1, "settled": False}
    assert second["costs"] == first["costs"]
    assert "costs" not in third
    assert listed["missing_costs"] == [f"{WEEK[2]}"]
    assert [f"augment_costs_{WEEK[0]}.csv" in [f["name"] for f in first["files"]]] == [True]
    assert costs_in(folder, WEEK[1]) == []
    assert not path_of(folder, WEEK[2]).exists()


def test_store_without_costs_says_nothing_of_them(home: Home) -> None:
    fill(home, days=WEEK[:1])
    folder = export(home, WEEK[0], WEEK[0])
    assert "costs" not in (folder / "manifest.json").read_text()


def test_settled_costs_are_listed_as_such(home: Home) -> None:
    long_ago = DAY - timedelta(30)
    fill(home, day_of(MIXED, long_ago))
    assert manifest(export(home, long_ago, long_ago))["days"][0]["costs"]["settled"] is True


@pytest.mark.slow
def test_revised_costs_are_written_again(home: Home) -> None:
    """Also in another window, in which no other file of the day changes."""
    fill(home, *(day_of(MIXED, day) for day in WEEK[:2]))
    before = made_from(export(home, WEEK[0], WEEK[1]))
    revised = (*MIXED[1:], cost(ADA, in_dollars("0.01")))
    put_costs(home, [day_of(revised, WEEK[1])], COSTS_FETCHED + timedelta(1))
    folder = export(home, WEEK[1], WEEK[1])
    assert whole(costs_in(folder, WEEK[1])) == whole(revised)
    after = made_from(folder)
    changed = {name for name in after if after[name] != before.get(name)}
    assert path_of(folder, WEEK[1]).name in changed
    assert changed <= {path_of(folder, WEEK[1]).name, *(n for n in after if "report" in n)}
    assert manifest(folder)["days"][0]["costs"]["version"] == 2


def test_revision_with_the_same_sums_is_written(home: Home) -> None:
    """Such as an amount that moves from one person to another."""
    fill(home, day_of([cost(ADA, in_dollars("1")), cost(BEN, in_dollars("2"))]))
    export(home)
    moved = [cost(ADA, in_dollars("2")), cost(BEN, in_dollars("1"))]
    put_costs(home, [day_of(moved)], COSTS_FETCHED + timedelta(1))
    assert costs_in(export(home)) == moved


def test_same_costs_are_taken_from_earlier_export(home: Home) -> None:
    fill(home, *(day_of(MIXED, day) for day in WEEK[:2]))
    before = made_from(export(home, WEEK[0], WEEK[1]))
    put_costs(home, [day_of(MIXED, WEEK[1])], COSTS_FETCHED + timedelta(1))
    after = made_from(export(home, WEEK[1], WEEK[1]))
    name = path_of(Path(), WEEK[1]).name
    assert after[name] == before[name]


@pytest.mark.slow
def test_costs_that_are_gone_are_set_aside(home: Home) -> None:
    fill(home, day_of(MIXED))
    folder = export(home)
    for table in ("cost_day", "cost_ledger"):
        sql(home.settings["STORE_URL"], f"DELETE FROM {table}")
    export(home)
    assert not path_of(folder).exists()
    assert Path(f"{path_of(folder)}.stale").exists()


def test_costs_that_do_not_add_up_are_marked(home: Home) -> None:
    fill(home, day_of([cost(ADA, in_dollars("4"))], total=in_dollars("5")))
    folder = export(home, code=9)
    words = "billed is 5, the sum of its rows is 4"
    assert f"{DAY} unreconciled: costs: {words}" in (folder / "NOTES.txt").read_text()
    (listed,) = manifest(folder)["days"]
    first = {"metric": "billed", "rows": "4", "total": "5"}
    assert first in listed["costs"]["unreconciled"]
    assert costs_in(folder)[0].figures.billed == 4


def test_service_accounts_are_one_row_if_left_out(home: Home) -> None:
    home.settings["INCLUDE_SERVICE_ACCOUNTS"] = "false"
    costs = [*MIXED, service(in_dollars("0.5"), "another")]
    fill(home, day_of(costs))
    found = costs_in(export(home))
    assert SERVICE not in {each.user for each in found}
    (left_out,) = (each for each in found if each.user == SERVICE_ACCOUNTS)
    assert left_out.figures.billed == Decimal("7.75")
    assert whole(found) == whole(costs)


def test_sums_have_no_zeros_at_the_end(home: Home) -> None:
    """Like the amounts of single rows, and those read from a lake."""
    home.settings["INCLUDE_SERVICE_ACCOUNTS"] = "false"
    fill(home, day_of([service(in_dollars("7.25")), service(in_dollars("0.25"), "another")]))
    assert path_of(export(home)).read_text().endswith(",,7.5,7.5,0,USD\n")


def test_one_person_has_one_row_per_resource(home: Home) -> None:
    (home.path / "people.csv").write_text(f"email,login,id,team\n{ADA},ada,1,\n{BEN},ada,1,\n")
    home.settings["IDENTITY_FILE"] = "people.csv"
    costs = [*MIXED, cost("Ada@Example.com", in_dollars("1"))]
    fill(home, day_of(costs))
    found = costs_in(export(home))
    assert {each.user for each in found} == {BEN, NOBODY, SERVICE}
    assert whole(found) == whole(costs)


@given(costs=any_costs())
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.slow
def test_any_amounts_add_up(home: Home, costs: list[Cost]) -> None:
    fill(home, day_of(costs))
    assert whole(costs_in(export(home))) == whole(costs)


@pytest.mark.slow
def test_failed_export_leaves_settled_costs(home: Home) -> None:
    """Costs that were not settled are set aside, but the other files of their day stay."""
    settled, damaged, unsettled = days = [DAY - timedelta(n) for n in (40, 39, 38)]
    fill(home, *(day_of(MIXED, day) for day in days[:2]), days=days)
    put_costs(home, [day_of(MIXED, unsettled)], COSTS_FETCHED - timedelta(37))
    folder = export(home, settled, unsettled)
    assert manifest(folder)["days"][2]["costs"]["settled"] is False
    sql(
        home.settings["STORE_URL"],
        f"UPDATE cost_day SET billed = '1' WHERE day = '{damaged}' AND user_login = '{ADA}'",
    )
    path_of(folder, damaged).unlink()
    result = home.run("export", f"{settled}", f"{unsettled}")
    assert result.code == 1, result.err
    assert "do not match the ledger" in result.err
    assert whole(costs_in(folder, settled)) == whole(MIXED)
    assert not path_of(folder, unsettled).exists()
    assert (folder / f"augment_metrics_{unsettled}.csv").exists()
    listed = manifest(folder)
    assert listed["missing_costs"] == [f"{damaged}", f"{unsettled}"]
    assert ["costs" in day for day in listed["days"]] == [True, False, False]


@pytest.mark.slow
def test_forget_rewrites_files_of_costs(home: Home) -> None:
    fill(home, day_of(MIXED))
    folder = export(home)
    home.run("export", f"{DAY}", "--format", "focus")
    result = home.run("forget", BEN, "--files")
    assert result.code == 0, result.err
    left = [each for each in MIXED if each.user != BEN]
    assert sorted(costs_in(folder), key=repr) == sorted(left, key=repr)
    focus = (home.data / "focus" / f"focus_{DAY}.csv").read_text()
    assert ADA in focus
    assert BEN not in focus
    assert manifest(folder)["days"][0]["costs"]["forgotten"] == 1
