"""What the formats of an export have in common: each gets every stored day once, oldest first."""

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
from dashboard_scraper.store import ActiveUser, LedgerDay, Reader


class OutputDay:
    """A stored day, read from the store at most once, whoever asks."""

    def __init__(self, reader: Reader, kept: LedgerDay, audience: Audience) -> None:
        self._reader = reader
        self._audience = audience
        self.kept = kept
        self.day = kept.day

    @cached_property
    def usage(self) -> DayUsage:
        """Every user as the store has them; StoreFailed where they are not what was stored."""
        return self._reader.day(self.kept)

    @cached_property
    def shown(self) -> DayUsage:
        """The users that outputs show, once each, under the names that they had on the day."""
        users = self._audience.shown(self.usage.users)
        if not self._audience.anonymous and len(users) == len(self.usage.users):
            # Nobody was left out, merged or renamed: what is known of the day holds for these too.
            return self.usage
        return DayUsage(self.day, users)

    @cached_property
    def active_accounts(self) -> list[ActiveUser]:
        """Who was active, without their figures, which costs less."""
        return self._reader.activity(self.kept, ())


@dataclass(frozen=True, slots=True)
class OutputRun:
    """What outputs read from and write to. Days of the window that are `missing` are not in the
    store, or failed in this run. `naming` has one name a person for the whole window.
    """

    reader: Reader
    publication: Publication
    source: str
    audience: Audience
    naming: Naming
    missing: Collection[date]


class OutputFile(NamedTuple):
    """A file as it was written: of one day, or of the whole window in a field of the manifest."""

    written: WrittenFile
    day: date | None = None
    field: str = ""


class Output(Protocol):
    """One format. `targets` and `day_targets` may be asked at any time; then comes `begin`, each
    day of `reach` that is there and did not fail, and `finish`.
    """

    @property
    def reach(self) -> Window:
        """The days that it looks at: those of the export, and others before them."""
        ...

    def targets(self) -> list[Path]:
        """Every file that it may write; those that it does not write are set aside."""
        ...

    def day_targets(self, day: date) -> list[Path]:
        """The files of one day alone, which stay right whatever becomes of the other days."""
        ...

    def sample(self, users: Sequence[UserUsage]) -> Iterable[bytes]:
        """What its files of a day would have of these users; nothing where it has no such files."""
        ...

    def begin(self, run: OutputRun) -> None:
        """Get ready for the first day."""
        ...

    def add_day(self, day: OutputDay) -> None:
        """The next day."""
        ...

    def finish(self) -> list[OutputFile]:
        """Write what is of several days; returns every file that was written."""
        ...
