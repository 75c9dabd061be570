"""What Cursor's usage cost, per user, day and model: the sums of its usage events.

The API has no daily total to close a day. A billing cycle is closed against the amount that each
member was charged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Protocol

import msgspec

from dashboard_scraper.clock import Clock
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.addresses import Names
from dashboard_scraper.model.costs import (
    BILLED,
    ESTIMATED,
    USD,
    Account,
    Budget,
    Cost,
    CostDifference,
    CostFigures,
    CostMetric,
    text_of,
)
from dashboard_scraper.model.dates import Window, runs_of_days, utc_day
from dashboard_scraper.model.listing import many
from dashboard_scraper.model.money import ZERO, difference, exact_sum
from dashboard_scraper.sources.cursor.events import EVENTS, TOTAL, Event, EventReading
from dashboard_scraper.sources.cursor.moments import (
    Period,
    day_of,
    first_ms,
    last_ms,
    ms_of,
    period_of,
)
from dashboard_scraper.sources.cursor.numbered_pages import NumberedPages
from dashboard_scraper.sources.cursor.paths import SPEND, USAGE_EVENTS
from dashboard_scraper.sources.cursor.spend import (
    CYCLE_START,
    MEMBERS,
    Charged,
    Spend,
    SpendReading,
)
from dashboard_scraper.sources.interface import ClosedPeriod, StoredCosts
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.unknown_fields import UnknownFields

logger = logging.getLogger(__name__)

MODEL, REQUEST = "MODEL", "REQUEST"
"""Usage that is charged by tokens, or by request; the tokens of the latter are unknown."""
_DAYS_AT_ONCE = 30
_EVENTS_AT_ONCE = 20_000
"""The most events in one run of pages: if the data change meanwhile, it must begin again."""
_EVENTS_PAGE, _SPEND_PAGE = 1000, 500
_MOST_EVENTS = 2_000_000  # in one run of pages; a day of the largest teams has 200,000
_MOST_MISSING = 3
"""The most days of the cycle that the store may lack: their events are fetched to close it."""
# The API adds up cents as binary floats; no event costs less than this amount in dollars.
_NOISE = Decimal("0.000001")

_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
"""In the order of `Event.tokens`."""
_Key = tuple[date, str, Account, str, str]


class Api(Protocol):
    """What costs need from the source to which they belong."""

    def post(self, endpoint: str, query: object) -> bytes | bytearray:
        """The body of an answer with data; for any other answer, raises the matching error."""
        ...


class CursorCosts:
    """Implements `CostSource`."""

    has_totals = False
    come_with_usage = False

    def __init__(
        self, api: Api, wanted: bool, clock: Clock, names: Names, unknown: UnknownFields
    ) -> None:
        self._api = api
        self.wanted = wanted
        self._clock = clock
        self._names = names
        self._unknown = unknown
        self._most_events = 0  # of a day so far

    @property
    def days_at_once(self) -> int:
        """The longest range of days that one call may ask for."""
        return _DAYS_AT_ONCE

    def fetch_totals(self, window: Window) -> dict[date, CostFigures] | None:  # noqa: ARG002
        """None: the API has no totals of a day."""
        return None

    def fetch_costs(self, window: Window) -> dict[date, list[Cost]]:
        """Every row of each day, sorted; events are added up as they arrive."""
        found: dict[date, list[Cost]] = {}
        start = window.start
        while start <= window.end:
            part = Window(start, min(window.end, start + timedelta(days=self._days() - 1)))
            sums = _Sums()
            self._add_events(period_of(part), sums)
            found |= {day: sums.costs(day) for day in part.days()}
            self._most_events = max(self._most_events, sums.most_events)
            start = part.end + timedelta(days=1)
        return found

    def _days(self) -> int:
        """How many days to request at once, judged by the busiest day so far; at first, one."""
        return max(1, _EVENTS_AT_ONCE // self._most_events) if self._most_events else 1

    def _add_events(self, period: Period, sums: _Sums) -> None:
        """Add every event of the period; ContractBroken if one came twice or is missing."""
        asked = Window(day_of(period[0]), day_of(period[1]))
        envelope = Envelope(USAGE_EVENTS, asked, self._clock())
        reading = EventReading(period, envelope, self._names, self._unknown)
        pages = NumberedPages(USAGE_EVENTS, _EVENTS_PAGE, TOTAL)
        seen: set[bytes] = set()
        follows = True
        while follows:
            query = {
                "startDate": period[0],
                "endDate": period[1],
                "page": pages.number,
                "pageSize": _EVENTS_PAGE,
            }
            page = reading.read(self._api.post(USAGE_EVENTS, query))
            envelope.count(len(page.events))
            follows = pages.add(page.claims, page.raw)
            for place, event in enumerate(page.events):
                if event.fingerprint in seen:
                    raise ContractBroken(
                        f"{USAGE_EVENTS}: {EVENTS}[{place}] of page {pages.number - 1} came before"
                    )
                seen.add(event.fingerprint)
                sums.add(event)
            if len(seen) > _MOST_EVENTS:
                raise ContractBroken(f"{USAGE_EVENTS}: more than {_MOST_EVENTS:,} events")
        pages.check(len(seen))
        envelope.check(len(seen))
        sums.refuse_moved_addresses()

    def currency_of(self, day: date) -> str:  # noqa: ARG002
        """US dollars: any other currency was refused."""
        return USD

    def fetch_budgets(self, users: Iterable[str]) -> list[Budget] | None:  # noqa: ARG002
        """None: spending limits are whole dollars per cycle, not per calendar month."""
        return None

    def close_period(self, stored: StoredCosts) -> ClosedPeriod | None:
        """Compare what each member was charged in the cycle so far with the events of that time.

        New events arrive while this reads, so spend is read before and after them: the sum of a
        member's events must lie between the two. None if they cannot be compared.
        """
        before = self._spend()
        start, now = before.cycle_start or 0, ms_of(self._clock())
        today = utc_day(self._clock())
        first = day_of(start)
        if first > today + timedelta(days=1):  # a day more, as this clock may be behind
            raise ContractBroken(f"{SPEND}: {CYCLE_START} is {first}, and today is {today}")
        if first >= today:
            return None  # the cycle has no complete day yet
        sums = self._sums_since(start, now, Window(first, today), stored)
        if sums is None:
            return None
        after = self._spend()
        if after.cycle_start != before.cycle_start:
            logger.info("costs: a new billing cycle has begun; it is compared by the next run")
            return None
        self._note_others(after, sums)
        if not after.comparable:
            logger.info("costs: nobody in %s can be compared with the stored costs", SPEND)
            return None
        window = Window(first, today - timedelta(days=1))
        return ClosedPeriod(window, _differences(before, sums, after, first))

    def _sums_since(
        self, start: int, now: int, cycle: Window, stored: StoredCosts
    ) -> dict[str, Charged] | None:
        """The sums of each person's events; for complete days, as they are stored. None if too many
        days are not stored.
        """
        whole = [day for day in cycle.days() if start <= first_ms(day) and day < cycle.end]
        rows = stored(Window(whole[0], whole[-1])) if whole else {}
        missing = [day for day in whole if day not in rows]
        if len(missing) > _MOST_MISSING:
            logger.info(
                "costs: the billing cycle since %s cannot be compared: %d of its days are not"
                " stored, or lack somebody who was removed",
                cycle.start,
                len(missing),
            )
            return None
        sums = _Sums()
        periods = [period_of(run) for run in runs_of_days(missing)]
        if start > first_ms(cycle.start):
            periods.append((start, last_ms(cycle.start)))
        for period in (*periods, (first_ms(cycle.end), now)):
            self._add_events(period, sums)
        costs = [cost for of_day in (*rows.values(), sums.all_costs()) for cost in of_day]
        return _by_person(costs)

    def _spend(self) -> Spend:
        today = utc_day(self._clock())
        envelope = Envelope(SPEND, Window(today, today), self._clock())
        reading, spend = SpendReading(envelope, self._unknown), Spend()
        pages = NumberedPages(SPEND, _SPEND_PAGE, MEMBERS)
        follows = True
        while follows:
            query = {"page": pages.number, "pageSize": _SPEND_PAGE}
            before = len(spend.accounts)
            follows = pages.add(*reading.read(self._api.post(SPEND, query), spend))
            envelope.count(len(spend.accounts) - before)
        pages.check(len(spend.accounts))
        envelope.check(len(spend.accounts))
        spend.refuse_nobody()
        return spend

    def _note_others(self, spend: Spend, sums: Mapping[str, Charged]) -> None:
        without = len(sums.keys() - spend.members.keys())
        if spend.others or without:
            logger.info(
                "costs: %d accounts in %s without an e-mail address or removed, and %d people with"
                " costs who are not in it, cannot be compared with what was charged",
                spend.others,
                SPEND,
                without,
            )


class _Sums:
    """Adds up events into rows."""

    def __init__(self) -> None:
        self._tokens: dict[_Key, tuple[int, ...]] = {}
        self._billed: dict[_Key, Decimal | None] = {}
        self._charged: dict[_Key, Decimal | None] = {}
        self._events: dict[date, int] = {}
        self._other_addresses: set[date] = set()

    @property
    def most_events(self) -> int:
        """The number of events on the busiest day."""
        return max(self._events.values(), default=0)

    def add(self, event: Event) -> None:
        """Add an event. Those not charged by tokens have their own row, with unknown tokens."""
        kind = REQUEST if event.tokens is None else MODEL
        key = (event.day, event.user, event.account, kind, event.model)
        self._events[event.day] = self._events.get(event.day, 0) + 1
        if event.has_other_address:
            self._other_addresses.add(event.day)
        if event.tokens is not None:
            tokens = self._tokens.get(key, (0, 0, 0, 0))
            self._tokens[key] = tuple(map(sum, zip(tokens, event.tokens, strict=True)))
        billed = event.charged if event.is_chargeable else ZERO
        self._billed[key] = _plus(self._billed.get(key, ZERO), billed)
        self._charged[key] = _plus(self._charged.get(key, ZERO), event.charged)

    def refuse_moved_addresses(self) -> None:
        """ContractBroken if no event of a day names a person, but some that name nobody have an
        address in an unknown field. It takes whole days: a page may have people who left alone.
        """
        with_people = {key[0] for key in self._charged if key[2] is Account.PERSON}
        if moved := sorted(self._other_addresses - with_people):
            raise ContractBroken(
                f"{USAGE_EVENTS}: {EVENTS}: no event of {moved[0]} has a value for userEmail, but"
                " there are addresses in unknown fields; has it been renamed?"
            )

    def costs(self, day: date) -> list[Cost]:
        """The rows of a day, sorted."""
        return [self._cost(key) for key in sorted(self._charged, key=_order) if key[0] == day]

    def all_costs(self) -> list[Cost]:
        """The rows of all days."""
        return [self._cost(key) for key in self._charged]

    def _cost(self, key: _Key) -> Cost:
        figures = CostFigures(billed=self._billed[key], estimated=self._charged[key])
        if key in self._tokens:
            counts = dict(zip(_TOKENS, self._tokens[key], strict=True))
            figures = msgspec.structs.replace(figures, **counts)
        return Cost(*key[1:], figures)


def _order(key: _Key) -> tuple[date, str, str, str, str]:
    return (key[0], key[1], key[2].value, key[3], key[4])


def _plus(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return None if one is None or other is None else exact_sum((one, other))


def _by_person(costs: Iterable[Cost]) -> dict[str, Charged]:
    """What each person was charged. An unknown amount counts as 0."""
    found: dict[str, list[CostFigures]] = {}
    for cost in costs:
        if cost.account is Account.PERSON:
            found.setdefault(cost.user.lower(), []).append(cost.figures)
    return {
        user: Charged(_sum(figures, BILLED), _sum(figures, ESTIMATED))
        for user, figures in found.items()
    }


def _sum(figures: Iterable[CostFigures], metric: CostMetric) -> Decimal:
    return exact_sum(each[metric] or ZERO for each in figures)  # type: ignore[misc]


class _Compared(msgspec.Struct, frozen=True):
    """One kind of amount: our sum, and the member's before and after the events were read."""

    metric: CostMetric
    ours: Decimal
    before: Decimal
    after: Decimal

    @property
    def differs(self) -> bool:
        low, high = sorted((self.before, self.after))
        return difference(low, self.ours) > _NOISE or difference(self.ours, high) > _NOISE


def _differences(
    before: Spend, sums: Mapping[str, Charged], after: Spend, first: date
) -> list[CostDifference]:
    """The sums of all members whose amounts differ, by kind; without names, as outputs show it."""
    compared = list(_compared(before, sums, after))
    found = []
    for metric in (BILLED, ESTIMATED):
        differing = [each for each in compared if each.metric is metric and each.differs]
        if differing:
            members = many(len(differing), "member")
            found.append(
                CostDifference(
                    f"{metric.name} of {members} in the billing cycle since {first}",
                    text_of(exact_sum(each.ours for each in differing)),
                    text_of(exact_sum(each.after for each in differing)),
                )
            )
    return found


def _compared(before: Spend, sums: Mapping[str, Charged], after: Spend) -> Iterator[_Compared]:
    nothing = Charged(ZERO, ZERO)
    for user, charged in after.comparable.items():
        then, ours = before.members.get(user, nothing), sums.get(user, nothing)
        yield _Compared(BILLED, ours.on_demand, then.on_demand, charged.on_demand)
        yield _Compared(ESTIMATED, ours.overall, then.overall, charged.overall)
