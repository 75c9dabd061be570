"""What it costs to store every version of a day.

The size of a SQLite store after so many nights, in which each of the three later fetches of a day
changes some users (5 % by default), as a multiple of one that was filled with the last answers
alone; and the processor time of a nightly run: the window's first run, then the next night.

    python bench/versions.py [--users 2000] [--nights 90] [--changed 0.05] [--night-users 10000]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from dashboard_scraper.model.figures import of_counts
from dashboard_scraper.model.metrics import COUNTS
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import Store, store_at

FIRST = date(2026, 1, 1)
FETCHES = 4
NIGHT = """
import logging, sys, time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from dashboard_scraper.cli.fetching import fetch_daily
from dashboard_scraper.settings.config import load_settings
night = datetime.now(timezone.utc) - timedelta(int(sys.argv[1]))
logging.disable()
fetch_daily(load_settings(Path(sys.argv[2])), None, clock=lambda: night)
"""


def user(number: int, chance: random.Random) -> UserUsage:
    """A user with a made-up figure in each metric."""
    figures = of_counts([chance.randrange(200) for _ in COUNTS])
    return UserUsage(f"user{number:06}@example.com", figures)


def fill(store: Store, users: int, nights: int, changed: float, *, only_last: bool) -> None:
    """Store every day's answers, oldest first."""
    chance = random.Random(1)
    with store.locked(), store.opened():
        for day in (FIRST + timedelta(number) for number in range(nights)):
            known = [user(number, chance) for number in range(users)]
            for fetch in range(FETCHES):
                if fetch:
                    for number in chance.sample(range(users), round(changed * users)):
                        known[number] = user(number, chance)
                if not only_last or fetch == FETCHES - 1:
                    at = datetime(day.year, day.month, day.day, 3, tzinfo=UTC)
                    store.put(DASHBOARD, DayUsage(day, list(known)), at + timedelta(1 + fetch))


def size_of(users: int, nights: int, changed: float, *, only_last: bool) -> int:
    """The size of the store in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "usage.db"
        fill(store_at(f"sqlite:///{path}"), users, nights, changed, only_last=only_last)
        return path.stat().st_size


def night_cost(users: int) -> tuple[float, float]:
    """Seconds of CPU time of the first run and of the next night's."""
    from last_28_days import SimulatorProcess  # noqa: PLC0415 - beside this file

    simulator = SimulatorProcess(users, 0.0)
    try:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            simulator.sign_in(home / "secrets/cookies.json")
            (home / ".env").write_text(f"METRICS_API_BASE_URL={simulator.url}\n")
            first, second = (_seconds(["-c", NIGHT, str(ago), folder]) for ago in (1, 0))
            return first, second
    finally:
        simulator.stop()


def _seconds(words: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    subprocess.run([sys.executable, *words], check=True, env=environment, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--nights", type=int, default=90)
    parser.add_argument("--changed", type=float, default=0.05)
    parser.add_argument("--night-users", type=int, default=10_000)
    args = parser.parse_args()
    shape = (args.users, args.nights, args.changed)
    last, every = (size_of(*shape, only_last=only_last) for only_last in (True, False))
    print(f"{args.users} users, {args.nights} nights, {args.changed:.0%} changed a night:")
    print(json.dumps({"last answers": last, "every version": every, "ratio": every / last}))
    if args.night_users:
        first, night = night_cost(args.night_users)
        print(f"{args.night_users} users: first run {first:.2f} s CPU, next night {night:.2f} s")


if __name__ == "__main__":
    main()
