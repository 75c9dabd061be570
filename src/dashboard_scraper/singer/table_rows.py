"""The rows of streams so small that all of them are sent whenever one of them changes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dashboard_scraper.singer.day_rows import Record, View
from dashboard_scraper.singer.streams import PROGRAM_VERSION
from dashboard_scraper.store import Reader

_ALL = 2**31


def seats(views: Sequence[View]) -> list[Record]:
    """The seat of each person in each source: with several spellings, the newest current one."""
    found: dict[tuple[str, str], Record] = {}
    for view in views:
        audience = view.audience
        stored = view.reader.seats(view.source)
        for each in sorted(stored, key=lambda seat: (seat.current, seat.fetched_at)):
            seat = msgspec.structs.asdict(each.seat)
            user = seat.pop("user")
            person = audience.person(user)
            found[view.source, person] = {
                "source": view.source,
                "user_login": audience.rename(user),
                **seat,
                "first_fetched_at": each.first_fetched_at,
                "fetched_at": each.fetched_at,
                "current": each.current,
                "person": person,
            }
    return [found[key] for key in sorted(found)]


def runs(reader: Reader, sources: Sequence[str]) -> list[Record]:
    """The runs of these sources, oldest first."""
    found = [run for run in reversed(reader.runs(_ALL)) if run.source in sources]
    return [{**msgspec.structs.asdict(run), PROGRAM_VERSION: run.version} for run in found]
