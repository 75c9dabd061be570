"""What the store costs: storing a million user-days, and exporting a window of 28 days from it.

Each phase is a process of its own; its time is that of the calls alone for storing (the figures are
made up beforehand, day by day) and of the whole program for exporting. The baselines store the same
rows in a plain SQLite table with `executemany`, and export the same window with `csv` and `json`.
Each case is run several times; the smallest and the largest time are printed.

    python bench/store.py [--users 10000] [--days 100] [--runs 3] [--postgres URL]

The database at URL must be empty; it is left with the figures in it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from dashboard_scraper.model.figures import maker, values_of
from dashboard_scraper.model.metrics import (
    ACCEPT_RATE,
    ACTIVE_DAYS,
    COUNTS,
    FIRST_SEEN,
    LAST_SEEN,
    METRICS,
    Figures,
)
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.settings.groups import sqlite_url
from dashboard_scraper.sources.dashboard.fields import TENANT_TOTALS
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import store_at

LAST = date(2026, 10, 31)
WINDOW = 28
SOURCE = DASHBOARD

BASELINE_EXPORT = """
import csv, json, sqlite3, sys
path, folder, first, last = sys.argv[1:]
rows = sqlite3.connect(path).execute(
    "SELECT * FROM plain WHERE day BETWEEN ? AND ? ORDER BY day, user", (first, last))
names = [column[0] for column in rows.description]
days = {}
for row in rows:
    days.setdefault(row[0], []).append(row)
for day, rows in days.items():
    with open(f"{folder}/{day}.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(rows)
    with open(f"{folder}/{day}.json", "w") as file:
        json.dump([dict(zip(names, row)) for row in rows], file)
"""


def usages(users: int, days: int) -> Iterator[DayUsage]:
    """Made-up figures, different on every day."""
    draw = random.Random(1)
    names = [f"user{number:06}@example.com" for number in range(users)]
    for offset in range(days):
        day = LAST - timedelta(days - 1 - offset)
        rows = [UserUsage(name, figures(day, draw)) for name in names]
        yield DayUsage(day, rows, dict.fromkeys(TENANT_TOTALS.values(), 0))


def figures(day: date, draw: random.Random) -> Figures:
    """One user's figures, as the dashboard reports them."""
    seen = datetime(day.year, day.month, day.day, 16, 2, 11, 100000, UTC)
    counts = draw.choices(range(500), k=len(COUNTS))
    return _make([*counts, seen, seen, 1, 41.67])


_make = maker((*COUNTS, FIRST_SEEN, LAST_SEEN, ACTIVE_DAYS, ACCEPT_RATE))


def fill(url: str, users: int, days: int) -> None:
    """Store all days, as a run does; prints seconds and megabytes."""
    store = store_at(url)
    spent = 0.0
    moment = datetime(LAST.year, LAST.month, LAST.day, tzinfo=UTC) + timedelta(days=5)
    with store.locked(), store.opened():
        for usage in usages(users, days):
            before = time.perf_counter()
            store.put(SOURCE, usage, moment)
            spent += time.perf_counter() - before
    _report(spent)


def fill_plainly(path: str, users: int, days: int) -> None:
    """The baseline of storing; prints seconds and megabytes."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    names = ", ".join(metric.name for metric in METRICS)
    connection.execute(f"CREATE TABLE plain (day, user, {names}, PRIMARY KEY (day, user))")
    marks = ", ".join("?" * (len(METRICS) + 2))
    spent = 0.0
    for usage in usages(users, days):
        rows = [
            (
                f"{usage.day}",
                user.user,
                *(f"{x}" if isinstance(x, datetime) else x for x in values_of(user.figures)),
            )
            for user in usage.users
        ]
        before = time.perf_counter()
        with connection:
            connection.executemany(f"INSERT INTO plain VALUES ({marks})", rows)
        spent += time.perf_counter() - before
    _report(spent)


def peak_megabytes() -> float:
    """Peak memory of this process so far."""
    scale = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


def _report(seconds: float) -> None:
    sys.stdout.write(json.dumps([seconds, peak_megabytes()]))


def measured(command: list[str], environment: dict[str, str] | None = None) -> tuple[float, float]:
    """Seconds and peak megabytes of a whole process."""
    before = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            raise SystemExit(log.read().decode())
    scale = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - before, usage.ru_maxrss * scale / 1e6


def in_a_process(script: str, phase: str, *arguments: object) -> list[float]:
    """The numbers that a benchmark's phase prints when a new interpreter runs it."""
    command = [sys.executable, script, "--phase", phase, *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    numbers: list[float] = json.loads(done.stdout)
    return numbers


def show(what: str, costs: Sequence[Sequence[float]], baseline: float | None = None) -> None:
    """Print one line: seconds from the smallest to the largest, peak memory, ratio."""
    seconds = sorted(cost[0] for cost in costs)
    ratio = f"{seconds[0] / baseline:>8.2f}" if baseline else ""
    memory = max(cost[1] for cost in costs)
    sys.stdout.write(f"{what:<22}{seconds[0]:>7.2f} to {seconds[-1]:<7.2f}{memory:>7.0f}{ratio}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--postgres", metavar="URL", help="an empty database")
    args = parser.parse_args()
    size = (args.users, args.days)
    first = LAST - timedelta(min(WINDOW, args.days) - 1)
    export = [sys.executable, "-m", "dashboard_scraper", "export"]
    sys.stdout.write(f"{args.users * args.days:,} user-days\n")
    sys.stdout.write("                          wall s          peak MB   ratio to plain\n")
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch, "plain.db")
        filled_plainly = in_a_process(__file__, "fill_plainly", plain, *size)
        code = [sys.executable, "-c", BASELINE_EXPORT, str(plain), scratch, f"{first}", f"{LAST}"]
        exported_plainly = min(measured(code)[0] for _ in range(args.runs))
        urls = {"SQLite": [sqlite_url(Path(scratch, f"{run}.db")) for run in range(args.runs)]}
        if args.postgres:  # a second run replaces what the first one stored, which costs more
            urls["PostgreSQL"] = [args.postgres]
        for name, places in urls.items():
            show(
                f"{name}, store",
                [in_a_process(__file__, "fill", url, *size) for url in places],
                filled_plainly[0],
            )
            # The figures are made up, and do not add up.
            environment = {**os.environ, "STORE_URL": places[-1], "RECONCILE": "warn"}
            words = ["--home", scratch, f"{first}", f"{LAST}"]
            costs = [measured([*export, *words], environment) for _ in range(args.runs)]
            show(f"{name}, export", costs, exported_plainly)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--phase"]:
        _, _, phase, place, *numbers = sys.argv
        {"fill": fill, "fill_plainly": fill_plainly}[phase](place, *map(int, numbers))
    else:
        main()
