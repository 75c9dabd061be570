"""A source's records in the store: complete, and of the same version as the figures."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from conftest import Home
from dashboard_scraper.model.metrics import Figures
from dashboard_scraper.model.seats import Seat
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.people.people import People
from dashboard_scraper.settings.groups import sqlite_url
from dashboard_scraper.store import LedgerDay, Store, store_at
from dashboard_scraper.store.history import Change
from dashboard_scraper.store.revising import AcceptAll, Stored

SOURCE = "copilot"
DAY = date(2026, 10, 5)
FIRST = datetime(2026, 10, 6, 3, tzinfo=UTC)
NIGHT = timedelta(days=1)
ADA, BEN = "ada@example.com", "ben"
TENANT = ""


class HoldAll(AcceptAll):
    def reason_to_hold(self, change: Change) -> str:
        return f"{change.before.users} users before"


def opened(url: str) -> Iterator[Store]:
    place = store_at(url, People())
    with place.locked(), place.opened():
        yield place


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    yield from opened(sqlite_url(home.path / "usage.db"))


@pytest.fixture
def any_store(home: Home, store_url: str) -> Iterator[Store]:
    assert home.path.is_dir()
    yield from opened(store_url)


def answer(tenant: str | None, **records: str) -> DayUsage:
    """A user's number of sessions is the length of the record without any `!` at its end."""
    users = [
        UserUsage(name, Figures(sessions=len(text.rstrip("!"))), record=text)
        for name, text in records.items()
    ]
    return DayUsage(DAY, users, record=tenant)


def put(store: Store, usage: DayUsage, night: int = 0, policy: AcceptAll | None = None) -> Stored:
    return store.put(SOURCE, usage, FIRST + night * NIGHT, policy)[0]


def records(store: Store, moment: datetime | None = None) -> dict[str, str]:
    with (store.as_of(moment) if moment else store).reading() as reader:
        return reader.records(SOURCE, DAY)


def test_records_come_back_as_they_were(store: Store) -> None:
    assert put(store, answer('{"day": 1.50}', ben='{"a":1e3,"ü":null}', ada="{}")) is Stored.FIRST
    assert records(store) == {TENANT: '{"day": 1.50}', "ada": "{}", BEN: '{"a":1e3,"ü":null}'}


def test_record_changes_without_any_figure(store: Store) -> None:
    """For example, if a source adds a field to past records."""
    put(store, answer("t", ben="{}", ada="{}"))
    assert put(store, answer("u", ben="{}!"), night=0) is Stored.REVISED
    assert put(store, answer("u", ben="{}!!"), night=1) is Stored.SAME
    assert records(store) == {TENANT: "u", BEN: "{}!!"}


def test_earlier_version_has_its_own_records(store: Store) -> None:
    put(store, answer("t", ben="1", ada="1"))
    put(store, answer("t", ben="22"), night=1)
    assert put(store, answer("u", ben="22!"), night=2) is Stored.SAME
    assert records(store, FIRST) == {TENANT: "t", "ada": "1", BEN: "1"}
    assert records(store, FIRST + 2 * NIGHT) == {TENANT: "u", BEN: "22!"}


def test_held_record_comes_into_force_with_figures(any_store: Store) -> None:
    put(any_store, answer("t", ben="1", ada="1"))
    assert put(any_store, answer("u", ben="22"), 1, HoldAll()) is Stored.HELD
    assert records(any_store) == {TENANT: "t", "ada": "1", BEN: "1"}
    assert any_store.accept(SOURCE, DAY, FIRST + 2 * NIGHT)
    assert records(any_store) == {TENANT: "u", BEN: "22"}
    assert records(any_store, FIRST + NIGHT) == {TENANT: "t", "ada": "1", BEN: "1"}


def test_forgotten_person_is_in_no_record(store: Store) -> None:
    tenant = '{"top":"Ada@Example.com"}'
    put(store, answer(tenant, **{ADA: '{"login":"ada"}', BEN: "1"}))
    put(store, answer(tenant, **{ADA: '{"login":"ada","x":1}'}), night=1)
    store.put_seats(SOURCE, [Seat(ADA), Seat(BEN)], FIRST)
    assert store.forget(ADA)
    assert records(store) == {TENANT: '{"top":"forgotten"}'}
    assert records(store, FIRST) == {TENANT: '{"top":"forgotten"}', BEN: "1"}
    with store.reading() as reader:
        assert [row.seat.user for row in reader.seats(SOURCE)] == [BEN]


@pytest.mark.parametrize(
    ("mention", "left"),
    [
        ("Seen by Ada@Example.com.", "Seen by forgotten."),
        ("'ada@example.com'", "'forgotten'"),
        ("*ada@example.com*, nada@example.com", "*forgotten*, nada@example.com"),
        ("mailto:ada@example.com?subject=x", "mailto:forgotten?subject=x"),
        ("/u?id=ada%40example.com&x=1.50", "/u?id=forgotten&x=1.50"),
        ("one\\nada@example.com\\tx", "one\\nforgotten\\tx"),
        ("ada\\u0040example.com", "forgotten"),
        ("\\ud83d ada@example.com", "\\ud83d forgotten"),
    ],
)
def test_mention_of_forgotten_person_is_in_no_record(store: Store, mention: str, left: str) -> None:
    put(store, answer(f'{{"a":1.50,"top":"{mention}"}}', **{ADA: "{}", BEN: "1"}))
    assert store.forget(ADA)
    assert records(store) == {TENANT: f'{{"a":1.50,"top":"{left}"}}', BEN: "1"}


def test_seat_that_is_gone_stays_known(any_store: Store) -> None:
    """Sources leave removed people out: only what was fetched while they had a seat is known."""
    before = Seat(ADA, "business", date(2026, 1, 5), FIRST - NIGHT)
    any_store.put_seats(SOURCE, [before, Seat(BEN)], FIRST)
    any_store.put_seats(SOURCE, [Seat(BEN, ends_on=DAY)], FIRST + NIGHT)
    with any_store.reading() as reader:
        assert reader.seats_fetched_at(SOURCE) == FIRST + NIGHT
        gone, there = reader.seats(SOURCE)
    assert (gone.seat, gone.current, gone.fetched_at) == (before, False, FIRST)
    assert (there.seat, there.current) == (Seat(BEN, ends_on=DAY), True)
    assert (there.first_fetched_at, there.fetched_at) == (FIRST, FIRST + NIGHT)


def test_no_seats_is_not_unknown_seats(store: Store) -> None:
    with store.reading() as reader:
        assert (reader.seats(SOURCE), reader.seats_fetched_at(SOURCE)) == ([], None)
    store.put_seats(SOURCE, [], FIRST)
    with store.reading() as reader:
        assert (reader.seats(SOURCE), reader.seats_fetched_at(SOURCE)) == ([], FIRST)


def test_active_is_what_the_source_says(store: Store) -> None:
    """If a source lacks figures, the unknown ones do not make everybody active."""
    users = [UserUsage(name, Figures(active_days=days)) for name, days in ((ADA, 1), (BEN, 0))]
    put(store, DayUsage(DAY, users))
    with store.reading() as reader:
        row: LedgerDay = reader.ledger(SOURCE)[DAY]
        active = reader.people(SOURCE)[DAY].active
        assert (row.users, row.active_users, reader.names_of(active)) == (2, 1, [ADA])
        assert reader.damaged_days(SOURCE) == []
