"""The units in deploy/systemd: they are valid, hardened, and use existing commands."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from dashboard_scraper.cli.commands import COMMANDS
from dashboard_scraper.cli.parser import parser_of
from exit_codes import final_exit_codes
from tree import ROOT

FOLDER = ROOT / "deploy" / "systemd"
UNITS = sorted(path.name for path in FOLDER.glob("dashboard-scraper-*.*") if path.is_file())
SERVICES = [name for name in UNITS if name.endswith(".service")]
OF_SYSTEMD = Path("/usr/lib/systemd/system")
EXPOSURE = 1.5
"""The highest `systemd-analyze security` score, out of 10; a service without hardening has 9.6."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root folder of a machine where the program and its units are installed."""
    if not shutil.which("systemd-analyze"):
        assert "CI" not in os.environ, "CI provides systemd-analyze"
        pytest.skip("the units are checked with Debian's package systemd")
    root = tmp_path_factory.mktemp("machine")
    shutil.copytree(OF_SYSTEMD, root / OF_SYSTEMD.relative_to("/"), symlinks=True)
    shutil.copytree(FOLDER, root / "etc/systemd/system")
    for program in ("opt/dashboard-scraper/.venv/bin/dashboard-scraper", "bin/kill"):
        (root / program).parent.mkdir(parents=True)
        (root / program).touch(0o755)
    return root


def analyze(machine: Path, *words: str) -> tuple[int, str]:
    """The exit code of systemd-analyze, and its output, which is empty for a valid unit."""
    done = subprocess.run(
        ["systemd-analyze", f"--root={machine}", *words],
        env={"PATH": os.environ["PATH"], "SYSTEMD_PAGER": "", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def commands(unit: str) -> list[list[str]]:
    text = (FOLDER / unit).read_text(encoding="utf-8")
    return [shlex.split(line) for line in re.findall(r"^ExecStart=(.*)", text, re.MULTILINE)]


def test_systemd_accepts_every_unit(machine: Path) -> None:
    assert analyze(machine, "verify", *UNITS) == (0, "")


@pytest.mark.parametrize("unit", SERVICES)
def test_every_service_is_closed(unit: str, machine: Path) -> None:
    threshold = f"--threshold={EXPOSURE * 10:g}"
    code, text = analyze(machine, "security", "--offline=true", threshold, unit)
    assert code == 0, text


@pytest.mark.parametrize("unit", SERVICES)
def test_every_service_starts_a_command(unit: str) -> None:
    ((program, *words),) = commands(unit)
    assert program == "/opt/dashboard-scraper/.venv/bin/dashboard-scraper"
    command = "" if words[0].startswith("-") else words.pop(0)
    assert command in {"", *COMMANDS}
    args = parser_of(command).parse_args(words)
    assert args.home == Path("/var/lib/dashboard-scraper")


def test_nightly_job_is_repeated_where_that_may_help() -> None:
    text = (FOLDER / "dashboard-scraper-nightly.service").read_text(encoding="utf-8")
    (line,) = re.findall(r"^RestartPreventExitStatus=(.*)", text, re.MULTILINE)
    assert {int(code) for code in line.split()} == final_exit_codes()


@pytest.mark.parametrize("name", ["serve", "watch"])
def test_stopped_service_is_not_a_failed_one(name: str) -> None:
    """`systemctl stop` sends SIGTERM, which is no failure."""
    text = (FOLDER / f"dashboard-scraper-{name}.service").read_text(encoding="utf-8")
    assert f"\nSuccessExitStatus={128 + signal.SIGTERM}\n" in text


def test_user_of_the_services_can_be_created(machine: Path) -> None:
    folder = machine / "etc/sysusers.d"
    folder.mkdir()
    shutil.copy(FOLDER / "sysusers.conf", folder / "dashboard-scraper.conf")
    command = ["systemd-sysusers", f"--root={machine}", "dashboard-scraper.conf"]
    subprocess.run(command, check=True)
    users = (machine / "etc/passwd").read_text(encoding="utf-8").splitlines()
    (user,) = [line.split(":") for line in users if line.startswith("dashboard-scraper:")]
    assert (user[5], user[6]) == ("/var/lib/dashboard-scraper", "/usr/sbin/nologin")
