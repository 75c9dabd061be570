"""The interface of output formats: each gets every stored day once, oldest first."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.listing import listed
from dashboard_scraper.model.metrics import Metric
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.people.audience import Audience, Naming
from dashboard_scraper.publication import MadeFile, Publication, WrittenFile
from dashboard_scraper.sources.interface import SourceInfo
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.store import LedgerDay, Reader
from dashboard_scraper.store.day_columns import DayColumns


class OutputDay:
    """A stored day, loaded from the store at most once, however many outputs read it."""

    def __init__(
        self, reader: Reader, ledger_day: LedgerDay, audience: Audience, *, as_stored: bool = False
    ) -> None:
        """With `as_stored`, outputs show every row as a separate person, under its own name."""
        self._reader = reader
        self._audience = audience
        self._as_stored = as_stored
        self.ledger_day = ledger_day
        self.day = ledger_day.day

    @cached_property
    def usage(self) -> DayUsage:
        """Every user as stored; raises StoreFailed if the rows no longer match the ledger."""
        return self._reader.day(self.ledger_day)

    @cached_property
    def shown(self) -> DayUsage:
        """The users that outputs show, one entry per person, under their names of that day."""
        users = self._audience.shown(self.usage.users)
        if not self._audience.anonymous and len(users) == len(self.usage.users):
            # Nobody was left out, merged or renamed: share the day's cached values.
            return self.usage
        return DayUsage(self.day, users)

    @cached_property
    def columns(self) -> DayColumns | None:
        """The same data as `shown`, many times as fast, with only the figures that the source
        knows; None if only `shown` has everything that outputs show.
        """
        if not self._as_stored:
            return None
        metrics = info_of(self.ledger_day.source).metrics
        columns = self._reader.columns(self.ledger_day, metrics)
        # Checked in the rows too: `as_stored` comes from the bitmaps.
        hidden = any(columns.services) and not self._audience.service_accounts
        return None if hidden or columns.has_extra else columns

    @cached_property
    def active(self) -> DayColumns | None:
        """Those in `columns` who were active; None if the columns do not show who was."""
        found = self.columns and self.columns.active()
        # Somebody may have used only what the source no longer reports: no column has that.
        is_all = found is not None and len(found.names) == self.ledger_day.active_users
        return found if is_all else None

    @cached_property
    def counted(self) -> DayUsage:
        """The same as `usage`, except for figures that are not counted and may be unknown."""
        columns = self.columns
        if columns is None:
            return self.usage
        found = DayUsage(self.day, columns.counted())
        # For the reason in `active`.
        return found if len(found.active) == self.ledger_day.active_users else self.usage


class Unwritten(msgspec.Struct, frozen=True):
    """An output that is not written for a source, which `lacks` these metrics, by name."""

    output: str
    lacks: list[str]
    reason: str


class Needs(msgspec.Struct, frozen=True):
    """The `metrics` without which an `output` would show zeros for unknown figures."""

    output: str
    metrics: Collection[Metric]

    def unmet(self, source: SourceInfo) -> Unwritten | None:
        """Why the source cannot have this output; None if it knows all of the metrics."""
        lacking = source.lacks(self.metrics)
        if not lacking:
            return None
        titles = listed([metric.title for metric in lacking])
        return Unwritten(
            self.output,
            [metric.name for metric in lacking],
            f"{self.output} need figures that {source.title} does not have: {titles}",
        )

    def check(self, source: SourceInfo) -> None:
        """UsageError if the source lacks one of the metrics."""
        if unmet := self.unmet(source):
            raise UsageError(unmet.reason)


class OutputFile(NamedTuple):
    """A written file. The manifest lists it under its day, or in a field for the whole window."""

    written: WrittenFile
    day: date | None = None
    field: str = ""


class EarlierFile(msgspec.Struct, frozen=True):
    """A file of one day in an earlier export of a `window`, as its manifest `listed` it."""

    path: Path
    listed: WrittenFile
    window: Window

    def content(self) -> bytes | None:
        """The file's content; None if it is missing, or differs from what was listed."""
        try:
            if not self.path.is_file():  # reading a pipe would block for ever
                return None
            content = self.path.read_bytes()
        except OSError:
            return None
        is_listed = hashlib.sha256(content).hexdigest() == self.listed.sha256
        return content if is_listed else None


class Earlier(Protocol):
    """The files of single days in earlier exports."""

    def find(self, day: date, made_from: str) -> EarlierFile | None:
        """Find a file that was made from the same data; None if there is none."""
        ...


class OutputRun(msgspec.Struct, frozen=True):
    """What outputs read from and write to.

    The `missing` days of the window are not in the store, or failed in this run. `naming` has one
    name per person for the whole window. `formats` is a digest of everything that a day's files
    depend on besides its content and the window. `made` has the files that another process made
    meanwhile, keyed by what they are made from.
    """

    reader: Reader
    publication: Publication
    source: str
    audience: Audience
    naming: Naming
    missing: Collection[date]
    window: Window
    formats: str
    earlier: Earlier
    made: dict[str, MadeFile]

    def write_day(
        self,
        path: Path,
        day: OutputDay,
        make: Callable[[], bytes | Iterable[bytes]],
        depends_on: object = None,
        restamp: Callable[[bytes, Window], bytes] | None = None,
    ) -> OutputFile:
        """Write a file of one day, unless another process or an earlier export has made it from the
        same data.

        `depends_on` is what the file depends on besides the day's content and the settings. A file
        that also depends on the window needs `restamp`, which turns its content for another window
        into the content for this one.
        """
        content = self.reader.content_of(day.ledger_day)
        parts = msgspec.json.encode([content, self.formats, path.name, depends_on])
        made_from = hashlib.blake2b(parts, digest_size=16).hexdigest()
        written = None
        if made := self.made.pop(made_from, None):
            self.publication.adopt(path, made)
            written = made.written
        elif earlier := self.earlier.find(day.day, made_from):
            written = self._taken(path, earlier, restamp)
        return OutputFile(written or self.publication.add(path, make(), made_from), day.day)

    def _taken(
        self, path: Path, earlier: EarlierFile, restamp: Callable[[bytes, Window], bytes] | None
    ) -> WrittenFile | None:
        if restamp is None or earlier.window == self.window:
            taken = self.publication.take(path, earlier.path, earlier.listed)
            return earlier.listed if taken else None
        content = earlier.content()
        if content is None:
            return None
        made_from = earlier.listed.made_from
        return self.publication.add(path, restamp(content, earlier.window), made_from)


class Output(Protocol):
    """One format.

    `targets`, `day_targets` and `sample` may be called at any time. A run calls `begin`, then
    `add_day` for each day of `reach` that is stored and did not fail, then `finish`; if the source
    lacks what the format `needs`, it calls none of these.
    """

    @property
    def needs(self) -> Needs | None:
        """What the format needs; None if it can show for every figure that it is unknown."""
        ...

    @property
    def reach(self) -> Window:
        """The days that the format reads: the export's window, and perhaps days before it."""
        ...

    def targets(self) -> list[Path]:
        """Every file it may write; earlier ones that this run does not replace are set aside."""
        ...

    def day_targets(self, day: date) -> list[Path]:
        """The files that depend only on this day, and stay valid when other days change."""
        ...

    def sample(self, users: Sequence[UserUsage]) -> Iterable[bytes]:
        """What a day's files would contain for these users; nothing if it has no files per day."""
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
