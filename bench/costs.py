"""Whether every amount of money arrives exactly, from the simulator's truth to each output.

For each number of people, `backfill` fetches 90 days of usage and costs into the store. Then every
cost in the store and in the files of FOCUS, CSV and Parquet is compared with the truth, which the
simulator computes with integers: user, resource, tokens and amounts to the last digit, and each
day's sums. The same is done for each day's amounts on the page, and for the newest day's in
`/metrics`. The seconds are CPU and wall time of `backfill`. Exits with 1 if anything differs.

    python bench/costs.py [--people 5 500 5000] [--days 90] [--store URL]
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Context, Decimal, Inexact, localcontext
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import requests

from dashboard_scraper.model.costs import BILLED, COST_METRICS, CostFigures, CostKind, CostMetric
from dashboard_scraper.model.dates import Window, last_complete_days
from dashboard_scraper.model.metrics import USER_TITLE
from dashboard_scraper.settings.groups import sqlite_url
from dashboard_scraper.simulator import Organization, Simulator
from dashboard_scraper.sources.registry import ANALYTICS
from dashboard_scraper.store import store_at

Key = tuple[str, str, str]
Day = dict[Key, CostFigures]
"""The costs of a day by user, resource type and resource."""


def main() -> int:
    """Print a line for each number of people; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, nargs="+", default=[5, 500, 5000])
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--store", help="STORE_URL of an empty store (default: a SQLite file)")
    options = parser.parse_args()
    return max([check(people, options.days, options.store) for people in options.people])


def check(people: int, days: int, store_url: str | None) -> int:
    today = datetime.now(UTC).date()
    window = last_complete_days(days, today)
    organization = Organization(users=people, today=today)
    with (
        Simulator(organization, rate_limit=False) as simulator,
        tempfile.TemporaryDirectory() as name,
    ):
        home = Path(name)
        url = store_url or sqlite_url(home / "data" / "usage.db")
        program = Program(home, url, simulator)
        before, began = _cpu(), time.perf_counter()
        program.run("backfill", f"{window.start}", f"{window.end}")
        cpu, wall = _cpu() - before, time.perf_counter() - began
        for kind in ("files", "focus", "parquet"):
            program.run("export", f"{window.start}", f"{window.end}", "--format", kind)
        truth = {day: _truth(organization, day) for day in window.days()}
        rows = sum(map(len, truth.values()))
        print(
            f"{people:,} people, {len(window)} days: {rows:,} rows of costs fetched in {cpu:.1f} s"
            f" of CPU, {wall:.1f} s"
        )
        wrong = 0
        for place, read in _places(home, url):
            different = [day for day, right in truth.items() if read(day) != right]
            total = _sum(read, window)
            print(
                f"  {place}: {len(window) - len(different)} of {len(window)} days are exact,"
                f" {total} billed"
            )
            wrong += len(different) + (total != _sum(truth.__getitem__, window))
        for place, right in (
            ("page", _on_page(home) == [_sum(truth.__getitem__, Window(d, d)) for d in truth]),
            ("/metrics", program.metrics() == _in_metrics(truth[window.end])),
        ):
            print(f"  {place}: {'exact' if right else 'WRONG'}")
            wrong += not right
        return 1 if wrong else 0


class Program:
    """The program, with its settings in the environment."""

    def __init__(self, home: Path, store_url: str, simulator: Simulator) -> None:
        self._home = home
        self._environment = {
            **os.environ,
            "AUGMENT_API_TOKEN": simulator.token,
            "ANALYTICS_API_BASE_URL": simulator.url,
            "ANALYTICS_REQUESTS_PER_MINUTE": "60000",
            "ANALYTICS_BURST": "1000",
            "ANALYTICS_READY_HOUR": "0",
            "COST_REQUESTS_PER_MINUTE": "60000",
            "COST_BURST": "1000",
            "FETCH_COST": "true",
            "FETCH_EDITOR_LANGUAGE": "false",
            "STORE_URL": store_url,
            "no_proxy": "127.0.0.1",
        }

    def run(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "dashboard_scraper", "--home", str(self._home), *arguments]
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{' '.join(arguments)}: {done.stderr}")

    def metrics(self) -> dict[str, Decimal]:
        """The newest day's amounts and tokens by metric, from `serve`."""
        command = [sys.executable, "-m", "dashboard_scraper", "--home", str(self._home)]
        with subprocess.Popen(
            [*command, "serve", "--port", "0"],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as server:
            assert server.stdout
            address = next(line for line in server.stdout if line.startswith("http")).strip()
            token = (self._home / "secrets" / "serve-token").read_text().strip()
            sent = {"Authorization": f"Bearer {token}"}
            text = requests.get(f"{address}/metrics", headers=sent, timeout=300).text
            server.terminate()
        found = re.findall(r'newest_cost_day_(?:amount|tokens)\{.*metric="(\w+)".*\} (\S+)', text)
        return {name: Decimal(value) for name, value in found}


def _in_metrics(costs: Day) -> dict[str, Decimal]:
    """The sums of a day in the form of `/metrics`."""
    with localcontext(Context(prec=60, traps=[Inexact])):
        return {
            metric.name: sum((Decimal(each[metric] or 0) for each in costs.values()), Decimal(0))
            for metric in COST_METRICS
            if metric.kind is not CostKind.CREDITS
        }


def _on_page(home: Path) -> list[Decimal]:
    """The amounts in the table of days below the chart of bills."""
    (page,) = (home / "data").glob("daily_exports_*/report.html")
    (table,) = re.findall(r'<table id="t-cost-billed">.*?</table>', page.read_text(), re.DOTALL)
    cells = re.findall(r'<tr><th scope="row">.*?</th><td data-exact="(.*?)"', table)
    return [Decimal(each) for each in cells]


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _truth(organization: Organization, day: date) -> Day:
    costs = organization.costs.of_day(day).costs
    return {(cost.user, cost.resource_type, cost.resource): cost.figures for cost in costs}


def _sum(read: Callable[[date], Day], window: Window) -> Decimal:
    """Everything that was billed, added up in units of 10**-18 and so without any rounding."""
    with localcontext(Context(prec=60, traps=[Inexact])):
        units = sum(
            int((figures.billed or Decimal(0)).scaleb(18))
            for day in window.days()
            for figures in read(day).values()
        )
        return Decimal(units).scaleb(-18).normalize()


def _places(home: Path, store_url: str) -> Iterator[tuple[str, Callable[[date], Day]]]:
    yield "store", lambda day: _in_store(store_url, day)
    (files,) = (home / "data").glob("daily_exports_*")
    yield "CSV", lambda day: _in_csv(files / f"augment_costs_{day}.csv", CSV)
    (days,) = (home / "data").glob("**/_cost_days")
    yield (
        "Parquet",
        lambda day: _in_parquet(days / f"day={day}" / "cost_days.parquet", OWN),
    )
    (focus,) = (home / "data").glob("focus*")
    yield "FOCUS, CSV", lambda day: _in_csv(focus / f"focus_{day}.csv", FOCUS)
    yield "FOCUS, Parquet", lambda day: _in_parquet(focus / f"focus_{day}.parquet", FOCUS)


def _in_store(store_url: str, day: date) -> Day:
    with store_at(store_url).reading() as reader:
        (row,) = reader.cost_ledger(ANALYTICS, Window(day, day)).values()
        costs = reader.costs(row)
    return {(cost.user, cost.resource_type, cost.resource): cost.figures for cost in costs}


def _of_focus(metric: CostMetric) -> str:
    if metric is BILLED:
        return "BilledCost"
    words = "".join(word.capitalize() for word in metric.name.split("_"))
    return f"x_{words}Cost" if metric.kind is CostKind.MONEY else f"x_{words}"


OWN = ("user_login", "resource_type", "resource", *(metric.name for metric in COST_METRICS))
CSV = (USER_TITLE, "Resource Type", "Resource", *(metric.title for metric in COST_METRICS))
FOCUS = ("x_User", "x_ResourceType", "x_Resource", *map(_of_focus, COST_METRICS))


def _in_csv(path: Path, names: Sequence[str]) -> Day:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return _day([row[name] or None for name in names] for row in csv.DictReader(file))


def _in_parquet(path: Path, names: Sequence[str]) -> Day:
    table = pq.read_table(path, columns=[*names]).to_pydict()
    return _day(zip(*(table[name] for name in names), strict=True))


def _day(rows: Iterable[Sequence[Any]]) -> Day:
    found: Day = {}
    for user, kind, name, *values in rows:
        figures: list[Any] = [
            None if value is None else int(value) if m.kind is CostKind.TOKENS else Decimal(value)
            for m, value in zip(COST_METRICS, values, strict=True)
        ]
        found[user or "", kind, name] = CostFigures(*figures)
    return found


if __name__ == "__main__":
    sys.exit(main())
