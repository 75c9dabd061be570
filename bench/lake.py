"""What a lake costs: writing it, and reading 28 days of a long history from it.

The program's own commits write a lake of made-up days, one month each; then `report` and `export`
read from it as their store. A few days are also exported from a SQLite store, from which rows
usually come; the projection includes this without the time of a run that finds nothing to write.
Times are CPU seconds of the program (user and system), then elapsed seconds. The projection
multiplies them by the rows: the time to write grows with these, but the time to read 28 days only
with the files that the catalogue lists, and with the people known before.

    python bench/lake.py [--people 20000] [--days 120] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import operator
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dashboard_scraper.errors import OutputFailed
from dashboard_scraper.model.dates import DAYS, DAYS_A_WEEK, month_of
from dashboard_scraper.model.figures import maker
from dashboard_scraper.model.metrics import COUNTS
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.settings.groups import LAKE_PREFIX, sqlite_url
from dashboard_scraper.sources.registry import ANALYTICS
from dashboard_scraper.store import store_at
from dashboard_scraper.store.lake.commits import LakeDay, MadeDay, prepare, put
from dashboard_scraper.store.lake.place import opened
from dashboard_scraper.store.lake.tables import (
    CONTENT,
    CREDIT_DAYS,
    DAILY_TOTALS,
    EDITOR_LANGUAGE_DAYS,
    PSEUDONYMS,
    USAGE,
    USER_DAYS,
)

SOURCE = ANALYTICS
LAST = date(2026, 10, 31)
FETCHED = datetime(2026, 11, 10, 3, tzinfo=UTC)
PROJECTED = 365_000_000
EXPORTED_DAYS = 3


def main() -> None:
    """Print one line for each measurement, and the projection."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measure(options.folder or Path(temporary), options.people, options.days)


def measure(home: Path, people: int, days: int) -> None:
    rows, lake = people * days, home / "data" / "iceberg"
    lake.mkdir(parents=True)
    with Clock() as writing:
        generate(lake, people, days)
    size = sum(path.stat().st_size for path in lake.rglob("*") if path.is_file())
    print(f"{rows:,} rows: {people:,} people, {days} days; {size / 1e6:,.0f} MB")
    print(f"  written: {writing}, {rows / writing.cpu:,.0f} rows a CPU second")
    first_run, again = export_from_store(home, people)
    exported = people * EXPORTED_DAYS
    row = (first_run.cpu - again.cpu) / exported
    print(f"  {exported:,} from SQLite: {first_run}, {1 / row:,.0f} rows a CPU second")
    print(f"  the same again, with nothing to write: {again}")
    first, last = f"{LAST - timedelta(DAYS - 1)}", f"{LAST}"
    reading = {"STORE_URL": f"{LAKE_PREFIX}/{lake}"}
    for words in (("report",), ("export", first, last, "--out", f"{home / 'out'}")):
        print(f"  {words[0]} of {DAYS} days: {run(home, reading, *words)}")
    times = PROJECTED / rows
    print(
        f"{PROJECTED:,} rows: {size * times / 1e9:,.1f} GB,"
        f" {writing.cpu * times / 3600:,.2f} CPU hours to write,"
        f" {row * PROJECTED / 3600:,.1f} from SQLite"
    )


class Clock:
    """CPU and elapsed seconds of this process and the ended children, while entered."""

    cpu = elapsed = 0.0

    def __enter__(self) -> Clock:
        self._before = _used(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu = _used() - self._before[0]
        self.elapsed = time.perf_counter() - self._before[1]

    def __str__(self) -> str:
        return f"{self.cpu:.1f} s ({self.elapsed:.1f} s by the clock)"


def _used() -> float:
    every = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, every))


def run(home: Path, settings: dict[str, str], *words: str) -> Clock:
    """Run the program; findings about the window do not count as a failure."""
    environment = {**os.environ, "METRICS_SOURCE": SOURCE, "RECONCILE": "warn", **settings}
    with Clock() as clock:
        done = subprocess.run(
            [sys.executable, "-m", "dashboard_scraper", *words, "--home", f"{home}"],
            env=environment,
            capture_output=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    return clock


def generate(lake: Path, people: int, days: int) -> None:
    """Write the days up to LAST, each month in one commit."""
    weekdays = [counts_of_day(people, seed) for seed in range(DAYS_A_WEEK)]
    listed = [LAST - timedelta(back) for back in reversed(range(days))]
    with opened(f"{LAKE_PREFIX}/{lake}", OutputFailed) as opened_lake:
        prepare(opened_lake)
        for month in sorted({month_of(day) for day in listed}):
            of_month = [
                LakeDay(day, content_of(day), partial(made, day, weekdays[day.weekday()]))
                for day in listed
                if day in month
            ]
            put(opened_lake, USAGE, SOURCE, of_month)


def content_of(day: date) -> str:
    return f"{day:%Y%m%d}00000000"


def counts_of_day(people: int, seed: int) -> dict[str, pa.Array]:
    """Figures of a day on which about half of the people are active."""
    draw = random.Random(seed)
    active = draw.choices((0, 1), k=people)
    return {
        metric.name: pa.array(list(map(operator.mul, active, draw.choices(range(1, 90), k=people))))
        for metric in COUNTS
    }


def made(day: date, counts: dict[str, pa.Array]) -> MadeDay:
    """The day with these figures."""
    active = counts[COUNTS[0].name]
    count, content = len(active), content_of(day)
    names = pa.array([f"person{number:07}@example.com" for number in range(count)])
    columns: dict[str, Any] = {
        "source": pa.repeat(SOURCE, count),
        "day": pa.repeat(pa.scalar(day), count),
        "user_login": names,
        "person": names,
        "service_account": pa.repeat(pa.scalar(False), count),
        CONTENT: pa.repeat(content, count),
        **counts,
    }
    schema = USER_DAYS.arrow.schema
    rows = pa.Table.from_arrays(
        [columns.get(field.name, pa.nulls(count, field.type)) for field in schema], schema=schema
    )
    totals: dict[str, Any] = {
        **dict.fromkeys(DAILY_TOTALS.arrow.schema.names),
        "source": SOURCE,
        "day": day,
        "status": "complete",
        "fetched_at": FETCHED,
        "accepted_at": FETCHED,
        "users": count,
        "active_users": pc.sum(pc.greater(active, 0)).as_py(),
        "forgotten": 0,
        "version": 1,
        "repeats": 0,
        CONTENT: content,
        PSEUDONYMS: False,
        **{metric.name: pc.sum(rows[metric.name]).as_py() for metric in COUNTS},
    }
    details = (EDITOR_LANGUAGE_DAYS, CREDIT_DAYS)
    empty = {kind.name: kind.arrow.schema.empty_table() for kind in details}
    return MadeDay(totals, {USER_DAYS.name: rows, **empty})


_figures = maker(COUNTS)


def export_from_store(home: Path, people: int) -> tuple[Clock, Clock]:
    """Export some days from SQLite to a lake of their own, twice."""
    url = sqlite_url(home / "usage.db")
    store, draw = store_at(url), random.Random(2)
    listed = [LAST - timedelta(back) for back in range(EXPORTED_DAYS)]
    with store.locked(), store.opened():
        for day in listed:
            users = [
                UserUsage(
                    f"person{number:07}@example.com",
                    _figures(draw.choices(range(90), k=len(COUNTS))),
                )
                for number in range(people)
            ]
            store.put(SOURCE, DayUsage(day, users), FETCHED)
    days = f"{min(listed)}", f"{LAST}"
    words = ("export", *days, "--format", "iceberg", "--out", f"{home / 'exported'}")
    return run(home, {"STORE_URL": url}, *words), run(home, {"STORE_URL": url}, *words)


if __name__ == "__main__":
    main()
