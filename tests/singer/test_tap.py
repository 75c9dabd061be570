"""`tap`: a target ends with what the store has, after revisions, removals and interrupted runs."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from conftest import Home, yesterday
from dashboard_scraper.model.costs import Cost, text_of
from dashboard_scraper.model.figures import values_of
from dashboard_scraper.model.metrics import COUNTS, METRICS
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.store import store_at
from databases import on_sqlite
from filled_store import FETCHED, LAST, SOURCE, put, some_days, user
from singer_target import Target, fresh, kinds, messages, sync
from stored_costs import cost, day_of
from stored_days import forget

DAY = LAST - timedelta(1)
LATER = FETCHED + timedelta(hours=1)
GONE = "user2@example.com"
GAP = LAST - timedelta(2)
KEPT = "user1@example.com"


@pytest.fixture
def filled(home: Home, store_url: str) -> Home:
    """Five days, one of which is missing, and costs on three of them."""
    home.settings["METRICS_SOURCE"] = SOURCE
    home.data.mkdir(exist_ok=True)
    days = some_days(5)
    del days[GAP]
    put(store_url, days)
    for day in days:
        if day != LAST:
            put_costs(home, day)
    return home


def put_costs(home: Home, day: date, *more: Cost, later: bool = False) -> None:
    store = store_at(home.settings["STORE_URL"])
    costs = [cost(KEPT, "0.000000000000000001"), cost("", "-3.5"), cost("triage-bot", "7"), *more]
    with store.locked(), store.opened():
        store.put_costs(SOURCE, day_of(day, costs), LATER if later else FETCHED)


def revise(home: Home, day: date = DAY, *, without: str = GONE, hours: int = 1) -> None:
    """Store a later answer, in which one user is gone and another did more."""
    users = [each for each in some_days(5)[day] if each.user != without]
    users[0] = user(users[0].user, chat_messages=1000 + hours, total_messages=1000 + hours)
    store = store_at(home.settings["STORE_URL"])
    with store.locked(), store.opened():
        store.put(SOURCE, DayUsage(day, users), FETCHED + timedelta(hours=hours))


@pytest.mark.slow
def test_first_run_sends_the_store(filled: Home) -> None:
    target = fresh(filled)
    with store_at(filled.settings["STORE_URL"]).reading() as reader:
        ledger = reader.ledger(SOURCE)
        stored = {
            (f"{day}", u.user): u for day, row in ledger.items() for u in reader.day(row).users
        }
        costs = reader.cost_ledger(SOURCE)
    assert len(target.rows("user_days")) == len(stored)
    for row in target.rows("user_days"):
        known = stored[row["day"], row["user_login"]]
        assert [row[metric.name] for metric in METRICS] == list(values_of(known.figures))
        assert row["service_account"] == known.service
    for row in target.rows("days"):
        if row["status"] != "missing":
            known_day = ledger[date.fromisoformat(row["day"])]
            assert [row[m.name] for m in COUNTS] == [known_day.sums[m] for m in COUNTS]
            assert (row["users"], row["day_version"]) == (known_day.users, 1)
    sums = {row["day"]: row["billed"] for row in target.rows("cost_totals") if row["billed"]}
    assert sums == {f"{day}": text_of(row.sums.billed) for day, row in costs.items()}
    assert sums[f"{DAY}"] == "3.500000000000000001"
    assert {type(row["billed"]) for row in target.rows("cost_days")} == {str}


@on_sqlite
def test_second_run_sends_no_record(filled: Home) -> None:
    target = fresh(filled)
    before = target.state
    lines = sync(filled, target)
    assert (kinds(lines), kinds(lines, "ACTIVATE_VERSION")) == ([], [])
    assert len(kinds(lines, "SCHEMA")) == len(target.schemas)
    assert (target.state, len(kinds(lines, "STATE"))) == (before, 1)


@on_sqlite
def test_missing_day_is_a_row(filled: Home) -> None:
    rows = {row["day"]: row for row in fresh(filled).rows("days")}
    first = LAST - timedelta(4)
    assert [*rows] == [f"{first + timedelta(n)}" for n in range((yesterday() - first).days + 1)]
    gap = rows[f"{GAP}"]
    assert gap["status"] == "missing"
    assert gap["since"] == f"{GAP + timedelta(1)}T00:00:00Z"
    assert {name for name, value in gap.items() if value is not None} == {
        "source",
        "day",
        "status",
        "since",
    }
    statuses = {row["day"]: row["status"] for row in fresh(filled).rows("cost_totals")}
    assert (statuses[f"{GAP}"], statuses[f"{DAY}"], statuses[f"{LAST}"]) == (
        "missing",
        "complete",
        "missing",
    )


@on_sqlite
def test_missing_day_that_is_fetched_replaces_its_row(filled: Home) -> None:
    target = fresh(filled)
    put(filled.settings["STORE_URL"], {GAP: some_days(5)[GAP]})
    lines = sync(filled, target)
    assert {record["record"]["day"] for record in kinds(lines)} == {f"{GAP}"}
    assert target.content() == fresh(filled).content()


@on_sqlite
@pytest.mark.slow
def test_revised_day_is_sent_again_and_says_who_is_gone(filled: Home) -> None:
    target = fresh(filled)
    revise(filled)
    lines = sync(filled, target)
    assert {record["record"]["day"] for record in kinds(lines)} == {f"{DAY}"}
    assert kinds(lines, "ACTIVATE_VERSION") == []
    _, gone = target.tables["user_days"][SOURCE, f"{DAY}", GONE]
    known = {"source", "day", "user_login", "day_version", "accepted_at", "_sdc_deleted_at"}
    assert {name for name, value in gone.items() if value is not None} == known
    assert (gone["day_version"], gone["_sdc_deleted_at"]) == (2, gone["accepted_at"])
    assert target.content() == fresh(filled).content()


@on_sqlite
def test_user_who_comes_back_is_not_gone(filled: Home) -> None:
    target = fresh(filled)
    revise(filled)
    sync(filled, target)
    revise(filled, without="nobody", hours=2)
    sync(filled, target)
    assert target.content() == fresh(filled).content()
    assert GONE in {row["user_login"] for row in target.rows("user_days") if row["day"] == f"{DAY}"}


@on_sqlite
@pytest.mark.slow
def test_revised_costs_say_what_is_gone(filled: Home) -> None:
    put_costs(filled, DAY, cost(GONE, "9.99"), later=True)
    target = fresh(filled)
    store = store_at(filled.settings["STORE_URL"])
    with store.locked(), store.opened():
        costs = [cost(KEPT, "2"), cost("", "-3.5")]
        store.put_costs(SOURCE, day_of(DAY, costs), LATER + timedelta(1))
    lines = sync(filled, target)
    assert {record["stream"] for record in kinds(lines)} == {"cost_days", "cost_totals"}
    assert target.content() == fresh(filled).content()
    of_day = [row for row in target.rows("cost_days") if row["day"] == f"{DAY}"]
    assert sum(Decimal(row["billed"]) for row in of_day) == Decimal("-1.5")


@on_sqlite
@pytest.mark.slow
def test_forgotten_person_is_nowhere(filled: Home) -> None:
    put_costs(filled, DAY, cost(GONE, "9.99"), later=True)
    target = fresh(filled)
    forget(filled, GONE)
    lines = sync(filled, target)
    assert GONE not in "".join(lines)
    assert GONE not in f"{target.tables}"
    assert {each["stream"] for each in kinds(lines, "ACTIVATE_VERSION")} >= {
        "user_days",
        "cost_days",
    }
    assert target.content() == fresh(filled).content()
    assert {row["forgotten"] for row in target.rows("days") if row["day"] == f"{DAY}"} == {1}
    assert kinds(sync(filled, target)) == []


def nothing(_: Home) -> None:
    """The store stays as it is."""


def one_more_revision(home: Home) -> None:
    revise(home, hours=2)


def removal(home: Home) -> None:
    forget(home, "user0@example.com")


@on_sqlite
@pytest.mark.slow
@pytest.mark.parametrize("change", [nothing, one_more_revision, removal])
def test_run_that_was_cut_anywhere_is_continued(
    filled: Home, change: Callable[[Home], None]
) -> None:
    """The target received messages after its last state; then the store changes."""
    before = fresh(filled)
    revise(filled)
    revise(filled, LAST, without=KEPT)
    whole, differing = messages(filled), messages(filled, state=before.state)
    change(filled)
    expected, draw = fresh(filled).content(), random.Random(1)
    for start, lines in ((None, whole), (before, differing)):
        for place in sorted(draw.sample(range(len(lines)), 3)):
            target = Target()
            if start is not None:
                target.tables = {name: {**rows} for name, rows in start.tables.items()}
                target.keys, target.state = {**start.keys}, start.state
            target.take(lines[:place])
            sync(filled, target)
            assert target.content() == expected, place


@on_sqlite
def test_state_covers_only_what_was_sent(filled: Home) -> None:
    """Every day that a state names was sent before that state."""
    sent: set[tuple[str, str]] = set()
    lines = messages(filled)
    assert len(kinds(lines, "STATE")) > 10
    target = Target()
    for line in lines:
        for record in kinds([line]):
            sent.add((record["stream"], record["record"].get("day")))
        target.take([line])
        for state in kinds([line], "STATE"):
            for stream, bookmark in state["value"]["bookmarks"].items():
                days = bookmark.get("days", {}).get(SOURCE, {})
                assert {(stream, day) for day in days} <= sent


@on_sqlite
def test_doubt_is_sent_though_no_figure_changed(filled: Home) -> None:
    target = fresh(filled)
    store = store_at(filled.settings["STORE_URL"])
    with store.locked(), store.opened():
        store.mark(SOURCE, DAY, LATER, suspicious="all figures are equal")
    lines = sync(filled, target)
    assert {(r["stream"], r["record"]["suspicious"]) for r in kinds(lines)} == {
        ("user_days", "all figures are equal"),
        ("days", "all figures are equal"),
    }
    assert target.content() == fresh(filled).content()


@on_sqlite
def test_restored_backup_is_sent_whole(filled: Home) -> None:
    """A user who is only in versions that the backup lacks is removed from the target, too."""
    file = filled.data / "usage.db"
    backup = file.read_bytes()
    put_more = [*some_days(5)[DAY], UserUsage("new@example.com", user("x").figures)]
    store = store_at(filled.settings["STORE_URL"])
    with store.locked(), store.opened():
        store.put(SOURCE, DayUsage(DAY, put_more), LATER)
    target = fresh(filled)
    file.write_bytes(backup)
    (filled.path / "state").write_text(json.dumps(target.state))
    log = filled.run("tap", "--state", f"{filled.path / 'state'}").err
    assert log.count("the store no longer has what was sent") == 4  # not of whole tables
    lines = sync(filled, target)
    assert {each["stream"] for each in kinds(lines, "ACTIVATE_VERSION")} == {*target.schemas}
    assert target.content() == fresh(filled).content()


@on_sqlite
def test_day_fetched_again_into_a_restored_backup_is_sent_whole(filled: Home) -> None:
    """Its version has the same number as the lost one, which had another user and cost."""
    file = filled.data / "usage.db"
    backup = file.read_bytes()
    store = store_at(filled.settings["STORE_URL"])
    target = Target()
    for number, name in enumerate(("new@example.com", "newer@example.com")):
        file.write_bytes(backup)
        more = [*some_days(5)[DAY], UserUsage(name, user("x").figures)]
        with store.locked(), store.opened():
            store.put(SOURCE, DayUsage(DAY, more), LATER + timedelta(hours=number))
        put_costs(filled, DAY, cost(name, "2"), later=True)
        sync(filled, target)
    assert target.content() == fresh(filled).content()


@on_sqlite
def test_other_person_forgotten_in_a_restored_backup_is_gone(filled: Home) -> None:
    file = filled.data / "usage.db"
    backup = file.read_bytes()
    forget(filled, GONE)
    target = fresh(filled)
    file.write_bytes(backup)
    forget(filled, KEPT)
    sync(filled, target)
    assert target.content() == fresh(filled).content()


@on_sqlite
def test_later_answer_with_equal_figures_sends_no_user(filled: Home) -> None:
    target = fresh(filled)
    store = store_at(filled.settings["STORE_URL"])
    with store.locked(), store.opened():
        store.put(SOURCE, DayUsage(DAY, some_days(5)[DAY]), LATER)
    lines = sync(filled, target)
    (record,) = kinds(lines)
    assert (record["stream"], record["record"]["day"]) == ("days", f"{DAY}")
    assert record["record"]["fetched_at"] == f"{LATER:%Y-%m-%dT%H:%M:%SZ}"


@on_sqlite
def test_unknown_figure_is_null(filled: Home) -> None:
    users = [replace(u, figures=replace(u.figures, chat_messages=None)) for u in some_days(5)[DAY]]
    store = store_at(filled.settings["STORE_URL"])
    with store.locked(), store.opened():
        store.put(SOURCE, DayUsage(DAY, users), LATER)
    rows = [row for row in fresh(filled).rows("user_days") if row["day"] == f"{DAY}"]
    assert {row["chat_messages"] for row in rows} == {None}
    (of_day,) = (row for row in fresh(filled).rows("days") if row["day"] == f"{DAY}")
    assert (of_day["chat_messages"], of_day["status"]) == (None, "complete")
