"""Binary floats never touch money: no code that uses the modules on amounts contains one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import Float

from dashboard_scraper.model.costs import AMOUNT_METRICS
from dashboard_scraper.model.money import MAX_DECIMALS, MAX_DIGITS
from dashboard_scraper.store.arrow import COST_DAYS
from dashboard_scraper.store.schema import BUDGET, COST_DAY, metadata
from modules import MODULES, SOURCE, tree_of

MONEY = ("dashboard_scraper.model.money", "dashboard_scraper.model.costs")
OF_MONEY = re.compile(r"cost|money|budget|currenc|focus|amount|explain")
"""Found in the names of modules that are entirely about money."""
BINARY = re.compile(r"float|float(16|32|64)|Float(32|64)?|Double|DOUBLE(_PRECISION)?|REAL|fsum")
BINARY_SQL = re.compile(r"\b(REAL|DOUBLE|FLOAT\d?)\b")

Where = list[tuple[int, str]]


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def floats_in(tree: ast.AST) -> Where:
    """The line and the text of everything that is a binary float or makes one."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            found.append((node.lineno, repr(node.value)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if BINARY_SQL.search(node.value):
                found.append((node.lineno, repr(node.value)[:60]))
        elif isinstance(node, ast.Name) and BINARY.fullmatch(node.id):
            found.append((node.lineno, node.id))
        elif isinstance(node, ast.Attribute) and BINARY.fullmatch(node.attr):
            found.append((node.lineno, node.attr))
    return found


def imported(tree: ast.Module) -> set[str]:
    """The names that the module imports from those on money, without limits like MAX_DIGITS."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in MONEY
        for alias in node.names
        if not alias.name.startswith("MAX_")
    }


def parts_of(tree: ast.Module) -> Iterator[ast.AST]:
    """The functions, methods and other statements of a module."""
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef):
            yield from statement.body
        else:
            yield statement


def floats_near_money(tree: ast.Module, *, whole: bool) -> Where:
    """Floats in parts that use a name from the modules on money; with `whole`, in every part."""
    names = imported(tree)
    return [
        found
        for part in parts_of(tree)
        if whole or any(isinstance(node, ast.Name) and node.id in names for node in ast.walk(part))
        for found in floats_in(part)
    ]


def test_no_binary_float_touches_money() -> None:
    found = {}
    for path in MODULES:
        tree = tree_of(path)
        whole = OF_MONEY.search(name_of(path)) is not None
        found[name_of(path)] = floats_near_money(tree, whole=whole)
    assert {name: where for name, where in found.items() if where} == {}


def test_no_column_of_costs_is_a_binary_float() -> None:
    """Neither in the store nor in Parquet files and lakes."""
    tables = [table for table in metadata.tables.values() if OF_MONEY.search(table.name)]
    assert {COST_DAY, BUDGET} <= {*tables}
    columns = [column for table in tables for column in table.columns]
    assert [column for column in columns if isinstance(column.type, Float)] == []
    assert [field for field in COST_DAYS.schema if pa.types.is_floating(field.type)] == []
    assert {COST_DAYS.schema.field(metric.name).type for metric in AMOUNT_METRICS} == {
        pa.decimal128(MAX_DIGITS, MAX_DECIMALS)
    }


def test_modules_about_money_are_found() -> None:
    about = {name_of(path) for path in MODULES if OF_MONEY.search(name_of(path))}
    assert {"model/money.py", "model/costs.py", "sources/rest/amounts.py"} <= about
    users = [path for path in MODULES if imported(tree_of(path))]
    assert SOURCE / "sources" / "interface.py" in users


USING = "from dashboard_scraper.model.costs import Cost\n"
TOUCHING = {
    "a call": "def f(cost: Cost): return float(cost.billed)",
    "a literal": "def f(cost: Cost): return cost.billed * 0.5",
    "an annotation": "def f(cost: Cost) -> float: ...",
    "an annotation within": "def f(cost: Cost) -> list[float | None]: ...",
    "a column": "TABLE = (Column(Cost.billed, Float),)",
    "another column": "TABLE = (Column(Cost.billed, types.Double()),)",
    "Parquet": "FIELD = (Cost.billed, pa.float64())",
    "SQL": "def f(cost: Cost): return 'SELECT CAST(billed AS REAL)'",
    "a sum": "def f(costs: list[Cost]): return math.fsum(costs)",
    "a method": "class A:\n  def f(self, cost: Cost): return float(cost.billed)",
}


@pytest.mark.parametrize("name", TOUCHING)
def test_each_kind_of_float_is_found(name: str) -> None:
    assert len(floats_near_money(ast.parse(USING + TOUCHING[name]), whole=False)) == 1


def test_floats_of_other_figures_are_left_alone() -> None:
    source = f"{USING}def f(cost: Cost): ...\ndef g() -> float: return 0.5"
    assert floats_near_money(ast.parse(source), whole=False) == []
