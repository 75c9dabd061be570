"""When to accept an answer that differs from an earlier one for the same day.

    an unsettled day may grow by any amount, and shrink up to the limit
    a settled day may change up to the limit, in either direction; what moves from one person to
    another counts as a loss and a gain
    two days with smaller changes may together change up to the limit; three days that change in the
    same direction are held
    never accepted at once: a day that becomes empty, gets the figures of another day, no longer
    adds up to the source's totals, or has a metric that becomes unknown or is no longer the sum of
    its parts

An answer that is not accepted is held: the earlier version stays in force until somebody accepts
the new one, or the source has repeated it on enough later days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

import msgspec

from dashboard_scraper.clock import Clock
from dashboard_scraper.model.checks import Difference, parts_differences, shown
from dashboard_scraper.model.figures import counts_of
from dashboard_scraper.model.listing import listed
from dashboard_scraper.model.metrics import BY_NAME, COUNTS
from dashboard_scraper.model.tolerance import Tolerance
from dashboard_scraper.store import Change, LedgerDay, Status
from dashboard_scraper.store.settling import is_settled
from dashboard_scraper.store.unjudged import NOT_JUDGED

# Smaller changes of a metric are ignored, since any change is a large part of a small number.
NEGLIGIBLE = 10
# A day with smaller figures may equal another day by chance.
_DISTINCTIVE = 20
_PEOPLE = "active users"
_NAMED_AT_MOST = 3
_SEVERAL = 3


class Caution(msgspec.Struct, frozen=True):
    """Judges answers that differ from the version in force.

    `limit` is the share of a day that may change, 1 being all of it; `confirmations` the number of
    later days on which an answer must be repeated to be accepted automatically.

    An unsettled day that only grows is accepted at once. Every other change is held until the end
    of the run, when all changed days are known.
    """

    limit: float
    confirmations: int
    settle_days: int
    clock: Clock
    tolerance: Tolerance

    def is_settled(self, stored: LedgerDay) -> bool:
        """Whether the source had finished counting when the day was fetched."""
        return is_settled(stored, self.settle_days, self.clock())

    def is_open(self, stored: LedgerDay) -> bool:
        """Whether the day is in doubt and must be fetched again."""
        doubtful = self.differences(stored) or stored.suspicious
        return bool(stored.held or (doubtful and stored.repeats < self.confirmations))

    def differences(self, stored: LedgerDay) -> list[Difference]:
        """Where the day does not add up, beyond the tolerance."""
        return self.tolerance.beyond(stored.unreconciled)

    def reason_to_hold(self, change: Change) -> str | None:
        """Why to hold the change until the end of the run; None to accept it at once."""
        doubts = _unknown_now(change) or _open_now(change) or any(_losses(change).values())
        if self.is_settled(change.before) or doubts:
            return NOT_JUDGED
        return None


class Judgement(msgspec.Struct, frozen=True):
    """A held revision, which stays held for the `reason`; without a reason it is accepted.

    `note` says why it is accepted although it changes a lot.
    """

    change: Change
    reason: str | None
    note: str | None = None

    @property
    def is_first(self) -> bool:
        """Whether the source gave this answer for the first time."""
        return self.change.after.repeats == 0


def judge(
    held: Iterable[Change], ledger: Mapping[date, LedgerDay], caution: Caution
) -> list[Judgement]:
    """Judge each held revision; `ledger` has the versions in force, also of nearby days."""
    judgements = []
    small: list[Change] = []
    for change in held:
        if change.after.repeats >= caution.confirmations:
            note = f"the source said the same on {change.after.repeats} later days"
            judgements.append(Judgement(change, None, note))
        elif reasons := _reasons(change, ledger, caution):
            judgements.append(Judgement(change, "; ".join(reasons)))
        elif _is_improvement(change, caution):
            judgements.append(Judgement(change, None))
        else:
            small.append(change)
    together = _together(small, caution)
    return judgements + [Judgement(change, together.get(change.before.day)) for change in small]


def _reasons(change: Change, ledger: Mapping[date, LedgerDay], caution: Caution) -> list[str]:
    before, after = change.before, change.after
    if after.status is Status.EMPTY and before.status is not Status.EMPTY:
        return [f"nobody is active any more, where {before.active_users} were"]
    reasons = []
    if twin := same_as_another(after, ledger):
        reasons.append(f"the same figures as {twin}")
    reasons += [f"{name} is unknown now" for name in _unknown_now(change)[:_NAMED_AT_MOST]]
    reasons += [f"{name} is not the sum of its parts any more" for name in _open_now(change)]
    if _is_improvement(change, caution):
        return reasons
    settled = caution.is_settled(before)
    if settled and (open_now := caution.differences(after)) and not caution.differences(before):
        reasons.append(f"does not add up: {open_now[0]}")
    changes = [_losses(change), _gains(change)] if settled else [_losses(change)]
    large = [name for parts in changes for name, part in parts.items() if part > caution.limit]
    if large:
        shown_changes = [_described(name, change) for name in dict.fromkeys(large)]
        reasons.append(listed(shown_changes, most=_NAMED_AT_MOST))
    return reasons


def _is_improvement(change: Change, caution: Caution) -> bool:
    """Whether sound figures replace doubtful ones, or ones that lack a removed person."""
    before, after = change.before, change.after
    doubtful = caution.differences(before) or before.suspicious
    return bool(before.forgotten or (doubtful and after.totals and not caution.differences(after)))


def same_as_another(day: LedgerDay, ledger: Mapping[date, LedgerDay]) -> date | None:
    """Another day with exactly the same figures, if there are enough to rule out chance."""
    if day.digest is None or sum(count or 0 for count in counts_of(day.sums)) < _DISTINCTIVE:
        return None
    twins = (d for d, row in ledger.items() if d != day.day and row.digest == day.digest)
    return next(twins, None)


def _together(changes: list[Change], caution: Caution) -> dict[date, str]:
    """Why days with small changes are held: together, they change too much in one direction."""
    reasons: dict[date, str] = {}
    for direction, parts_of in (("lose", _losses), ("gain", _gains)):
        shares: dict[str, dict[date, float]] = {}
        for change in changes:
            if parts_of is _losses or caution.is_settled(change.before):
                for name, part in parts_of(change).items():
                    shares.setdefault(name, {})[change.before.day] = part
        for name, of_days in shares.items():
            days = [day for day, part in of_days.items() if part]
            # A limit of the whole day means that every possible change is accepted.
            many = len(days) >= _SEVERAL and caution.limit < 1
            if many or (len(days) > 1 and sum(of_days.values()) > caution.limit):
                reason = f"{len(days)} days {direction} {name} at once"
                reasons |= {day: reason for day in days if day not in reasons}
    return reasons


def _losses(change: Change) -> dict[str, float]:
    """What people lost, as shares of the day's figures; negligible changes are 0."""
    return _parts(change.movement.lost_people, change.movement.lost, change.before)


def _gains(change: Change) -> dict[str, float]:
    """What people gained, as shares of the day's figures."""
    return _parts(change.movement.gained_people, change.movement.gained, change.before)


def _parts(people: int, moved: Mapping[str, int], before: LedgerDay) -> dict[str, float]:
    parts = {_PEOPLE: people / max(before.active_users, 1)}
    for metric in COUNTS:
        count = before.sums[metric]
        by = moved.get(metric.name, 0)
        if count is not None:  # the change of an unknown sum is unknown too
            parts[metric.name] = by / max(count, 1) if by >= NEGLIGIBLE else 0.0
    return parts


def _unknown_now(change: Change) -> list[str]:
    """Metrics that had a value before and are unknown now."""
    before, after = change.before.sums, change.after.sums
    return [metric.name for metric in COUNTS if before[metric] and after[metric] is None]


def _open_now(change: Change) -> list[str]:
    """Metrics that were the sum of their parts before and no longer are."""
    return [
        name
        for name, difference in parts_differences(change.after.sums).items()
        if difference and parts_differences(change.before.sums).get(name) == 0
    ]


def _described(name: str, change: Change) -> str:
    moved = change.movement
    if name == _PEOPLE:
        before, after = change.before.active_users, change.after.active_users
        people = f"{moved.lost_people} less, {moved.gained_people} more"
        return f"{name} {before:,} -> {after:,} ({people})"
    metric, less, more = BY_NAME[name], moved.lost.get(name, 0), moved.gained.get(name, 0)
    sums = f"{shown(change.before.sums[metric])} -> {shown(change.after.sums[metric])}"
    return f"{name} {sums} ({less:,} less, {more:,} more)" if less and more else f"{name} {sums}"
