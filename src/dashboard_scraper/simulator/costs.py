"""What the organization's usage costs: tokens, money and credits by member, day and resource.

As with usage, every figure depends only on the seed, the member and the day. All sums are computed
with integers, independently of how the program adds up decimals.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple

from dashboard_scraper.model.costs import (
    NO_COST,
    Account,
    Budget,
    Cost,
    CostDay,
    CostFigures,
    CostKind,
)
from dashboard_scraper.model.dates import Window
from dashboard_scraper.simulator.draws import draw, raised
from dashboard_scraper.simulator.prices import (
    COMPUTE,
    HUNDREDTH,
    NO_TOKENS,
    ONE,
    PRICE_OF_SECOND,
    QUICK,
    THOROUGH,
    Amounts,
    Resource,
    Tokens,
    add,
    decimal,
    in_credits,
    in_dollars,
    price_of,
    tokens_of,
    whole_credits,
)

if TYPE_CHECKING:
    from dashboard_scraper.simulator.organization import Counts, Member, Organization

Billing = Literal["dollars", "credits"]
"""The unit of a contract; amounts in the other unit are 0."""

_CACHED_DAYS = 16
_BIG = 2**53 + 1  # the first integer that a binary float cannot hold
_TINY = 123_000  # 0.000000123 dollars
_UNATTRIBUTED_EVERY, _CORRECTED_EVERY = 3, 4  # days


class Row(NamedTuple):
    """The cost of a member, by index, and a resource; without a member, it belongs to nobody."""

    member: int | None
    resource: Resource
    amounts: Amounts


_Key = tuple[int | None, Resource]


class Costs:
    """An organization's costs and budgets. Thread-safe.

    Besides the costs of usage there are, on some days, negative corrections of a person's costs,
    and costs that belong to nobody. On days without activity, members have no other costs. Revised
    usage (`Organization.revise`) costs what it did before, except in credits.
    """

    def __init__(self, organization: Organization, billing: Billing) -> None:
        self.billing = billing
        self._organization = organization
        self._raises: dict[date, int] = {}
        self._added: dict[date, list[Row]] = {}
        self._limits: dict[tuple[str, CostKind], Decimal] = {}
        self._rows: OrderedDict[date, list[Row]] = OrderedDict()
        self._totals: dict[date, Amounts | None] = {}
        self._lock = threading.RLock()

    def bill_in(self, billing: Billing) -> None:
        """Switch to the other kind of contract, or keep it if it is the same."""
        with self._lock:
            self.billing = billing
            self._rows.clear()
            self._totals.clear()

    def compute_again(self, day: date) -> None:
        """Drop the day's computed figures, since its usage was revised."""
        with self._lock:
            self._rows.pop(day, None)
            self._totals.pop(day, None)

    def rows(self, day: date) -> list[Row]:
        """Every row with a figure other than 0: by member, nobody's last, then by resource."""
        with self._lock:
            if day not in self._rows:
                while len(self._rows) >= _CACHED_DAYS:
                    self._rows.popitem(last=False)
                self._rows[day] = self._compute(day)
            return self._rows[day]

    def total(self, day: date) -> Amounts | None:
        """The day's sums; None for a day without any cost."""
        with self._lock:
            if day not in self._totals:
                rows = self.rows(day)
                self._totals[day] = add(row.amounts for row in rows) if rows else None
            return self._totals[day]

    def of_day(self, day: date) -> CostDay:
        """The true costs of a day in exact decimals, sorted by user, resource type and resource."""
        costs = [self.cost(row) for row in self.rows(day)]
        costs.sort(key=lambda cost: (cost.user, cost.resource_type, cost.resource))
        total = self.total(day)
        return CostDay(day, costs, NO_COST if total is None else self._figures(total))

    def cost(self, row: Row) -> Cost:
        """The row in exact decimals."""
        user, account = "", Account.UNATTRIBUTED
        if row.member is not None:
            member = self._organization.members[row.member]
            user = member.name
            account = Account.SERVICE_ACCOUNT if member.service else Account.PERSON
        return Cost(user, account, *row.resource, self._figures(row.amounts))

    def later_credits(self, window: Window) -> dict[int, int]:
        """In hundredths, by member index: what changes of costs add to the credits of usage."""
        later: dict[int, int] = {}
        for day in window.days():
            if day not in self._raises and day not in self._added:
                continue
            for index, counts in self._usage(day).items():
                later[index] = later.get(index, 0) - counts.credits * HUNDREDTH
            for row in self.rows(day):
                if row.member is not None:
                    later[row.member] = later.get(row.member, 0) + row.amounts.credits
        return {index: units // HUNDREDTH for index, units in later.items()}

    def revise(self, day: date) -> None:
        """Raise the money or the credits that the day's usage costs."""
        with self._lock:
            self._raises[day] = self._raises.get(day, 0) + 1
            self.compute_again(day)

    def move(self, day: date) -> tuple[Cost, Cost]:
        """Move half of one person's costs of a resource to another resource; returns both rows as
        they are then. The day's sums stay the same.
        """
        with self._lock:
            giver, *others = self._rows_of_people(day)
            taker = next((row for row in others if row.member != giver.member), None)
            if taker is None:
                raise LookupError(f"fewer than two people have costs on {day}")
            half = whole_credits(Amounts(*(value // 2 for value in giver.amounts)))
            less = Amounts(*(-value for value in half))
            return (
                self._add(day, Row(giver.member, giver.resource, less)),
                self._add(day, Row(taker.member, giver.resource, half)),
            )

    def plant_spike(self, day: date, member: Member | None = None) -> Cost:
        """Add twice the costs of all people on the day to one model of a person, by default of the
        first one with costs; returns the row as it is then.
        """
        with self._lock:
            rows = self._rows_of_people(day)
            index = rows[0].member if member is None else member.index
            whole = add(row.amounts for row in rows)
            twice = whole_credits(Amounts(*(2 * value for value in whole)))
            return self._add(day, Row(index, THOROUGH, twice))

    def plant_huge_tokens(self, day: date) -> Cost:
        """Add more than 2**53 tokens of each class to one person, free of charge; returns the row
        as it is then.
        """
        with self._lock:
            index = self._rows_of_people(day)[0].member
            return self._add(day, Row(index, THOROUGH, Amounts(_BIG, _BIG + 2, _BIG + 4, _BIG + 6)))

    def budgets(self) -> list[Budget]:
        """The limits that are set, by user."""
        kind = CostKind.MONEY if self.billing == "dollars" else CostKind.CREDITS
        members = (each for each in self._organization.people if each.index % 5 == 0)
        limits = {(each.name, kind): self._limit(each) for each in members} | self._limits
        found = [Budget(user, kind, limit) for (user, kind), limit in limits.items()]
        return sorted(found, key=lambda budget: (budget.user, budget.kind.value))

    def set_budget(self, budget: Budget) -> None:
        """Set a limit, replacing the user's own limit of that kind, if any."""
        self._limits[budget.user, budget.kind] = budget.limit

    def _limit(self, member: Member) -> Decimal:
        whole, cents, *_ = draw(f"{self._organization.seed}/{member.index}/budget")
        return decimal((25 + whole % 475) * ONE + cents % 100 * HUNDREDTH)

    def _figures(self, amounts: Amounts) -> CostFigures:
        tokens, (base, *money) = amounts[:4], map(decimal, amounts[4:])
        return CostFigures(*tokens, base if self.billing == "dollars" else None, *money)

    def _rows_of_people(self, day: date) -> list[Row]:
        people = len(self._organization.people)
        rows = [
            row
            for row in self.rows(day)
            if row.member is not None and row.member < people and min(row.amounts) >= 0
        ]
        if not rows:
            raise LookupError(f"nobody has costs on {day}")
        return rows

    def _add(self, day: date, row: Row) -> Cost:
        self._added.setdefault(day, []).append(row)
        self.compute_again(day)
        rows = self.rows(day)
        return self.cost(next(each for each in rows if each[:2] == row[:2]))

    def _usage(self, day: date) -> dict[int, Counts]:
        totals = self._organization.totals(Window(day, day))
        return {index: total.counts for index, total in totals.items()}

    def _compute(self, day: date) -> list[Row]:
        merged: dict[_Key, Amounts] = {}
        for row in self._all_rows(day):
            before = merged.get(row[:2])
            merged[row[:2]] = row.amounts if before is None else add((before, row.amounts))
        rows = [Row(*key, amounts) for key, amounts in merged.items() if any(amounts)]
        return sorted(rows, key=lambda row: (row.member is None, row.member or 0, row.resource))

    def _all_rows(self, day: date) -> Iterator[Row]:
        """Rows to be summed by member and resource."""
        usage, organization = self._usage(day), self._organization
        if not usage:
            return
        revised = organization.revisions(day) > 0
        for index, counts in usage.items():
            member = organization.members[index]
            first = organization.first_figures(member, day) if revised else counts
            yield from self._of_usage(member, day, first, counts.credits)
        yield from self._of_nobody(day)
        yield from self._corrections(day)
        yield from self._added.get(day, ())

    def _of_usage(self, member: Member, day: date, counts: Counts, consumed: int) -> Iterator[Row]:
        """The costs of the usage `counts`; `consumed` are its credits in hundredths."""
        index, share, messages = member.index, member.index % 10, counts.messages
        if not messages:
            return
        draws = draw(f"{self._organization.seed}/{index}/{self._organization.number_of(day)}/cost")
        left = raised(consumed, self._raises.get(day, 0)) * HUNDREDTH
        if counts.remote:
            base = counts.remote * (60 + draws[12] % 1200) * PRICE_OF_SECOND
            part = left * counts.remote // (2 * messages) // 10**6 * 10**6
            left -= part
            yield Row(index, COMPUTE, self._amounts(day, NO_TOKENS, base, part))
        quick = messages * share // 10
        part = left * share // 10
        for model, number, of_model, drawn in (
            (QUICK, quick, part, draws[:6]),
            (THOROUGH, messages - quick, left - part, draws[6:12]),
        ):
            tokens = tokens_of(number, drawn)
            base = price_of(tokens, model)
            yield Row(index, model, self._amounts(day, tokens, base, of_model))

    def _amounts(self, day: date, tokens: Tokens, base: int, consumed: int) -> Amounts:
        if self.billing == "credits":
            return in_credits(tokens, consumed)
        return in_dollars(tokens, raised(base, self._raises.get(day, 0)))

    def _of_nobody(self, day: date) -> Iterator[Row]:
        """On every third day, in turn: costs, a correction, or costs with a tiny billed amount."""
        organization, number = self._organization, self._organization.number_of(day)
        turn, rest = divmod(number + organization.seed, _UNATTRIBUTED_EVERY)
        if rest:
            return
        draws = draw(f"{organization.seed}/{number}/nobody")
        tokens = tokens_of(1 + draws[6] % 40, draws)
        base = price_of(tokens, QUICK)
        turn %= 3
        if turn == 1:
            tokens, base = NO_TOKENS, -base
        if self.billing == "credits":
            yield Row(None, QUICK, in_credits(tokens, base))
        else:
            amounts = in_dollars(tokens, base)
            yield Row(None, QUICK, amounts._replace(billed=_TINY) if turn == 2 else amounts)

    def _corrections(self, day: date) -> Iterator[Row]:
        """On every fourth day, one person's money is reduced, preferably that of somebody who was
        not active; or credits are moved between models, since their sum must be that of the usage.
        """
        organization = self._organization
        number = organization.number_of(day)
        if (number + organization.seed) % _CORRECTED_EVERY != 1:
            return
        draws = draw(f"{organization.seed}/{number}/correction")
        first, usage = draws[0] % max(1, len(organization.people)), self._usage(day)
        people = organization.people[first:] + organization.people[:first]
        here = [person for person in people if person.belongs(day, day)]
        person = min(here, key=lambda each: each.index in usage, default=None)
        if person is None:
            return
        amount = (1 + draws[1] % 8) * ONE + draws[2] * 10**7
        if self.billing == "credits":
            yield Row(person.index, QUICK, in_credits(NO_TOKENS, amount))
            yield Row(person.index, THOROUGH, in_credits(NO_TOKENS, -amount))
        else:
            yield Row(person.index, THOROUGH, in_dollars(NO_TOKENS, -amount))
