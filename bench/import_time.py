"""How long a command takes before it does anything, beside a bare interpreter.

    python bench/import_time.py [--runs 15] [--at-most RATIO]

Prints of each the smallest and the median wall time and the smallest CPU time, and how many times
that of the bare interpreter `--help` takes: by CPU time, which a busy machine hardly changes. Fails
if that is more than --at-most.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time

BARE, HELP = "bare interpreter", "--help"
CASES = {
    BARE: ["-c", "pass"],
    "--version": ["-m", "dashboard_scraper", "--version"],
    HELP: ["-m", "dashboard_scraper", "--help"],
    "status --help": ["-m", "dashboard_scraper", "status", "--help"],
    "completion bash": ["-m", "dashboard_scraper", "completion", "bash"],
    "a refused date": ["-m", "dashboard_scraper", "not-a-date"],
}


def start(arguments: list[str]) -> tuple[float, float]:
    """Seconds of one run: elapsed, and of CPU."""
    wall, cpu = time.perf_counter(), _cpu_of_children()
    # As for an installed package: compiled once, not each time.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, *arguments]
    subprocess.run(command, env=environment, capture_output=True, check=False)
    return time.perf_counter() - wall, _cpu_of_children() - cpu


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--at-most", type=float, metavar="RATIO")
    args = parser.parse_args()
    least: dict[str, float] = {}
    print(f"{'':18}{'wall':>10}{'(median)':>10}{'CPU':>10}")
    for name, arguments in CASES.items():
        walls, cpus = zip(*(start(arguments) for _ in range(args.runs)), strict=True)
        least[name] = min(cpus)
        shown = (min(walls), statistics.median(walls), least[name])
        print(f"{name:18}" + "".join(f"{seconds:>8.3f} s" for seconds in shown))
    ratio = least[HELP] / least[BARE]
    print(f"--help takes {ratio:.1f} times the CPU time of a bare interpreter")
    if args.at_most and ratio > args.at_most:
        sys.exit(f"that is more than {args.at_most:g} times: something is imported too early")


if __name__ == "__main__":
    main()
