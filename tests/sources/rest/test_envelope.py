"""What an answer says about itself is checked, for both sources: a contradiction to its records is
an error that names the field, and so is anything unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from both_sources import (
    DAY,
    WINDOW,
    Asking,
    active_users_of,
    analytics,
    asking,
    dashboard,
    each,
    users_of,
)
from conftest import Home, Start
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import AUGMENT_METRICS, USER_COUNT, Kind
from dashboard_scraper.simulator import (
    Fault,
    Organization,
    Paging,
    Simulator,
    add_beside,
    add_field,
    repeat_key,
    set_value,
)
from dashboard_scraper.simulator.exchange import Answer, Request
from dashboard_scraper.sources.dashboard.fields import FIELDS, TENANT_TOTALS
from dashboard_scraper.sources.dashboard.settings import Endpoint
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.pagination import parse_page
from effects import of_bytes
from stored_days import settings_of

__all__ = ["each"]

BEFORE = DAY - timedelta(1)
USERS, ACTIVITY = Endpoint.USERS.value, "user-activity"
TENANT = Endpoint.TENANT.value
DAYS = next(metric for metric in AUGMENT_METRICS if metric.kind is Kind.DAYS)
MIDNIGHT = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
NEXT = MIDNIGHT + timedelta(days=1)
SECONDS = int(NEXT.timestamp())

# By path of the field: values that contradict the records, and values that do not.
ENVELOPE_FIELDS: dict[str, tuple[list[Any], list[Any]]] = {
    "partial": ([True, 1, "true", [f"{DAY}"]], [False, None, "", "false", 0]),
    "isTruncated": ([True], [False]),
    "INCOMPLETE": ([True], [False]),
    "complete": ([False, "no"], [True, None]),
    "success": ([False, 0], [True]),
    "status": (
        ["error", "partial", 500],
        ["ok", "success", "Succeeded", "complete", "completed", "done", 200],
    ),
    "error": (["oops", {"code": "Internal"}, 5, True], [None, "", {}, False]),
    "errors": ([["oops"]], [[], None, 0]),
    "warnings": (["figures are late", [""]], [[], ""]),
    "total": ([0, 3, -1, "8", True, 8.5], [None]),
    "total_count": ([999], []),
    "totalCount": ([999], []),
    "count": ([999, "8"], []),
    "page": ([2, 5], [0, 1]),
    "total_pages": ([0, 2], [1]),
    "offset": ([1, 100], [0]),
    "start_date": ([f"{BEFORE}", 20250305, "today"], [f"{DAY}"]),
    "startDate": (
        [{"year": 2020, "month": 1, "day": 1}],
        [{"year": DAY.year, "month": DAY.month, "day": DAY.day}],
    ),
    "from": (
        [f"{DAY}T00:00:00-08:00", f"{DAY}T06:00:00Z"],
        [f"{DAY}T00:00:00Z", f"{DAY}T00:00:00"],
    ),
    "end_date": ([f"{BEFORE}", NEXT.date().isoformat()], [f"{DAY}"]),
    "to": (
        [f"{BEFORE}T23:59:59Z", f"{DAY}T00:00:00Z", (NEXT + timedelta(hours=8)).isoformat()],
        [f"{DAY}T23:59:59Z", f"{DAY}T23:59:59", NEXT.isoformat()],
    ),
    "day": ([f"{BEFORE}", 5], [f"{DAY}"]),
    "effective_date": ([f"{BEFORE}"], [f"{DAY}"]),
    "total_days": ([2, 7, "1", True], [1]),
    "window": (
        [{"start": f"{BEFORE}", "end": f"{DAY}"}, f"{BEFORE}/{DAY}", "week", {"novel": 1}],
        [{"start": f"{DAY}", "end": f"{DAY}"}, f"{DAY}/{DAY}", f"{DAY}", [f"{DAY}", f"{DAY}"]],
    ),
    "time_zone": (["CET"], ["UTC"]),
    "timezone": (["America/Los_Angeles", "+02:00", 60], ["UTC", "Etc/UTC", "Z", 0]),
    "utcOffset": (["-08:00"], ["+00:00"]),
    "generated_at": (
        [f"{DAY}T12:00:00Z", f"{BEFORE}", SECONDS - 1, (SECONDS - 1) * 1000],
        [NEXT.isoformat(), f"{DAY}T12:00:00", f"{DAY}", "soon", SECONDS, SECONDS * 1000, 12, True],
    ),
    "metadata.partial": ([True], [False]),
    "meta.timeZone": (["CET"], ["UTC"]),
    "pagination.total": ([999], []),
    "links.next": (["/more"], [None, ""]),
    "_links.self": ([], ["/this"]),
    "requestId": ([], ["r-7", 7]),
    "api_version": ([], ["v0", 2]),
    "novel": (["x", 1, False, 0, {"a": 1}], [None, "", [], {}]),
    "metadata.novel": (["x"], [None]),
    "hasNextPage": ([True], [False, None]),
}


def heard(path: str, value: object) -> None:
    """Read an answer of one page with two records, and this field beside them."""
    fields = value
    for name in reversed(path.split(".")):
        fields = {name: fields}
    envelope = Envelope(USERS, WINDOW, NEXT + timedelta(hours=3))
    raws = msgspec.json.decode(msgspec.json.encode(fields), type=dict[str, msgspec.Raw])
    envelope.read(raws)
    envelope.count(2)
    envelope.check(2)


@pytest.mark.parametrize("path", ENVELOPE_FIELDS)
def test_contradicting_field_is_refused_by_name(path: str) -> None:
    contradictions, fitting = ENVELOPE_FIELDS[path]
    for value in contradictions:
        with pytest.raises(ContractBroken) as caught:
            heard(path, value)
        assert str(caught.value).startswith(f"{USERS}: {path}"), value
    for value in fitting:
        heard(path, value)


def test_early_generation_is_refused_after_the_day() -> None:
    made = {"generated_at": msgspec.Raw(msgspec.json.encode(NEXT - timedelta(hours=2)))}
    Envelope(USERS, WINDOW, NEXT - timedelta(seconds=1)).read(made)
    with pytest.raises(ContractBroken, match=f"{DAY} had not ended by then"):
        Envelope(USERS, WINDOW, NEXT).read(made)


OF_EACH: list[tuple[tuple[str, ...], object]] = [
    (("partial",), True),
    (("total_count",), 999),
    (("errors",), ["oops"]),
    (("date",), f"{BEFORE}"),
    (("metadata", "timezone"), "CET"),
    (("novel",), 1),
]


def test_every_list_of_records_is_heard(each: Asking) -> None:
    if each.endpoint == TENANT:
        pytest.skip("the object is the record: a test of its own")
    for path, value in OF_EACH:
        each.sim.clear_faults()
        each.sim.add_fault(Fault(add_beside(*path, value=value), each.endpoint))
        with pytest.raises(ContractBroken) as caught:
            each.ask()
        assert f"{each.endpoint}: {'.'.join(path)} is " in str(caught.value)
    each.sim.clear_faults()
    each.sim.add_fault(Fault(add_beside("request_id", value="r-7"), each.endpoint))
    each.sim.add_fault(Fault(add_beside("novel", value=None), each.endpoint))
    assert each.ask()


OF_FIGURES: dict[str, list[Any]] = {
    "partial": [True],
    "isTruncated": [True],
    "complete": [False],
    "error": ["oops", {"code": 5}],
    "errors": [["oops"]],
    "timezone": ["CET"],
    "date": [f"{BEFORE}"],
    "period": [{"start": f"{BEFORE}", "end": f"{DAY}"}],
    "metadata": [{"partial": True}, {"timezone": "CET"}],
    "generatedAt": [f"{DAY}T12:00:00Z"],
}


def test_tenants_figures_say_what_they_are_too(home: Home, sim: Simulator) -> None:
    """Other fields beside the known counts are unknown figures."""
    with dashboard(home) as source:
        expected = source.fetch_totals(WINDOW)
        for name, values in OF_FIGURES.items():
            for value in values:
                sim.clear_faults()
                sim.add_fault(Fault(add_beside(name, value=value), TENANT))
                with pytest.raises(ContractBroken, match=f"{TENANT}: {name}"):
                    source.fetch_totals(WINDOW)
        sim.clear_faults()
        for name, value in {
            "seats": 9,
            "status": "new",
            "total": 7,
            "startDate": "2020-01-01",
        }.items():
            sim.add_fault(Fault(add_beside(name, value=value), TENANT))
        assert source.fetch_totals(WINDOW) == expected
        rows = {figure.metric: figure.value for figure in source.fetch_tenant(WINDOW)}
    assert rows.keys() >= {*TENANT_TOTALS, "seats", "status", "total", "startDate"}


@pytest.mark.parametrize("style", ["cursor", "next"])
def test_totals_are_those_of_all_pages(home: Home, start: Start, style: Any) -> None:
    sim = start(paging=Paging(style, page_size=5))
    with dashboard(home) as source:
        expected = source.fetch_users(WINDOW)
        assert isinstance(expected, list)
        number = len(expected)
        assert number > 5
        for name, value in {
            "total": number,
            "count": number,
            "totalPages": -(-number // 5),
        }.items():
            sim.clear_faults()
            sim.add_fault(Fault(add_beside(name, value=value), USERS))
            assert source.fetch_users(WINDOW) == expected, name
            sim.add_fault(Fault(add_beside(name, value=value + 1), USERS))
            with pytest.raises(ContractBroken, match=f"{USERS}: {name} is {value + 1}"):
                source.fetch_users(WINDOW)
        sim.clear_faults()
        sim.add_fault(Fault(numbered, USERS))
        assert source.fetch_users(WINDOW) == expected


def numbered(answer: Answer, request: Request) -> Answer:
    """A page that gives its own number, the number of pages, and the number of earlier ones."""
    body = msgspec.json.decode(answer.body)
    before = int(request.query.get("cursor", "0.0").rpartition(".")[2])
    body |= {"count": len(body["userFeatureStats"]), "page": 1 + before // 5, "offset": before}
    return replace(answer, body=msgspec.json.encode(body))


@pytest.mark.slow
def test_error_beside_an_empty_list_is_refused(home: Home, start: Start, start_api: Start) -> None:
    """With status 200: exit 5, and nothing is stored."""
    lists = {USERS: ["userFeatureStats"], ACTIVITY: ["users"], "dau-count": [], "daily-usage": []}
    for endpoint, path in lists.items():
        sim = start() if endpoint == USERS else start_api()
        home.settings["METRICS_SOURCE"] = "dashboard" if endpoint == USERS else "analytics"
        if path:
            sim.add_fault(Fault(add_beside(*path, value=[]), endpoint))
        sim.add_fault(Fault(add_beside("error", value={"message": "oops"}), endpoint))
        result = home.run(f"{DAY}")
        assert result.code == 5, result.err
        assert f"{endpoint}: error is" in result.err
        assert home.files() == set()


def test_token_in_an_answer_is_not_logged(home: Home, api: Simulator) -> None:
    api.add_fault(Fault(add_beside("error", value=f"no rights for {api.token}, sorry"), ACTIVITY))
    result = home.run(f"{DAY}")
    assert result.code == 5, result.err
    assert "error is 'no rights for … sorry'" in result.err
    assert api.token[:20] not in result.err


def test_count_may_be_of_a_page_or_of_all_pages() -> None:
    for first, last in ((5, 2), (7, 7)):
        envelope = Envelope(USERS, WINDOW, NEXT)
        for said, records in ((first, 5), (None, 5), (last, 2)):
            envelope.read({} if said is None else {"count": msgspec.Raw(b"%d" % said)})
            envelope.count(records)
        if first == 5:
            envelope.check(12)
        else:
            with pytest.raises(ContractBroken, match="count is 7, but 12 records came"):
                envelope.check(12)


# Records


SOURCES: list[tuple[str, Callable[[Home], list[Any]]]] = [
    (USERS, users_of),
    (ACTIVITY, active_users_of),
]
OTHER_DAYS: dict[str, object] = {
    "date": f"{BEFORE}",
    "day": f"{DAY}T00:00:00+02:00",
    "period": {"start": f"{BEFORE}", "end": f"{DAY}"},
    "partial": True,
    "error": "timed out",
}
SAME_DAY: dict[str, object] = {
    "date": f"{DAY}",
    "day": 3,
    "period": "month",
    "start_date": "2020-01-01",
    "timezone": "CET",
    "errors": 3,
}


@pytest.mark.parametrize(("endpoint", "users"), SOURCES)
@pytest.mark.slow
def test_record_of_another_day_refuses_the_answer(
    home: Home, start: Start, start_api: Start, endpoint: str, users: Callable[[Home], list[Any]]
) -> None:
    """A value that may mean something else, such as a member's first day, is an unknown field."""
    sim = asking(endpoint, home, start, start_api).sim
    expected = users(home)
    for name, value in OTHER_DAYS.items():
        sim.clear_faults()
        sim.add_fault(Fault(add_field(name, value, record=2), endpoint))
        with pytest.raises(ContractBroken, match=f"{endpoint}: .*{name}"):
            users(home)
    sim.clear_faults()
    sim.add_fault(Fault(add_field("start_date", "2020-01-01", record=2), endpoint))
    sim.add_fault(Fault(add_field("end_date", "2020-02-01", record=2), endpoint))
    with pytest.raises(ContractBroken, match="start_date"):
        users(home)
    sim.clear_faults()
    for name, value in SAME_DAY.items():
        sim.add_fault(Fault(add_field(name, value, record=2), endpoint))
    found = users(home)
    assert [user.figures for user in found] == [user.figures for user in expected]
    assert [user.extra for user in found if user.extra] == [SAME_DAY]


@pytest.mark.parametrize(("endpoint", "users"), SOURCES)
def test_more_active_days_than_requested_are_refused(
    home: Home, start: Start, start_api: Start, endpoint: str, users: Callable[[Home], list[Any]]
) -> None:
    sim = asking(endpoint, home, start, start_api).sim
    field = FIELDS[DAYS] if endpoint == USERS else DAYS.name
    assert users(home)
    sim.add_fault(Fault(set_value(field, 6, record=2), endpoint))
    with pytest.raises(
        ContractBroken, match=f"{endpoint}: {field} of .* is 6, but {DAY} was requested"
    ):
        users(home)
    week = Window(DAY - timedelta(5), DAY)
    opened = dashboard(home) if endpoint == USERS else analytics(home)
    with opened as source:
        assert source.fetch_users(week)
        sim.add_fault(Fault(set_value(field, 7, record=2), endpoint))
        with pytest.raises(ContractBroken, match=f"{field} of .* is 7"):
            source.fetch_users(week)


@pytest.mark.slow
def test_setting_cannot_hide_the_days_field(home: Home, sim: Simulator) -> None:
    """If a day of the daily job is answered for another window, it is missing: exit 6."""
    sim.add_fault(Fault(set_value(FIELDS[DAYS], 6), USERS, day=DAY))
    result = home.run("--daily", f"{BEFORE}", f"{DAY}")
    assert result.code == 6, result.err
    assert f"{DAY} failed: {USERS}: {FIELDS[DAYS]} of " in result.err


# Repeated keys


def keys_of(endpoint: str) -> list[str]:
    """Keys of an answer, of its records, and of objects within them."""
    of_lists = {
        USERS: [
            "userFeatureStats",
            "userEmail",
            FIELDS[AUGMENT_METRICS[-5]],
            FIELDS[AUGMENT_METRICS[1]],
        ],
        TENANT: list(TENANT_TOTALS),
        ACTIVITY: ["users", "user_email", "metrics", "chat_messages", "has_more", "metadata"],
        "daily-usage": ["daily_usage", "date", "metrics", "chat_messages", "total_days"],
        "dau-count": ["daily_active_user_counts", USER_COUNT.name, "effective_end_date"],
    }
    return [key for key in of_lists[endpoint] if key]


def test_key_that_stands_twice_is_named(each: Asking) -> None:
    for key in keys_of(each.endpoint):
        each.sim.clear_faults()
        each.sim.add_fault(Fault(repeat_key(key, 0), each.endpoint))
        with pytest.raises(ContractBroken) as caught:
            each.ask()
        assert f"{each.endpoint}: the key '{key}' is repeated" in str(caught.value), key


HIDDEN: dict[str, tuple[bytes, bytes]] = {
    "with its own value": (b'"userEmail":', b'"userEmail":"ada@example.com","userEmail":'),
    "with blanks": (b'"userEmail":', b'"userEmail" : "ada@example.com" ,\n "userEmail" :'),
    "escaped": (b'"userEmail":', b'"user\\u0045mail":"ada@example.com","userEmail":'),
    "beside a field that is left out": (b'"firstSeen":null,', b""),
    "in an unknown object": (b'"userEmail":', b'"novel":{"a":1,"a":2},"userEmail":'),
    "in a list of an unknown field": (b'"userEmail":', b'"novel":[{"a":1,"a":1}],"userEmail":'),
    "an unknown field": (b'"userEmail":', b'"novel":1,"novel":1,"userEmail":'),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_repeated_key_is_found_in_every_spelling(home: Home, sim: Simulator, name: str) -> None:
    old, new = HIDDEN[name]
    if not new:
        sim.add_fault(Fault(set_value("firstSeen", None, record=4), USERS))
        sim.add_fault(Fault(repeat_key("chat", 0), USERS))
        old, new = b'"firstSeen":null,', b'"lastSeen":null,'
    sim.add_fault(Fault(of_bytes(lambda body: body.replace(old, new, 1)), USERS))
    with pytest.raises(ContractBroken, match="is repeated"):
        users_of(home)


def test_commas_in_texts_are_no_keys(home: Home, sim: Simulator) -> None:
    """Then every key is checked, and no repeated one is found."""
    sim.add_fault(Fault(set_value("userEmail", '"a,b": ,@example.com', record=2), USERS))
    sim.add_fault(Fault(add_field("novel", ['{"a":1,"a":2}', {}, [], [1, 2]], record=3), USERS))
    assert '"a,b": ,@example.com' in {user.user for user in users_of(home)}


def test_white_space_between_fields_is_ignored(home: Home, sim: Simulator) -> None:
    expected = users_of(home)
    sim.add_fault(Fault(of_bytes(lambda body: msgspec.json.format(body, indent=3)), USERS))
    assert users_of(home) == expected


def test_empty_lists_have_no_keys() -> None:
    for body in (b"[]", b' { "items" : [ ] } ', b'{"items":[],"next":null}'):
        page = parse_page(USERS, "userFeatureStats", body)
        page.refuse_repeated_keys(USERS, 0)


# Zeros


def zeros(answer: Answer, _request: Request) -> Answer:
    """What `daily-usage` and `dau-count` answer for days without anybody."""
    body = msgspec.json.decode(answer.body)
    for day in body.get("daily_active_user_counts", []):
        day[USER_COUNT.name] = 0
    if "daily_usage" in body:
        body["daily_usage"] = []
    return replace(answer, body=msgspec.json.encode(body))


@pytest.mark.slow
def test_totals_of_zero_are_checked_with_users(home: Home, api: Simulator) -> None:
    """They are stored, and differences are reported."""
    expected = active_users_of(home)
    api.requests.clear()
    for endpoint in ("daily-usage", "dau-count"):
        api.add_fault(Fault(zeros, endpoint))
    with analytics(home) as source:
        usage = source.fetch_day(DAY)
    assert usage.users == expected
    assert usage.totals
    assert set(usage.totals.values()) == {0}
    assert api.count(ACTIVITY, DAY) == 1
    home.settings["FETCH_EDITOR_LANGUAGE"] = "false"
    result = home.run("--daily", f"{DAY}", f"{DAY}")
    assert f"{DAY} does not add up: " in result.err


def test_day_without_users_costs_one_request(home: Home, start_api: Start) -> None:
    sim = start_api(Organization(users=0, service_accounts=0, today=DAY + timedelta(1)))
    with analytics(home) as source:
        source.prepare([DAY], [], compared=True)
        assert source.estimate([DAY]).requests == 1
        assert source.fetch_day(DAY).users == []
    assert sim.count(ACTIVITY, DAY) == 1
    assert settings_of(home)


def test_field_of_an_envelope_has_a_bound() -> None:
    envelope = Envelope(USERS, WINDOW, datetime.now(UTC))
    with pytest.raises(ContractBroken, match="novel is longer than 64 KiB"):
        envelope.read({"novel": msgspec.Raw(b'"' + b"x" * (1 << 16) + b'"')})
