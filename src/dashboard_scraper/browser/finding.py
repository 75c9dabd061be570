"""Where Chrome, Edge and Chromium are installed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from dashboard_scraper.errors import UsageError

_LINUX = (
    "google-chrome-stable",
    "google-chrome",
    "microsoft-edge-stable",
    "microsoft-edge",
    "chromium",
    "chromium-browser",
)
_MACOS = ("Google Chrome", "Microsoft Edge", "Chromium")
_WINDOWS = (
    Path("Google", "Chrome", "Application", "chrome.exe"),
    Path("Microsoft", "Edge", "Application", "msedge.exe"),
    Path("Chromium", "Application", "chrome.exe"),
)
_WINDOWS_ROOTS = ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")


def find_browser(
    configured: Path | None,
    system: str = sys.platform,
    environment: Mapping[str, str] = os.environ,
) -> Path:
    """The browser in the setting BROWSER_PATH, or the first one that is installed.

    `system` is a value of `sys.platform`. Raises UsageError, which says where it looked.
    """
    if configured is not None:
        if not os.access(configured, os.X_OK) or configured.is_dir():
            raise UsageError(
                f"BROWSER_PATH: {configured} is not a program; write the path of Chrome, Edge or"
                " Chromium, or leave it empty for the one that is installed"
            )
        return configured
    candidates = list(_candidates(system, environment))
    for candidate in candidates:
        if os.access(candidate, os.X_OK) and candidate.is_file():
            return candidate
    raise UsageError(
        f"no browser was found: looked for {_looked_for(system, candidates)}; install Chrome, Edge"
        " or Chromium, or set BROWSER_PATH to its path; without one, --auth takes a pasted cookie"
    )


def _candidates(system: str, environment: Mapping[str, str]) -> Iterator[Path]:
    if system == "darwin":
        for name in _MACOS:
            for root in (Path("/"), Path(environment.get("HOME", "/"))):
                yield root / "Applications" / f"{name}.app" / "Contents" / "MacOS" / name
    elif system == "win32":
        roots = [Path(environment[name]) for name in _WINDOWS_ROOTS if environment.get(name)]
        yield from (root / program for program in _WINDOWS for root in roots)
    else:
        for name in _LINUX:
            found = shutil.which(name, path=environment.get("PATH"))
            if found:
                yield Path(found)


def _looked_for(system: str, candidates: list[Path]) -> str:
    if system in ("darwin", "win32"):
        return ", ".join(str(candidate) for candidate in candidates)
    return f"{', '.join(_LINUX)} in PATH"
