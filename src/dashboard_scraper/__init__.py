"""Usage figures of an AI coding assistant, per user and day: fetched, checked and exported.

Python programs start with `open_store`; the module `api` describes what it returns. The functions
of `exports.arrow_lines` make records of Arrow batches.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashboard_scraper.api import StoredFigures, open_store
    from dashboard_scraper.exports.arrow_lines import (
        Shown,
        copilot_lines,
        copilot_people,
        github_lines,
        github_people,
    )
    from dashboard_scraper.github.lines import Stamp
    from dashboard_scraper.model.dates import Window

__version__ = "0.1.0"
__all__ = [
    "Shown",
    "Stamp",
    "StoredFigures",
    "Window",
    "__version__",
    "copilot_lines",
    "copilot_people",
    "github_lines",
    "github_people",
    "open_store",
]

_MODULES = {
    "api": ("StoredFigures", "open_store"),
    "exports.arrow_lines": (
        "Shown",
        "copilot_lines",
        "copilot_people",
        "github_lines",
        "github_people",
    ),
    "github.lines": ("Stamp",),
    "model.dates": ("Window",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a name on first use, so that `--help` does not wait for SQLAlchemy or Arrow."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
