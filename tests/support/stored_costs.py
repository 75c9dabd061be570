"""Stores with made-up costs, and a planted spike of one person, model and day."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from conftest import Home
from dashboard_scraper.model.costs import (
    Account,
    Budget,
    Cost,
    CostDay,
    CostFigures,
    sum_costs,
)
from dashboard_scraper.model.dates import Window, is_weekend
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import store_at
from made_up_days import LAST

BOT = "triage-bot"
MODELS = ("model-large", "model-small")
FETCHED = datetime(2026, 1, 10, 3, tzinfo=UTC)
SPIKE_DAY = LAST - timedelta(4)  # a Wednesday
SPIKE = Decimal("480.000000000000000001")

Change = Callable[[date, list[Cost]], CostDay]


def billed(amount: Decimal) -> CostFigures:
    """Amounts with tokens; the estimate is a tenth above the billed amount."""
    estimated = (amount * Decimal("1.1")).quantize(Decimal("1E-4"))
    return CostFigures(1000, 200, 2**54, 10, None, amount, estimated, Decimal(0))


def cost(user: str, amount: Decimal | str, resource: str = MODELS[0], kind: str = "MODEL") -> Cost:
    """A cost; a name without @ is a service account's, and an empty name is nobody's."""
    account = (
        Account.PERSON if "@" in user else Account.SERVICE_ACCOUNT if user else Account.UNATTRIBUTED
    )
    return Cost(user, account, kind, resource, billed(Decimal(amount)))


def usual_costs(names: Iterable[str], day: date) -> list[Cost]:
    """On working days, each person costs more than the one before; on weekends, a tenth."""
    part = Decimal("0.1") if is_weekend(day) else Decimal(1)
    wave = Decimal(day.day % 5) / 10
    costs = [
        cost(name, part * (Decimal("2.375") + number + wave), model)
        for number, name in enumerate(names)
        for model in MODELS[: 1 + number % 2]
    ]
    costs.append(cost(BOT, part * Decimal("0.125"), MODELS[1]))
    costs.append(cost("", part * Decimal("1.0001"), "runner", "COMPUTE"))
    return costs


def day_of(day: date, costs: list[Cost]) -> CostDay:
    """A day that adds up."""
    return CostDay(day, costs, sum_costs(each.figures for each in costs))


def with_spike(user: str, day: date = SPIKE_DAY) -> Change:
    """Change one day's costs: the SPIKE is added for one user and the first model."""

    def change(each: date, costs: list[Cost]) -> CostDay:
        if each == day:
            (old,) = (c for c in costs if c.user == user and c.resource == MODELS[0])
            costs.remove(old)
            costs.append(cost(user, (old.figures.billed or Decimal(0)) + SPIKE))
        return day_of(each, costs)

    return change


def store_costs(
    home: Home,
    names: Collection[str],
    window: Window,
    *,
    missing: Collection[date] = (),
    change: Change = day_of,
    budgets: Iterable[Budget] = (),
    source: str = DASHBOARD,
    fetched: datetime = FETCHED,
) -> None:
    """Store the costs of a window's days, except for the missing ones."""
    home.settings.setdefault("STORE_URL", f"sqlite:///{home.data / 'usage.db'}")
    home.data.mkdir(exist_ok=True)
    store = store_at(home.settings["STORE_URL"])
    with store.locked(), store.opened():
        for day in window.days():
            if day not in missing:
                store.put_costs(source, change(day, usual_costs(names, day)), fetched)
        listed = list(budgets)
        if listed:
            store.put_budgets(source, listed, fetched)
