"""How to install an extra: from the place that the program itself was installed from.

Never by the bare name: this program is not on any package index, so anybody could register its name
there and have their code installed.
"""

from __future__ import annotations

import importlib.util
import shlex
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

NAME = "dashboard-scraper"


class _Folder(msgspec.Struct):
    editable: bool = False


class _Commit(msgspec.Struct):
    vcs: str
    commit_id: str


class Origin(msgspec.Struct):
    """A `direct_url.json`, which installers write if the source was not an index (PEP 610)."""

    url: str
    dir_info: _Folder | None = None
    vcs_info: _Commit | None = None
    subdirectory: str | None = None


_decode_origin = msgspec.json.Decoder(Origin).decode


def how_to_install(extra: str) -> str:
    """A shell command, or a sentence if the metadata does not say where the program came from."""
    origin = _origin()
    if origin is None:
        return (
            f"install the program again from the same place, with the extra {extra}: '.[{extra}]'"
            f" from its folder, 'FILE.whl[{extra}]' from its wheel"
        )
    return shlex.join([*_installer(), *_requirement(origin, extra)])


def _origin() -> Origin | None:
    try:
        text = distribution(NAME).read_text("direct_url.json")
        return _decode_origin(text) if text else None
    except (PackageNotFoundError, msgspec.DecodeError):
        return None


def _requirement(origin: Origin, extra: str) -> list[str]:
    parts = urlsplit(origin.url)
    if parts.scheme == "file" and origin.vcs_info is None:
        editable = origin.dir_info is not None and origin.dir_info.editable
        return [*(["--editable"] if editable else []), f"{Path(unquote(parts.path))}[{extra}]"]
    url = origin.url
    if origin.vcs_info is not None:
        url = f"{origin.vcs_info.vcs}+{url}@{origin.vcs_info.commit_id}"
    folder = f"#subdirectory={origin.subdirectory}" if origin.subdirectory else ""
    return [f"{NAME}[{extra}] @ {url}{folder}"]


def _installer() -> list[str]:
    """The command to install with; an environment that uv created has no pip."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install"]
    if "\nuv = " in _environment():
        return ["uv", "pip", "install", "--python", sys.executable]
    return ["python3", "-m", "pip", "--python", sys.executable, "install"]


def _environment() -> str:
    try:
        return (Path(sys.prefix) / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return ""
