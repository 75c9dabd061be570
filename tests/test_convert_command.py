"""`convert`: the dashboard's own CSV becomes Copilot JSON, or an error that names the place."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from conftest import Home, Result, yesterday
from dashboard_scraper.csv_import import read_users
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.metrics import DASHBOARD_FIGURES, USER_TITLE, Kind

TITLES = [USER_TITLE, *(metric.title for metric in DASHBOARD_FIGURES)]
COUNTED = {metric.title for metric in DASHBOARD_FIGURES if metric.kind is Kind.COUNT}
WINDOW_NAME = "user-feature-stats-2025-10-20-to-2025-10-22.csv"
BOM = b"\xef\xbb\xbf"


def row(user: str, **cells: str) -> dict[str, str]:
    """A row with 2 in every count; the names of `cells` are titles with `_` for a space."""
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
    """What the one file holds that a run tells; the run must have succeeded."""
    assert result.code == 0, result.err
    (path,) = result.paths
    found: list[dict[str, Any]] = json.loads(path.read_bytes())
    return found


def period(result: Result) -> tuple[str, str, str]:
    """The first day, the last day and the day of every record."""
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
def test_the_days_are_read_from_the_files_name(
    home: Home, name: str, first: str, last: str
) -> None:
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
def test_a_name_that_does_not_tell_the_days_for_sure_is_refused(home: Home, name: str) -> None:
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
def test_options_tell_the_days_whatever_the_name_says(
    home: Home, options: list[str], first: str, last: str
) -> None:
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
def test_options_that_do_not_go_together_are_refused(home: Home, options: list[str]) -> None:
    file = saved(home)
    result = home.run("convert", str(file), *options)
    assert (result.code, result.out) == (2, "")
    assert "Traceback" not in result.err
    assert not file.with_suffix(".json").exists()


def test_out_names_the_file_and_its_folder_is_made(home: Home) -> None:
    result = home.run("convert", str(saved(home)), "--out", "new/deep/copilot.json")
    assert [each["user_login"] for each in records(result)] == ["ada@example.com", "bo@example.com"]
    assert result.paths == [home.path / "new" / "deep" / "copilot.json"]


@pytest.mark.parametrize(
    ("name", "options"),
    [(WINDOW_NAME, ["--out", WINDOW_NAME]), (WINDOW_NAME.replace(".csv", ".json"), [])],
)
def test_the_file_that_is_read_is_never_written_over_or_moved(
    home: Home, name: str, options: list[str]
) -> None:
    for content in (GOOD, b"no csv of ours\n"):
        file = saved(home, content, name)
        result = home.run("convert", str(file), *options)
        assert (result.code, result.out) == (2, "")
        assert file.read_bytes() == content


SAVED_OTHERWISE = {
    "with a BOM": BOM + GOOD,
    "with CR LF": sheet(ADA, BO, end="\r\n"),
    "without the last newline": GOOD.removesuffix(b"\n"),
    "with blank lines": GOOD + b"\n\n",
    "with a new column": sheet(ADA | {"New": "x"}, BO | {"New": "-1"}, titles=[*TITLES, "New"]),
    "in another order": sheet(ADA, BO, titles=TITLES[::-1]),
    "without a column that nothing needs": sheet(
        ADA, BO, titles=[title for title in TITLES if title != "Tool Uses"]
    ),
}


def test_the_same_figures_give_the_same_records_however_the_csv_was_saved(home: Home) -> None:
    expected = records(home.run("convert", str(saved(home))))
    assert len(expected) == 2
    for how, content in SAVED_OTHERWISE.items():
        assert records(home.run("convert", str(saved(home, content)))) == expected, how


def test_the_enterprise_id_is_the_settings_and_users_without_activity_have_no_record(
    home: Home,
) -> None:
    home.settings["ENTERPRISE_ID"] = "acme"
    idle = row("idle@example.com", **{title.replace(" ", "_"): "0" for title in COUNTED})
    made = records(home.run("convert", str(saved(home, sheet(ADA, idle)))))
    found = [(each["user_login"], each["enterprise_id"]) for each in made]
    assert found == [("ada@example.com", "acme")]


def test_a_blank_cell_is_unknown_and_so_is_every_sum_that_it_is_part_of(home: Home) -> None:
    blank = row("ada@example.com", CLI_Agent_Lines_of_Code="", Chat_Messages="")
    (made,) = records(home.run("convert", str(saved(home, sheet(blank)))))
    completion, chat, agent = made["totals_by_feature"]
    assert agent["loc_added_sum"] is None
    assert chat["user_initiated_interaction_count"] is None
    assert made["user_initiated_interaction_count"] is None
    assert agent["user_initiated_interaction_count"] == 8
    assert completion["loc_added_sum"] == made["loc_added_sum"] == 2


WITHOUT_CHAT = [title for title in TITLES if title != "Chat Messages"]
BAD_COUNTS = ["12a", "-3", "1.5", "1e3", '"1,000"', " 4", "0x1f", "\u0664", "n/a", "9" * 5000]

NOT_THE_DASHBOARDS = {
    "column gone": (sheet(ADA, titles=WITHOUT_CHAT), ["'Chat Messages' is missing"]),
    "no user column": (sheet(ADA, titles=TITLES[1:]), ["'User' is missing"]),
    "column twice": (sheet(ADA, titles=[*TITLES, "Tool Uses"]), ["'Tool Uses' is there twice"]),
    "no user": (sheet(ADA, row("")), ["row 3", "'User'"]),
    "user twice": (sheet(ADA, BO, ADA | {"Completions": "9"}), ["row 4", "ada@example.com"]),
    "short row": (GOOD + b"cy@example.com,1\n", ["row 4", "2 cells", "19 columns"]),
    "long row": (GOOD.removesuffix(b"\n") + b",1\n", ["row 3", "20 cells"]),
    "Latin-1": (GOOD + "zo\xeb".encode("latin-1"), ["UTF-8"]),
    "UTF-16": (GOOD.decode().encode("utf-16"), ["UTF-8"]),
    "open quote": (GOOD + b'"cy', ["CSV"]),
    "empty": (b"", ["empty"]),
    "BOM alone": (BOM, ["empty"]),
    "HTML": (b"<!doctype html><title>Sign in</title>\n", ["'User'"]),
} | {
    f"count {cell[:5]}": (
        sheet(ADA, row("bo@example.com", Agent_Messages=cell)),
        ["row 3", "'Agent Messages'"],
    )
    for cell in BAD_COUNTS
}


@pytest.mark.parametrize(
    ("content", "words"), NOT_THE_DASHBOARDS.values(), ids=NOT_THE_DASHBOARDS.keys()
)
def test_what_is_not_the_dashboards_csv_is_an_error_with_the_place(
    tmp_path: Path, content: bytes, words: list[str]
) -> None:
    file = tmp_path / WINDOW_NAME
    file.write_bytes(content)
    with pytest.raises(ContractBroken) as raised:
        read_users(file)
    assert not [word for word in (file.name, *words) if word not in str(raised.value)]


@pytest.mark.parametrize("kind", ["column gone", "count 1.5", "empty"])
def test_after_a_csv_that_is_refused_nothing_looks_fresh(home: Home, kind: str) -> None:
    content, words = NOT_THE_DASHBOARDS[kind]
    file = saved(home, content)
    earlier = file.with_suffix(".json")
    earlier.write_text("earlier")
    result = home.run("convert", str(file))
    assert (result.code, result.out) == (5, ""), result.err
    assert not [word for word in words if word not in result.err.splitlines()[-1]]
    assert {path.name for path in home.path.iterdir()} == {file.name, f"{earlier.name}.stale"}
    assert (home.path / f"{earlier.name}.stale").read_text() == "earlier"


def test_a_user_who_stands_there_twice_with_the_same_figures_is_one_user(home: Home) -> None:
    made = records(home.run("convert", str(saved(home, sheet(ADA, BO, ADA)))))
    assert [each["user_login"] for each in made] == ["ada@example.com", "bo@example.com"]


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_file_that_is_not_there_is_refused_and_the_earlier_output_set_aside(
    home: Home, kind: str
) -> None:
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


@pytest.mark.usefixtures("sim")
def test_a_daily_csv_converts_to_the_records_of_that_days_json(home: Home) -> None:
    assert home.run("--last-28-days").code == 0
    compared = 0
    for day in (yesterday() - timedelta(number) for number in range(4)):  # not only a weekend
        file = home.daily_folder / f"augment_metrics_{day}.csv"
        made = records(home.run("convert", str(file), "--day", f"{day}"))
        daily = json.loads((home.daily_folder / f"copilot_metrics_{day}.json").read_bytes())
        window = {"report_start_day": f"{day}", "report_end_day": f"{day}"}
        assert made == [each | window for each in daily]
        compared += len(made)
    assert compared > 0
