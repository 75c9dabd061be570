"""What each class used; all usage is in exactly one class."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from dashboard_scraper.across.classes import Classes, PersonClass
from dashboard_scraper.model.columns import sum_of
from dashboard_scraper.model.costs import CostFigures, sum_costs
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import of_counts
from dashboard_scraper.model.metrics import Figures
from dashboard_scraper.store import Reader
from dashboard_scraper.store.day_people import bits_in
from dashboard_scraper.store.empty_days import cost_sums


class ClassUsage(msgspec.Struct):
    """The sums of one class over a window; None if a value is unknown.

    `costs` are by currency: amounts of two currencies are never added up.
    """

    figures: Figures = msgspec.field(default_factory=lambda: sum_of(()))
    costs: dict[str, CostFigures] = {}


def usage_of(reader: Reader, classes: Classes, source: str) -> dict[PersonClass, ClassUsage]:
    """What each class used in the source in the window. Costs of nobody are unattributed.

    Raises StoreFailed if the sum over all classes does not match the ledgers.
    """
    across = classes.across
    bits = {
        bit: each for each, members in classes.of[source].of.items() for bit in bits_in(members)
    }

    def class_of(name: str) -> PersonClass:
        return bits[across.bit_of(source, name)] if name else PersonClass.UNATTRIBUTED

    found = {each: ClassUsage() for each in PersonClass}
    parts: dict[PersonClass, list[Figures]] = {each: [] for each in PersonClass}
    if days := across.days(source):
        for user in reader.sums_by_user(source, days, service_accounts=True):
            parts[class_of(user.user)].append(of_counts(user.sums))
    for each, figures in parts.items():
        found[each].figures = sum_of(figures)
    _add_costs(reader, source, across.window, class_of, found)
    return found


def _add_costs(
    reader: Reader,
    source: str,
    window: Window,
    class_of: Callable[[str], PersonClass],
    found: Mapping[PersonClass, ClassUsage],
) -> None:
    """Add the costs of each class. A class without costs gets zeros if costs are stored, unless
    these are in several currencies.
    """
    ledger = reader.cost_ledger(source, window)
    for row in ledger.values():
        by_class: dict[PersonClass, list[CostFigures]] = {}
        for cost in reader.costs(row):
            by_class.setdefault(class_of(cost.user), []).append(cost.figures)
        for each, amounts in by_class.items():
            costs = found[each].costs
            before = [costs[row.currency]] if row.currency in costs else []
            costs[row.currency] = sum_costs([*before, *amounts])
    spent = {currency for usage in found.values() for currency in usage.costs}
    currencies = spent or {row.currency for row in ledger.values()}
    if len(currencies) == 1:
        (currency,) = currencies
        for usage in found.values():
            usage.costs.setdefault(currency, cost_sums(source, ()))
