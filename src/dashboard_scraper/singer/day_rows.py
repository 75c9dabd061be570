"""The rows of each day in the streams of days, and marks of what they are made from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from dashboard_scraper.model.costs import COST_METRICS, names_of, text_of
from dashboard_scraper.model.dates import Window, end_of_day
from dashboard_scraper.model.doubts import DoubtKind, words_by_kind
from dashboard_scraper.model.figures import values_of
from dashboard_scraper.model.metrics import COUNTS, METRICS
from dashboard_scraper.model.tolerance import Tolerance
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.shown_costs import person_of, shown_costs
from dashboard_scraper.shown_people import ShownPeople
from dashboard_scraper.singer.fields import DELETED_AT
from dashboard_scraper.singer.state import Mark
from dashboard_scraper.singer.streams import (
    ACCEPTED_AT,
    COST_DAYS,
    COST_TOTALS,
    DAY_VERSION,
    DAYS,
    MISSING,
    SINCE,
    USER_DAYS,
    Stream,
)
from dashboard_scraper.store import CostLedgerDay, LedgerDay, Reader, VersionState
from dashboard_scraper.store.empty_days import usage_sums

Record = dict[str, Any]

_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="deterministic").encode
_NAMES = tuple(metric.name for metric in METRICS)
_COMPLETE = "complete"


class View(msgspec.Struct, frozen=True):
    """A source's part of the store, as outputs show it; days up to `yesterday` are over."""

    reader: Reader
    source: str
    audience: Audience
    tolerance: Tolerance
    yesterday: date


class DayRows(Protocol):
    """The days of one stream and source."""

    def marks(self) -> dict[date, Mark]:
        """Every day, oldest first, with a mark of what its rows are made from; reads no rows."""
        ...

    def rows(self, day: date, *, removed: bool) -> Iterator[Record]:
        """The day's rows; with `removed`, also those that only earlier versions have, as gone."""
        ...

    def has_version(self, day: date, number: int) -> bool:
        """Whether it is known which rows this version of the day had."""
        ...


class UserDayRows:
    """The users of each stored day."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._ledger = view.reader.ledger(view.source)

    def marks(self) -> dict[date, Mark]:
        return {day: self._mark(row) for day, row in self._ledger.items()}

    def _mark(self, row: LedgerDay) -> Mark:
        # With the pseudonyms' key, if there is one: the digest is made of names and of figures that
        # are in the rows, so that somebody who guesses a day's names could check them.
        content = row.digest and self._view.audience.rename(row.digest)
        numbers = (row.users, row.active_users, row.sums, content)
        made_from = (row.accepted_at, *numbers, _doubts(row, self._view.tolerance))
        return Mark(row.version, row.forgotten, digest(made_from))

    def rows(self, day: date, *, removed: bool) -> Iterator[Record]:
        view, row = self._view, self._ledger[day]
        of_day = {
            **_gone(USER_DAYS, view.source, day, row.version, row.accepted_at or row.fetched_at),
            **_doubts(row, view.tolerance),
            DELETED_AT: None,
        }
        shown = set()
        for user in view.audience.shown(view.reader.day(row).users):
            shown.add(user.user)
            yield {**of_day, **self._of_user(user)}
        if removed:
            gone = of_day | dict.fromkeys(_doubts(row, view.tolerance))
            for name in sorted(self._earlier(day) - shown):
                yield {**gone, "user_login": name, DELETED_AT: gone[ACCEPTED_AT]}

    def _of_user(self, user: UserUsage) -> Record:
        return {
            "user_login": user.user,
            **dict(zip(_NAMES, values_of(user.figures), strict=True)),
            "extra": _encode(user.extra).decode() if user.extra else None,
            "service_account": user.service,
            "person": self._view.audience.person_of_shown(user.user),
        }

    def _earlier(self, day: date) -> set[str]:
        """Everybody whom a superseded version showed."""
        reader, audience = self._view.reader, self._view.audience
        return {
            user.user
            for version in reader.versions(self._view.source, day)
            if version.state is VersionState.SUPERSEDED
            for user in audience.shown(reader.version(version.ledger))
        }

    def has_version(self, day: date, number: int) -> bool:
        versions = self._view.reader.versions(self._view.source, day)
        return any(version.ledger.version == number for version in versions)


class LedgerDays:
    """Every day since the first in the store, with sums over the users who are shown."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._ledger = view.reader.ledger(view.source)
        self._stored = view.reader.ledger_rows(view.source)
        if self._ledger:
            window = Window(min(self._ledger), max(self._ledger))
            self._people = ShownPeople(view.reader, view.source, window, view.audience)

    def marks(self) -> dict[date, Mark]:
        return {day: self._mark(day) for day in _days(self._ledger, self._view.yesterday)}

    def _mark(self, day: date) -> Mark:
        if day not in self._ledger:
            return _MISSING
        row = self._ledger[day]
        return Mark(row.version, row.forgotten, digest(self._known(day)))

    def _known(self, day: date) -> Record:
        """The row without sums that are not in the ledger."""
        row, people = self._ledger[day], self._people
        return {
            **{field.name: self._stored[day].get(field.name) for field in DAYS.fields},
            **_doubts(row, self._view.tolerance),
            "users": people.listed(day).bit_count(),
            "active_users": people.active(day).bit_count(),
            DAY_VERSION: row.version,
            SINCE: row.accepted_at or row.fetched_at,
        }

    def rows(self, day: date, *, removed: bool) -> Iterator[Record]:  # noqa: ARG002 - none is
        if day not in self._ledger:
            yield _missing(DAYS, self._view.source, day)
            return
        yield {**self._known(day), **self._sums(day)}

    def _sums(self, day: date) -> Record:
        if not self._people.leaves_out(day):
            return {}
        users = self._view.audience.shown(self._view.reader.day(self._ledger[day]).users)
        sums = usage_sums(self._view.source, users)
        return {metric.name: sums[metric] for metric in COUNTS}

    def has_version(self, day: date, number: int) -> bool:  # noqa: ARG002
        return True


class CostDayRows:
    """The costs of each day that has any stored."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._ledger = view.reader.cost_ledger(view.source)

    def marks(self) -> dict[date, Mark]:
        return {day: self._mark(row) for day, row in self._ledger.items()}

    def _mark(self, row: CostLedgerDay) -> Mark:
        made_from = (row.accepted_at, row.currency, row.sums, row.total, row.unreconciled)
        return Mark(row.version, row.forgotten, digest(made_from))

    def rows(self, day: date, *, removed: bool) -> Iterator[Record]:
        row, audience = self._ledger[day], self._view.audience
        gone = _gone(COST_DAYS, self._view.source, day, row.version, row.accepted_at)
        of_day = {
            **gone,
            "currency": row.currency,
            DoubtKind.UNRECONCILED.word: row.unreconciled_words,
        }
        sent = set()
        for cost in shown_costs(self._view.reader.costs(row), audience):
            sent.add(names_of(cost))
            figures = {metric.name: _amount(cost.figures[metric]) for metric in COST_METRICS}
            known = {**figures, "person": person_of(cost, audience), DELETED_AT: None}
            yield {**of_day, **dict(zip(_COST_KEY, names_of(cost), strict=True)), **known}
        if removed:
            for key in sorted(self._earlier(row) - sent):
                yield {**gone, **dict(zip(_COST_KEY, key, strict=True))}

    def _earlier(self, row: CostLedgerDay) -> set[tuple[str, ...]]:
        versions = self._view.reader.earlier_costs(row)
        return {
            names_of(cost) for costs in versions for cost in shown_costs(costs, self._view.audience)
        }

    def has_version(self, day: date, number: int) -> bool:
        return number <= self._ledger[day].version


class CostLedgerDays:
    """Every day since the first with costs, with its sums; these never leave out any amount."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._ledger = view.reader.cost_ledger(view.source)
        self._stored = view.reader.cost_ledger_rows(view.source)

    def marks(self) -> dict[date, Mark]:
        days = _days(self._ledger, self._view.yesterday)
        return {day: self._mark(day) for day in days}

    def _mark(self, day: date) -> Mark:
        if day not in self._ledger:
            return _MISSING
        row = self._ledger[day]
        return Mark(row.version, row.forgotten, digest(self._row(row)))

    def _row(self, row: CostLedgerDay) -> Record:
        stored = self._stored[row.day]
        return {
            **{field.name: _amount(stored.get(field.name)) for field in COST_TOTALS.fields},
            DoubtKind.UNRECONCILED.word: row.unreconciled_words,
            "status": _COMPLETE,
            DAY_VERSION: row.version,
            SINCE: row.accepted_at,
        }

    def rows(self, day: date, *, removed: bool) -> Iterator[Record]:  # noqa: ARG002 - none is
        row = self._ledger.get(day)
        yield self._row(row) if row else _missing(COST_TOTALS, self._view.source, day)

    def has_version(self, day: date, number: int) -> bool:  # noqa: ARG002
        return True


_MISSING = Mark(0, 0, MISSING)
_COST_KEY = tuple(name for name in COST_DAYS.key if name not in ("source", "day"))


def _amount(value: Any) -> Any:
    """An amount of money as text; any other value unchanged."""
    return text_of(value) if isinstance(value, Decimal) else value


def _doubts(row: LedgerDay, tolerance: Tolerance) -> dict[str, str | None]:
    """For each kind of doubt, the reason in words, or None."""
    found = words_by_kind(row, tolerance)
    return {kind.word: found.get(kind.word) for kind in DoubtKind}


def _gone(stream: Stream, source: str, day: date, version: int, since: datetime) -> Record:
    """A row without figures, which are unknown, and without the rest of its key."""
    return {
        **dict.fromkeys(field.name for field in stream.fields),
        "source": source,
        "day": day,
        DAY_VERSION: version,
        ACCEPTED_AT: since,
        DELETED_AT: since,
    }


def _missing(stream: Stream, source: str, day: date) -> Record:
    return {
        **dict.fromkeys(field.name for field in stream.fields),
        "source": source,
        "day": day,
        "status": MISSING,
        SINCE: end_of_day(day),
    }


def _days(stored: dict[date, Any], yesterday: date) -> list[date]:
    """The days from the first stored one to the newest that is stored or over."""
    return [*Window(min(stored), max(yesterday, *stored)).days()] if stored else []


def digest(content: Any) -> str:
    """A digest of anything that JSON can express."""
    return hashlib.blake2b(_encode_sorted(content), digest_size=8).hexdigest()
