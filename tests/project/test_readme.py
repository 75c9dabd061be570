"""The README and the pages in `docs/` agree with what the program does."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from conftest import Home, Start, yesterday
from dashboard_scraper import errors
from dashboard_scraper.cli.commands import COMMANDS
from dashboard_scraper.model.dates import Window
from dashboard_scraper.simulator import Organization, Simulator
from made_up_days import users
from stored_costs import store_costs
from stored_days import sql
from tree import ROOT

DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [README, *(path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md")))]
COMMAND = re.compile(r"^(?:pbpaste \| )?((?:\.venv/bin/)?dashboard-scraper\b[^#\n]*)", re.MULTILINE)
OPTION = re.compile(r"--[a-z0-9][a-z0-9-]+")
OF_OTHER_PROGRAMS = {
    "--from",  # uvx
    *("--force-reinstall", "--force", "--reinstall"),  # pip, pipx, uv
    # options of the program that spark-submit starts, which is no command
    *("--user-days", "--daily-totals", "--editor-languages", "--enterprise-id"),
}
README_LINES = 220

DECISIONS = ("revisions",)  # on days that are in doubt
NEEDS_DAYS = (
    "explain",
    "export",
    "forget",
    "history",
    "people",
    "report",
    "revisions",
    "status",
)


def commands(*pages: str) -> list[str]:
    """The commands in the pages' code blocks, once each. `serve` is left out, since it does not
    end, and `demo`, which takes long and has its own tests.
    """
    blocks = re.findall(r"^```bash\n(.*?)^```", "\n".join(pages), re.MULTILINE | re.DOTALL)
    found = dict.fromkeys(line.strip() for block in blocks for line in COMMAND.findall(block))
    return [line for line in found if not line.endswith((" serve", " demo"))]


def options(text: str) -> set[str]:
    return set(OPTION.findall(text))


def section(page: str, heading: str) -> str:
    """The text of a page below a heading, up to the next heading."""
    (found,) = re.findall(rf"^#+ {heading}\n(.*?)(?=^#+ |\Z)", page, re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_readme_is_for_the_first_steps() -> None:
    """It has commands to try, in few lines; everything else has its own page."""
    assert len(commands(README)) >= 6
    assert len(README.splitlines()) <= README_LINES


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of an organization of three people, with the days that the pages mention."""
    home = Home(tmp_path_factory.mktemp("filled"))
    with Simulator(Organization(users=3)) as simulator:
        home.settings["METRICS_API_BASE_URL"] = simulator.url
        home.sign_in(simulator)
        assert home.run("--last-28-days").code == 0
        assert home.run("--daily", "10-20-2025", "10-22-2025").code == 0
    store_costs(home, users(3), Window(date(2025, 10, 1), date(2025, 11, 30)))
    newest = Window(yesterday(), yesterday())
    store_costs(home, users(3), newest, fetched=datetime.now(UTC))
    return home.data


@pytest.mark.parametrize("line", commands(*PAGES))
@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_each_documented_command_works(line: str, start: Start, home: Home, filled: Path) -> None:
    simulator = start(Organization(users=3))
    words = shlex.split(line)[1:]
    if words == ["backfill", "10-20-2025", "yesterday"]:  # a thousand requests
        words[1] = f"{yesterday() - timedelta(9)}"
    if words and words[0] in NEEDS_DAYS:
        shutil.copytree(filled, home.data)
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
def test_every_option_of_help_is_documented(command: str, home: Home) -> None:
    """On the page of commands, in the command's row or in the table of options for all commands."""
    page = (DOCS / "commands.md").read_text(encoding="utf-8")
    own = "".join(re.findall(rf"^\| `{command}\b.*", page, re.MULTILINE)) if command else ""
    documented = options(section(page, "Options").partition("| Command |")[0] + own)
    shown = options(home.run(*command.split(), "--help").out)
    assert shown
    assert shown <= documented | {"--help"}


@pytest.mark.slow
def test_no_documented_option_is_unknown(home: Home) -> None:
    known = set(OF_OTHER_PROGRAMS)
    for command in ("", *COMMANDS):
        known |= options(home.run(*command.split(), "--help").out)
    assert options("\n".join(PAGES)) <= known | {"--help"}


def test_readme_table_has_every_command() -> None:
    page = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"\n| `{name}` | " not in page] == []


def test_exit_codes_are_documented() -> None:
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    documented_codes = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    classes = [c for c in vars(errors).values() if isinstance(c, type)]
    assert documented_codes == {
        0,
        *(c.exit_code for c in classes if issubclass(c, errors.ScraperError)),
    }


@pytest.mark.slow
def test_the_cron_line_works_as_cron_runs_it(start: Start, home: Home, tmp_path: Path) -> None:
    """From another folder, by sh, with a minimal environment; there is output only on failure."""
    simulator = start(Organization(users=3))
    page = (DOCS / "daily-runs.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^5 3 \* \* \* (.*)$", page, re.MULTILINE)
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
