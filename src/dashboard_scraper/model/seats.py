"""The seats that a source reports: who may use an assistant."""

from __future__ import annotations

from datetime import date, datetime

import msgspec


class Seat(msgspec.Struct, frozen=True):
    """One user's seat. `user` is the same name as in the source's figures.

    `plan` is the source's own word, or several, which `plans_in` splits. `ends_on` is set if the
    seat is going to end. `last_active` is what the source says with the seat; it may differ from
    the source's figures.
    """

    user: str
    plan: str | None = None
    assigned_on: date | None = None
    last_active: datetime | None = None
    ends_on: date | None = None


_BETWEEN_PLANS = ", "


def plans_in(plan: str | None) -> list[str]:
    """The plans of a seat; a user with several seats may have several."""
    return plan.split(_BETWEEN_PLANS) if plan else []


def merged(first: Seat, second: Seat) -> Seat:
    """Two seats of one user as one, with the older assignment and the newer activity; it ends only
    if both end.
    """
    plans = sorted({plan for seat in (first, second) for plan in plans_in(seat.plan)})
    ends = [seat.ends_on for seat in (first, second)]
    return Seat(
        first.user,
        _BETWEEN_PLANS.join(plans) or None,
        min((day for seat in (first, second) if (day := seat.assigned_on)), default=None),
        max((seen for seat in (first, second) if (seen := seat.last_active)), default=None),
        None if None in ends else max(day for day in ends if day),
    )


class StoredSeat(msgspec.Struct, frozen=True):
    """A seat in the store: when the first and the newest answer with it were fetched, and whether
    the latter is the source's newest answer of all (`current`).
    """

    seat: Seat
    first_fetched_at: datetime
    fetched_at: datetime
    current: bool
