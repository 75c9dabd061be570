"""Cursor as a source: every usage figure compared with the team's own, in every output."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from conftest import Home
from cursor_runs import (
    DAY,
    FOLDER,
    MEMBERS,
    SOUND,
    USAGE,
    ledger,
    opened,
    team_of,
    true_columns,
    true_users,
)
from dashboard_scraper.cli.fetching import fetch_daily
from dashboard_scraper.errors import NotReconciled, UsageError
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import is_active
from dashboard_scraper.simulator import Fault, Request, Simulator
from dashboard_scraper.simulator.faults import edited
from dashboard_scraper.sources.registry import CURSOR
from dashboard_scraper.store import store_at
from stored_days import NOON, TODAY, backfill, fetch, settings_of

pytestmark = pytest.mark.usefixtures("csv_alone")

WEEK = Window(SOUND - timedelta(1), SOUND + timedelta(5))


def rows_of(path: Path) -> dict[str, dict[str, str]]:
    """The rows of a CSV file, by user."""
    rows = csv.DictReader(io.StringIO(path.read_text("utf-8-sig")))
    return {row["User"]: row for row in rows}


def is_unpaged(request: Request) -> bool:
    return "page" not in request.parameters


@pytest.mark.slow
def test_csv_equals_the_truth(home: Home, cursor: Simulator) -> None:
    """Including people with two accounts, and people who left."""
    fetch(home, SOUND, DAY)
    for day in (SOUND, DAY):
        rows = rows_of(home.data / FOLDER / f"cursor_metrics_{day}.csv")
        expected = true_users(cursor, day)
        columns = true_columns(next(iter(team_of(cursor).user_days(day).values())))
        found = {name: {each: int(row[each]) for each in columns} for name, row in rows.items()}
        assert found == expected
        assert {row["Active Days"] for row in rows.values()} == {"1"}


@pytest.mark.slow
def test_parquet_equals_the_truth(home: Home, cursor: Simulator) -> None:
    fetch(home, DAY, DAY)
    result = home.run("export", f"{DAY}", f"{DAY}", "--format", "parquet")
    assert result.code == 0, result.err
    (path,) = (home.data / "parquet").glob(f"day={DAY}/*.parquet")
    table = pyarrow.parquet.read_table(path).to_pylist()
    found = {row["user_login"]: row["completions_count"] for row in table}
    truth = true_users(cursor, DAY)
    assert found == {name: columns["Completions"] for name, columns in truth.items()}


def test_unmapped_fields_are_columns(home: Home, cursor: Simulator) -> None:
    """Under Cursor's own names: an agent's requests stay apart from those of its earlier name."""
    with opened(home) as source:
        users = {user.user: user for user in source.fetch_day(DAY).users}
    days = team_of(cursor).user_days(DAY)
    active = [name for name, day in days.items() if any(day)]
    for name in active:
        extra, counts = users[name].extra, days[name]._asdict()
        for field in ("composerRequests", "agentRequests", "totalLinesAdded", "bugbotUsages"):
            assert extra[field] == counts[field]
    assert all(users[name].extra["mostUsedModel"] == "model-a" for name in active)


def test_two_accounts_of_one_address_are_one_user(home: Home, cursor: Simulator) -> None:
    team = team_of(cursor)
    one, other = (seat for seat in team.seats if seat.share != (1, 1))
    assert any(team.usage(one, DAY))
    assert any(team.usage(other, DAY))
    with opened(home) as source:
        users = [user.user for user in source.fetch_day(DAY).users]
    assert users.count(one.person.email) == 1
    assert users == sorted(set(users))


def test_count_unknown_of_one_account_is_unknown(home: Home, cursor: Simulator) -> None:
    one = next(seat for seat in team_of(cursor).seats if seat.share != (1, 1))

    def lose(body: Any, _request: Request) -> Any:
        for row in body["data"]:
            if row["userId"] == one.user_id:
                row["cmdkUsages"] = None
        return body

    cursor.add_fault(Fault(edited(lose), USAGE))
    with opened(home) as source:
        users = {user.user: user.extra for user in source.fetch_day(DAY).users}
    assert "cmdkUsages" not in users[one.person.email]
    assert "bugbotUsages" in users[one.person.email]


def test_people_who_left_stay_by_their_number(home: Home, cursor: Simulator) -> None:
    """Without an e-mail address, nobody can say who they were, and no two of them are merged."""
    team = team_of(cursor)
    left = [seat for seat in team.of_period(WEEK) if not team.is_there(seat)]
    assert left
    with opened(home) as source:
        users = {user.user for user in source.fetch_users(WEEK)}
    assert {user for user in users if "@" not in user} == {f"{seat.user_id}" for seat in left}
    assert users.isdisjoint(seat.person.email for seat in left)


def test_a_period_is_the_sum_of_its_days(home: Home, cursor: Simulator) -> None:
    with opened(home) as source:
        users = {user.user: user for user in source.fetch_users(WEEK)}
    team = team_of(cursor)
    for name, user in users.items():
        days = [day[name] for each in WEEK.days() if name in (day := team.user_days(each))]
        assert user.figures.chat_messages == sum(day.chatRequests for day in days)
        assert user.figures.active_days == sum(any(day) for day in days)
        assert user.extra["agentRequests"] == sum(day.agentRequests for day in days)
        assert "mostUsedModel" not in user.extra


def test_members_without_activity_have_no_rows(home: Home, cursor: Simulator) -> None:
    """A member with only typed lines has a row: these are no metric, but are stored."""
    days = team_of(cursor).user_days(DAY)
    idle = next(seat for seat in team_of(cursor).seats if not any(days[seat.person.email]))

    def type_lines(body: Any, _request: Request) -> Any:
        for row in body["data"]:
            if row["userId"] == idle.user_id:
                row["totalLinesAdded"] = 7
        return body

    cursor.add_fault(Fault(edited(type_lines), USAGE))
    with opened(home) as source:
        users = {user.user: user for user in source.fetch_day(DAY).users}
    active = {name for name, day in days.items() if any(day)}
    assert users.keys() == active | {idle.person.email}
    assert {name for name, user in users.items() if is_active(user.figures)} == active


def test_fetching_a_day_with_later_ones_changes_nothing(home: Home, own_cursor: Simulator) -> None:
    """A member who joined on a later day is listed, without activity, on the days before."""
    joined = max(seat.joined for seat in team_of(own_cursor).seats)
    first, last = joined - timedelta(2), joined - timedelta(1)
    fetch(home, first, last)
    alone = ledger(home)
    home.settings["SETTLE_DAYS"] = "30"
    fetch(home, first, joined, NOON + timedelta(days=1))
    together = ledger(home)
    assert [together[day].fetched_at > alone[day].fetched_at for day in alone] == [True, True]
    assert [together[day].version for day in alone] == [1, 1]
    assert [together[day].users for day in alone] == [alone[day].users for day in alone]


@pytest.mark.slow
def test_days_of_a_window_share_their_pages(home: Home, cursor: Simulator) -> None:
    """They need only as many pages as one day, and two more requests for the sums."""
    first = TODAY - timedelta(20)
    fetch(home, first, TODAY - timedelta(1))
    pages = [r.parameters for r in cursor.requests if r.endpoint == USAGE and not is_unpaged(r)]
    starts = {each["startDate"] for each in pages}
    seats = len(team_of(cursor).of_period(Window(first, TODAY)))
    assert len(starts) == 1
    assert len(pages) == -(-seats // 8)
    assert sum(map(is_unpaged, (r for r in cursor.requests if r.endpoint == USAGE))) == 2
    assert all("pageSize" in each for each in pages)


@pytest.mark.slow
def test_requests_never_exceed_thirty_days(home: Home, cursor: Simulator) -> None:
    fetch(home, TODAY - timedelta(50), TODAY - timedelta(1))
    assert {request.status for request in cursor.requests} == {200}
    assert len(ledger(home)) == 50


@pytest.mark.slow
def test_days_that_do_not_add_up_are_marked(home: Home, cursor: Simulator) -> None:
    """They are fetched once more, then stored; the sums come from the answer without pages."""

    def lower(body: dict[str, list[dict[str, int]]], _: Request) -> object:
        next(row for row in body["data"] if row["chatRequests"])["chatRequests"] -= 1
        return body

    cursor.add_fault(Fault(edited(lower), USAGE, asks=is_unpaged))
    with pytest.raises(NotReconciled, match="chat_messages"):
        fetch(home, DAY, DAY)
    assert [each.metric for each in ledger(home)[DAY].unreconciled] == ["chat_messages"]
    assert sum(map(is_unpaged, (r for r in cursor.requests if r.endpoint == USAGE))) == 2


@pytest.mark.slow
def test_active_people_are_compared_too(home: Home, cursor: Simulator) -> None:
    def lose(body: dict[str, list[dict[str, object]]], _: Request) -> object:
        body["data"] = [row for row in body["data"] if row["userId"] != idle]
        return body

    team = team_of(cursor)
    idle = next(s.user_id for s in team.seats if s.share == (1, 1) and any(team.usage(s, DAY)))
    cursor.add_fault(Fault(edited(lose), USAGE, asks=is_unpaged))
    with pytest.raises(NotReconciled):
        fetch(home, DAY, DAY)
    assert "user_count" in {each.metric for each in ledger(home)[DAY].unreconciled}


@pytest.mark.slow
def test_second_night_fetches_unsettled_days_only(home: Home, own_cursor: Simulator) -> None:
    first = TODAY - timedelta(14)
    fetch(home, first, TODAY - timedelta(1))
    own_cursor.requests.clear()
    fetch(home, first, TODAY - timedelta(1))
    asked = [r.parameters["startDate"] for r in own_cursor.requests if r.endpoint == USAGE]
    assert len(asked) == 3  # the sums of the newest days, the sums of the others, and one page


@pytest.mark.slow
def test_restated_days_are_found_by_their_sums(home: Home, own_cursor: Simulator) -> None:
    first = TODAY - timedelta(14)
    fetch(home, first, TODAY - timedelta(1))
    own_cursor.revise(DAY - timedelta(5))
    home.settings["REVISION_LIMIT"] = "100"
    fetch(home, first, TODAY - timedelta(1), NOON + timedelta(1))
    revised = DAY - timedelta(5)
    with store_at(settings_of(home).store_url).reading() as reader:
        users = reader.day(reader.ledger(CURSOR)[revised]).users
    chats = sum(day.chatRequests for day in team_of(own_cursor).user_days(revised).values())
    assert sum(user.figures.chat_messages or 0 for user in users) == chats


@pytest.mark.slow
def test_seats_are_the_members_of_now(home: Home, cursor: Simulator) -> None:
    """Without an unpaid administrator; a person with two accounts has one seat."""
    team = team_of(cursor)
    fetch(home, DAY, DAY)
    with store_at(settings_of(home).store_url).reading() as reader:
        seats = {each.seat.user for each in reader.seats(CURSOR)}
    paid = {seat.person.email for seat in team.listed() if seat.role != "free-owner"}
    assert seats == paid
    assert cursor.count(MEMBERS) == 1


@pytest.mark.slow
def test_a_seat_that_was_removed_stays_known(home: Home, own_cursor: Simulator) -> None:
    """The list of members may omit it, or mark it as removed."""

    def remove(body: dict[str, list[dict[str, object]]], _: Request) -> object:
        body["teamMembers"][-1]["isRemoved"] = True
        return body

    gone = team_of(own_cursor).listed()[-1].person.email
    fetch(home, DAY, DAY)
    own_cursor.add_fault(Fault(edited(remove), MEMBERS))
    fetch(home, DAY, DAY, NOON + timedelta(days=1))
    with store_at(settings_of(home).store_url).reading() as reader:
        current = {each.seat.user: each.current for each in reader.seats(CURSOR)}
    assert current.pop(gone) is False
    assert set(current.values()) == {True}


def test_lost_days_are_warned_of(
    home: Home, cursor: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """How long Cursor keeps days is not documented: days that it has lost may look empty."""

    def lose(body: dict[str, list[dict[str, object]]], _: Request) -> object:
        body["data"] = [row for row in body["data"] if f"{row['day']}" > f"{SOUND}"]
        return body

    days = [DAY - timedelta(number) for number in range(6)]
    with opened(home) as source:
        source.prepare(days, days, compared=True)
        assert caplog.records == []
    cursor.add_fault(Fault(edited(lose), USAGE, asks=is_unpaged))
    with opened(home) as source:
        source.prepare(days, days, compared=True)
    assert f"nobody was active from {days[-1]} to {SOUND}" in caplog.text


def test_day_over_two_years_old_is_refused(home: Home, cursor: Simulator) -> None:
    """Whatever Cursor answers for it: a day that it has lost looks like one without activity."""
    oldest = TODAY - timedelta(days=730)
    old = oldest - timedelta(days=1)
    refused = f"{old} is more than two years ago.*begin with {oldest}"
    with pytest.raises(UsageError, match=refused):
        backfill(home, old, oldest)
    with opened(home) as source, pytest.raises(UsageError, match=refused):
        source.fetch_users(Window(old, oldest))
    assert cursor.requests == []
    backfill(home, oldest, oldest)
    assert list(ledger(home)) == [oldest]


@pytest.mark.slow
def test_days_are_as_old_as_their_sweep(home: Home, cursor: Simulator) -> None:
    """Not as the moment at which each was stored: whether a day has settled depends on this."""
    ticks = iter(range(0, 10_000_000, 60))
    home.settings["MAX_CONCURRENCY"] = "1"
    assert cursor.requests == []
    fetch_daily(
        settings_of(home), Window(SOUND, DAY), clock=lambda: NOON + timedelta(seconds=next(ticks))
    )
    first, second = (row.fetched_at for row in ledger(home).values())
    assert second - first == timedelta(minutes=2)  # the sweep began after the request for the first
