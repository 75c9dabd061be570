"""Sums that another connection adds up: they belong to the reader's snapshot, or there are none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from conftest import Home
from dashboard_scraper.cli.wiring import audience_of, report_options
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import MESSAGES
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.report.render import page_of
from dashboard_scraper.report.sums_beside import sums_beside
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import LedgerDay, Reader, Store, store_at
from made_up_days import FETCHED, LAST, MONTH, figures_of, store_days, user_days, users
from stored_days import settings_of

MANY = users(10_000)


@pytest.fixture
def store(store_url: str) -> Store:
    """A store with one day, with enough people to make another connection worthwhile."""
    found = store_at(store_url)
    with found.locked(), found.opened():
        found.put(DASHBOARD, DayUsage(LAST, user_days(MANY, LAST), {}), FETCHED)
    return found


def rows_of(reader: Reader) -> list[LedgerDay]:
    return [*reader.ledger(DASHBOARD, MONTH).values()]


@pytest.mark.slow
def test_sums_are_those_of_the_reader(store: Store) -> None:
    with store.reading() as reader:
        rows = rows_of(reader)
        later = sums_beside(store, reader, DASHBOARD, rows, [MESSAGES], service_accounts=True)
        expected = reader.sums_by_user(DASHBOARD, [LAST], [MESSAGES], service_accounts=True)
        assert later() == expected
    assert len(expected) > 1_000


def _revise(store: Store) -> None:
    people = [UserUsage(MANY[0], figures_of({"chat_messages": 1})), *user_days(MANY, LAST)[1:]]
    store.put(DASHBOARD, DayUsage(LAST, people, {}), FETCHED + timedelta(hours=1))


def _forget(store: Store) -> None:
    store.forget(MANY[0])


@pytest.mark.parametrize(
    ("store_url", "change"),
    [("sqlite", _revise), ("postgresql", _forget)],
    indirect=["store_url"],
)
@pytest.mark.slow
def test_no_sums_of_what_the_reader_does_not_see(
    store: Store, change: Callable[[Store], object]
) -> None:
    """If something was written after the reader's snapshot, the reader adds up itself."""
    with store.reading() as reader:
        rows = rows_of(reader)
        with store.locked(), store.opened():
            change(store)
        later = sums_beside(store, reader, DASHBOARD, rows, [MESSAGES], service_accounts=True)
        assert later() is None


@pytest.mark.slow
def test_page_is_the_same_with_these_sums(home: Home) -> None:
    """The command reads over two connections, and the page made from one reader over one."""
    store_days(home, MANY, Window(LAST - timedelta(days=1), LAST))
    assert home.run("report", f"{LAST}", f"{LAST}").code == 0
    settings = settings_of(home)
    window, audience, options = Window(LAST, LAST), audience_of(settings), report_options(settings)
    with store_at(settings.store_url).reading() as reader:
        alone = page_of(reader, [DASHBOARD], window, audience, options)
    assert (home.data / "report.html").read_bytes() == alone
