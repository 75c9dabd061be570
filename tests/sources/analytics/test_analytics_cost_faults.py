"""Faults in answers about costs and budgets: retried, or refused with endpoint and field."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from analytics_runs import (
    DAY,
    ELSEWHERE,
    METADATA,
    SOUND,
    both,
    failure,
    opened,
    point_to,
    twice,
    without,
)
from conftest import Home
from dashboard_scraper.errors import (
    ContractBroken,
    ScraperError,
    SignInRequired,
    SourceUnavailable,
)
from dashboard_scraper.model.dates import Window
from dashboard_scraper.simulator import (
    Fault,
    Request,
    Simulator,
    add_beside,
    alternate_cursors,
    cut_body,
    hang,
    html,
    null_body,
    raw_body,
    redirect,
    repeat_cursor,
    repeat_key,
    repeat_user,
    reset,
    reset_mid_body,
    set_cookie,
    status,
)
from dashboard_scraper.simulator.cost_api import BUDGETS, COSTS
from dashboard_scraper.simulator.exchange import Answer
from dashboard_scraper.simulator.faults import Effect
from dashboard_scraper.sources.analytics.client import AnalyticsSource
from dashboard_scraper.sources.analytics.cost_answers import OPTIONAL, WIRE_METRICS
from effects import in_place, put

POINT = ("data_points", 0)
METRICS, GROUP = (*POINT, "cost_metrics"), (*POINT, "group_by_values")
BILLED = "billed_amount_usd"
ONE_DAY = Window(DAY, DAY)
Json = Any
Log = pytest.LogCaptureFixture


@pytest.fixture
def spring(home: Home, in_dollars: Simulator) -> Simulator:
    """A simulator of six users and two accounts, which bills in dollars."""
    point_to(home, in_dollars)
    return in_dollars


def person(sim: Simulator) -> str:
    return sim.organization.costs.budgets()[0].user


def totals(source: AnalyticsSource, _sim: Simulator) -> object:
    return source.costs.fetch_totals(ONE_DAY)


def rows(source: AnalyticsSource, _sim: Simulator) -> object:
    return source.costs.fetch_costs(ONE_DAY)


def budgets(source: AnalyticsSource, sim: Simulator) -> object:
    return source.costs.fetch_budgets([person(sim)])


Fetch = Callable[[AnalyticsSource, Simulator], object]
FETCHES: dict[str, tuple[Fetch, str]] = {
    "totals": (totals, COSTS),
    "rows": (rows, COSTS),
    "budgets": (budgets, BUDGETS),
}


def error_of(home: Home, sim: Simulator, effect: Effect, fetch: Fetch) -> ScraperError:
    """The error of a fetch with this fault in every answer."""
    for endpoint in (COSTS, BUDGETS):
        sim.add_fault(Fault(effect, endpoint))
    with opened(home) as source:
        error = failure(lambda: fetch(source, sim))
    assert error is not None
    return error


def refused(home: Home, sim: Simulator, effect: Effect, fetch: Fetch = rows) -> str:
    """The message of the broken contract, which names the endpoint."""
    error = error_of(home, sim, effect, fetch)
    assert type(error) is ContractBroken, error
    assert str(error).startswith((COSTS, BUDGETS))
    return str(error)


TEMPORARY: dict[str, Effect] = {
    **{f"{code}": status(code) for code in (429, 500, 502, 503, 504)},
    "429 with a wait": status(429, "0"),
    "page of a gateway": html(503),
    "reset": reset(),
    "reset mid body": reset_mid_body(),
    "cut, by length": cut_body("length"),
    "cut, by chunk": cut_body("chunked"),
    "cut, by close": cut_body("close"),
    "empty": raw_body(b""),
}


@pytest.mark.parametrize("name", TEMPORARY)
@pytest.mark.parametrize("kind", FETCHES)
def test_temporary_fault_costs_one_request(
    home: Home, spring: Simulator, kind: str, name: str
) -> None:
    """A POST is repeated like a GET, since these only read."""
    fetch, endpoint = FETCHES[kind]
    with opened(home) as source:
        due = fetch(source, spring)
        sent = spring.count(endpoint)
        spring.add_fault(Fault(TEMPORARY[name], endpoint, times=1))
        assert fetch(source, spring) == due
    assert spring.count(endpoint) == 2 * sent + 1
    first, second = spring.requests[sent : sent + 2]
    assert first.body == second.body != b""


@pytest.mark.parametrize(
    "name",
    ["429", "503", "reset", "cut, by chunk", pytest.param("hang", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("kind", FETCHES)
def test_lasting_fault_is_unavailable(home: Home, spring: Simulator, kind: str, name: str) -> None:
    home.settings["REQUEST_TIMEOUT_SECONDS"] = "0.5" if name == "hang" else "60"
    effect = {**TEMPORARY, "hang": hang(300)}[name]
    fetch, endpoint = FETCHES[kind]
    error = error_of(home, spring, effect, fetch)
    assert type(error) is SourceUnavailable
    assert endpoint in str(error)
    assert spring.count() == 2, "with MAX_RETRIES=1"


BROKEN: dict[str, Effect] = {
    "page": html(),
    "null": null_body(),
    "empty object": raw_body(b"{}"),
    "bare list": raw_body(b"[]"),
    "broken JSON": raw_body(b'{"data_points":[}'),
    "more after the JSON": raw_body(b"{}{}"),
    "no UTF-8": raw_body(b'{"data_points":"\xff"}'),
    "nested without an end": raw_body(b'{"data_points":' + b"[" * 20_000 + b"]" * 20_000 + b"}"),
    "error with status 200": raw_body(b'{"error":{"code":"Internal","message":"oops"}}'),
    "redirect": redirect(ELSEWHERE),
    "400": status(400),
    "405": status(405),
    "204": status(204),
    "206": status(206),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("kind", FETCHES)
def test_broken_answers_are_refused(home: Home, spring: Simulator, kind: str, name: str) -> None:
    fetch, endpoint = FETCHES[kind]
    error = error_of(home, spring, BROKEN[name], fetch)
    assert isinstance(error, ContractBroken)
    assert endpoint in str(error)
    assert spring.count() == 1


@pytest.mark.parametrize("kind", FETCHES)
def test_refused_token_asks_to_sign_in(home: Home, spring: Simulator, kind: str) -> None:
    assert type(error_of(home, spring, status(401), FETCHES[kind][0])) is SignInRequired


@pytest.mark.parametrize("name", METADATA)
@pytest.mark.parametrize("fetch", [totals, rows])
def test_wrong_days_of_an_answer_are_refused(
    home: Home, spring: Simulator, fetch: Fetch, name: str
) -> None:
    effect, words = METADATA[name]
    assert words in refused(home, spring, effect, fetch)


DAYS: dict[str, tuple[Effect, str]] = {
    "start missing": (without(*POINT, "start_date"), "start_date"),
    "end missing": (without(*POINT, "end_date"), "end_date"),
    "two days": (put(*POINT, "start_date", value=f"{SOUND}"), "each must be a single day"),
    "another day": (
        both(*(put(*POINT, f"{end}_date", value=f"{SOUND}") for end in ("start", "end"))),
        f"{DAY} was requested, the answer has {SOUND} too",
    ),
    "a moment": (put(*POINT, "start_date", value=f"{DAY}T00:00:00Z"), "start_date"),
    "no day": (put(*POINT, "end_date", value="2025-02-30"), "end_date"),
    "null": (put(*POINT, "end_date", value=None), "end_date"),
    "a number": (put(*POINT, "end_date", value=20250305), "end_date"),
}


@pytest.mark.parametrize("name", DAYS)
@pytest.mark.parametrize("fetch", [totals, rows])
def test_wrong_days_of_a_row_are_refused(
    home: Home, spring: Simulator, fetch: Fetch, name: str
) -> None:
    effect, words = DAYS[name]
    message = refused(home, spring, effect, fetch)
    assert words in message
    assert "data_points[0]" in message or "$[0]" in message


def renamed(name: str) -> Callable[[Json], None]:
    def change(body: Json) -> None:
        metrics = body["data_points"][0]["cost_metrics"]
        metrics[f"{name}_v2"] = metrics.pop(name)

    return change


@pytest.mark.parametrize("name", sorted(WIRE_METRICS.keys() - {OPTIONAL}))
@pytest.mark.parametrize("fetch", [totals, rows])
def test_missing_metric_names_the_unknown_ones(
    home: Home, spring: Simulator, fetch: Fetch, name: str
) -> None:
    message = refused(home, spring, in_place(renamed(name)), fetch)
    assert f"data_points[0].cost_metrics: {name} is missing" in message
    assert f"unknown fields there: {name}_v2" in message


def test_missing_base_is_unknown(home: Home, spring: Simulator) -> None:
    spring.add_fault(Fault(without(*METRICS, OPTIONAL), COSTS))
    with opened(home) as source:
        found = source.costs.fetch_totals(ONE_DAY)
    assert found is not None
    assert found[DAY].base is None
    assert found[DAY].billed


SHAPES: dict[str, tuple[Effect, str]] = {
    "metrics missing": (without(*METRICS), "cost_metrics"),
    "metrics null": (put(*METRICS, value=None), "cost_metrics"),
    "metrics a list": (put(*METRICS, value=[]), "cost_metrics"),
    "points missing": (without("data_points"), "data_points is missing"),
    "points null": (put("data_points", value=None), "data_points"),
    "points an object": (put("data_points", value={}), "data_points"),
    "a point null": (put(*POINT, value=None), "data_points"),
    "pagination missing": (without("pagination"), "pagination is missing"),
    "has_more missing": (without("pagination", "has_more"), "has_more"),
    "has_more a text": (put("pagination", "has_more", value="false"), "has_more"),
    "more without a cursor": (put("pagination", "has_more", value=True), "next_cursor is missing"),
    "count missing": (
        without("metadata", "returned_data_point_count"),
        "returned_data_point_count",
    ),
    "count a text": (put("metadata", "returned_data_point_count", value="1"), "metadata"),
    "count too high": (
        put("metadata", "returned_data_point_count", value=10**6),
        "metadata.returned_data_point_count is 1000000, but",
    ),
    "count of 0": (put("metadata", "returned_data_point_count", value=0), "is 0, but"),
    "partial": (add_beside("metadata", "partial", value=True), "metadata.partial is True"),
    "a warning": (add_beside("warnings", value=["late"]), "warnings"),
    "another list": (add_beside("records", value=[]), "records"),
    "an unknown field": (add_beside("metadata", "note", value="x"), "metadata.note"),
    "other pages": (add_beside("next", value="/x"), "next"),
    "early": (put("metadata", "generated_at", value=f"{DAY}T03:00:00Z"), "had not ended"),
    "a partial point": (put(*POINT, "partial", value=True), "data_points[0]: partial is True"),
    "a point with an error": (put(*POINT, "error", value="late"), "data_points[0]: error"),
    "a partial metric": (put(*METRICS, "is_partial", value=True), "cost_metrics: is_partial"),
    "a point of another day": (put(*POINT, "date", value=f"{SOUND}"), "data_points[0]: date"),
    "a repeated metric": (repeat_key(BILLED, "0"), f"'{BILLED}' is repeated"),
    "a repeated day": (repeat_key("start_date", f"{DAY}"), "'start_date' is repeated"),
    "a repeated count": (repeat_key("returned_data_point_count", 1), "is repeated"),
    "a repeated list": (repeat_key("data_points", []), "'data_points' is repeated"),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("fetch", [totals, rows])
def test_other_shapes_are_refused(home: Home, spring: Simulator, fetch: Fetch, name: str) -> None:
    effect, words = SHAPES[name]
    assert words in refused(home, spring, effect, fetch)


CURRENCIES: dict[str, Effect] = {
    "an amount": put(*METRICS, "billed_amount_eur", value="3.10"),
    "an unknown amount": put(*METRICS, "tax_gbp", value=None),
    "an amount in lira": put(*METRICS, "billed_amount_try", value="3.10"),
    "capitals": put(*METRICS, "costCHF_EUR", value="3.10"),
    "of the metrics": put(*METRICS, "currency", value="EUR"),
    "of the point": put(*POINT, "currency", value="EUR"),
    "of the point, by another name": put(*POINT, "billing_currency", value="JPY"),
    "of the point, within": put(*POINT, "price", value={"list": [{"currencyCode": "EUR"}]}),
    "several": put(*POINT, "currencies", value=["USD", "EUR"]),
    "of the answer": put("currency", value="EUR"),
    "of the metadata": put("metadata", "currency", value="EUR"),
    "of the group": put(*GROUP, "currency", value="EUR"),
}


@pytest.mark.parametrize("name", CURRENCIES)
def test_other_currencies_are_refused(home: Home, spring: Simulator, name: str) -> None:
    message = refused(home, spring, CURRENCIES[name])
    assert "USD" in message or name == "of the group"


def test_dollars_may_be_named(home: Home, spring: Simulator, caplog: Log) -> None:
    caplog.set_level(logging.INFO, "dashboard_scraper")
    with opened(home) as source:
        due = rows(source, spring)
        for path in ((*METRICS, "currency"), (*POINT, "currency"), ("metadata", "currency")):
            spring.add_fault(Fault(put(*path, value="USD"), COSTS))
        assert rows(source, spring) == due
    assert caplog.records == []


def test_irrelevant_fields_change_nothing(home: Home, spring: Simulator) -> None:
    with opened(home) as source:
        due = [fetch(source, spring) for fetch, _ in FETCHES.values()]
        for endpoint in (COSTS, BUDGETS):
            spring.add_fault(Fault(set_cookie("tracking=1; Path=/"), endpoint))
            spring.add_fault(Fault(add_beside("metadata", "request_id", value="r-7"), endpoint))
        spring.add_fault(Fault(put("pagination", "next_cursor", value=None), COSTS))
        assert [fetch(source, spring) for fetch, _ in FETCHES.values()] == due
    assert {request.cookie for request in spring.requests} == {None}


def test_unknown_fields_are_named_once(home: Home, spring: Simulator, caplog: Log) -> None:
    """Unknown figures on which no known one depends, even in US dollars."""
    with opened(home) as source:
        due = rows(source, spring)
        spring.add_fault(Fault(put(*METRICS, "discount_usd", value="0.10"), COSTS))
        spring.add_fault(Fault(put(*METRICS, "tokens_all", value=[1e308, 5]), COSTS))
        spring.add_fault(Fault(put(*POINT, "region", value={"name": "eu"}), COSTS))
        assert [rows(source, spring) for _ in range(2)] == [due, due]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    expected = "unknown fields of costs, left out: discount_usd, region, tokens_all (3)"
    assert record.getMessage() == expected


def _append_like_the_first(body: Json) -> None:
    first = body["data_points"][0]
    group = {**first["group_by_values"]}
    (name,) = (key for key in group if not key.startswith("resource"))
    twice(body, "data_points", group_by_values={**group, name: f"\u200b{group[name]} "})
    body["metadata"]["returned_data_point_count"] += 1


GROUPS: dict[str, tuple[Effect, str]] = {
    "missing": (without(*GROUP), "resource_type is missing"),
    "null": (put(*GROUP, value=None), "resource_type is missing"),
    "a list": (put(*GROUP, value=[]), "group_by_values"),
    "two identities": (
        both(
            put(*GROUP, "user_email", value="a@b"), put(*GROUP, "service_account_name", value="c")
        ),
        "both of user_email and service_account_name",
    ),
    "an unknown key": (put(*GROUP, "product", value="cli"), "product is unknown"),
    "an unknown null": (put(*GROUP, "product", value=None), "product is unknown"),
    "a user as a number": (put(*GROUP, "user_email", value=5), "group_by_values"),
    "a blank user": (put(*GROUP, "user_email", value=" "), "is not a name"),
    "a long user": (put(*GROUP, "user_email", value="x" * 321), "321 characters"),
    "a control character": (put(*GROUP, "user_email", value="a\x07b@c"), "control characters"),
    "no resource": (without(*GROUP, "resource_display_name"), "resource_display_name is missing"),
    "no type": (without(*GROUP, "resource_type"), "resource_type is missing"),
    "null resource": (put(*GROUP, "resource_display_name", value=None), "is missing"),
    "empty resource": (put(*GROUP, "resource_display_name", value=""), "is empty"),
    "empty type": (put(*GROUP, "resource_type", value=""), "resource_type is empty"),
    "long resource": (put(*GROUP, "resource_display_name", value="x" * 201), "201 characters"),
    "NUL": (put(*GROUP, "resource_type", value="MO\x00DEL"), "resource_type has a NUL"),
    "the same row twice": (repeat_user(), "came twice"),
    "other figures": (repeat_user(changed=True), "came twice"),
    "the same row, spelled otherwise": (
        in_place(_append_like_the_first),
        "came twice",
    ),
}


@pytest.mark.parametrize("name", GROUPS)
def test_other_groups_are_refused(home: Home, spring: Simulator, name: str) -> None:
    effect, words = GROUPS[name]
    if "twice" in words and "spelled" not in name:
        count = in_place(
            lambda body: body["metadata"].update(returned_data_point_count=len(body["data_points"]))
        )
        effect = both(effect, count)
    assert words in refused(home, spring, effect)


@pytest.mark.parametrize("value", [None, ""])
def test_row_that_names_nobody_is_of_nobody(
    home: Home, spring: Simulator, value: str | None
) -> None:
    window = Window(DAY - timedelta(6), DAY)
    nobody = in_place(
        lambda body: [
            point["group_by_values"].setdefault("user_email", value)
            for point in body["data_points"]
            if "service_account_name" not in point["group_by_values"]
        ]
    )
    with opened(home) as source:
        due = source.costs.fetch_costs(window)
        spring.add_fault(Fault(nobody, COSTS))
        assert source.costs.fetch_costs(window) == due
    assert "" in {cost.user for costs in due.values() for cost in costs}


def test_group_of_a_whole_day_is_refused(home: Home, spring: Simulator) -> None:
    effect = put(*GROUP, value={"resource_type": "MODEL"})
    assert "resource_type was not asked for" in refused(home, spring, effect, totals)
    spring.clear_faults()
    spring.add_fault(Fault(put(*GROUP, value={}), COSTS))
    with opened(home) as source:
        assert totals(source, spring)


def test_second_total_of_a_day_is_refused(home: Home, spring: Simulator) -> None:
    def change(body: Json) -> None:
        twice(body, "data_points")
        body["metadata"]["returned_data_point_count"] += 1

    assert f"{DAY} came twice" in refused(home, spring, in_place(change), totals)


PAGES = {"the same cursor": repeat_cursor, "two cursors in turn": alternate_cursors}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.slow
def test_endless_pages_are_refused(home: Home, many: Simulator, name: str) -> None:
    window, pages = Window(DAY - timedelta(9), DAY), PAGES[name]()
    assert "circle" in refused(home, many, pages, lambda s, _: s.costs.fetch_costs(window))
    assert many.count() <= 3


def test_page_of_totals_that_comes_again_is_refused(home: Home, spring: Simulator) -> None:
    """Each time with another cursor."""
    pages: list[bytes] = []

    def again(answer: Answer, _request: Request) -> Answer:
        pages.append(answer.body)
        body = msgspec.json.decode(pages[0])
        body["pagination"] = {"has_more": True, "next_cursor": f"{len(pages)}"}
        return Answer(200, msgspec.json.encode(body))

    assert "came twice" in refused(home, spring, again, totals)
    assert spring.count() == 2


OVERRIDE = ("overrides", 0)
BUDGET_FAULTS: dict[str, tuple[Effect, str]] = {
    "overrides missing": (without("overrides"), "overrides is missing"),
    "overrides null": (put("overrides", value=None), "overrides"),
    "user missing": (without(*OVERRIDE, "user_email"), "user_email"),
    "another user": (put(*OVERRIDE, "user_email", value="eve@example.com"), "was not asked for"),
    "a blank user": (put(*OVERRIDE, "user_email", value=" "), "is not a name"),
    "twice": (in_place(lambda body: twice(body, "overrides")), "came twice"),
    "twice, spelled otherwise": (
        in_place(
            lambda body: twice(
                body, "overrides", user_email=body["overrides"][0]["user_email"].upper()
            )
        ),
        "came twice",
    ),
    "another period": (put(*OVERRIDE, "period", value="BUDGET_PERIOD_DAILY"), "period is"),
    "no period": (without(*OVERRIDE, "period"), "period"),
    "another resource": (
        put(*OVERRIDE, "resource", value="BUDGET_RESOURCE_CREDITS_CONSUMED"),
        "resource is",
    ),
    "no config": (without(*OVERRIDE, "config"), "config"),
    "no limit": (without(*OVERRIDE, "config", "limit"), "limit is missing"),
    "null limit": (put(*OVERRIDE, "config", "limit", value=None), "limit is missing"),
    "negative limit": (put(*OVERRIDE, "config", "limit", value="-0.01"), "cannot be negative"),
    "a word": (put(*OVERRIDE, "config", "limit", value="none"), "'none' is not a decimal"),
    "an exponent": (put(*OVERRIDE, "config", "limit", value="1e20"), "more than 20 digits"),
    "true": (put(*OVERRIDE, "config", "limit", value=True), "config.limit"),
    "another currency": (put(*OVERRIDE, "config", "currency", value="EUR"), "USD"),
    "another amount": (put(*OVERRIDE, "limit_eur", value="3"), "USD"),
    "of the answer": (put("currency", value="EUR"), "USD"),
    "a repeated limit": (repeat_key("limit", "5"), "'limit' is repeated"),
    "more pages": (put("pagination", value={"has_more": True, "next_cursor": "x"}), "pagination"),
    "partial": (put("partial", value=True), "partial is True"),
    "a total": (put("total_count", value=7), "total_count is 7"),
}


@pytest.mark.parametrize("name", BUDGET_FAULTS)
def test_other_budgets_are_refused(home: Home, spring: Simulator, name: str) -> None:
    effect, words = BUDGET_FAULTS[name]
    assert words in refused(home, spring, effect, budgets)


def test_number_as_limit_is_read_exactly(home: Home, spring: Simulator, caplog: Log) -> None:
    spring.add_fault(Fault(put(*OVERRIDE, "config", "limit", value=0.1), BUDGETS, times=1))
    with opened(home) as source:
        found = source.costs.fetch_budgets([person(spring)])
    assert found is not None
    assert [f"{budget.limit}" for budget in found] == ["0.1"]
    (record,) = caplog.records
    assert f"{BUDGETS}: limit comes as a number" in record.getMessage()


def test_unknown_fields_of_budgets_are_named(home: Home, spring: Simulator, caplog: Log) -> None:
    spring.add_fault(Fault(put(*OVERRIDE, "config", "mode", value="hard"), BUDGETS, times=1))
    with opened(home) as source:
        assert source.costs.fetch_budgets([person(spring)])
    (record,) = caplog.records
    assert record.getMessage() == "unknown fields of budgets, left out: mode (1)"
