"""Runs of the program by the hundred: a server that has imported it forks one process a run.

As a program this file is that server; `Forks` starts it and gives it orders. A run can be told to
die, or to find the disk full, at a point of its own.
"""

from __future__ import annotations

import errno
import gc
import itertools
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import msgspec
import psycopg
from sqlalchemy import Engine, event

from conftest import Home, Result, all_files, content_of
from dashboard_scraper import main
from dashboard_scraper.cli import exporting
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.settings.groups import SQLITE_PREFIX
from dashboard_scraper.sources.dashboard.client import DashboardSource
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import LedgerDay, postgres, status, store_at
from in_process import run_main

WARM = (exporting, postgres, status)
_LONGEST_RUN = 60
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Trap:
    """What a run meets at a point, once or (`times` is None) from then on.

    `point` is "commit" (before it), "statement", "fetched" (a day was kept), "fsync", or an audit
    event of the interpreter; of that, `path` is how the path in it ends.
    """

    point: str
    nth: int = 1
    path: str = ""
    then: Literal["kill", "stop", "full"] = "kill"
    times: int | None = 1

    def set(self) -> None:
        """In the process that is to meet it."""
        numbers = itertools.count(1)

        def reached(*_: object) -> None:
            number = next(numbers) - self.nth
            if number < 0 or (self.times is not None and number >= self.times):
                return
            if self.then == "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
                return
            if self.then == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        if self.point == "commit":
            event.listen(Engine, "commit", reached)
        elif self.point == "statement":
            event.listen(Engine, "before_cursor_execute", reached)
        elif self.point == "fetched":
            logging.getLogger("dashboard_scraper.cli.progress").addHandler(_Handler(reached))
        elif self.point == "fsync":
            setattr(os, "fsync", _first(reached, os.fsync))  # noqa: B010
        else:
            sys.addaudithook(
                lambda name, args: (
                    reached() if name == self.point and str(args[0]).endswith(self.path) else None
                )
            )


class _Handler(logging.Handler):
    def __init__(self, reached: Callable[..., None]) -> None:
        super().__init__()
        self._reached = reached

    def emit(self, record: logging.LogRecord) -> None:
        if " fetched, " in record.msg:
            self._reached()


def _first(reached: Callable[..., None], function: Callable[[int], None]) -> Callable[[Any], None]:
    def both(descriptor: int) -> None:
        reached()
        function(descriptor)

    return both


class Run:
    """A run that was started; `wait` may be called once."""

    def __init__(self, server: Forks, pid: int, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self.pid = pid

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Nobody else can have the process id, even after its end, before `wait`."""
        os.kill(self.pid, number)

    def wait(self) -> Result:
        """What it left; the code is negative where a signal ended it."""
        code = self._server.ask(wait=self.pid)
        paths = (self._folder / f"{self.pid}.{name}" for name in ("out", "err"))
        # A kill may come before there are any.
        out, err = (path.read_text() if path.exists() else "" for path in paths)
        return Result(code, out, err)


class Forks:
    """The server, while entered."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        command = [sys.executable, "-W", "error", __file__, self._folder.name]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate(timeout=_LONGEST_RUN)
        self._folder.cleanup()

    def start(self, home: Home, *words: str, trap: Trap | None = None) -> Run:
        """Begin `dashboard-scraper WORDS` in the home."""
        pid = self.ask(
            argv=home.command(*words)[4:],
            environment=home.environment(),
            folder=str(home.path),
            trap=trap and asdict(trap),
        )
        return Run(self, pid, Path(self._folder.name))

    def run(self, home: Home, *words: str, trap: Trap | None = None) -> Result:
        """As `start`, and wait for the end."""
        return self.start(home, *words, trap=trap).wait()

    def ask(self, **order: object) -> int:
        """Send an order to the server; returns its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def files_in(folder: Path) -> dict[str, bytes]:
    """What stands under names that are shown."""
    found = all_files(folder) if folder.is_dir() else []
    return {path.name: content_of(path) for path in found if path.name[0] != "."}


Kept = dict[date, tuple[LedgerDay, DayUsage]]


def whole_days(url: str) -> Kept:
    """Every day of the ledger, proved to be whole by the program's own check, without its moment.

    Of SQLite's file a copy is read: what a killed run left is mended by the next one alone.
    """
    with tempfile.TemporaryDirectory() as folder:
        if url.startswith(SQLITE_PREFIX):
            original = Path(url.removeprefix(SQLITE_PREFIX))
            for path in original.parent.glob(f"{original.name}*"):
                shutil.copy(path, folder)
            url = f"{SQLITE_PREFIX}{folder}/{original.name}"
        store = store_at(url)
        if not store.exists():
            return {}
        with store.reading() as reader:
            ledger = reader.ledger(DashboardSource.name)
            return {
                day: (
                    msgspec.structs.replace(row, fetched_at=_NEVER),
                    reader.day(row),
                )
                for day, row in ledger.items()
            }


def wait_until_gone(url: str) -> None:
    """PostgreSQL notices within moments that a client was killed; SQLite has nothing to notice."""
    if url.startswith(SQLITE_PREFIX):
        return
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND state <> 'idle'"
    )
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        until(lambda: connection.execute(query).fetchone() == (0,))


def empty(url: str) -> None:
    """Remove the store."""
    if url.startswith(SQLITE_PREFIX):
        original = Path(url.removeprefix(SQLITE_PREFIX))
        for path in original.parent.glob(f"{original.name}*"):
            path.unlink()
        return
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def until(reached: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something that is about to happen."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.002)


def serve(folder: Path) -> None:
    """Fork a process for each run that is ordered, in which this returns by its SystemExit."""
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            answer = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                _become(order, folder)
                main.run()
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _become(order: dict[str, Any], folder: Path) -> None:
    """As a shell would start it; should the run hang, an alarm ends it."""
    signal.alarm(_LONGEST_RUN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    paths = [Path(os.devnull), *(folder / f"{os.getpid()}.{name}" for name in ("out", "err"))]
    for number, path in enumerate(paths):
        flags = os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY
        descriptor = os.open(path, flags, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    sys.argv = order["argv"]
    if order["trap"]:
        Trap(**order["trap"]).set()


def _warm_up() -> None:
    """Import, compile and cache all that a run needs, once for all of them."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["demo", "--source", DASHBOARD, "--users", "5", "--home", folder]
        run_main(words, {"HOME": folder}, Path(folder), b"")


if __name__ == "__main__":
    _warm_up()
    gc.collect()
    gc.freeze()  # what was imported stays shared: a collector that looked at it would copy it
    serve(Path(sys.argv[1]))
