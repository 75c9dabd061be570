"""The packages that are built from the source tree for people to install."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tree import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.heavy]

TRACKED = ("src", "tests", "docs", "bench", "tools")
IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info")


def source_tree(folder: Path, moment: int) -> Path:
    """A copy of the source tree in which every file has this time of modification."""
    folder.mkdir()
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
        elif path.name in TRACKED:
            shutil.copytree(path, folder / path.name, ignore=IGNORED)
    for path in folder.rglob("*"):
        os.utime(path, (moment, moment))
    return folder


def built(source: Path, umask: int) -> dict[str, Path]:
    """The wheel and the source archive by their file names."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", "dist"]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=300, umask=umask)
    return {path.name: path for path in (source / "dist").iterdir()}


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Path]]:
    """Two builds of the same source, in other folders, at other times, under other umasks."""
    folder = tmp_path_factory.mktemp("builds")
    return [
        built(source_tree(folder / "one", 1_600_000_000), 0o022),
        built(source_tree(folder / "another", 1_700_000_000), 0o077),
    ]


def test_builds_are_reproducible(builds: list[dict[str, Path]]) -> None:
    first, second = (
        {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in build.items()}
        for build in builds
    )
    assert first == second
    assert len(first) == 2


def test_wheel_holds_the_package_alone(builds: list[dict[str, Path]]) -> None:
    (wheel,) = (path for name, path in builds[0].items() if name.endswith(".whl"))
    tops = {Path(name).parts[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top.partition("-")[0] for top in tops} == {"dashboard_scraper"}
