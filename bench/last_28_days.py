"""What a night of `--last-28-days` costs beside a plain scraper, `one_by_one.py`.

Both fetch from the same simulator, a process of its own with its answers prepared, and take turns:
the scraper, our first night (an empty store), and our second (everything is in the store). Printed
are medians of wall time, CPU time, bytes written and peak memory of the whole process, each night
as a ratio of the scraper's, and what the simulator did meanwhile; with several numbers of users
also what the larger costs in multiples of the next smaller.

    python bench/last_28_days.py [--runs 3] [--users 200 10000] [--latency 0 0.1]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from dashboard_scraper.sources.dashboard.cookie_auth import SESSION_COOKIE, CookieSession
from dashboard_scraper.sources.dashboard.session_store import FileStore
from dashboard_scraper.sources.rest.urls import origin_of

SCRAPER = Path(__file__).with_name("one_by_one.py")
PLAIN, FIRST, SECOND = "plain scraper", "first night", "second night"
_BLOCK = 512  # bytes, as getrusage counts output


class Cost(NamedTuple):
    """Costs of one process: seconds of wall and CPU time, megabytes written, megabytes at peak.

    Writes are counted when they reach the page cache of a disk, so not on a tmpfs or on macOS.
    """

    wall: float
    cpu: float
    written: float
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

    def sign_in(self, cookie_file: Path) -> None:
        """Store a session of its dashboard."""
        cookies = {SESSION_COOKIE: self.cookie}
        CookieSession(FileStore(cookie_file), origin_of(self.url), cookies).store()

    def stop(self) -> tuple[int, float]:
        """Stop it; returns how many requests it answered, and its seconds of CPU time for that."""
        self._process.terminate()
        line = self._line()
        self._process.communicate()
        requests, seconds = line["requests"], line["cpu_seconds"]
        assert isinstance(requests, int)
        assert isinstance(seconds, float)
        return requests, seconds


def cost_of(command: list[str], environment: dict[str, str], folder: Path) -> Cost:
    """Run the command to its end; SystemExit if it fails."""
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
    return Cost(
        wall,
        usage.ru_utime + usage.ru_stime,
        usage.ru_oublock * _BLOCK / 1e6,
        usage.ru_maxrss * scale / 1e6,
    )


def nights(simulator: SimulatorProcess, folder: Path) -> dict[str, Cost]:
    """The cost of one run of each kind, with new folders for both programs."""
    home = folder / "home"
    cookie_file = home / "secrets" / "cookies.json"
    simulator.sign_in(cookie_file)
    environment = {
        **os.environ,
        "METRICS_API_BASE_URL": simulator.url,
        "SESSION": simulator.cookie,
        "no_proxy": "127.0.0.1",
        "PYTHONDONTWRITEBYTECODE": "",  # as for an installed package: compiled once, not each time
    }
    scraper = [sys.executable, str(SCRAPER), simulator.url, str(folder / "plain")]
    program = [sys.executable, "-m", "dashboard_scraper", "--home", str(home), "--last-28-days"]
    commands = {PLAIN: scraper, FIRST: program, SECOND: program}
    return {name: cost_of(command, environment, folder) for name, command in commands.items()}


def measured(users: int, latency: float, runs: int) -> tuple[dict[str, Cost], str]:
    """The medians, and what the simulator did for one run of all three."""
    simulator = SimulatorProcess(users, latency)
    try:
        found = []
        for _ in range(runs):
            with tempfile.TemporaryDirectory() as folder:
                found.append(nights(simulator, Path(folder)))
    finally:
        requests, seconds = simulator.stop()
    medians = {name: _medians(run[name] for run in found) for name in found[0]}
    return medians, f"{requests / runs:.0f} requests, {seconds / runs:.2f} s of CPU time"


def _medians(costs: Iterable[Cost]) -> Cost:
    return Cost(*map(statistics.median, zip(*costs, strict=True)))


def _ratios(cost: Cost, other: Cost) -> list[float]:
    return [mine / its if its else float("nan") for mine, its in zip(cost, other, strict=True)]


def show(users: int, latency: float, runs: int) -> dict[str, Cost]:
    """Print the case, and return it."""
    costs, simulator = measured(users, latency, runs)
    print(f"{users:,} users, {latency * 1000:.0f} ms latency, medians of {runs}")
    print(f"{'':24}{'wall s':>10}{'CPU s':>10}{'written MB':>12}{'peak MB':>10}")
    for name, cost in costs.items():
        _print_line(name, cost, "10.2f")
    for name in (FIRST, SECOND):
        _print_line(f"{name}, ratio", _ratios(costs[name], costs[PLAIN]), "10.3f")
    print(f"  the simulator, for one of each: {simulator}", flush=True)
    return costs


def _print_line(name: str, numbers: Iterable[float], shape: str) -> None:
    wall, cpu, written, memory = (format(number, shape) for number in numbers)
    print(f"  {name:22}{wall}{cpu}  {written}{memory}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--users", type=int, nargs="+", default=[200, 10_000])
    parser.add_argument("--latency", type=float, nargs="+", default=[0.0, 0.1])
    args = parser.parse_args()
    for latency in args.latency:
        before: tuple[int, dict[str, Cost]] | None = None
        for users in sorted(args.users):
            costs = show(users, latency, args.runs)
            if before:
                print(f"  {users:,} users in multiples of {before[0]:,}:")
                for name, cost in costs.items():
                    _print_line(name, _ratios(cost, before[1][name]), "10.2f")
            before = users, costs


if __name__ == "__main__":
    main()
