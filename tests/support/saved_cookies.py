"""A session in a file, as signing in stores it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dashboard_scraper.sources.dashboard.cookie_auth import CookieSession
from dashboard_scraper.sources.dashboard.session_store import FileStore


def save_cookies(path: Path, cookies: Mapping[str, str], origin: str) -> None:
    """Store the cookies of a site; `origin` is its scheme, host and port."""
    CookieSession(FileStore(path), origin, dict(cookies)).store()
