"""`convert`: turns the dashboard's own CSV into Copilot JSON, or names the place of an error."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from conftest import Home, Result, today, yesterday
from dashboard_scraper.errors import ContractBroken, UsageError
from dashboard_scraper.exports.copilot_converter import md5_user_id
from dashboard_scraper.exports.csv_days import period_csv, period_path, tenant_path, window_of_file
from dashboard_scraper.exports.csv_import import read_users
from dashboard_scraper.exports.csv_tables import tenant_csv
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import USER_TITLE, Kind
from dashboard_scraper.model.usage import TenantFigure
from dashboard_scraper.sources.dashboard.fields import FIELDS
from dashboard_scraper.sources.registry import SOURCES

TITLES = [USER_TITLE, *(metric.title for metric in FIELDS)]
COUNTED = {metric.title for metric in FIELDS if metric.kind is Kind.COUNT}
WINDOW_NAME = "user-feature-stats-2025-10-20-to-2025-10-22.csv"
BOM = b"\xef\xbb\xbf"


def row(user: str, **cells: str) -> dict[str, str]:
    """A row with 2 in every count; `cells` are named like their titles, with `_` for a space."""
    counts = {title: "2" for title in TITLES if title in COUNTED}
    named = {name.replace("_", " "): cell for name, cell in cells.items()}
    return {
        USER_TITLE: user,
        "First Seen": "2024-08-14",
        "Last Seen": "2025-10-22",
        "Active Days": "1",
        "Accept Rate": "41.67%",
        **counts,
        **named,
    }


def sheet(*rows: dict[str, str], titles: list[str] | None = None, end: str = "\n") -> bytes:
    titles = titles or TITLES
    lines = [",".join(titles), *(",".join(each[title] for title in titles) for each in rows)]
    return "".join(line + end for line in lines).encode()


ADA, BO = row("ada@example.com"), row("bo@example.com", Chat_Messages="7")
GOOD = sheet(ADA, BO)


def saved(home: Home, content: bytes = GOOD, name: str = WINDOW_NAME) -> Path:
    file = home.path / name
    file.write_bytes(content)
    return file


def records(result: Result) -> list[dict[str, Any]]:
    """The records in the one file that a successful run prints."""
    assert result.code == 0, result.err
    (path,) = result.paths
    found: list[dict[str, Any]] = json.loads(path.read_bytes())
    return found


def period(result: Result) -> tuple[str, str, str]:
    """The first day, the last day and the day that every record has."""
    keys = ("report_start_day", "report_end_day", "day")
    ((first, last, day),) = {tuple(each[key] for key in keys) for each in records(result)}
    return first, last, day


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        (WINDOW_NAME, "2025-10-20", "2025-10-22"),
        ("user-feature-stats-2025-10-20-to-2025-10-22 (1).csv", "2025-10-20", "2025-10-22"),
        ("augment_metrics_2025-10-22.csv", "2025-10-22", "2025-10-22"),
        ("metrics_20251020_to_20251022.csv", "2025-10-20", "2025-10-22"),
    ],
)
def test_days_are_read_from_file_name(home: Home, name: str, first: str, last: str) -> None:
    result = home.run("convert", str(saved(home, name=name)))
    assert period(result) == (first, last, last)
    assert result.paths == [(home.path / name).with_suffix(".json")]


@pytest.mark.parametrize(
    "name",
    [
        "metrics_20251022.csv",
        "stats.csv",
        "augment_metrics_2025-13-45.csv",
        "user-feature-stats-2025-10-22-to-2025-10-20.csv",
        "stats_2025-10-20_2025-10-22.csv",
        "2025-11-01 user-feature-stats-2025-10-20-to-2025-10-22.csv",
    ],
)
def test_ambiguous_file_name_is_refused(home: Home, name: str) -> None:
    file = saved(home, name=name)
    refused = home.run("convert", str(file))
    assert (refused.code, refused.out) == (2, "")
    assert not file.with_suffix(".json").exists()


@pytest.mark.parametrize(
    ("options", "first", "last"),
    [
        (["--day", "10-05-2025"], "2025-10-05", "2025-10-05"),
        (["--start", "2025-10-01", "--end", "10-05-2025"], "2025-10-01", "2025-10-05"),
    ],
)
def test_options_override_file_name(home: Home, options: list[str], first: str, last: str) -> None:
    for name in (WINDOW_NAME, "stats.csv"):
        result = home.run("convert", str(saved(home, name=name)), *options)
        assert period(result) == (first, last, last)


@pytest.mark.parametrize(
    "options",
    [
        ["--day", "2025-10-05", "--start", "2025-10-05"],
        ["--day", "2025-10-05", "--end", "2025-10-05"],
        ["--start", "2025-10-05"],
        ["--end", "2025-10-05"],
        ["--start", "2025-10-06", "--end", "2025-10-05"],
        ["--day", "2025-10"],
        ["--day", "2025-02-30"],
    ],
)
def test_contradictory_options_are_refused(home: Home, options: list[str]) -> None:
    file = saved(home)
    result = home.run("convert", str(file), *options)
    assert (result.code, result.out) == (2, "")
    assert "Traceback" not in result.err
    assert not file.with_suffix(".json").exists()


def test_active_days_say_whether_an_unknown_count_may_be_activity(home: Home) -> None:
    """As in the JSON of a day, only people who were or may have been active have a record."""
    nothing = {**dict.fromkeys(COUNTED, "0"), "Chat Messages": ""}
    days = {
        "ada@example.com": "0",
        "bo@example.com": "1",
        "cy@example.com": "",
        "di@example.com": "-",
    }
    rows = [{**row(name), **nothing, "Active Days": cell} for name, cell in days.items()]
    found = records(home.run("convert", str(saved(home, sheet(*rows)))))
    assert [each["user_login"] for each in found] == [*days][1:]
    assert {each["user_initiated_interaction_count"] for each in found} == {None}


def test_more_active_days_than_days_are_a_warning(home: Home) -> None:
    """With a file of three days, the same number is possible."""
    file = saved(home, sheet(ADA, row("bo@example.com", Active_Days="3")))
    for options, warned in (([], False), (["--day", "2025-10-22"], True)):
        result = home.run("convert", str(file), *options)
        assert len(records(result)) == 2
        assert ("bo@example.com was active on 3 days, which is more" in result.err) == warned


def test_out_names_file_and_its_folder_is_made(home: Home) -> None:
    result = home.run("convert", str(saved(home)), "--out", "new/deep/copilot.json")
    assert [each["user_login"] for each in records(result)] == ["ada@example.com", "bo@example.com"]
    assert result.paths == [home.path / "new" / "deep" / "copilot.json"]


@pytest.mark.parametrize(
    ("name", "options"),
    [(WINDOW_NAME, ["--out", WINDOW_NAME]), (WINDOW_NAME.replace(".csv", ".json"), [])],
)
def test_input_file_is_never_overwritten(home: Home, name: str, options: list[str]) -> None:
    for content in (GOOD, b"no csv of ours\n"):
        file = saved(home, content, name)
        result = home.run("convert", str(file), *options)
        assert (result.code, result.out) == (2, "")
        assert file.read_bytes() == content


WITHOUT_A_COLUMN = "without a column that nothing needs"
SAVED_OTHERWISE = {
    "with a BOM": BOM + GOOD,
    "with CR LF": sheet(ADA, BO, end="\r\n"),
    "without the last newline": GOOD.removesuffix(b"\n"),
    "with blank lines": GOOD + b"\n\n",
    "with a new column": sheet(ADA | {"New": "x"}, BO | {"New": "-1"}, titles=[*TITLES, "New"]),
    "in another order": sheet(ADA, BO, titles=TITLES[::-1]),
    "with a row of commas": sheet(ADA, dict.fromkeys(TITLES, ""), BO),
    "with rows of commas around": b",,\n" + GOOD + b", ,\n",
    "with empty columns in some rows": b"".join(
        line + b",," * (number < 2) + b"\n" for number, line in enumerate(GOOD.splitlines())
    ),
    "with empty columns": b"".join(line + b",,\n" for line in GOOD.splitlines()),
    "with semicolons": GOOD.replace(b",", b";"),
    "with tabs": GOOD.replace(b",", b"\t"),
    "with semicolons after sep=": b"sep=;\r\n" + GOOD.replace(b",", b";"),
    "with commas after sep=": BOM + b"sep=,\n" + GOOD,
    "with semicolons and percents of a comma": GOOD.replace(b",", b";").replace(b".67%", b",67 %"),
    "with blanks around a name": sheet(ADA, BO)
    .replace(b"bo@", b" bo@")
    .replace(b".com,", b".com\xc2\xa0,"),
    "with CR": sheet(ADA, BO, end="\r"),
    "as Unicode text of Excel": GOOD.decode().replace(",", "\t").encode("utf-16"),
    "as UTF-16, the other way": b"\xfe\xff" + GOOD.decode().encode("utf-16-be"),
    "with decimals": sheet(ADA, row("bo@example.com", Chat_Messages="7.0", Completions="2.00")),
    "with semicolons and decimals": sheet(ADA, BO).replace(b",", b";").replace(b";7;", b";7,0;"),
    "with dates of a spreadsheet": GOOD.replace(b"2025-10-22", b"22.10.2025"),
    "with days as numbers": GOOD.replace(b"2024-08-14", b"45518"),
    "with quotes": sheet(
        *({title: f'"{cell}"' for title, cell in each.items()} for each in (ADA, BO))
    ),
    WITHOUT_A_COLUMN: sheet(ADA, BO, titles=[title for title in TITLES if title != "Tool Uses"]),
}


def test_csv_dialects_give_the_same_users(tmp_path: Path) -> None:
    file = tmp_path / WINDOW_NAME
    file.write_bytes(GOOD)
    expected = read_users(file)
    assert len(expected) == 2
    for how, content in SAVED_OTHERWISE.items():
        if how == WITHOUT_A_COLUMN:
            continue
        file.write_bytes(content)
        assert read_users(file) == expected, how


def test_spreadsheet_csv_gives_the_same_records(home: Home) -> None:
    expected = records(home.run("convert", str(saved(home))))
    for how in ("as Unicode text of Excel", WITHOUT_A_COLUMN):
        content = SAVED_OTHERWISE[how]
        assert records(home.run("convert", str(saved(home, content)))) == expected


def test_inactive_users_have_no_record(
    home: Home,
) -> None:
    """The records have the enterprise id of the settings."""
    home.settings["ENTERPRISE_ID"] = "acme"
    idle = row("idle@example.com", **{title.replace(" ", "_"): "0" for title in COUNTED})
    made = records(home.run("convert", str(saved(home, sheet(ADA, idle)))))
    found = [(each["user_login"], each["enterprise_id"]) for each in made]
    assert found == [("ada@example.com", "acme")]


def test_blank_cell_makes_its_sums_unknown(home: Home) -> None:
    blank = row("ada@example.com", CLI_Agent_Lines_of_Code="", Chat_Messages="")
    (made,) = records(home.run("convert", str(saved(home, sheet(blank)))))
    completion, chat, agent = made["totals_by_feature"]
    assert agent["loc_added_sum"] is None
    assert chat["user_initiated_interaction_count"] is None
    assert made["user_initiated_interaction_count"] is None
    assert agent["user_initiated_interaction_count"] == 8
    assert completion["loc_added_sum"] == made["loc_added_sum"] == 2


WITHOUT_CHAT = [title for title in TITLES if title != "Chat Messages"]
BAD_COUNTS = ["12a", "-3", "1.5", " 4", "0x1f", "\u0664", "n/a", "9" * 5000, ".0", "#REF!"]
SEPARATED = [
    '"1,000"',
    "1.234",
    "1 234",
    "1\u00a0234",
    "1\u202f234",
    "1'234",
    '"1,234,567"',
    "450.000",
]
ROUNDED = ["1e3", "1E+05", '"1,2E+05"']

NOT_THE_DASHBOARDS = {
    "column gone": (sheet(ADA, titles=WITHOUT_CHAT), ["'Chat Messages' is missing"]),
    "column gone between semicolons": (
        sheet(ADA, titles=WITHOUT_CHAT).replace(b",", b";"),
        ["'Chat Messages' is missing"],
    ),
    "no user column": (sheet(ADA, titles=TITLES[1:]), ["'User' is missing"]),
    "column twice": (sheet(ADA, titles=[*TITLES, "Tool Uses"]), ["'Tool Uses' appears twice"]),
    "no user": (sheet(ADA, row("")), ["row 3", "'User'"]),
    "user twice": (sheet(ADA, BO, ADA | {"Completions": "9"}), ["row 4", "ada@example.com"]),
    "short row": (GOOD + b"cy@example.com,1\n", ["row 4", "2 cells", "19 columns"]),
    "long row": (GOOD.removesuffix(b"\n") + b",1\n", ["row 3", "20 cells"]),
    "Latin-1": (GOOD + "zo\xeb".encode("latin-1"), ["UTF-8", "line 4"]),
    "UTF-16 without a mark": (GOOD.decode().encode("utf-16-le"), ["UTF-8"]),
    "UTF-16 that is cut": (GOOD.decode().encode("utf-16")[:-1], ["UTF-8"]),
    "text below an empty title": (
        b"".join(line + b",\n" for line in GOOD.splitlines())[:-1] + b"x\n",
        ["row 3", "20 cells", "19 columns"],
    ),
    "open quote": (GOOD + b'"cy\n\n', ["CSV", "row 4"]),
    "text after a quote": (b"sep=,\n" + GOOD + b'"cy"a\n', ["CSV", "row 5"]),
    "empty": (b"", ["empty"]),
    "BOM alone": (BOM, ["empty"]),
    "HTML": (b"<!doctype html><title>Sign in</title>\n", ["'User'"]),
} | {
    f"count {cell[:5]}": (
        sheet(ADA, row("bo@example.com", Agent_Messages=cell)),
        ["row 3", "'Agent Messages'", *words],
    )
    for cells, words in (
        (BAD_COUNTS, ["not a count"]),
        (SEPARATED, ["separator", "digits only"]),
        (ROUNDED, ["a spreadsheet has rounded"]),
    )
    for cell in cells
}
TOTALS = [
    *(
        "Total",
        "TOTAL",
        "Totals",
        "total:",
        "Grand Total",
        "Grand-total",
        "Subtotal",
        "Sum",
        "SUM ",
    ),
    *("Sum of users", "Summe", "Gesamt", "Gesamtergebnis", "Insgesamt", "Somme", "Suma", "Totale"),
    *("Average", "Mittelwert", "Anzahl", "\u5408\u8ba1", "\u0418\u0442\u043e\u0433\u043e"),
]
SUMS = {title: "4" for title in TITLES if title in COUNTED} | {"Chat Messages": "9"}


@pytest.mark.parametrize(
    ("content", "words"), NOT_THE_DASHBOARDS.values(), ids=NOT_THE_DASHBOARDS.keys()
)
def test_invalid_csv_is_an_error_with_its_place(
    tmp_path: Path, content: bytes, words: list[str]
) -> None:
    file = tmp_path / WINDOW_NAME
    file.write_bytes(content)
    with pytest.raises(ContractBroken) as raised:
        read_users(file)
    assert not [word for word in (file.name, *words) if word not in str(raised.value)]


@pytest.mark.parametrize("kind", ["column gone", "count 1.5", "empty"])
def test_refused_csv_leaves_no_current_output(home: Home, kind: str) -> None:
    content, words = NOT_THE_DASHBOARDS[kind]
    file = saved(home, content)
    earlier = file.with_suffix(".json")
    earlier.write_text("earlier")
    result = home.run("convert", str(file))
    assert (result.code, result.out) == (5, ""), result.err
    assert not [word for word in words if word not in result.err.splitlines()[-1]]
    assert {path.name for path in home.path.iterdir()} == {file.name, f"{earlier.name}.stale"}
    assert (home.path / f"{earlier.name}.stale").read_text() == "earlier"


def broken(tmp_path: Path, content: bytes) -> str:
    """Why it is refused."""
    file = tmp_path / WINDOW_NAME
    file.write_bytes(content)
    with pytest.raises(ContractBroken) as raised:
        read_users(file)
    return str(raised.value)


@pytest.mark.parametrize("name", TOTALS)
def test_row_of_sums_is_not_a_user(name: str, tmp_path: Path) -> None:
    for rows in ([ADA, BO, row(name)], [row(name), ADA]):
        message = broken(tmp_path, sheet(*rows))
        assert "sums" in message
        assert f"row {rows.index(row(name)) + 2}" in message


def test_sum_of_others_is_not_a_user_under_any_name(tmp_path: Path) -> None:
    sums = row("all of us") | SUMS
    assert "row 5" in broken(tmp_path, sheet(ADA, BO, row("cy@example.com", **ZEROS), sums))


ZEROS = {title.replace(" ", "_"): "0" for title in COUNTED}
PSEUDONYM = "user-0123456789abcdef0123"


@pytest.mark.parametrize("name", ["total@example.com", PSEUDONYM, "totally", "summer-bot"])
def test_users_who_look_like_a_sum_stay(name: str, tmp_path: Path) -> None:
    """An address, a pseudonym, and other names whose figures are not the sums of the others."""
    file = tmp_path / WINDOW_NAME
    is_user = "@" in name or name == PSEUDONYM
    figures = SUMS if is_user else SUMS | {"Chat Messages": "1"}
    file.write_bytes(sheet(ADA, BO, row(name) | figures))
    assert [user.user for user in read_users(file)] == ["ada@example.com", "bo@example.com", name]


def test_service_account_may_have_any_name(tmp_path: Path) -> None:
    titles = [*TITLES, "Service Account"]
    for flag, known in (("true", True), ("TRUE", True), ("false", False), ("WAHR", None)):
        name = "Total" if known else "bot"
        rows = [ADA | {"Service Account": "false"}, row(name) | {"Service Account": flag}]
        file = tmp_path / WINDOW_NAME
        file.write_bytes(sheet(*rows, titles=titles))
        if known is None:
            with pytest.raises(ContractBroken, match="'WAHR' is not true or false"):
                read_users(file)
        else:
            assert [user.service for user in read_users(file)] == [False, known]


@pytest.mark.parametrize("source", SOURCES)
def test_service_account_is_one_of_augment_whichever_source_is_set(home: Home, source: str) -> None:
    """As a login of GitHub Copilot it would have another id."""
    home.settings["METRICS_SOURCE"] = source
    (made,) = records(home.run("convert", str(saved(home, sheet(row("triage-bot"))))))
    assert made["user_id"] == md5_user_id("triage-bot")


def test_equal_rows_are_one_user(home: Home) -> None:
    made = records(home.run("convert", str(saved(home, sheet(ADA, BO, ADA)))))
    assert [each["user_login"] for each in made] == ["ada@example.com", "bo@example.com"]


def test_missing_file_is_named_before_its_days_are_asked_for(home: Home) -> None:
    result = home.run("convert", "typing-error.csv")
    assert (result.code, result.out) == (2, "")
    assert "typing-error.csv does not exist" in result.err


@pytest.mark.parametrize("file", ["", ".", "/"])
def test_file_without_a_name_is_refused(home: Home, file: str) -> None:
    for words in ([file], [file, "--day", "2025-10-20"]):
        result = home.run("convert", *words)
        assert (result.code, result.out) == (2, "")
        assert "is not a file" in result.err


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_missing_file_is_refused(home: Home, kind: str) -> None:
    """And the earlier output is set aside."""
    file = home.path / WINDOW_NAME
    if kind == "folder":
        file.mkdir()
    earlier = file.with_suffix(".json")
    earlier.write_text("earlier")
    result = home.run("convert", str(file))
    assert (result.code, result.out) == (2, "")
    assert f"{file} cannot be read" in result.err
    assert not earlier.exists()
    assert (home.path / f"{earlier.name}.stale").read_text() == "earlier"


@pytest.mark.parametrize(
    ("words", "name", "length", "selected"),
    [
        ([], f"metrics_{today():%Y%m%d}.csv", 7, "all"),
        ([], f"metrics_{today():%Y%m%d}.csv", 7, "user-feature-stats"),
        ([f"{yesterday()}"], f"metrics_{yesterday():%Y%m%d}.csv", 1, "user-feature-stats"),
        ([f"{yesterday()}", "--out", "data/mine.csv"], "mine.csv", 1, "user-feature-stats"),
    ],
    ids=["without dates", "without dates or the tenant", "one day", "another name"],
)
@pytest.mark.usefixtures("sim")
def test_own_csv_can_be_converted(
    home: Home, words: list[str], name: str, length: int, selected: str
) -> None:
    home.settings |= {"LOOKBACK_DAYS": "7", "SCRAPE_ENDPOINTS": selected}
    written = home.run(*words)
    assert written.code == 0, written.err
    file = home.data / name
    assert window_of_file(file) == Window(yesterday() - timedelta(length - 1), yesterday())
    if not words and selected == "all":
        assert len(records(home.run("convert", str(file)))) > 1


def test_period_file_counts_only_for_its_csv(tmp_path: Path) -> None:
    """If the days in the name or in a file beside it differ, one of them is from another run."""
    day, month = date(2025, 10, 22), Window(date(2025, 9, 22), date(2025, 10, 21))
    compact, named = tmp_path / "metrics_20251022.csv", tmp_path / "metrics_2025-10-22.csv"
    for file, window, right in (
        (compact, Window(day, day), True),
        (compact, month, True),
        (compact, Window(date(2025, 10, 1), date(2025, 10, 5)), False),
        (compact.with_name("mine.csv"), month, True),
        (named, Window(day, day), True),
        (named, month, False),
    ):
        tenant_path(file).write_bytes(tenant_csv([TenantFigure(window, "toolCalls", 1)]))
        if right:
            assert window_of_file(file) == window
        else:
            with pytest.raises(UsageError, match="--start and --end"):
                window_of_file(file)
        period_path(file).write_bytes(period_csv(Window(day, day)))
        if window != Window(day, day):
            with pytest.raises(UsageError, match="--start and --end"):
                window_of_file(file)
        period_path(file).unlink()
    tenant_path(compact).write_bytes(b"metric,value\n1,2\n")
    with pytest.raises(UsageError, match="does not say"):
        window_of_file(compact)


@pytest.mark.usefixtures("sim")
@pytest.mark.slow
def test_later_run_leaves_no_wrong_period_file(home: Home) -> None:
    """One run writes the users, another only the tenant's figures under the same name."""
    for first, then in (("all", "tenant-feature-stats"), ("user-feature-stats", "all")):
        target = home.data / f"mine-{first}.csv"
        out = ["--out", str(target)]
        home.settings["SCRAPE_ENDPOINTS"] = first
        assert home.run(f"{yesterday()}", *out).code == 0
        assert window_of_file(target) == Window(yesterday(), yesterday())
        home.settings["SCRAPE_ENDPOINTS"] = then
        earlier = yesterday() - timedelta(1)
        assert home.run(f"{earlier}", *out).code == 0
        if then == "all":
            assert window_of_file(target) == Window(earlier, earlier)
        else:
            assert home.run("convert", str(target)).code == 2


@pytest.mark.usefixtures("sim")
@pytest.mark.slow
def test_daily_csv_converts_to_records_of_its_json(home: Home) -> None:
    assert home.run("--last-28-days").code == 0
    compared = 0
    for day in (yesterday() - timedelta(number) for number in range(4)):  # more than a weekend
        file = home.daily_folder / f"augment_metrics_{day}.csv"
        made = records(home.run("convert", str(file), "--day", f"{day}"))
        daily = json.loads((home.daily_folder / f"copilot_metrics_{day}.json").read_bytes())
        window = {"report_start_day": f"{day}", "report_end_day": f"{day}"}
        assert made == [each | window for each in daily]
        compared += len(made)
    assert compared > 0
