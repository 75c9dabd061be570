"""Which command a command line runs, where its options may be, and which days its words mean."""

from __future__ import annotations

import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

import dashboard_scraper
from conftest import Home, today, yesterday
from dashboard_scraper.cli.commands import COMMANDS
from dashboard_scraper.cli.parser import parse
from dashboard_scraper.errors import UsageError
from dashboard_scraper.main import main
from dashboard_scraper.model.dates import Window, parse_days
from dashboard_scraper.settings.groups import sqlite_url
from dashboard_scraper.sources.registry import DASHBOARD
from filled_store import put, user

pytestmark = pytest.mark.usefixtures("no_settings_of_this_machine")

Capture = pytest.CaptureFixture[str]
A_DAY = date(2025, 3, 9)


# Options

SHARED = [
    ["--home", "/srv"],
    ["--home=/srv"],
    ["--log-level", "debug"],
    ["--quiet"],
    ["--verbose"],
    ["--source", "analytics"],
]


@pytest.mark.parametrize("option", SHARED, ids=" ".join)
@pytest.mark.parametrize(
    "words",
    [["status", "--json"], ["export", "-7d", "yesterday"], ["10-20-2025", "10-22-2025"]],
    ids=" ".join,
)
def test_options_may_be_anywhere(words: list[str], option: list[str]) -> None:
    places = range(len(words) + 1)
    found = [parse([*words[:place], *option, *words[place:]]) for place in places]
    assert found == [found[0]] * len(found)


@pytest.mark.parametrize("value", ["status", "export", "help"])
def test_value_of_option_is_not_the_command(value: str) -> None:
    args = parse(["--home", value, "--out", value, "10-20-2025"])
    assert (str(args.home), str(args.out), args.dates) == (value, value, ["10-20-2025"])
    assert str(parse(["--home", value, "serve", "--port", "0"]).home) == value


@pytest.mark.parametrize(
    "words",
    [
        ["--source", "dashboard", "convert", "x.csv"],
        ["--out", "x.csv", "status"],
        ["--last-28-days", "status"],
    ],
    ids=" ".join,
)
def test_option_of_another_command_is_refused(words: list[str]) -> None:
    with pytest.raises(UsageError, match="unrecognized"):
        parse(words)


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use cannot be removed there")
def test_removed_current_folder_is_no_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["status"]) == 2
    assert "the current folder has been removed: change to another" in capsys.readouterr().err
    assert main(["status", "--home", f"{tmp_path}"]) == 0


@pytest.mark.parametrize(
    "levels",
    [
        ["--quiet", "--verbose"],
        ["--quiet", "--log-level", "INFO"],
        ["--log-level=INFO", "--verbose"],
    ],
    ids=" ".join,
)
def test_contradictory_levels_are_refused(levels: list[str]) -> None:
    with pytest.raises(UsageError, match="not allowed with"):
        parse([*levels, "status"])


# Words that are not a command

UNKNOWN = {
    "exprt": "did you mean dashboard-scraper export",
    "exprt 10-20-2025 --format parquet": "did you mean dashboard-scraper export",
    "--home DIR exprt": "did you mean dashboard-scraper export",
    "Export": "did you mean dashboard-scraper export",
    "statu --help": "did you mean dashboard-scraper status",
    "hlep": "did you mean dashboard-scraper help",
    "help exprt": "did you mean dashboard-scraper export",
    "yesterdy": "did you mean yesterday",
    "figures": "neither a command nor a date; the commands are backfill",
    "login": "write dashboard-scraper --auth",
    "auth": "write dashboard-scraper --auth",
    "logout": "remove the file of the setting COOKIE_FILE",
    "fetch 10-20-2025": "without a command fetches",
    "daily": "--daily START END",
    "10-20-2025 export": "write it first: dashboard-scraper export",
    "--port 0 serve": "write it first: dashboard-scraper serve",
    "22-10-2025": "is not a date",
    "2025-10-20 exprt": "is not a date",
}


@pytest.mark.parametrize("line", UNKNOWN)
def test_unknown_command_gets_a_hint(line: str, capsys: Capture) -> None:
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert UNKNOWN[line] in err


def printed(words: list[str], capsys: Capture) -> str:
    with pytest.raises(SystemExit) as ending:
        main(words)
    out, err = capsys.readouterr()
    assert (ending.value.code, err) == (0, "")
    return out


@pytest.mark.slow
def test_help_and_version_are_commands_too(capsys: Capture) -> None:
    assert printed(["help"], capsys) == printed(["--help"], capsys)
    for command in COMMANDS:
        assert printed(["help", command], capsys) == printed([command, "--help"], capsys)
    for words in (["version"], ["--version"], ["status", "--version"]):
        assert printed(words, capsys) == f"{dashboard_scraper.__version__}\n"


# Days

MARCH_FIRST = date(2024, 3, 1)
SPELLINGS = {
    "yesterday": ("2024-02-29", "2024-02-29"),
    "Today": ("2024-03-01", "2024-03-01"),
    "-0d": ("2024-03-01", "2024-03-01"),
    "-1d": ("2024-02-29", "2024-02-29"),
    "-366d": ("2023-03-01", "2023-03-01"),
    "2024-02": ("2024-02-01", "2024-02-29"),
    "2023-12": ("2023-12-01", "2023-12-31"),
    "9999-12": ("9999-12-01", "9999-12-31"),
    "2023-02-28": ("2023-02-28", "2023-02-28"),
    "02-28-2023": ("2023-02-28", "2023-02-28"),
}


@pytest.mark.parametrize("text", SPELLINGS)
def test_a_day_has_several_spellings(text: str) -> None:
    start, end = (date.fromisoformat(day) for day in SPELLINGS[text])
    assert parse_days(text, MARCH_FIRST) == Window(start, end)


@pytest.mark.parametrize(
    "text",
    (
        *("", " ", "tomorrow", "7d", "+7d", "-7", "-7w", "-d", "--7d", "-100000d", "-\u0667d"),
        *("2024-13", "2024-00", "0000-01", "2024-2", "24-02", "02-2024", "2024/02", "202402"),
    ),
)
def test_invalid_day_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a date"):
        parse_days(text, MARCH_FIRST)


@pytest.fixture
def stored(home: Home) -> Home:
    """A home whose store has one day, long before today."""
    url = sqlite_url(home.data / "usage.db")
    put(url, {A_DAY: [user("ada@example.com")]}, DASHBOARD)
    return home


WEEK = f"7 of 7 days are missing: {today() - timedelta(7)} to {yesterday()};"
OCTOBER = "31 of 31 days are missing: 2025-10-01 to 2025-10-31;"
RULE = {
    "export 2025-10-20": "1 of 1 days are missing: 2025-10-20;",
    "export 2025-10-20 2025-10-21": "2 of 2 days are missing: 2025-10-20 to 2025-10-21;",
    "export 2025-10": OCTOBER,
    "--daily 2025-10 --offline": OCTOBER,
    "report 2025-10": OCTOBER,
    "export 2025-10 2025-11": "61 of 61 days are missing: 2025-10-01 to 2025-11-30;",
    "export 10-31-2025 2025-11": "31 of 31 days are missing: 2025-10-31 to 2025-11-30;",
    "export -7d": f"1 of 1 days are missing: {today() - timedelta(7)};",
    "export -7d yesterday": WEEK,
    "export -- -7d yesterday": WEEK,
    "export -7d --source dashboard -1d": WEEK,
    "report -7d yesterday": WEEK,
    "--offline --daily -7d yesterday": WEEK,
}


@pytest.mark.parametrize("line", RULE)
def test_one_date_is_a_day_or_month_and_two_a_range(
    line: str, stored: Home, capsys: Capture
) -> None:
    assert main(["--home", str(stored.path), *line.split()]) == 6
    assert RULE[line] in capsys.readouterr().err


@pytest.mark.slow
def test_long_gap_is_one_short_line(stored: Home, capsys: Capture) -> None:
    assert main(["export", "2020-01-01", "2024-12-31", "--home", str(stored.path)]) == 6
    line = capsys.readouterr().err.splitlines()[-1]
    assert "1827 of 1827 days are missing: 2020-01-01 to 2024-12-31;" in line
    assert len(line) < 300


@pytest.mark.parametrize("word", ["export", "report", "backfill", "--daily"])
@pytest.mark.parametrize("day", ["today", f"{today():%Y-%m}"])
def test_unfinished_days_are_refused(word: str, day: str, stored: Home, capsys: Capture) -> None:
    if parse_days(day, today()).end < today():
        pytest.skip("the month ended since")
    assert main(["--home", str(stored.path), word, "2025-01-01", day]) == 2
    assert "has not ended yet" in capsys.readouterr().err


@pytest.mark.parametrize("start", ["10-20-2025", "-7d", "-2d"])
def test_backfill_of_one_day_needs_its_end(start: str, stored: Home, capsys: Capture) -> None:
    """It could mean that day only or every day since: the program must not choose by itself."""
    assert main(["backfill", start, "--home", str(stored.path)]) == 2
    day = parse_days(start, today()).start
    err = capsys.readouterr().err
    assert f"`backfill {day} yesterday` for every day since" in err
    assert f"`backfill {day} {day}` for that day alone" in err


@pytest.mark.parametrize("words", [["yesterday"], ["2025-10"], ["-7d", "yesterday"]], ids=" ".join)
def test_backfill_accepts_unambiguous_dates(
    words: list[str], stored: Home, capsys: Capture
) -> None:
    """The run then fails only because there is no session."""
    assert main(["backfill", *words, "--home", str(stored.path)]) == 3
    assert "--auth" in capsys.readouterr().err


def test_convert_accepts_the_spellings_of_days(capsys: Capture) -> None:
    assert parse(["convert", "x.csv", "--day", "-7d"]).day == parse_days("-7d", today())
    with pytest.raises(UsageError, match="--day: '2025-10' is more than one day"):
        parse(["convert", "x.csv", "--day", "2025-10"])
    assert main(["convert", "x.csv", "--start", "2025-10", "--end", "2025-09"]) == 2
    assert "the start 2025-10-01 is after the end 2025-09-30" in capsys.readouterr().err


def test_help_offers_a_month_where_it_is_accepted(capsys: Capture) -> None:
    for command, accepts in (("export", True), ("history", False)):
        assert ("a month" in printed(["help", command], capsys)) is accepts
        main([command, "2025-10", "--home", "nowhere"])
        assert ("more than one day" in capsys.readouterr().err) is not accepts
