"""What `serve` costs on a large store: one connection, many connections, and the list of seats.

Prints milliseconds of an answer on one kept connection (median and 95 of 100), answers per second
on 32 connections, and seconds for the whole list of seats, page by page. The first answer of each
kind, which computes what the later ones repeat, is apart.

    python bench/serve.py [--users 2000] [--days 730] [--requests 200] [--store URL]
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from dashboard_scraper.settings.groups import sqlite_url
from store import LAST, fill, in_a_process

COPILOT = "/enterprises/acme/copilot"
PATHS = {
    "health": "/healthz",
    "page": "/",
    "report of 28 days": f"{COPILOT}/metrics/reports/enterprise-28-day/latest",
    "report of a day": f"{COPILOT}/metrics/reports/users-1-day?day={LAST}",
    "seats": f"{COPILOT}/billing/seats",
}
CONNECTIONS = 32
PER_PAGE = 100
_MILLISECONDS = 1000


class Client:
    """One persistent connection, with the token."""

    def __init__(self, address: str, token: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=600)
        self._headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str) -> bytes:
        """The body of an answer; SystemExit if the status is not 200."""
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {body[:200]!r}")
        return body

    def seconds(self, path: str) -> float:
        """How long an answer takes."""
        before = time.perf_counter()
        self.get(path)
        return time.perf_counter() - before


@contextmanager
def served(url: str, home: str) -> Iterator[tuple[str, str]]:
    """The address and token of a server in its own process."""
    command = [sys.executable, "-m", "dashboard_scraper", "serve", "--home", home, "--port", "0"]
    environment = {**os.environ, "STORE_URL": url, "LOG_LEVEL": "WARNING"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            token = server.stdout.readline().removeprefix("token: ").strip()
            yield server.stdout.readline().strip(), token
        finally:
            server.terminate()


def show_latency(client: Client, requests: int) -> None:
    """Print one line for each kind of answer."""
    for name, path in PATHS.items():
        first = client.seconds(path) * _MILLISECONDS
        costs = sorted(client.seconds(path) * _MILLISECONDS for _ in range(requests))
        middle, late = statistics.median(costs), costs[int(0.95 * requests) - 1]
        sys.stdout.write(f"{name:<20}{first:>12.1f}{middle:>12.2f}{late:>12.2f}\n")
        sys.stdout.flush()


def show_throughput(address: str, token: str, requests: int) -> None:
    """Print answers per second on many connections, for the path that tools request most often."""
    path = PATHS["report of 28 days"]

    def run() -> None:
        client = Client(address, token)
        for _ in range(requests):
            client.get(path)

    threads = [threading.Thread(target=run) for _ in range(CONNECTIONS)]
    before = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = CONNECTIONS * requests / (time.perf_counter() - before)
    sys.stdout.write(f"{CONNECTIONS} connections: {rate:,.0f} answers/s (with the client's time)\n")


def show_seats(client: Client) -> None:
    """Print how long the whole list takes, read as a tool does."""
    before, page, seats, total = time.perf_counter(), 0, 0, 1
    while seats < total:
        page += 1
        answer = json.loads(client.get(f"{PATHS['seats']}?per_page={PER_PAGE}&page={page}"))
        total = answer["total_seats"]
        seats += len(answer["seats"])
    seconds = time.perf_counter() - before
    sys.stdout.write(f"all {seats:,} seats in {page} pages: {seconds:.2f} s\n")


def main() -> None:
    """Fill a store unless one is given, serve it, and measure requests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--days", type=int, default=730)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--store", help="STORE_URL of a store that an earlier run filled")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        url = args.store or sqlite_url(Path(scratch, "usage.db"))
        if not args.store:
            in_a_process(__file__, "fill", url, args.users, args.days)
        with served(url, scratch) as (address, token):
            client = Client(address, token)
            sys.stdout.write(f"{'ms':<20}{'first':>12}{'median':>12}{'95 %':>12}\n")
            show_latency(client, args.requests)
            show_throughput(address, token, args.requests)
            show_seats(Client(address, token))  # the first client has been idle too long


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--phase", "fill", url, users, days]:
            fill(url, int(users), int(days))
        case _:
            main()
