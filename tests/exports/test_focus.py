"""`export --format focus`: costs as charges in the FinOps Foundation's format, exactly."""

from __future__ import annotations

import csv
import os
import subprocess
import xml.etree.ElementTree as ET
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings

import dashboard_scraper
from conftest import Home
from dashboard_scraper.csv_text import parse
from dashboard_scraper.model.costs import COST_METRICS, Cost, CostFigures, sum_costs
from dashboard_scraper.model.money import exact_sum
from dashboard_scraper.people.shown_costs import SERVICE_ACCOUNTS
from dashboard_scraper.sources.registry import ANALYTICS, COPILOT
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
    in_credits,
    in_dollars,
    put_costs,
    service,
)

# From the specification: the columns that a Cost and Usage dataset must have in version 1.4.
MANDATORY = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "HostProviderName",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ServiceCategory",
    "ServiceName",
    "ServiceProviderName",
]
COSTS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
NOT_NULL = set(MANDATORY) - {
    *COSTS,
    "BillingAccountName",
    "ChargeClass",
    "PricingQuantity",
    "PricingUnit",
}
FIGURES = {
    "input_tokens": "x_InputTokens",
    "output_tokens": "x_OutputTokens",
    "cache_read_tokens": "x_CacheReadTokens",
    "cache_write_tokens": "x_CacheWriteTokens",
    "base": "x_BaseCost",
    "estimated": "x_EstimatedCost",
    "credits": "x_Credits",
}
"""The column of each metric except the billed amount."""

VALIDATOR = Path(dashboard_scraper.__file__).parents[2] / ".venv-focus" / "bin" / "focus-validator"
RULES = "1.2.0.1"
"""The newest rules that the validator's package contains; it does not have those of 1.4."""
WANTS_REMOVED = {
    "CostAndUsage-D-021-M",  # PublisherName must be present
    "CostAndUsage-D-038-M",  # ProviderName must be present
    "PublisherName-C-000-M",
    "ProviderName-C-000-M",
    "BilledCost-C-000-M",  # one of its rules compares with ProviderName
}
"""Failures because two columns are missing, which FOCUS 1.4 removed."""
FALSE = {"InvoiceId-C-005-C"}
"""A false alarm: an id is only required if there is an invoice, which the validator assumes."""
NULL_COSTS = {
    "BilledCost-C-000-M",
    "ContractedCost-C-000-M",
    *(f"{name}-C-00{rule}-M" for name in COSTS for rule in (3, 4)),
} - {"BilledCost-C-004-M"}
"""A cost must not be null, but is unknown if a contract is in credits."""


def export(home: Home, first: date = DAY, last: date = DAY, code: int = 0) -> Path:
    result = home.run("export", f"{first}", f"{last}", "--format", "focus")
    assert result.code == code, result.err
    return home.data / "focus"


def csv_rows(folder: Path, day: date = DAY) -> list[dict[str, str]]:
    header, *rows = parse((folder / f"focus_{day}.csv").read_bytes())
    return [dict(zip(header, row, strict=True)) for row in rows]


def parquet_rows(folder: Path, day: date = DAY) -> list[dict[str, Any]]:
    path = folder / f"focus_{day}.parquet"
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path, partitioning=None).to_pylist()
    return rows


def amount(cell: str) -> Decimal | None:
    return Decimal(cell) if cell else None


def figures_in(row: dict[str, Any]) -> dict[str, Decimal | None]:
    """The metrics of a row from the CSV or the Parquet file."""
    return {
        metric: None if row[column] in (None, "") else Decimal(row[column])
        for metric, column in FIGURES.items()
    }


def expected(figures: CostFigures) -> dict[str, Decimal | None]:
    found = {metric.name: figures[metric] for metric in COST_METRICS if metric.name in FIGURES}
    return {name: None if value is None else Decimal(value) for name, value in found.items()}


def test_columns_are_those_of_focus(home: Home) -> None:
    put_costs(home, [day_of(MIXED)])
    folder = export(home)
    names = [*csv_rows(folder)[0]]
    assert names == pyarrow.parquet.read_schema(folder / f"focus_{DAY}.parquet").names
    assert set(MANDATORY) <= set(names)
    standard = [name for name in names if not name.startswith("x_")]
    assert names[: len(standard)] == standard
    for row in csv_rows(folder):
        assert {name for name in NOT_NULL if not row[name]} == set()


@on_sqlite
@pytest.mark.slow
def test_amounts_are_exact_in_both_files(home: Home, store_url: str) -> None:
    put_costs(home, [day_of(MIXED)], url=store_url)
    folder = export(home)
    in_csv, in_parquet = csv_rows(folder), parquet_rows(folder)
    stored = {(each.user, each.resource): each.figures for each in MIXED}
    assert len(in_csv) == len(in_parquet) == len(stored)
    for rows in (in_csv, in_parquet):
        for row in rows:
            figures = stored[row["x_User"] or "", row["x_Resource"]]
            assert figures_in(row) == expected(figures)
            assert {Decimal(row[name]) for name in COSTS} == {figures.billed}
    whole = sum_costs(each.figures for each in MIXED).billed
    assert exact_sum(Decimal(row["BilledCost"]) for row in in_csv) == whole
    assert "E" not in "".join(row["BilledCost"] for row in in_csv)


def test_charge_is_of_its_day_and_month(home: Home) -> None:
    put_costs(home, [day_of([cost(ADA, in_dollars("1.50"))], date(2024, 12, 31))])
    (row,) = csv_rows(export(home, date(2024, 12, 31), date(2024, 12, 31)), date(2024, 12, 31))
    assert row["ChargePeriodStart"] == "2024-12-31T00:00:00Z"
    assert row["ChargePeriodEnd"] == row["BillingPeriodEnd"] == "2025-01-01T00:00:00Z"
    assert row["BillingPeriodStart"] == "2024-12-01T00:00:00Z"
    assert row["x_FetchedAt"] == "2026-10-06T03:00:00Z"
    assert row["BilledCost"] == "1.5"
    assert row["PricingCurrency"] == row["BillingCurrency"] == "USD"
    assert row["x_Model"] == row["x_Resource"] == "Model A"


def test_credits_are_no_bill(home: Home) -> None:
    """Amounts that were not billed are null in all costs; the estimate has its own column."""
    put_costs(home, [day_of([cost(ADA, in_credits("12.5"))])])
    folder = export(home)
    (row,) = csv_rows(folder)
    assert {row[name] for name in COSTS} == {""}
    assert row["PricingCurrency"] == "Credits"
    assert row["PricingCurrencyEffectiveCost"] == row["x_Credits"] == "12.5"
    assert row["x_EstimatedCost"] == "9.75"
    (row,) = parquet_rows(folder)
    assert {row[name] for name in COSTS} == {None}
    assert row["PricingCurrencyEffectiveCost"] == Decimal("12.5")


def test_day_without_costs_has_empty_files(home: Home) -> None:
    put_costs(home, [day_of([])])
    folder = export(home)
    assert csv_rows(folder) == parquet_rows(folder) == []


def test_missing_day_has_no_file(home: Home) -> None:
    """Nor one from an earlier export: that is set aside."""
    days = [DAY - timedelta(n) for n in (2, 1, 0)]
    put_costs(home, [day_of(MIXED, day) for day in (days[0], days[2])])
    (home.data / "focus").mkdir()
    (home.data / "focus" / f"focus_{days[1]}.csv").write_text("of an earlier export")
    result = home.run("export", f"{days[0]}", f"{days[2]}", "--format", "focus")
    assert result.code == 6
    assert f"1 of 3 days are missing: {days[1]}" in result.err
    names = {path.name for path in (home.data / "focus").iterdir()}
    assert {name for name in names if f"{days[1]}" in name} == {f"focus_{days[1]}.csv.stale"}
    assert {
        f"focus_{day}.{kind}" for day in (days[0], days[2]) for kind in ("csv", "parquet")
    } < names


@pytest.mark.slow
def test_source_without_costs_is_passed_over(home: Home) -> None:
    """On its own it is an error that sets earlier files aside; beside others it is no failure."""
    put_costs(home, [day_of([cost(ADA, in_dollars("7"))])])
    words = ("export", f"{DAY}", "--format", "focus")
    assert home.run(*words).code == 0
    home.settings["METRICS_SOURCE"] = COPILOT
    alone = home.run(*words)
    assert alone.code == 2
    assert "GitHub Copilot reports no costs" in alone.err
    assert {path.suffix for path in (home.data / "focus").iterdir()} == {".stale"}
    home.settings |= {"METRICS_SOURCE": "auto", "SOURCES": f"{ANALYTICS},{COPILOT}"}
    together = home.run(*words)
    assert together.code == 0, together.err
    assert [path.parent.name for path in together.paths] == [ANALYTICS]


def test_store_without_costs_writes_nothing(home: Home) -> None:
    put_costs(home, [])
    assert not export(home, code=6).exists()


def test_day_that_does_not_add_up_is_marked(home: Home) -> None:
    total = in_dollars("5")
    put_costs(home, [day_of([cost(ADA, in_dollars("4"))], total=total)])
    result = home.run("export", f"{DAY}", "--format", "focus")
    assert result.code == 9
    assert "billed is 5, the sum of its rows is 4" in result.err
    (row,) = csv_rows(home.data / "focus")
    assert row["x_Unreconciled"].startswith("billed is 5, the sum of its rows is 4")
    assert row["BilledCost"] == "4"


@pytest.mark.slow
def test_charges_are_those_known_at_a_moment(home: Home) -> None:
    """They are in a separate folder; before the first fetch there are none."""
    put_costs(home, [day_of([cost(ADA, in_dollars("7"))])])
    put_costs(home, [day_of([cost(ADA, in_dollars("9"))])], COSTS_FETCHED + timedelta(2))
    words, billed = ("export", f"{DAY}", "--format", "focus"), []
    for back in (1, 3):
        moment = COSTS_FETCHED + timedelta(back)
        result = home.run(*words, "--as-of", f"{moment:%Y-%m-%dT%H:%M}")
        assert result.code == 0, result.err
        (folder,) = result.paths
        header, row = parse((folder / f"focus_{DAY}.csv").read_bytes())
        billed.append(row[header.index("BilledCost")])
    assert billed == ["7", "9"]
    assert not (home.data / "focus").exists()
    unknown = COSTS_FETCHED - timedelta(hours=1)
    result = home.run(*words, "--as-of", f"{unknown:%Y-%m-%dT%H:%M}")
    assert result.code == 6
    assert f"the store did not have them at {unknown:%Y-%m-%dT%H:%M}" in result.err
    assert "fetch them" not in result.err, "that would not help"


def test_pseudonyms_hide_names_and_money_stays(home: Home) -> None:
    key = home.path / "key"
    key.write_text("k" * 64)
    key.chmod(0o600)
    home.settings |= {"PSEUDONYM_KEY_FILE": f"{key}", "INCLUDE_SERVICE_ACCOUNTS": "false"}
    spelled = cost("Ada@Example.com", in_dollars("1"))
    put_costs(home, [day_of([*MIXED, spelled, service(in_dollars("2"), "another")])])
    folder = export(home)
    text = (folder / f"focus_{DAY}.csv").read_text()
    assert not [name for name in ("ada", "ben", "nightly", "another") if name in text.casefold()]
    rows = {(row["x_User"], row["x_Resource"]): row for row in csv_rows(folder)}
    assert rows[SERVICE_ACCOUNTS, "Model A"]["BilledCost"] == "9.25"
    whole = sum_costs(each.figures for each in (*MIXED,)).billed
    assert exact_sum(Decimal(row["BilledCost"]) for row in rows.values()) == exact_sum(
        [whole or Decimal(0), Decimal(3)]
    )
    assert len(rows) == len(MIXED)


@given(costs=any_costs())
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.slow
def test_any_amounts_come_back(home: Home, costs: list[Cost]) -> None:
    """Spellings of one person are added up without loss; a sum with an unknown part is unknown."""
    put_costs(home, [day_of(costs)])
    folder = export(home)
    for rows in (csv_rows(folder), parquet_rows(folder)):
        whole = sum_costs(each.figures for each in costs)
        for name, value in expected(whole).items():
            found = [figures_in(row)[name] for row in rows]
            assert value is None or exact_sum(each or Decimal(0) for each in found) == value
            assert (None in found) == (
                None in [each.figures[m] for each in costs for m in COST_METRICS if m.name == name]
            )


def failed_rules(path: Path, scratch: Path) -> set[str]:
    """The rules of the FinOps Foundation's validator that a file breaks."""
    report = scratch / "report.xml"
    words = (VALIDATOR, "--data-file", path, "--validate-version", RULES, "--block-download")
    # The validator reads a file of its package by a path relative to the current folder.
    (package,) = VALIDATOR.parents[1].glob("lib/python*/site-packages/focus_validator")
    (scratch / package.name).symlink_to(package)
    (scratch / "quiet.yaml").write_text("version: 1")  # otherwise it logs each step
    done = subprocess.run(
        [*words, "--output-type", "unittest", "--output-destination", report],
        check=False,
        cwd=scratch,
        env={**os.environ, "LOGGING_CONFIG": f"{scratch / 'quiet.yaml'}"},
        capture_output=True,
        text=True,
    )
    assert report.exists(), done.stdout + done.stderr
    cases = ET.parse(report).getroot().findall(".//testcase")
    assert len(cases) > 500
    return {failure.get("name", "") for case in cases for failure in case.findall("failure")}


@pytest.fixture
def validator() -> None:
    if not VALIDATOR.exists():
        assert "CI" not in os.environ, "CI makes it: make focus"
        pytest.skip("no focus-validator; make focus")


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.usefixtures("validator")
def test_validator_accepts_focus_csv(home: Home, tmp_path: Path) -> None:
    """With the two columns that its rules still require, but that 1.4 has removed."""
    put_costs(home, [day_of(MIXED)])
    path = export(home) / f"focus_{DAY}.csv"
    header, *rows = parse(path.read_bytes())
    at = header.index("ServiceProviderName")
    names = ("ProviderName", "PublisherName")
    content = [[*names, *header], *([row[at], row[at], *row] for row in rows)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(content)
    assert failed_rules(path, tmp_path) == FALSE


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.usefixtures("validator")
def test_validator_wants_costs_of_credits(home: Home, tmp_path: Path) -> None:
    """And it wants two columns; nothing else is wrong in a Parquet file either."""
    put_costs(home, [day_of([*MIXED, cost(BEN, in_credits("12.5"), "Model C")])])
    path = export(home) / f"focus_{DAY}.parquet"
    assert failed_rules(path, tmp_path) == WANTS_REMOVED | FALSE | NULL_COSTS
