"""How to install an extra: never by name from an index, which belongs to others."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dashboard_scraper.installation import how_to_install
from tree import ROOT

SOURCES = ROOT / "src"
PIP = [sys.executable, "-m", "pip", "install"]
COMMIT = "0123456789abcdef"
ORIGINS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "folder": (
        {"url": "file:///srv/a%20folder", "dir_info": {}},
        ["/srv/a folder[serve]"],
    ),
    "editable": (
        {"url": "file:///srv/src", "dir_info": {"editable": True}},
        ["--editable", "/srv/src[serve]"],
    ),
    "wheel": (
        {"url": "file:///srv/it's.whl", "archive_info": {"hash": "sha256=00"}},
        ["/srv/it's.whl[serve]"],
    ),
    "commit": (
        {
            "url": "https://git.example.com/usage.git",
            "vcs_info": {"vcs": "git", "requested_revision": "main", "commit_id": COMMIT},
            "subdirectory": "scraper",
        },
        [
            f"dashboard-scraper[serve] @ git+https://git.example.com/usage.git@{COMMIT}"
            "#subdirectory=scraper"
        ],
    ),
    "local repository": (
        {"url": "file:///srv/usage", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
        [f"dashboard-scraper[serve] @ git+file:///srv/usage@{COMMIT}"],
    ),
    "download": (
        {"url": "https://files.example.com/x-0.1.0.whl", "archive_info": {}},
        ["dashboard-scraper[serve] @ https://files.example.com/x-0.1.0.whl"],
    ),
}


def installed(folder: Path, origin: str | None) -> None:
    """Write the files that an installer leaves of the program in a folder of packages."""
    metadata = folder / "dashboard_scraper-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: dashboard-scraper\n")
    if origin is not None:
        (metadata / "direct_url.json").write_text(origin)


@pytest.mark.parametrize("name", ORIGINS)
def test_hint_installs_extra_from_same_origin(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, words = ORIGINS[name]
    installed(tmp_path, json.dumps(origin))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert shlex.split(how_to_install("serve")) == [*PIP, *words]


@pytest.mark.parametrize("origin", [None, "", "{", "[]", '{"url": 3}'])
def test_of_an_unknown_origin_no_index_is_named(
    origin: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, origin)
    monkeypatch.syspath_prepend(str(tmp_path))
    words = how_to_install("parquet")
    assert words.startswith("install the program again from the same place")
    assert "dashboard-scraper" not in words


@pytest.mark.parametrize("maker", ["uv", "venv"])
@pytest.mark.slow
def test_hint_without_pip_installs_from_outside(maker: str, tmp_path: Path) -> None:
    environment, packages = tmp_path / "environment", tmp_path / "packages"
    packages.mkdir()
    (packages / "msgspec").symlink_to(Path(msgspec.__file__).parent)
    installed(packages, '{"url": "file:///srv/src", "dir_info": {}}')
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    if maker == "uv":
        with (environment / "pyvenv.cfg").open("a") as file:
            file.write("uv = 0.9.0\n")
    python = environment / "bin" / "python"
    code = "from dashboard_scraper.installation import how_to_install as f; print(f('serve'))"
    printed = subprocess.run(
        [python, "-c", code],
        env={"PYTHONPATH": f"{SOURCES}:{packages}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    into = ["--python", str(python)]
    expected = ["uv", "pip", "install", *into]
    if maker == "venv":
        expected = ["python3", "-m", "pip", *into, "install"]
    assert shlex.split(printed) == [*expected, "/srv/src[serve]"]
