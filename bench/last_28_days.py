"""What `--last-28-days` costs where nothing is taken from the store (`--refresh`).

Requests, wall time, our own CPU time, peak memory. The simulator runs in a process of its own, with
its answers prepared beforehand; the figures are those of the program's process alone, from start to
finish. Each case is run several times; the smallest and the largest wall time are printed, so that
the machine's noise can be seen. The baseline fetches the same 28 answers one after the other with
`requests` and parses them with `json`, and does nothing else.

    python bench/last_28_days.py [--runs 3] [--users 200 10000] [--latency 0 0.1]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from dashboard_scraper.model.dates import DAYS
from dashboard_scraper.sources.dashboard.cookie_auth import SESSION_COOKIE, save_cookies
from dashboard_scraper.sources.rest.urls import origin_of

BASELINE = """
import json, os, sys
from datetime import datetime, timedelta, timezone
import requests
session = requests.Session()
session.headers["Cookie"] = "_session=" + os.environ["SESSION"]
today = datetime.now(timezone.utc).date()
for back in range(28, 0, -1):
    day = today - timedelta(back)
    text = json.dumps(dict(year=day.year, month=day.month, day=day.day), separators=(",", ":"))
    answer = session.get(sys.argv[1] + "/api/user-feature-stats",
                         params=dict(startDate=text, endDate=text))
    assert answer.json()["userFeatureStats"]
"""


@dataclass(frozen=True)
class Cost:
    """Of one process: seconds of wall and CPU time, peak memory in MB."""

    wall: float
    cpu: float
    memory: float


class SimulatorProcess:
    """A simulator with its 28 answers prepared, in a process of its own."""

    def __init__(self, users: int, latency: float) -> None:
        command = [sys.executable, "-m", "dashboard_scraper.simulator", "--users", str(users)]
        command += ["--latency", str(latency), "--warm-days", "30"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started = self._line()
        self.url, self.cookie = str(started["url"]), str(started["cookie"])

    def _line(self) -> dict[str, object]:
        assert self._process.stdout is not None
        line: dict[str, object] = json.loads(self._process.stdout.readline())
        return line

    def stop(self) -> int:
        """End it; returns how many requests it answered."""
        self._process.terminate()
        requests = self._line()["requests"]
        self._process.communicate()
        assert isinstance(requests, int)
        return requests


def cost_of(command: list[str], environment: dict[str, str], folder: Path) -> Cost:
    """Run the command to its end; raises CalledProcessError if it fails."""
    before = time.perf_counter()
    log = folder / "log.txt"
    with log.open("w") as stream:
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - before
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}:\n{log.read_text()}")
    scale = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * scale / 1e6)


def measure(users: int, latency: float, runs: int) -> None:
    """Print one line for the case."""
    with tempfile.TemporaryDirectory() as scratch:
        simulator = SimulatorProcess(users, latency)
        home = Path(scratch)
        save_cookies(
            home / "secrets" / "cookies.json",
            {SESSION_COOKIE: simulator.cookie},
            origin_of(simulator.url),
        )
        environment = {
            **os.environ,
            "METRICS_API_BASE_URL": simulator.url,
            "SESSION": simulator.cookie,
            "no_proxy": "127.0.0.1",
        }
        program = [sys.executable, "-m", "dashboard_scraper", "--home", scratch]
        program += ["--last-28-days", "--refresh"]
        costs = [cost_of(program, environment, home) for _ in range(runs)]
        baseline = [sys.executable, "-c", BASELINE, simulator.url]
        plain = min(cost_of(baseline, environment, home).wall for _ in range(runs))
        requests = simulator.stop() / runs - DAYS  # the baseline's are no concern here
    walls = sorted(cost.wall for cost in costs)
    cpus = sorted(cost.cpu for cost in costs)
    sys.stdout.write(
        f"{users:>7}{latency * 1000:>8.0f} ms{requests:>10.1f}{walls[0]:>8.2f} to {walls[-1]:<6.2f}"
        f"{cpus[0]:>8.2f} to {cpus[-1]:<6.2f}{max(c.memory for c in costs):>7.0f}"
        f"{walls[0] / plain:>12.2f}\n"
    )
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--users", type=int, nargs="+", default=[200, 10_000])
    parser.add_argument("--latency", type=float, nargs="+", default=[0.0, 0.1])
    args = parser.parse_args()
    sys.stdout.write(
        "  users    latency  requests    wall s           CPU s         peak MB  wall/plain\n"
    )
    for users in args.users:
        for latency in args.latency:
            measure(users, latency, args.runs)


if __name__ == "__main__":
    main()
