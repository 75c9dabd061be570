"""`completion`: its scripts load in real shells, and complete commands, options and paths."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from dashboard_scraper.cli.commands import COMMANDS
from dashboard_scraper.main import main

Capture = pytest.CaptureFixture[str]
SECONDS = 60
COMPLETED = {
    "exp": {"explain", "export"},
    "--home some": {"some-folder/"},
    "--home=x stat": {"status"},
    "--home some-folder stat": {"status"},
    "export --form": {"--format"},
    "export --format ": {"files", "focus", "iceberg", "parquet"},
    "convert some": {"some-file.csv", "some-folder/"},
    "--log-level D": {"DEBUG"},
    "--auth --headl": {"--headless"},
    "explain --by ": {"person", "team", "model", "day"},
    "help expo": {"export"},
    "completion ": {"bash", "zsh", "fish"},
    "": {*COMMANDS, "help", "version"},
}
BASH = """
eval "$(< script)"
words=($1)
[[ $1 == *" " || -z $1 ]] && words+=("")
COMP_WORDS=(dashboard-scraper "${words[@]}")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_shtab_dashboard_scraper dashboard-scraper "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "some-folder").mkdir()
    (tmp_path / "some-file.csv").write_text("")
    return tmp_path


def put_script(shell: str, folder: Path, capsys: Capture) -> None:
    assert main(["completion", shell]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    (folder / "script").write_text(out)


def needed(shell: str) -> str:
    """The path of the shell; skips the test if it is not installed."""
    path = shutil.which(shell)
    if path is None:
        assert "CI" not in os.environ, f"CI installs {shell}"
        pytest.skip(f"there is no {shell}")
    return path


@pytest.mark.slow
def test_bash_completes_commands_options_and_paths(folder: Path, capsys: Capture) -> None:
    put_script("bash", folder, capsys)
    for line, expected in COMPLETED.items():
        done = subprocess.run(
            [needed("bash"), "--norc", "-c", BASH, "bash", line],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        # bash itself adds the slash after a folder.
        assert set(done.stdout.split()) == {each.rstrip("/") for each in expected}, line


def test_fish_completes_commands_options_and_paths(folder: Path, capsys: Capture) -> None:
    put_script("fish", folder, capsys)
    asked = "".join(
        f"complete -C {shlex.quote(f'dashboard-scraper {line}')}; echo =\n" for line in COMPLETED
    )
    done = subprocess.run(
        [needed("fish"), "-N", "-c", f"source script\n{asked}"],
        cwd=folder,
        env={"HOME": str(folder), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    answers = done.stdout.split("=\n")
    for (line, expected), answer in zip(COMPLETED.items(), answers, strict=False):
        assert {each.split("\t")[0] for each in answer.splitlines()} == expected, line


@pytest.mark.slow
def test_zsh_completes_commands_options_and_paths(folder: Path, capsys: Capture) -> None:
    put_script("zsh", folder, capsys)
    terminal, theirs = pty.openpty()
    with subprocess.Popen(
        [needed("zsh"), "-f", "-i"],
        cwd=folder,
        env={"TERM": "dumb", "HOME": str(folder), "PATH": os.environ["PATH"]},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        try:
            load = 'autoload -Uz compinit; compinit -D -u; eval "$(< script)"; print RE""ADY\n'
            send(terminal, load, "READY")
            send(terminal, "dashboard-scraper expo\t", "export ")
            send(terminal, "--form\t", "--format ")
            send(terminal, "\x15dashboard-scraper --home some-fo\t", "some-folder/")
        finally:
            process.kill()
            os.close(terminal)


def send(terminal: int, text: str, awaited: str) -> None:
    """Type into the terminal, and wait until it shows the expected text."""
    os.write(terminal, text.encode())
    shown, end = "", time.monotonic() + SECONDS
    while awaited not in shown:
        readable, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
        assert readable, f"{awaited!r} did not come: {shown!r}"
        shown += os.read(terminal, 65536).decode()


def test_another_shell_is_refused(capsys: Capture) -> None:
    assert main(["completion", "nosh"]) == 2
    assert "bash" in capsys.readouterr().err
