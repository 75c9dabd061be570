"""The locked requirements: one package has the same hashes wherever it is locked."""

from __future__ import annotations

import re
from pathlib import Path

import dashboard_scraper

ROOT = Path(dashboard_scraper.__file__).parents[2]
_LOCKED = re.compile(
    r"^([a-z0-9._-]+)(?:\[[^]]*\])?==(\S+).*\\\n((?: +--hash=\S+(?: \\)?\n)+)", re.MULTILINE
)


def test_locks_agree_on_hashes() -> None:
    """Hashes that belong to another version would fail only where that lock is installed."""
    found: dict[tuple[str, str], set[frozenset[str]]] = {}
    locks = sorted(ROOT.glob("requirements*.txt"))
    for lock in locks:
        for name, version, hashes in _LOCKED.findall(lock.read_text(encoding="utf-8")):
            digests = frozenset(re.findall(r"sha256:(\w+)", hashes))
            found.setdefault((name, version), set()).add(digests)
    assert len(locks) == 6
    assert len(found) > 100
    assert [package for package, sets in found.items() if len(sets) > 1] == []
