"""Sources with each kind of names, beside service accounts; with a fixture."""

from __future__ import annotations

import pytest

import toy_ids
import toy_logins
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.sources.registry import SOURCES
from filled_store import figures_of


@pytest.fixture
def kinds_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the sources to the registry."""
    register(monkeypatch)


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    for source in (toy_logins, toy_ids):
        monkeypatch.setitem(SOURCES, source.NAME, source.__name__)


def person(name: str, messages: int = 1, *, service: bool = False) -> UserUsage:
    return UserUsage(name, figures_of(chat_messages=messages), service=service)
