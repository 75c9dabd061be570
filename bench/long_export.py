"""What the export of a year costs: the first one, the same again, and that of a day later.

The store has all of the days; only the exports are measured. The second export has nothing new to
write; the third has one new day, and new window dates in every record of the Copilot JSON. Printed
are the whole program's wall and CPU time and bytes written, the peak memory of its largest process,
and the ratio of its CPU time to that of the first export. If there are two processors, two
processes make the files, unless EXPORT_PROCESSES is 1.

    python bench/long_export.py [--users 2000] [--days 365] [--folder FOLDER]

The folder must have room for all files, some 6 KB for each user-day; they are removed at the end.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from last_28_days import Cost, cost_of

import store
from dashboard_scraper.settings.groups import sqlite_url
from store import LAST, in_a_process


def exported(home: Path, days: int, back: int) -> Cost:
    """Export this many days, up to `back` days before the last."""
    end = LAST - timedelta(days=back)
    command = [sys.executable, "-m", "dashboard_scraper", "export", "--home", str(home)]
    command += [f"{end - timedelta(days=days - 1)}", f"{end}"]
    return cost_of(command, {**os.environ, "RECONCILE": "warn"}, home)  # as the figures are made up


def main() -> None:
    """Print a line for each export."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        home = Path(folder)
        (home / "data").mkdir()
        url = sqlite_url(home / "data" / "usage.db")
        in_a_process(store.__file__, "fill", url, options.users, options.days + 1)
        print("export of        wall s    CPU s  MB written  MB peak   ratio")
        first: Cost | None = None
        for what, back in (("all days", 1), ("the same", 1), ("a day later", 0)):
            cost = exported(home, options.days, back)
            first = first or cost
            print(
                f"{what:<14}{cost.wall:>9.2f}{cost.cpu:>9.2f}{cost.written:>12,.0f}"
                f"{cost.memory:>9.0f}{cost.cpu / first.cpu:>8.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
