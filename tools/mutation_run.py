"""Change one thing in the program at a time, and see whether a test fails.

    python tools/mutation_run.py [--sample N] [--seed N] [--line N] [MODULE ...]

Of each module so many changes are tried, chosen at random; all with --sample 0. Printed are those
that no test noticed: each wants a test, or does not matter. A run of the defaults takes half an
hour of one core. Beside the modules stand the tests that are to notice: few, and fast ones first.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import copy
import importlib
import os
import random
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "dashboard_scraper"

_SEQUENCES = "test_versions -k any_sequence"  # slow, compared with the others in this file
_VERSIONS = "test_versions -k 'not any_sequence'"

_DAYS = [
    "test_reconciliation",
    "test_revisions -k 'turn or contradiction or new_day or first_window'",
    "test_faults -k 'day and not any_size'",
    "test_incremental -k 'not wherever and not outputs_after'",
]

TESTS = {
    "exports/copilot_converter.py": ["test_converter"],
    "github/records.py": ["test_github_records"],
    "exports/csv_tables.py": ["test_flatten", "test_csv", "test_convert_command"],
    "csv_text.py": ["test_csv"],
    "exports/csv_days.py": ["test_convert_command"],
    "exports/manifest.py": ["test_withdrawal", "test_export_folders"],
    "exports/withdrawal.py": ["test_withdrawal"],
    "files.py": ["test_files", "test_leftovers"],
    "publication.py": ["test_files", "test_leftovers", "test_durability"],
    "store/rows.py": ["test_store", _VERSIONS, "test_status"],
    "store/versions.py": [_VERSIONS, _SEQUENCES],
    "store/history.py": [_VERSIONS],
    "store/as_of.py": ["test_store -k 'figures_are_upserted'", _VERSIONS],
    "store/revising.py": [_VERSIONS, _SEQUENCES, "test_revisions"],
    "store/movements.py": [_VERSIONS, _SEQUENCES, "test_revisions"],
    "store/persons.py": ["test_people"],
    "store/forgetting.py": [_VERSIONS, "test_people -k 'forget'", "test_forget -k 'not file'"],
    "store/store.py": ["test_store", _VERSIONS, "test_store_damage", "test_people -k 'forget'"],
    "store/reader.py": ["test_store", _VERSIONS, "test_report_figures"],
    "store/lease.py": ["test_lease -k 'holder or lock or commit_whose or session'"],
    "sources/dashboard/client.py": [
        "test_envelope",
        "test_faults -k 'not any_size'",
        "test_pagination -k 'not pages_or_order'",
        "test_bounds",
    ],
    "sources/rest/pagination.py": [
        "test_envelope",
        "test_pagination -k 'not pages_or_order'",
        "test_bounds",
    ],
    "model/checks.py": ["test_checks", "test_judgements", "test_plausibility"],
    "sources/rest/envelope.py": ["test_envelope"],
    "sources/rest/claimed_days.py": ["test_envelope"],
    "model/reconciliation.py": ["test_reconciliation"],
    "sync/revisions.py": ["test_judgements", "test_plausibility", "test_revisions"],
    "sync/review.py": ["test_revisions"],
    "sync/plausibility.py": ["test_plausibility", "test_revisions -k first"],
    "sync/cost_rules.py": ["test_cost_losses"],
    "model/doubts.py": ["test_doubts", "test_reconciliation", "test_status"],
    "sync/daily_metrics.py": _DAYS,
    "sync/planning.py": _DAYS,
    "sync/day_fetching.py": _DAYS,
    "store/settling.py": ["test_judgements"],
}
"""Files, some with pytest's words that choose a few of their tests."""

_OPPOSITES: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.Break: ast.Continue,
}
_CHANGING = (PACKAGE, "conftest", "in_process")
_LONGEST = 70
# This profile has no deadline, which a busy machine would miss, and always the same examples.
_PYTEST = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile", "ci"]
# Its plugin has already been imported, with the libraries.
_PYTEST += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
_WORDS = (ast.Raise, ast.JoinedStr)
"""What is said in them is for people."""


def _files_called(name: str) -> list[str]:
    return [str(path) for path in (ROOT / "tests").rglob(f"{name}.py")]


def replacements(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that may replace this node."""
    if type(node) in _OPPOSITES:
        yield _OPPOSITES[type(node)]()
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.Constant):
        yield from _other_constants(node.value)
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        yield _with(node, "test", ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.comprehension):
        yield from _with_one_less(node, "ifs")
    elif isinstance(node, ast.Return) and node.value is not None:
        yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Call):
        yield from _with_one_less(node, "keywords")
    elif isinstance(node, ast.With) and len(node.items) > 1:
        yield from _with_one_less(node, "items")
    elif isinstance(node, ast.Raise) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        yield ast.Pass()


def _other_constants(value: object) -> Iterator[ast.AST]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
    elif isinstance(value, str):
        yield ast.Constant(f"X{value}")
    elif isinstance(value, bytes):
        yield ast.Constant(b"X" + value)


def _with(node: ast.AST, field: str, value: object) -> ast.AST:
    changed = copy.copy(node)
    setattr(changed, field, value)
    return changed


def _with_one_less(node: ast.AST, field: str) -> Iterator[ast.AST]:
    whole = getattr(node, field)
    for i in range(len(whole)):
        yield _with(node, field, whole[:i] + whole[i + 1 :])


Place = tuple[ast.AST, str, int | None]
"""A node's parent, the field that it is in, and where in that if the field is a list."""


def places(node: ast.AST) -> Iterator[tuple[Place, ast.AST]]:
    """Every node whose change may matter."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list"):
            continue
        children = value if isinstance(value, list) else [value]
        for i, child in enumerate(children):
            if not isinstance(child, ast.AST) or _is_docstring(child):
                continue
            yield (node, field, i if isinstance(value, list) else None), child
            if not isinstance(child, _WORDS) and not _is_logged(child):
                yield from places(child)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_logged(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith("logger.")


@dataclass(frozen=True)
class Mutant:
    """One change: its line, its description, and the module's whole text with it."""

    line: int
    change: str
    text: str


def mutants(source: str) -> Iterator[Mutant]:
    """Every change of a module, one at a time."""
    tree = ast.parse(source)
    unchanged = ast.unparse(tree)
    line = 0
    for (parent, field, index), node in list(places(tree)):
        line = getattr(node, "lineno", getattr(parent, "lineno", line))
        for other in replacements(node):
            _put(parent, field, index, other)
            text = ast.unparse(ast.fix_missing_locations(tree))
            _put(parent, field, index, node)
            if text != unchanged:
                yield Mutant(line, f"{_said(node)}  ->  {_said(other)}", text)


def _put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _said(node: ast.AST) -> str:
    said = ast.unparse(node).strip().partition("\n")[0] or type(node).__name__
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}..."


class Trials:
    """A copy of the package in which one module at a time is changed; tests run in forks."""

    def __init__(self, folder: Path, seconds: int) -> None:
        self._folder = folder / "src"
        self._seconds = seconds
        shutil.copytree(ROOT / "src", self._folder)
        compileall.compile_dir(self._folder, quiet=1)
        sys.path[:0] = [str(self._folder), str(ROOT / "tests"), str(ROOT / "tests" / "support")]
        os.environ["PYTHONPATH"] = str(self._folder)
        # A changed file may have the same size and time as the one before.
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        sys.dont_write_bytecode = True
        importlib.import_module("conftest")  # with the libraries, which stay imported
        for name in [name for name in sys.modules if name.partition(".")[0] in _CHANGING]:
            del sys.modules[name]

    def is_noticed(self, module: str, text: str) -> bool:
        """Whether a test fails while the module has this text; TimeoutError if one hangs."""
        path = self._folder / PACKAGE / module
        before = path.read_text()
        path.write_text(text)
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
            compiled.unlink()
        try:
            return any(self._fails(*shlex.split(tests)) for tests in TESTS[module])
        finally:
            path.write_text(before)

    def _fails(self, name: str, *words: str) -> bool:
        child = os.fork()
        if child == 0:
            os.setpgrp()
            code = 1
            null = os.open(os.devnull, os.O_RDWR)
            for number in range(3):
                os.dup2(null, number)
            os.chdir(ROOT)
            try:
                code = int(pytest.main([*_PYTEST, *words, *_files_called(name)]))
            finally:  # an exception would end this copy as if it were the tool itself
                os._exit(code)
        deadline = time.monotonic() + self._seconds
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status != 0
            time.sleep(0.02)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise TimeoutError


def try_module(trials: Trials, module: str, tried: list[Mutant]) -> None:
    """Print each change that no test notices, and each change with which a test hangs."""
    survived = 0
    for mutant in sorted(tried, key=lambda each: each.line):
        said = f"{module}:{mutant.line}: {mutant.change}"
        try:
            if not trials.is_noticed(module, mutant.text):
                survived += 1
                print(said, flush=True)
        except TimeoutError:
            print(f"{said}  (noticed by a test that hangs)", flush=True)
    print(f"{module}: {len(tried)} changes, {survived} not noticed", flush=True)


def main(words: list[str]) -> None:
    """Try the modules one after another."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", nargs="*", default=list(TESTS), metavar="MODULE")
    parser.add_argument("--sample", type=int, default=30, help="changes of a module; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="other changes (default: %(default)s)")
    parser.add_argument("--line", type=int, help="only changes of this line")
    parser.add_argument("--seconds", type=int, default=600, help="that a file of tests may take")
    args = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials(Path(folder), args.seconds)
        for module in args.modules:
            source = (ROOT / "src" / PACKAGE / module).read_text()
            if trials.is_noticed(module, source):
                sys.exit(f"{module}: its tests fail as it is")
            tried = [each for each in mutants(source) if args.line in (None, each.line)]
            if args.sample and len(tried) > args.sample:
                tried = random.Random(args.seed).sample(tried, args.sample)
            try_module(trials, module, tried)


if __name__ == "__main__":
    main(sys.argv[1:])
