"""Every link in the documentation works, on GitHub and on the website."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

from tree import ROOT

NAMES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
PAGES = [*(ROOT / name for name in NAMES), *sorted((ROOT / "docs").rglob("*.md"))]
CODE_FOLDERS = ("src", "tests", "bench", "tools")
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")
FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
MODULE = re.compile(r"`((?:\w+/)*\w+\.py)`")


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The headings as GitHub writes them in URLs."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", read(page)), re.MULTILINE)
    made = [anchor(heading) for heading in headings]
    return {name for name in made if made.count(name) == 1}  # GitHub numbers repeated ones


def anchor(heading: str) -> str:
    allowed = (c for c in heading.lower() if c in " -_" or unicodedata.category(c)[0] in "LN")
    return "".join(allowed).replace(" ", "-")


def links(page: Path) -> list[str]:
    text = CODE.sub("", FENCED.sub("", read(page)))
    return [link for pair in LINK.findall(text) for link in pair if link]


def is_broken(page: Path, link: str) -> bool:
    path, _, fragment = link.partition("#")
    target = page.parent / path if path else page
    if not target.resolve().is_relative_to(ROOT) or not target.exists():
        return True
    return bool(fragment) and fragment not in anchors(target)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_have_targets(page: Path) -> None:
    relative = [link for link in links(page) if not re.match(r"[a-z]+:", link)]
    assert [link for link in relative if is_broken(page, link)] == []


@pytest.mark.parametrize("link", ["docs/nothing.md", "docs/report.md#nothing", "#nothing", "../x"])
def test_a_link_to_nothing_is_noticed(link: str) -> None:
    assert is_broken(ROOT / "README.md", link)


def test_every_page_is_linked_everywhere() -> None:
    """Nobody finds a page without a link to it."""
    docs = ROOT / "docs"
    pages = {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")} - {"index.md"}
    index = ROOT / "docs" / "index.md"
    assert pages <= set(links(index))
    assert {f"docs/{name}" for name in pages} <= set(links(ROOT / "README.md"))
    assert {*NAMES, *(f"docs/{name}" for name in pages)} <= set(
        re.findall(r"\b[\w./-]+\.md\b", read(ROOT / "mkdocs.yml"))
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    files = [path.as_posix() for folder in CODE_FOLDERS for path in (ROOT / folder).rglob("*.py")]
    named = MODULE.findall(read(page))
    assert [name for name in named if not any(file.endswith(f"/{name}") for file in files)] == []
