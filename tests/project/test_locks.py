"""The locked requirements: a package has the same hashes in every lock."""

from __future__ import annotations

from pathlib import Path

import pytest

from locked_packages import bundled, locked
from tree import ROOT


def test_locks_agree_on_hashes() -> None:
    """Hashes of another version would fail only for those who install that lock."""
    found: dict[tuple[str, str], set[frozenset[str]]] = {}
    locks = sorted(ROOT.glob("requirements*.txt"))
    for lock in locks:
        for package in locked(lock):
            assert package.sha256
            found.setdefault((package.name, package.version), set()).add(package.sha256)
    assert len(locks) == 10
    assert len(found) > 100
    assert [package for package, sets in found.items() if len(sets) > 1] == []


def test_locks_say_who_needs_a_package() -> None:
    packages = locked(ROOT / "requirements-extras.txt")
    names = {package.name for package in packages}
    assert all(package.needed_by <= names | {"dashboard-scraper"} for package in packages)
    assert all(package.needed_by for package in packages)
    (urllib3,) = (package for package in packages if package.name == "urllib3")
    assert {"dashboard-scraper", "requests"} <= urllib3.needed_by


@pytest.mark.parametrize("line", ["requests>=2\n", "requests==2.0\n", "-e .\n"])
def test_locks_without_hashes_are_refused(line: str, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text((ROOT / "requirements.txt").read_text(encoding="utf-8") + line)
    with pytest.raises(ValueError, match="packages, of which"):
        locked(lock)


def test_packages_in_the_page_are_known() -> None:
    names = {package.name for package in bundled(ROOT / "package-lock.json")}
    assert {"d3", "@observablehq/plot", "d3-array"} <= names
    assert not names & {"axe-core", "@octokit/rest"}
