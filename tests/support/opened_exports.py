"""How an export's other processes open it: as they should, and as they should not.

Each of these processes imports this module. So it imports nothing from the tests, which would take
longer than the export.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from functools import partial
from pathlib import Path

from dashboard_scraper.cli.wiring import daily_export, rules_of
from dashboard_scraper.clock import utc_now
from dashboard_scraper.exports.daily_export import DailyExport
from dashboard_scraper.exports.day_workers import DayWorkers, OpenExport
from dashboard_scraper.exports.stored_export import export_stored
from dashboard_scraper.model.dates import Window, parse_day
from dashboard_scraper.settings.config import Settings, load_settings
from dashboard_scraper.store import Store, store_of

OPENED = "opened\n"


def opened(settings: Settings, window: Window, folder: Path) -> tuple[Store, DailyExport]:
    return store_of(settings), daily_export(settings, window, folder)


def opened_by_nobody(*_: object) -> tuple[Store, DailyExport]:
    """The process dies, like one that gets no memory."""
    os._exit(1)


def opened_in_vain(error: BaseException) -> tuple[Store, DailyExport]:
    raise error


def opened_slowly(
    settings: Settings, window: Window, folder: Path, seconds: float
) -> tuple[Store, DailyExport]:
    """Report the start, and hold a lock on a file in the folder until the process ends."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    sys.stdout.write(OPENED)
    sys.stdout.flush()
    time.sleep(seconds)
    return opened(settings, window, folder)


def export_opened(
    settings: Settings, window: Window, folder: Path, open_export: OpenExport | None
) -> None:
    """Export with another process that opens the export in this way, or with no other process."""
    count = 1 if open_export else 0
    as_is: OpenExport = partial(opened, settings, window, folder)
    workers = DayWorkers(open_export or as_is, count, least_user_days=1)
    export_stored(*as_is(), rules_of(settings), utc_now, workers)


if __name__ == "__main__":
    home, store_url, first, last, out, seconds = sys.argv[1:]
    settings = load_settings(Path(home), store_url=store_url)
    days, place = Window(parse_day(first), parse_day(last)), Path(out)
    place.mkdir()
    export_opened(
        settings, days, place, partial(opened_slowly, settings, days, place, float(seconds))
    )
