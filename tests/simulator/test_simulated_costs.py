"""Costs and budgets of the simulator, over real sockets: other tests rely on these."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from dashboard_scraper import simulator
from dashboard_scraper.model.costs import Account, Budget, CostDay, CostKind
from dashboard_scraper.model.dates import Window
from dashboard_scraper.simulator import Billing, Fault, Organization, Simulator, gate
from dashboard_scraper.simulator.analytics_api import CREDITS as CREDIT_USAGE
from dashboard_scraper.simulator.cost_api import (
    BUDGETS,
    BY_DAY,
    BY_RESOURCE,
    BY_USER,
    COSTS,
    IN_TOTAL,
    MONTHLY,
    SET_BUDGETS,
)

TODAY = date(2025, 10, 31)
START, END = date(2025, 10, 10), date(2025, 10, 21)
DAY = END
DOLLARS = {
    "base_cost_usd": "base",
    "billed_amount_usd": "billed",
    "estimated_customer_cost_usd": "estimated",
}
CREDITS = {"credits_consumed": "credits"}
AMOUNTS = {**DOLLARS, **CREDITS}
TOKENS = {
    name: name
    for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
}
Json = dict[str, Any]
Sums = dict[str, Decimal]


@pytest.fixture(params=["dollars", "credits"])
def billing(request: pytest.FixtureRequest) -> Billing:
    found: Billing = request.param
    return found


@pytest.fixture
def sim(billing: Billing) -> Iterator[Simulator]:
    """A simulator without a rate limit, with each kind of contract."""
    organization = Organization(users=12, seed=3, today=TODAY)
    with Simulator(organization, rate_limit=False, billing=billing) as running:
        yield running


@pytest.fixture(scope="module")
def shared() -> Iterator[Simulator]:
    """A simulator that no test changes."""
    with Simulator(Organization(users=3, today=TODAY), rate_limit=False) as running:
        yield running


def post(sim: Simulator, endpoint: str, body: object) -> requests.Response:
    headers = {"Authorization": f"Bearer {sim.token}", "Connection": "close"}
    url = f"{sim.url}/analytics/v0/{endpoint}"
    return requests.post(url, json=body, headers=headers, timeout=300)


def get(sim: Simulator, endpoint: str, **parameters: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {sim.token}", "Connection": "close"}
    url = f"{sim.url}/analytics/v0/{endpoint}"
    return requests.get(url, params=parameters, headers=headers, timeout=300)


def query(start: date = DAY, end: date = DAY, *keys: str, **more: object) -> Json:
    return {
        "start_date": f"{start}",
        "end_date": f"{end}",
        "granularity": BY_DAY,
        "group_by_keys": list(keys),
        **more,
    }


def points(sim: Simulator, asked: Json) -> list[Json]:
    """The data points of all pages."""
    found: list[Json] = []
    while True:
        answer = post(sim, COSTS, asked)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert page["metadata"]["returned_data_point_count"] == len(page["data_points"])
        found += page["data_points"]
        if not page["pagination"]["has_more"]:
            assert page["pagination"]["next_cursor"] == ""
            return found
        asked = {**asked, "cursor": page["pagination"]["next_cursor"]}


def rows(sim: Simulator, start: date = DAY, end: date = DAY) -> list[Json]:
    return points(sim, query(start, end, BY_USER, BY_RESOURCE))


def sums(found: list[Json]) -> dict[str, Sums]:
    """Each day's exact sums."""
    days: dict[str, Sums] = {}
    for point in found:
        day = days.setdefault(point["start_date"], {})
        for name, value in point["cost_metrics"].items():
            day[name] = day.get(name, Decimal(0)) + Decimal(value)
    return days


def as_points(day: CostDay) -> set[tuple[object, ...]]:
    """The true costs of a day, in the form in which `as_read` has an answer."""
    names = (*TOKENS, *AMOUNTS.values())
    return {
        (
            *(cost.user, cost.account, cost.resource_type, cost.resource),
            *(getattr(cost.figures, name) or Decimal(0) for name in names),
        )
        for cost in day.costs
    }


def as_read(found: list[Json]) -> set[tuple[object, ...]]:
    read = set()
    for point in found:
        group, metrics = point["group_by_values"], point["cost_metrics"]
        account = Account.PERSON if "user_email" in group else Account.UNATTRIBUTED
        account = Account.SERVICE_ACCOUNT if "service_account_name" in group else account
        user = group.get("user_email") or group.get("service_account_name") or ""
        figures = tuple(Decimal(metrics.get(name, "0")) for name in (*TOKENS, *AMOUNTS))
        read.add((user, account, group["resource_type"], group["resource_display_name"], *figures))
    assert len(read) == len(found)
    return read


@pytest.mark.parametrize(("seed", "days"), [(1, 1), (2, 1), (3, 5)])
def test_groups_sum_to_ungrouped_answer(billing: Billing, seed: int, days: int) -> None:
    organization = Organization(9, seed, today=TODAY, billing=billing)
    start = END - timedelta(days - 1)
    with Simulator(organization, rate_limit=False) as sim:
        whole = sums(points(sim, query(start, END)))
        for keys in ([BY_USER], [BY_RESOURCE], [BY_USER, BY_RESOURCE]):
            assert sums(points(sim, query(start, END, *keys, page_size=7))) == whole
        (total,) = points(sim, query(start, END, granularity=IN_TOTAL))
    active = [day for day in Window(start, END).days() if organization.costs.of_day(day).costs]
    assert whole.keys() == {f"{day}" for day in active}
    assert (total["start_date"], total["end_date"]) == (f"{start}", f"{END}")
    for name, value in total["cost_metrics"].items():
        assert Decimal(value) == sum(day[name] for day in whole.values())


@pytest.mark.parametrize("keys", [[], [BY_USER], [BY_RESOURCE], [BY_RESOURCE, BY_USER]])
def test_group_has_keys_asked_for(shared: Simulator, keys: list[str]) -> None:
    named = {BY_USER: {"user_email"}, BY_RESOURCE: {"resource_display_name", "resource_type"}}
    expected = set().union(*(named[key] for key in keys))
    groups = [point.get("group_by_values", {}) for point in points(shared, query(DAY, DAY, *keys))]
    assert len({tuple(group.items()) for group in groups}) == len(groups)
    assert expected in [group.keys() for group in groups]
    assert set().union(*groups) - {"service_account_name"} == expected


def test_answers_equal_the_truth(sim: Simulator) -> None:
    costs = sim.organization.costs
    for day in Window(START, END).days():
        truth = costs.of_day(day)
        assert as_read(rows(sim, day, day)) == as_points(truth)
        assert truth.differences == []
        order = [(cost.user, cost.resource_type, cost.resource) for cost in truth.costs]
        assert order == sorted(order)


def credit_usage(sim: Simulator, start: date, end: date, **more: str) -> dict[str, Decimal]:
    """What each user consumed, according to the endpoint for credits."""
    answer = get(
        sim, CREDIT_USAGE, start_date=f"{start}", end_date=f"{end}", page_size="500", **more
    )
    assert answer.json()["pagination"]["has_more"] is False
    found: dict[str, Decimal] = {}
    for record in answer.json()["records"]:
        name = record.get("user_email") or record["service_account_name"]
        found[name] = found.get(name, Decimal(0)) + Decimal(f"{record['credits_consumed']}")
    return {name: consumed for name, consumed in found.items() if consumed}


def credits_of_rows(sim: Simulator, start: date, end: date) -> dict[str, Decimal]:
    """What each user consumed according to the costs, without rows that belong to nobody."""
    found: dict[str, Decimal] = {}
    for point in rows(sim, start, end):
        group = point["group_by_values"]
        if name := group.get("user_email") or group.get("service_account_name"):
            consumed = Decimal(point["cost_metrics"]["credits_consumed"])
            found[name] = found.get(name, Decimal(0)) + consumed
    return {name: consumed for name, consumed in found.items() if consumed}


def test_credits_are_those_of_credit_usage(sim: Simulator, billing: Billing) -> None:
    """Also after revisions; a contract in dollars has none."""
    end = END - timedelta(1)
    before = credits_of_rows(sim, START, START)
    sim.revise(START)
    revised = credits_of_rows(sim, START, START)
    assert revised.keys() == before.keys()
    assert all(revised[name] > before[name] for name in before)
    sim.revise_costs(START)
    sim.move_costs(START + timedelta(3))
    sim.plant_spike(START + timedelta(4))
    assert credits_of_rows(sim, START, END) == credit_usage(sim, START, END)
    assert credits_of_rows(sim, START, START) == credit_usage(sim, START, START)
    assert credit_usage(sim, START, end, by_date="true", by_model="true") == (
        credit_usage(sim, START, end)
    )
    assert bool(credit_usage(sim, START, END)) == (billing == "credits")


def test_contract_has_amounts_in_one_unit(sim: Simulator, billing: Billing) -> None:
    used, unused = (DOLLARS, CREDITS) if billing == "dollars" else (CREDITS, DOLLARS)
    for point in rows(sim, START, END):
        metrics = point["cost_metrics"]
        assert {metrics.get(name, "0") for name in unused} == {"0"}
        assert any(Decimal(metrics[name]) for name in used)
        assert ("base_cost_usd" in metrics) == (billing == "dollars")


def test_costs_have_every_kind_of_row() -> None:
    """Only corrections and costs of nobody are negative, or on a day without activity."""
    organization = Organization(users=12, today=TODAY)
    seen, idle_and_corrected = set(), set()
    for day in Window(START, END).days():
        active = organization.totals(Window(day, day))
        names = {organization.members[index].name for index in active}
        for cost in organization.costs.of_day(day).costs:
            billed = cost.figures.billed or Decimal(0)
            seen.add((cost.account, cost.resource_type, billed > 0))
            if cost.account is Account.PERSON and cost.user not in names:
                idle_and_corrected.add(cost.user)
            if billed > 0:
                assert cost.user in names or cost.account is Account.UNATTRIBUTED
    assert {(Account.PERSON, kind, True) for kind in ("MODEL", "COMPUTE")} <= seen
    assert (Account.SERVICE_ACCOUNT, "MODEL", True) in seen
    assert {(Account.PERSON, "MODEL", False), (Account.UNATTRIBUTED, "MODEL", False)} <= seen
    assert (Account.UNATTRIBUTED, "MODEL", True) in seen
    assert idle_and_corrected


def test_amounts_are_written_in_full() -> None:
    with Simulator(Organization(users=12, today=TODAY), rate_limit=False) as sim:
        found = [point["cost_metrics"] for point in rows(sim, START, END)]
    amounts = {metrics[name] for metrics in found for name in DOLLARS}
    assert "0.000000123" in amounts
    assert any(len(amount.partition(".")[2]) == 12 for amount in amounts)
    assert not any("E" in amount or amount.startswith(".") for amount in amounts)
    assert {type(metrics[name]) for metrics in found for name in TOKENS} == {int, str}


def test_huge_token_counts_are_exact(sim: Simulator) -> None:
    before = sums(rows(sim))[f"{DAY}"]
    huge = sim.plant_huge_tokens(DAY)
    after = sums(rows(sim))[f"{DAY}"]
    assert [after[name] - before[name] for name in TOKENS] == [2**53 + n for n in (1, 3, 5, 7)]
    assert [after[name] for name in AMOUNTS if name in after] == (
        [before[name] for name in AMOUNTS if name in before]
    )
    assert huge in sim.organization.costs.of_day(DAY).costs
    (whole,) = points(sim, query())
    assert whole["cost_metrics"]["input_tokens"] == f"{after['input_tokens']}"


def test_costs_are_revised_without_usage(sim: Simulator) -> None:
    def usage() -> object:
        return get(sim, "user-activity", start_date=f"{DAY}", end_date=f"{DAY}").json()["users"]

    alone = rows(sim)
    before, used = sums(rows(sim, DAY - timedelta(1), DAY)), usage()
    sim.revise_costs(DAY)
    after = sums(rows(sim, DAY - timedelta(1), DAY))
    changed = {name for name in AMOUNTS if after[f"{DAY}"].get(name) != before[f"{DAY}"].get(name)}
    assert changed in (set(DOLLARS), set(CREDITS))
    assert all(after[f"{DAY}"][name] > before[f"{DAY}"][name] for name in changed)
    assert after.keys() == before.keys()
    assert all(after[day] == before[day] for day in after if day != f"{DAY}")
    assert usage() == used
    assert rows(sim) != alone


def test_revised_usage_costs_the_same_money() -> None:
    with Simulator(Organization(users=12, today=TODAY), rate_limit=False) as sim:
        before = rows(sim)
        sim.revise(DAY)
        assert rows(sim) == before


def test_moved_costs_keep_the_sums(sim: Simulator) -> None:
    whole, before = points(sim, query()), as_read(rows(sim))
    moved = sim.move_costs(DAY)
    assert points(sim, query()) == whole
    after = as_read(rows(sim))
    assert {row[0] for row in after ^ before} == {cost.user for cost in moved}
    assert sums(rows(sim)) == sums(whole)


def test_spike_is_larger_than_all_people(sim: Simulator, billing: Billing) -> None:
    person = sim.organization.people[4]
    metric = "billed" if billing == "dollars" else "credits"
    before = set(sim.organization.costs.of_day(DAY).costs)
    assert as_read(rows(sim)) == as_points(sim.organization.costs.of_day(DAY))
    spike = sim.plant_spike(DAY, person)
    assert (spike.user, spike.resource_type) == (person.name, "MODEL")
    after = sim.organization.costs.of_day(DAY)
    (new,) = set(after.costs) - before
    assert new == spike
    others = [cost for cost in after.costs if cost.user != person.name]
    assert getattr(spike.figures, metric) > sum(getattr(c.figures, metric) for c in others)
    assert as_read(rows(sim)) == as_points(after)


def test_spike_is_a_rise_on_any_day() -> None:
    """Also if one person's costs are reduced by more than those of everybody together."""
    with Simulator(Organization(users=2, today=TODAY), rate_limit=False) as sim:
        found = []
        for day in Window(START, END).days():
            with suppress(LookupError):
                found.append(sim.plant_spike(day).figures.billed or 0)
    assert min(found) > 0
    assert len(found) >= 6


@pytest.mark.parametrize("change", ["plant_spike", "plant_huge_tokens", "move_costs"])
def test_nothing_is_planted_without_people(change: str) -> None:
    sim = Simulator(Organization(users=0, today=TODAY))
    with pytest.raises(LookupError, match=f"nobody has costs on {DAY}"):
        getattr(sim, change)(DAY)


def test_pages_have_at_most_1000_points() -> None:
    with Simulator(Organization(users=200, today=TODAY), rate_limit=False) as sim:
        window = Window(END - timedelta(8), END)
        asked = query(window.start, window.end, BY_USER, BY_RESOURCE)
        pages: list[Json] = []
        while not pages or pages[-1]["pagination"]["has_more"]:
            cursor = {"cursor": pages[-1]["pagination"]["next_cursor"]} if pages else {}
            pages.append(post(sim, COSTS, {**asked, **cursor, "page_size": 1000}).json())
        cursor = pages[0]["pagination"]["next_cursor"]
        foreign = {**query(DAY, DAY, BY_USER, BY_RESOURCE), "cursor": cursor}
        for change in (
            {},
            {**asked, "group_by_keys": [BY_USER]},
            {**asked, "granularity": IN_TOTAL},
        ):
            refused = post(sim, COSTS, {**foreign, **change}).json()
            assert refused["error"]["message"] == "invalid cursor"
        costs = sim.organization.costs
        expected = sum(len(costs.rows(day)) for day in window.days())
    lengths = [len(page["data_points"]) for page in pages]
    assert set(lengths[:-1]) == {1000}
    assert sum(lengths) == expected > 1000


def test_users_may_be_filtered(sim: Simulator) -> None:
    name = sim.move_costs(DAY)[0].user
    asked = query(START, END, BY_USER, BY_RESOURCE)
    own = [p for p in points(sim, asked) if p["group_by_values"].get("user_email") == name]
    assert points(sim, {**asked, "filters": {"user_emails": [name]}}) == own != []
    only = {**query(START, END), "filters": {"user_emails": [name]}}
    assert sums(points(sim, only)) == sums(own)


def test_costs_share_the_limit_of_credits(monkeypatch: pytest.MonkeyPatch) -> None:
    # Time stands still: on a busy machine, this many requests take more than two seconds.
    monkeypatch.setattr(gate, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    with Simulator(Organization(users=3, today=TODAY)) as sim:
        codes = [post(sim, COSTS, query()).status_code for _ in range(14)]
        codes += [get(sim, CREDIT_USAGE).status_code for _ in range(8)]
        codes += [post(sim, BUDGETS, budget_query(sim)).status_code for _ in range(8)]
        refused = post(sim, COSTS, query())
        assert codes == [200] * 30
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "2"
        assert get(sim, "dau-count").status_code == 200


REFUSED: dict[str, tuple[Json, str]] = {
    "today": ({"end_date": f"{TODAY}"}, "is not available yet"),
    "91 days": ({"start_date": "2025-07-23"}, "must not exceed 90 days"),
    "too old": ({"start_date": "2023-10-01", "end_date": "2023-10-01"}, "more than 2 years ago"),
    "end first": ({"end_date": f"{START}"}, "must not be after"),
    "no date": ({"start_date": "20251021"}, "start_date must be YYYY-MM-DD"),
    "granularity": ({"granularity": "DAY"}, "unknown value 'DAY' of granularity"),
    "group": ({"group_by_keys": ["TEAM"]}, "unknown value 'TEAM' of group_by_keys"),
    "field": ({"group_by": []}, "unknown field `group_by`"),
    "filter": ({"filters": {"users": []}}, "unknown field `users`"),
    "page too long": ({"page_size": 1001}, "page_size must be between 1 and 1000"),
    "no page": ({"page_size": 0}, "page_size must be between 1 and 1000"),
    "cursor": ({"cursor": "made-up"}, "invalid cursor"),
    "type": ({"page_size": "5"}, "Expected `int`"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_query_out_of_bounds_is_refused(shared: Simulator, name: str) -> None:
    change, words = REFUSED[name]
    answer = post(shared, COSTS, {**query(), **change})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "InvalidArgument"
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize("body", [None, [], "text", {"start_date": f"{DAY}"}])
def test_unreadable_body_is_refused(shared: Simulator, body: object) -> None:
    answer = post(shared, COSTS, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("invalid request body")


def test_chunked_body_is_refused(shared: Simulator) -> None:
    """The connection is closed too, since nobody reads the body."""
    head = f"POST /analytics/v0/{COSTS} HTTP/1.1\r\nAuthorization: Bearer {shared.token}\r\n"
    head += "Host: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    place = ("127.0.0.1", int(shared.url.rpartition(":")[2]))
    with socket.create_connection(place, timeout=300) as connection:
        connection.sendall(head.encode() + b"2\r\n{}\r\n0\r\n\r\n")
        received = b""
        with suppress(ConnectionResetError):  # the server had not read everything
            while data := connection.recv(4096):
                received += data
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.endswith(b"}}")
    assert b"invalid request body" in received


def test_each_endpoint_has_one_method(shared: Simulator) -> None:
    for answer, allowed in (
        (get(shared, COSTS), "POST"),
        (get(shared, SET_BUDGETS), "POST"),
        (post(shared, "user-activity", {}), "GET"),
        (requests.post(f"{shared.url}/api/user-feature-stats", timeout=300), "GET"),
    ):
        assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize("code", [403, 404])
def test_tenant_may_lack_costs(code: Any) -> None:
    organization = Organization(users=3, today=TODAY)
    with Simulator(organization, rate_limit=False, costs_refused=code) as sim:
        for endpoint in (COSTS, BUDGETS, SET_BUDGETS):
            answer = post(sim, endpoint, query())
            assert answer.status_code == code
            assert answer.json()["error"].keys() == {"code", "message"}
        assert get(sim, CREDIT_USAGE).status_code == 200
        assert requests.post(f"{sim.url}/analytics/v0/{COSTS}", timeout=300).status_code == 401


def budget_query(sim: Simulator, **changes: object) -> Json:
    billing = sim.organization.costs.billing
    resource = "USD_COST" if billing == "dollars" else "CREDITS_CONSUMED"
    return {
        "user_emails": [person.name for person in sim.organization.people],
        "resource": f"BUDGET_RESOURCE_{resource}",
        "period": MONTHLY,
        **changes,
    }


def test_some_users_have_budgets(sim: Simulator, billing: Billing) -> None:
    overrides = post(sim, BUDGETS, budget_query(sim)).json()["overrides"]
    kind = CostKind.MONEY if billing == "dollars" else CostKind.CREDITS
    found = [Budget(o["user_email"], kind, Decimal(o["config"]["limit"])) for o in overrides]
    assert found == sim.organization.costs.budgets()
    assert 0 < len(found) < len(sim.organization.people)
    one = {"user_emails": [found[0].user, "stranger@example.com"]}
    assert post(sim, BUDGETS, budget_query(sim, **one)).json()["overrides"] == overrides[:1]
    other = {"dollars": "CREDITS_CONSUMED", "credits": "USD_COST"}[billing]
    foreign = budget_query(sim, resource=f"BUDGET_RESOURCE_{other}")
    assert post(sim, BUDGETS, foreign).json()["overrides"] == []


@pytest.mark.parametrize(
    ("field", "value"), [("resource", "USD"), ("period", "MONTH"), ("user_emails", []), ("more", 1)]
)
def test_budget_query_is_checked(shared: Simulator, field: str, value: object) -> None:
    answer = post(shared, BUDGETS, budget_query(shared, **{field: value}))
    assert answer.status_code == 400
    assert field in answer.json()["error"]["message"]


def test_call_that_sets_budgets_is_recorded(sim: Simulator) -> None:
    override, *_ = post(sim, BUDGETS, budget_query(sim)).json()["overrides"]
    override["config"]["limit"] = "12.5"
    assert sim.count(SET_BUDGETS) == 0
    assert post(sim, SET_BUDGETS, {"overrides": [override]}).status_code == 200
    (call,) = (request for request in sim.requests if request.endpoint == SET_BUDGETS)
    assert (call.method, call.parameters) == ("POST", {"overrides": [override]})
    assert override in post(sim, BUDGETS, budget_query(sim)).json()["overrides"]
    strange = {**override, "user_email": "stranger@example.com"}
    assert post(sim, SET_BUDGETS, {"overrides": [strange]}).status_code == 400


def test_posted_request_is_recorded(shared: Simulator) -> None:
    post(shared, COSTS, query(DAY, DAY, BY_USER))
    last = shared.requests[-1]
    assert (last.method, last.endpoint, last.day, last.status) == ("POST", COSTS, DAY, 200)
    assert last.parameters == query(DAY, DAY, BY_USER)
    assert shared.count(COSTS, DAY) >= 1


def test_faults_apply_to_posted_requests(sim: Simulator) -> None:
    """They are chosen by endpoint, day and grouping."""
    name = "billed_amount_usd"
    by = Decimal("0.000000000000000001")
    raised = simulator.raise_total(DAY, name, by)
    sim.add_fault(Fault(raised, COSTS, asks=simulator.ungrouped))
    difference = sums(points(sim, query()))[f"{DAY}"][name] - sums(rows(sim))[f"{DAY}"][name]
    assert difference == by
    sim.clear_faults()
    sim.add_fault(Fault(simulator.set_value(name, "x", record=1), COSTS, DAY))
    sim.add_fault(Fault(simulator.set_value("user_email", "x@example.com", record=0), COSTS, DAY))
    first, second, *_ = post(sim, COSTS, query(DAY, DAY, BY_USER, BY_RESOURCE)).json()[
        "data_points"
    ]
    assert first["group_by_values"]["user_email"] == "x@example.com"
    assert second["cost_metrics"][name] == "x"
    assert rows(sim, DAY - timedelta(1), DAY) != []
    sim.clear_faults()
    sim.add_fault(Fault(simulator.status(503, message="later"), COSTS, times=1))
    assert post(sim, COSTS, query()).json()["error"]["message"] == "later"
    sim.add_fault(Fault(simulator.cut_body("chunked"), COSTS, times=1))
    with pytest.raises(requests.RequestException):
        post(sim, COSTS, query())
    assert post(sim, COSTS, query()).status_code == 200


def test_posted_pages_may_loop_or_repeat(sim: Simulator) -> None:
    tokens = [point["cost_metrics"]["cache_read_tokens"] for point in rows(sim, START, END)]
    of_text = next(place for place, count in enumerate(tokens, 1) if isinstance(count, str))
    asked = query(START, END, BY_USER, BY_RESOURCE, page_size=of_text)
    sim.add_fault(Fault(simulator.repeat_user(changed=True), COSTS))
    first = post(sim, COSTS, asked).json()
    cursor = first["pagination"]["next_cursor"]
    again = post(sim, COSTS, {**asked, "cursor": cursor}).json()["data_points"][0]
    last = first["data_points"][-1]
    assert again["group_by_values"] == last["group_by_values"]
    pairs = [(again["cost_metrics"][name], last["cost_metrics"][name]) for name in TOKENS]
    assert all(int(one) == int(other) + 1 for one, other in pairs)
    sim.clear_faults()
    sim.add_fault(Fault(simulator.repeat_cursor(), COSTS))
    page = post(sim, COSTS, {**asked, "cursor": cursor}).json()["pagination"]
    assert page == {"has_more": True, "next_cursor": cursor}
    sim.clear_faults()
    sim.add_fault(Fault(simulator.alternate_cursors(), COSTS))
    cursors: list[str] = []
    for _ in range(4):
        more = {"cursor": cursors[-1]} if cursors else {}
        cursors.append(post(sim, COSTS, {**asked, **more}).json()["pagination"]["next_cursor"])
    assert cursors == cursors[:2] * 2
