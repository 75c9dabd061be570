"""The interface of an export's formats: each is given every stored day once, oldest first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

from dashboard_scraper.files import Publication, WrittenFile
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.people.audience import Audience, Naming
from dashboard_scraper.store import LedgerDay, Reader


class OutputDay:
    """A stored day, loaded from the store at most once however many outputs read it."""

    def __init__(self, reader: Reader, ledger_day: LedgerDay, audience: Audience) -> None:
        self._reader = reader
        self._audience = audience
        self.ledger_day = ledger_day
        self.day = ledger_day.day

    @cached_property
    def usage(self) -> DayUsage:
        """Every user as stored; StoreFailed where the rows no longer match the ledger."""
        return self._reader.day(self.ledger_day)

    @cached_property
    def shown(self) -> DayUsage:
        """The users that outputs show, one entry per person, under their names of that day."""
        users = self._audience.shown(self.usage.users)
        if not self._audience.anonymous and len(users) == len(self.usage.users):
            # Nobody was left out, merged or renamed: share the day's cached values.
            return self.usage
        return DayUsage(self.day, users)


@dataclass(frozen=True, slots=True)
class OutputRun:
    """What outputs read from and write to.

    `missing` days of the window are not in the store, or failed in this run. `naming` has one name
    per person for the whole window.
    """

    reader: Reader
    publication: Publication
    source: str
    audience: Audience
    naming: Naming
    missing: Collection[date]


class OutputFile(NamedTuple):
    """A written file, listed in the manifest under its day, or in a field for the whole window."""

    written: WrittenFile
    day: date | None = None
    field: str = ""


class Output(Protocol):
    """One format.

    `targets`, `day_targets` and `sample` may be called at any time. A run calls `begin`, then
    `add_day` for each day of `reach` that is stored and did not fail, then `finish`.
    """

    @property
    def reach(self) -> Window:
        """The days it reads: the export's window, and perhaps days before it."""
        ...

    def targets(self) -> list[Path]:
        """Every file it may write; earlier ones that this run does not replace are set aside."""
        ...

    def day_targets(self, day: date) -> list[Path]:
        """The files that depend on this day alone, and stay valid when other days change."""
        ...

    def sample(self, users: Sequence[UserUsage]) -> Iterable[bytes]:
        """What a day's files would contain for these users; nothing if it has no files of a day."""
        ...

    def begin(self, run: OutputRun) -> None:
        """Prepare for the first day."""
        ...

    def add_day(self, day: OutputDay) -> None:
        """Write or collect the next day."""
        ...

    def finish(self) -> list[OutputFile]:
        """Write the files that need several days; returns every file written in this run."""
        ...
