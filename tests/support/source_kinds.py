"""Sources of each kind of names, beside those whose other names are service accounts'."""

from __future__ import annotations

import pytest

import toy_ids
import toy_logins
from dashboard_scraper.sources.registry import SOURCES


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    for source in (toy_logins, toy_ids):
        monkeypatch.setitem(SOURCES, source.NAME, source.__name__)
