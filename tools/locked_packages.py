"""The packages that lock files pin: those of `requirements*.txt`, and those of npm in the wheel."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PINNED = re.compile(
    r"^(?P<name>[a-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^\s;]+)(?: ; (?P<marker>[^\\\n]+))? *\\\n"
    r"(?P<hashes>(?: +--hash=\S+(?: \\)?\n)+)"
    r"(?P<comments>(?: +#.*\n?)*)",
    re.MULTILINE,
)
_HASH = re.compile(r"--hash=sha256:(\w+)")
_NEEDED_BY = re.compile(r"^ +#(?: via)? +(?!-[cr] )([a-z0-9._-]+)", re.MULTILINE)


@dataclass(frozen=True)
class Locked:
    """A package in its only version; `needed_by` are the names of the packages that require it."""

    name: str
    version: str
    marker: str
    sha256: frozenset[str]
    needed_by: frozenset[str]


@dataclass(frozen=True)
class Bundled:
    """A package of npm whose code is in the wheel."""

    name: str
    version: str
    licence: str
    sha512: str


def locked(lock: Path) -> list[Locked]:
    """Every package of a lock; raises ValueError for a line that is not understood."""
    text = lock.read_text(encoding="utf-8")
    found = [
        Locked(
            match["name"],
            match["version"],
            (match["marker"] or "").strip(),
            frozenset(_HASH.findall(match["hashes"])),
            frozenset(_NEEDED_BY.findall(match["comments"])) - {"via"},
        )
        for match in _PINNED.finditer(text)
    ]
    lines = sum(not line.startswith((" ", "#")) for line in text.splitlines() if line)
    if lines != len(found):
        raise ValueError(f"{lock.name}: {lines} packages, of which {len(found)} are understood")
    return found


def merged(locks: Iterable[Path]) -> list[Locked]:
    """The packages of several locks, once each, sorted by name."""
    packages: dict[tuple[str, str], Locked] = {}
    for lock in locks:
        for package in locked(lock):
            known = packages.get((package.name, package.version), package)
            packages[package.name, package.version] = Locked(
                package.name,
                package.version,
                package.marker,
                package.sha256,
                package.needed_by | known.needed_by,
            )
    return [packages[key] for key in sorted(packages)]


def bundled(package_lock: Path) -> list[Bundled]:
    """The packages that `package.json` names for the page, and their parts; not those for tests."""
    packages = json.loads(package_lock.read_text(encoding="utf-8"))["packages"]
    return [
        Bundled(
            path.rpartition("node_modules/")[2],
            package["version"],
            package["license"],
            base64.b64decode(package["integrity"].removeprefix("sha512-")).hex(),
        )
        for path, package in sorted(packages.items())
        if path and not package.get("dev")
    ]
