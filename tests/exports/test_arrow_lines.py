"""The public functions from Arrow batches to records: the bytes of the local files."""

from __future__ import annotations

import json
import math
import pickle
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import dashboard_scraper
import toy_source
from conftest import Home
from dashboard_scraper import (
    Shown,
    Stamp,
    copilot_lines,
    copilot_people,
    github_lines,
    github_people,
)
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.metrics import ACTIVE_DAYS, DETAILED
from dashboard_scraper.sources.registry import SOURCES
from filled_store import LAST, MONTH, SOURCE, figures_of
from lake_days import ENTERPRISE, export_locally, export_to_lake, fill

ADA = {"ada@example.com": Shown(7, "ada")}
STAMP = Stamp(ENTERPRISE, MONTH)


def row(**counts: int | None) -> dict[str, Any]:
    figures = figures_of(**counts)
    return {name: [getattr(figures, name)] for name in figures.__struct_fields__}


def batch_of(name: str, days: int = 1, **counts: int | None) -> pa.RecordBatch:
    columns = {"day": [LAST], "user_login": [name], **row(**counts)}
    table = pa.table({key: values * days for key, values in columns.items()})
    return table.to_batches()[0]


def lines_by_day(batches: list[pa.RecordBatch]) -> dict[date, list[bytes]]:
    """The lines of each day, sorted by their keys."""
    found: dict[date, list[tuple[str, bytes]]] = {}
    for batch in batches:
        for each in batch.to_pylist():
            found.setdefault(each["day"], []).append((each["sort_key"], each["line"].encode()))
    return {day: [line for _, line in sorted(rows)] for day, rows in sorted(found.items())}


def with_details(tables: dict[str, pa.Table], local: list[bytes]) -> pa.Table:
    """The user-days with their editors, languages and credits, and the phases of the local file."""
    totals = {each["day"]: each["editor_language"] for each in tables["daily_totals"].to_pylist()}
    parts: dict[tuple[date, str], list[dict[str, Any]]] = {}
    for each in tables["editor_language_days"].to_pylist():
        if totals[each["day"]] == "complete":
            parts.setdefault((each["day"], each["user_login"]), []).append(each)
    used = {
        (each["day"], each["user_login"]): each["credits_consumed"]
        for each in tables["credit_days"].to_pylist()
    }
    keys = [(each["day"], each["user_login"]) for each in tables["user_days"].to_pylist()]
    names = ["editor", "language", *(metric.name for metric in DETAILED)]
    details = [
        [{name: part[name] for name in names} for part in parts.get(key, [])] for key in keys
    ]
    phases = {
        (each["day"], each["user_login"]): each["ai_adoption_phase"]["phase_number"]
        for each in map(json.loads, local)
        if "ai_adoption_phase" in each
    }
    numbers = [phases.get((f"{day}", name)) for day, name in keys]
    return (
        tables["user_days"]
        .append_column("adoption_phase", pa.array(numbers, pa.int64()))
        .append_column("parts", pa.array(details))
        .append_column("credits_consumed", pa.array([used.get(key) for key in keys], pa.float64()))
    )


@pytest.mark.slow
def test_batches_give_bytes_of_local_files(home: Home) -> None:
    """Batches of any size, with people that were pickled and unpickled.

    There are no pseudonyms here; the test on Spark has the same figures with them.
    """
    fill(home, pseudonyms=False)
    local, tables = export_locally(home), export_to_lake(home)
    table = with_details(tables, local.github)
    assert set(table.column("adoption_phase").to_pylist()) == {None, 0, 1, 2, 3}
    firsts = table.group_by("user_login").aggregate([("day", "min"), ("day", "max")])
    names, first, last = (firsts.column(at).to_pylist() for at in range(3))
    people = pickle.loads(pickle.dumps(github_people(zip(names, first, strict=True))))
    shown = pickle.loads(pickle.dumps(copilot_people(zip(names, last, strict=True))))
    stamp = pickle.loads(pickle.dumps(STAMP))
    table = table.filter(pc.field("day") >= MONTH.start)
    batches = table.to_batches(max_chunksize=7)
    github = lines_by_day([github_lines(batch, people, stamp) for batch in batches])
    copilot = lines_by_day([copilot_lines(batch, shown, stamp) for batch in batches])
    assert [line for lines in github.values() for line in lines] == local.github
    assert copilot == {day: lines for day, lines in local.copilot.items() if lines}
    text = b"".join(local.github)
    assert b'"language":"python"' in text
    assert b'"ai_credits_used":' in text
    assert b"@example.com" in text
    assert any(b"null" in line for lines in local.copilot.values() for line in lines)


def test_unknown_metric_is_null_not_zero() -> None:
    batch = batch_of("ada@example.com", chat_messages=None)
    (line,) = copilot_lines(batch, ADA, STAMP).column("line").to_pylist()
    assert '"feature":"chat_panel","user_initiated_interaction_count":null' in line


def test_users_that_are_not_shown_have_no_line() -> None:
    people = {"bot": Shown(1, "bot", shown=False)}
    batch = batch_of("bot", chat_messages=1)
    assert github_lines(batch, people, STAMP).num_rows == 0
    assert copilot_lines(batch, people, STAMP).num_rows == 0


def test_resting_users_have_no_line() -> None:
    assert github_lines(batch_of("ada@example.com"), ADA, STAMP).num_rows == 0


@pytest.mark.parametrize("lines", [github_lines, copilot_lines])
def test_active_days_say_whether_an_unknown_count_may_be_activity(lines: Any) -> None:
    """As in the local files, only people who were or may have been active have a line."""
    unknown = batch_of("ada@example.com", chat_messages=None)
    column = unknown.schema.get_field_index(ACTIVE_DAYS.name)
    for days, count in ((0, 0), (1, 1), (None, 1)):
        batch = unknown.set_column(column, ACTIVE_DAYS.name, pa.array([days], pa.int64()))
        assert lines(batch, ADA, STAMP).num_rows == count


@pytest.mark.parametrize("lines", [github_lines, copilot_lines])
def test_batch_of_other_types_gives_the_same_line_or_is_refused(lines: Any) -> None:
    good = batch_of("ada@example.com", chat_messages=3)
    moment, decimals = pa.array([LAST]).cast(pa.timestamp("us")), pa.array([3.0])
    for name, right, wrong in (
        ("day", pa.array([LAST], pa.date64()), moment),
        ("day", pa.array([LAST]).dictionary_encode(), pa.array([f"{LAST}"])),
        ("day", pa.array([LAST]), pa.array([None], pa.date32())),
        ("chat_messages", decimals, pa.array([3.5])),
        ("chat_messages", pa.array([3], pa.int8()), pa.array([math.nan])),
    ):
        column = good.schema.get_field_index(name)
        same = lines(good.set_column(column, name, right), ADA, STAMP)
        assert same.equals(lines(good, ADA, STAMP))
        with pytest.raises(UsageError, match=f"the batch's column {name} "):
            lines(good.set_column(column, name, wrong), ADA, STAMP)


def test_numbers_of_other_types_give_the_same_line() -> None:
    """pandas has whole numbers beside nulls as floats, and DuckDB has sums as decimals."""
    good = batch_of("ada@example.com", chat_messages=3)

    def line(phase: pa.Array, consumed: pa.Array) -> str:
        named = {"adoption_phase": phase, "credits_consumed": consumed}
        batch = good
        for name, column in named.items():
            batch = batch.append_column(name, column)
        (found,) = github_lines(batch, ADA, STAMP).column("line").to_pylist()
        return str(found)

    expected = line(pa.array([2]), pa.array([1.5]))
    assert '"phase_number":2,"phase":"Phase 2"' in expected
    assert '"ai_credits_used":1.5,' in expected
    assert line(pa.array([2.0]), pa.array([Decimal("1.5")])) == expected
    with pytest.raises(UsageError, match="the batch's column adoption_phase"):
        line(pa.array([2.5]), pa.array([1.5]))


@pytest.mark.parametrize("lines", [github_lines, copilot_lines])
def test_batches_that_would_mislead_are_refused(lines: Any) -> None:
    """People who are not known, two rows of one person, or a required figure that is missing."""
    good = batch_of("ada@example.com", chat_messages=1)
    assert lines(good, ADA, STAMP).num_rows == 1
    with pytest.raises(UsageError, match="`people` lacks users"):
        lines(good, {}, STAMP)
    with pytest.raises(UsageError, match="two rows of one person"):
        lines(batch_of("ada@example.com", 2, chat_messages=1), ADA, STAMP)
    for missing in ("day", "user_login", "chat_messages"):
        with pytest.raises(UsageError, match=f"lacks the column {missing}"):
            lines(good.drop_columns([missing]), ADA, STAMP)


@pytest.mark.parametrize("lines", [github_lines, copilot_lines])
def test_batch_of_source_without_figures_is_refused(
    lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its figures are null, which would be written as 0 in GitHub's format."""
    monkeypatch.setitem(SOURCES, toy_source.NAME, toy_source.__name__)
    good = batch_of("ada@example.com", chat_messages=1)
    sources = {source: good.append_column("source", pa.array([source])) for source in SOURCES}
    assert lines(sources[SOURCE], ADA, STAMP).num_rows == 1
    with pytest.raises(UsageError, match="need figures that A toy does not have"):
        lines(sources[toy_source.NAME], ADA, STAMP)


def test_copilot_records_need_a_window() -> None:
    with pytest.raises(UsageError, match="needs a window"):
        copilot_lines(batch_of("ada@example.com"), ADA, Stamp(ENTERPRISE))


def test_package_offers_the_functions() -> None:
    assert {"github_lines", "copilot_lines", "github_people"} <= set(dir(dashboard_scraper))
