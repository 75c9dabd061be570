"""What runs did: one row per source and run, for runs that fetch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from dashboard_scraper.clock import CLOCKS_DIFFER
from dashboard_scraper.model.dates import iso_utc
from dashboard_scraper.model.listing import many
from dashboard_scraper.store.schema import RUN

NIGHTLY = "last-28-days"
"""The command of the nightly job, whether a person, cron or `watch` runs it."""


class RunCounts(msgspec.Struct, frozen=True):
    """How many days a run fetched and stored, for how many of these it replaced other figures, how
    many days failed, and how many requests it sent.
    """

    days_fetched: int
    days_revised: int
    days_failed: int
    requests: int


class Run(msgspec.Struct, frozen=True):
    """A run for one source. If `ended_at` and the fields after it are missing, the run is still
    going on, or was killed before it could record how it ended.
    """

    number: int
    source: str
    command: str
    started_at: datetime
    version: str
    ended_at: datetime | None = None
    exit_code: int | None = None
    days_fetched: int | None = None
    days_revised: int | None = None
    days_failed: int | None = None
    requests: int | None = None

    @property
    def ending(self) -> str:
        """How it ended and what it did, in words."""
        days, requests = self.days_fetched, self.requests
        if self.exit_code is None or days is None or requests is None:
            return "did not say how it ended: it is still running, or was killed"
        return (
            f"exit code {self.exit_code}: {many(days, 'day')} fetched,"
            f" {self.days_revised} of them revised, {self.days_failed} failed;"
            f" {many(requests, 'request')}"
        )


class RunList(msgspec.Struct, frozen=True):
    """Runs, newest first."""

    runs: list[Run]

    def lines(self) -> list[str]:
        """One line per run, for people."""
        return [
            f"{iso_utc(run.started_at)} {run.source} {run.command}: {run.ending}"
            for run in self.runs
        ]


def without_clocks_ahead(newest_first: Iterable[Run]) -> Iterator[Run]:
    """The runs, except those that began after a run with a higher number: their clock was ahead."""
    earliest = None
    for run in newest_first:
        if earliest is None or run.started_at <= earliest + CLOCKS_DIFFER:
            earliest = min(run.started_at, earliest or run.started_at)
            yield run


_COLUMNS = tuple(RUN.c[name] for name in Run.__struct_fields__)


def start(
    connection: Connection, source: str, command: str, started_at: datetime, version: str
) -> int:
    """Insert a run, and return its number."""
    newest = connection.scalar(select(func.max(RUN.c.number)))
    number = (newest or 0) + 1
    run = Run(number, source, command, started_at, version)
    connection.execute(insert(RUN), msgspec.structs.asdict(run))
    return number


def end(
    connection: Connection, number: int, ended_at: datetime, exit_code: int, counts: RunCounts
) -> None:
    """Record how a run ended."""
    values = {"ended_at": ended_at, "exit_code": exit_code, **msgspec.structs.asdict(counts)}
    connection.execute(update(RUN).where(RUN.c.number == number).values(values))


NEWEST_FIRST = select(*_COLUMNS).order_by(RUN.c.number.desc())
NEWEST_ENDED = NEWEST_FIRST.where(
    RUN.c.number.in_(
        select(func.max(RUN.c.number)).where(RUN.c.ended_at.is_not(None)).group_by(RUN.c.source)
    )
)
"""The newest ended run of each source."""
