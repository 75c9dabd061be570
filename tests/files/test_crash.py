"""A killed run leaves complete days and complete files, and the next run finishes the work.

It is killed with SIGKILL, which no handler can catch, at random moments and at the critical points.
"""

from __future__ import annotations

import random
import shutil
import time
from dataclasses import dataclass
from signal import SIGKILL

import pytest

from conftest import Home, Result, Start, today
from crash_child import (
    DAYS,
    FILES,
    JOB,
    Forks,
    Run,
    StoredDays,
    Trap,
    drop_store,
    files_in,
    job_folder,
    stored_days,
    until,
    wait_until_disconnected,
)
from dashboard_scraper.exports.manifest import MANIFEST
from dashboard_scraper.files import STALE_SUFFIX
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import counts_of
from dashboard_scraper.model.metrics import COUNTS
from dashboard_scraper.simulator import Fault, Organization, Paging, Request, Simulator
from dashboard_scraper.simulator.exchange import Answer
from dashboard_scraper.simulator.fields import dashboard_row
from dashboard_scraper.sources.dashboard.fields import FIELDS
from dashboard_scraper.sources.dashboard.settings import Endpoint
from dashboard_scraper.store import store_at

USERS = Endpoint.USERS.value
OUTPUT, STORE = ".tmp", ".new"
"""The suffixes of temporary names: of output files, and of a store that is being created."""


@dataclass(frozen=True)
class Undisturbed:
    """What a run leaves if it is not killed, which is the same on every kind of store."""

    files: dict[str, bytes]
    days: StoredDays


def organization() -> Organization:
    return Organization(users=7, today=today())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    home = Home(tmp_path_factory.mktemp("undisturbed"))
    with Simulator(organization()) as simulator:
        home.settings["METRICS_API_BASE_URL"] = simulator.url
        home.sign_in(simulator)
        result = home.run(*JOB)
        assert result.code == 0, result.err
    left = Undisturbed(files_in(job_folder(home)), stored_days(f"sqlite:///{home.data}/usage.db"))
    assert (len(left.files), len(left.days)) == (FILES, DAYS)
    assert_days_are_the_organizations(left.days)
    return left


def assert_days_are_the_organizations(days: StoredDays) -> None:
    made_up = organization()
    counted = [metric for metric in COUNTS if metric in FIELDS]
    for day, (ledger, usage) in days.items():
        totals = made_up.totals(Window(day, day))
        here = [member for member in made_up.people if member.belongs(day, day)]
        assert {user.user for user in usage.users} == {member.name for member in here}
        assert ledger.active_users == sum(member.index in totals for member in here)
        counts = {user.user: counts_of(user.figures) for user in usage.users}
        for member in here:
            row = dashboard_row(member.name, None, None, 0, made_up.figures(member, day))
            known = dict(zip(COUNTS, counts[member.name], strict=True))
            assert {m: known[m] for m in counted} == {m: row[FIELDS[m]] for m in counted}


@pytest.fixture
def simulator(start: Start) -> Simulator:
    """A simulator so slow that a kill fits between any two steps; most answers have two pages."""
    return start(organization(), latency=0.002, paging=Paging("cursor", page_size=5))


@dataclass(frozen=True)
class Trials:
    """Killed runs in one home."""

    home: Home
    url: str
    forks: Forks
    undisturbed: Undisturbed

    def start_over(self) -> None:
        """Remove the store and all files."""
        drop_store(self.url)
        shutil.rmtree(self.home.data, ignore_errors=True)

    def result_of(self, run: Run) -> Result:
        """The result of a run that was killed or had ended before; nothing may be damaged."""
        result = run.wait()
        assert result.code in (-SIGKILL, 0), result.err
        wait_until_disconnected(self.url)
        self.check()
        return result

    def kill_at(self, trap: Trap) -> Result:
        """The result of a run that is killed at this point."""
        result = self.result_of(self.forks.start(self.home, *JOB, trap=trap))
        assert result.code == -SIGKILL
        return result

    def check(self) -> None:
        """Each day and each file is the same as in the undisturbed run, or missing."""
        found_days = stored_days(self.url)
        assert found_days == {day: self.undisturbed.days[day] for day in found_days}
        found = files_in(job_folder(self.home))
        assert found == {name: self.undisturbed.files[name] for name in found}

    def finish(self) -> float:
        """Run again: the result is as if no run had been killed. Returns the run's duration in
        seconds.

        The files are written from the store, which checks every day again.
        """
        began = time.monotonic()
        result = self.home.run(*JOB)
        seconds = time.monotonic() - began
        assert result.code == 0, result.err
        assert files_in(job_folder(self.home)) == self.undisturbed.files
        return seconds


@pytest.fixture
def trials(
    home: Home, simulator: Simulator, empty_place: str, forks: Forks, undisturbed: Undisturbed
) -> Trials:
    simulator.prepare(undisturbed.days)
    # How long the next run waits for a heartbeat of the killed one.
    home.settings |= {"MAX_CONCURRENCY": "4", "STORE_LEASE_SECONDS": "1"}
    return Trials(home, empty_place, forks, undisturbed)


@pytest.mark.parametrize(
    ("empty_place", "times"),
    [("sqlite", 2), ("postgresql", 1), ("pgbouncer", 1)],
    indirect=["empty_place"],
)
@pytest.mark.slow
@pytest.mark.longest
def test_kill_at_any_moment_loses_nothing(trials: Trials, empty_place: str, times: int) -> None:
    """The first time, a run is killed that had started on what another killed run left."""
    chance = random.Random(empty_place.partition(":")[0])
    seconds = trials.finish()

    def is_killed_before_its_end() -> bool:
        moment = chance.uniform(0, seconds)
        run = trials.forks.start(trials.home, *JOB)
        time.sleep(moment)
        run.kill()
        return trials.result_of(run).code == -SIGKILL

    for number in range(times):
        trials.start_over()
        for _ in range(2 - number):
            # On a faster machine, the run may end before its moment; then try another moment.
            while not is_killed_before_its_end():
                trials.start_over()
        trials.finish()


@pytest.mark.slow
def test_kill_between_pages_stores_no_part_of_the_day(trials: Trials, simulator: Simulator) -> None:
    nth = 4
    running: list[Run] = []
    cut: list[Request] = []

    def kill(answer: Answer, request: Request) -> Answer:
        if "cursor" in request.query:
            cut.append(request)
            if len(cut) == nth:
                until(lambda: bool(running))
                running[0].kill()
        return answer

    simulator.add_fault(Fault(kill, USERS))
    running.append(trials.forks.start(trials.home, *JOB))
    assert trials.result_of(running[0]).code == -SIGKILL
    assert cut[nth - 1].day not in stored_days(trials.url)
    simulator.clear_faults()
    trials.finish()


@pytest.mark.parametrize(
    ("empty_place", "nth"),
    [("sqlite", 2), ("sqlite", 6), ("postgresql", 3), ("postgresql", 6)],
    indirect=["empty_place"],
)
@pytest.mark.slow
def test_kill_before_commit_stores_nothing_of_it(trials: Trials, nth: int) -> None:
    """The first three commits create the store, the others are those of days."""
    trials.home.settings["MAX_CONCURRENCY"] = "1"
    reported = trials.kill_at(Trap("commit", nth)).err.count(" fetched, ")
    assert (reported > 0) == (nth > 4)
    assert list(stored_days(trials.url)) == sorted(trials.undisturbed.days)[:reported]
    trials.finish()


@pytest.mark.slow
def test_day_reported_as_fetched_survives_kill(trials: Trials) -> None:
    nth = DAYS // 2
    trials.home.settings["MAX_CONCURRENCY"] = "1"
    trials.kill_at(Trap("fetched", nth))
    assert list(stored_days(trials.url)) == sorted(trials.undisturbed.days)[:nth]
    trials.finish()


@pytest.mark.parametrize(
    ("empty_place", "nth"),
    [("sqlite", 2), ("sqlite", 10), ("postgresql", 10)],
    indirect=["empty_place"],
)
@pytest.mark.slow
def test_kill_while_store_is_created_leaves_none(trials: Trials, nth: int) -> None:
    trials.kill_at(Trap("statement", nth))
    assert not store_at(trials.url).exists()
    trials.finish()


@pytest.mark.parametrize("empty_place", ["sqlite"], indirect=True)
@pytest.mark.slow
def test_kill_before_store_is_renamed_leaves_none(trials: Trials) -> None:
    trials.kill_at(Trap("os.rename", path=STORE))
    assert not store_at(trials.url).exists()
    trials.finish()


@pytest.mark.parametrize("empty_place", ["sqlite"], indirect=True)
@pytest.mark.parametrize("nth", [FILES // 2, FILES])
@pytest.mark.slow
def test_kill_between_renames_leaves_complete_files(trials: Trials, nth: int) -> None:
    trials.kill_at(Trap("os.rename", nth, OUTPUT))
    assert len(files_in(job_folder(trials.home))) == nth - 1
    assert stored_days(trials.url) == trials.undisturbed.days
    trials.finish()


@pytest.mark.parametrize("empty_place", ["sqlite"], indirect=True)
@pytest.mark.slow
def test_no_manifest_vouches_for_files_of_two_runs(trials: Trials) -> None:
    trials.finish()
    trials.home.settings["ENTERPRISE_ID"] = "2"
    trap = Trap("os.rename", 2, OUTPUT)
    killed = trials.forks.start(trials.home, *JOB, "--offline", trap=trap).wait()
    assert killed.code == -SIGKILL, killed.err
    left = files_in(job_folder(trials.home))
    assert left.keys() ^ trials.undisturbed.files.keys() == {MANIFEST, f"{MANIFEST}{STALE_SUFFIX}"}
    del trials.home.settings["ENTERPRISE_ID"]
    (job_folder(trials.home) / f"{MANIFEST}{STALE_SUFFIX}").unlink()
    trials.finish()
