"""The generated files of the dbt package are up to date; `make check-dbt` runs the package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dbt_catalogue
from dashboard_scraper.store.schema import VIEWS
from dbt_catalogue import FILES, PACKAGE
from dbt_stores import DAMAGES
from in_process import as_program


@pytest.mark.parametrize("name", FILES)
def test_each_generated_file_is_up_to_date(name: str) -> None:
    assert (PACKAGE / name).read_text(encoding="utf-8") == FILES[name](), "run `make docs`"


@pytest.mark.slow
def test_the_tool_writes_every_file(tmp_path: Path) -> None:
    as_program(dbt_catalogue.__file__, f"{tmp_path}")
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert made == set(FILES)


def test_every_view_is_a_source() -> None:
    text = FILES["models/sources.yml"]()
    assert [view for view in VIEWS if f"      - name: {view}\n" not in text] == []
    assert "None" not in text


def test_models_read_what_is_generated() -> None:
    """There is a staging model for each view in the catalogue's macro, and no other."""
    models = {path.stem for path in (PACKAGE / "models" / "staging").glob("*.sql")}
    described = re.findall(
        r"^  - name: (\w+)$", FILES["models/staging/staging.yml"](), re.MULTILINE
    )
    assert models == set(described)


def test_every_test_of_figures_has_a_damage_that_it_finds() -> None:
    """A test that no damage in `make check-dbt` makes fail proves nothing."""
    singular = {path.stem for path in (PACKAGE / "tests").glob("*.sql")}
    broken = {test for _, test in DAMAGES.values()}
    remarks = {"no_day_is_in_doubt", "no_costs_are_in_doubt"}
    of_the_package = {"marts_leave_nothing_out"}  # no damage to the store can break it
    assert singular - remarks - of_the_package <= broken
