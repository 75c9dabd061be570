"""Analytics answers that differ from the documentation are refused, by endpoint and field."""

from __future__ import annotations

import pytest

from analytics_runs import (
    ACTIVE_DAYS,
    COUNT,
    DAU,
    DAY,
    METADATA,
    MOST,
    REQUIRED,
    USAGE,
    USERS,
    Json,
    asked,
    both,
    left_by,
    opened,
    refused,
    twice,
    without,
)
from conftest import Home
from dashboard_scraper.errors import (
    NotReconciled,
)
from dashboard_scraper.simulator import (
    Fault,
    Simulator,
    add_field,
    remove_field,
    rename_key,
    repeat_user,
    set_value,
)
from dashboard_scraper.simulator.faults import Effect
from dashboard_scraper.sources.analytics.fields import OPTIONAL
from effects import in_place, put
from stored_days import backfill, march

NO_COUNTS: dict[str, object] = {
    "negative": -1,
    "huge": MOST + 1,
    "beyond 64 bits": 2**70,
    "a fraction": 1.5,
    "a whole fraction": 5.0,
    "a boolean": True,
    "text": "5",
    "null": None,
    "a list": [5],
    "an object": {},
}
COUNTS_OF: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "a metric of a user": (USERS, ("users", 1, "metrics", COUNT)),
    "an optional metric of a user": (USERS, ("users", 1, "metrics", OPTIONAL.name)),
    "a metric of a day": (USAGE, ("daily_usage", 0, "metrics", COUNT)),
    "an optional metric of a day": (USAGE, ("daily_usage", 0, "metrics", OPTIONAL.name)),
    "the users of a day": (DAU, ("daily_active_user_counts", 0, "user_count")),
}


@pytest.mark.parametrize("place", COUNTS_OF)
def test_invalid_count_is_refused(home: Home, spring: Simulator, place: str) -> None:
    endpoint, path = COUNTS_OF[place]
    with opened(home) as source:
        for name, value in NO_COUNTS.items():
            spring.clear_faults()
            spring.add_fault(Fault(put(*path, value=value), endpoint))
            message = refused(source, endpoint)
            assert str(path[0]) in message, name
            assert str(path[-1]) in message, name


@pytest.mark.parametrize("endpoint", [USERS, USAGE])
def test_missing_count_is_refused(home: Home, spring: Simulator, endpoint: str) -> None:
    key = {USERS: "users", USAGE: "daily_usage"}[endpoint]
    with opened(home) as source:
        for name in REQUIRED:
            spring.clear_faults()
            spring.add_fault(Fault(without(key, 0, "metrics", name), endpoint))
            assert name in refused(source, endpoint)


def test_counts_at_their_bounds_are_stored(home: Home, spring: Simulator) -> None:
    """Both bounds are accepted, even if the users' sum is far from the organization's."""
    for name, value in {REQUIRED[0]: 0, REQUIRED[1]: MOST}.items():
        spring.add_fault(Fault(put("users", 1, "metrics", name, value=value), USERS))
    with pytest.raises(NotReconciled):
        backfill(home, DAY, DAY)
    _, users = left_by(home).days[DAY]
    assert [0, MOST] in [[getattr(u.figures, name) for name in REQUIRED[:2]] for u in users]


def renamed_as_account(body: Json) -> None:
    """The second user becomes a service account named like the first user's address."""
    first, second = body["users"][:2]
    second["service_account_name"] = first["user_email"]
    second.pop("user_email", None)


USER = ("users", 1)
SHAPES_OF_USERS: dict[str, tuple[Effect, str]] = {
    "list renamed": (rename_key("users", "members"), "users"),
    "list null": (put("users", value=None), "users"),
    "list an object": (put("users", value={}), "users"),
    "list of numbers": (put("users", value=[1]), "users"),
    "list of nulls": (put("users", value=[None]), "users"),
    "one record a list": (put(*USER, value=[]), "users"),
    "metrics renamed": (rename_key("metrics", "counts"), "metrics"),
    "metrics missing once": (without(*USER, "metrics"), "metrics"),
    "metrics null": (put(*USER, "metrics", value=None), "metrics"),
    "metrics a list": (put(*USER, "metrics", value=[]), "metrics"),
    "days missing": (without(*USER, ACTIVE_DAYS), ACTIVE_DAYS),
    "no identity": (without(*USER, "user_email"), "none of user_email and service_account_name"),
    "null identity": (put(*USER, "user_email", value=None), "none of"),
    "empty identity": (put(*USER, "user_email", value=""), "user_email"),
    "identity a number": (put(*USER, "user_email", value=7), "user_email"),
    "both identities": (
        put(*USER, "service_account_name", value="triage-9"),
        "both of user_email and service_account_name",
    ),
    "a person and an account of one name": (in_place(renamed_as_account), "twice"),
    "pagination missing": (without("pagination"), "pagination"),
    "pagination null": (put("pagination", value=None), "pagination"),
    "pagination a list": (put("pagination", value=[]), "pagination"),
    "has_more missing": (without("pagination", "has_more"), "has_more"),
    "has_more null": (put("pagination", "has_more", value=None), "has_more"),
    "has_more a number": (put("pagination", "has_more", value=1), "has_more"),
    "has_more text": (put("pagination", "has_more", value="false"), "has_more"),
    "has_more renamed": (rename_key("has_more", "more"), "has_more"),
    "more without a cursor": (put("pagination", "has_more", value=True), "next_cursor"),
    "more with an empty cursor": (
        put("pagination", value={"has_more": True, "next_cursor": ""}),
        "next_cursor",
    ),
    "more with the cursor renamed": (
        put("pagination", value={"has_more": True, "cursor": "x.100"}),
        "cursor",
    ),
    "cursor a number": (put("pagination", "next_cursor", value=2), "next_cursor"),
    "a page token": (put("next_page_token", value="x"), "next_page_token"),
    "a link to more": (put("next", value="/more"), "next"),
    "a cursor beside": (put("cursor", value="x"), "cursor"),
    "more in the pagination": (put("pagination", "next_page", value=2), "next_page"),
    "count of users missing": (without("metadata", "returned_user_count"), "returned_user_count"),
    "count of users null": (put("metadata", "returned_user_count", value=None), "no number"),
    "count of users negative": (
        put("metadata", "returned_user_count", value=-1),
        "returned_user_count",
    ),
    "count of users text": (put("metadata", "returned_user_count", value="7"), "returned_user"),
    "count of users 0": (put("metadata", "returned_user_count", value=0), "returned_user_count"),
    "a user lost": (without("users", 0), "returned_user_count"),
    "all users lost": (put("users", value=[]), "returned_user_count"),
    "user twice with two figures": (repeat_user(changed=True), "twice"),
    "user twice with another field": (
        in_place(lambda body: twice(body, "users", novel=1)),
        "twice",
    ),
}
SHAPES_OF_USAGE: dict[str, tuple[Effect, str]] = {
    "list renamed": (rename_key("daily_usage", "usage"), "daily_usage"),
    "list null": (put("daily_usage", value=None), "daily_usage"),
    "list of nulls": (put("daily_usage", value=[None]), "daily_usage"),
    "metrics missing": (without("daily_usage", 0, "metrics"), "metrics"),
    "date missing": (without("daily_usage", 0, "date"), "date"),
    "date null": (put("daily_usage", 0, "date", value=None), "date"),
    "date a number": (put("daily_usage", 0, "date", value=20250305), "date"),
    "date in short": (put("daily_usage", 0, "date", value="20250305"), "date"),
    "date outside": (put("daily_usage", 0, "date", value=f"{march(6)}"), f"{march(6)}"),
    "day twice with two figures": (repeat_user(changed=True), "twice"),
    "more pages": (put("pagination", value={"has_more": True, "next_cursor": "x.1"}), "pagination"),
    "a cursor": (put("next_cursor", value="x.1"), "next_cursor"),
}
SHAPES_OF_DAU: dict[str, tuple[Effect, str]] = {
    "list renamed": (rename_key("daily_active_user_counts", "days"), "daily_active_user_counts"),
    "list null": (put("daily_active_user_counts", value=None), "daily_active_user_counts"),
    "day missing": (put("daily_active_user_counts", value=[]), f"{DAY} is missing"),
    "count missing": (remove_field("user_count"), "user_count"),
    "count renamed": (rename_key("user_count", "users"), "user_count"),
    "date missing": (remove_field("date"), "date"),
    "date outside": (set_value("date", f"{march(6)}"), f"{march(6)}"),
    "day twice with two figures": (repeat_user(changed=True), "twice"),
    "more pages": (put("pagination", value={"has_more": True, "next_cursor": "x.1"}), "pagination"),
}
SHAPES = {
    **{(USERS, name): each for name, each in SHAPES_OF_USERS.items()},
    **{(USAGE, name): each for name, each in SHAPES_OF_USAGE.items()},
    **{(DAU, name): each for name, each in SHAPES_OF_DAU.items()},
}
REQUESTS = {
    USERS: {USAGE: 1, DAU: 1, USERS: 1},
    USAGE: {USAGE: 1},
    DAU: {USAGE: 1, DAU: 1},
}


@pytest.mark.parametrize(("endpoint", "name"), SHAPES, ids=map(" - ".join, SHAPES))
def test_unknown_shape_is_refused(home: Home, spring: Simulator, endpoint: str, name: str) -> None:
    effect, words = SHAPES[endpoint, name]
    spring.add_fault(Fault(effect, endpoint))
    with opened(home) as source:
        assert words in refused(source, endpoint)
    assert asked(spring) == REQUESTS[endpoint]


@pytest.mark.parametrize("endpoint", [USERS, USAGE, DAU])
def test_other_days_are_refused(home: Home, spring: Simulator, endpoint: str) -> None:
    with opened(home) as source:
        for name, (effect, words) in METADATA.items():
            spring.clear_faults()
            spring.add_fault(Fault(effect, endpoint))
            assert words in refused(source, endpoint), name


ACCEPTED: dict[str, tuple[str, Effect]] = {
    "the other identity is null": (USERS, put(*USER, "service_account_name", value=None)),
    "a cursor after the last page": (USERS, put("pagination", "next_cursor", value="x.1")),
    "no cursor after the last page": (USERS, without("pagination", "next_cursor")),
    "paging fields that are empty": (USERS, in_place(lambda b: b.update(next=None, cursor=""))),
    "a user twice with the same figures": (USERS, repeat_user()),
    "a user twice, and counted so": (
        USERS,
        both(
            repeat_user(),
            in_place(lambda b: b["metadata"].update(returned_user_count=len(b["users"]))),
        ),
    ),
    "users in another order": (USERS, in_place(lambda body: body["users"].reverse())),
    "days in another order": (USAGE, in_place(lambda body: body["daily_usage"].reverse())),
    "a day twice with the same figures": (USAGE, repeat_user()),
    "a day of users twice with the same figures": (DAU, repeat_user()),
    "an unknown field of a day": (USAGE, add_field("novel", 1)),
    "an unknown count of a day": (
        USAGE,
        in_place(lambda b: b["daily_usage"][0]["metrics"].update(n=1)),
    ),
    "an unknown field of a day of users": (DAU, add_field("novel", 1)),
    "a page that is empty of words": (USAGE, put("pagination", value={"has_more": False})),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_equivalent_answer_is_read_the_same(home: Home, spring: Simulator, name: str) -> None:
    endpoint, effect = ACCEPTED[name]
    with opened(home) as source:
        expected = source.fetch_day(DAY)
    spring.requests.clear()
    spring.add_fault(Fault(effect, endpoint))
    with opened(home) as source:
        assert source.fetch_day(DAY) == expected
    assert asked(spring) == {USAGE: 1, DAU: 1, USERS: 1}
