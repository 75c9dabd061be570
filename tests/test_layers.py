"""Which module imports which: what a command needs is imported when it runs, and not before."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dashboard_scraper
from dashboard_scraper.cli.commands import COMMANDS, FETCH

PACKAGE = "dashboard_scraper"
SOURCE = Path(dashboard_scraper.__file__).parent
SLOW = {"jinja2", "pydantic", "requests", "rich", "shtab", "sqlalchemy", "uvicorn"}
"""Libraries that no parser needs."""
COMMAND_MODULES = {command.module for command in COMMANDS.values()}
IMPORTED_FOR = """
import json, sys
import dashboard_scraper.main
from dashboard_scraper.cli.parser import parser_of
parser_of(sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""


def imported_for(command: str) -> set[str]:
    """What a process has imported once it can read the command's options."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED_FOR, command], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def test_the_form_without_a_command_imports_no_command() -> None:
    imported = imported_for("")
    assert imported & COMMAND_MODULES == set()
    assert imported & SLOW == set()


@pytest.mark.parametrize("name", ["backfill", "convert", "serve", "status"])
def test_a_command_imports_its_own_module_and_nothing_slow(name: str) -> None:
    imported = imported_for(name)
    assert imported & COMMAND_MODULES == {COMMANDS[name].module}
    assert imported & SLOW == set()


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_command_has_a_module_that_configures_and_runs_it(name: str) -> None:
    module = importlib.import_module((COMMANDS[name] if name else FETCH).module)
    assert list(inspect.signature(module.configure).parameters) == ["parser"]
    assert list(inspect.signature(module.run).parameters) == ["args"]


def test_every_module_of_a_command_is_in_the_table() -> None:
    files = {path.stem for path in (SOURCE / "cli" / "commands").glob("*.py")} - {"__init__"}
    known = {module.rpartition(".")[2] for module in (*COMMAND_MODULES, FETCH.module)}
    assert files == known


def test_commands_are_listed_by_name() -> None:
    assert list(COMMANDS) == sorted(COMMANDS)


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports anywhere, and what it imports from them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def test_nothing_but_the_entry_point_imports_the_command_line() -> None:
    cli = SOURCE / "cli"
    others = [path for path in SOURCE.rglob("*.py") if cli not in path.parents]
    found = {
        path.relative_to(SOURCE).as_posix()
        for path in others
        if any(f"{name}.".startswith(f"{PACKAGE}.cli.") for name in imports(path))
    }
    assert found == {"main.py"}
