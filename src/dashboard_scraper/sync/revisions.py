"""How far an answer is believed that differs from what the source said of the day before.

    a day that has not settled may grow by anything, and lose up to the limit
    a day that has settled may change by up to the limit, in either direction; what moves from one
    person to another is a loss and a gain
    two days that change by less may together change by the limit; three are too many to go in the
    same direction
    a day that is emptied, that gets the figures of another day, in which a metric becomes unknown
    or ceases to be the sum of its parts, or whose users no longer add up to the source's totals, is
    never believed at once

What is not believed is held: the version before stays in force until somebody accepts the new one,
or the source has given the same answer on so many later days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from dashboard_scraper.model.checks import Difference, parts_differences, shown
from dashboard_scraper.model.figures import counts_of
from dashboard_scraper.model.listing import listed
from dashboard_scraper.model.metrics import BY_NAME, COUNTS
from dashboard_scraper.model.tolerance import Tolerance
from dashboard_scraper.store import Change, LedgerDay, Status
from dashboard_scraper.store.settling import is_settled

NOT_JUDGED = "the run ended before it could be compared with the other days"

# Of so few messages, lines or calls nobody can say that they are many; nor of such a day that it is
# the same as another one by more than chance.
NEGLIGIBLE = 10
_TELLING = 20
_PEOPLE = "active users"
_NAMED_AT_MOST = 3
_SEVERAL = 3


@dataclass(frozen=True, slots=True)
class Caution:
    """What the store asks when an answer differs from the version in force.

    `limit` is the part of a day that may change, 1 being all of it; `confirmations` the number of
    later days on which the same answer has to come to be accepted by itself.

    A change in which nothing is lost of a day that had not settled is believed; every other one
    waits for the end of the run, when all days are known that it changes.
    """

    limit: float
    confirmations: int
    settle_days: int
    clock: Callable[[], datetime]
    tolerance: Tolerance

    def is_settled(self, stored: LedgerDay) -> bool:
        """Whether the source had stopped counting when the day was fetched."""
        return is_settled(stored, self.settle_days, self.clock())

    def is_open(self, stored: LedgerDay) -> bool:
        """Whether a day that is in doubt has to be asked for again."""
        doubtful = self.differences(stored) or stored.suspicious
        return bool(stored.held or (doubtful and stored.repeats < self.confirmations))

    def differences(self, stored: LedgerDay) -> list[Difference]:
        """Where the day does not add up, beyond what is tolerated."""
        return self.tolerance.beyond(stored.unreconciled)

    def reason_to_hold(self, change: Change) -> str | None:
        """For the time being, in words; None where the change is believed."""
        doubts = _unknown_now(change) or _open_now(change) or any(_losses(change).values())
        if self.is_settled(change.before) or doubts:
            return NOT_JUDGED
        return None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What becomes of a held revision: held for the `reason`, or accepted where there is none.

    `note` says why it is accepted although it changes much.
    """

    change: Change
    reason: str | None
    note: str | None = None

    @property
    def is_first(self) -> bool:
        """Whether the source gave this answer on no earlier day."""
        return self.change.after.repeats == 0


def judge(
    held: Iterable[Change], ledger: Mapping[date, LedgerDay], caution: Caution
) -> list[Judgement]:
    """What becomes of each; `ledger` has the days around them, with their versions in force."""
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
        told = [_told(name, change) for name in dict.fromkeys(large)]
        reasons.append(listed(told, most=_NAMED_AT_MOST))
    return reasons


def _is_improvement(change: Change, caution: Caution) -> bool:
    """Of figures that were in doubt, or lack a person who was removed, by some that are not."""
    before, after = change.before, change.after
    doubtful = caution.differences(before) or before.suspicious
    return bool(before.forgotten or (doubtful and after.totals and not caution.differences(after)))


def same_as_another(day: LedgerDay, ledger: Mapping[date, LedgerDay]) -> date | None:
    """Another day on which the same users did exactly the same, and more than a little."""
    if day.digest is None or sum(count or 0 for count in counts_of(day.sums)) < _TELLING:
        return None
    twins = (d for d, row in ledger.items() if d != day.day and row.digest == day.digest)
    return next(twins, None)


def _together(changes: list[Change], caution: Caution) -> dict[date, str]:
    """Why days are held whose changes are small, but add up in one direction."""
    reasons: dict[date, str] = {}
    for direction, parts_of in (("lose", _losses), ("gain", _gains)):
        shares: dict[str, dict[date, float]] = {}
        for change in changes:
            if parts_of is _losses or caution.is_settled(change.before):
                for name, part in parts_of(change).items():
                    shares.setdefault(name, {})[change.before.day] = part
        for name, of_days in shares.items():
            days = [day for day, part in of_days.items() if part]
            # With a limit of a whole day, somebody wants all but the impossible to be believed.
            many = len(days) >= _SEVERAL and caution.limit < 1
            if many or (len(days) > 1 and sum(of_days.values()) > caution.limit):
                told = f"{len(days)} days {direction} {name} at once"
                reasons |= {day: told for day in days if day not in reasons}
    return reasons


def _losses(change: Change) -> dict[str, float]:
    """What people have less, as parts of what was there; what is negligible is 0."""
    return _parts(change.movement.lost_people, change.movement.lost, change.before)


def _gains(change: Change) -> dict[str, float]:
    """What people have more, as parts of what was there."""
    return _parts(change.movement.gained_people, change.movement.gained, change.before)


def _parts(people: int, moved: Mapping[str, int], before: LedgerDay) -> dict[str, float]:
    parts = {_PEOPLE: people / max(before.active_users, 1)}
    for metric in COUNTS:
        count = before.sums[metric]
        by = moved.get(metric.name, 0)
        if count is not None:  # of a sum that was unknown nobody can say how much it changes
            parts[metric.name] = by / max(count, 1) if by >= NEGLIGIBLE else 0.0
    return parts


def _unknown_now(change: Change) -> list[str]:
    """Metrics of which there was something, and nobody knows how much any more."""
    before, after = change.before.sums, change.after.sums
    return [metric.name for metric in COUNTS if before[metric] and after[metric] is None]


def _open_now(change: Change) -> list[str]:
    """Sums of several metrics that were those of their parts, and are not any more."""
    return [
        name
        for name, difference in parts_differences(change.after.sums).items()
        if difference and parts_differences(change.before.sums).get(name) == 0
    ]


def _told(name: str, change: Change) -> str:
    moved = change.movement
    if name == _PEOPLE:
        before, after = change.before.active_users, change.after.active_users
        people = f"{moved.lost_people} less, {moved.gained_people} more"
        return f"{name} {before:,} -> {after:,} ({people})"
    metric, less, more = BY_NAME[name], moved.lost.get(name, 0), moved.gained.get(name, 0)
    sums = f"{shown(change.before.sums[metric])} -> {shown(change.after.sums[metric])}"
    return f"{name} {sums} ({less:,} less, {more:,} more)" if less and more else f"{name} {sums}"
