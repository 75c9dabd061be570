"""The program's own modules, for tests that read code: each file is parsed once in a process."""

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
    """What a file is parsed to; nobody who asks for it changes it."""
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imports_of(path: Path) -> tuple[str, ...]:
    """The modules that a file imports when it runs, and what it imports from them."""
    return tuple(_imports(tree_of(path)))


def _imports(tree: ast.Module) -> Iterator[str]:
    for_types = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and _is_for_types(node.test)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def _is_for_types(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"
