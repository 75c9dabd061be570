"""How other processes of an export open it: as they should, and as they should not."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from functools import partial
from pathlib import Path

from conftest import Home
from crash_child import files_in
from dashboard_scraper.cli.wiring import daily_export, rules_of
from dashboard_scraper.clock import utc_now
from dashboard_scraper.exports.daily_export import DailyExport
from dashboard_scraper.exports.day_workers import DayWorkers, OpenExport
from dashboard_scraper.exports.stored_export import export_stored
from dashboard_scraper.model.dates import Window, parse_day
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.store import Store, store_of
from stored_days import settings_of

OPENED = "opened\n"


def opened(settings: Settings, window: Window, folder: Path) -> tuple[Store, DailyExport]:
    return store_of(settings), daily_export(settings, window, folder)


def opened_by_nobody(*_: object) -> tuple[Store, DailyExport]:
    """The process dies, as one that gets no memory."""
    os._exit(1)


def opened_in_vain(error: BaseException) -> tuple[Store, DailyExport]:
    raise error


def opened_slowly(
    settings: Settings, window: Window, folder: Path, seconds: float
) -> tuple[Store, DailyExport]:
    """Says that it begins, and holds a lock on a file in the folder until the process ends."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    sys.stdout.write(OPENED)
    sys.stdout.flush()
    time.sleep(seconds)
    return opened(settings, window, folder)


def export_with(
    home: Home, window: Window, folder: Path, open_export: OpenExport | None
) -> dict[str, bytes]:
    """What an export writes with another process, which opens it in this way, or with none.

    Nothing else is left.
    """
    settings = settings_of(home)
    count = 1 if open_export else 0
    as_is: OpenExport = partial(opened, settings, window, folder)
    workers = DayWorkers(open_export or as_is, count, least_user_days=1)
    export_stored(*as_is(), rules_of(settings), utc_now, workers)
    assert not [*folder.rglob(".*")]
    return files_in(folder)


if __name__ == "__main__":
    path, store_url, first, last, out, seconds = sys.argv[1:]
    home = Home(Path(path))
    home.settings["STORE_URL"] = store_url
    days, place = Window(parse_day(first), parse_day(last)), Path(out)
    place.mkdir()
    export_with(
        home, days, place, partial(opened_slowly, settings_of(home), days, place, float(seconds))
    )
