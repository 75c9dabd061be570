"""The CSV files: the dashboard's columns, the tenant's file, foreign records, safe text."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from conftest import Home, Start, yesterday
from dashboard_scraper.csv_text import guard, parse, render
from dashboard_scraper.exports.csv_import import read_users
from dashboard_scraper.exports.csv_tables import users_csv
from dashboard_scraper.model.addresses import cleaned
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import (
    AUGMENT_METRICS,
    COUNTS,
    METRICS,
    USER_TITLE,
    Figures,
    Kind,
)
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
from dashboard_scraper.simulator.lying import Altered
from dashboard_scraper.simulator.organization import add
from dashboard_scraper.sources.dashboard.fields import (
    FIELDS,
    MONTHLY_ACTIVE_USERS,
    TENANT_TOTALS,
    USER_FIELD,
)
from dashboard_scraper.sources.dashboard.settings import Endpoint
from dashboard_scraper.sources.registry import ANALYTICS, DASHBOARD

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
    """The paths of the users' CSV and of the tenant's CSV of a successful run."""
    result = home.run(*(words or [f"{DAY}"]))
    assert result.code == 0, result.err
    users, tenant = result.paths
    return users, tenant


def seen_by_a_spreadsheet(path: Path) -> list[dict[str, str]]:
    """The rows as they are in the file, with the guards against formulas."""
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


def test_columns_and_cells_are_the_dashboards(home: Home, start: Start) -> None:
    sim = start(Organization(users=40))
    users, _ = fetch(home, f"{WEEK.start}", f"{WEEK.end}")
    header, *rows = csv.reader(users.read_text().splitlines())
    assert header == HEADER
    people = sim.organization.people
    present = [m.index for m in people if m.belongs(WEEK.start, WEEK.end)]
    expected = sorted(expected_row(sim.organization, index, WEEK) for index in present)
    assert rows == expected
    assert len(rows) > 30


RATES: dict[float | None, str] = {
    40.0: "40.0%",
    41.67: "41.67%",
    41.6: "41.6%",
    100: "100.0%",
    0.0: "0.0%",
    66.66666: "66.67%",
    None: "",
}


def test_rate_has_one_or_two_decimals(home: Home, sim: Simulator) -> None:
    """And it is blank if unknown."""
    sim.add_fault(Fault(set_value(FIELD["Accept Rate"], None), USERS))
    for record, (number, name) in enumerate(zip(RATES, "abcdefg", strict=True)):
        sim.add_fault(Fault(set_value(FIELD["Accept Rate"], number, record), USERS))
        sim.add_fault(Fault(set_value(USER_FIELD, name, record), USERS))
    users, _ = fetch(home)
    found = {row[USER_TITLE]: row["Accept Rate"] for row in seen_by_a_spreadsheet(users)}
    assert [found[name] for name in "abcdefg"] == list(RATES.values())


def test_times_are_utc_days_and_unknown_is_blank(home: Home, sim: Simulator) -> None:
    sim.add_fault(Fault(set_value(FIELD["First Seen"], "2025-10-21T23:30:00-02:00"), USERS))
    sim.add_fault(Fault(set_value(FIELD["Tool Uses"], None, record=0), USERS))
    users, _ = fetch(home)
    rows = seen_by_a_spreadsheet(users)
    assert {row["First Seen"] for row in rows} == {"2025-10-22"}
    assert sum(row["Tool Uses"] == "" for row in rows) == 1


def test_time_without_a_utc_date_is_blank(home: Home, sim: Simulator) -> None:
    sim.add_fault(Fault(set_value(FIELD["Last Seen"], "0001-01-01T00:00:00+14:00", 0), USERS))
    users, _ = fetch(home)
    assert sum(row["Last Seen"] == "" for row in seen_by_a_spreadsheet(users)) == 1


def test_unknown_fields_follow_alphabetically(home: Home, sim: Simulator) -> None:
    """Nested fields have dots in their names, and lists are JSON."""
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


def test_field_of_some_users_is_blank_for_others(home: Home, sim: Simulator) -> None:
    sim.add_fault(Fault(add_field("team", "core", record=0), USERS))
    users, _ = fetch(home)
    cells = [row["team"] for row in seen_by_a_spreadsheet(users)]
    assert sorted(cells) == [""] * (len(cells) - 1) + ["core"]


def test_field_named_like_a_column_is_left_out(home: Home, sim: Simulator) -> None:
    """No day is refused, and the column keeps its own figure."""
    users, _ = fetch(home)
    before = users.read_bytes()
    sim.add_fault(Fault(add_field("Tool Uses", 5, record=0), USERS))
    result = home.run(f"{DAY}")
    assert (result.code, users.read_bytes()) == (0, before)
    assert "with the name of another field, left out: Tool Uses (1)" in result.err


def test_source_text_never_becomes_a_formula(home: Home, start: Start) -> None:
    """Whether it is a name, a value, or the name of a field."""
    sim = start(Organization(users=40))
    texts = [f"{formula}{number}" for number, formula in enumerate(FORMULAS)]
    for record, text in enumerate(texts):
        sim.add_fault(Fault(set_value(USER_FIELD, text, record), USERS))
        sim.add_fault(Fault(add_field("note", text, record), USERS))
        sim.add_fault(Fault(add_field(f"{text}field", 5, record), USERS))
        sim.add_fault(Fault(add_field(text, 6), TENANT))
        sim.add_fault(Fault(add_field(f"note{record}", text), TENANT))
    users, tenant = fetch(home)
    rows = {row["note"]: row for row in seen_by_a_spreadsheet(users)}
    reported = {row["metric"]: row["value"] for row in seen_by_a_spreadsheet(tenant)}
    for record, text in enumerate(texts):
        guarded = f"'{text}".replace("\r", "\r'").replace("\n", "\n'")
        assert rows[guarded][f"{guarded}field"] == "5"
        assert rows[guarded][USER_TITLE] == f"'{cleaned(text)}"
        assert (reported[guarded], reported[f"note{record}"]) == ("6", guarded)


@pytest.mark.parametrize("name", ["zoë@example.com", "zoe@example.com"])
def test_bom_is_written_only_for_non_ascii(home: Home, sim: Simulator, name: str) -> None:
    sim.add_fault(Fault(set_value(USER_FIELD, name, record=0), USERS))
    users, tenant = fetch(home)
    assert users.read_bytes().startswith(BOM) == (not name.isascii())
    assert not tenant.read_bytes().startswith(BOM)
    assert name in users.read_text("utf-8-sig")


def test_tenant_csv_has_a_total_per_row(home: Home, sim: Simulator) -> None:
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


def test_same_field_of_both_endpoints_is_distinct(home: Home, sim: Simulator) -> None:
    """A known field keeps its plain name; of two unknown fields, the first one keeps it."""
    active, mau = MONTHLY_ACTIVE_USERS, Endpoint.MONTHLY_ACTIVE_USERS.value
    sim.add_fault(Fault(add_field(active, 77), TENANT))
    sim.add_fault(Fault(add_field("made", 1), TENANT))
    sim.add_fault(Fault(add_field("made", 2), mau))
    _, tenant = fetch(home)
    reported = {row["metric"]: row["value"] for row in seen_by_a_spreadsheet(tenant)}
    assert (reported["made"], reported[f"{mau}.made"], reported[f"{TENANT}.{active}"]) == (
        "1",
        "2",
        "77",
    )
    totals = sim.organization.totals(Window(DAY, DAY))
    people = [member for member in sim.organization.people if member.index in totals]
    assert reported[active] == str(len(people))


def test_tenant_metrics_have_one_value_each(home: Home, sim: Simulator) -> None:
    """Two unknown fields of the same name are ambiguous."""
    sim.add_fault(Fault(add_field("plan.seats", 5), TENANT))
    sim.add_fault(Fault(add_field("plan", {"seats": 6}), TENANT))
    result = home.run(f"{DAY}")
    assert result.code == 0, result.err
    assert "with the name of another field, left out: plan.seats (1)" in result.err
    (tenant,) = (path for path in result.paths if path.stem.endswith("_tenant"))
    assert "plan" not in tenant.read_text()


def test_no_records_give_a_header_and_a_warning(home: Home, sim: Simulator) -> None:
    sim.add_fault(Fault(raw_body(b'{"userFeatureStats":[]}'), USERS))
    home.settings["SCRAPE_ENDPOINTS"] = USERS
    result = home.run(f"{DAY}")
    assert result.code == 0
    assert result.paths[0].read_bytes().decode() == ",".join(HEADER) + "\r\n"
    assert "WARNING" in result.err
    assert "without a single record" in result.err


@pytest.mark.parametrize(("days", "code"), [(6, 0), (7, 11)])
@pytest.mark.parametrize("listed", [True, False], ids=["listed", "left-out"])
def test_week_without_anybody_is_marked_and_an_error(
    home: Home, sim: Simulator, days: int, code: int, listed: bool
) -> None:
    """The account may not see others' figures; in a shorter time, maybe nobody was active."""
    idle: dict[str, object] = {field: 0 for metric, field in FIELDS.items() if metric in COUNTS}
    idle |= dict.fromkeys(("firstSeen", "lastSeen", "acceptanceRatePercentage"))
    idle |= {"totalActiveDays": 0, USER_FIELD: "ada@example.com"}
    sim.add_fault(
        Fault(raw_body(json.dumps({"userFeatureStats": [idle] * listed}).encode()), USERS)
    )
    home.settings["SCRAPE_ENDPOINTS"] = USERS
    result = home.run(f"{DAY - timedelta(days - 1)}", f"{DAY}")
    assert result.code == code, result.err
    (users,) = (path for path in result.paths if path.suffix == ".csv")
    assert len(users.read_text().splitlines()) == 1 + listed
    notes = [path.read_text() for path in result.paths if path.suffix == ".txt"]
    words = f"nobody is active on any of the {days} days"
    assert [words in text for text in notes] == [True] * (code > 0)
    assert (f"{words} from {DAY - timedelta(6)} to {DAY}; every file" in result.err) == (code > 0)


@pytest.mark.parametrize(
    ("shown", "code", "words"),
    [
        pytest.param(1, 0, "", id="everybody"),
        pytest.param(2, 11, ", the stored days have ", id="every-second-person"),
    ],
)
@pytest.mark.slow
def test_period_unlike_its_stored_days_is_marked_and_an_error(
    home: Home, sim: Simulator, shown: int, code: int, words: str
) -> None:
    """The account may see only some people by now: their totals agree."""
    days = f"{WEEK.start}", f"{WEEK.end}"
    assert home.run("backfill", *days).code == 0
    some = Altered(sim.organization, gone=lambda member: member.index % shown > 0)
    for endpoint in (USERS, TENANT):
        sim.add_fault(Fault(lambda _, request: sim.answer_for(some, request), endpoint))
    result = home.run(*days)
    assert result.code == code, result.err
    notes = "".join(path.read_text() for path in result.paths if path.suffix == ".txt")
    assert words in result.err
    assert words in notes
    assert (f"{WEEK} suspicious: " in notes) == (code > 0)


def test_other_records_have_priority_columns_first(home: Home, sim: Simulator) -> None:
    """And their timestamps are in UTC."""
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
    st.text("=x'\n,;\"\r\x00"),
)
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=6)
)


@settings(deadline=None)
@given(TABLES)
@example([["\ufeffUser"]])
@example([[""], [""]])
@example([["a\r\nb", "\r", "\n", "\x00"]])
@pytest.mark.slow
def test_any_text_is_read_back_unchanged(table: list[list[str]]) -> None:
    header, *rows = table
    assert parse(render(header, [[guard(cell) for cell in row] for row in rows])) == table


BLANKS = " \t\x0b\x00\x7f\x85\xa0\xad\u061c\u115f\u2003\u200b\u200e\u202e\u2060\u2800\u3000\u3164\ufe0f\ufeff"  # noqa: E501
SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212"


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"], ids=repr)
def test_rows_may_end_as_on_any_system(end: str) -> None:
    """Line breaks within cells stay as they are."""
    rows = [["User", "Note"], ["ada@example.com", "two\rlines"]]
    text = end.join(["User,Note", 'ada@example.com,"two\rlines"', ""])
    assert parse(text.encode()) == rows


@pytest.mark.parametrize("text", ['User,N\n"ada,3\n', 'User,N\n"ada"x,3\n'])
def test_unbalanced_quotes_are_an_error(text: str) -> None:
    """As in a truncated file, whose rest would be read as one cell."""
    with pytest.raises(csv.Error):
        parse(text.encode())


@pytest.mark.parametrize("blanks", ["", *BLANKS, BLANKS, "' ", " '"], ids=ascii)
def test_formula_signs_are_guarded_behind_blanks(blanks: str) -> None:
    texts = [f"{blanks}{sign}1+1" for sign in SIGNS]
    assert [guard(text) for text in texts] == [f"'{text}" for text in texts]
    assert parse(render(("a",), [[guard(text)] for text in texts]))[1:] == [[t] for t in texts]


@pytest.mark.parametrize("first", ["\t", "\r", "\n"])
def test_text_that_begins_with_a_control_character_is_guarded(first: str) -> None:
    """Programs that remove it would run what follows."""
    assert guard(f"{first}a") == f"'{first}a"
    assert parse(render(("a", "b"), [[1, guard(f"{first}a")]]))[1:] == [["1", f"{first}a"]]


@pytest.mark.parametrize(
    ("text", "guarded"),
    [
        ("a;=1+1;b", "a;'=1+1;b"),
        ("a\n\t@x\r-1", "a\n'\t@x\r'-1"),
        ("=1; '=2", "'=1;' '=2"),
        ('a";+1', "a\";'+1"),
    ],
    ids=ascii,
)
def test_formula_signs_are_guarded_within_text(text: str, guarded: str) -> None:
    """A spreadsheet whose list separator is a semicolon, as in Germany, splits a row there, and at
    line breaks, even within quotes: to it, these do not begin a cell.
    """
    assert guard(text) == guarded
    assert parse(render(("a", "b"), [[1, guard(text)]])) == [["a", "b"], ["1", text]]


@pytest.mark.parametrize(
    "text",
    [
        "ada@example.com",
        "a=1",
        "a; b",
        "a;b=1",
        "a\n\nb",
        "1-2",
        "zo\u00eb-x",
        " a=1",
        "\u3042",
        "",
    ],
)
def test_other_text_is_written_unchanged(text: str) -> None:
    assert guard(text) == text


@settings(deadline=None)
@given(TABLES)
@pytest.mark.slow
def test_no_text_cell_begins_like_a_formula(table: list[list[str]]) -> None:
    header, *rows = table
    data = render(header, [[guard(cell) for cell in row] for row in rows])
    written = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    assert not [cell for row in written for cell in row if cell.startswith(tuple("=+-@\t\r\n"))]


COUNT = st.none() | st.integers(0, 10**12)
ANY_FIGURES = st.builds(Figures, **{m.name: COUNT for m in AUGMENT_METRICS if m in COUNTS})


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
# Addresses, since any other name may look like that of a row of sums, which is refused. They are
# cleaned as in the store, since reading the file cleans them, too.
@given(st.dictionaries(CELLS.map("{}@example.com".format).map(cleaned), ANY_FIGURES, max_size=5))
@pytest.mark.slow
def test_counts_are_read_back_from_their_csv(tmp_path: Path, figures: dict[str, Figures]) -> None:
    users = [UserUsage(name, counts) for name, counts in figures.items()]
    file = tmp_path / "users.csv"
    file.write_bytes(users_csv(users, ANALYTICS))
    assert read_users(file) == users


moments = st.one_of(
    st.none(), st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9))]))
)
numbers = st.one_of(st.none(), st.integers(0, 2**63 - 1))
percents = st.one_of(st.none(), st.floats(0, 100))
_OF_KIND = {Kind.MOMENT: moments, Kind.PERCENT: percents, Kind.COUNT: numbers, Kind.DAYS: numbers}
any_figures = st.builds(Figures, **{m.name: _OF_KIND[m.kind] for m in METRICS})
names = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from([*FORMULAS, "a,b", 'a"b', "a\nb", "a\rb", "a b", "é@example.com", "%d", ""]),
)


@given(st.lists(st.builds(UserUsage, names, any_figures, service=st.booleans()), min_size=1))
@settings(max_examples=12, deadline=None)
@pytest.mark.parametrize("source", [DASHBOARD, ANALYTICS])
def test_rows_are_what_the_writer_prints(source: str, users: list[UserUsage]) -> None:
    """With a field outside the catalogue, the CSV writer prints all rows."""
    extended = [replace(user, extra={"x": None}) for user in users]
    text = users_csv(extended, source).decode("utf-8-sig")
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    expected = io.StringIO(newline="")
    csv.writer(expected).writerows(row[:-1] for row in rows)
    assert users_csv(users, source).decode("utf-8-sig") == expected.getvalue()
