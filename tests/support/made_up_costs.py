"""Made-up costs, stored in process, and how exactly any output must show them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal

from hypothesis import strategies as st

from conftest import Home
from dashboard_scraper.model.costs import (
    MAX_TOKENS,
    USD,
    Account,
    Cost,
    CostDay,
    CostFigures,
    sum_costs,
)
from dashboard_scraper.model.money import normalized
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.sources.registry import ANALYTICS
from dashboard_scraper.store import store_at
from made_up_days import user_days

DAY = date(2026, 10, 5)
COSTS_FETCHED = datetime(2026, 10, 6, 3, tzinfo=UTC)
ADA, BEN, NOBODY, SERVICE = "ada@example.com", "ben@example.com", "", "nightly-build"
LONG = Decimal("12345678901234567890.123456789012345678")
TINY = Decimal("-0.000000000000000001")


def in_dollars(billed: Decimal | str, tokens: int = 0) -> CostFigures:
    """The costs of a contract in dollars: credits are 0."""
    amount = Decimal(billed)
    return CostFigures(tokens, 1, 2, 3, None, amount, normalized(amount), Decimal(0))


def in_credits(consumed: Decimal | str, tokens: int = 0) -> CostFigures:
    """The costs of a contract in credits: an estimate, and nothing billed."""
    return CostFigures(tokens, 1, 2, 3, None, Decimal(0), Decimal("9.75"), Decimal(consumed))


def cost(
    user: str,
    figures: CostFigures,
    resource: str = "Model A",
    account: Account | None = None,
    resource_type: str = "MODEL",
) -> Cost:
    account = account or (Account.PERSON if user else Account.UNATTRIBUTED)
    return Cost(user, account, resource_type, resource, figures)


def service(figures: CostFigures, name: str = SERVICE, resource: str = "Model A") -> Cost:
    return cost(name, figures, resource, Account.SERVICE_ACCOUNT)


MIXED = (
    cost(ADA, in_dollars(LONG, 2**53 + 1)),
    cost(ADA, in_dollars("0.10"), "Sandbox", resource_type="COMPUTE"),
    cost(BEN, in_dollars("-3.417")),
    service(in_dollars("7.25", 5)),
    cost(NOBODY, in_dollars(TINY)),
)
"""Long and tiny amounts, a correction, a service account, and what is nobody's."""


def day_of(costs: Iterable[Cost], day: date = DAY, total: CostFigures | None = None) -> CostDay:
    rows = [*costs]
    return CostDay(day, rows, total or sum_costs(each.figures for each in rows), USD)


def put_costs(
    home: Home,
    costs: Iterable[CostDay],
    fetched_at: datetime = COSTS_FETCHED,
    url: str = "",
    source: str = ANALYTICS,
) -> None:
    """Store these costs as the source's, and make it the source of exports."""
    home.data.mkdir(exist_ok=True)
    home.settings.setdefault("STORE_URL", url or f"sqlite:///{home.data / 'usage.db'}")
    home.settings["METRICS_SOURCE"] = source
    store = store_at(home.settings["STORE_URL"])
    with store.locked(), store.opened():
        for each in costs:
            store.put_costs(source, each, fetched_at)


def put_usage(home: Home, days: Iterable[date]) -> None:
    """Store days on which two people were active, for the source of exports."""
    store = store_at(home.settings["STORE_URL"])
    with store.locked(), store.opened():
        for day in days:
            usage = DayUsage(day, user_days([ADA, BEN], day), {})
            store.put(home.settings["METRICS_SOURCE"], usage, COSTS_FETCHED)


amounts = st.decimals(
    min_value=Decimal(-(10**17)), max_value=Decimal(10**17), places=18, allow_nan=False
).map(normalized)
"""Any amount of which a few can be added up in an output."""
tokens = st.integers(0, MAX_TOKENS // 8) | st.none()
figures = st.builds(
    CostFigures,
    tokens,
    tokens,
    tokens,
    tokens,
    amounts | st.none(),
    amounts | st.none(),
    amounts | st.none(),
    amounts | st.none(),
)
_NAMES = st.sampled_from([ADA, "Ada@Example.com", BEN, "=cmd()@example.com", SERVICE, NOBODY])


@st.composite
def any_costs(draw: st.DrawFn) -> list[Cost]:
    """A day's rows as a source may have them, each user and resource once."""
    keys = draw(st.lists(st.tuples(_NAMES, st.sampled_from(["a", "-b"])), unique=True, max_size=6))
    return [
        cost(
            user,
            draw(figures),
            resource,
            Account.SERVICE_ACCOUNT if user == SERVICE else None,
        )
        for user, resource in keys
    ]
