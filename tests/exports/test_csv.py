"""The CSV files: the dashboard's columns, the tenant's file, foreign records, safe text."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from conftest import Home, Start, yesterday
from dashboard_scraper.csv_text import guard, parse, render
from dashboard_scraper.exports.csv_import import read_users
from dashboard_scraper.exports.csv_tables import users_csv
from dashboard_scraper.model.addresses import cleaned
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import COUNTS, USER_TITLE, Figures
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.simulator import (
    Counts,
    Fault,
    Organization,
    Simulator,
    add_field,
    raw_body,
    set_value,
)
from dashboard_scraper.simulator.organization import add
from dashboard_scraper.sources.dashboard.fields import (
    FIELDS,
    MONTHLY_ACTIVE_USERS,
    TENANT_TOTALS,
    USER_FIELD,
)
from dashboard_scraper.sources.dashboard.settings import Endpoint
from dashboard_scraper.sources.registry import ANALYTICS

HEADER = [
    "User",
    "First Seen",
    "Last Seen",
    "Active Days",
    "Completions",
    "Accepted Completions",
    "Accept Rate",
    "Chat Messages",
    "Agent Messages",
    "Remote Agent Messages",
    "Interactive CLI Agent Messages",
    "Non-Interactive CLI Agent Messages",
    "Tool Uses",
    "Total Modified Lines of Code",
    "Completion Lines of Code",
    "Instruction Lines of Code",
    "Agent Lines of Code",
    "Remote Agent Lines of Code",
    "CLI Agent Lines of Code",
]
DAY = yesterday() - timedelta(7)
WEEK = Window(DAY - timedelta(6), DAY)
USERS, TENANT = "user-feature-stats", "tenant-feature-stats"
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "''+1", " \u200b\uff1d1"]
BOM = b"\xef\xbb\xbf"
FIELD = {metric.title: FIELDS[metric] for metric in FIELDS}


def fetch(home: Home, *words: str) -> tuple[Path, Path]:
    """The users' file and the tenant's of a run that succeeds."""
    result = home.run(*(words or [f"{DAY}"]))
    assert result.code == 0, result.err
    users, tenant = result.paths
    return users, tenant


def seen_by_a_spreadsheet(path: Path) -> list[dict[str, str]]:
    """The rows as they stand in the file, with the guards."""
    text = io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")
    return list(csv.DictReader(text, strict=True))


def expected_row(organization: Organization, index: int, window: Window) -> list[str]:
    """A person's row, from the simulator's own counts."""
    member = organization.people[index]
    counts, days = organization.totals(window).get(index, (Counts(), 0))
    shown = counts.accepted + counts.rejected
    first, last = organization.first_seen(member), organization.last_seen(member, window.end)
    return [
        member.name,
        (first or "")[:10],
        (last or "")[:10],
        str(days),
        str(shown),
        str(counts.accepted),
        f"{round(100 * counts.accepted / shown, 2)}%" if shown else "",
        str(counts.chat),
        str(counts.agent),
        str(counts.remote),
        str(counts.cli),
        str(counts.script),
        str(counts.tool_calls),
        str(counts.lines),
        str(counts.accepted_lines),
        str(counts.instruction_lines),
        str(counts.agent_lines),
        str(counts.remote_lines),
        str(counts.cli_lines + counts.script_lines),
    ]


def test_the_columns_are_the_dashboards_in_its_order_and_the_cells_are_the_sources_figures(
    home: Home, start: Start
) -> None:
    sim = start(Organization(users=40))
    users, _ = fetch(home, f"{WEEK.start}", f"{WEEK.end}")
    header, *rows = csv.reader(users.read_text().splitlines())
    assert header == HEADER
    people = sim.organization.people
    present = [m.index for m in people if m.belongs(WEEK.start, WEEK.end)]
    expected = sorted(expected_row(sim.organization, index, WEEK) for index in present)
    assert rows == expected
    assert len(rows) > 30


@pytest.mark.parametrize(
    ("number", "cell"),
    [
        (40.0, "40.0%"),
        (41.67, "41.67%"),
        (41.6, "41.6%"),
        (100, "100.0%"),
        (0.0, "0.0%"),
        (66.66666, "66.67%"),
        (None, ""),
    ],
)
def test_a_rate_has_at_least_one_decimal_and_at_most_two_and_is_blank_where_unknown(
    home: Home, sim: Simulator, number: float | None, cell: str
) -> None:
    sim.add_fault(Fault(set_value(FIELD["Accept Rate"], number), USERS))
    users, _ = fetch(home)
    assert {row["Accept Rate"] for row in seen_by_a_spreadsheet(users)} == {cell}


def test_a_moment_is_shown_as_its_utc_day_and_an_unknown_count_as_a_blank(
    home: Home, sim: Simulator
) -> None:
    sim.add_fault(Fault(set_value(FIELD["First Seen"], "2025-10-21T23:30:00-02:00"), USERS))
    sim.add_fault(Fault(set_value(FIELD["Tool Uses"], None, record=0), USERS))
    users, _ = fetch(home)
    rows = seen_by_a_spreadsheet(users)
    assert {row["First Seen"] for row in rows} == {"2025-10-22"}
    assert sum(row["Tool Uses"] == "" for row in rows) == 1


def test_a_moment_that_utc_has_no_date_for_is_blank(home: Home, sim: Simulator) -> None:
    sim.add_fault(Fault(set_value(FIELD["Last Seen"], "0001-01-01T00:00:00+14:00", 0), USERS))
    users, _ = fetch(home)
    assert sum(row["Last Seen"] == "" for row in seen_by_a_spreadsheet(users)) == 1


def test_unknown_fields_follow_alphabetically_with_dots_and_lists_are_json(
    home: Home, sim: Simulator
) -> None:
    for name, value in [
        ("zone", "north"),
        ("meta", {"team": {"name": "core"}, "active": True}),
        ("labels", ["a", 1, {"b": None}]),
        ("Alpha", "=1+1"),
        ("seenAt", "2025-10-21T16:02:11+02:00"),
    ]:
        sim.add_fault(Fault(add_field(name, value), USERS))
    users, _ = fetch(home)
    row = seen_by_a_spreadsheet(users)[0]
    new = ["Alpha", "labels", "meta.active", "meta.team.name", "seenAt", "zone"]
    assert list(row) == [*HEADER, *new]
    cells = ["'=1+1", '["a",1,{"b":null}]', "true", "core", "2025-10-21T14:02:11Z", "north"]
    assert [row[name] for name in new] == cells


def test_a_field_that_only_some_users_have_is_blank_for_the_others(
    home: Home, sim: Simulator
) -> None:
    sim.add_fault(Fault(add_field("team", "core", record=0), USERS))
    users, _ = fetch(home)
    cells = [row["team"] for row in seen_by_a_spreadsheet(users)]
    assert sorted(cells) == [""] * (len(cells) - 1) + ["core"]


def test_an_unknown_field_with_the_name_of_a_column_is_left_out(home: Home, sim: Simulator) -> None:
    """It costs nobody's day, and the column has its own figure."""
    users, _ = fetch(home)
    before = users.read_bytes()
    sim.add_fault(Fault(add_field("Tool Uses", 5, record=0), USERS))
    result = home.run(f"{DAY}")
    assert (result.code, users.read_bytes()) == (0, before)
    assert "with the name of another field, left out: Tool Uses (1)" in result.err


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_of_the_source_becomes_a_formula(home: Home, sim: Simulator, text: str) -> None:
    sim.add_fault(Fault(set_value(USER_FIELD, text, record=0), USERS))
    sim.add_fault(Fault(add_field("note", text, record=0), USERS))
    sim.add_fault(Fault(add_field(f"{text}field", 5, record=0), USERS))
    sim.add_fault(Fault(add_field(text, 6), TENANT))
    sim.add_fault(Fault(add_field("note", text), TENANT))
    users, tenant = fetch(home)
    row = next(row for row in seen_by_a_spreadsheet(users) if row["note"])
    assert (row["note"], row[f"'{text}field"]) == (f"'{text}", "5")
    assert row[USER_TITLE] == f"'{cleaned(text)}"
    told = {row["metric"]: row["value"] for row in seen_by_a_spreadsheet(tenant)}
    assert (told[f"'{text}"], told["note"]) == ("6", f"'{text}")


@pytest.mark.parametrize("name", ["zoë@example.com", "zoe@example.com"])
def test_a_byte_order_mark_comes_only_where_something_is_not_ascii(
    home: Home, sim: Simulator, name: str
) -> None:
    sim.add_fault(Fault(set_value(USER_FIELD, name, record=0), USERS))
    users, tenant = fetch(home)
    assert users.read_bytes().startswith(BOM) == (not name.isascii())
    assert not tenant.read_bytes().startswith(BOM)
    assert name in users.read_text("utf-8-sig")


def test_the_tenants_file_has_the_totals_of_the_period_one_a_row(
    home: Home, sim: Simulator
) -> None:
    users, tenant = fetch(home, f"{WEEK.start}", f"{WEEK.end}")
    totals = sim.organization.totals(WEEK)
    people = [totals[m.index].counts for m in sim.organization.people if m.index in totals]
    everyone = add(people)
    values = [everyone.messages, everyone.tool_calls, everyone.lines, len(people)]
    names = [*TENANT_TOTALS, MONTHLY_ACTIVE_USERS]
    lines = [
        f"{WEEK.start},{WEEK.end},{name},{value}" for name, value in zip(names, values, strict=True)
    ]
    assert tenant.read_text().splitlines() == ["start_date,end_date,metric,value", *lines]
    assert tenant.name == f"{users.stem}_tenant.csv"


def test_fields_of_one_name_from_both_tenant_endpoints_are_told_apart(
    home: Home, sim: Simulator
) -> None:
    """What is known keeps its plain name, and of unknown fields the first."""
    active, mau = MONTHLY_ACTIVE_USERS, Endpoint.MONTHLY_ACTIVE_USERS.value
    sim.add_fault(Fault(add_field(active, 77), TENANT))
    sim.add_fault(Fault(add_field("made", 1), TENANT))
    sim.add_fault(Fault(add_field("made", 2), mau))
    _, tenant = fetch(home)
    told = {row["metric"]: row["value"] for row in seen_by_a_spreadsheet(tenant)}
    assert (told["made"], told[f"{mau}.made"], told[f"{TENANT}.{active}"]) == ("1", "2", "77")
    totals = sim.organization.totals(Window(DAY, DAY))
    people = [member for member in sim.organization.people if member.index in totals]
    assert told[active] == str(len(people))


def test_no_metric_of_the_tenant_has_two_values_in_one_file(home: Home, sim: Simulator) -> None:
    """Of two unknown fields of one name, nobody knows which is meant."""
    sim.add_fault(Fault(add_field("plan.seats", 5), TENANT))
    sim.add_fault(Fault(add_field("plan", {"seats": 6}), TENANT))
    result = home.run(f"{DAY}")
    assert result.code == 0, result.err
    assert "with the name of another field, left out: plan.seats (1)" in result.err
    (tenant,) = (path for path in result.paths if path.stem.endswith("_tenant"))
    assert "plan" not in tenant.read_text()


def test_no_records_give_a_file_with_the_header_alone_a_warning_and_success(
    home: Home, sim: Simulator
) -> None:
    sim.add_fault(Fault(raw_body(b'{"userFeatureStats":[]}'), USERS))
    home.settings["SCRAPE_ENDPOINTS"] = USERS
    result = home.run(f"{DAY}")
    assert result.code == 0
    assert result.paths[0].read_bytes().decode() == ",".join(HEADER) + "\r\n"
    assert "WARNING" in result.err
    assert "without a single record" in result.err


def test_records_of_another_api_have_the_priority_columns_first_and_utc_timestamps(
    home: Home, sim: Simulator
) -> None:
    records = [
        {"zeta": 1, "value": 2.5, "metric": "=x", "timestamp": 1761062531, "date": "2025-10-21"},
        {"usage": {"count": 3}, "email": "ada@example.com", "user_id": 7, "alpha": [1, 2]},
        {"timestamp": "2025-10-21T18:02:11+02:00", "ok": False, "value": None},
        {"timestamp": 1761062531000},
    ]
    sim.add_fault(Fault(raw_body(json.dumps({"items": records}).encode()), USERS))
    home.settings["SCRAPE_ENDPOINTS"] = USERS
    result = home.run(f"{DAY}")
    assert result.code == 0, result.err
    lines = [
        "timestamp,date,user_id,email,metric,value,alpha,ok,usage.count,zeta",
        "2025-10-21T16:02:11Z,2025-10-21,,,'=x,2.5,,,,1",
        ',,7,ada@example.com,,,"[1,2]",,3,',
        "2025-10-21T16:02:11Z,,,,,,,false,,",
        "2025-10-21T16:02:11Z,,,,,,,,,",
    ]
    assert result.paths[0].read_bytes().decode() == "".join(f"{line}\r\n" for line in lines)


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.builds(
    str.__add__,
    st.sampled_from([*FORMULAS, "'", " ", "\x00", '"', "\ufeff", "\u200b"]),
    st.text("=x'\n,\"\r\x00"),
)
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=6)
)


@settings(deadline=None)
@given(TABLES)
@example([["\ufeffUser"]])
@example([[""], [""]])
@example([["a\r\nb", "\r", "\n", "\x00"]])
def test_any_text_is_read_back_as_it_was_written(table: list[list[str]]) -> None:
    header, *rows = table
    assert parse(render(header, [[guard(cell) for cell in row] for row in rows])) == table


BLANKS = " \t\x0b\x00\x7f\x85\xa0\xad\u061c\u115f\u2003\u200b\u200e\u202e\u2060\u2800\u3000\u3164\ufe0f\ufeff"  # noqa: E501
SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212"


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"], ids=repr)
def test_rows_may_end_as_on_any_system_and_cells_keep_their_line_breaks(end: str) -> None:
    rows = [["User", "Note"], ["ada@example.com", "two\rlines"]]
    text = end.join(["User,Note", 'ada@example.com,"two\rlines"', ""])
    assert parse(text.encode()) == rows


@pytest.mark.parametrize("text", ['User,N\n"ada,3\n', 'User,N\n"ada"x,3\n'])
def test_quotes_that_do_not_end_where_a_cell_does_are_an_error(text: str) -> None:
    """As in a file that was cut: the rest of it would be one cell."""
    with pytest.raises(csv.Error):
        parse(text.encode())


@pytest.mark.parametrize("blanks", ["", *BLANKS, BLANKS, "' ", " '"], ids=ascii)
def test_a_sign_of_a_formula_is_guarded_in_every_form_and_behind_blanks(blanks: str) -> None:
    texts = [f"{blanks}{sign}1+1" for sign in SIGNS]
    assert [guard(text) for text in texts] == [f"'{text}" for text in texts]
    assert parse(render(("a",), [[guard(text)] for text in texts]))[1:] == [[t] for t in texts]


@pytest.mark.parametrize(
    "text", ["ada@example.com", "a=1", "1-2", "zo\u00eb-x", " a=1", "\u3042", ""]
)
def test_text_that_is_no_formula_is_written_as_it_is(text: str) -> None:
    assert guard(text) == text


@settings(deadline=None)
@given(TABLES)
def test_no_cell_of_text_begins_as_a_formula_does(table: list[list[str]]) -> None:
    header, *rows = table
    data = render(header, [[guard(cell) for cell in row] for row in rows])
    written = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    assert not [cell for row in written for cell in row if cell.startswith(tuple("=+-@\t\r\n"))]


COUNT = st.none() | st.integers(0, 10**12)
ANY_FIGURES = st.builds(Figures, **{metric.name: COUNT for metric in COUNTS})


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(CELLS.filter(bool), ANY_FIGURES, max_size=5))
def test_the_counts_of_any_users_are_read_back_from_their_csv(
    tmp_path: Path, figures: dict[str, Figures]
) -> None:
    users = [UserUsage(name, counts) for name, counts in figures.items()]
    file = tmp_path / "users.csv"
    file.write_bytes(users_csv(users, ANALYTICS))
    assert read_users(file) == users
