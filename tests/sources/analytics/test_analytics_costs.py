"""Costs and budgets from the Analytics API, compared with the organization's own figures."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest

from analytics_runs import DAY, SOUND, WINDOW, failure, opened, point_to
from conftest import Home
from dashboard_scraper.errors import ContractBroken, NotPublished, SourceUnavailable, UsageError
from dashboard_scraper.model.costs import Account, Budget, CostDay, CostKind
from dashboard_scraper.model.dates import Window
from dashboard_scraper.simulator import (
    Billing,
    Fault,
    Organization,
    Request,
    Simulator,
    html,
    raw_body,
    status,
)
from dashboard_scraper.simulator.analytics_api import ENDPOINTS as READ
from dashboard_scraper.simulator.cost_api import BUDGETS, BY_RESOURCE, BY_USER, COSTS, SET_BUDGETS
from dashboard_scraper.simulator.exchange import Answer, json_answer
from dashboard_scraper.sources.analytics.client import AnalyticsSource
from dashboard_scraper.sources.analytics.paths import ALLOWED, PREFIX
from dashboard_scraper.sources.rest.auth import NotAllowed
from stored_days import NOON, TODAY
from tree import ROOT

LONG = Window(TODAY - timedelta(40), TODAY - timedelta(1))
Log = pytest.LogCaptureFixture


@pytest.fixture
def costly(home: Home, in_dollars: Simulator) -> Simulator:
    """A simulator of six users and two accounts, which bills in dollars."""
    point_to(home, in_dollars)
    return in_dollars


def truth(sim: Simulator, window: Window) -> dict[date, CostDay]:
    return {day: sim.organization.costs.of_day(day) for day in window.days()}


def fetched(source: AnalyticsSource, window: Window) -> dict[date, CostDay]:
    totals, costs = source.costs.fetch_totals(window), source.costs.fetch_costs(window)
    assert totals is not None
    assert list(totals) == list(costs) == list(window.days())
    return {day: CostDay(day, costs[day], totals[day]) for day in totals}


def assert_true(home: Home, sim: Simulator, window: Window = LONG) -> None:
    """The fetched days equal the truth, and add up."""
    with opened(home) as source:
        found = fetched(source, window)
    assert found == truth(sim, window)
    assert [day.differences for day in found.values()] == [[]] * len(found)


@pytest.mark.parametrize("billing", ["dollars", "credits"])
@pytest.mark.slow
def test_costs_equal_the_truth(home: Home, billing: Billing) -> None:
    """Including corrections, tiny amounts, and costs of service accounts and of nobody."""
    organization = Organization(users=4, seed=2, today=TODAY, billing=billing)
    with Simulator(organization, rate_limit=False) as sim:
        point_to(home, sim)
        assert_true(home, sim)
        rows = [cost for day in truth(sim, LONG).values() for cost in day.costs]
    assert {cost.account for cost in rows} == set(Account)
    assert {cost.resource_type for cost in rows} == {"MODEL", "COMPUTE"}
    amounts = [
        cost.figures.billed if billing == "dollars" else cost.figures.credits for cost in rows
    ]
    assert min(amount for amount in amounts if amount is not None) < 0
    assert {cost.figures.base is None for cost in rows} == {billing == "credits"}


@pytest.mark.slow
def test_ninety_days_of_a_large_tenant_are_exact(home: Home) -> None:
    window = Window(TODAY - timedelta(90), TODAY - timedelta(1))
    with Simulator(Organization(users=60, today=TODAY), rate_limit=False) as sim:
        point_to(home, sim)
        assert_true(home, sim, window)
        rows = sum(len(day.costs) for day in truth(sim, window).values())
        assert sim.count(COSTS) == 1 + -(-rows // 1000) > 4


def test_days_without_cost_are_zeros(home: Home) -> None:
    """The API leaves them out: their totals are zeros, and they have no rows."""
    organization = Organization(users=1, today=TODAY, service_accounts=0)
    with Simulator(organization, rate_limit=False) as sim:
        point_to(home, sim)
        assert_true(home, sim)
        empty = [day for day in truth(sim, LONG).values() if not day.costs]
    assert empty
    assert {day.total and day.total.billed for day in empty} == {0}


def test_huge_tokens_are_exact(home: Home) -> None:
    """Above 2**53, where binary floats have gaps."""
    with Simulator(Organization(users=4, today=TODAY), rate_limit=False) as sim:
        point_to(home, sim)
        huge = sim.plant_huge_tokens(DAY)
        assert_true(home, sim, WINDOW)
        with opened(home) as source:
            assert huge in source.costs.fetch_costs(WINDOW)[DAY]
    assert (huge.figures.input_tokens or 0) > 2**53


@pytest.mark.slow
def test_costs_are_asked_for_in_whole_pages(home: Home, many: Simulator) -> None:
    window = Window(DAY - timedelta(6), DAY)
    with opened(home) as source:
        found = fetched(source, window)
    assert found == truth(many, window)
    total, *pages = [request.parameters for request in many.requests]
    days = {"start_date": f"{window.start}", "end_date": f"{window.end}"}
    assert {**days, "group_by_keys": []}.items() <= total.items()
    assert "cursor" not in total
    assert len(pages) == -(-sum(len(day.costs) for day in found.values()) // 1000) > 2
    for page in pages:
        grouped = {**days, "group_by_keys": [BY_USER, BY_RESOURCE], "page_size": 1000}
        assert grouped.items() <= page.items()
    assert len({page.get("cursor") for page in pages}) == len(pages)
    assert {request.method for request in many.requests} == {"POST"}


def test_revised_costs_are_fetched_as_they_are(home: Home) -> None:
    with Simulator(Organization(users=4, today=TODAY), rate_limit=False) as sim:
        point_to(home, sim)
        before = truth(sim, WINDOW)
        sim.revise_costs(DAY)
        assert_true(home, sim, WINDOW)
        after = truth(sim, WINDOW)
    assert [day for day in WINDOW.days() if before[day] != after[day]] == [DAY]


# A tenant without the endpoints


@pytest.fixture(params=[403, 404])
def absent(request: pytest.FixtureRequest, home: Home) -> Iterator[Simulator]:
    """A simulator without endpoints for costs."""
    organization = Organization(users=4, today=TODAY)
    with Simulator(organization, rate_limit=False, costs_refused=request.param) as sim:
        point_to(home, sim)
        yield sim


def test_tenant_without_costs_has_none(home: Home, absent: Simulator, caplog: Log) -> None:
    """The log says so once, without a warning."""
    caplog.set_level(logging.INFO, "dashboard_scraper")
    with opened(home) as source:
        assert source.costs.wanted
        assert [source.costs.fetch_totals(WINDOW) for _ in range(3)] == [None] * 3
        assert source.costs.fetch_budgets(["ada@example.com"]) is None
    assert [record.levelno for record in caplog.records] == [logging.INFO] * 2
    for endpoint, record in zip((COSTS, BUDGETS), caplog.records, strict=True):
        assert endpoint in record.getMessage()
    assert absent.count() == 4


def test_required_costs_that_are_absent_are_an_error(home: Home, absent: Simulator) -> None:
    home.settings["FETCH_COST"] = "true"
    with opened(home) as source:
        error = failure(lambda: source.costs.fetch_totals(WINDOW))
        assert source.costs.fetch_budgets(["ada@example.com"]) is None, "these are not required"
    assert type(error) is UsageError
    assert COSTS in str(error)
    assert "FETCH_COST" in str(error)
    assert absent.count() == 2


def test_costs_that_are_not_wanted_say_so(home: Home, costly: Simulator) -> None:
    home.settings["FETCH_COST"] = "false"
    with opened(home) as source:
        assert not source.costs.wanted
    assert costly.requests == []


@pytest.mark.parametrize("code", [403, 404])
@pytest.mark.parametrize("endpoint", [COSTS, BUDGETS])
def test_endpoint_that_disappears_is_an_error(
    home: Home, costly: Simulator, code: int, endpoint: str
) -> None:
    """It answered before, so what it does not answer now is missing rather than not offered."""
    costly.add_fault(Fault(status(code), endpoint, after=1))
    user = costly.organization.members[0].name
    with opened(home) as source:
        run: Callable[[], Any] = lambda: fetched(source, WINDOW)  # noqa: E731
        if endpoint == BUDGETS:
            run = lambda: source.costs.fetch_budgets([user])  # noqa: E731
        error = failure(run)
    assert type(error) is ContractBroken
    assert f"{endpoint}: HTTP {code}, after it had answered before" in str(error)


def test_page_of_a_filter_is_not_absence(home: Home, costly: Simulator) -> None:
    costly.add_fault(Fault(html(403), COSTS))
    with opened(home) as source:
        assert type(failure(lambda: source.costs.fetch_totals(WINDOW))) is SourceUnavailable


def refusing(*keys: str, words: str) -> Callable[[Answer, Request], Answer]:
    """A server that does not know some of the keys to group by."""
    error = {"error": {"code": "InvalidArgument", "message": words}}

    def effect(answer: Answer, request: Request) -> Answer:
        asked = request.parameters["group_by_keys"]
        return json_answer(error, 400) if {*keys} & {*asked} else answer

    return effect


@pytest.mark.parametrize(
    ("words", "named", "other"),
    [
        (f"unknown value {BY_USER!r} of group_by_keys", [BY_USER], [BY_RESOURCE]),
        ("invalid request", [BY_USER, BY_RESOURCE], []),
    ],
)
def test_refused_key_to_group_by_is_named(
    home: Home, costly: Simulator, words: str, named: list[str], other: list[str]
) -> None:
    costly.add_fault(Fault(refusing(BY_USER, words=words), COSTS))
    with opened(home) as source:
        assert source.costs.fetch_totals(WINDOW)
        error = failure(lambda: source.costs.fetch_costs(WINDOW))
    assert isinstance(error, ContractBroken)
    assert words in str(error)
    _, _, keys = str(error).partition("does not group by")
    assert [key for key in named if key in keys] == named
    assert [key for key in other if key in keys] == []


DAYS = {
    "91 days": (Window(TODAY - timedelta(91), TODAY - timedelta(1)), UsageError),
    "today": (Window(TODAY, TODAY), UsageError),
    "too old": (Window(TODAY - timedelta(731), TODAY - timedelta(731)), UsageError),
    "unpublished": (Window(TODAY - timedelta(1), TODAY - timedelta(1)), NotPublished),
}


@pytest.mark.parametrize("name", DAYS)
def test_other_days_are_refused_before_a_request(home: Home, costly: Simulator, name: str) -> None:
    home.settings["ANALYTICS_READY_HOUR"] = "23"
    window, kind = DAYS[name]
    with opened(home) as source:
        assert source.costs.days_at_once == 90
        for fetch in (source.costs.fetch_totals, source.costs.fetch_costs):
            assert type(failure(lambda fetch=fetch: fetch(window))) is kind  # type: ignore[misc]
    assert costly.requests == []


# Budgets


def test_budgets_equal_the_truth(home: Home, costly: Simulator) -> None:
    budgets = costly.organization.costs.budgets()
    assert budgets
    with opened(home) as source:
        names = [member.name for member in costly.organization.members]
        assert source.costs.fetch_budgets(names) == budgets
    asked = [request.parameters for request in costly.requests]
    people = [name for name in names if "@" in name]
    assert len(people) < len(names), "service accounts are not asked for"
    assert [each["user_emails"] for each in asked] == [people, people]
    assert len({each["resource"] for each in asked}) == 2


def test_budget_of_another_spelling_is_the_users(home: Home, costly: Simulator) -> None:
    """It is requested once, and has the first of the caller's spellings of the name."""
    budget, *_ = costly.organization.costs.budgets()
    spelling = budget.user.title()

    override = {
        "user_email": budget.user,
        "resource": "BUDGET_RESOURCE_USD_COST",
        "period": "BUDGET_PERIOD_MONTHLY",
        "config": {"limit": "12.50"},
    }
    answer = raw_body(msgspec.json.encode({"overrides": [override]}))
    costly.add_fault(Fault(answer, BUDGETS, times=1))
    with opened(home) as source:
        found = source.costs.fetch_budgets([spelling, budget.user])
    assert found is not None
    assert [(each.user, f"{each.limit}") for each in found] == [(spelling, "12.5")]
    assert costly.requests[0].parameters["user_emails"] == [spelling]


def test_budgets_are_asked_for_in_batches(home: Home, costly: Simulator) -> None:
    users = [f"user{number}@example.com" for number in range(1001)]
    with opened(home) as source:
        assert source.costs.fetch_budgets(users) == []
        assert source.costs.fetch_budgets(iter(["nightly-build"])) == []
    asked = [request.parameters["user_emails"] for request in costly.requests]
    assert [len(each) for each in asked] == [500, 500, 500, 500, 1, 1]
    assert [name for each in asked[::2] for name in each] == users


def test_both_kinds_of_budgets_are_read(home: Home) -> None:
    with Simulator(Organization(users=1, today=TODAY), rate_limit=False) as sim:
        point_to(home, sim)
        user = sim.organization.members[0].name
        (money,) = sim.organization.costs.budgets()
        sim.organization.costs.set_budget(Budget(user, CostKind.CREDITS, money.limit * 2))
        with opened(home) as source:
            found = source.costs.fetch_budgets([user])
    assert found is not None
    assert {budget.kind: budget.limit for budget in found} == {
        CostKind.MONEY: money.limit,
        CostKind.CREDITS: money.limit * 2,
    }


# Which requests are allowed


CALLS: dict[str, Callable[[AnalyticsSource], object]] = {
    "changed_days": lambda source: source.changed_days({}),
    "check": lambda source: source.check(),
    "check_window": lambda source: source.check_window(WINDOW),
    "estimate": lambda source: source.estimate([DAY]),
    "estimate_records": lambda source: source.estimate_records([10.0]),
    "fetch_credits": lambda source: source.fetch_credits(WINDOW),
    "fetch_day": lambda source: source.fetch_day(DAY),
    "fetch_editor_languages": lambda source: source.fetch_editor_languages(DAY),
    "fetch_tenant": lambda source: source.fetch_tenant(WINDOW),
    "fetch_users": lambda source: source.fetch_users(WINDOW),
    "post": lambda source: source.post(BUDGETS, {}),
    "prepare": lambda source: source.prepare([SOUND], [], compared=True),
    "published": lambda source: source.published(NOON),
    "costs.close_period": lambda source: source.costs.close_period(lambda _: {}),
    "costs.currency_of": lambda source: source.costs.currency_of(DAY),
    "costs.fetch_budgets": lambda source: source.costs.fetch_budgets(["ada@example.com"]),
    "costs.fetch_costs": lambda source: source.costs.fetch_costs(WINDOW),
    "costs.fetch_totals": lambda source: source.costs.fetch_totals(WINDOW),
    "stop": lambda source: source.stop(),
    "close": lambda source: source.close(),
}


def methods_of(found: object, prefix: str = "") -> set[str]:
    return {
        f"{prefix}{name}"
        for name, _ in inspect.getmembers(type(found), inspect.isfunction)
        if not name.startswith("_")
    }


def test_every_method_only_calls_allowed_paths(home: Home, costly: Simulator) -> None:
    with opened(home) as source:
        assert CALLS.keys() == methods_of(source) | methods_of(source.costs, "costs.")
        for call in CALLS.values():
            failure(lambda call=call: call(source))  # type: ignore[misc]
    called = {(request.path.removeprefix(PREFIX), request.method) for request in costly.requests}
    assert called == set(ALLOWED.items())


def test_allowed_paths_only_read() -> None:
    assert ALLOWED.keys() <= {*READ, COSTS, BUDGETS}
    assert SET_BUDGETS not in ALLOWED


def test_documents_list_the_allowed_paths() -> None:
    page = (ROOT / "docs" / "analytics-api.md").read_text(encoding="utf-8")
    listed = re.findall(rf"^\| `(GET|POST) {PREFIX}(\S+)` \|", page, re.MULTILINE)
    assert {name: method for method, name in listed} == ALLOWED
    for name in ("README.md", "docs/signing-in.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "The token is not read-only" in text
        assert "analytics-api.md#what-it-calls" in text


SETTING = f"{PREFIX}{SET_BUDGETS}"
DETOURS: dict[str, tuple[str, str]] = {
    "itself": ("POST", SETTING),
    "by another method": ("GET", SETTING),
    "with a query": ("POST", f"{SETTING}?page_size=1"),
    "below an allowed path": ("POST", f"{PREFIX}{BUDGETS}/../{SET_BUDGETS}"),
    "escaped": ("POST", SETTING.replace("s", "%73")),
    "after an allowed path": ("POST", f"{PREFIX}{BUDGETS}/{SET_BUDGETS}"),
    "an allowed path, by another method": ("POST", f"{PREFIX}user-activity"),
    "another path": ("GET", f"{PREFIX}dau"),
    "the dashboard's": ("GET", "/api/user-feature-stats"),
}


@pytest.mark.parametrize("name", DETOURS)
def test_no_request_leads_to_another_path(home: Home, costly: Simulator, name: str) -> None:
    """Not even if code in this package built such a request: the token is not added."""
    method, path = DETOURS[name]
    with opened(home) as source:
        http = source._http
        with pytest.raises(NotAllowed, match="is not among"):
            http.get(costly.url + path) if method == "GET" else http.post(costly.url + path, b"{}")
    assert costly.requests == []


def test_no_request_leads_to_another_host(home: Home, costly: Simulator) -> None:
    with (
        Simulator(Organization(users=1, today=TODAY), rate_limit=False) as other,
        opened(home) as s,
    ):
        with pytest.raises(NotAllowed):
            s._http.get(f"{other.url}{PREFIX}user-activity")
        assert other.requests == []
    assert costly.requests == []


def test_setting_of_budgets_cannot_be_requested(home: Home, costly: Simulator) -> None:
    with opened(home) as source, pytest.raises(NotAllowed, match=SET_BUDGETS):
        source.post(SET_BUDGETS, {"overrides": []})
    assert costly.requests == []
