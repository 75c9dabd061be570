"""Which module imports which: what a command needs is imported when it runs, not earlier."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from dashboard_scraper.cli.commands import COMMANDS, FETCH
from modules import MODULES, SOURCE, imports_of, tree_of

PACKAGE = "dashboard_scraper"
SLOW = {"jinja2", "pydantic", "requests", "rich", "shtab", "sqlalchemy", "uvicorn"}
"""Libraries that the parsers do not need."""
COMMAND_MODULES = {command.module for command in COMMANDS.values()}
IMPORTED_FOR = """
import json, sys
import dashboard_scraper.main
from dashboard_scraper.cli.parser import parser_of
parser_of(sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""


def imported_for(command: str) -> set[str]:
    """The modules that a process has imported when it can read the command's options."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED_FOR, command], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


@pytest.mark.slow
def test_default_form_imports_no_command() -> None:
    imported = imported_for("")
    assert imported & COMMAND_MODULES == set()
    assert imported & SLOW == set()


@pytest.mark.parametrize("name", ["backfill", "convert", "serve", "status"])
def test_command_imports_only_its_module(name: str) -> None:
    imported = imported_for(name)
    assert imported & COMMAND_MODULES == {COMMANDS[name].module}
    assert imported & SLOW == set()


def test_first_request_waits_for_no_output_format() -> None:
    """The daily job imports output formats while it waits for answers."""
    code = "import json, sys, dashboard_scraper.cli.daily; print(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    late = {"jinja2", f"{PACKAGE}.exports.bundle", f"{PACKAGE}.report.page"}
    assert late & set(json.loads(done.stdout)) == set()


def test_export_without_other_processes_imports_nothing_for_them() -> None:
    code = f"import sys, {PACKAGE}.exports.bundle; print('multiprocessing' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_command_module_has_configure_and_run(name: str) -> None:
    module = importlib.import_module((COMMANDS[name] if name else FETCH).module)
    assert list(inspect.signature(module.configure).parameters) == ["parser"]
    assert list(inspect.signature(module.run).parameters) == ["args"]


def test_every_command_module_is_in_table() -> None:
    files = {path.stem for path in (SOURCE / "cli" / "commands").glob("*.py")} - {"__init__"}
    known = {module.rpartition(".")[2] for module in (*COMMAND_MODULES, FETCH.module)}
    assert files == known


def test_commands_are_listed_by_name() -> None:
    assert list(COMMANDS) == sorted(COMMANDS)


@pytest.mark.slow
def test_only_entry_point_imports_cli() -> None:
    cli = SOURCE / "cli"
    others = [path for path in SOURCE.rglob("*.py") if cli not in path.parents]
    found = {
        path.relative_to(SOURCE).as_posix()
        for path in others
        if any(f"{name}.".startswith(f"{PACKAGE}.cli.") for name in imports_of(path))
    }
    assert found == {"main.py"}


FLOORS = (
    "beside clock errors hosts installation leftovers log_repeats spans",
    "decoding files model",
    "publication",
    "csv_text json_templates logs secret_files sources watch",
    "browser settings.library_settings settings.values",
    "sources.rest.settings",
    "sources.analytics.settings sources.claude_code.settings sources.copilot.settings"
    " sources.cursor.settings sources.dashboard.settings",
    "people settings",
    "sources.rest store",
    "across output shown_people sources.analytics sources.claude_code sources.copilot"
    " sources.cursor sources.dashboard",
    "github report simulator",
    "exports server singer",
    "api spark sync",
    "notify telemetry",
    "cli",
    "main",
    "__main__",
)
"""Packages, and modules beside them, lowest floor first: each imports only from lower floors."""
_FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms.split()}


def room_of(parts: Sequence[str]) -> str:
    """The innermost package or module that has its own floor."""
    names = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in names if name in _FLOOR_OF), parts[0])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_module_imports_lower_floors_only(path: Path) -> None:
    inside = path.relative_to(SOURCE).with_suffix("").parts
    if inside == ("__init__",):
        return
    room = room_of(inside)
    for name in imports_of(path):
        package, *parts = name.split(".")
        if package != PACKAGE or parts[0] == "__version__":
            continue
        other = room_of(parts)
        assert other == room or _FLOOR_OF[other] < _FLOOR_OF[room], name


def test_every_room_is_on_one_floor() -> None:
    rooms = [room for floor in FLOORS for room in floor.split()]
    assert sorted(rooms) == sorted(set(rooms))
    assert set(rooms) >= {room_of(path.relative_to(SOURCE).parts) for path in SOURCE.glob("*/")} - {
        "__pycache__",
        "templates",
    }


@pytest.mark.slow
def test_only_sources_and_simulator_name_a_source() -> None:
    """Only the demo does, too, since it starts the simulators."""
    knowing = {
        path.relative_to(SOURCE).as_posix()
        for path in MODULES
        if path.relative_to(SOURCE).parts[0] not in ("sources", "simulator")
        and any(name.rpartition(".")[2] in ("ANALYTICS", "DASHBOARD") for name in imports_of(path))
    }
    assert knowing == {"cli/commands/demo.py", "cli/demo.py"}
    for path in MODULES:
        if path.relative_to(SOURCE).parts[0] != "sources":
            nodes = ast.walk(tree_of(path))
            values = {n.value for n in nodes if isinstance(n, ast.Constant)}
            assert {"analytics", "dashboard"} & values == set(), path
