"""What the README says is what the program does."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Home, Start
from dashboard_scraper import errors
from dashboard_scraper.cli.commands import COMMANDS
from dashboard_scraper.settings.config import Settings, setting_names
from dashboard_scraper.simulator import Organization
from kept_days import sql

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"^(?:pbpaste \| )?python -m dashboard_scraper\b[^#\n]*", re.MULTILINE)
OPTION = re.compile(r"--[a-z0-9][a-z0-9-]+")


DECISIONS = ("revisions",)  # on days of which something is in doubt
KEPT_FIRST = (
    "export",
    "forget",
    "history",
    "report",
    "revisions",
    "status",
)  # they tell of days that are in the store


def commands() -> list[str]:
    """The commands in the README's code blocks, without duplicates; `serve` does not end."""
    blocks = re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    found = dict.fromkeys(line.strip() for block in blocks for line in COMMAND.findall(block))
    return [line for line in found if not line.endswith(" serve")]


def test_the_readme_has_commands_to_try() -> None:
    assert len(commands()) >= 7


@pytest.mark.parametrize("line", commands())
def test_each_command_of_the_readme_works(line: str, start: Start, home: Home) -> None:
    simulator = start(Organization(users=5))
    words = shlex.split(line.removeprefix("pbpaste | "))[3:]
    if words and words[0] in KEPT_FIRST:
        assert home.run("--last-28-days").code == 0
        assert home.run("--daily", "10-20-2025", "10-22-2025").code == 0
        words = [simulator.organization.people[0].name if "@" in word else word for word in words]
    if words and words[0] in DECISIONS:
        sql(f"sqlite:///{home.data / 'usage.db'}", "UPDATE day_ledger SET suspicious = 'odd'")
    if "convert" in words:
        exported = home.run("10-20-2025", "10-22-2025")
        shutil.copy(exported.paths[0], home.path / words[-1])
    stdin = f"_session={simulator.cookie}" if "--auth" in words else ""
    result = home.run(*words, stdin=stdin)
    assert result.code == 0, result.err


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_the_options_of_help_and_readme_are_the_same(command: str, home: Home) -> None:
    """Every option of --help stands in the README."""
    told = set(OPTION.findall(home.run(*command.split(), "--help").out))
    assert told
    assert told <= set(OPTION.findall(README)), "the README lacks an option"


def test_the_readme_has_no_option_that_does_not_exist(home: Home) -> None:
    known = {"--auth"}
    for command in ("", *COMMANDS):
        known |= set(OPTION.findall(home.run(*command.split(), "--help").out))
    known.add("--help")
    assert set(OPTION.findall(README)) <= known


def test_the_settings_table_has_every_setting_with_its_default() -> None:
    table = dict(re.findall(r"^\| `([A-Z_]+)` \| (?:`([^`]*)`|none) \|", README, re.MULTILINE))
    assert list(table) == setting_names()
    for name, default in table.items():
        assert default in default_texts(name), name


def default_texts(name: str) -> set[str]:
    """How a default may be written: a number without its `.0`, all endpoints as `all`."""
    default = Settings.model_fields[name.lower()].default
    if isinstance(default, bool):
        return {str(default).lower()}
    text = f"{default:g}" if isinstance(default, int | float) else str(default or "")
    return {"all"} if name == "SCRAPE_ENDPOINTS" else {text}


def test_the_exit_codes_of_readme_and_errors_are_the_same() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    classes = [c for c in vars(errors).values() if isinstance(c, type)]
    assert told == {0, *(c.exit_code for c in classes if issubclass(c, errors.ScraperError))}


def test_the_cron_line_works_as_cron_runs_it(start: Start, home: Home, tmp_path: Path) -> None:
    """From another folder, by sh, with hardly any environment; it speaks up only on failure."""
    simulator = start(Organization(users=3))
    (line,) = re.findall(r"^5 3 \* \* \* (.*)$", README, re.MULTILINE)
    line = line.replace("/opt/dashboard-scraper/.venv/bin/python", sys.executable)
    line = line.replace("/opt/dashboard-scraper", str(home.path))
    line = line.replace("/var/log/dashboard_scraper.log", str(home.path / "log.txt"))
    (home.path / ".env").write_text(f"METRICS_API_BASE_URL={simulator.url}\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def cron() -> str:
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(elsewhere), "SHELL": "/bin/sh"}
        return subprocess.run(
            ["/bin/sh", "-c", line],
            check=False,
            cwd=elsewhere,
            env=environment,
            capture_output=True,
            text=True,
        ).stdout

    assert cron() == ""
    assert (home.daily_folder / "manifest.json").is_file()
    simulator.expire()
    assert "exit code 3" in cron()
    assert list(elsewhere.iterdir()) == []
