"""The log: for people on a terminal, for files, and for programs that read JSON."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pty
import re
import subprocess

import pytest

from conftest import Home
from crash_child import Forks
from dashboard_scraper.logs import configure_logging
from dashboard_scraper.main import main

pytestmark = pytest.mark.usefixtures("no_settings_of_this_machine")

Capture = pytest.CaptureFixture[str]
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
FOREIGN = "a\nb\x1b[2J\u2028c\x9b\ud800"
logger = logging.getLogger("dashboard_scraper.of_a_test")


def on_terminal(forks: Forks, home: Home, *words: str) -> tuple[int, list[str]]:
    """The exit code, and the few lines that the program wrote to a terminal at stderr."""
    ours, theirs = pty.openpty()
    code = forks.start(home, *words, terminal=os.ttyname(theirs)).wait().code
    os.close(theirs)
    sent = b""
    with contextlib.suppress(OSError):  # how a terminal reports that its other end is closed
        while chunk := os.read(ours, 65536):
            sent += chunk
    os.close(ours)
    return code, sent.decode().splitlines()


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["--fresh"], 2, "error: unrecognized arguments: --fresh; see dashboard-scraper --help"),
        (["status", "--max-age", "x"], 2, "error: argument --max-age: 'x' is not a duration; "),
        (["--auth"], 2, "error: "),
        (["exprt"], 2, "error: 'exprt' is not a command; did you mean dashboard-scraper export?"),
    ],
    ids=["option", "value", "run", "command"],
)
@pytest.mark.slow
def test_terminal_log_has_no_timestamp_and_no_logger(
    words: list[str], code: int, line: str, home: Home, forks: Forks
) -> None:
    ended, lines = on_terminal(forks, home, *words)
    assert (ended, len(lines)) == (code, 1), lines
    assert lines[0].startswith(line)
    assert not STAMP.search(lines[0])
    assert "dashboard_scraper." not in lines[0]


@pytest.mark.slow
def test_text_format_has_timestamps_on_terminal(home: Home, forks: Forks) -> None:
    (home.path / ".env").write_text("LOG_FORMAT=text\n")
    _, (line,) = on_terminal(forks, home, "10-20-2025")
    assert re.fullmatch(rf"{STAMP.pattern} ERROR dashboard_scraper\.main: .*--auth.*", line)


@pytest.mark.parametrize("where", ["environment", ".env"])
def test_json_format_has_one_object_per_line(where: str, home: Home) -> None:
    if where == ".env":
        (home.path / ".env").write_text("LOG_FORMAT=JSON\n")
    else:
        home.settings["LOG_FORMAT"] = "JSON"
    result = home.run("10-20-2025")
    (entry,) = map(json.loads, result.err.splitlines())
    assert result.code == 3
    assert list(entry) == ["time", "level", "logger", "message"]
    assert STAMP.fullmatch(entry["time"])
    assert (entry["level"], entry["logger"]) == ("ERROR", "dashboard_scraper.main")
    assert "--auth" in entry["message"]


def test_usage_errors_are_json_too(
    home: Home, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_FORMAT", "json")
    monkeypatch.setenv("MAX_RETRIES", "many")
    assert main(["--fresh"]) == 2
    assert main(["--home", str(home.path), "10-20-2025"]) == 2
    unknown, setting = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert "--fresh" in unknown["message"]
    assert "MAX_RETRIES" in setting["message"]


def test_unexpected_error_is_json_with_traceback(home: Home) -> None:
    home.settings["LOG_FORMAT"] = "json"
    code = "from dashboard_scraper.logs import *; configure_logging('INFO');"
    code += "log_uncaught_errors(); import threading; t = threading.Thread(target=lambda: 1 / 0);"
    code += "t.start(); t.join(); 1 / 0"
    done = subprocess.run(
        [*home.command()[:3], "-c", code],
        env=home.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    in_thread, in_main = map(json.loads, done.stderr.splitlines())
    for entry in (in_thread, in_main):
        assert entry["level"] == "CRITICAL"
        assert entry["exception"].startswith("Traceback")
        assert entry["exception"].endswith("ZeroDivisionError: division by zero")


def test_invalid_log_format_is_refused(
    home: Home, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_FORMAT", "xml")
    assert main(["--home", str(home.path), "status"]) == 2
    assert "LOG_FORMAT=xml" in capsys.readouterr().err


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_foreign_text_cannot_forge_lines(log_format: str, capsys: Capture) -> None:
    """And cannot control a terminal."""
    configure_logging("INFO", log_format)
    logger.warning("%s", FOREIGN)
    err = capsys.readouterr().err
    assert err.endswith("\n")
    line = err[:-1]
    assert line.isprintable()
    assert line.isascii() or log_format == "text"
    if log_format == "json":
        assert json.loads(line)["message"] == FOREIGN


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_long_message_is_shortened(log_format: str, capsys: Capture) -> None:
    configure_logging("INFO", log_format)
    logger.warning("%s", "x" * 1_000_000)
    err = capsys.readouterr().err
    assert len(err) < 5000
    assert "... (996,000 more characters)" in err


@pytest.mark.parametrize(
    ("words", "level"),
    [
        ([], "INFO"),
        (["--quiet"], "ERROR"),
        (["--verbose"], "DEBUG"),
        (["--log-level", "warning"], "WARNING"),
    ],
)
def test_command_line_sets_log_level(
    words: list[str], level: str, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "INFO")
    assert main(["--home", str(home.path), *words, "status"]) == 0
    assert logging.getLogger("dashboard_scraper").level == getattr(logging, level)
