"""Every version of a day is stored, and the state at any moment can be read again."""

from __future__ import annotations

import json
import random
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from conftest import Home, all_files
from dashboard_scraper.cli.exporting import export_files
from dashboard_scraper.cli.wiring import daily_export
from dashboard_scraper.exports.stored_export import export_stored
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import counts_of, maker
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.metrics import DETAILED
from dashboard_scraper.model.reconciliation import Rules
from dashboard_scraper.model.usage import (
    DayUsage,
    EditorLanguageUsage,
    TenantFigure,
    UserUsage,
    sums_of,
)
from dashboard_scraper.sources.registry import ANALYTICS
from dashboard_scraper.store import (
    Change,
    DetailStatus,
    LedgerDay,
    Movement,
    Store,
    VersionState,
    store_at,
)
from dashboard_scraper.store.revising import Stored
from databases import on_sqlite
from filled_store import user
from stored_days import set_schema_version, settings_of, sql

DAY = date(2026, 10, 5)
NIGHT, INSTANT = timedelta(days=1), timedelta(microseconds=1)
FIRST = datetime(2026, 10, 6, 3, tzinfo=UTC)
Users = list[UserUsage]


class Suspicion:
    """Holds every change, or none."""

    def __init__(self) -> None:
        self.holds = False

    def is_settled(self, stored: LedgerDay) -> bool:
        del stored
        return False

    def reason_to_hold(self, change: Change) -> str | None:
        del change
        return "held for the test" if self.holds else None


def people(count: int, **counts: int) -> Users:
    return [user(f"user{number:02}@example.com", **counts) for number in range(count)]


def put(store: Store, users: Users, night: int, policy: Suspicion | None = None) -> Stored:
    usage = DayUsage(DAY, sorted(users, key=lambda each: each.user), {"user_count": len(users)})
    return store.put(ANALYTICS, usage, FIRST + night * NIGHT, policy)[0]


def in_force(store: Store) -> Users:
    with store.reading() as reader:
        (row,) = reader.ledger(ANALYTICS).values()
        return reader.day(row).users


def contents(store: Store) -> dict[int, Users]:
    """The users of every version, whose sums the ledger of that version has."""
    with store.reading() as reader:
        versions = reader.versions(ANALYTICS, DAY)
        return {each.ledger.version: reader.version(each.ledger) for each in versions}


def states(store: Store) -> dict[int, VersionState | None]:
    with store.reading() as reader:
        return {v.ledger.version: v.state for v in reader.versions(ANALYTICS, DAY)}


@on_sqlite
@pytest.mark.slow
def test_revision_preserves_the_earlier_version(store: Store) -> None:
    first, second = people(3, chat_messages=1), [*people(2, chat_messages=1), user("z@example.com")]
    assert put(store, first, 0) is Stored.FIRST
    assert put(store, second, 1) is Stored.REVISED
    assert in_force(store) == second
    assert contents(store) == {1: first, 2: second}
    assert states(store) == {1: VersionState.SUPERSEDED, 2: None}
    change = FIRST + NIGHT
    for moment, known in ((FIRST, first), (change - INSTANT, first), (change, second)):
        assert in_force(store.as_of(moment)) == known
    with store.as_of(FIRST - INSTANT).reading() as reader:
        assert reader.ledger(ANALYTICS) == {}


@on_sqlite
def test_repeated_answer_is_recorded_without_version(store: Store) -> None:
    for night in (0, 0, 1, 1, 2):
        put(store, people(3), night)
    with store.reading() as reader:
        (version,) = reader.versions(ANALYTICS, DAY)
    assert version.fetches == [FIRST + night * NIGHT for night in range(3)]
    assert (version.ledger.fetched_at, version.ledger.repeats) == (FIRST + 2 * NIGHT, 2)
    assert version.since == FIRST


@on_sqlite
def test_versions_store_changed_rows_only(store: Store, store_url: str) -> None:
    users = people(50)
    put(store, users, 0)
    for night in range(1, 6):
        users[night] = user(users[night].user, chat_messages=night)
        put(store, users, night)
    assert sql(store_url, "SELECT COUNT(*) FROM user_day_version") == [(5,)]
    assert len(contents(store)) == 6


@on_sqlite
def test_held_version_leaves_the_earlier_in_force(store: Store) -> None:
    policy = Suspicion()
    put(store, people(3), 0, policy)
    policy.holds = True
    assert put(store, people(1), 1, policy) is Stored.HELD
    assert in_force(store) == people(3)
    assert contents(store) == {1: people(3), 2: people(1)}
    with store.reading() as reader:
        (held,) = reader.held(ANALYTICS)
        (row,) = reader.ledger(ANALYTICS).values()
    assert (held.movement, held.after.repeats) == (Movement(), 0)
    assert row.held == "held for the test"
    assert row.fetched_at == FIRST


@on_sqlite
@pytest.mark.slow
def test_people_are_lost_and_gained_by_their_activity(store: Store) -> None:
    policy = Suspicion()
    put(store, people(3, chat_messages=1), 0, policy)
    policy.holds = True
    put(
        store, [*people(1, chat_messages=1), user("USER01@example.com", chat_messages=1)], 1, policy
    )
    with store.reading() as reader:
        (held,) = reader.held(ANALYTICS)
    moved = (held.movement.lost_people, held.movement.gained_people)
    assert (moved, held.movement.lost, held.movement.gained) == ((1, 0), {"chat_messages": 1}, {})


@on_sqlite
def test_held_version_counts_repeats_until_accepted(store: Store, store_url: str) -> None:
    policy = Suspicion()
    put(store, people(3), 0, policy)
    policy.holds = True
    for night in (1, 1, 2, 3):
        put(store, people(1), night, policy)
    with store.reading() as reader:
        (held,) = reader.held(ANALYTICS)
    assert held.after.repeats == 2
    assert store.accept(ANALYTICS, DAY, FIRST + 4 * NIGHT)
    assert in_force(store) == people(1)
    assert contents(store) == {1: people(3), 2: people(1)}
    assert states(store) == {1: VersionState.SUPERSEDED, 2: None}
    assert sql(store_url, "SELECT DISTINCT version FROM user_day_version") == [(1,)]
    assert not store.accept(ANALYTICS, DAY, FIRST + 4 * NIGHT)


@on_sqlite
def test_held_version_is_withdrawn_by_the_old_answer(store: Store) -> None:
    policy = Suspicion()
    put(store, people(3), 0, policy)
    policy.holds = True
    put(store, people(1), 1, policy)
    assert put(store, people(3), 2, policy) is Stored.SAME
    assert states(store) == {1: None, 2: VersionState.WITHDRAWN}
    with store.reading() as reader:
        (row,) = reader.ledger(ANALYTICS).values()
    assert (row.held, row.fetched_at) == (None, FIRST + 2 * NIGHT)
    put(store, people(1), 3, policy)
    assert states(store) == {1: None, 2: VersionState.HELD}


@on_sqlite
def test_latest_doubtful_answer_is_held(store: Store, store_url: str) -> None:
    policy = Suspicion()
    put(store, people(3), 0, policy)
    policy.holds = True
    for night, count, number in ((1, 1, 2), (2, 2, 3), (3, 1, 2)):
        assert put(store, people(count), night, policy) is Stored.HELD
        with store.reading() as reader:
            (held,) = reader.held(ANALYTICS)
        assert (held.after.version, held.after.repeats) == (number, 0)
    in_order = "SELECT state FROM day_version ORDER BY version"
    assert sql(store_url, in_order) == [("held",), ("withdrawn",)]
    assert store.reject(ANALYTICS, DAY, FIRST + 3 * NIGHT)
    put(store, people(2), 4, policy)
    policy.holds = False
    assert put(store, people(4), 5, policy) is Stored.REVISED
    assert sql(store_url, in_order) == [("superseded",), ("rejected",), ("withdrawn",)]


@on_sqlite
def test_damaged_day_is_replaced_without_a_hold(store: Store, store_url: str) -> None:
    policy = Suspicion()
    put(store, people(3), 0, policy)
    policy.holds = True
    sql(store_url, "DELETE FROM user_day WHERE user_login LIKE 'user01%'")
    assert put(store, people(3), 1, policy) is Stored.SAME
    assert in_force(store) == people(3)
    sql(store_url, "UPDATE user_day SET chat_messages = 9 WHERE user_login LIKE 'user01%'")
    assert put(store, people(2), 2, policy) is Stored.REVISED
    assert in_force(store) == people(2)


DAMAGES = (
    "UPDATE day_ledger SET chat_messages = 9",
    "UPDATE day_ledger SET users = 9",
    "UPDATE day_ledger SET active_users = 9",
    "DELETE FROM day_people",
    "UPDATE day_people SET active = NULL",
    "UPDATE day_people SET chat_messages = NULL",
    "UPDATE day_people SET ide_agent_messages = listed",
)


def test_repeated_answer_repairs_ledger_and_bitmaps(store: Store, store_url: str) -> None:
    """The message about a damaged day gives this advice: fetch it again."""
    put(store, people(3), 0)
    for night, damage in enumerate(DAMAGES, 1):
        sql(store_url, damage)
        with store.reading() as reader:
            assert reader.damaged_days(ANALYTICS) == [DAY], damage
        assert put(store, people(3), night) is Stored.SAME
        with store.reading() as reader:
            assert reader.damaged_days(ANALYTICS) == [], damage


@on_sqlite
def test_final_details_stay_with_repeated_answer(store: Store) -> None:
    """They stay with the old version if they may have grown since or do not add up."""

    def repeat(night: int, policy: Suspicion | None = None) -> tuple[int, dict[str, float]]:
        assert put(store, people(2), night, policy) is Stored.SAME
        with store.reading() as reader:
            (row,) = reader.ledger(ANALYTICS).values()
            assert (row.repeats, row.suspicious) == (night, "made up")
            assert reader.day(row).users == people(2)
            return row.version, reader.credits_of(ANALYTICS, DAY)

    put(store, people(2), 0)
    store.mark(ANALYTICS, DAY, FIRST, suspicious="made up")
    final = {each.user: 2.5 for each in people(2)}
    store.put_credits(ANALYTICS, DAY, final, FIRST)
    with store.reading() as reader:
        row = reader.ledger(ANALYTICS)[DAY]
    assert (row.editor_language, row.credits) == (None, DetailStatus.COMPLETE)
    assert repeat(1) == (1, final)
    assert repeat(2, Suspicion()) == (2, {})
    store.put_credits(ANALYTICS, DAY, final, FIRST + 2 * NIGHT)
    wrong = DetailStatus.UNRECONCILED
    store.put_editor_languages(ANALYTICS, DAY, [], wrong, FIRST + 2 * NIGHT)
    assert repeat(3) == (3, {})


@on_sqlite
def test_answer_after_forget_makes_day_complete(store: Store) -> None:
    for count in (3, 2):
        stored, _ = store.put(ANALYTICS, DayUsage(DAY, people(count), {}), FIRST)
        store.forget("user02@example.com")
    assert stored is Stored.REVISED
    with store.reading() as reader:
        (row,) = reader.ledger(ANALYTICS).values()
    assert (row.users, row.forgotten) == (2, 0)


@on_sqlite
def test_rejected_version_is_not_held_again(store: Store) -> None:
    policy = Suspicion()
    put(store, people(3), 0, policy)
    policy.holds = True
    put(store, people(1), 1, policy)
    assert store.reject(ANALYTICS, DAY, FIRST + NIGHT)
    policy.holds = False
    with store.reading() as reader:
        assert reader.ledger(ANALYTICS)[DAY].held is None
    assert put(store, people(1), 2, policy) is Stored.REJECTED
    assert in_force(store) == people(3)
    with store.reading() as reader:
        assert reader.held(ANALYTICS) == []
        assert reader.last_answers(ANALYTICS, Window(DAY, DAY))[DAY].version == 2


@pytest.mark.parametrize(
    ("store_url", "seed"),
    [("sqlite", 0), ("postgresql", 2)],
    indirect=["store_url"],
)
@pytest.mark.slow
def test_any_sequence_preserves_every_version(store: Store, seed: int) -> None:
    """Revisions, holds, acceptance, rejection and details lose no version, in any order."""
    chance, policy = random.Random(seed), Suspicion()
    answers: dict[int, Users] = {}
    for night in range(25):
        count = chance.randrange(6)
        users = [user(each.user, chat_messages=chance.randrange(3)) for each in people(count)]
        policy.holds = chance.random() < 0.5
        put(store, users, night, policy)
        with store.reading() as reader:
            answer = reader.last_answers(ANALYTICS, Window(DAY, DAY))[DAY]
        assert answers.setdefault(answer.version, users) == users
        moment = FIRST + night * NIGHT
        if chance.random() < 0.3:
            store.accept(ANALYTICS, DAY, moment)
        elif chance.random() < 0.3:
            store.reject(ANALYTICS, DAY, moment)
        if chance.random() < 0.5:
            store.put_credits(ANALYTICS, DAY, {each.user: 1.5 for each in users}, moment)
        if night % 4 == 0:
            assert contents(store) == answers


@pytest.mark.slow
def test_forgetting_reaches_every_version(store: Store, store_url: str) -> None:
    """The sums of each version are those of the remaining users, or unknown."""
    policy = Suspicion()
    first = people(3, chat_messages=1)
    first[1] = user(first[1].user, chat_messages=None)
    put(store, first, 0, policy)
    put(store, people(4, chat_messages=2), 1, policy)
    policy.holds = True
    put(store, people(2, chat_messages=3), 2, policy)
    store.put_credits(ANALYTICS, DAY, {each.user: 1.0 for each in people(4)}, FIRST + 2 * NIGHT)
    figures: dict[str, Cell] = {
        "busiest": "user01@example.com, then user02@example.com",
        "messages of USER01@example.com": 1,
        "users": 3,
    }
    week = Window(DAY - 6 * NIGHT, DAY)
    of_week = [TenantFigure(week, metric, value) for metric, value in figures.items()]
    store.put_tenant_figures(ANALYTICS, of_week, FIRST)
    assert store.forget("User01@example.com") >= 3
    for version, users in contents(store).items():
        assert [each.user[:6] for each in users] == {
            1: ["user00", "user02"],
            2: ["user00", "user02", "user03"],
            3: ["user00"],
        }[version]
    with store.reading() as reader:
        for each in reader.versions(ANALYTICS, DAY):
            ledger = each.ledger
            left = reader.version(ledger)
            assert (ledger.forgotten, ledger.users) == (1, len(left))
            sums = zip(counts_of(ledger.sums), counts_of(sums_of(left)), strict=True)
            assert all(stored in (None, known) for stored, known in sums)
    assert in_force(store.as_of(FIRST)) == [first[0], first[2]]
    assert sql(store_url, "SELECT metric, value FROM tenant_figure ORDER BY metric") == [
        ("busiest", '"forgotten, then user02@example.com"'),
        ("users", "3"),
    ]
    tables = ("user_day", "credit_day", "editor_language_day")
    for table in [*tables, *(f"{name}_version" for name in tables)]:
        assert sql(store_url, f"SELECT * FROM {table} WHERE user_login LIKE 'user01%'") == []


def export(home: Home, place: Path, as_of: datetime | None = None) -> dict[str, bytes]:
    """The files of the days around DAY, by their names."""
    settings = settings_of(home)
    window = Window(DAY - NIGHT, DAY)
    export_files(settings, window, place, as_of)
    return {str(path.relative_to(place)): path.read_bytes() for path in all_files(place)}


ONE_EACH = maker(DETAILED)((1,) * len(DETAILED))


@on_sqlite
@pytest.mark.slow
def test_freshness_is_that_of_the_moment(store: Store) -> None:
    """The same answer on later nights is a later fetch of the same version."""
    for night in range(3):
        put(store, people(2), night)
    for night in range(3):
        moment = FIRST + night * NIGHT
        with store.as_of(moment + INSTANT).reading() as reader:
            assert reader.ledger(ANALYTICS)[DAY].fetched_at == moment


def put_details(store: Store, users: Users, moment: datetime) -> None:
    rows = [EditorLanguageUsage(each.user, "VSCode", "Go", ONE_EACH) for each in users]
    store.put_editor_languages(ANALYTICS, DAY, rows, DetailStatus.COMPLETE, moment)
    store.put_credits(ANALYTICS, DAY, {each.user: 2.5 for each in users}, moment)


@pytest.mark.slow
def test_export_as_of_has_the_bytes_of_that_moment(
    home: Home, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Figures, details, and the marks that the days had at that moment."""
    home.settings |= {"METRICS_SOURCE": ANALYTICS, "GITHUB_REPORTS_CREDITS": "true"}
    home.settings |= {"AUGMENT_API_TOKEN": "unused"}
    policy = Suspicion()
    usage = DayUsage(DAY - NIGHT, people(5, chat_messages=7), {})
    store.put(ANALYTICS, usage, FIRST - NIGHT)
    known: dict[datetime, dict[str, bytes]] = {}
    for night, count in enumerate((4, 5, 5, 2, 6)):
        policy.holds = count < 4
        users = people(count, chat_messages=count)
        put(store, users, night, policy)
        moment = FIRST + night * NIGHT + timedelta(minutes=5)
        if night in (0, 1):
            put_details(store, users[night:], moment)
        if night == 1:
            store.mark(ANALYTICS, DAY, moment, suspicious="made up")
        known[moment] = export_at(home, tmp_path / f"then-{night}", moment)
    store.forget("nobody@example.com")
    for number, (moment, files) in enumerate(known.items()):
        again = export(home, tmp_path / f"now-{number}", moment)
        # The manifests note that somebody was removed since: earlier files are no longer reused.
        for each in (files, again):
            each["manifest.json"] = re.sub(rb'"made_from": "\w+"', b"", each["manifest.json"])
        assert again == files
    assert len({json.dumps([*map(str, files.items())]) for files in known.values()}) == 5
    capsys.readouterr()


@on_sqlite
def test_version_of_a_clock_that_was_ahead_stays_replaced(store: Store) -> None:
    put(store, people(3), 2)
    put(store, people(2), 0)
    for night in (0, 1, 2, 3):
        with store.as_of(FIRST + night * NIGHT).reading() as reader:
            (row,) = reader.ledger(ANALYTICS).values()
            assert reader.day(row).users == people(2)


def export_at(home: Home, place: Path, now: datetime) -> dict[str, bytes]:
    """An export of the versions in force, at a moment that the test chooses."""
    settings = settings_of(home)
    export_of = daily_export(settings, Window(DAY - NIGHT, DAY), place)
    export_stored(store_at(settings.store_url), export_of, Rules(), lambda: now)
    return {str(path.relative_to(place)): path.read_bytes() for path in all_files(place)}


@pytest.mark.slow
def test_migration_adds_versions_to_days(store_url: str) -> None:
    """Its days are version 1, in force since they were fetched; the next revision is version 2."""
    place = store_at(store_url)
    with place.locked(), place.opened():
        put(place, people(3), 0)
    for table in ("day_version", "day_fetch", "day_mark", "user_day_version"):
        sql(store_url, f"DROP TABLE {table}")
    for table in ("editor_language_day_version", "credit_day_version"):
        sql(store_url, f"DROP TABLE {table}")
    sql(store_url, "DROP VIEW daily_totals")
    for column in ("version", "accepted_at", "digest", "suspicious", "held"):
        sql(store_url, f"ALTER TABLE day_ledger DROP COLUMN {column}")
    set_schema_version(store_url, 3)
    with place.locked(), place.opened():
        put(place, people(4), 1)
        assert contents(place) == {1: people(3), 2: people(4)}
        with place.as_of(FIRST + timedelta(hours=1)).reading() as reader:
            (row,) = reader.ledger(ANALYTICS).values()
            assert reader.day(row).users == people(3)
