"""The bitmaps of who was active: always what the rows say, and checked against the ledger."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from conftest import Home
from dashboard_scraper.errors import StoreFailed
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.distinct import MergedBits
from dashboard_scraper.model.figures import added, counts_of, is_active
from dashboard_scraper.model.metrics import COUNTS, DETAILED, FIRST_SEEN, LAST_SEEN, REQUIRED
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.store import Reader, store_at
from dashboard_scraper.store.day_people import counts_of_bits
from dashboard_scraper.store.history import Change
from dashboard_scraper.store.people_reader import KnownUser
from dashboard_scraper.store.revising import AcceptAll
from dashboard_scraper.store.sum_queries import UserSums
from databases import on_sqlite
from filled_store import FETCHED, LAST, MONTH, SOURCE, figures_of, put, some_days, user
from stored_days import set_schema_version, sql

FIRST = LAST - timedelta(2)
NAMES = ("ada@example.com", "Ada@example.com", "ben@example.com", "nightly")
AREAS = ([*DETAILED], [COUNTS[0]])


class HoldAll(AcceptAll):
    def reason_to_hold(self, change: Change) -> str | None:  # noqa: ARG002
        return "every change is held"


class FailAll(AcceptAll):
    def reason_to_hold(self, change: Change) -> str | None:  # noqa: ARG002
        raise ZeroDivisionError  # in the transaction, after new names were added


counts = st.dictionaries(
    st.sampled_from([metric.name for metric in COUNTS]),
    st.one_of(st.none(), st.integers(0, 3)),
    max_size=3,
)
answers = st.dictionaries(st.sampled_from(NAMES), counts, max_size=len(NAMES))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 2), answers),
        st.tuples(st.just("hold"), st.integers(0, 2), answers),
        st.tuples(st.just("fail"), st.integers(0, 2), answers),
        st.tuples(st.just("accept"), st.integers(0, 2), st.none()),
        st.tuples(st.just("forget"), st.sampled_from(NAMES), st.none()),
    ),
    max_size=6,
)


def usages(answer: dict[str, dict[str, int | None]]) -> list[UserUsage]:
    return [user(name, **figures) for name, figures in sorted(answer.items())]


def check_bitmaps(reader: Reader) -> None:
    """Compare every bitmap, and what is computed from them, with the rows themselves."""
    ledger = reader.ledger(SOURCE)
    people = reader.people(SOURCE, areas=AREAS)
    assert list(people) == list(ledger)
    first: dict[str, date] = {}
    last: dict[str, date] = {}
    for day, found in people.items():
        rows = reader.day(ledger[day]).users
        active = [each for each in rows if is_active(each.figures)]
        first |= {each.user: day for each in rows if each.user not in first}
        last |= {each.user: day for each in rows}
        assert reader.names_of(found.listed) == sorted(each.user for each in rows)
        assert reader.names_of(found.active) == sorted(each.user for each in active)
        services = sorted(each.user for each in rows if each.service)
        assert reader.names_of(found.service) == services
        for area, bitmap in zip(AREAS, found.areas, strict=True):
            there = [u.user for u in active if any(u.figures[metric] for metric in area)]
            assert reader.names_of(bitmap) == sorted(there)
    assert reader.first_days(SOURCE) == first
    spellings = reader.spellings(SOURCE, MONTH, service_accounts=True)
    assert sorted(spellings) == sorted(last.items())
    assert reader.known(SOURCE) == known_in(reader)
    assert reader.damaged_days(SOURCE) == []


def known_in(reader: Reader) -> list[KnownUser]:
    """What the rows say of everybody: first day, last active day, and times of the newest row."""
    found: dict[str, KnownUser] = {}
    for row in reader.ledger(SOURCE).values():
        for each in reader.day(row).users:
            before = found.get(each.user)
            found[each.user] = KnownUser(
                each.user,
                each.service and (before is None or before.service),
                before.first_day if before else row.day,
                row.day if is_active(each.figures) else before and before.last_active,
                each.figures[FIRST_SEEN],
                each.figures[LAST_SEEN],
            )
    return [found[name] for name in sorted(found)]


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(steps=steps)
def test_bitmaps_follow_every_write(tmp_path_factory: pytest.TempPathFactory, steps: list) -> None:  # type: ignore[type-arg]
    """Puts, including some that fail, held versions that are accepted, and people forgotten."""
    store = store_at(f"sqlite:///{tmp_path_factory.mktemp('store') / 'usage.db'}")
    moments = (FETCHED + timedelta(hours=hour) for hour in itertools.count())
    with store.locked(), store.opened():
        for (what, of, answer), moment in zip(steps, moments, strict=False):
            if what == "forget":
                store.forget(of)
            elif what == "accept":
                store.accept(SOURCE, FIRST + timedelta(of), moment)
            else:
                policy = {"hold": HoldAll(), "fail": FailAll()}.get(what)
                usage = DayUsage(FIRST + timedelta(of), usages(answer))
                with contextlib.suppress(ZeroDivisionError):
                    store.put(SOURCE, usage, moment, policy)
    with store.reading() as reader:
        check_bitmaps(reader)


def test_day_of_thousands_is_stored_as_one_of_few(tmp_path: Path) -> None:
    """Bitmaps and the digest are made from some users at a time."""
    figures = [figures_of(), figures_of(chat_messages=2), figures_of(total_tool_calls=None)]
    users = [
        UserUsage(f"user{number:04}@example.com", figures[number % 3], service=number % 5 == 0)
        for number in range(8100)
    ]
    put(url := f"sqlite:///{tmp_path / 'usage.db'}", {LAST: users})
    counts = [(each.user, each.service, counts_of(each.figures)) for each in users]
    with store_at(url).reading() as reader:
        digest = hashlib.blake2b(msgspec.json.encode(counts), digest_size=16).hexdigest()
        assert reader.ledger(SOURCE)[LAST].digest == digest
        found = reader.people(SOURCE)[LAST]
        for bitmap, of in (
            (found.listed, users),
            (found.active, [each for each in users if is_active(each.figures)]),
            (found.service, [each for each in users if each.service]),
        ):
            assert reader.names_of(bitmap) == [each.user for each in of]


@on_sqlite
def test_names_are_numbered_again_after_a_run_elsewhere_removed_them(store_url: str) -> None:
    """For example, while `watch` waits for the next night."""
    ada, ben = (user(name, chat_messages=1) for name in NAMES[1:3])
    store, other = store_at(store_url), store_at(store_url)
    with store.locked(), store.opened():
        store.put(SOURCE, DayUsage(FIRST, [ada, ben]), FETCHED)
    with other.locked(), other.opened():
        other.forget(ada.user)
    with store.locked(), store.opened():
        store.put(SOURCE, DayUsage(LAST, [ada, ben]), FETCHED)
    with store.reading() as reader:
        check_bitmaps(reader)


@given(bitmaps=st.lists(st.integers(0, 255), max_size=12))
def test_bits_are_counted_over_bitmaps(bitmaps: list[int]) -> None:
    counts = [sum(bitmap >> bit & 1 for bitmap in bitmaps) for bit in range(8)]
    assert counts_of_bits(bitmaps) == {bit: count for bit, count in enumerate(counts) if count}


def test_known_users_have_the_times_of_their_newest_row(store_url: str) -> None:
    """Most have it on the newest day, those who left on another; a name may change its kind."""
    days = some_days(4)
    for day, users in days.items():
        seen = datetime(day.year, day.month, day.day, 9, tzinfo=UTC)
        for number, each in enumerate(users):
            times = {} if number == 2 else {"first_seen": FETCHED, "last_seen": seen}
            figures = replace(each.figures, **times)
            users[number] = replace(
                each, figures=figures, service=each.service or (number == 3 and day == LAST)
            )
    left, came = (LAST - timedelta(back) for back in (0, 3))
    days[left] = [each for each in days[left] if each.user != "user0@example.com"]
    days[came] = [each for each in days[came] if each.user != "user1@example.com"]
    put(store_url, days)
    with store_at(store_url).reading() as reader:
        known = reader.known(SOURCE)
        assert known == known_in(reader)
    assert [each.user for each in known if each.service] == ["triage-bot"]


def test_bitmaps_are_those_of_the_store(store_url: str) -> None:
    """In both databases, and also as of an earlier moment."""
    put(store_url, some_days(3))
    store = store_at(store_url)
    before = datetime.now(UTC)
    with store.reading() as reader:
        check_bitmaps(reader)
    with store.locked(), store.opened():
        changed = [user("new@example.com", chat_messages=1)]
        store.put(SOURCE, DayUsage(LAST, changed), before + timedelta(hours=1))
    with store.as_of(before).reading() as earlier:
        check_bitmaps(earlier)
        assert "new@example.com" not in earlier.users(SOURCE, MONTH)
    with store.reading() as reader:
        assert reader.users(SOURCE, Window(LAST, LAST)) == ["new@example.com"]


def test_older_store_gets_bitmaps(store_url: str) -> None:
    """Migration computes the bitmaps of all days, and later those of an added metric."""
    put(store_url, some_days(3))
    sql(store_url, "DROP TABLE day_people")
    sql(store_url, "ALTER TABLE person DROP COLUMN number")
    set_schema_version(store_url, 4)
    with store_at(store_url).reading() as reader:
        check_bitmaps(reader)
    sql(store_url, f"UPDATE day_people SET {COUNTS[0].name} = NULL")
    set_schema_version(store_url, 4)
    with store_at(store_url).reading() as reader:
        check_bitmaps(reader)


@on_sqlite
def test_damaged_bitmaps_are_an_error(store_url: str) -> None:
    put(store_url, {FIRST: usages({"ada@example.com": {}, "ben@example.com": {COUNTS[0].name: 1}})})
    for damage in (
        "UPDATE day_people SET active = listed",
        "UPDATE day_people SET listed = NULL",
        "DELETE FROM day_people",
    ):
        sql(store_url, damage)
        with store_at(store_url).reading() as reader, pytest.raises(StoreFailed, match="bitmaps"):
            reader.people(SOURCE)


def test_verify_names_the_damaged_days(home: Home, store_url: str) -> None:
    """Also if the numbers of people are right and only the bits are wrong."""
    two = usages({"ada@example.com": {COUNTS[0].name: 1}, "ben@example.com": {}})
    put(store_url, dict.fromkeys((FIRST, LAST), two))
    home.settings["STORE_URL"] = store_url
    assert home.run("status", "--verify").code == 0
    swapped = f"UPDATE day_people SET active = {_bytes(store_url, 2)} WHERE day = '{LAST}'"
    sql(store_url, swapped)
    failed = home.run("status", "--verify")
    assert (failed.code, f"do not match the ledger: {LAST};" in failed.err) == (1, True)
    assert f"{FIRST};" not in failed.err


def _bytes(url: str, value: int) -> str:
    return f"x'{value:02x}'" if url.startswith("sqlite") else f"'\\x{value:02x}'::bytea"


def test_merged_bits_count_a_person_once() -> None:
    persons = {0: "ada", 1: "ben", 2: "ada", 5: "ada"}
    merged = MergedBits(persons)
    assert [merged(bits) for bits in (0b100000, 0b000110, 0b100101, 0b1000)] == [1, 0b11, 1, 0b1000]


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(days=st.lists(answers, min_size=1, max_size=3), service=st.booleans())
def test_sums_by_user_are_those_of_rows(
    tmp_path_factory: pytest.TempPathFactory,
    days: list[dict[str, dict[str, int | None]]],
    service: bool,
) -> None:
    """Days without activity add nothing; an unknown count makes its sum unknown."""
    url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'usage.db'}"
    stored = {FIRST + timedelta(n): usages(each) for n, each in enumerate(days)}
    put(url, stored)
    rows: dict[str, list[UserUsage]] = {}
    for each in itertools.chain.from_iterable(stored.values()):
        if is_active(each.figures) and (service or not each.service):
            rows.setdefault(each.user, []).append(each)
    expected = []
    for name, found in sorted(rows.items()):
        columns = list(zip(*(counts_of(each.figures) for each in found), strict=True))
        there = [[count for count in column if count is not None] for column in columns]
        known = tuple(sum(counts) if counts else None for counts in there)
        expected.append(UserSums(name, tuple(map(added, columns)), known))
    with store_at(url).reading() as reader:
        assert reader.sums_by_user(SOURCE, stored, service_accounts=service) == expected


def test_sums_of_people_leave_services_out(store_url: str) -> None:
    unknown = replace(figures_of(), **{REQUIRED[0].name: None})
    put(
        store_url,
        {
            FIRST: [user("ada@example.com", chat_messages=2), user("nightly", chat_messages=5)],
            LAST: [UserUsage("ben@example.com", unknown), user("nightly", chat_messages=5)],
        },
    )
    with store_at(store_url).reading() as reader:
        sums = reader.people_sums(SOURCE, [FIRST, LAST])
    assert sums[FIRST] == figures_of(chat_messages=2)
    assert sums[LAST] == unknown
