"""Records of GitHub's reports and the Copilot JSON on two cores: from the store, and on Spark.

Both read the same user-days, the store's from SQLite and Spark's from Parquet, and write the same
lines to files. The first run on Spark also pays for starting its workers; the store's is one
process, so one core. Needs `make spark` and Java.

    python bench/spark.py [--users 10000] [--days 14] [--runs 3]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from conversion import LAST, fill
from pyspark.sql import SparkSession

from dashboard_scraper import Stamp, spark
from dashboard_scraper.exports.copilot_converter import head_of, json_array, line_of, stamp_of
from dashboard_scraper.exports.copilot_files import ids_by_name
from dashboard_scraper.github.kinds import GithubOptions, Report, Scope, Subject
from dashboard_scraper.github.reports import GithubReports, persons_in
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import values_of
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.settings.groups import sqlite_url
from dashboard_scraper.sources.dashboard.info import INFO
from dashboard_scraper.store import store_at
from store import measured


def github_locally(url: str, window: Window, folder: Path) -> None:
    """Write one file with the users' records of all days."""
    audience = Audience()
    with store_at(url).reading() as reader:
        persons = persons_in(reader, INFO.name, audience)
        reports = GithubReports(reader, INFO.name, audience, GithubOptions("1"), persons)
        report = Report(Scope.ENTERPRISE, Subject.USERS, window, latest=True)
        with (folder / "users.ndjson").open("wb") as file:
            file.writelines(reports.chunks(report))


def copilot_locally(url: str, window: Window, folder: Path) -> None:
    """Write one file per day."""
    audience = Audience()
    with store_at(url).reading() as reader:
        naming = audience.naming(reader.spellings(INFO.name, window, service_accounts=True))
        ids = ids_by_name(reader.users(INFO.name, window), audience, naming)
        heads = {name: head_of(number, name) for name, number in ids.items()}
        for day, row in reader.ledger(INFO.name, window).items():
            users = reader.day(row).active
            lines = (line_of(heads[user.user], values_of(user.figures)) for user in users)
            with (folder / f"{day}.json").open("wb") as file:
                file.writelines(json_array(stamp_of(day, window, "1"), lines))


def cpu_seconds() -> float:
    """CPU time of this process and all below it, such as Java and its workers; on Linux."""
    parents, spent = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # the process has ended
            continue
        pid = int(stat.parent.name)
        parents[pid], spent[pid] = int(fields[1]), sum(map(int, fields[11:15]))
    ours = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return sum(spent[pid] for pid in ours) / os.sysconf("SC_CLK_TCK")


def show(what: str, user_days: int, runs: int, run: Callable[[], object]) -> None:
    """Print user-days per second, and per second of CPU: in the first run, and the best later."""
    rates = []
    for _ in range(runs + 1):
        before, cpu_before = time.perf_counter(), cpu_seconds()
        run()
        spent = (time.perf_counter() - before, cpu_seconds() - cpu_before)
        rates.append([user_days / each for each in spent])
    best = [max(each) for each in zip(*rates[1:], strict=True)]
    sys.stdout.write(
        f"{what:<16}" + "".join(f"{each:>10,.0f}" for each in (*rates[0], *best)) + "\n"
    )
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    window = Window(LAST - timedelta(args.days - 1), LAST)
    with tempfile.TemporaryDirectory() as scratch:
        url, out = sqlite_url(Path(scratch, "usage.db")), f"{scratch}/out"
        fill(url, args.users, window)
        with store_at(url).reading() as reader:
            count = sum(row.users for row in reader.ledger(INFO.name, window).values())
        words = ["--home", scratch, "--format", "parquet", f"{window.start}", f"{window.end}"]
        program = [sys.executable, "-m", "dashboard_scraper", "export", *words]
        measured(program, {**os.environ, "STORE_URL": url})
        sys.stdout.write(f"{count:,} user-days; how many a second\n")
        titles = ("first run", "of CPU", "later", "of CPU")
        sys.stdout.write(" " * 16 + "".join(f"{each:>10}" for each in titles) + "\n")
        show("store, GitHub", count, args.runs, lambda: github_locally(url, window, Path(scratch)))
        show(
            "store, Copilot", count, args.runs, lambda: copilot_locally(url, window, Path(scratch))
        )
        os.environ["PYSPARK_PYTHON"] = sys.executable
        session = (
            SparkSession.builder.master("local[2]")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.sql.session.timeZone", "UTC")
            .getOrCreate()
        )
        session.sparkContext.setLogLevel("ERROR")
        table, stamp = session.read.parquet(f"{scratch}/data/parquet"), Stamp("1", window)
        for name, records in (("GitHub", spark.github_records), ("Copilot", spark.copilot_records)):
            show(
                f"Spark, {name}",
                count,
                args.runs,
                lambda records=records: spark.write(records(table, stamp), out),  # type: ignore[misc]
            )
        session.stop()


if __name__ == "__main__":
    main()
