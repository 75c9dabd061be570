"""What GitHub's reports cost: 28 days of users from the store, and over HTTP with many readers.

The report is made by a process of its own; the first piece is counted from the opening of the
store, and peak memory is the whole process's. The baseline is `json.dumps` of the same records,
which are in memory already. Then the server sends the same report to one reader, and a day's to 50
at once; each must get all of it.

    python bench/github_reports.py [--users 10000] [--runs 3] [--readers 50]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path

import requests
from serve import served

from dashboard_scraper.cli.memory import prepare_for_many_records
from dashboard_scraper.github.kinds import GithubOptions, Report, Scope, Subject
from dashboard_scraper.github.reports import GithubReports, persons_in
from dashboard_scraper.model.dates import Window
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.settings.groups import sqlite_url
from dashboard_scraper.store import store_at
from store import LAST, SOURCE, WINDOW, fill, in_a_process, peak_megabytes

MONTH = Window(LAST - timedelta(WINDOW - 1), LAST)
PATH = "/enterprises/acme/copilot/metrics/reports"


def make(url: str, subject: str) -> None:
    """Make a report of 28 days; prints seconds to its first piece and to its end, and sizes."""
    prepare_for_many_records()
    report = Report(Scope.ENTERPRISE, Subject(subject), MONTH, latest=True)
    audience, options = Audience(), GithubOptions("1")
    before = time.perf_counter()
    first, size = 0.0, 0
    with store_at(url).reading() as reader:
        reports = GithubReports(
            reader, SOURCE, audience, options, persons_in(reader, SOURCE, audience)
        )
        for piece in reports.chunks(report):
            first = first or time.perf_counter() - before
            size += len(piece)
    seconds = time.perf_counter() - before
    sys.stdout.write(json.dumps([first, seconds, size / 1e6, peak_megabytes()]))


def dump(url: str) -> None:
    """The baseline: one day's records by `json.dumps`; prints the seconds for 28 such days."""
    report = Report(Scope.ENTERPRISE, Subject.USERS, Window(LAST, LAST), latest=False)
    audience, options = Audience(), GithubOptions("1")
    with store_at(url).reading() as reader:
        reports = GithubReports(
            reader, SOURCE, audience, options, persons_in(reader, SOURCE, audience)
        )
        lines = b"".join(reports.chunks(report)).splitlines()
    records = [json.loads(line) for line in lines]
    before = time.perf_counter()
    for record in records:
        json.dumps(record, separators=(",", ":"))
    sys.stdout.write(json.dumps([(time.perf_counter() - before) * WINDOW]))


def read(address: str, token: str, name: str) -> tuple[float, float, int]:
    """Read a report from the server; returns seconds to its first byte and its end, and bytes."""
    before = time.perf_counter()
    headers = {"Authorization": f"Bearer {token}"}
    answer = requests.get(f"{address}{PATH}/{name}", headers=headers, timeout=600)
    answer.raise_for_status()
    (link,) = answer.json()["download_links"]
    with requests.get(link, stream=True, timeout=600) as download:
        download.raise_for_status()
        pieces = download.iter_content(1 << 20)
        size = len(next(pieces))
        first = time.perf_counter() - before
        size += sum(map(len, pieces))
    return first, time.perf_counter() - before, size


def read_at_once(address: str, token: str, readers: int) -> None:
    """Have this many readers fetch one day's users; prints what they received."""
    got: list[tuple[float, float, int]] = []

    def run() -> None:
        got.append(read(address, token, f"users-1-day?day={LAST}"))

    threads = [threading.Thread(target=run) for _ in range(readers)]
    before = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - before
    sizes = {size for _, _, size in got}
    if len(got) != readers or len(sizes) != 1:
        raise SystemExit(f"{readers - len(got)} of {readers} readers failed; sizes: {sizes}")
    total = sum(size for _, _, size in got) / 1e6
    sys.stdout.write(
        f"{readers} readers at once: no error, {total:,.0f} MB in {seconds:.1f} s,"
        f" first byte {min(g[0] for g in got):.2f} to {max(g[0] for g in got):.2f} s\n"
    )


def read_over_http(url: str, home: str, runs: int, readers: int) -> None:
    """Start the server on the store and read from it."""
    with served(url, home) as (address, token):
        show("over HTTP", [read(address, token, "users-28-day/latest")[:2] for _ in range(runs)])
        read_at_once(address, token, readers)


def show(what: str, costs: list[tuple[float, ...]], more: str = "") -> None:
    """Print one line: the first piece and the whole, each from the smallest to the largest."""
    spans = [f"{min(column):>6.2f} to {max(column):<6.2f}" for column in zip(*costs, strict=True)]
    sys.stdout.write(f"{what:<22}{''.join(spans)}{more}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--readers", type=int, default=50)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        url = sqlite_url(Path(scratch, "usage.db"))
        in_a_process(__file__, "fill", url, args.users, WINDOW)
        plain = in_a_process(__file__, "dump", url)[0]
        sys.stdout.write(f"{args.users * WINDOW:,} user-days\n{'':<22}   first byte s    whole s\n")
        for name, subject in (("users-28-day", "users"), ("enterprise-28-day", "")):
            costs = [in_a_process(__file__, "make", url, subject) for _ in range(args.runs)]
            size, memory = costs[0][2], max(cost[3] for cost in costs)
            ratio = f", {min(cost[1] for cost in costs) / plain:.2f} of json.dumps"
            more = f"  {size:,.1f} MB, peak {memory:.0f} MB{ratio if subject else ''}"
            show(name, [tuple(cost[:2]) for cost in costs], more)
        read_over_http(url, scratch, args.runs, args.readers)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--phase", "fill", url, users, days]:
            fill(url, int(users), int(days))
        case ["--phase", "make", url, subject]:
            make(url, subject)
        case ["--phase", "dump", url]:
            dump(url)
        case _:
            main()
