"""The Analytics API's endpoints for costs and budgets: from an organization and a body to JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import TypeVar

import msgspec

from dashboard_scraper.decoding import decodable
from dashboard_scraper.model.costs import Budget, CostKind
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.money import parse_amount, shown
from dashboard_scraper.simulator.analytics_api import Json, range_of
from dashboard_scraper.simulator.costs import Row
from dashboard_scraper.simulator.exchange import cursor_at, invalid, offset_of
from dashboard_scraper.simulator.organization import Organization
from dashboard_scraper.simulator.prices import Amounts, add, text

COSTS = "cost-analytics"
BUDGETS = "get-user-budget-overrides"
SET_BUDGETS = "set-user-budget-overrides"

BY_DAY, IN_TOTAL = (f"COST_ANALYTICS_TIME_GRANULARITY_{word}" for word in ("DAY", "TOTAL"))
BY_USER, BY_RESOURCE = (f"COST_ANALYTICS_GROUP_BY_{word}" for word in ("USER", "RESOURCE"))
KINDS = {
    "BUDGET_RESOURCE_USD_COST": CostKind.MONEY,
    "BUDGET_RESOURCE_CREDITS_CONSUMED": CostKind.CREDITS,
}
_RESOURCE_OF = {kind: resource for resource, kind in KINDS.items()}
MONTHLY = "BUDGET_PERIOD_MONTHLY"

_MOST_POINTS = 1000
_MOST_PER_PERIOD = 10_000_000  # in a cursor, a period's number is multiplied by this
_PLAIN_TOKENS = 100_000  # larger numbers of tokens are written as text

_Body = TypeVar("_Body")
_Point = tuple[dict[str, str], Amounts]


class _Filters(msgspec.Struct, forbid_unknown_fields=True):
    user_emails: list[str] = []


@decodable
class _CostQuery(msgspec.Struct, forbid_unknown_fields=True):
    start_date: str
    end_date: str
    granularity: str
    group_by_keys: list[str] = []
    filters: _Filters = msgspec.field(default_factory=_Filters)
    page_size: int = 100
    cursor: str = ""


@decodable
class _BudgetQuery(msgspec.Struct, forbid_unknown_fields=True):
    user_emails: list[str]
    resource: str
    period: str


class _Limit(msgspec.Struct, forbid_unknown_fields=True):
    limit: str


class _Override(msgspec.Struct, forbid_unknown_fields=True):
    user_email: str
    resource: str
    period: str
    config: _Limit


@decodable
class _Overrides(msgspec.Struct, forbid_unknown_fields=True):
    overrides: list[_Override]


def answer(organization: Organization, endpoint: str, body: bytes) -> Json:
    """The JSON of one of `ENDPOINTS`; AnswerError for a body that is refused."""
    return ENDPOINTS[endpoint](organization, body)


def _cost_analytics(organization: Organization, body: bytes) -> Json:
    query = _decoded(body, _CostQuery)
    window = range_of(organization, query.start_date, query.end_date)
    _check_known("granularity", [query.granularity], (BY_DAY, IN_TOTAL))
    _check_known("group_by_keys", query.group_by_keys, (BY_USER, BY_RESOURCE))
    if not 1 <= query.page_size <= _MOST_POINTS:
        raise invalid(f"page_size must be between 1 and {_MOST_POINTS}")
    points, cursor = _page(organization, query, window)
    return {
        "data_points": points,
        "pagination": {"has_more": bool(cursor), "next_cursor": cursor},
        "metadata": {
            "effective_start_date": f"{window.start}",
            "effective_end_date": f"{window.end}",
            "generated_at": f"{organization.today}T03:10:00Z",
            "returned_data_point_count": len(points),
        },
    }


def _page(organization: Organization, query: _CostQuery, window: Window) -> tuple[list[Json], str]:
    """The data points of the requested page, and the cursor of the next page, if any."""
    whole = query.granularity == IN_TOTAL
    periods = [window] if whole else [Window(day, day) for day in window.days()]
    keys, emails = frozenset(query.group_by_keys), frozenset(query.filters.user_emails)
    scope = f"{COSTS} {window} {whole} {sorted(keys)} {sorted(emails)}"
    first, skip = divmod(offset_of(query.cursor or None, scope), _MOST_PER_PERIOD)
    found: list[Json] = []
    for number in range(first, len(periods)):
        points = _points(organization, periods[number], keys, emails, skip)
        for position, point in enumerate(points, skip):
            if len(found) == query.page_size:
                return found, cursor_at(number * _MOST_PER_PERIOD + position, scope)
            found.append(_json_of(organization, periods[number], *point))
        skip = 0
    return found, ""


def _points(
    organization: Organization,
    period: Window,
    keys: frozenset[str],
    emails: frozenset[str],
    skip: int,
) -> Iterator[_Point]:
    """The groups of a period, with their sums, without the first `skip`."""
    costs = organization.costs
    if not keys and not emails:
        totals = [total for day in period.days() if (total := costs.total(day))]
        return iter([({}, add(totals))][skip:] if totals else [])
    rows = [row for day in period.days() for row in costs.rows(day)]
    if emails:
        rows = [row for row in rows if _email_of(organization, row) in emails]
    if len(period) == 1 and len(keys) == 2:  # every row is a group
        return ((_group(organization, row, keys), row.amounts) for row in rows[skip:])
    sums: dict[tuple[tuple[str, str], ...], list[Amounts]] = {}
    for row in rows:
        group = tuple(_group(organization, row, keys).items())
        sums.setdefault(group, []).append(row.amounts)
    return iter([(dict(group), add(each)) for group, each in sums.items()][skip:])


def _group(organization: Organization, row: Row, keys: frozenset[str]) -> dict[str, str]:
    found = {}
    if BY_USER in keys and row.member is not None:
        member = organization.members[row.member]
        found["service_account_name" if member.service else "user_email"] = member.name
    if BY_RESOURCE in keys:
        found["resource_display_name"] = row.resource.name
        found["resource_type"] = row.resource.type
    return found


def _email_of(organization: Organization, row: Row) -> str | None:
    return None if row.member is None else organization.members[row.member].name


def _json_of(
    organization: Organization, period: Window, group: dict[str, str], amounts: Amounts
) -> Json:
    point: Json = {"start_date": f"{period.start}", "end_date": f"{period.end}"}
    if group:
        point["group_by_values"] = group
    metrics: Json = {
        "input_tokens": _number(amounts.input_tokens),
        "output_tokens": _number(amounts.output_tokens),
        "cache_read_tokens": _number(amounts.cache_read_tokens),
        "cache_write_tokens": _number(amounts.cache_write_tokens),
    }
    if organization.costs.billing == "dollars":
        metrics["base_cost_usd"] = text(amounts.base)
    metrics["billed_amount_usd"] = text(amounts.billed)
    metrics["estimated_customer_cost_usd"] = text(amounts.estimated)
    metrics["credits_consumed"] = text(amounts.credits)
    point["cost_metrics"] = metrics
    return point


def _number(tokens: int) -> int | str:
    return tokens if tokens < _PLAIN_TOKENS else f"{tokens}"


def _get_budgets(organization: Organization, body: bytes) -> Json:
    query = _decoded(body, _BudgetQuery)
    _check_known("resource", [query.resource], KINDS)
    _check_known("period", [query.period], (MONTHLY,))
    if not query.user_emails:
        raise invalid("user_emails must not be empty")
    wanted, kind = set(query.user_emails), KINDS[query.resource]
    budgets = organization.costs.budgets()
    return {"overrides": [_override(b) for b in budgets if b.user in wanted and b.kind is kind]}


def _set_budgets(organization: Organization, body: bytes) -> Json:
    """The shape of this call is a guess: no documentation that we have read describes it."""
    budgets = list(_read(_decoded(body, _Overrides).overrides, organization))
    for budget in budgets:
        organization.costs.set_budget(budget)
    return {"overrides": [_override(budget) for budget in budgets]}


def _read(overrides: Iterable[_Override], organization: Organization) -> Iterator[Budget]:
    people = {person.name for person in organization.people}
    for override in overrides:
        _check_known("user_email", [override.user_email], people)
        _check_known("resource", [override.resource], KINDS)
        _check_known("period", [override.period], (MONTHLY,))
        yield Budget(override.user_email, KINDS[override.resource], _amount(override.config.limit))


def _override(budget: Budget) -> Json:
    return {
        "user_email": budget.user,
        "resource": _RESOURCE_OF[budget.kind],
        "period": MONTHLY,
        "config": {"limit": shown(budget.limit)},
    }


ENDPOINTS: dict[str, Callable[[Organization, bytes], Json]] = {
    COSTS: _cost_analytics,
    BUDGETS: _get_budgets,
    SET_BUDGETS: _set_budgets,
}
"""The endpoints for POST requests."""


def _decoded(body: bytes, kind: type[_Body]) -> _Body:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise invalid(f"invalid request body: {error}") from error


def _check_known(field: str, values: Iterable[str], known: Iterable[str]) -> None:
    for value in values:
        if value not in known:
            raise invalid(f"unknown value {value!r} of {field}")


def _amount(limit: str) -> Decimal:
    try:
        return parse_amount(limit)
    except ValueError as error:
        raise invalid(f"limit: {error}") from error
