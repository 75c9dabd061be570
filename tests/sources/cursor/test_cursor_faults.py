"""Answers of Cursor that differ from the documentation are refused, with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from conftest import Home
from cursor_runs import (
    DAY,
    EVENTS,
    MEMBERS,
    SOUND,
    SPEND,
    USAGE,
    cost_ledger,
    ledger,
    opened,
    team_of,
)
from dashboard_scraper.errors import (
    ContractBroken,
    DaysMissing,
    NotPublished,
    SignInRequired,
    SourceUnavailable,
    UsageError,
)
from dashboard_scraper.model.dates import Window
from dashboard_scraper.simulator import (
    Fault,
    Request,
    Simulator,
    add_beside,
    add_field,
    raw_body,
    remove_field,
    rename_key,
    repeat_key,
    set_value,
    status,
)
from dashboard_scraper.simulator.faults import Effect, edited
from dashboard_scraper.sources.cursor.client import CursorSource
from dashboard_scraper.sources.cursor.moments import ms_of
from dashboard_scraper.sources.cursor.paths import ALLOWED, PREFIX
from dashboard_scraper.sources.rest.auth import NotAllowed
from effects import in_place, put
from stored_days import NOON, TODAY, fetch

pytestmark = pytest.mark.usefixtures("csv_alone")

ONE_DAY = Window(DAY, DAY)
Json = Any
Fetch = Callable[[CursorSource], object]


def usage(source: CursorSource) -> object:
    return source.fetch_day(DAY)


def events(source: CursorSource) -> object:
    return source.costs.fetch_costs(ONE_DAY)


def spend(source: CursorSource) -> object:
    """Fetch spend, with every day of the cycle stored and free."""
    return source.costs.close_period(lambda window: {day: [] for day in window.days()})


def members(source: CursorSource) -> object:
    return source.fetch_seats()


FETCHES: dict[str, Fetch] = {USAGE: usage, EVENTS: events, SPEND: spend, MEMBERS: members}


def on_page(number: int, effect: Effect) -> Effect:
    return lambda answer, request: (
        effect(answer, request) if request.parameters.get("page") == number else answer
    )


def twice(key: str) -> Effect:
    return in_place(lambda body: body[key].append(body[key][0]))


def repeated_page() -> Effect:
    """Every page has the records of the first page."""
    first: dict[str, list[Json]] = {}

    def edit(body: Json, request: Request) -> Json:
        key = "data" if "data" in body else "usageEvents"
        body[key] = first.setdefault(request.endpoint, body[key])
        return body

    return edited(edit)


def shifted(body: Json) -> None:
    """A day that begins at midnight in another time zone."""
    for row in body["data"]:
        row["date"] -= 3_600_000


TOKENS = "tokenUsage"
CASES: dict[str, tuple[str, Effect, str]] = {
    # usage
    "usage: one row twice": (USAGE, on_page(2, twice("data")), "came twice"),
    "usage: a page repeats": (USAGE, repeated_page(), "page 2 is one that came before"),
    "usage: day of another zone": (USAGE, in_place(shifted), "another time zone"),
    "usage: other day": (USAGE, set_value("day", f"{SOUND}"), "the row is of 2025-03-04"),
    "usage: count renamed": (USAGE, rename_key("chatRequests", "chats"), "chatRequests"),
    "usage: count negative": (USAGE, set_value("agentRequests", -1, 0), "agentRequests"),
    "usage: count a text": (USAGE, set_value("totalTabsShown", "9", 0), "totalTabsShown"),
    "usage: count null": (USAGE, set_value("totalTabsAccepted", None, 0), "totalTabsAccepted"),
    "usage: address renamed": (USAGE, rename_key("email", "mail"), "no row has a value for email"),
    "usage: activity renamed": (USAGE, rename_key("isActive", "active"), "value for isActive"),
    "usage: rows renamed": (USAGE, rename_key("data", "rows"), "no list of records"),
    "usage: other period": (USAGE, put("period", "endDate", value=1), "period is"),
    "usage: no pages": (USAGE, in_place(lambda body: body.pop("pagination", 0)), "pagination"),
    "usage: fewer members": (
        USAGE,
        in_place(lambda body: "pagination" in body and body["data"].pop()),
        "totalUsers is",
    ),
    "usage: total grows": (
        USAGE,
        on_page(2, put("pagination", "totalUsers", value=99)),
        "the data changed while it was read",
    ),
    "usage: another page": (USAGE, on_page(2, put("pagination", "page", value=3)), "page 3 came"),
    "usage: last page too early": (
        USAGE,
        on_page(1, put("pagination", "hasNextPage", value=False)),
        "hasNextPage False",
    ),
    "usage: too large pages": (
        USAGE,
        in_place(lambda body: "pagination" in body and body["pagination"].update(pageSize=10_000)),
        "pageSize is 10000",
    ),
    "usage: key repeated": (USAGE, repeat_key("chatRequests", 1), "is repeated"),
    "usage: partial": (USAGE, add_beside("partial", value=True), "partial"),
    "usage: unknown beside": (USAGE, add_beside("sampling", value=0.5), "unknown field"),
    # events
    "events: one twice": (EVENTS, on_page(2, twice("usageEvents")), "came before"),
    "events: a page repeats": (EVENTS, repeated_page(), "page 2 is one that came before"),
    "events: tokens negative": (EVENTS, set_value("inputTokens", -1), "inputTokens"),
    "events: tokens missing": (EVENTS, remove_field(TOKENS), "tokenUsage is missing"),
    "events: tokens renamed": (EVENTS, rename_key("outputTokens", "output"), "outputTokens"),
    "events: address renamed": (EVENTS, rename_key("userEmail", "mail"), "userEmail"),
    "events: charge renamed": (EVENTS, rename_key("chargedCents", "cents"), "chargedCents"),
    "events: charge a word": (EVENTS, set_value("chargedCents", "free", 0), "chargedCents"),
    "events: currency": (EVENTS, add_field("currency", "EUR", 0), "none but USD"),
    "events: currency in tokens": (
        EVENTS,
        in_place(
            lambda body: [e.get(TOKENS, {}).update(currency="EUR") for e in body["usageEvents"]]
        ),
        "none but USD",
    ),
    "events: other moment": (EVENTS, set_value("timestamp", "1", 0), "timestamp is 1"),
    "events: moment a number": (EVENTS, set_value("timestamp", 1, 0), "timestamp"),
    "events: two payers": (
        EVENTS,
        in_place(
            lambda body: [
                each.update(userEmail="ada@example.com", serviceAccountName="bot")
                for each in body["usageEvents"]
            ]
        ),
        "both userEmail and a service account",
    ),
    "events: fewer": (EVENTS, in_place(lambda body: body["usageEvents"].pop()), "but"),
    "events: list renamed": (EVENTS, rename_key("usageEvents", "events"), "no list of records"),
    "events: total missing": (
        EVENTS,
        in_place(lambda body: body.pop("totalUsageEventsCount")),
        "totalUsageEventsCount is missing",
    ),
    # spend
    "spend: renamed": (SPEND, rename_key("overallSpendCents", "total"), "overallSpendCents"),
    "spend: null": (SPEND, set_value("spendCents", None, 0), "spendCents is null"),
    "spend: currency": (SPEND, add_field("currency", "EUR", 0), "none but USD"),
    "spend: account twice": (SPEND, on_page(2, twice("teamMemberSpend")), "came twice"),
    "spend: fewer": (SPEND, on_page(2, in_place(lambda b: b["teamMemberSpend"].pop())), "but"),
    "spend: no cycle": (
        SPEND,
        in_place(lambda body: body.pop("subscriptionCycleStart")),
        "subscriptionCycleStart is missing",
    ),
    "spend: cycle in microseconds": (
        SPEND,
        in_place(lambda body: body.update(subscriptionCycleStart=1_740_700_800_000_000)),
        "subscriptionCycleStart",
    ),
    "spend: cycle in seconds": (
        SPEND,
        in_place(lambda body: body.update(subscriptionCycleStart=1_740_700_800)),
        "subscriptionCycleStart",
    ),
    "spend: cycle to come": (
        SPEND,
        put("subscriptionCycleStart", value=ms_of(NOON + timedelta(9))),
        "is 2025-03-19, and today is 2025-03-10",
    ),
    "spend: address renamed": (
        SPEND,
        rename_key("email", "mail"),
        "no account has a value for email",
    ),
    "spend: nobody": (
        SPEND,
        in_place(lambda body: body.update(teamMemberSpend=[], totalMembers=0, totalPages=0)),
        "teamMemberSpend is empty",
    ),
    # members
    "members: renamed": (MEMBERS, rename_key("teamMembers", "members"), "no list of records"),
    "members: address missing": (MEMBERS, remove_field("email", 0), "email"),
    "members: removal renamed": (MEMBERS, rename_key("isRemoved", "removed"), "isRemoved"),
    "members: one twice": (MEMBERS, twice("teamMembers"), "came twice"),
    "members: none at all": (MEMBERS, raw_body(b'{"teamMembers":[]}'), "no current member"),
    "members: all removed": (MEMBERS, set_value("isRemoved", value=True), "no current member"),
    "members: more pages": (MEMBERS, add_beside("nextCursor", value="x"), "more pages"),
}


@pytest.mark.parametrize("name", CASES)
def test_broken_answer_is_refused(home: Home, cursor: Simulator, name: str) -> None:
    """The error names the endpoint, and the field or the contradiction in the answer."""
    endpoint, effect, words = CASES[name]
    cursor.add_fault(Fault(effect, endpoint))
    with opened(home) as source, pytest.raises(ContractBroken) as caught:
        FETCHES[endpoint](source)
    assert f"{caught.value}".startswith(endpoint)
    assert words in f"{caught.value}"


HARMLESS: dict[str, tuple[str, Effect]] = {
    "usage: a new field": (USAGE, add_field("planRequests", 3)),
    "usage: without activity": (USAGE, remove_field("isActive")),
    "usage: no most used model": (USAGE, remove_field("mostUsedModel")),
    "events: a new field": (EVENTS, add_field("region", "eu-west")),
    "events: names dollars": (EVENTS, add_field("currency", "USD")),
    "spend: a new field": (SPEND, add_field("apiPercentUsed", 4.5)),
    "members: a new field": (MEMBERS, add_field("joinedAt", "2025-01-01")),
    "members: without removal": (MEMBERS, remove_field("isRemoved")),
}


@pytest.mark.parametrize("name", HARMLESS)
@pytest.mark.slow
def test_unknown_fields_change_no_figure(home: Home, cursor: Simulator, name: str) -> None:
    endpoint, effect = HARMLESS[name]
    cursor.add_fault(Fault(in_place(lambda _: None), endpoint))  # which shortens amounts, as floats
    with opened(home) as source:
        before = FETCHES[endpoint](source)
    cursor.add_fault(Fault(effect, endpoint))
    with opened(home) as source:
        after = FETCHES[endpoint](source)
    if endpoint == USAGE:
        before, after = (each.sums for each in (before, after))  # type: ignore[attr-defined]
    assert after == before


@pytest.mark.slow
def test_a_wrong_row_fails_its_day_alone(home: Home, cursor: Simulator) -> None:
    """Days that were fetched together are then fetched one by one."""

    def change(body: Json) -> None:
        for row in body["data"]:
            if row["day"] == f"{SOUND}":
                row["chatRequests"] = -1

    cursor.add_fault(Fault(in_place(change), USAGE, asks=lambda each: "page" in each.parameters))
    with pytest.raises(DaysMissing):
        fetch(home, SOUND - timedelta(1), DAY)
    assert ledger(home).keys() == {SOUND - timedelta(1), DAY}


def test_a_member_without_a_row_of_a_day_is_missed(home: Home, cursor: Simulator) -> None:
    """Even if the rows of other days came with it; those days are right."""

    def lose(body: Json) -> None:
        gone = [row for row in body["data"] if row["day"] == f"{DAY}"][:1]
        body["data"] = [row for row in body["data"] if row not in gone]

    paged = Fault(in_place(lose), USAGE, asks=lambda each: each.parameters.get("page") == 1)
    with opened(home) as source:
        source.prepare([SOUND, DAY], [SOUND, DAY], compared=True)
        cursor.add_fault(paged)
        assert source.fetch_day(SOUND).differences == []
        with pytest.raises(ContractBroken, match="totalUsers is"):
            source.fetch_day(DAY)


def test_team_whose_people_have_all_left_is_no_renamed_field(home: Home, cursor: Simulator) -> None:
    cursor.add_fault(Fault(remove_field("email"), USAGE))
    with opened(home) as source:
        users = source.fetch_day(DAY).users
    assert users
    assert all(user.user.isdigit() for user in users)


def test_cycle_in_which_nobody_can_be_compared_does_not_agree(
    home: Home, cursor: Simulator
) -> None:
    """Marks of days stay while the members in spend have no addresses."""
    cursor.add_fault(Fault(set_value("email", None), SPEND))
    with opened(home) as source:
        assert spend(source) is None


@pytest.mark.parametrize("account", [{}, {"serviceAccountName": "bot"}], ids=["left", "service"])
def test_page_of_events_without_people_is_no_renamed_field(
    home: Home, cursor: Simulator, account: dict[str, str]
) -> None:
    """Events of people who left and of service accounts, with a new field that has addresses."""

    def change(body: Json) -> None:
        for event in body["usageEvents"]:
            event.pop("userEmail", None)
            event |= {"approvedBy": "ada@example.com", **account}

    cursor.add_fault(Fault(on_page(1, in_place(change)), EVENTS))
    with opened(home) as source:
        costs = source.costs.fetch_costs(ONE_DAY)[DAY]
    assert "ada@example.com" not in {cost.user for cost in costs}


def test_capitals_make_no_other_people(home: Home, cursor: Simulator) -> None:
    """Neither in usage nor in costs."""

    def shout(body: Json) -> None:
        for row in body.get("data") or body.get("usageEvents", ()):
            for field in ("email", "userEmail"):
                if field in row:
                    row[field] = row[field].title()

    cursor.add_fault(Fault(in_place(lambda _: None)))  # which shortens amounts, as floats
    with opened(home) as source:
        before = source.fetch_day(DAY), source.costs.fetch_costs(ONE_DAY)
    cursor.add_fault(Fault(in_place(shout)))
    with opened(home) as source:
        after = source.fetch_day(DAY), source.costs.fetch_costs(ONE_DAY)
    assert (after[0].users, after[1]) == (before[0].users, before[1])


@pytest.mark.slow
def test_wrong_events_fail_costs_alone(home: Home, cursor: Simulator) -> None:
    home.settings["FETCH_COST"] = "auto"
    cursor.add_fault(Fault(set_value("inputTokens", -1), EVENTS))
    with pytest.raises(ContractBroken, match="costs of"):
        fetch(home, DAY, DAY)
    assert ledger(home).keys() == {DAY}
    assert cost_ledger(home) == {}


def test_inactive_rows_with_usage_are_noted(
    home: Home, cursor: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    cursor.add_fault(Fault(set_value("isActive", value=False), USAGE))
    with opened(home) as source:
        users = {user.user: user.figures.active_days for user in source.fetch_day(DAY).users}
    truth = team_of(cursor).user_days(DAY)
    assert users == {name: 1 for name, day in truth.items() if any(day)}
    assert "isActive is false in rows with usage" in caplog.text


REFUSALS: dict[str, tuple[Effect, type[Exception], str]] = {
    "401": (status(401), SignInRequired, "CURSOR_API_KEY"),
    "403": (status(403), SignInRequired, "needs a Teams or Enterprise plan"),
    "400": (status(400, message="no"), UsageError, "HTTP 400"),
    "404": (status(404), ContractBroken, "HTTP 404"),
    "429": (status(429), SourceUnavailable, "HTTP 429"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_are_errors_of_their_own(home: Home, cursor: Simulator, name: str) -> None:
    effect, error, words = REFUSALS[name]
    cursor.add_fault(Fault(effect, USAGE))
    with opened(home) as source, pytest.raises(error, match=words) as caught:
        source.fetch_day(DAY)
    assert type(caught.value) is error


def test_exit_code_names_what_is_missing(home: Home, cursor: Simulator) -> None:
    home.settings["CURSOR_API_KEY"] = "crsr_" + "0" * 64
    result = home.run("--last-28-days")
    assert result.code == 3
    assert "the key was refused" in result.err
    assert "crsr_0" not in result.err
    cursor.cursor.plan = False
    home.settings["CURSOR_API_KEY"] = cursor.cursor.key
    try:
        result = home.run("--last-28-days")
    finally:
        cursor.cursor.plan = True
    assert result.code == 3
    assert "needs a Teams or Enterprise plan" in result.err
    assert cursor.cursor.key not in result.err


def test_missing_key_is_a_sign_in_error(home: Home, cursor: Simulator) -> None:
    del home.settings["CURSOR_API_KEY"]
    result = home.run("--last-28-days")
    assert result.code == 3
    assert "create a key of the Admin API" in result.err
    assert cursor.requests == []


def test_key_of_another_kind_is_remarked(
    home: Home, cursor: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    home.settings["CURSOR_API_KEY"] = "sk-something-else"
    with opened(home) as source, pytest.raises(SignInRequired):
        source.fetch_day(DAY)
    assert "CURSOR_API_KEY does not begin with crsr_ or key_" in caplog.text
    assert cursor.count(USAGE) == 1


@pytest.mark.parametrize("begin", ["crsr_", "key_"])
def test_both_kinds_of_keys_are_expected(
    home: Home, cursor: Simulator, caplog: pytest.LogCaptureFixture, begin: str
) -> None:
    home.settings["CURSOR_API_KEY"] = f"{begin}{'0' * 20}"
    with opened(home):
        assert caplog.records == []
    assert cursor.requests == []


@pytest.mark.slow
def test_key_may_be_in_a_private_file(home: Home, cursor: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "cursor-key"
    path.write_text(f"{cursor.cursor.key}\n")
    path.chmod(0o600)
    del home.settings["CURSOR_API_KEY"]
    home.settings["CURSOR_API_KEY_FILE"] = str(path)
    fetch(home, DAY, DAY)
    path.chmod(0o644)
    result = home.run("--last-28-days")
    assert result.code == 2
    assert "others can read" in result.err


def test_unfinished_days_are_not_asked_for(home: Home, cursor: Simulator) -> None:
    with opened(home) as source:
        with pytest.raises(UsageError, match="today is 2025-03-10"):
            source.fetch_day(TODAY)
        home.settings["CURSOR_READY_HOUR"] = "13"
    with opened(home) as source, pytest.raises(NotPublished, match="13:00 UTC"):
        source.fetch_day(NOON.date() - timedelta(days=1))
    assert cursor.requests == []


@pytest.mark.slow
def test_only_documented_requests_are_sent(home: Home, cursor: Simulator) -> None:
    """The key would allow more: setting limits, and removing members."""
    home.settings["FETCH_COST"] = "auto"
    fetch(home, DAY, DAY)
    assert {(r.path.removeprefix(PREFIX), r.method) for r in cursor.requests} == {*ALLOWED.items()}
    with opened(home) as source, pytest.raises(NotAllowed):
        source.post("user-spend-limit", json.loads("{}"))


@pytest.mark.slow
def test_days_wait_for_each_other(home: Home, cursor: Simulator) -> None:
    """Eight threads request one page of days, not eight."""
    home.settings["MAX_CONCURRENCY"] = "8"
    fetch(home, TODAY - timedelta(9), TODAY - timedelta(1))
    pages = [r.parameters["page"] for r in cursor.requests if "page" in r.parameters]
    assert sorted(pages) == sorted(set(pages))
