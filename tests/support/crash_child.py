"""Many runs of the program as processes: a server that has imported it forks one for each run.

Run as a program, this file is that server; `Forks` starts it and sends it orders. A run can be set
up to be killed, or to find the disk full, at a chosen point.
"""

from __future__ import annotations

import asyncio
import atexit
import errno
import functools
import gc
import importlib
import itertools
import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TextIO

import anyio
import msgspec
import psycopg
from sqlalchemy import Engine, event

from conftest import Home, Result, all_files, content_of, today
from dashboard_scraper import main
from dashboard_scraper.cli import exporting, people, serving, watching
from dashboard_scraper.model.dates import last_complete_days
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.settings.groups import SQLITE_PREFIX
from dashboard_scraper.simulator import Organization, Simulator
from dashboard_scraper.sources.dashboard.client import DashboardSource
from dashboard_scraper.store import LedgerDay, postgres, status, store_at

WARM = (exporting, people, postgres, serving, status, watching)
"""What only some commands import: a run that is forked need not."""

_LONGEST_RUN = 300
_LONGEST_SERVER = 1200
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

DAYS = 5
WINDOW = last_complete_days(DAYS, today())
JOB = ("--daily", f"{WINDOW.start}", f"{WINDOW.end}")
"""The daily job in small: 28 days would do the same more often, in four times the time."""
FILES = 4 * DAYS + 3
"""Two of each day, two of GitHub's reports of each day, and three of the window."""


def job_folder(home: Home) -> Path:
    """The folder into which JOB writes."""
    return home.data / f"daily_exports_{WINDOW.start}_to_{WINDOW.end}"


@dataclass(frozen=True)
class Trap:
    """A fault that a run meets at a point, once or (`times` is None) from then on.

    `point` is "commit" (before it), "statement", "fetched" (a day was stored), "fsync", or an audit
    event of the interpreter, whose path must end with `path`. A statement must contain `path`.
    """

    point: str
    nth: int = 1
    path: str = ""
    then: Literal["kill", "stop", "full"] = "kill"
    times: int | None = 1

    def set(self) -> None:
        """Install it in this process."""
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
            event.listen(
                Engine,
                "before_cursor_execute",
                lambda _c, _r, statement, *_: reached() if self.path in statement else None,
            )
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
    """A running process."""

    def __init__(self, server: Forks, pid: int, number: int, folder: Path) -> None:
        """Its output is in files named by `number`, since the system reuses process ids."""
        self._server = server
        self._out, self._err = (folder / f"{number}.{name}" for name in ("out", "err"))
        self._code: int | None = None
        self.pid = pid

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal; the process id is not reused before `wait`, even if the run has ended."""
        if self._code is None:
            os.kill(self.pid, number)

    def printed(self) -> str:
        """What the run has printed so far."""
        return self._out.read_text()

    def logged(self) -> str:
        """What the run has logged so far."""
        return self._err.read_text() if self._err.exists() else ""

    def wait(self) -> Result:
        """The run's result; the code is negative if a signal ended it."""
        if self._code is None:
            self._code = self._server.ask(wait=self.pid)
        code = self._code
        # A kill may come before the files are created.
        return Result(code, self.printed() if self._out.exists() else "", self.logged())


class Forks:
    """The server; it runs while this is entered."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        self._numbers = itertools.count(1)
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

    def load(self, module: str) -> None:
        """Import a module once for all later runs."""
        self.ask(load=module)

    def start(
        self, home: Home, *words: str, trap: Trap | None = None, terminal: str | None = None
    ) -> Run:
        """Start `dashboard-scraper WORDS` in the home; its stderr may be a terminal."""
        return self._start(home, words, trap=trap and asdict(trap), err=terminal)

    def serve(
        self, home: Home, *words: str, log: Path, open_files: int | None = None
    ) -> tuple[Run, TextIO]:
        """Start `dashboard-scraper serve WORDS`, and open what it prints; append logs to `log`."""
        pipe = Path(self._folder.name, "printed")
        os.mkfifo(pipe)
        run = self._start(
            home, ("serve", *words), out=str(pipe), err=str(log), open_files=open_files
        )
        printed = pipe.open()  # waits for the other end
        pipe.unlink()
        return run, printed

    def _start(self, home: Home, words: Sequence[str], **order: object) -> Run:
        number = next(self._numbers)
        pid = self.ask(
            number=number,
            argv=home.command(*words)[4:],
            environment=home.environment(),
            folder=str(home.path),
            **order,
        )
        return Run(self, pid, number, Path(self._folder.name))

    def run(self, home: Home, *words: str, trap: Trap | None = None) -> Result:
        """As `start`, then wait for the end."""
        return self.start(home, *words, trap=trap).wait()

    def ask(self, **order: object) -> int:
        """Send an order to the server; returns its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@functools.cache
def forks() -> Forks:
    """The server of this process, which ends with the tests."""
    server = Forks()
    atexit.register(server.__exit__, None, None, None)
    return server.__enter__()


def files_in(folder: Path) -> dict[str, bytes]:
    """The contents of all files that are not hidden, by name."""
    found = all_files(folder) if folder.is_dir() else []
    return {path.name: content_of(path) for path in found if path.name[0] != "."}


StoredDays = dict[date, tuple[LedgerDay, DayUsage]]


def stored_days(url: str) -> StoredDays:
    """Every day of the store, checked against the ledger, without the time of its fetch.

    A copy of SQLite's files is read, so that only the next run recovers what a killed one left.
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
            ledger = reader.judged_ledger(DashboardSource.name)
            return {
                day: (
                    msgspec.structs.replace(row, fetched_at=_NEVER, accepted_at=None),
                    reader.day(row),
                )
                for day, row in ledger.items()
            }


def wait_until_disconnected(url: str) -> None:
    """Wait until PostgreSQL has noticed that a client was killed."""
    if url.startswith(SQLITE_PREFIX):
        return
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND state <> 'idle'"
    )
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        until(lambda: connection.execute(query).fetchone() == (0,))


def drop_store(url: str) -> None:
    """Remove the store."""
    if url.startswith(SQLITE_PREFIX):
        original = Path(url.removeprefix(SQLITE_PREFIX))
        for path in original.parent.glob(f"{original.name}*"):
            path.unlink()
        return
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def until(reached: Callable[[], bool], seconds: float = 60) -> None:
    """Poll until something has happened, less and less often, as polling may itself take time."""
    deadline, pause = time.monotonic() + seconds, 0.002
    while not reached():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(pause)
        pause = min(1.2 * pause, 0.1)


def serve(folder: Path) -> None:
    """Fork a process for each ordered run; in the forked process, this ends by SystemExit."""
    for line in sys.stdin:
        order = json.loads(line)
        if "load" in order:
            importlib.import_module(order["load"])
            answer = 0
        elif "wait" in order:
            answer = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                _become(order, folder)
                main.run() if _serves(order) else _run()
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _become(order: dict[str, Any], folder: Path) -> None:
    """Set the process up as a shell would; an alarm ends a run that hangs."""
    signal.alarm(_LONGEST_SERVER if _serves(order) else _LONGEST_RUN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored if the tests run under nohup
    streams = (order.get(name) or folder / f"{order['number']}.{name}" for name in ("out", "err"))
    for number, path in enumerate((os.devnull, *streams)):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND if number else os.O_RDONLY
        descriptor = os.open(path, flags, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    sys.argv = order["argv"]
    if order.get("open_files"):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (order["open_files"], hard))
    if order.get("trap"):
        Trap(**order["trap"]).set()


def _serves(order: dict[str, Any]) -> bool:
    return bool(order["argv"][1] == "serve")


def _run() -> None:
    """Run the program. At the end, memory is left as it is: freeing each object would copy every
    page that the processes share, and take as long as a short run.
    """
    code: object = 1  # for an unexpected error

    def leave() -> None:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)

    atexit.register(leave)
    try:
        main.run()
    except SystemExit as ending:
        code = ending.code or 0
        raise


def _warm_up() -> None:
    """Import and cache everything that a run needs, once for all runs."""
    with tempfile.TemporaryDirectory() as folder, Simulator(Organization(5, today=today())) as sim:
        home = Home(Path(folder), {"METRICS_API_BASE_URL": sim.url})
        home.sign_in(sim)
        for _ in range(2):  # the second run compares
            assert home.run(*JOB).code == 0
    asyncio.run(anyio.sleep(0))  # imports what a server would import at its first request


if __name__ == "__main__":
    _warm_up()
    gc.collect()
    gc.freeze()  # a collection in a child would write to every object, and so copy the shared pages
    serve(Path(sys.argv[1]))
