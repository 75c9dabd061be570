"""The program's own modules, for tests that read code; each process parses a file only once."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import dashboard_scraper

SOURCE = Path(dashboard_scraper.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """The parsed file; callers must not change it."""
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imports_of(path: Path) -> tuple[str, ...]:
    """The modules that a file imports when it runs, and what it imports from them."""
    return tuple(_imports(tree_of(path)))


def _imports(tree: ast.AST) -> Iterator[str]:
    """The imports of all statements, also nested ones; without expressions, most of the tree."""
    if isinstance(tree, ast.Import):
        yield from (name.name for name in tree.names)
    elif isinstance(tree, ast.ImportFrom) and tree.module:
        yield from (f"{tree.module}.{name.name}" for name in tree.names)
    elif not (isinstance(tree, ast.If) and _is_for_types(tree.test)):
        for name in _BLOCKS:
            for node in getattr(tree, name, ()):
                yield from _imports(node)


_BLOCKS = ("body", "handlers", "cases", "orelse", "finalbody")
"""Where nodes have statements, or others that have them."""


def _is_for_types(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"
