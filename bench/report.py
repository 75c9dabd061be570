"""What the report costs: making a page of 28 days of 5,000 users, and showing it in a browser.

The time is that of the whole program, `report`, from a store that has only these days, and from one
that also has the days before, with which the page compares them. The page's times are those that
headless Chromium measures: until the charts are drawn and everything can be used, until the last
script has run, and until the browser reports that everything is loaded. Each is measured several
times; the smallest and the largest are printed.

    python bench/report.py [--users 5000] [--before 56] [--runs 3]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import store
from dashboard_scraper.settings.groups import sqlite_url
from store import in_a_process

BENCH = Path(__file__).parent
DAYS = 28


def several(runs: int, function: Callable[[], float], unit: str) -> str:
    found = [function() for _ in range(runs)]
    return f"{min(found):.2f} to {max(found):.2f} {unit}"


def made_in(home: Path, users: int, days: int) -> Callable[[], float]:
    """Fill a store with this many days; returns a function that makes its page and times it."""
    (home / "data").mkdir(parents=True)
    url = sqlite_url(home / "data" / "usage.db")
    in_a_process(store.__file__, "fill", url, users, days)
    command = [sys.executable, "-m", "dashboard_scraper", "report", "--home", str(home)]

    def make() -> float:
        before = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - before

    return make


def main() -> None:
    """Print one line for each measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=5000)
    parser.add_argument("--before", type=int, default=2 * DAYS, help="days before these 28")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for days in (DAYS, DAYS + options.before):
            home = Path(folder, str(days))
            make = made_in(home, options.users, days)
            print(
                f"report, {options.users} users, {days} days stored:",
                several(options.runs, make, "s"),
            )
            page = home / "data" / "report.html"
            print(f"  size: {page.stat().st_size / 1e6:.2f} MB")
            in_browser(page, options.runs)


def in_browser(page: Path, runs: int) -> None:
    """Print the page's times in Chromium, if the machine has it."""
    sys.path.insert(0, str(BENCH.parent / "tests" / "support"))
    import browser  # noqa: PLC0415 - the tests' own

    if not browser.is_there():
        print("  no chromium here")
        return
    with browser.started() as chromium:
        browser.show(chromium, 1280)

        def loaded(moment: str) -> float:
            browser.open_page(chromium, page)
            script = f"return performance.getEntriesByType('navigation')[0].{moment}"
            while not (milliseconds := chromium.execute_script(script)):  # not yet
                time.sleep(0.01)
            return float(milliseconds) / 1000

        for moment in ("domContentLoadedEventEnd", "loadEventEnd"):
            print(f"  {moment}:", several(runs, lambda m=moment: loaded(m), "s"))  # type: ignore[misc]


if __name__ == "__main__":
    main()
