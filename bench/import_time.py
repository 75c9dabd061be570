"""How long a command takes before it does anything, beside a bare interpreter.

    python bench/import_time.py [--runs 15]

Prints the smallest and the median wall time of each, and what `--help` takes above the bare
interpreter.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

CASES = {
    "bare interpreter": ["-c", "pass"],
    "--version": ["-m", "dashboard_scraper", "--version"],
    "--help": ["-m", "dashboard_scraper", "--help"],
    "a refused date": ["-m", "dashboard_scraper", "not-a-date"],
}


def wall_times(arguments: list[str], runs: int) -> list[float]:
    """Seconds of each run, smallest first."""
    times = []
    for _ in range(runs):
        before = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
        times.append(time.perf_counter() - before)
    return sorted(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    times = {name: wall_times(arguments, runs) for name, arguments in CASES.items()}
    for name, walls in times.items():
        print(f"{name:18}{walls[0]:>8.3f} s{statistics.median(walls):>8.3f} s")
    above = times["--help"][0] - times["bare interpreter"][0]
    print(f"--help is {above:.3f} s above a bare interpreter")


if __name__ == "__main__":
    main()
