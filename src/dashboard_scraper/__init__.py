"""Usage figures of an AI coding assistant, per user and day: fetched, checked and exported.

Python programs start with `open_store`; the module `api` describes what it returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashboard_scraper.api import StoredFigures, open_store

__version__ = "0.1.0"
__all__ = ["StoredFigures", "__version__", "open_store"]


def __getattr__(name: str) -> object:
    """Import the API on first use, so that `--help` does not wait for SQLAlchemy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dashboard_scraper import api  # noqa: PLC0415

    return getattr(api, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
