"""`python -m dashboard_scraper.simulator`: runs the simulator until it is stopped."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from datetime import date
from typing import get_args

import msgspec

from dashboard_scraper.model.dates import last_complete_days
from dashboard_scraper.simulator.copilot_api import ENTERPRISE
from dashboard_scraper.simulator.costs import Billing
from dashboard_scraper.simulator.dashboard_api import Paging
from dashboard_scraper.simulator.organization import Organization
from dashboard_scraper.simulator.server import Simulator


def main() -> int:
    """Print one JSON line once the simulator accepts requests: with its `url`, its `pid`, and what
    each of its APIs takes as credentials.

    When it is stopped, print a second line with the number of `requests` that it answered, and the
    `cpu_seconds` that it used for them.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    options = _parser().parse_args()
    organization = Organization(
        options.users, options.seed, options.service_accounts, options.today, options.billing
    )
    simulator = Simulator(
        organization,
        port=options.port,
        latency=options.latency,
        rolling=options.rolling,
        paging=Paging(options.pagination, options.page_size),
        rate_limit=options.rate_limit,
        clock_scale=options.clock_scale,
        costs_refused=options.costs_refused,
    )
    with simulator:
        if options.warm_days:
            simulator.prepare(last_complete_days(options.warm_days, organization.today).days())
        _print({"url": simulator.url, **_credentials(simulator), "pid": os.getpid()})
        ready = time.process_time()
        stop.wait()
    _print({"requests": simulator.count(), "cpu_seconds": time.process_time() - ready})
    return 0


def _credentials(simulator: Simulator) -> dict[str, object]:
    return {
        "cookie": simulator.cookie,  # the dashboard's session
        "token": simulator.token,  # of the Analytics API
        "claude_code_key": simulator.claude_code.key,
        "cursor_key": simulator.cursor.key,
        "copilot_token": simulator.copilot.token,
        "copilot_enterprise": ENTERPRISE,
    }


def _print(line: dict[str, object]) -> None:
    sys.stdout.write(f"{msgspec.json.encode(line).decode()}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dashboard_scraper.simulator", description=__doc__)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--service-accounts", type=int, default=2)
    parser.add_argument("--today", type=date.fromisoformat, help="YYYY-MM-DD; default: the clock's")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds per request")
    parser.add_argument("--warm-days", type=int, default=0, help="days to prepare before serving")
    parser.add_argument("--rolling", action="store_true", help="renew the session on every answer")
    styles = ["none", "next", "next-relative", "cursor"]
    parser.add_argument("--pagination", choices=styles, default="none")
    parser.add_argument("--page-size", type=int, default=50)
    parser.add_argument("--rate-limit", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--billing", choices=get_args(Billing), default="dollars")
    parser.add_argument(
        "--costs-refused",
        type=int,
        choices=[403, 404],
        help="status of all answers of costs and budgets, as where a tenant does not have them",
    )
    parser.add_argument("--clock-scale", type=float, default=1.0, help="speed of the rate limit")
    return parser


if __name__ == "__main__":
    sys.exit(main())
