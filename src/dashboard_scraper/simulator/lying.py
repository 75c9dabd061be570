"""Building blocks of lies: answers for another organization, or altered answers.

Each lie has faults for both of Augment's APIs; a program uses only one of these.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import IntEnum
from typing import Any

import msgspec

from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import Metric
from dashboard_scraper.simulator.dashboard_api import TENANT_STATS, USER_STATS
from dashboard_scraper.simulator.exchange import Answer, Request, json_answer
from dashboard_scraper.simulator.faults import Effect, Fault, edited, holder, records_of, rewritten
from dashboard_scraper.simulator.organization import NOTHING, Counts, Member, Organization, add
from dashboard_scraper.simulator.server import Simulator
from dashboard_scraper.sources.dashboard.fields import FIELDS, TENANT_TOTALS, USER_FIELD
from dashboard_scraper.sources.registry import ANALYTICS, DASHBOARD

USERS = (USER_STATS.rpartition("/")[2], "user-activity")
TOTALS = (TENANT_STATS.rpartition("/")[2], "daily-usage", "dau-count")
EVERYTHING = (None,)
"""Endpoints that lie: only those of users, only those of totals, or all."""

PERSON, ACCOUNT = "user_email", "service_account_name"

Record = dict[str, Any]
Records = list[Record]
Change = Callable[[Records, Request], Records]
Figures = Callable[[Organization, Member, date], Counts]


@dataclass(frozen=True, slots=True)
class Night:
    """One run: the days that it requests, and the simulator that answers."""

    simulator: Simulator
    window: Window
    settle_days: int = 3

    @property
    def newest(self) -> date:
        """The day that no earlier run has requested."""
        return self.window.end

    @property
    def settled(self) -> list[date]:
        """The days that had settled by the run of the night before."""
        last = self.newest - timedelta(self.settle_days + 1)
        return [day for day in self.window.days() if day <= last]

    @property
    def honest(self) -> Organization:
        """The organization with the true figures."""
        return self.simulator.organization


Tell = Callable[[Night], list[Fault]]


class Unseen(IntEnum):
    """For which days nothing can reveal a lie; each value includes those before it."""

    NEVER = 0
    FIRST_NIGHT = 1  # no other day is stored yet for comparison
    FIRST_FETCH = 2  # other days are stored, but differ from each other as much
    ALWAYS = 3  # not even an earlier answer for the same day reveals it


@dataclass(frozen=True, slots=True)
class Lie:
    """A lie, told by the faults of one night.

    `unseen` says for which days it cannot be detected, and `why`. It is told only by `sources`, and
    only from the night `from_night` on.
    """

    name: str
    tell: Tell
    unseen: Unseen = Unseen.NEVER
    why: str = ""
    sources: tuple[str, ...] = (DASHBOARD, ANALYTICS)  # whose answers the effects can change
    from_night: int = 1


class Altered(Organization):
    """The same people with other figures, without those who are `gone`, and with the true costs."""

    def __init__(
        self,
        honest: Organization,
        figures: Figures = Organization.figures,
        gone: Callable[[Member], bool] = lambda _member: False,
    ) -> None:
        super().__init__(len(honest.people), honest.seed, len(honest.accounts), honest.today)
        self._honest, self._figures = honest, figures
        self.people = tuple(_gone(member) if gone(member) else member for member in self.people)
        self.accounts = tuple(_gone(each) if gone(each) else each for each in self.accounts)
        self.members = self.people + self.accounts
        self.costs = honest.costs

    def figures(self, member: Member, day: date) -> Counts:
        counts = self._figures(self._honest, member, day)
        return counts if any(counts) else NOTHING


def _gone(member: Member) -> Member:
    return replace(member, joined=date.max)


def figures_of(
    night: Night,
    organization: Organization,
    endpoints: Iterable[str | None] = EVERYTHING,
    day: date | None = None,
) -> list[Fault]:
    """Let the endpoints answer with another organization's figures."""

    def effect(_answer: Answer, request: Request) -> Answer:
        return night.simulator.answer_for(organization, request)

    return [Fault(effect, endpoint, day) for endpoint in endpoints]


def always(faults: list[Fault]) -> Tell:
    """The same faults on every night."""
    return lambda _night: faults


def answered_by(figures: Figures, endpoints: Iterable[str | None] = EVERYTHING) -> Tell:
    return lambda night: figures_of(night, Altered(night.honest, figures), endpoints)


def without(gone: Callable[[Member], bool], endpoints: Iterable[str | None] = EVERYTHING) -> Tell:
    return lambda night: figures_of(night, Altered(night.honest, gone=gone), endpoints)


def on(days: Iterable[date], figures: Figures) -> Figures:
    """Other figures on these days, and the true ones on all others."""
    chosen = frozenset(days)

    def figures_on(honest: Organization, member: Member, day: date) -> Counts:
        return figures(honest, member, day) if day in chosen else honest.figures(member, day)

    return figures_on


def times(number: int, of: int = 1) -> Figures:
    """The true figures times `number` / `of`, rounded up."""
    return lambda honest, member, day: Counts(
        *(-(-count * number // of) for count in honest.figures(member, day))
    )


def with_counts(change: Callable[[Counts], Counts]) -> Figures:
    """The change, applied to each user-day that is not empty."""

    def figures(honest: Organization, member: Member, day: date) -> Counts:
        counts = honest.figures(member, day)
        return change(counts) if any(counts) else counts

    return figures


def of_day(other: Callable[[date], date]) -> Figures:
    """The figures of another day."""
    return lambda honest, member, day: honest.figures(member, other(day))


def of_days_until(days: int) -> Figures:
    """The sum of the last days, this many, up to the requested one."""

    def figures(honest: Organization, member: Member, day: date) -> Counts:
        return add(honest.figures(member, day - timedelta(number)) for number in range(days))

    return figures


def every_second(effect: Effect) -> Effect:
    """The lie and the truth in turn, for each kind of request."""
    asked: dict[object, int] = {}
    lock = threading.Lock()

    def alternating(answer: Answer, request: Request) -> Answer:
        with lock:
            asked[request.key] = asked.get(request.key, 0) + 1
            return effect(answer, request) if asked[request.key] % 2 else answer

    return alternating


def alternating(faults: Iterable[Fault]) -> list[Fault]:
    """The faults, each applied to every second request."""
    return [replace(fault, effect=every_second(fault.effect)) for fault in faults]


def in_users(change: Change, day: date | None = None) -> list[Fault]:
    """Change records of users, and with them the number of users that the answer states."""

    def edit(body: Any, request: Request) -> Any:
        return _with_records(body, change(records_of(body), request))

    return [Fault(edited(edit), endpoint, day) for endpoint in USERS]


def in_each_user(change: Callable[[Record, Request], None], day: date | None = None) -> list[Fault]:
    """Change each user's record in place."""

    def change_all(records: Records, request: Request) -> Records:
        for record in records:
            change(record, request)
        return records

    return in_users(change_all, day)


def in_one_user(change: Callable[[Record, Request], None], day: date | None = None) -> list[Fault]:
    """Change the record of the first active user in place."""

    def change_one(records: Records, request: Request) -> Records:
        for record in [each for each in records if is_active(each)][:1]:
            change(record, request)
        return records

    return in_users(change_one, day)


def beside_users(fields: Record) -> list[Fault]:
    """Add fields beside the list of users."""
    return [Fault(edited(lambda body, _request: {**body, **fields}), each) for each in USERS]


def in_pages(
    night: Night, organization: Organization, change: Callable[[list[Records]], list[Records]]
) -> list[Fault]:
    """Send the users in altered pages of three; the cursor is the number of a page."""

    def effect(_answer: Answer, request: Request) -> Answer:
        query = {name: value for name, value in request.query.items() if name != "cursor"}
        whole = night.simulator.answer_for(organization, replace(request, query=query))
        body = msgspec.json.decode(whole.body)
        records = records_of(body)
        pages = change([records[at : at + 3] for at in range(0, len(records), 3)]) or [[]]
        number = int(request.query.get("cursor", "0"))
        more = number + 1 < len(pages)
        pagination = {"next_cursor": f"{number + 1}" if more else None, "has_more": more}
        return json_answer({**_with_records(body, pages[number]), "pagination": pagination})

    return [Fault(effect, endpoint) for endpoint in USERS]


def in_totals(metric: Metric, by: int, day: date) -> list[Fault]:
    """Raise one total on the day."""
    field = next(field for field, name in TENANT_TOTALS.items() if name == metric.name)

    def edit_dashboard(body: Any, _request: Request) -> Any:
        return {**body, field: body[field] + by}

    def edit_analytics(body: Any, _request: Request) -> Any:
        for record in records_of(body):
            if record["date"] == day.isoformat():
                record["metrics"][metric.name] += by
        return body

    return [
        Fault(edited(edit_dashboard), TOTALS[0], day),
        Fault(edited(edit_analytics), TOTALS[1]),
    ]


def in_text(change: Callable[[bytes, Request], bytes], endpoints: Iterable[str]) -> list[Fault]:
    """Change the text of an answer to text that JSON libraries do not write."""

    return [Fault(rewritten(change), endpoint) for endpoint in endpoints]


def is_dashboard(request: Request) -> bool:
    """Whether the request is for the dashboard, not for the Analytics API."""
    return request.endpoint in (USERS[0], TOTALS[0])


def field_of(metric: Metric, request: Request) -> str:
    """The name of a metric in the requested API."""
    return FIELDS[metric] if is_dashboard(request) else metric.name


def get(record: Record, metric: Metric, request: Request) -> int:
    """One figure of a user."""
    field = field_of(metric, request)
    return int(holder(record, field)[field] or 0)


def put(record: Record, metric: Metric, request: Request, value: object) -> None:
    """Replace one figure of a user."""
    field = field_of(metric, request)
    holder(record, field)[field] = value


def name_of(record: Record) -> str:
    """A user's address, or the name of a service account."""
    return str(next(record[key] for key in (USER_FIELD, PERSON, ACCOUNT) if key in record))


def named(record: Record, name: str) -> None:
    """Rename the user."""
    record[next(key for key in (USER_FIELD, PERSON, ACCOUNT) if key in record)] = name


def is_active(record: Record) -> bool:
    """Whether the user has any count above 0."""
    counts = record.get("metrics") or record
    return any(isinstance(count, int) and count for count in counts.values())


def _with_records(body: Any, records: Records) -> Any:
    key = next(key for key, value in body.items() if isinstance(value, list))
    if "metadata" in body:
        names = {name_of(record) for record in records if isinstance(record, dict)}
        body = {**body, "metadata": {**body["metadata"], "returned_user_count": len(names)}}
    return {**body, key: records}
