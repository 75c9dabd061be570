"""The loop of `watch`, with work that only takes notes."""

from __future__ import annotations

import itertools
import json
import sys
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from dashboard_scraper.watch.heartbeat import Heartbeat, HeartbeatFile, raise_unless_alive
from dashboard_scraper.watch.loop import Loop, Outcome
from dashboard_scraper.watch.plan import Attempt, Rules
from dashboard_scraper.watch.schedule import Schedule, read_time_zone
from fast_time import FastTime

START = datetime(2026, 10, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass
class Notes:
    """The work: `code` says how each run ends, and `rows` are the store's rows."""

    time: FastTime
    code: int = 0
    session: int = 0
    key: Hashable = "first"
    has_store: bool = True
    lasts: timedelta = MINUTE
    sources: Sequence[str] = ("toy",)
    with_session: Sequence[str] = ("toy",)
    rows: list[Attempt] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    touched: list[datetime] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None
    server_code: int | None = None

    def run(self, sources: Sequence[str]) -> Outcome:
        self.ran.append(f"{self.time.now():%d %H:%M}")
        started = self.time.now()
        refused = dict.fromkeys(sources, self.key) if self.code == 3 else {}
        self.meanwhile()
        self.time.spend(self.lasts)
        if self.has_store:
            self.rows += [Attempt(s, started, self.time.now(), self.code) for s in sources]
        return Outcome(self.code, dict.fromkeys(sources, self.code), refused)

    def attempts(self, since: datetime) -> list[Attempt] | None:
        return [row for row in self.rows if row.started_at >= since] if self.has_store else None

    def keep_alive(self, source: str) -> int:
        assert source == "toy"
        self.touched.append(self.time.now())
        return self.session

    def credentials(self, source: str) -> Hashable:
        assert source == "toy"
        return self.key

    def check(self) -> None:
        if self.server_code is not None:
            sys.exit(self.server_code)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "watch.json"


def run_loop(
    work: Notes, path: Path, schedule: str = "5 3 * * *", zone: str = "UTC", keep: int | None = 20
) -> None:
    rules = Rules(Schedule.read(schedule, read_time_zone(zone)))
    keep_alive = timedelta(minutes=keep) if keep else None
    loop = Loop(work, rules, work.time, HeartbeatFile(path, 0o600), keep_alive)
    with pytest.raises(SystemExit):
        loop.run()
    assert not loop.is_running


def test_server_that_ends_takes_it_along(path: Path) -> None:
    work = Notes(days(2))
    work.meanwhile = lambda: setattr(work, "server_code", 4)
    run_loop(work, path)
    assert work.time.now() == START + work.lasts
    assert json.loads(path.read_bytes())["state"] == "ended"


def days(number: float, start: datetime = START) -> FastTime:
    return FastTime(start, start + timedelta(number))


def test_first_start_runs_at_once_and_then_nightly(path: Path) -> None:
    work = Notes(days(2.9))
    run_loop(work, path)
    assert work.ran == ["24 12:00", "25 03:05", "26 03:05", "27 03:05"]


def test_restart_repeats_nothing_and_catches_up(path: Path) -> None:
    work = Notes(days(1))
    run_loop(work, path)
    work.time = days(0.5, work.time.now())
    run_loop(work, path)
    assert work.ran == ["24 12:00", "25 03:05"]
    work.time = days(1, START + timedelta(days=3, hours=5))
    run_loop(work, path)
    assert work.ran[2:] == ["27 17:00", "28 03:05"]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (datetime(2026, 3, 28, 1, 31, tzinfo=UTC), ["28 01:31", "29 01:00", "30 00:30"]),
        (datetime(2026, 10, 24, 0, 31, tzinfo=UTC), ["24 00:31", "25 00:30", "26 01:30"]),
    ],
    ids=["time that does not exist", "time that comes twice"],
)
def test_clock_change_runs_the_job_once(path: Path, start: datetime, expected: list[str]) -> None:
    work = Notes(days(2.1, start))
    run_loop(work, path, "30 2 * * *", "Europe/Berlin")
    assert work.ran == expected


@pytest.mark.parametrize("has_store", [True, False], ids=["recorded", "store is away"])
def test_failed_run_is_tried_again_six_times(path: Path, has_store: bool) -> None:
    work = Notes(days(1.1), code=4, has_store=has_store)
    run_loop(work, path)
    assert work.ran[:3] == ["24 12:00", "24 13:01", "24 14:02"]
    assert work.ran[7:] == ["25 03:05", "25 04:06", "25 05:07", *work.ran[10:]]
    assert len(work.ran) == 14


def test_session_that_is_over_waits_for_sign_in(path: Path) -> None:
    work = Notes(days(1.5), code=3, session=3)

    def signed_in() -> None:
        work.key, work.code, work.session = "second", 0, 0

    work.time.at.append((START + timedelta(hours=20), signed_in))
    run_loop(work, path)
    assert work.ran == ["24 12:00", "25 03:05", "25 08:00"]
    assert [f"{moment:%d %H:%M}" for moment in work.touched[:2]] == ["25 08:21", "25 08:41"]


def test_session_that_a_later_run_could_use_is_kept_alive_again(path: Path) -> None:
    """For example, if the dashboard refused it for a while."""
    work = Notes(days(1), code=3)
    work.time.at.append((START + timedelta(hours=1), lambda: setattr(work, "code", 0)))
    run_loop(work, path)
    assert work.ran == ["24 12:00", "25 03:05"]
    assert f"{work.touched[0]:%d %H:%M}" == "25 03:26"


def test_session_is_used_every_few_minutes(path: Path) -> None:
    work = Notes(days(1), lasts=timedelta(0))
    run_loop(work, path)
    assert len(work.touched) == 71
    assert msgspec.json.decode(path.read_bytes(), type=Heartbeat).session == "alive"
    idle = Notes(days(1))
    run_loop(idle, path, keep=None)
    assert idle.touched == []


def test_heartbeat_says_what_it_does(path: Path) -> None:
    work = Notes(days(0.2))
    seen: list[Heartbeat] = []

    def look() -> None:
        seen.append(raise_unless_alive(path, work.time.now()))

    work.meanwhile = look
    work.time.at.append((START + timedelta(hours=4), look))
    run_loop(work, path)
    running, waiting = seen
    assert (running.state, running.sources, running.next_run) == ("running", ("toy",), None)
    assert waiting.next_run == datetime(2026, 10, 25, 3, 5, tzinfo=UTC)
    assert waiting.last_run is not None
    assert (waiting.state, waiting.last_run.exit_code) == ("waiting", 0)


def test_job_of_another_process_is_not_repeated(path: Path) -> None:
    """The other process began at the scheduled moment, and this one finds the store locked."""
    work = Notes(days(0.9), rows=[Attempt("toy", START, START, 0)], has_store=True, code=7)
    due = datetime(2026, 10, 25, 3, 5, tzinfo=UTC)
    other = Attempt("toy", due + MINUTE, due + 10 * MINUTE, 0)
    work.time.at.append((due + 30 * MINUTE, lambda: work.rows.append(other)))
    run_loop(work, path)
    assert work.ran == ["25 03:05"]


def test_clock_that_is_set_loses_no_night(path: Path) -> None:
    """A run that was recorded in the future, while the clock was ahead, does not count."""
    work = Notes(days(1.5))
    work.time.at.append((START + timedelta(hours=1), lambda: work.time.spend(timedelta(hours=15))))
    work.time.at.append((START + timedelta(hours=20), lambda: work.time.spend(-timedelta(hours=9))))
    run_loop(work, path)
    assert work.ran == ["24 12:00", "25 04:00", "25 03:05"]


def test_clock_that_is_set_back_does_not_let_the_session_end(path: Path) -> None:
    work = Notes(days(1))
    work.time.at.append((START + timedelta(hours=9), lambda: work.time.spend(-timedelta(hours=8))))
    run_loop(work, path)
    breaks = [later - earlier for earlier, later in itertools.pairwise(work.touched)]
    assert min(breaks) < timedelta(hours=-7)
    assert max(breaks) < 30 * MINUTE


class LongRun(Notes):
    """A run during which the session is used, and which a signal then ends."""

    used = threading.Event()

    def keep_alive(self, source: str) -> int:
        assert source == "toy"
        self.used.set()
        return 0

    def run(self, sources: Sequence[str]) -> Outcome:
        assert list(sources) == ["toy"]
        assert self.used.wait(300)
        raise SystemExit(143)


def test_session_is_used_during_a_long_run(path: Path) -> None:
    work = LongRun(days(1))
    rules = Rules(Schedule.read("5 3 * * *", UTC))
    loop = Loop(work, rules, work.time, HeartbeatFile(path, 0o600), timedelta(milliseconds=1))
    with pytest.raises(SystemExit):
        loop.run()
    assert loop.is_running
    assert json.loads(path.read_bytes())["state"] == "ended"
