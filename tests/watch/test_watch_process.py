"""`watch` as a process: killed, stopped while it fetches or waits, and beside another one."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
import requests

from conftest import Home, Start, today
from crash_child import Forks, Run, Trap
from dashboard_scraper.cli.watching import watch
from dashboard_scraper.model.dates import last_complete_days
from dashboard_scraper.simulator import Fault, Organization, Simulator, hang
from dashboard_scraper.store import store_at
from fast_time import FastTime
from stored_days import USERS, ledger, settings_of

pytestmark = [pytest.mark.usefixtures("csv_alone"), pytest.mark.slow]

SETTLED = today() - timedelta(5)
"""Days up to this one are fetched once."""
HANGING = today() - timedelta(8)


def far_from_now() -> str:
    """A schedule that is due once a month, but not soon, so that no run begins within a test."""
    now = datetime.now(UTC)
    return f"{now:%M %H} {(now - timedelta(1)):%d} * *"


@pytest.fixture
def sim(start: Start, home: Home) -> Simulator:
    home.settings |= {
        "STORE_URL": f"sqlite:///{home.data / 'usage.db'}",
        "MAX_CONCURRENCY": "1",
        "MAX_RETRIES": "0",
        "REQUEST_TIMEOUT_SECONDS": "300",  # a request that hangs waits for the signal, however late
        "SCHEDULE": far_from_now(),
    }
    return start(Organization(users=2, today=today()))


def wait_until(reached: Callable[[], bool]) -> None:
    """Fails the whole test if that never happens; each process is ended by an alarm."""
    end = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_waiting(home: Home, run: Run) -> bool:
    try:
        beat = json.loads((home.data / "watch.json").read_bytes())
    except FileNotFoundError:
        return False
    return (beat["state"], beat["process"]) == ("waiting", run.pid)


def exit_codes(home: Home) -> list[int | None]:
    with store_at(home.settings["STORE_URL"]).reading() as reader:
        return [run.exit_code for run in reader.runs(9)[::-1]]


def began(home: Home) -> date:
    """The day on which the newest run began."""
    with store_at(home.settings["STORE_URL"]).reading() as reader:
        return reader.runs(1)[0].started_at.date()


def temporary_files(home: Home) -> list[str]:
    return [path.name for path in home.path.rglob("*.tmp")]


def fetched_twice(sim: Simulator, days: set[date]) -> set[date]:
    return {day for day in days if day <= SETTLED and sim.count(USERS, day) > 1}


def test_killed_process_goes_on_where_it_was(home: Home, sim: Simulator, forks: Forks) -> None:
    trap = Trap("fetched", nth=10)
    assert forks.run(home, "watch", trap=trap).code == -signal.SIGKILL
    stored = {*ledger(home)}
    assert len(stored) == 10
    again = forks.start(home, "watch")
    wait_until(lambda: is_waiting(home, again))
    again.kill(signal.SIGTERM)
    stopped = again.wait()
    assert (stopped.code, exit_codes(home)) == (0, [None, 0])
    assert "stopped; nothing was running" in stopped.err
    assert len(ledger(home)) == 28
    assert fetched_twice(sim, stored) == set()
    assert temporary_files(home) == []


def test_process_stopped_while_it_fetches(home: Home, sim: Simulator, forks: Forks) -> None:
    """The days already stored stay, and the other, waiting process does the rest an hour later."""
    sim.add_fault(Fault(hang(600), USERS, HANGING))
    first = forks.start(home, "watch")
    wait_until(lambda: sim.count(USERS, HANGING) > 0)

    def stop() -> None:
        first.kill(signal.SIGTERM)
        assert first.wait().code == 143
        assert temporary_files(home) == []
        stored.update(ledger(home))
        sim.clear_faults()

    stored: set[date] = set()
    now = datetime.now(UTC)
    second = FastTime(now, now + timedelta(hours=1.5))
    second.at = [(now + timedelta(minutes=30), stop)]
    watch(settings_of(home), second)
    assert exit_codes(home) == [143, 0]
    assert len(stored) == 20
    assert fetched_twice(sim, stored) == set()
    # An hour later, it may be the next day.
    assert {*last_complete_days(28, began(home)).days()} <= {*ledger(home)}


def test_server_runs_beside_it(home: Home, sim: Simulator, forks: Forks) -> None:
    run = forks.start(home, "watch", "--serve", "--port", "0")
    wait_until(lambda: is_waiting(home, run))
    printed = run.printed()
    address = next(line for line in printed.splitlines() if line.startswith("http://"))
    assert requests.get(address, timeout=300).status_code == 401
    assert home.run("watch", "--healthy").code == 0
    run.kill(signal.SIGTERM)
    assert run.wait().code == 0
    with pytest.raises(requests.ConnectionError):
        requests.get(address, timeout=300)
    assert sim.count() > 0


def test_server_that_cannot_listen_ends_it(home: Home, sim: Simulator, forks: Forks) -> None:
    result = forks.run(home, "watch", "--serve", "--host", "0.0.0.0")
    assert (result.code, sim.count()) == (2, 0)
    assert "without TLS" in result.err
