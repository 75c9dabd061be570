"""Sends what differs from what was sent before, and the state that tells the next run what was
sent.

Singer has no message that removes one row. So:

    gone from a revised day      its row is sent once more, without figures and marked as gone
    gone in any other way        the whole stream is sent under a new table version, and then
                                 ACTIVATE_VERSION, upon which the target removes what is older

The second way is used after `forget`, since the store no longer has the name, and whenever other
settings or another selection show the rows differently.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.examples import costs_as_shown, users_as_shown
from dashboard_scraper.singer.catalog import Selection
from dashboard_scraper.singer.day_rows import (
    CostDayRows,
    CostLedgerDays,
    DayRows,
    LedgerDays,
    Record,
    UserDayRows,
    View,
    digest,
)
from dashboard_scraper.singer.messages import (
    ActivateVersionMessage,
    RecordMessage,
    SchemaMessage,
    StateMessage,
    Writer,
)
from dashboard_scraper.singer.state import Bookmark, Mark, State, check_origins, read_mark
from dashboard_scraper.singer.streams import (
    COST_DAYS,
    COST_TOTALS,
    DAYS,
    RUNS,
    SEATS,
    USER_DAYS,
    Stream,
)
from dashboard_scraper.singer.table_rows import runs, seats
from dashboard_scraper.store import Reader

logger = logging.getLogger(__name__)

_LOST = "the store no longer has what was sent: it was restored, or shows less"
_STATE_SHARE = 10
"""A state names every day, so until a stream ends, at most a tenth of the bytes are states."""

_DAYS: Mapping[str, Callable[[View], DayRows]] = {
    USER_DAYS.name: UserDayRows,
    DAYS.name: LedgerDays,
    COST_DAYS.name: CostDayRows,
    COST_TOTALS.name: CostLedgerDays,
}
_TABLES: Mapping[str, Callable[[Reader, Sequence[View]], list[Record]]] = {
    SEATS.name: lambda _, views: seats(views),
    RUNS.name: lambda reader, views: runs(reader, [view.source for view in views]),
}


@dataclass
class Sync:
    """One run of the tap; `moment` is the time at which it began."""

    reader: Reader
    views: Sequence[View]
    state: State
    writer: Writer
    moment: datetime
    _unsaved: bool = field(default=False, init=False)
    _saved_at: int = field(default=0, init=False)
    _state_size: int = field(default=0, init=False)

    def run(self, selections: Sequence[Selection], state_file: Path | None = None) -> None:
        """Send these streams; UsageError, before anything is sent, for another store's state."""
        fetches = self.reader.fetches()
        origins = {source: first for source, (first, _) in fetches.items()}
        check_origins(state_file, self.state, origins)
        self._look_for_lost_fetches()
        self.state.origins = origins
        self.state.newest = {source: last for source, (_, last) in fetches.items()}
        for selection in selections:
            is_table = selection.stream.name in _TABLES
            sent = self._table(selection) if is_table else self._days(selection)
            logger.info("%s: %s records", selection.stream.name, f"{sent:,}")
            if self._unsaved:
                self._save()
        self._save()

    def _look_for_lost_fetches(self) -> None:
        """Send everything again if fetches are missing from the store. A backup may have been
        restored and days fetched again, into versions with the numbers of the lost ones: then no
        mark says whose rows are gone.
        """
        known = self.state.newest.items()
        if not all(self.reader.has_fetch(source, moment) for source, moment in known):
            for bookmark in self.state.bookmarks.values():
                bookmark.made_with = ""

    def _days(self, selection: Selection) -> int:
        stream = selection.stream
        rows = {view.source: _DAYS[stream.name](view) for view in self.views}
        marks = {source: each.marks() for source, each in rows.items()}
        before = self.state.bookmarks.get(stream.name)
        bookmark = self._bookmark(selection, before, rows, marks)
        resumed = bookmark is before
        self.state.bookmarks[stream.name] = bookmark
        self._schema(selection)
        total = 0
        for source, days in marks.items():
            known = bookmark.days.setdefault(source, {})
            for day, mark in days.items():
                if known.get(day) != f"{mark}":
                    total += self._send(selection, rows[source].rows(day, removed=resumed))
                    known[day] = f"{mark}"
                    if self.writer.written - self._saved_at > _STATE_SHARE * self._state_size:
                        self._save()
        self._activate(bookmark, stream)
        return total

    def _bookmark(
        self,
        selection: Selection,
        before: Bookmark | None,
        rows: Mapping[str, DayRows],
        marks: Mapping[str, Mapping[date, Mark]],
    ) -> Bookmark:
        """The bookmark to continue, or a new one, with which everything is sent again."""
        made_with = _made_with(selection, self.views[0])
        forgets = f"{self.reader.forgets}"
        reason = None
        if before is None:
            reason = "nothing was sent before"
        elif selection.whole and not before.unfinished:
            reason = "the catalogue says FULL_TABLE"
        elif not before.made_with:
            reason = _LOST
        elif before.made_with != made_with:
            reason = "the settings, the selection or the program have changed"
        elif before.forgets != forgets:
            reason = "somebody was removed from the store"
        elif any(_is_lost(before.days[source], rows, marks, source) for source in before.days):
            reason = _LOST
        if reason is None and before is not None:
            return before
        logger.info("%s: all rows are sent: %s", selection.stream.name, reason)
        return Bookmark(
            self._next_version(before),
            made_with,
            forgets,
            unfinished=True,
            replication_key=selection.stream.replication_key,
        )

    def _next_version(self, before: Bookmark | None) -> int:
        now = int(self.moment.timestamp() * 1000)
        return max(now, before.table_version + 1) if before else now

    def _table(self, selection: Selection) -> int:
        stream = selection.stream
        found = _TABLES[stream.name](self.reader, self.views)
        made_with, content = _made_with(selection, self.views[0]), digest(found)
        before = self.state.bookmarks.get(stream.name)
        self._schema(selection)
        if before and (before.made_with, before.content) == (made_with, content):
            return 0
        bookmark = Bookmark(self._next_version(before), made_with, unfinished=True, content=content)
        # Only now: a state sent in between must not say that all of it was sent.
        version = bookmark.table_version
        for record in found:
            self._record(selection, version, record)
        self.state.bookmarks[stream.name] = bookmark
        self._activate(bookmark, stream)
        return len(found)

    def _schema(self, selection: Selection) -> None:
        stream = selection.stream
        keys = [stream.replication_key] if stream.replication_key else []
        schema = stream.schema(selection.names)
        self.writer.write(SchemaMessage(stream.name, schema, list(stream.key), keys))

    def _send(self, selection: Selection, records: Iterable[Record]) -> int:
        stream, count = selection.stream, 0
        bookmark = self.state.bookmarks[stream.name]
        for record in records:
            self._record(selection, bookmark.table_version, record)
            count += 1
            newest = record[stream.replication_key] if stream.replication_key else None
            if newest and (bookmark.replication_key_value or newest) <= newest:
                bookmark.replication_key_value = newest
        self._unsaved = True  # a day without rows is a change, too
        return count

    def _record(self, selection: Selection, version: int, record: Record) -> None:
        chosen = {name: value for name, value in record.items() if name in selection.names}
        self.writer.write(RecordMessage(selection.stream.name, chosen, version, self.moment))
        self._unsaved = True

    def _activate(self, bookmark: Bookmark, stream: Stream) -> None:
        if bookmark.unfinished:
            self.writer.write(ActivateVersionMessage(stream.name, bookmark.table_version))
            bookmark.unfinished = False
            self._unsaved = True

    def _save(self) -> None:
        before = self.writer.written
        self.writer.write(StateMessage(self.state))
        self._unsaved, self._saved_at = False, self.writer.written
        self._state_size = self._saved_at - before


def _made_with(selection: Selection, view: View) -> str:
    """Identifies the settings, the selection, and the rules of this version of the program: with
    others, the rows look different.
    """
    audience: Audience = view.audience.of("")
    people = audience.people
    shown = (
        users_as_shown(audience),
        costs_as_shown(audience),
        people.aliases,
        people.logins,
        sorted((*key, person) for key, person in people.ids.items()),
        view.tolerance.as_numbers(),
    )
    return digest((shown, selection.stream.schema(selection.names)))


def _is_lost(
    sent: Mapping[date, str],
    rows: Mapping[str, DayRows],
    marks: Mapping[str, Mapping[date, Mark]],
    source: str,
) -> bool:
    """Whether rows that were sent may be gone although nothing says which."""
    days = marks.get(source, {})
    for day, text in sent.items():
        mark, now = read_mark(text), days.get(day)
        if now is None:
            return True
        if mark.version and now != mark and not rows[source].has_version(day, mark.version):
            return True
    return False
