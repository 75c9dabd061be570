"""The store on either database: what is stored is read back exactly, in whole days."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from conftest import Home, today, yesterday
from dashboard_scraper.errors import ContractBroken, StoreFailed
from dashboard_scraper.model.dates import EARLIEST, Window
from dashboard_scraper.model.figures import NOTHING_KNOWN, of_counts
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.metrics import (
    COUNTS,
    MAX_COUNT,
    METRICS,
    TOTALS,
    Figures,
    Kind,
    Totals,
)
from dashboard_scraper.model.usage import DayUsage, TenantFigure, UserUsage
from dashboard_scraper.simulator import Simulator
from dashboard_scraper.sources.dashboard.fields import MONTHLY_ACTIVE_USERS, TENANT_TOTALS
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.store import LedgerDay, Status, Store, store_at
from dashboard_scraper.store.schema import DAY_LEDGER, USER_DAY
from databases import on_sqlite

SOURCE = "dashboard"
DAY = date(2024, 2, 29)
FETCHED = datetime(2024, 3, 10, 1, 2, 3, 456789, UTC)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A store that is open for writing."""
    store = store_at(store_url)
    with store.locked(), store.opened():
        yield store


def figures(**values: Any) -> Figures:
    """Figures with these values by kind, such as `count=3`; kinds not given are unknown."""
    return Figures(**{metric.name: values.get(metric.kind.value) for metric in METRICS})


def user(name: str, count: int | None = 1, **extra: Cell) -> UserUsage:
    return UserUsage(name, figures(count=count), extra)


def stored(
    store: Store, day: date = DAY, source: str = SOURCE
) -> tuple[LedgerDay, list[UserUsage]]:
    with store.reading() as reader:
        row = reader.ledger(source)[day]
        return row, reader.day(row).users


def put(store: Store, *users: UserUsage, day: date = DAY, source: str = SOURCE) -> LedgerDay | None:
    return store.put(source, DayUsage(day, list(users)), FETCHED)[1]


def exact(users: Sequence[UserUsage]) -> list[str]:
    """In a form in which 1 equals neither True nor 1.0."""
    return [repr(each) for each in sorted(users, key=lambda each: each.user)]


def query(url: str, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows, as a program that knows only SQL sees them."""
    connect: Any = psycopg.connect
    if url.startswith("sqlite"):
        connect, url = sqlite3.connect, url.removeprefix("sqlite:///")
    with contextlib.closing(connect(url)) as connection:
        cursor = connection.execute(sql)
        return [column[0] for column in cursor.description], cursor.fetchall()


SEEN = datetime(2024, 2, 29, 23, 59, 59, 999999, UTC)


VALUES: list[dict[str, object]] = [
    {},
    {"count": 0, "days": 0, "percent": 0.0},
    {"count": MAX_COUNT, "days": MAX_COUNT, "percent": 100.0, "moment": SEEN},
    {"count": 1, "days": 2, "percent": 33.33333333333333, "moment": SEEN.replace(microsecond=0)},
    {"percent": 0.1 + 0.2, "moment": datetime(2015, 1, 1, 0, 0, 0, 1, UTC)},
]


def test_figures_of_every_kind_come_back_exactly(store: Store) -> None:
    users = [UserUsage(f"{number}", figures(**values)) for number, values in enumerate(VALUES)]
    put(store, *users)
    assert exact(stored(store)[1]) == exact(users)


def test_each_figure_has_its_own_column(store: Store) -> None:
    samples: dict[Kind, object] = {Kind.PERCENT: 1.5, Kind.MOMENT: SEEN}
    known = [
        replace(NOTHING_KNOWN, **{metric.name: samples.get(metric.kind, 7)}) for metric in METRICS
    ]
    put(store, *(UserUsage(f"{number:02}", one) for number, one in enumerate(known)))
    assert [each.figures for each in stored(store)[1]] == known


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Kiritimati"])
def test_timestamps_come_back_in_utc(
    store_url: str, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("PGTZ", zone)
    monkeypatch.setenv("TZ", zone)
    moments = [SEEN, EARLIEST, datetime.max.replace(tzinfo=UTC)]
    users = [UserUsage(f"{n}", figures(moment=moment)) for n, moment in enumerate(moments)]
    store = store_at(store_url)
    with store.locked(), store.opened():
        put(store, *users)
    assert exact(stored(store)[1]) == exact(users)


AWKWARD_NAMES = [
    "Z@example.com",
    "a@example.com",
    "\u00e9lo\u00efse@example.com",
    "\u03b1\u03b2\u03b3@example.com",
    "\ufffd@example.com",
    "\U0001f600@example.com",
    'o\'hara,"x";--@example.com',
    "two\nlines",
    "two\n\\.\nlines",
    "tab\t and space ",
    "\\.",
    "\\N",
    "NULL",
    '"',
    '""',
    "\ufeffmark",
]


def test_awkward_addresses_come_back_in_code_point_order(store: Store) -> None:
    users = [user(name, number) for number, name in enumerate(AWKWARD_NAMES)]
    put(store, *reversed(users))
    names = [each.user for each in stored(store)[1]]
    assert names == sorted(AWKWARD_NAMES)
    assert exact(stored(store)[1]) == exact(users)
    with store.reading() as reader:
        assert sorted(reader.users(SOURCE, Window(DAY, DAY))) == sorted(AWKWARD_NAMES)


def test_address_with_carriage_return_comes_back(store: Store) -> None:
    put(store, user("two\rlines"), user("dos\r\n"))
    assert [each.user for each in stored(store)[1]] == ["dos\r\n", "two\rlines"]


EXTRAS: dict[str, Cell] = {
    "int": -7,
    "largest": 2**63 - 1,
    "twenty digits": "12345678901234567890",
    "float": 0.1 + 0.2,
    "whole float": 1.0,
    "tiny": 5e-324,
    "huge": 1.7976931348623157e308,
    "true": True,
    "false": False,
    "null": None,
    "empty": "",
    "NUL": "a\0b",
    "na\0me": "NULL",
    "\u00e9": "\U0001f600\u2028",
    "quotes": "'\"`\\",
    "lines": "one\r\ntwo,\\.\n\\N",
}


def test_unknown_fields_come_back_with_their_types(store: Store) -> None:
    users = [user("ada@example.com", 1, **EXTRAS), user("ben@example.com", 1, one="1")]
    put(store, *users, user("cleo@example.com"))
    assert exact(stored(store)[1]) == exact([*users, user("cleo@example.com")])


_text = st.text(st.characters(codec="utf-8"), max_size=12)
_values: dict[Kind, st.SearchStrategy[object]] = {
    Kind.COUNT: st.integers(0, MAX_COUNT),
    Kind.DAYS: st.integers(0, MAX_COUNT),
    Kind.PERCENT: st.floats(0, 100),
    Kind.MOMENT: st.integers(0, 10**17).map(lambda n: EARLIEST + timedelta(microseconds=n)),
}
_cells: st.SearchStrategy[Cell] = st.one_of(
    _text,
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)
_users = st.lists(
    st.builds(
        UserUsage,
        st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=12),
        st.builds(Figures, **{each.name: st.none() | _values[each.kind] for each in METRICS}),
        st.dictionaries(_text, _cells, max_size=3),
    ),
    unique_by=lambda each: each.user,
    max_size=6,
)


@pytest.mark.slow
def test_any_users_come_back_exactly(store: Store) -> None:
    @settings(max_examples=12, deadline=None)
    @given(_users)
    def round_trip(users: list[UserUsage]) -> None:
        put(store, *users)
        row, found = stored(store)
        assert exact(found) == exact(users)
        assert row.users == len(users)

    round_trip()


def totals_of(*values: int) -> Totals:
    """The tenant's figures, in the order of the totals' names."""
    return dict(zip(TENANT_TOTALS.values(), values, strict=True))


def test_ledger_has_time_number_and_sums(store: Store) -> None:
    offset = timezone(timedelta(hours=-3, minutes=-30))
    totals = totals_of(MAX_COUNT * 2, 3, 4)
    users = [user("ada@example.com", MAX_COUNT), user("ben@example.com", 0)]
    assert store.put(SOURCE, DayUsage(DAY, users, totals), FETCHED.astimezone(offset))[1] is None
    row, _ = stored(store)
    assert (row.source, row.day, row.status) == (SOURCE, DAY, Status.COMPLETE)
    assert (row.fetched_at, row.fetched_at.tzinfo) == (FETCHED, UTC)
    assert (row.users, row.active_users, row.forgotten) == (2, 1, 0)
    assert row.sums == of_counts([MAX_COUNT] * len(COUNTS))
    assert row.totals == totals
    assert [each.metric for each in row.unreconciled] == sorted(
        totals, key=[total.name for total in TOTALS].index
    )


@on_sqlite
@pytest.mark.parametrize("users", [[], [user("ada@example.com", 0)]])
def test_day_without_activity_is_empty(store: Store, users: list[UserUsage]) -> None:
    """Without any users, a metric that the source never has stays unknown, as it is for users."""
    put(store, *users)
    row, found = stored(store)
    assert (row.status, row.active_users, row.totals) == (Status.EMPTY, 0, None)
    known = COUNTS if users else info_of(SOURCE).metrics
    assert all(row.sums[metric] == (0 if metric in known else None) for metric in COUNTS)
    assert found == users


def test_sum_with_unknown_part_is_unknown(store: Store) -> None:
    """Each metric is unknown on other days than all others, so that no two can be mixed up."""
    for bit in range(len(COUNTS).bit_length()):
        unknown = {
            metric.name: None for number, metric in enumerate(COUNTS, 1) if number >> bit & 1
        }
        lacking = replace(figures(count=2), **unknown)
        put(store, UserUsage("ada@example.com", lacking), user("ben@example.com", 2))
        assert stored(store)[0].sums == replace(figures(count=4), **unknown)


@on_sqlite
def test_second_put_replaces_the_day(store: Store) -> None:
    put(store, user("ada@example.com", 1), user("gone@example.com", 2))
    first, _ = stored(store)
    put(store, user("other@example.com", 5), day=DAY + timedelta(1))
    later = FETCHED + timedelta(days=1)
    new = [user("ada@example.com", 3), user("new@example.com", None)]
    assert store.put(SOURCE, DayUsage(DAY, new, totals_of(1, 2, 3)), later)[1] == first
    row, users = stored(store)
    assert users == new
    assert (row.users, row.fetched_at, row.totals) == (2, later, totals_of(1, 2, 3))
    assert row.sums == NOTHING_KNOWN
    assert [each.user for each in stored(store, DAY + timedelta(1))[1]] == ["other@example.com"]
    with store.reading() as reader:
        assert list(reader.ledger(SOURCE)) == [DAY, DAY + timedelta(1)]
        assert "gone@example.com" not in reader.users(SOURCE, Window(DAY, DAY))


@on_sqlite
def test_two_sources_do_not_mix(store: Store, store_url: str) -> None:
    one, other = user("ada@example.com", 1), user("ada@example.com", 9)
    put(store, one, source="a source")
    assert put(store, other, user("ben@example.com"), source="b") is None
    put(store, other, source="b")
    assert stored(store, source="a source")[1] == [one]
    assert stored(store, source="b")[1] == [other]
    figure = TenantFigure(Window(DAY, DAY), next(iter(TENANT_TOTALS)), 1)
    store.put_tenant_figures("a source", [figure], FETCHED)
    store.put_success("b", FETCHED)
    assert query(store_url, "SELECT source, value FROM tenant_figure")[1] == [("a source", "1")]
    with store.reading() as reader:
        assert reader.sources() == ["a source", "b"]
        assert reader.ledger(SOURCE) == {}
        assert (reader.last_success("a source"), reader.last_success("b")) == (None, FETCHED)


def test_fetches_are_sorted_by_source(store: Store) -> None:
    """PostgreSQL used to sort differently, and so did the state of the Singer tap."""
    for source in ("cursor", "analytics", "dashboard", "claude_code", "copilot"):
        put(store, source=source)
    with store.reading() as reader:
        assert [*reader.fetches()] == sorted(reader.fetches())


@pytest.mark.slow
def test_puts_from_many_threads_are_all_stored(store: Store) -> None:
    days = [DAY + timedelta(number) for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda day: put(store, user(f"{day}@example.com"), day=day), days))
    for day in days:
        assert [each.user for each in stored(store, day)[1]] == [f"{day}@example.com"]


class Breaking(list[UserUsage]):
    """Users that can be read five times, and then raise an error after the first half; the last of
    the five readings is made after names were inserted.
    """

    reads = 0

    def __iter__(self) -> Iterator[UserUsage]:
        self.reads += 1
        for number, each in enumerate(super().__iter__()):
            if self.reads > 5 and number > len(self) // 2:
                raise ZeroDivisionError
            yield each


MANY = 5000


def many(last: str) -> list[UserUsage]:
    nine = figures(count=9)
    return [UserUsage(f"{number}@example.com", nine) for number in range(MANY)] + [user(last)]


@pytest.mark.parametrize(
    ("users", "error"),
    [
        pytest.param(Breaking(many("z@example.com")), ZeroDivisionError, id="error"),
        pytest.param(many("z\0@example.com"), ContractBroken, id="NUL"),
        pytest.param(many("1@example.com"), ContractBroken, id="twice"),
    ],
)
@pytest.mark.slow
def test_failed_put_changes_nothing(
    store: Store, users: list[UserUsage], error: type[Exception]
) -> None:
    put(store, user("ada@example.com"), user("ben@example.com"))
    before = stored(store)
    if isinstance(users, Breaking):
        users.reads = 0
    with pytest.raises(error):
        store.put(SOURCE, DayUsage(DAY, users), FETCHED + timedelta(1))
    assert stored(store) == before
    put(store, user("new@example.com"))
    assert [each.user for each in stored(store)[1]] == ["new@example.com"]


def test_reader_sees_a_consistent_snapshot(store: Store) -> None:
    put(store, user("ada@example.com", 1))
    next_day = DAY + timedelta(1)
    with store.reading() as reader:
        before = reader.ledger(SOURCE)
        put(store, user("ada@example.com", 2), user("ben@example.com", 2))
        put(store, user("cleo@example.com"), day=next_day)
        assert reader.ledger(SOURCE) == before
        assert reader.day(before[DAY]).users == [user("ada@example.com", 1)]
        assert reader.users(SOURCE, Window(DAY, next_day)) == ["ada@example.com"]
    assert len(stored(store)[1]) == 2
    assert len(stored(store, next_day)[1]) == 1


def test_writing_requires_lock_and_open_store(store_url: str) -> None:
    store = store_at(store_url)
    with pytest.raises(StoreFailed, match="closed"):
        put(store, user("ada@example.com"))
    with store.locked(), store.opened():
        put(store, user("ada@example.com", 1))
    with pytest.raises(StoreFailed, match="closed"):
        put(store, user("ada@example.com", 2))
    assert stored(store)[1] == [user("ada@example.com", 1)]


ARBITRARY_TENANT_VALUES: list[Cell] = [0, MAX_COUNT, 10**30, 1.0, -0.5, True, None, "", 'a\0b,"\n']


@pytest.mark.slow
def test_tenants_figures_are_upserted_one_by_one(store: Store, store_url: str) -> None:
    week = Window(DAY - timedelta(6), DAY)
    figures = [
        TenantFigure(week, f"metric {number}", value)
        for number, value in enumerate(ARBITRARY_TENANT_VALUES)
    ]
    day = TenantFigure(Window(DAY, DAY), figures[0].metric, 5)
    store.put_tenant_figures(SOURCE, [day, *figures], FETCHED)
    assert tenant_figures(store_url) == [
        (f"{each.window.start}", f"{each.window.end}", each.metric, repr(each.value))
        for each in [*figures, day]
    ]
    store.put_tenant_figures(SOURCE, [TenantFigure(week, figures[1].metric, 7)], FETCHED)
    values = [value for *_, value in tenant_figures(store_url)]
    assert values == [repr(value) for value in (0, 7, *ARBITRARY_TENANT_VALUES[2:], 5)]


def tenant_figures(url: str) -> list[tuple[str, str, str, str]]:
    """Period, metric and value of each of the tenant's figures, oldest first."""
    _, rows = query(
        url,
        "SELECT start_day, end_day, metric, value FROM tenant_figure"
        " ORDER BY start_day, end_day, metric",
    )
    return [(f"{row[0]}", f"{row[1]}", row[2], repr(json.loads(row[3]))) for row in rows]


def test_views_have_the_documented_columns(store: Store, store_url: str) -> None:
    users = [UserUsage("ada@example.com", figures(count=3, moment=SEEN)), user("ben@example.com")]
    store.put(SOURCE, DayUsage(DAY, users, totals_of(1, 2, 3)), FETCHED)
    columns, rows = query(store_url, "SELECT * FROM user_days ORDER BY user_login")
    assert columns == [*(column.name for column in USER_DAY.c), "person"]
    assert columns == [
        "source",
        "day",
        "user_login",
        *(m.name for m in METRICS),
        "extra",
        "service_account",
        "person",
    ]
    ada = dict(zip(columns, rows[0], strict=True))
    sqlite = store_url.startswith("sqlite")
    assert (ada["source"], ada["day"]) == (SOURCE, "2024-02-29" if sqlite else DAY)
    assert [ada[metric.name] for metric in COUNTS] == [3] * len(COUNTS)
    assert ada["acceptance_rate"] is None
    assert ada["last_seen"] == (SEEN.isoformat().replace("+00:00", "Z") if sqlite else SEEN)
    columns, ((*row,),) = query(store_url, "SELECT * FROM daily_totals")
    assert columns == [column.name for column in DAY_LEDGER.c]
    day = dict(zip(columns, row, strict=True))
    assert (day["day"], day["status"]) == (ada["day"], "complete")
    assert [day[metric.name] for metric in COUNTS] == [4] * len(COUNTS)
    known = {total.name: day[total.column] for total in TOTALS if day[total.column] is not None}
    assert known == totals_of(1, 2, 3)
    in_words = f"SELECT SUM({COUNTS[0].name}) FROM user_days WHERE day = '2024-02-29'"
    assert query(store_url, in_words)[1] == [(4,)]


def test_file_is_in_wal_mode_with_lock_beside_it(home: Home) -> None:
    url = f"sqlite:///{home.data / 'usage.db'}"
    store = store_at(url)
    with store.locked(), store.opened():
        put(store, user("ada@example.com"))
    assert query(url, "PRAGMA journal_mode")[1] == [("wal",)]
    assert {p.name for p in home.data.iterdir()} <= {"usage.db", "usage.db.lock"}


@pytest.mark.slow
def test_range_stores_tenants_figures_only(home: Home, sim: Simulator, store_url: str) -> None:
    day, range_ = yesterday() - timedelta(9), Window(yesterday() - timedelta(7), yesterday())
    for words in ([f"{day}"], [f"{range_.start}", f"{range_.end}"], [f"{today()}"]):
        result = home.run(*words)
        assert result.code == 0, result.err
    totals = sim.organization.totals(Window(day, day))
    with store_at(store_url).reading() as reader:
        ledger = reader.ledger(SOURCE)
        users = reader.day(ledger[day]).users
    assert list(ledger) == [day]
    assert sum(map(bool, (ledger[day].totals, users))) == 2
    people = [m for m in sim.organization.people if m.belongs(day, day)]
    assert [each.user for each in users] == sorted(m.name for m in people)
    active = sum(index < len(sim.organization.people) for index in totals)
    assert ledger[day].active_users == active
    assert ledger[day].unreconciled == []
    metrics = sorted([*TENANT_TOTALS, MONTHLY_ACTIVE_USERS])
    windows = [Window(day, day)] * len(metrics) + [range_] * len(metrics)
    periods = [(f"{each.start}", f"{each.end}") for each in windows]
    figures = tenant_figures(store_url)
    assert [(start, end) for start, end, *_ in figures] == periods
    assert [metric for _, _, metric, _ in figures] == metrics * 2
