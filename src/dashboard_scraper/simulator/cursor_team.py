"""What the organization's Cursor team did and spent: the truth behind the simulated Admin API.

Every figure depends only on the seed, the member and the day. Amounts are whole numbers of a tiny
unit, summed with integers, independently of how the program adds up decimals.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from dashboard_scraper.model.dates import Window, end_of_day, start_of_day, utc_day
from dashboard_scraper.simulator.assistants import CURSOR, Assistants, Colleague
from dashboard_scraper.simulator.draws import draw, raised
from dashboard_scraper.simulator.organization import Organization

CENT = 10**17
"""A cent in the unit of all amounts: the API writes cents with up to 17 decimals."""
MILLISECOND = timedelta(milliseconds=1)

_FIRST_ID = 71_000
_ROLES = ("owner", "free-owner", *["member"] * 8)
_MODELS = ("model-a", "model-b", "auto")
_MOST_REQUESTS = 9  # of each kind on a day
_DAY_MS = 86_400_000
_NOISE = 4  # units: the remainder of a sum of binary floats
_REFUND_EVERY, _CLOUD_EVERY = 5, 3  # days


class Day(NamedTuple):
    """The counts of a member's day, under the API's own names."""

    totalLinesAdded: int = 0  # noqa: N815 - the names on the wire
    totalLinesDeleted: int = 0  # noqa: N815
    acceptedLinesAdded: int = 0  # noqa: N815
    acceptedLinesDeleted: int = 0  # noqa: N815
    totalApplies: int = 0  # noqa: N815
    totalAccepts: int = 0  # noqa: N815
    totalRejects: int = 0  # noqa: N815
    totalTabsShown: int = 0  # noqa: N815
    totalTabsAccepted: int = 0  # noqa: N815
    composerRequests: int = 0  # noqa: N815
    chatRequests: int = 0  # noqa: N815
    agentRequests: int = 0  # noqa: N815
    cmdkUsages: int = 0  # noqa: N815
    subscriptionIncludedReqs: int = 0  # noqa: N815
    apiKeyReqs: int = 0  # noqa: N815
    usageBasedReqs: int = 0  # noqa: N815
    bugbotUsages: int = 0  # noqa: N815


NO_ACTIVITY = Day()


@dataclass(frozen=True, slots=True)
class Seat:
    """A member's account. A person who was invited twice has two with one e-mail address."""

    person: Colleague
    user_id: int
    share: tuple[int, int]
    """The share of the person's figures that this account has: (numerator, denominator)."""
    role: str

    @property
    def joined(self) -> date:
        return self.person.joined(CURSOR)

    @property
    def left(self) -> date | None:
        return self.person.left(CURSOR)

    @property
    def public_id(self) -> str:
        """The id outside daily usage, where it is a number."""
        return f"user_{self.user_id:08x}"


class Tokens(NamedTuple):
    """The number of tokens of each class."""

    input: int
    output: int
    cache_write: int
    cache_read: int


class Event(NamedTuple):
    """One request. `seat` is None for a service account or a cloud agent; `tokens` are None if it
    is not charged by tokens. Amounts are in the unit of CENT.
    """

    moment: datetime
    seat: Seat | None
    service: str | None
    model: str
    tokens: Tokens | None
    charged: int
    chargeable: bool
    requests: int  # in tenths

    @property
    def ms(self) -> int:
        """The event's time in milliseconds since 1970."""
        return ms_of(self.moment)


class CostRow(NamedTuple):
    """The sums of the events of one user and model on a day, in units of 10**-18 dollars; tokens
    are None if those of any event are.
    """

    tokens: Tokens | None
    billed: int
    charged: int


class CursorTeam:
    """The members of an organization who use Cursor, with their usage and events.

    The usage of somebody who has left has no e-mail address any more, and the list of members
    leaves them out. The billing cycle began `cycle_days` ago.
    """

    def __init__(self, organization: Organization, cycle_days: int = 10) -> None:
        self.organization = organization
        self.cycle_days = cycle_days
        self._assistants = Assistants(organization)
        self._added: list[Event] = []

    def clock(self) -> datetime:
        """The server's time: the current one, or noon of the organization's own today."""
        now, today = datetime.now(UTC), self.organization.today
        return now if utc_day(now) == today else datetime.combine(today, time(12), UTC)

    @functools.cached_property
    def seats(self) -> list[Seat]:
        """Every account that ever existed; the first person who is still in the team has two."""
        found: list[Seat] = []
        people = self._assistants.members(CURSOR)
        there = (
            each for each in people if each.left(CURSOR) is None and each.assistants[CURSOR][2]
        )
        twice = next(there, None)
        for place, person in enumerate(people):
            number = _FIRST_ID + 10 * person.index
            role = _ROLES[place % len(_ROLES)]
            if person is twice:
                found.append(Seat(person, number, (1, 3), role))
                found.append(Seat(person, number + 1, (2, 3), "member"))
            else:
                found.append(Seat(person, number, (1, 1), role))
        return found

    def is_there(self, seat: Seat) -> bool:
        """Whether the person is in the team today."""
        return seat.person.has(CURSOR, self.organization.today)

    def email(self, seat: Seat) -> str | None:
        """The e-mail address, if the API still knows it."""
        return seat.person.email if self.is_there(seat) else None

    def of_period(self, window: Window) -> list[Seat]:
        """The accounts of everybody who was in the team on any day of the period."""
        return [
            seat
            for seat in self.seats
            if seat.joined <= window.end and (seat.left is None or seat.left >= window.start)
        ]

    def add(self, event: Event) -> None:
        """Add an event, such as one that arrives late."""
        self._added.append(event)

    def usage(self, seat: Seat, day: date) -> Day:
        """One account's day."""
        whole = self._whole(seat.person, day)
        part, of = seat.share
        if part == of:
            return whole
        first = Day(*(value // of for value in whole))
        return first if part == 1 else Day(*(w - f for w, f in zip(whole, first, strict=True)))

    def user_days(self, day: date) -> dict[str, Day]:
        """The true usage of a day: the counts of every person, by e-mail address or by id."""
        found: dict[str, Day] = {}
        for seat in self.of_period(Window(day, day)):
            name = self.email(seat) or f"{seat.user_id}"
            before = found.get(name, NO_ACTIVITY)
            found[name] = Day(*map(sum, zip(before, self.usage(seat, day), strict=True)))
        return found

    def _whole(self, person: Colleague, day: date) -> Day:
        draws = self._assistants.draws(CURSOR, person, day)
        if draws is None:
            return NO_ACTIVITY
        shown = draws[0] % 160
        accepted = shown * (draws[1] % 100) // 100
        chat, composer, agent, inline = (each % _MOST_REQUESTS for each in draws[2:6])
        written = accepted + (composer + agent) * (draws[6] % 19)
        accepts = (composer + agent) * (draws[7] % 3)
        based = (chat + composer + agent) * (draws[8] % 4) // 4
        counts = Day(
            totalLinesAdded=written + draws[9] % 90,
            totalLinesDeleted=draws[10] % 60 + written // 5,
            acceptedLinesAdded=written,
            acceptedLinesDeleted=written // 5,
            totalApplies=accepts + draws[11] % 3,
            totalAccepts=accepts,
            totalRejects=draws[11] % 3,
            totalTabsShown=shown,
            totalTabsAccepted=accepted,
            composerRequests=composer,
            chatRequests=chat,
            agentRequests=agent,
            cmdkUsages=inline,
            subscriptionIncludedReqs=chat + composer + agent - based,
            usageBasedReqs=based,
            bugbotUsages=draws[12] % 2,
        )
        revisions = self.organization.revisions(day)
        counts = Day(*(raised(value, revisions) for value in counts))
        return counts if any(counts) else counts._replace(chatRequests=1)

    def events(self, start: datetime, end: datetime) -> list[Event]:
        """The events of the period until now, both ends included, newest first."""
        end = min(end, self.clock())
        if end < start:
            return []
        found = [
            event
            for day in Window(utc_day(start), utc_day(end)).days()
            for event in self._events_of(day)
            if start <= event.moment <= end
        ]
        return sorted(found, key=lambda event: event.moment, reverse=True)

    def _events_of(self, day: date) -> Iterator[Event]:
        taken: set[int] = set()
        for seat in self.of_period(Window(day, day)):
            counts = self.usage(seat, day)
            number = counts.chatRequests + counts.composerRequests + counts.agentRequests
            for place in range(number):
                yield self._event(day, seat, place, taken)
        yield from self._nobodys(day, taken)
        yield from (event for event in self._added if utc_day(event.moment) == day)

    def _event(self, day: date, seat: Seat, place: int, taken: set[int]) -> Event:
        draws = draw(f"{self.organization.seed}/cursor/{seat.user_id}/{day.toordinal()}/{place}")
        model = _MODELS[draws[2] % len(_MODELS)]
        moment = _moment(day, draws, taken)
        if place % 4 == 3:  # charged by request, within the subscription
            return Event(moment, seat, None, model, None, 8 * CENT, False, 10 + draws[3] % 5)
        tokens = _tokens(draws)
        charged = _price(tokens) + (_NOISE if place % 3 == 1 else 0)
        return Event(moment, seat, None, model, tokens, charged, place % 2 == 0, 10 + draws[3] % 30)

    def _nobodys(self, day: date, taken: set[int]) -> Iterator[Event]:
        """Events of a service account; on some days also of a cloud agent, and a refund."""
        seed, number = self.organization.seed, day.toordinal()
        if day > self.organization.today:
            return
        draws = draw(f"{seed}/cursor/nobody/{number}")
        tokens = _tokens(draws)
        at = _moment(day, draws, taken)
        yield Event(at, None, "nightly-review", _MODELS[0], tokens, _price(tokens), True, 10)
        if number % _CLOUD_EVERY == 0:
            at = _moment(day, draws[1:], taken)
            yield Event(at, None, None, _MODELS[1], tokens, _price(tokens) // 7, True, 10)
        there = self.of_period(Window(day, day))
        if number % _REFUND_EVERY == 0 and there:
            at = _moment(day, draws[2:], taken)
            yield Event(at, there[0], None, _MODELS[0], None, -3 * CENT // 8, True, 0)

    def cost_rows(self, day: date) -> dict[tuple[str, str, str, str], CostRow]:
        """The true costs of a day, by user, account, kind of charge and model."""
        end = end_of_day(day) - MILLISECOND
        found: dict[tuple[str, str, str, str], list[CostRow]] = {}
        for event in self.events(start_of_day(day), end):
            kind = "REQUEST" if event.tokens is None else "MODEL"
            key = (*self._payer(event), kind, event.model)
            found.setdefault(key, []).append(_row(event))
        return {key: _added(rows) for key, rows in found.items()}

    def _payer(self, event: Event) -> tuple[str, str]:
        if event.service is not None:
            return event.service, "service_account"
        email = self.email(event.seat) if event.seat else None
        return (email, "person") if email else ("", "unattributed")

    @property
    def cycle_start(self) -> datetime:
        """The moment at which the billing cycle began: not at midnight."""
        day = self.organization.today - timedelta(days=self.cycle_days)
        return datetime.combine(day, time(14, 30, 0, 123_000), UTC)

    def spend(self) -> list[tuple[Seat, int, int]]:
        """What each member was charged so far in the cycle: on demand, and including what the
        subscription covers.
        """
        sums: dict[int, list[int]] = {}
        for event in self.events(self.cycle_start, self.clock()):
            if event.seat is not None:
                both = sums.setdefault(event.seat.user_id, [0, 0])
                both[0] += event.charged if event.chargeable else 0
                both[1] += event.charged
        return [(seat, *sums.get(seat.user_id, (0, 0))) for seat in self.listed()]

    def listed(self) -> list[Seat]:
        """The list of members, without those who left."""
        return [seat for seat in self.seats if self.is_there(seat)]


def ms_of(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // MILLISECOND


def moment_of(ms: int) -> datetime:
    """The inverse of `ms_of`."""
    return datetime(1970, 1, 1, tzinfo=UTC) + ms * MILLISECOND


def cents_text(units: int) -> str:
    """An amount in cents, as in JSON: exact, and whole cents without a decimal point."""
    whole, fraction = divmod(abs(units), CENT)
    digits = f"{fraction:017}".rstrip("0")
    return f"{'-' if units < 0 else ''}{whole}{f'.{digits}' if digits else ''}"


def _added(many: Iterable[CostRow]) -> CostRow:
    """The sum; its tokens are unknown if those of either are."""
    tokens: Tokens | None = Tokens(0, 0, 0, 0)
    billed = charged = 0
    for row in many:
        tokens = _both(tokens, row.tokens)
        billed, charged = billed + row.billed, charged + row.charged
    return CostRow(tokens, billed, charged)


def _row(event: Event) -> CostRow:
    amount = _rounded(event.charged)
    return CostRow(event.tokens, amount if event.chargeable else 0, amount)


def _rounded(cents: int) -> int:
    """An amount in units of 10**-18 dollars, half away from zero."""
    return (abs(cents) + 5) // 10 * (-1 if cents < 0 else 1)


def _both(first: Tokens | None, second: Tokens | None) -> Tokens | None:
    if first is None or second is None:
        return None
    return Tokens(*map(sum, zip(first, second, strict=True)))


def _moment(day: date, draws: Sequence[int], taken: set[int]) -> datetime:
    """A millisecond of the day that no other event has; some events get the day's last one."""
    ms = (draws[0] * 1319 + draws[1]) % _DAY_MS if draws[0] % 50 else _DAY_MS - 1
    while ms in taken:
        ms = (ms + 7919) % _DAY_MS
    taken.add(ms)
    return start_of_day(day) + ms * MILLISECOND


def _tokens(draws: Sequence[int]) -> Tokens:
    return Tokens(draws[4] % 9000, draws[5] % 2500, draws[6] % 12_000, draws[7] * 3)


def _price(tokens: Tokens) -> int:
    """The price per token, in millionths of a cent, so with six decimals."""
    weights = (300, 1500, 375, 30)
    return sum(n * weight for n, weight in zip(tokens, weights, strict=True)) * (CENT // 10**6)
