"""What `--last-28-days` costs at the Analytics API's limit: requests, refusals, and the waits.

The simulator has the real limit, 10 requests a minute after 20 at once, with a clock that runs
`--scale` times as fast. The ratio is the wall time to that which the limit alone takes for as many
requests; with a fast clock, starting the program and writing the files count in it. The second run
follows at once, with days that have settled but for the newest three. Editors and languages, which
may be left to later runs, are not fetched.

    python bench/analytics.py [--users 200 2000] [--scale 20]
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime

from dashboard_scraper.model.dates import DAYS, Window, last_complete_days
from dashboard_scraper.simulator import Organization, Simulator

PER_MINUTE, BURST = 10, 20
COST_PER_MINUTE = 30
PAGE = 100


def pages_of(organization: Organization, window: Window) -> list[int]:
    """The number of pages of each day's users; the answers are computed beforehand."""
    active = (len(organization.totals(Window(day, day))) for day in window.days())
    return [math.ceil(users / PAGE) for users in active]


def measure(users: int, scale: float) -> None:
    """Print one line for each of two runs."""
    organization = Organization(users=users, today=datetime.now(UTC).date())
    pages = pages_of(organization, last_complete_days(DAYS, organization.today))
    with (
        Simulator(organization, clock_scale=scale) as simulator,
        tempfile.TemporaryDirectory() as home,
    ):
        environment = {
            **os.environ,
            "AUGMENT_API_TOKEN": simulator.token,
            "ANALYTICS_API_BASE_URL": simulator.url,
            "ANALYTICS_REQUESTS_PER_MINUTE": f"{PER_MINUTE * scale}",
            "ANALYTICS_BURST": f"{BURST}",
            "COST_REQUESTS_PER_MINUTE": f"{COST_PER_MINUTE * scale}",
            "ANALYTICS_READY_HOUR": "0",
            "FETCH_EDITOR_LANGUAGE": "false",
            "no_proxy": "127.0.0.1",
        }
        command = [sys.executable, "-m", "dashboard_scraper", "--home", home, "--last-28-days"]
        for run, least in (("first", 2 + sum(pages)), ("second", 2 + sum(pages[-3:]))):
            simulator.requests.clear()
            before = time.perf_counter()
            done = subprocess.run(command, env=environment, capture_output=True, check=False)
            wall = time.perf_counter() - before
            if done.returncode:
                raise SystemExit(done.stderr.decode())
            refused = sum(request.status == 429 for request in simulator.requests)
            requests = len(simulator.requests)
            alone = max(0, requests - BURST) * 60 / PER_MINUTE / scale
            ratio = f"{wall / alone:>8.3f}" if run == "first" and alone else ""
            sys.stdout.write(
                f"{users:>7}  {run:<7}{requests:>9}{least:>7}{refused:>6}{wall:>10.1f}{ratio}\n"
            )
            sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--scale", type=float, default=20, help="1: the real limit, up to 25 min")
    args = parser.parse_args()
    sys.stdout.write(
        "  users  run     requests  least   429    wall s   ratio to the limit alone\n"
    )
    for users in args.users:
        measure(users, args.scale)


if __name__ == "__main__":
    main()
