"""The versions of a day and of its costs, and what changed from one to the next, by person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Any

import msgspec

from dashboard_scraper.cli.cost_history import CostVersionHistory, cost_history_of, cost_lines
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.checks import Difference
from dashboard_scraper.model.dates import iso_utc
from dashboard_scraper.model.figures import NOTHING_KNOWN
from dashboard_scraper.model.listing import many
from dashboard_scraper.model.metrics import METRICS
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.store import DayVersion, Reader, VersionState

_IN_FORCE = "in force"
_ROW = "row"
"""Instead of a metric: the person's whole row, which is new or gone."""


class PersonChange(msgspec.Struct, frozen=True):
    """A person's figure before and after; None is unknown. For `row`, whether there is one."""

    user: str
    metric: str
    before: Any
    after: Any


class VersionHistory(msgspec.Struct, frozen=True):
    """One version of a day, and its changes from the last earlier version that was in force.

    `state` is `in force` or a VersionState; `since` is when the version entered it. `fetched_at`
    are all the times at which the source gave this answer.
    """

    version: int
    state: str
    since: datetime
    fetched_at: list[datetime]
    users: int
    active_users: int
    totals: dict[str, int] | None
    unreconciled: list[Difference]
    compared_with: int | None
    changes: list[PersonChange]


class DayHistory(msgspec.Struct, frozen=True):
    """What `history` prints for one day."""

    source: str
    day: date
    held: str | None
    suspicious: str | None
    versions: list[VersionHistory]
    costs: list[CostVersionHistory]


def history_of(reader: Reader, source: str, day: date, audience: Audience) -> DayHistory:
    """Every version of the day and of its costs; UsageError if there is neither."""
    versions = reader.versions(source, day)
    costs = cost_history_of(reader, source, day, audience)
    if not versions:
        if not costs:
            raise UsageError(f"{day} is not in the store for the source {source}")
        return DayHistory(source, day, None, None, [], costs)
    (current,) = (version.ledger for version in versions if version.state is None)
    histories = []
    before: DayVersion | None = None
    for version in versions:
        histories.append(_version(reader, before, version, audience))
        # Held and rejected versions were never in force, so nothing is compared with them.
        if version.state in (None, VersionState.SUPERSEDED):
            before = version
    return DayHistory(source, day, current.held, current.suspicious, histories, costs)


def _version(
    reader: Reader, before: DayVersion | None, version: DayVersion, audience: Audience
) -> VersionHistory:
    ledger = version.ledger
    changes: list[PersonChange] = []
    if before is not None:
        old, new = reader.version(before.ledger), reader.version(ledger)
        changes = list(_changes(old, new, audience))
    return VersionHistory(
        version=ledger.version,
        state=version.state.value if version.state else _IN_FORCE,
        since=version.since,
        fetched_at=version.fetches,
        users=ledger.users,
        active_users=ledger.active_users,
        totals=ledger.totals,
        unreconciled=ledger.unreconciled,
        compared_with=before.ledger.version if before else None,
        changes=changes,
    )


def _changes(
    old: Iterable[UserUsage], new: Iterable[UserUsage], audience: Audience
) -> Iterator[PersonChange]:
    """Changes by person, under the newer name: a new spelling is neither gone nor new."""
    before, after = (
        {audience.person_of_shown(user.user): user for user in audience.shown(users)}
        for users in (old, new)
    )
    found = before | after
    for person in sorted(found, key=lambda each: found[each].user):
        name = found[person].user
        if person not in before or person not in after:
            yield PersonChange(name, _ROW, person in before, person in after)
            if person in before:
                continue
        yield from _figures(name, before.get(person), after[person])


def _figures(name: str, old: UserUsage | None, new: UserUsage) -> Iterator[PersonChange]:
    """The figures that differ; for a new person, the figures that are known and not 0."""
    figures = old.figures if old else NOTHING_KNOWN
    for metric in METRICS:
        was, is_now = figures[metric], new.figures[metric]
        if was != is_now and (old or is_now):
            yield PersonChange(name, metric.name, was, is_now)
    extra = old.extra if old else {}
    for field in sorted(extra.keys() | new.extra.keys()):
        if extra.get(field) != new.extra.get(field):
            yield PersonChange(name, field, extra.get(field), new.extra.get(field))


def as_lines(history: DayHistory) -> Iterator[str]:
    """The history as text."""
    count = len(history.versions)
    versions = many(count, "version") if count else "only its costs are in the store"
    yield f"{history.day} ({history.source}): {versions}"
    for name, doubt in (("held", history.held), ("suspicious", history.suspicious)):
        if doubt:
            yield f"{name}: {doubt}"
    for version in history.versions:
        yield ""
        yield f"version {version.version}, {version.state} since {iso_utc(version.since)}"
        fetched = ", ".join(map(iso_utc, version.fetched_at))
        yield f"  {many(version.users, 'user')}, {version.active_users} active; fetched {fetched}"
        for difference in version.unreconciled:
            yield f"  does not add up: {difference}"
        if version.compared_with is not None:
            yield f"  changes from version {version.compared_with}:"
            yield from (f"    {line}" for line in _changed(version.changes) or ["none"])
    yield from cost_lines(history.costs)


def _changed(changes: Iterable[PersonChange]) -> list[str]:
    return [
        (
            f"{change.user}: {'new' if change.after else 'gone'}"
            if change.metric == _ROW
            else f"{change.user}: {change.metric} {_text(change.before)} -> {_text(change.after)}"
        )
        for change in changes
    ]


def _text(value: Any) -> str:
    if value is None:
        return "unknown"
    return iso_utc(value) if isinstance(value, datetime) else str(value)
