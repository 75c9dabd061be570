"""What a run reads and writes: rows of the database, and formats of an export; fixtures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from dashboard_scraper.exports import formats
from dashboard_scraper.exports.csv_files import CsvFiles
from dashboard_scraper.exports.daily_export import DailyExport
from dashboard_scraper.exports.page_file import PageFile
from dashboard_scraper.output import Output


@pytest.fixture
def reads() -> Iterator[Counter[str]]:
    """How often the rows of each day were loaded."""
    found: Counter[str] = Counter()

    def note(_c: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if "user_day.extra" in statement and "ORDER BY user_day.user_login" in statement:
            given = values.values() if isinstance(values, dict) else values
            found[next(f"{value}" for value in given if f"{value}".startswith("20"))] += 1

    event.listen(Engine, "before_cursor_execute", note)
    yield found
    event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture
def csv_alone() -> Iterator[None]:
    """Exports consist of CSV files and the manifest, for tests of what is fetched and stored.

    Writing all formats takes half of a run's time.
    """
    with only_csv():
        yield


@pytest.fixture
def csv_and_page() -> Iterator[None]:
    """Exports consist of CSV files, the page and the manifest."""
    with _only(CsvFiles, PageFile):
        yield


def only_csv() -> AbstractContextManager[None]:
    """As `csv_alone`, for fixtures of several tests."""
    return _only(CsvFiles)


@contextmanager
def _only(*outputs: Callable[[DailyExport], Output]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "OUTPUTS", outputs)
        yield
