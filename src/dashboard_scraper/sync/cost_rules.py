"""When a day's costs are final, and when an answer may lack some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from dashboard_scraper.clock import Clock
from dashboard_scraper.model.costs import (
    COST_METRICS,
    Cost,
    CostDifference,
    CostMetric,
    text_of,
)
from dashboard_scraper.model.metrics import Count
from dashboard_scraper.model.money import ZERO, difference, exact_sum
from dashboard_scraper.store import CostLedgerDay


class CostRules(msgspec.Struct, frozen=True):
    """A day's costs are final `settle_days` after its end; those of a day in doubt, once the source
    has repeated the same answer on `confirmations` more days.

    `limit` is the share of a day's costs that an answer may lack before it is in doubt, 1 being all
    of them. It applies where the source has no total of the day, so that nothing else shows a loss.
    """

    settle_days: int
    confirmations: int
    limit: Decimal
    clock: Clock

    def is_open(self, row: CostLedgerDay) -> bool:
        """Whether the day is in doubt, and the source has not repeated it often enough."""
        return bool(row.unreconciled) and not self.is_confirmed(row, row.fetched_at)

    def is_confirmed(self, row: CostLedgerDay, fetched_at: datetime) -> bool:
        """Whether the source has repeated the version on enough later days by then."""
        return (fetched_at.date() - row.accepted_at.date()).days >= self.confirmations

    def is_fall(self, before: Count, now: Count) -> bool:
        """Whether a count fell by more than the limit."""
        old = before or 0
        return old - (now or 0) > self.limit * old

    def losses(self, before: Sequence[Cost], now: Sequence[Cost]) -> list[CostDifference]:
        """The metrics of which users lost more than the limit, with the sums of what is known.

        What others gained does not make up for it: the day may still grow. An amount that becomes
        unknown is lost; a sum that does may only have a new row.
        """
        found = []
        for metric in COST_METRICS:
            old, new = _known(before, metric), _known(now, metric)
            lost = exact_sum(
                max(difference(amount, new.get(user, ZERO)), ZERO) for user, amount in old.items()
            )
            if lost > self.limit * exact_sum(max(amount, ZERO) for amount in old.values()):
                found.append(
                    CostDifference(metric.name, _sum_of(new), _sum_of(old), of_earlier=True)
                )
        return found


def _known(costs: Sequence[Cost], metric: CostMetric) -> dict[str, Decimal]:
    """The amount of each user of whom one is known."""
    amounts: dict[str, list[Decimal]] = {}
    for cost in costs:
        if (amount := cost.figures[metric]) is not None:
            amounts.setdefault(cost.user, []).append(Decimal(amount))
    return {user: exact_sum(each) for user, each in amounts.items()}


def _sum_of(amounts: Mapping[str, Decimal]) -> str | None:
    return text_of(exact_sum(amounts.values())) if amounts else None
