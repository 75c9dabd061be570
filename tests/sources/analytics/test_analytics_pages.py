"""Pages of analytics users, and fields that are missing or unknown."""

from __future__ import annotations

import csv
from datetime import date

import pytest

from analytics_runs import (
    DAU,
    DAY,
    REQUIRED,
    SOUND,
    USAGE,
    USER_COUNT_PATH,
    USERS,
    Json,
    Left,
    Log,
    add_to,
    asked,
    assert_whole,
    failure,
    left_by,
    on_page,
    opened,
    refused,
    without,
)
from conftest import Home
from dashboard_scraper.errors import (
    ContractBroken,
    NotReconciled,
)
from dashboard_scraper.model.checks import Difference
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import AUGMENT_METRICS, USER_COUNT, USER_HEADER
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.simulator import (
    Fault,
    Simulator,
    add_field,
    alternate_cursors,
    cut_body,
    null_body,
    remove_field,
    repeat_cursor,
    repeat_user,
)
from dashboard_scraper.simulator.faults import Effect
from dashboard_scraper.sources.analytics.fields import OPTIONAL
from effects import in_place, put
from stored_days import backfill, fetch


@pytest.fixture
def of_many(home: Home, many: Simulator) -> dict[date, DayUsage]:
    """Both days as the source reads them without a fault."""
    with opened(home) as source:
        days = {day: source.fetch_day(day) for day in (SOUND, DAY)}
    many.requests.clear()
    return days


def same_page() -> Effect:
    """Every page has the users of the first page; only the cursors advance."""
    first: dict[str, Json] = {}

    def change(body: Json) -> None:
        first.setdefault("users", body["users"])
        body["users"] = first["users"]
        body["metadata"]["returned_user_count"] = len(first["users"])

    return in_place(change)


PAGES: dict[str, tuple[Effect, str, int]] = {
    "cursor to itself": (repeat_cursor(), "circle", 2),
    "cursors to and fro": (alternate_cursors(), "circle", 3),
    "more without a cursor": (
        on_page(2, put("pagination", value={"has_more": True, "next_cursor": None})),
        "next_cursor",
        2,
    ),
    "the same page under another cursor": (same_page(), "a second time", 2),
    "third page of another day": (
        on_page(3, put("metadata", "effective_start_date", value=f"{SOUND}")),
        "metadata",
        3,
    ),
    "third page without users": (on_page(3, put("users", value=[])), "returned_user_count", 3),
    "third page without a list": (on_page(3, without("users")), "users", 3),
    "third page null": (on_page(3, null_body()), "not a JSON object", 3),
    "third page ends early": (on_page(2, put("pagination", "has_more", value=False)), "", 2),
    "user on two pages with two figures": (repeat_user(changed=True), "twice", 2),
    "one user more than was counted": (
        on_page(2, in_place(add_to(USER_COUNT_PATH, -1))),
        "returned_user_count",
        3,
    ),
    "one user less than was counted": (
        on_page(2, in_place(add_to(USER_COUNT_PATH, 1))),
        "returned_user_count",
        3,
    ),
    "counted on no page": (in_place(lambda body: body.pop("metadata")), "metadata", 1),
    "counted wrong in all": (put(*USER_COUNT_PATH, value=450), "returned_user_count", 3),
}


@pytest.mark.parametrize("name", [name for name in PAGES if name != "third page ends early"])
def test_fault_of_one_page_refuses_the_day(home: Home, many: Simulator, name: str) -> None:
    effect, words, pages = PAGES[name]
    many.add_fault(Fault(effect, USERS))
    with opened(home) as source:
        assert words in refused(source)
    assert many.count(USERS) == pages


def test_fault_of_the_last_page_stores_nothing(home: Home, many: Simulator) -> None:
    many.add_fault(Fault(PAGES["third page null"][0], USERS))
    assert type(failure(lambda: backfill(home, DAY, DAY))) is ContractBroken
    assert left_by(home) == Left({}, {})
    assert many.count(USERS) == 2 * 3, "the day is tried once more"


def test_page_may_count_the_users_of_all_pages(
    home: Home, many: Simulator, of_many: dict[date, DayUsage]
) -> None:
    total = len(many.organization.totals(Window(DAY, DAY)))
    many.add_fault(Fault(put(*USER_COUNT_PATH, value=total), USERS, DAY))
    with opened(home) as source:
        assert source.fetch_day(DAY) == of_many[DAY]


def test_same_user_on_two_pages_counts_once(
    home: Home, many: Simulator, of_many: dict[date, DayUsage]
) -> None:
    """Whether or not the page that repeats the user counts it again."""
    many.add_fault(Fault(repeat_user(), USERS, SOUND))
    many.add_fault(Fault(repeat_user(), USERS, DAY))
    many.add_fault(
        Fault(
            in_place(lambda b: b["metadata"].update(returned_user_count=len(b["users"]))),
            USERS,
            DAY,
        )
    )
    with opened(home) as source:
        assert {day: source.fetch_day(day) for day in (SOUND, DAY)} == of_many


def test_cut_page_alone_is_retried(
    home: Home, many: Simulator, of_many: dict[date, DayUsage]
) -> None:
    many.add_fault(Fault(on_page(2, cut_body()), USERS, DAY, times=2))
    with opened(home) as source:
        assert source.fetch_day(DAY) == of_many[DAY]
    cursors = [r.query.get("cursor") for r in many.requests if (r.endpoint, r.day) == (USERS, DAY)]
    assert len(cursors) == 4
    assert cursors[1] == cursors[2]


@pytest.mark.slow
def test_missing_page_is_found_by_the_totals(home: Home, many: Simulator, caplog: Log) -> None:
    """No page is wrong by itself, so the day is stored, with the difference."""
    many.add_fault(Fault(PAGES["third page ends early"][0], USERS, DAY))
    with pytest.raises(NotReconciled):
        backfill(home, DAY, DAY)
    row, users = left_by(home).days[DAY]
    total = len(many.organization.totals(Window(DAY, DAY)))
    assert len(users) == 200
    assert Difference(USER_COUNT.name, 200, total) in row.unreconciled
    assert f"{DAY} does not add up" in caplog.text
    assert many.count(USERS) == 4


@pytest.mark.slow
def test_missing_optional_count_is_unknown(home: Home, spring: Simulator, caplog: Log) -> None:
    spring.add_fault(Fault(without("users", 1, "metrics", OPTIONAL.name), USERS, DAY))
    fetch(home, SOUND, DAY)
    left = left_by(home)
    row, users = left.days[DAY]
    assert [user.figures[OPTIONAL] for user in users].count(None) == 1
    assert row.sums[OPTIONAL] is None
    assert row.unreconciled == []
    assert "does not add up" not in caplog.text
    assert spring.count(USERS, DAY) == 1
    rows = list(csv.DictReader(left.files[f"augment_metrics_{DAY}.csv"].decode().splitlines()))
    assert [line[OPTIONAL.title] for line in rows].count("") == 1


@pytest.mark.slow
def test_missing_optional_total_is_not_stored(home: Home, spring: Simulator) -> None:
    """Nor is its absence a revision, for which the next night would fetch the day again."""
    spring.add_fault(Fault(remove_field(OPTIONAL.name)))
    fetch(home, SOUND, DAY)
    row, users = left_by(home).days[DAY]
    assert {user.figures[OPTIONAL] for user in users} == {None}
    assert row.totals is not None
    assert OPTIONAL.name not in row.totals
    assert row.totals.keys() == {USER_COUNT.name, *REQUIRED}
    assert row.unreconciled == []
    spring.requests.clear()
    fetch(home, SOUND, DAY)
    assert asked(spring) == {USAGE: 1, DAU: 1}


@pytest.mark.slow
def test_unknown_fields_become_columns(home: Home, spring: Simulator, caplog: Log) -> None:
    spring.add_fault(Fault(add_field("zeta", 7, record=0), USERS))
    spring.add_fault(Fault(add_field("alpha", {"b": [1], "a": True}, record=1), USERS))
    spring.add_fault(Fault(put("users", 1, "metrics", "novel", value=3), USERS))
    fetch(home, SOUND, DAY)
    left = left_by(home)
    names = ["alpha.a", "alpha.b", "metrics.novel", "zeta"]
    _, users = left.days[DAY]
    extras = [user.extra for user in users if user.extra]
    expected = [{"alpha.a": True, "alpha.b": "[1]", "metrics.novel": 3}, {"zeta": 7}]
    assert sorted(extras, key=len, reverse=True) == expected
    lines = left.files[f"augment_metrics_{DAY}.csv"].decode().splitlines()
    header, *rows = csv.reader(lines)
    user, *_, account = USER_HEADER
    assert header == [user, *(metric.title for metric in AUGMENT_METRICS), account, *names]
    cells = sorted(row[-4:] for row in rows)
    assert cells == [[""] * 4] * (len(rows) - 2) + [["", "", "", "7"], ["true", "[1]", "3", ""]]
    assert caplog.text.count(f"columns of their own: {', '.join(names)} (4)") == 1
    assert {row.unreconciled == [] for row, _ in left.days.values()} == {True}


@pytest.mark.slow
def test_unknown_fields_of_totals_are_left_out(
    home: Home, spring: Simulator, undisturbed: Left, caplog: Log
) -> None:
    for endpoint in (USAGE, DAU):
        spring.add_fault(Fault(add_field("novel", 1), endpoint))
    fetch(home, SOUND, DAY)
    assert_whole(left_by(home), undisturbed)
    assert caplog.text.count("unknown fields of the organization, left out: novel (1)") == 1
