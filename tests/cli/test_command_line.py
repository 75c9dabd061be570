"""The command line: its forms, its file names, what it refuses, and how it ends on a signal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pytest

import dashboard_scraper
from conftest import Home, Start, left_after_failure, today, yesterday
from dashboard_scraper.errors import ScraperError
from dashboard_scraper.simulator import Fault, Simulator, hang
from dashboard_scraper.simulator import status as answer_status

DAY = yesterday() - timedelta(9)
US = f"{DAY:%m-%d-%Y}"
SIX_DAYS = ["--daily", f"{today() - timedelta(6)}", f"{yesterday()}"]
ENDPOINTS = {"user-feature-stats", "tenant-feature-stats", "tenant-monthly-active-users"}


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, with the content of files."""
    paths = sorted(folder.rglob("*"))
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in paths}


def windows(sim: Simulator) -> set[tuple[date, date]]:
    """First and last day of each request."""

    def day(text: str) -> date:
        return date(**json.loads(text))

    return {(day(r.query["startDate"]), day(r.query["endDate"])) for r in sim.requests}


def both(name: str) -> set[str]:
    """The names of the users' file and of the tenant's file."""
    return {f"{name}.csv", f"{name}_tenant.csv"}


# The forms

SINGLE = f"metrics_{DAY:%Y%m%d}"
RANGE = f"metrics_{DAY:%Y%m%d}_to_{yesterday():%Y%m%d}"


@pytest.mark.parametrize(
    ("words", "name", "first", "last"),
    [
        ([], f"metrics_{today():%Y%m%d}", today() - timedelta(30), yesterday()),
        ([US], SINGLE, DAY, DAY),
        ([str(DAY)], SINGLE, DAY, DAY),
        ([str(DAY), US], SINGLE, DAY, DAY),
        ([US, f"{yesterday():%m-%d-%Y}"], RANGE, DAY, yesterday()),
        ([str(DAY), str(yesterday())], RANGE, DAY, yesterday()),
        ([str(today())], f"metrics_{today():%Y%m%d}", today(), today()),
    ],
    ids=["none", "one", "one, ISO", "twice the same", "two", "two, ISO", "today"],
)
def test_dates_select_days_and_name_files(
    words: list[str], name: str, first: date, last: date, home: Home, sim: Simulator
) -> None:
    result = home.run(*words)
    assert result.code == 0, result.err
    assert home.files() == both(name)
    assert result.paths == [home.data / f"{name}.csv", home.data / f"{name}_tenant.csv"]
    assert windows(sim) == {(first, last)}
    assert {request.endpoint for request in sim.requests} == ENDPOINTS
    assert ("has not ended yet" in result.err) == (last == today())


def test_lookback_days_sets_default_period(home: Home, sim: Simulator) -> None:
    home.settings["LOOKBACK_DAYS"] = "3"
    assert home.run().code == 0
    assert windows(sim) == {(today() - timedelta(3), yesterday())}


@pytest.mark.slow
def test_last_28_days_prints_only_its_folder(home: Home, sim: Simulator) -> None:
    result = home.run("--last-28-days")
    assert (result.code, result.paths) == (0, [home.daily_folder])
    days = [today() - timedelta(number) for number in range(1, 29)]
    # And one for the range: its totals must equal the sum of the days.
    assert windows(sim) == {*((day, day) for day in days), (days[-1], days[0])}
    assert [sim.count(name) for name in ("user-feature-stats", "tenant-feature-stats")] == [28, 29]
    assert sim.count() == 57
    expected = {f"augment_metrics_{day}.csv" for day in days}
    expected |= {f"copilot_metrics_{day}.json" for day in days}
    expected |= {
        "copilot_metrics_aggregated.json",
        "github_reports",
        "manifest.json",
        "report.html",
    }
    assert {path.name for path in home.daily_folder.iterdir()} == expected


@pytest.mark.slow
def test_out_is_relative_and_its_folders_are_made(
    home: Home, sim: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    result = home.run(US, "--out", "new/custom.csv", cwd=elsewhere)
    files = [elsewhere / "new" / "custom.csv", elsewhere / "new" / "custom_tenant.csv"]
    assert (result.code, result.paths) == (0, files)
    assert all(file.read_bytes() for file in files)
    assert home.files() == set()
    absolute = home.path / "absolute.csv"
    assert home.run(US, "--out", str(absolute), cwd=elsewhere).paths[0] == absolute
    assert absolute.read_bytes() == files[0].read_bytes()
    assert sim.count() == 6


def test_home_has_env_session_and_data(
    home: Home, sim: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / ".env").write_text("METRICS_API_BASE_URL=http://127.0.0.1:9/\n")
    lines = [f"{name}={value}\n" for name, value in home.settings.items()]
    (home.path / ".env").write_text("".join(lines) + "EXPORT_DIR=exports\n")
    home.settings.clear()
    result = home.run(US, cwd=elsewhere)
    assert (result.code, sim.count()) == (0, 3)
    assert result.paths[0] == home.path / "exports" / f"{SINGLE}.csv"
    assert list(elsewhere.iterdir()) == [elsewhere / ".env"]


def printed(home: Home, *words: str) -> bytes:
    """What the program writes to standard output when it runs as a process."""
    command, environment = home.command(*words), home.environment()
    return subprocess.run(command, env=environment, capture_output=True, check=True).stdout


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every file name is Unicode")
def test_home_may_have_a_name_that_is_not_utf_8(home: Home, sim: Simulator) -> None:
    home.path = home.path / os.fsdecode(b"Gr\xf6\xdfe")
    home.path.mkdir()
    home.sign_in(sim)
    home.settings["PYTHONIOENCODING"] = "utf-8"  # as on a desktop; UTF-8 cannot encode such bytes
    lines = printed(home, US).decode().splitlines()
    assert lines[0].endswith(rf"/Gr\udcf6\udcdfe/data/{SINGLE}.csv")
    assert home.files() == both(SINGLE)
    assert json.loads(home.run("status", "--json").out)["store"].endswith("/data/usage.db")


def test_what_the_encoding_of_output_lacks_is_escaped(home: Home) -> None:
    home.path = home.path / "Größe Ж"
    home.path.mkdir()
    store = home.data / "usage.db"
    home.settings["PYTHONIOENCODING"] = "latin-1"  # the encoding of a redirected file on Windows
    text = printed(home, "status").decode("latin-1")
    assert text.startswith(f"store: {store}\n".replace("Ж", r"\u0416"))
    assert json.loads(printed(home, "status", "--json").decode("utf-8"))["store"] == str(store)


@pytest.mark.slow
def test_log_level_option_overrides_setting(home: Home, sim: Simulator) -> None:
    home.settings["LOG_LEVEL"] = "error"
    assert home.run(US).err == ""
    assert "DEBUG" in home.run(US, "--log-level", "debug").err
    home.settings["LOG_LEVEL"] = "LOUD"
    assert home.run(US, "--log-level", "INFO").code == 0
    assert sim.count() == 9


@pytest.mark.parametrize("words", [("--help",), ("status", "--help")])
def test_help_lists_every_exit_code(home: Home, words: tuple[str, ...]) -> None:
    def all_of(error: type[ScraperError]) -> set[int]:
        return {error.exit_code}.union(*map(all_of, error.__subclasses__()))

    _, _, codes = home.run(*words).out.partition("exit codes:")
    listed = {int(code) for code in re.findall(r"(?:^|;)\s*(\d+)\s", codes)}
    assert listed == {0, *all_of(ScraperError)}


def test_version_is_printed(home: Home) -> None:
    result = home.run("--version")
    assert (result.code, result.out) == (0, f"{dashboard_scraper.__version__}\n")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], "DATE --home --log-level --last-28-days --auth --no-check --out --version convert"),
        ([], "demo MM-DD-YYYY YYYY-MM-DD LOOKBACK_DAYS"),
        (["convert"], "FILE.csv --day --start --end --out --home --log-level"),
        (["demo"], "--users --seed --home --log-level"),
    ],
    ids=["forms", "commands", "convert", "demo"],
)
def test_help_lists_options_and_commands(command: list[str], words: str, home: Home) -> None:
    result = home.run(*command, "--help")
    assert (result.code, result.err) == (0, "")
    assert [word for word in words.split() if word not in result.out] == []


# Refusals

WORDS = {
    "three dates": ([US, US, US], "two dates at most"),
    "start after end": ([str(yesterday()), US], "after the end"),
    "a future day": ([str(today() + timedelta(1))], "in the future"),
    "a future end": ([US, str(today() + timedelta(1))], "in the future"),
    "28 days with dates": (["--last-28-days", US], "take no dates"),
    "sign-in with dates": (["--auth", US], "take no dates"),
    "28 days and sign-in": (["--last-28-days", "--auth"], "not allowed with"),
    "28 days with a file": (["--last-28-days", "--out", "x.csv"], "--out"),
    "sign-in with a file": (["--auth", "--out", "x.csv"], "--out"),
    "no check of nothing": (["--no-check"], "needs --auth"),
    "a browser for nothing": (["--browser"], "needs --auth"),
    "no window of nothing": (["--auth", "--headless"], "needs --auth --browser"),
    "a browser without a check": (["--auth", "--browser", "--no-check"], "always tried"),
    "signing in and forgetting": (["--auth", "--browser", "--forget"], "no other option"),
    "a day that is none": (["02-30-2025"], "is not a date"),
    "a day of one digit": (["1-2-2025"], "is not a date"),
    "a day before its month": (["22-10-2025"], "is not a date"),
    "another spelling": (["2025/10/22"], "is not a date"),
    "a word": (["soon"], "neither a command nor a date"),
    "an empty word": ([""], "neither a command nor a date"),
    "a misspelt demo": (["demmo"], "dashboard-scraper demo"),
    "a misspelt convert": (["convrt", "x.csv"], "dashboard-scraper convert"),
    "a command in capitals": (["Demo"], "dashboard-scraper demo"),
    "a command after a date": ([US, "demo"], "write it first"),
    "a part of an option": (["--last-28"], "unrecognized"),
    "an unknown option": (["--fresh"], "unrecognized"),
    "an unknown level": (["--log-level", "LOUD"], "--log-level"),
    "an empty home": (["--home", ""], "--home: the value is empty"),
    "an empty name for the CSV": ([US, "--out", ""], "--out: the value is empty"),
    "an empty destination": (["export", US, "--out", " "], "--out: the value is empty"),
    "a home that is not there": (["--home", "nowhere"], "nowhere is not a directory"),
}
SETTINGS = {
    "SCRAPE_ENDPOINTS": ["foo", ",", "user-feature-stat", "user-feature-stats,foo"],
    "LOG_LEVEL": ["LOUD"],
    "MAX_RETRIES": ["-1", "many", "1.5"],
    "LOOKBACK_DAYS": ["0", "-3"],
    "MAX_CONCURRENCY": ["0"],
    "REQUEST_TIMEOUT_SECONDS": ["0", "-1", "nan", "inf"],
    "RETRY_BACKOFF_SECONDS": ["-0.5"],
    "METRICS_API_BASE_URL": ["app.example.com", "ftp://app.example.com/", "http://[", "https://"],
    "USER_FEATURE_STATS_ENDPOINT": ["https://app.example.org/api/user-feature-stats"],
    "EXPORT_DIR": ["~nobody-has-this-name/data"],
}


def assert_refused(home: Home, sim: Simulator, words: list[str], reason: str) -> None:
    """The run is refused before any request, and changes no file."""
    home.data.mkdir()
    (home.data / f"{SINGLE}.csv").write_text("figures of an earlier run")
    before = tree(home.path)
    result = home.run(*words)
    assert (result.code, result.out, sim.requests) == (2, "", []), result.err
    assert reason in result.err
    assert "Traceback" not in result.err
    assert tree(home.path) == before


@pytest.mark.parametrize("case", WORDS)
def test_wrong_command_line_is_refused_first(case: str, home: Home, sim: Simulator) -> None:
    words, reason = WORDS[case]
    assert_refused(home, sim, words, reason)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in SETTINGS.items() for value in values]
)
def test_wrong_setting_is_refused_by_name(
    name: str, value: str, home: Home, sim: Simulator
) -> None:
    home.settings[name] = value
    assert_refused(home, sim, [US], name)


def test_daily_run_needs_users_endpoint(home: Home, sim: Simulator) -> None:
    home.settings["SCRAPE_ENDPOINTS"] = "tenant-feature-stats"
    assert_refused(home, sim, ["--last-28-days"], "user-feature-stats")


def test_all_wrong_settings_are_named_at_once(home: Home, sim: Simulator) -> None:
    """And no message shows the password."""
    home.settings |= {"MAX_RETRIES": "-1", "LOG_LEVEL": "LOUD"}
    home.settings["METRICS_API_BASE_URL"] = "https://me:SECRET@app.example.com/"
    result = home.run()
    assert (result.code, sim.requests) == (2, [])
    for name in ("METRICS_API_BASE_URL:", "MAX_RETRIES=-1:", "LOG_LEVEL=LOUD:"):
        assert result.err.count(name) == 1
    assert "\\n" not in result.err  # the message has no escaped line break
    assert "SECRET" not in result.err


# Where files cannot be written


@pytest.mark.parametrize("out", ["a-folder", "/dev/null", ".", "/"])
def test_out_must_be_a_regular_file(out: str, home: Home, sim: Simulator) -> None:
    (home.path / "a-folder").mkdir()
    assert_refused(home, sim, [US, "--out", out], str(home.path.joinpath(out)))
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    ("words", "folder", "reason"),
    [
        ([US], "taken", "taken is not a folder"),
        ([US], "taken/data", "taken/data"),
        ([US, "--out", "taken/x.csv"], "data", "taken is not a folder"),
        (["--daily", US], "taken", "taken/daily_exports"),
    ],
)
@pytest.mark.slow
def test_unwritable_output_folder_ends_with_1(
    words: list[str], folder: str, reason: str, home: Home, sim: Simulator
) -> None:
    (home.path / "taken").write_text("not a folder")
    home.settings["EXPORT_DIR"] = folder
    home.settings["STORE_URL"] = "sqlite:///store/usage.db"
    before = tree(home.path)
    result = home.run(*words)
    assert (result.code, result.out) == (1, "")
    assert f"{home.path}/{reason}" in result.err
    assert "Traceback" not in result.err
    after = tree(home.path)
    assert {name: data for name, data in after.items() if not name.startswith("store")} == before
    assert sim.count() == (2 if "--daily" in words else 3)


def test_two_files_are_written_both_or_neither(home: Home, sim: Simulator) -> None:
    (home.data / f"{SINGLE}_tenant.csv").mkdir(parents=True)
    (home.data / f"{SINGLE}.csv").write_text("figures of an earlier run")
    result = home.run(US)
    assert (result.code, result.out, sim.count()) == (1, "", 3)
    assert home.files() == {f"{SINGLE}.csv.stale"}


# The end


def test_only_written_files_are_printed(home: Home, sim: Simulator) -> None:
    home.settings |= {"LOG_LEVEL": "DEBUG", "MAX_RETRIES": "0"}
    assert home.run(US).code == 0
    sim.add_fault(Fault(answer_status(500), "tenant-feature-stats"))
    result = home.run(US)
    assert (result.code, result.out) == (4, "")
    assert home.files() == {f"{name}.stale" for name in both(SINGLE)}


@pytest.mark.parametrize(
    ("words", "number", "code"),
    [([US], signal.SIGTERM, 143), (SIX_DAYS, signal.SIGINT, 130)],
    ids=["one day, terminated", "six days, interrupted"],
)
@pytest.mark.slow
def test_terminated_run_leaves_no_current_file(
    words: list[str], number: signal.Signals, code: int, home: Home, start: Start
) -> None:
    sim = start()
    assert home.run(*words).code == 0
    before, requests = home.files(), sim.count()
    scratch = home.path / "scratch"
    scratch.mkdir()
    home.settings["TMPDIR"] = str(scratch)
    sim.add_fault(Fault(hang(600), after=2))
    # A parent that ignores Ctrl-C, such as a shell's background job, passes that on.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    command = home.command(*words)
    # If the signal comes during an import, the module's file is left for the garbage collector.
    command[3:3] = ["-W", "ignore::ResourceWarning"]
    process = subprocess.Popen(
        command,
        env=home.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    signal.signal(signal.SIGINT, handler)
    try:
        deadline = time.monotonic() + 60
        while sim.count() < requests + 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(process.pid, number)
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out) == (code, ""), err
    assert "Traceback" not in err
    assert home.files() == left_after_failure(before)
    assert list(scratch.iterdir()) == []


_SIGNAL_IN_A_FINALIZER = """
import os, signal, sys, weakref
from dashboard_scraper.main import run

class Anything:
    pass

held = [Anything()]
weakref.finalize(held[0], os.kill, os.getpid(), signal.SIGTERM)
sys.addaudithook(lambda event, _: held.clear() if event == "sqlite3.connect" else None)
run()
"""


@pytest.mark.slow
def test_signal_is_not_lost_while_an_object_is_finalized(home: Home, sim: Simulator) -> None:
    """Python ignores every exception there, such as in the finalizer of a closed connection."""
    home.settings |= {"REQUEST_TIMEOUT_SECONDS": "2", "MAX_RETRIES": "0"}
    sim.add_fault(Fault(hang(600)))
    command = [sys.executable, "-c", _SIGNAL_IN_A_FINALIZER, *home.words(US)]
    ended = subprocess.run(
        command, env=home.environment(), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 143, ended.stderr
    assert "terminated" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_run_goes_on_without_its_terminal_under_nohup(home: Home, start: Start) -> None:
    sim = start()
    process = subprocess.Popen(
        ["/bin/sh", "-c", "trap '' HUP; exec \"$@\"", "sh", *home.command(US)],
        env=home.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not sim.count() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGHUP)
        _, err = process.communicate(timeout=300)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err


# The standard streams


def with_streams(home: Home, redirections: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A process that a shell started with these redirections."""
    return subprocess.run(
        ["/bin/sh", "-c", f'"$@" {redirections}', "sh", *home.command(*words)],
        env=home.environment(),
        cwd=home.path,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_run_without_standard_streams_does_its_work(home: Home, start: Start) -> None:
    """As a background job whose output is discarded."""
    assert start().url
    assert with_streams(home, "<&- >&- 2>&-", "--daily", f"{DAY}", f"{DAY}").returncode == 0
    assert (home.data / f"daily_exports_{DAY}_to_{DAY}" / "manifest.json").exists()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is full")
def test_full_standard_output_is_an_error_without_a_traceback(home: Home) -> None:
    result = with_streams(home, ">/dev/full", "status")
    [line] = result.stderr.splitlines()
    assert line.endswith("standard output could not be written: No space left on device")
    assert result.returncode == 1
