"""The state: what was sent before, from which the next run knows what to send.

A single moment is not enough: days are fetched in parallel, so a day with an earlier moment may be
stored later; and a doubt or the removal of a person changes rows without a new answer. So the state
has a mark of about 25 characters for every day that was sent.
"""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from dashboard_scraper.decoding import decodable
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.listing import listed
from dashboard_scraper.singer import json_files
from dashboard_scraper.singer.streams import STREAMS

START_AGAIN = "start without --state (in Meltano: --full-refresh), which sends everything again"


class Mark(NamedTuple):
    """Identifies the rows of a day that were sent: by the number of the version, the number of
    users removed from it, and a digest of what the rows are made from.
    """

    version: int
    forgotten: int
    digest: str

    def __str__(self) -> str:
        return f"{self.version}.{self.forgotten}.{self.digest}"


def read_mark(text: str) -> Mark:
    """The reverse of `str`; ValueError for anything else."""
    version, forgotten, digest = text.split(".")
    return Mark(int(version), int(forgotten), digest)


class Bookmark(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """What was sent of a stream.

    Rows of `table_version` replace those of earlier table versions, which are still in the target
    while this one is `unfinished`. `made_with` identifies the settings and the selection; it is
    empty if the store may lack rows that were sent. `content` identifies the rows of a whole table,
    `days` the rows of each day, by source. `replication_key_value` is for people.
    """

    table_version: int
    made_with: str
    forgets: str = ""
    unfinished: bool = False
    content: str = ""
    replication_key: str | None = None
    replication_key_value: datetime | None = None
    days: dict[str, dict[date, str]] = {}


@decodable
class State(msgspec.Struct, forbid_unknown_fields=True):
    """The value of STATE messages.

    `origins` has the time at which each source was first fetched into the store, which
    distinguishes stores; `newest` has the time of the last fetch, which distinguishes a store from
    an earlier copy of itself.
    """

    bookmarks: dict[str, Bookmark] = {}
    origins: dict[str, datetime] = {}
    newest: dict[str, datetime] = {}


def read(path: Path) -> State:
    """The state that an earlier run sent; UsageError if it is not a state of this tap."""
    found = json_files.read("--state", path, dict[str, Any])
    try:
        state = msgspec.convert(found, State)
        for bookmark in state.bookmarks.values():
            for days in bookmark.days.values():
                for mark in days.values():
                    read_mark(mark)
    except (msgspec.ValidationError, ValueError) as error:
        raise UsageError(
            f"--state: {path} is not a state of this tap: {error}; give it the newest line that the"
            f" target printed, or {START_AGAIN}"
        ) from error
    if unknown := sorted(state.bookmarks.keys() - STREAMS.keys()):
        raise UsageError(
            f"--state: {path}: there is no stream {listed(unknown)}; update the program, or"
            f" {START_AGAIN}"
        )
    return state


def check_origins(path: Path | None, state: State, origins: dict[str, datetime]) -> None:
    """Raise UsageError if the state is of another store: its marks would mean nothing."""
    for source, origin in state.origins.items():
        if origins.get(source) != origin:
            known = "nothing" if source not in origins else f"{origins[source]:%F %T} on"
            raise UsageError(
                f"--state: {path} is of another store: it has figures of {source} fetched from"
                f" {origin:%F %T} on, and this store has {known}. Fix STORE_URL, or {START_AGAIN}"
            )
