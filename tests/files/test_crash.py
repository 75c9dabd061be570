"""A run that is killed at any moment leaves whole days and whole files, and the next one finishes.

Killed with SIGKILL, which nothing can prepare for, at random moments and at the points that matter.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from signal import SIGKILL

import pytest

from conftest import Home, Result, Start, today
from crash_child import (
    Forks,
    Kept,
    Run,
    Trap,
    empty,
    files_in,
    until,
    wait_until_gone,
    whole_days,
)
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import counts_of
from dashboard_scraper.model.metrics import COUNTS
from dashboard_scraper.simulator import Fault, Organization, Paging, Request, Simulator
from dashboard_scraper.simulator.exchange import Answer
from dashboard_scraper.simulator.fields import dashboard_row
from dashboard_scraper.sources.dashboard.cookie_auth import SESSION_COOKIE, save_cookies
from dashboard_scraper.sources.dashboard.fields import FIELDS
from dashboard_scraper.sources.dashboard.settings import Endpoint
from dashboard_scraper.sources.rest.urls import origin_of
from dashboard_scraper.store import store_at

JOB = "--last-28-days"
USERS = Endpoint.USERS.value
TRIALS = 10
BATCHES = [
    *(("sqlite", number, TRIALS) for number in range(30 // TRIALS)),
    *(("postgresql", number, TRIALS) for number in range(10 // TRIALS)),
    ("pgbouncer", 0, 6),
]
OUTPUT, STORE = ".tmp", ".new"
"""How the temporary names of the files end, and that of a store that is being made."""


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as server:
        yield server


@dataclass(frozen=True)
class Undisturbed:
    """What a run leaves that nobody kills, on either kind of store."""

    files: dict[str, bytes]
    days: Kept


def organization() -> Organization:
    return Organization(users=7, today=today())


@pytest.fixture(scope="module")
def undisturbed(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    home = Home(tmp_path_factory.mktemp("undisturbed"))
    with Simulator(organization()) as simulator:
        home.settings["METRICS_API_BASE_URL"] = simulator.url
        save_cookies(home.cookie_file, {SESSION_COOKIE: simulator.cookie}, origin_of(simulator.url))
        result = forks.run(home, JOB)
        assert result.code == 0, result.err
    left = Undisturbed(files_in(home.daily_folder), whole_days(f"sqlite:///{home.data}/usage.db"))
    assert (len(left.files), len(left.days)) == (2 * 28 + 3 + 4, 28)
    assert_days_are_the_organizations(left.days)
    return left


def assert_days_are_the_organizations(days: Kept) -> None:
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
    """Slow enough for a kill to come between any two steps; most answers have two pages."""
    return start(organization(), latency=0.002, paging=Paging("cursor", page_size=5))


@dataclass(frozen=True)
class Trials:
    """Kills of the 28-day job in one home."""

    home: Home
    url: str
    forks: Forks
    undisturbed: Undisturbed

    def empty(self) -> None:
        """No store and no file, as before the first run."""
        empty(self.url)
        shutil.rmtree(self.home.data, ignore_errors=True)

    def killed(self, run: Run) -> Result:
        """What a run left that was killed, or had ended before; it is whole in any case."""
        result = run.wait()
        assert result.code in (-SIGKILL, 0), result.err
        wait_until_gone(self.url)
        self.check()
        return result

    def trapped(self, trap: Trap) -> Result:
        """What a run left that was killed at a point."""
        result = self.killed(self.forks.start(self.home, JOB, trap=trap))
        assert result.code == -SIGKILL
        return result

    def check(self) -> None:
        """Each day and each file is what the undisturbed run made, or is not there."""
        kept = whole_days(self.url)
        assert kept == {day: self.undisturbed.days[day] for day in kept}
        found = files_in(self.home.daily_folder)
        assert found == {name: self.undisturbed.files[name] for name in found}

    def finish(self) -> float:
        """The next run finishes, and nobody can tell that another was killed before.

        Its files are made from the store, of which each day is checked once more then. Returns how
        long it took.
        """
        began = time.monotonic()
        result = self.forks.run(self.home, JOB)
        seconds = time.monotonic() - began
        assert result.code == 0, result.err
        assert files_in(self.home.daily_folder) == self.undisturbed.files
        return seconds


@pytest.fixture
def trials(
    home: Home, simulator: Simulator, empty_place: str, forks: Forks, undisturbed: Undisturbed
) -> Trials:
    simulator.prepare(undisturbed.days)
    # The next run waits so long for a sign of life of one that was killed.
    home.settings |= {"MAX_CONCURRENCY": "4", "STORE_LEASE_SECONDS": "1"}
    return Trials(home, empty_place, forks, undisturbed)


@pytest.mark.parametrize(("empty_place", "batch", "times"), BATCHES, indirect=["empty_place"])
def test_a_kill_at_any_moment_costs_no_day_and_no_file_and_the_next_run_finishes(
    trials: Trials, empty_place: str, batch: int, times: int
) -> None:
    """Every third time, the run that is killed had begun on what an earlier kill left."""
    chance = random.Random(f"{empty_place.partition(':')[0]} {batch}")
    seconds = trials.finish()

    def kill_at_random() -> bool:
        moment = chance.uniform(0, 1.1 * seconds)
        run = trials.forks.start(trials.home, JOB)
        time.sleep(moment)
        run.kill()
        return trials.killed(run).code == -SIGKILL

    hits = 0
    for number in range(times):
        trials.empty()
        if number % 3 == 2:
            kill_at_random()
        hits += kill_at_random()
        trials.finish()
    assert hits >= times // 3, "too few kills came before the end of a run"


@pytest.mark.parametrize("nth", [1, 2, 20])
def test_a_kill_between_two_pages_of_a_day_leaves_nothing_of_the_day(
    trials: Trials, simulator: Simulator, nth: int
) -> None:
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
    running.append(trials.forks.start(trials.home, JOB))
    assert trials.killed(running[0]).code == -SIGKILL
    assert cut[nth - 1].day not in whole_days(trials.url)
    simulator.clear_faults()
    trials.finish()


@pytest.mark.parametrize("nth", [1, 2, 3, 20, 31])
def test_a_kill_before_a_commit_leaves_nothing_of_what_was_to_be_committed(
    trials: Trials, nth: int
) -> None:
    """The first commits are those of a store that is made, the others those of days."""
    trials.home.settings["MAX_CONCURRENCY"] = "1"
    reported = trials.trapped(Trap("commit", nth)).err.count(" fetched, ")
    assert (reported > 0) == (nth >= 20)
    assert list(whole_days(trials.url)) == sorted(trials.undisturbed.days)[:reported]
    trials.finish()


@pytest.mark.parametrize("nth", [1, 15, 28])
def test_a_day_that_was_reported_as_fetched_survives_a_kill_right_after_it(
    trials: Trials, nth: int
) -> None:
    trials.home.settings["MAX_CONCURRENCY"] = "1"
    trials.trapped(Trap("fetched", nth))
    assert list(whole_days(trials.url)) == sorted(trials.undisturbed.days)[:nth]
    trials.finish()


@pytest.mark.parametrize("nth", [2, 4, 6, 8, 10])
def test_a_kill_while_the_store_is_made_leaves_a_place_where_the_next_run_makes_it(
    trials: Trials, nth: int
) -> None:
    trials.trapped(Trap("statement", nth))
    assert not store_at(trials.url).exists()
    trials.finish()


@pytest.mark.parametrize("empty_place", ["sqlite"], indirect=True)
def test_a_kill_before_a_new_store_gets_its_name_leaves_none(trials: Trials) -> None:
    trials.trapped(Trap("os.rename", path=STORE))
    assert not store_at(trials.url).exists()
    trials.finish()


@pytest.mark.parametrize("nth", [1, 2, 30, 58, 62])
def test_a_kill_between_a_temporary_file_and_its_name_leaves_the_files_that_have_theirs(
    trials: Trials, nth: int
) -> None:
    trials.trapped(Trap("os.rename", nth, OUTPUT))
    assert len(files_in(trials.home.daily_folder)) == nth - 1
    assert whole_days(trials.url) == trials.undisturbed.days
    trials.finish()
