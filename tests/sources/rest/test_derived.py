"""A value on which nothing depends may be odd for one user: it is unknown; nothing else is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from both_sources import WINDOW, analytics, dashboard, users_of
from conftest import Home, Start, warnings
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.metrics import FIRST_SEEN, LAST_SEEN, METRICS, Kind
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.simulator import Fault, Request, Simulator, add_field, set_value
from dashboard_scraper.simulator.exchange import Answer
from dashboard_scraper.simulator.faults import Effect
from dashboard_scraper.sources.dashboard.fields import FIELDS
from dashboard_scraper.store import store_at
from databases import on_sqlite
from stored_days import backfill, sql, stored_users

RATE = next(metric for metric in METRICS if metric.kind is Kind.PERCENT)
DAYS = next(metric for metric in METRICS if metric.kind is Kind.DAYS)
COUNT = next(metric for metric in METRICS if metric.kind is Kind.COUNT)
USERS, TENANT, ACTIVITY = "user-feature-stats", "tenant-feature-stats", "user-activity"
Log = pytest.LogCaptureFixture

SOON = datetime.now(UTC) + timedelta(days=2)
ODD: dict[str, tuple[str, object]] = {
    "rate above 100": (FIELDS[RATE], 100.5),
    "negative rate": (FIELDS[RATE], -0.5),
    "rate as text": (FIELDS[RATE], "40%"),
    "rate as boolean": (FIELDS[RATE], True),
    "rate as list": (FIELDS[RATE], [40]),
    "infinite rate as text": (FIELDS[RATE], "Infinity"),
    "naive moment": (FIELDS[FIRST_SEEN], "2025-10-21T16:02:11"),
    "moment as number": (FIELDS[LAST_SEEN], 1761062531),
    "no such day": (FIELDS[LAST_SEEN], "2025-02-31T00:00:00Z"),
    "before assistants": (FIELDS[FIRST_SEEN], "2001-01-01T00:00:00Z"),
    "the epoch, elsewhere": (FIELDS[FIRST_SEEN], "1969-12-31T19:00:00-05:00"),
    "in the future": (FIELDS[LAST_SEEN], SOON.isoformat()),
    "negative days": (FIELDS[DAYS], -1),
    "days with a fraction": (FIELDS[DAYS], 1.5),
    "days as text": (FIELDS[DAYS], "1"),
    "days as boolean": (FIELDS[DAYS], True),
    "too many days": (FIELDS[DAYS], 2**70),
}
SPELLED = ["", " ", "N/A", "n/a", "null", "None", "-", "--", "never", "Unknown", "0", "NaN"]
SENTINELS = [
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "0001-01-01",
    "1900-01-01T00:00:00Z",
    "1970-01-01T00:00:00Z",
    "1970-01-01T00:00:00.000+00:00",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T00:00:00-08:00",
]


def name_of(field: str) -> str:
    """The name of a figure, given by the dashboard's name or by ours."""
    return next((metric.name for metric, each in FIELDS.items() if each == field), field)


def without(users: list[UserUsage], which: int, *fields: str) -> list[UserUsage]:
    """The users, with these figures of one of them unknown."""
    one = users[which]
    figures = structs.replace(one.figures, **dict.fromkeys(map(name_of, fields)))
    changed = structs.replace(one, figures=figures)
    return [changed if i == which else user for i, user in enumerate(users)]


@pytest.fixture
def users(home: Home, sim: Simulator) -> list[UserUsage]:
    """All users of the day, without any fault. They are sorted, as the simulator sends them."""
    home.settings["MAX_RETRIES"] = "0"
    found = users_of(home)
    assert sim.count() == 1
    assert len(found) > 3
    return found


def by_name(home: Home, users: list[UserUsage], sim: Simulator) -> int:
    """The index, among the sorted users, of the answer's fourth record."""
    seen: list[str] = []

    def note(answer: Answer, _request: Request) -> Answer:
        seen.append(json.loads(answer.body)["userFeatureStats"][3]["userEmail"])
        return answer

    sim.add_fault(Fault(note, USERS, times=1))
    users_of(home)
    return [user.user for user in users].index(seen[0])


@pytest.mark.slow
def test_odd_value_of_one_user_is_unknown(
    home: Home, sim: Simulator, users: list[UserUsage], caplog: Log
) -> None:
    which = by_name(home, users, sim)
    for name, (field, value) in ODD.items():
        sim.clear_faults()
        caplog.clear()
        sim.add_fault(Fault(set_value(field, value, record=3), USERS))
        assert users_of(home) == without(users, which, field), name
        (warning,) = warnings(caplog)
        assert warning.startswith(f"{field}: 1 value is implausible, such as "), name
        assert "@" not in warning


@pytest.mark.slow
def test_spelling_of_unknown_has_no_warning(
    home: Home, sim: Simulator, users: list[UserUsage], caplog: Log
) -> None:
    which = by_name(home, users, sim)
    moments = [(FIELDS[m], text) for m in (FIRST_SEEN, LAST_SEEN) for text in SENTINELS + SPELLED]
    for field, text in [*moments, *((FIELDS[RATE], text) for text in SPELLED)]:
        sim.clear_faults()
        sim.add_fault(Fault(set_value(field, text, record=3), USERS))
        assert users_of(home) == without(users, which, field), (field, text)
    assert warnings(caplog) == []


@pytest.mark.slow
def test_spelled_unknown_is_no_count(home: Home, sim: Simulator, users: list[UserUsage]) -> None:
    for text in SPELLED:
        sim.clear_faults()
        sim.add_fault(Fault(set_value(FIELDS[COUNT], text, record=3), USERS))
        with pytest.raises(ContractBroken, match=f"record 4.*{FIELDS[COUNT]}"):
            users_of(home)
    assert users


def bare(field: str, text: bytes) -> Effect:
    """A number that JSON does not allow, in the fourth record."""

    def effect(answer: Answer, request: Request) -> Answer:
        answer = set_value(field, "PLACE", record=3)(answer, request)
        return replace(answer, body=answer.body.replace(b'"PLACE"', text))

    return effect


@pytest.mark.parametrize("text", [b"NaN", b"-Infinity", b"1e999"])
def test_invalid_number_is_an_unknown_rate(
    home: Home, sim: Simulator, users: list[UserUsage], text: bytes
) -> None:
    """Also if a name looks like such a number."""
    which = by_name(home, users, sim)
    sim.add_fault(Fault(bare(FIELDS[RATE], text), USERS))
    assert users_of(home) == without(users, which, FIELDS[RATE])
    sim.clear_faults()
    sim.add_fault(Fault(add_field("note", 'a ":NaN,', record=2), USERS))
    sim.add_fault(Fault(bare(FIELDS[RATE], text), USERS))
    assert [u.extra.get("note") for u in users_of(home)].count('a ":NaN,') == 1
    sim.clear_faults()
    sim.add_fault(Fault(bare(FIELDS[COUNT], text), USERS))
    with pytest.raises(ContractBroken, match=FIELDS[COUNT]):
        users_of(home)


def test_odd_values_have_one_warning_per_field(
    home: Home, sim: Simulator, users: list[UserUsage], caplog: Log
) -> None:
    home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
    sim.add_fault(Fault(set_value(FIELDS[RATE], 250), USERS))
    sim.add_fault(Fault(set_value(FIELDS[LAST_SEEN], "ada@example.com", record=0), USERS))
    last = WINDOW.end
    backfill(home, last - timedelta(2), last, datetime.now(UTC))
    warned = [line for line in warnings(caplog) if "implausible, such as" in line]
    assert sorted(warned) == [
        f"{FIELDS[RATE]}: {3 * len(users)} values are implausible, such as '250';"
        " stored as unknown",
        f"{FIELDS[LAST_SEEN]}: 3 values are implausible, such as a text with an address;"
        " stored as unknown",
    ]
    assert len(stored_users(home)[last]) == len(users)


def test_last_seen_before_first_seen_is_unknown(
    home: Home, sim: Simulator, users: list[UserUsage], caplog: Log
) -> None:
    """Within a day, the order may be due to rounding."""
    which = by_name(home, users, sim)
    sim.add_fault(Fault(set_value(FIELDS[FIRST_SEEN], "2025-10-21T10:00:00.5Z", 3), USERS))
    sim.add_fault(Fault(set_value(FIELDS[LAST_SEEN], "2025-10-21T10:00:00Z", 3), USERS))
    assert users_of(home)[which].figures.first_seen is not None
    assert warnings(caplog) == []
    sim.add_fault(Fault(set_value(FIELDS[LAST_SEEN], "2025-10-20T23:00:00Z", 3), USERS))
    both = (FIELDS[FIRST_SEEN], FIELDS[LAST_SEEN])
    assert users_of(home) == without(users, which, *both)
    (warning,) = warnings(caplog)
    assert "2025-10-20" in warning
    assert "before 2025-10-21" in warning


def test_moments_are_in_utc_whatever_their_offset(
    home: Home, sim: Simulator, users: list[UserUsage]
) -> None:
    which = by_name(home, users, sim)
    sim.add_fault(Fault(set_value(FIELDS[LAST_SEEN], "2025-10-22T01:00:00+05:00", 3), USERS))
    sim.add_fault(Fault(set_value(FIELDS[FIRST_SEEN], "2025-01-01T00:00:00Z", 3), USERS))
    last = users_of(home)[which].figures.last_seen
    assert last == datetime(2025, 10, 21, 20, tzinfo=UTC)
    assert isinstance(last, datetime)
    assert last.tzinfo is UTC


def test_unknown_field_with_a_taken_name_is_left_out(
    home: Home, sim: Simulator, users: list[UserUsage], caplog: Log
) -> None:
    """Nothing depends on such a field, so the day is not lost."""
    sim.add_fault(Fault(add_field(COUNT.title, 1, 0), USERS))
    sim.add_fault(Fault(add_field("a", {"b": 2, "c": 3}, 1), USERS))
    sim.add_fault(Fault(add_field("a.b", 1, 1), USERS))
    found = users_of(home)
    assert [user.figures for user in found] == [user.figures for user in users]
    assert [user.extra for user in found if user.extra] == [{"a.c": 3}]
    (left_out,) = (line for line in warnings(caplog) if "left out" in line)
    assert f"{COUNT.title}, a.b (2)" in left_out


ODD_DAYS: list[Any] = [-1, 1.5, 5.0, True, "5", None, [5], {}, 2**70]


@pytest.mark.slow
def test_odd_active_days_of_analytics_are_unknown(
    home: Home, start_api: Start, caplog: Log
) -> None:
    home.settings["MAX_RETRIES"] = "0"
    sim = start_api()

    def users() -> list[UserUsage]:
        with analytics(home) as source:
            return source.fetch_users(WINDOW)

    expected = users()
    for value in ODD_DAYS:
        sim.clear_faults()
        caplog.clear()
        sim.add_fault(Fault(set_value(DAYS.name, value), ACTIVITY))
        found = users()
        assert {user.figures.active_days for user in found} == {None}, value
        for i, user in enumerate(expected):
            assert without([user], 0, DAYS.name) == without([found[i]], 0, DAYS.name)
        warned = warnings(caplog)
        assert len(warned) == (value is not None), value
        assert all(f"{DAYS.name}: {len(found)} value" in line for line in warned)


@on_sqlite
def test_stored_sentinel_is_unknown_everywhere(home: Home, start: Start, store_url: str) -> None:
    """Settled days are not fetched again, so it stays in the store, but it is never shown."""
    start()
    last = WINDOW.end
    backfill(home, last, last, datetime.now(UTC))
    sql(store_url, f"UPDATE user_day SET {FIRST_SEEN.name} = '0001-01-01T00:00:00Z'")
    sql(store_url, f"UPDATE user_day SET {LAST_SEEN.name} = '1970-01-01T00:00:00Z'")
    with store_at(store_url).reading() as reader:
        (row,) = reader.ledger("dashboard").values()
        users = reader.day(row).users
        seen = reader.known("dashboard")
    assert {(u.figures.first_seen, u.figures.last_seen) for u in users} == {(None, None)}
    assert {(each.first_seen, each.last_seen) for each in seen} == {(None, None)}


def test_no_valid_moment_is_a_blank_column(
    home: Home, sim: Simulator, users: list[UserUsage]
) -> None:
    sim.add_fault(Fault(set_value(FIELDS[FIRST_SEEN], SENTINELS[0]), USERS))
    result = home.run(f"{WINDOW.end}", "--out", "day.csv")
    assert result.code == 0, result.err
    assert f"no record has a value for {FIELDS[FIRST_SEEN]}" in result.err
    text = (home.path / "day.csv").read_text()
    assert "0001" not in text
    assert len(text.splitlines()) == len(users) + 1


def test_odd_tenant_figure_costs_no_day(home: Home, sim: Simulator, caplog: Log) -> None:
    """The day's check needs only the known figures; the period's file has those with a name."""
    effect = add_field("seats", {"paid": 9})
    sim.add_fault(Fault(effect, TENANT))
    sim.add_fault(Fault(add_field("seats.paid", 1), TENANT))
    with dashboard(home) as source:
        assert source.fetch_day(WINDOW.end).totals
        names = {figure.metric for figure in source.fetch_tenant(WINDOW)}
    assert "seats.paid" not in names
    assert any("seats.paid" in line and "left out" in line for line in warnings(caplog))
