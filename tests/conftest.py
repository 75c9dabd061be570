"""Fixtures: a simulated dashboard, and the program, run as a user would in its own home."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from dashboard_scraper.cli.commands import COMMANDS
from dashboard_scraper.exports import daily_folders, github_files
from dashboard_scraper.exports.manifest import MANIFEST
from dashboard_scraper.model.dates import Window, is_weekend, last_complete_days
from dashboard_scraper.settings.config import setting_names
from dashboard_scraper.settings.library_settings import CA_FILES, NO_PROXY, PROXIES
from dashboard_scraper.simulator import Organization, Simulator
from dashboard_scraper.sources.dashboard.cookie_auth import SESSION_COOKIE
from dashboard_scraper.sources.dashboard.settings import Endpoint
from dashboard_scraper.sources.rest.urls import origin_of
from in_process import logging_as_before, run_main
from saved_cookies import save_cookies

# Examples for Hypothesis, PostgreSQL databases, the browser for tests of the report, runs against
# the sources' simulators, an S3 server, lakes, counters of reads and writes, and sources with each
# kind of names.
FIXTURES = (
    "examples",
    "databases",
    "report_pages",
    "analytics_runs",
    "claude_code_runs",
    "cursor_runs",
    "copilot_runs",
    "object_stores",
    "lakes",
    "reads_and_writes",
    "source_kinds",
)

_FILE = "file://"
_BEGUN = "TESTS_BEGUN_BY"

# A run flushes some seventy files to the disk; in memory, that costs thousands of runs nothing.
# (The variable is pytest's: the root of its temporary folders.)
_MEMORY, _ROOM = Path("/dev/shm"), 1 << 30
if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

# Tests use no proxy of this machine; reading its CA file would cost thousands of them 20 ms each.
for _name in (*CA_FILES, *PROXIES, NO_PROXY):
    for _spelling in (_name, _name.lower()):
        os.environ.pop(_spelling, None)


def _wait_out_midnight(config: pytest.Config) -> None:
    """Wait if midnight is near: `today()` would differ between tests before and after it, and many
    call it when they are imported. With several workers it is the whole suite, which takes minutes.
    """
    now = datetime.now(UTC)
    midnight = datetime.combine(now.date() + timedelta(1), datetime.min.time(), UTC)
    is_long = any(word.startswith("-n") for word in sys.argv)
    if midnight - now < timedelta(minutes=15 if is_long else 3):
        capture = config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():  # so that the reason for the wait is visible
            sys.stderr.write("waiting for midnight (UTC): the tests need one day for all of them\n")
            sys.stderr.flush()
        time.sleep((midnight - now).total_seconds() + 1)


# A shell makes background jobs ignore this signal, and our child processes would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Result:
    """The result of a run of the program: exit code, both streams, and the paths that it printed.

    `pages` are the paths that it printed as URLs, for a browser.
    """

    code: int
    out: str
    err: str

    @property
    def paths(self) -> list[Path]:
        return [Path(line) for line in self._lines if not line.startswith(_FILE)]

    @property
    def pages(self) -> list[Path]:
        return [
            Path(unquote(line.removeprefix(_FILE)))
            for line in self._lines
            if line.startswith(_FILE)
        ]

    @property
    def _lines(self) -> list[str]:
        return self.out.splitlines()


@dataclass
class Home:
    """A folder for `--home`, and the settings that its runs get as environment variables."""

    path: Path
    settings: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str, stdin: str | bytes = b"", cwd: Path | None = None) -> Result:
        """Run the program with `--home` here, in this process."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        return Result(*run_main(self.words(*words), self.environment(), cwd or self.path, data))

    def words(self, *words: str) -> list[str]:
        """The words with `--home` added; a command in first place stays first."""
        command = [words[0]] if words and words[0] in COMMANDS else []
        return [*command, "--home", str(self.path), *words[len(command) :]]

    def command(self, *words: str) -> list[str]:
        """The command line that starts the program as a process."""
        program = [sys.executable, "-W", "error", "-m", "dashboard_scraper"]
        return [*program, *self.words(*words)]

    def environment(self) -> dict[str, str]:
        """The settings, and of this machine's environment only what a process needs."""
        needed = {
            name: os.environ[name]
            for name in ("PATH", "PYTHONPATH", "SYSTEMROOT")
            if name in os.environ
        }
        return {**needed, "HOME": str(self.path), **self.settings}

    @property
    def cookie_file(self) -> Path:
        return self.path / "secrets" / "cookies.json"

    def sign_in(self, simulator: Simulator) -> None:
        """Store the newest session of the simulator's dashboard."""
        cookies = {SESSION_COOKIE: simulator.cookie}
        save_cookies(self.cookie_file, cookies, origin_of(simulator.url))

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def daily_folder(self) -> Path:
        return self.folder_of(Window(today() - timedelta(28), yesterday()))

    def folder_of(self, days: Window) -> Path:
        """The folder of a daily export of these days."""
        return self.data / f"daily_exports_{days.start}_to_{days.end}"

    def files(self) -> set[str]:
        """The names of all files below data/, with their folders, except the store and its lock."""
        files = (path for path in self.data.rglob("*") if path.is_file())
        return {str(path.relative_to(self.data)) for path in files if path.stem not in STORE_FILES}

    def own_files(self) -> set[str]:
        """The same names without GitHub's reports."""
        return {
            name for name in self.files() if daily_folders.GITHUB_FOLDER not in Path(name).parts
        }


def all_files(folder: Path) -> list[Path]:
    """All files in a folder and below it."""
    return [path for path in folder.rglob("*") if path.is_file()]


def content_of(path: Path) -> bytes:
    """The part of a file that is the same in every run over the same figures: a manifest is
    returned without the times of fetching and what is derived from them.
    """
    content = path.read_bytes()
    if not path.name.startswith(MANIFEST):
        return content
    return re.sub(rb'\s*"fetched_at": "[^"]*",|,\s*"made_from": "[^"]*"', b"", content)


def own_files(folder: Path) -> list[Path]:
    """The files of the days and the window; GitHub's reports are in a folder below."""
    return [path for path in folder.iterdir() if path.is_file()]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Messages of warnings and errors."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def own_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Warnings and errors that are not about what GitHub's reports cannot say."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name != github_files.__name__
    ]


def without_github(log: str) -> str:
    """The lines of a log that are not about GitHub's reports."""
    return "".join(line for line in log.splitlines(True) if github_files.__name__ not in line)


def left_after_failure(before: set[str]) -> set[str]:
    """The names that those files have after a failed run of today.

    Files of days that had settled keep their names, and a new manifest lists them.
    """
    settled = {f"{today() - timedelta(number)}" for number in range(4, 29)}
    of_day = re.compile(r"daily_exports_[^/]*/(?:augment|copilot)_metrics_([-0-9]*)\.(?:csv|json)")
    stay = {name for name in before if (match := of_day.fullmatch(name)) and match[1] in settled}
    manifests = {name for name in before if stay and name.endswith("/manifest.json")}
    return stay | manifests | {f"{name}.stale" for name in before - stay}


@pytest.fixture
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that read settings in this process: remove those of this machine's environment."""
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)


STORE_FILES = {"usage", "usage.db"}


def today() -> date:
    return datetime.now(UTC).date()


def yesterday() -> date:
    return today() - timedelta(1)


WEEK = last_complete_days(7, today())
WEEK_JOB = ("--daily", f"{WEEK.start}", f"{WEEK.end}")
"""The daily job of a week: 28 days would test the same, but take three times as long."""


def twelve_users() -> Organization:
    """Users whose figures depend on the weekday and on how long ago a day was, but not on the date:
    by chance, figures of some dates look wrong, and tests would fail in some weeks of the year.
    """
    return Organization(users=12, today=today(), epoch=today())


def last_working_day() -> date:
    """The last one before today: in a small organization, maybe nobody works at a weekend."""
    back = (yesterday() - timedelta(number) for number in range(3))
    return next(day for day in back if not is_weekend(day))


def pytest_configure(config: pytest.Config) -> None:
    """Import no fixtures in the process that only distributes tests: it runs none, and the workers
    would wait for it.
    """
    # Workers and the processes that tests start inherit the mark that the wait is over.
    if os.environ.setdefault(_BEGUN, f"{os.getpid()}") == f"{os.getpid()}":
        _wait_out_midnight(config)
    if config.getoption("numprocesses", None):
        gc.enable()
        return
    for name in FIXTURES:
        config.pluginmanager.import_plugin(name)


def pytest_collection_finish() -> None:
    """pytest's data on thousands of tests lives to the end: exclude it from garbage collection."""
    gc.enable()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Collect garbage once: pytest would do it five times to find unclosed objects."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    # Modules and tests loaded from here on stay: searching them for garbage takes a second.
    gc.disable()
    parser.addoption(
        "--first-parameters",
        action="store_true",
        help="run each function that needs a home once: with the first of its parameters",
    )


def _of_first_parameters(items: list[pytest.Item]) -> list[pytest.Item]:
    """The first item of each function that needs a home, and all items of the others."""

    def key(item: pytest.Item) -> str:
        runs = "home" in getattr(item, "fixturenames", ())
        return item.nodeid.partition("[")[0] if runs else item.nodeid

    return list({key(item): item for item in reversed(items)}.values())[::-1]


def _longest_first(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Put the longest tests first: at the end, the other workers would wait for them.

    Each worker begins with an equal part of the tests, in order, so each part begins with some.
    """
    longest = [item for item in items if item.get_closest_marker("longest")]
    others = iter([item for item in items if not item.get_closest_marker("longest")])
    dealt: list[pytest.Item] = []
    for number in range(workers):
        size = (len(items) - len(dealt)) // (workers - number)
        first = longest[number::workers]
        dealt += [*first, *itertools.islice(others, max(0, size - len(first)))]
    return [*dealt, *others]


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Iterator[None]:
    """Mark tests that need PostgreSQL or Chromium as slow; others have the mark in their file. Sort
    last, after `-m` has left out tests: a part has to begin where a worker does.
    """
    if config.getoption("--first-parameters"):
        first = _of_first_parameters(items)
        config.hook.pytest_deselected(items=list({*items} - {*first}))
        items[:] = first
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        params = item.callspec.params if hasattr(item, "callspec") else {}
        stores = {params.get("store_url"), params.get("empty_place")} - {None, "sqlite"}
        if stores or fixtures & {"postgres_server", "chromium"}:
            item.add_marker(pytest.mark.slow)
    yield
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    items[:] = _longest_first(items, workers)


@pytest.fixture(autouse=True)
def _logging_for_each_test() -> Iterator[None]:
    """Restore logging, or later tests would see records of whatever level this one has set."""
    with logging_as_before():
        yield


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home without a session; retries wait briefly, and settled days are not fetched again."""
    return Home(tmp_path, {"RETRY_BACKOFF_SECONDS": "0.01", "RECHECK_DAYS": "0"})


@pytest.fixture(scope="session")
def forks() -> Any:
    """The `crash_child.Forks` of this worker: its server imports the program once, for all runs."""
    import crash_child  # noqa: PLC0415 - it imports this module

    return crash_child.forks()


Start = Callable[..., Simulator]


@pytest.fixture
def start(home: Home) -> Iterator[Start]:
    """Start a simulator (a small one, unless another is given), and sign the home in there."""
    with ExitStack() as stack:

        def begin(organization: Organization | None = None, **options: Any) -> Simulator:
            simulator = stack.enter_context(Simulator(organization or twelve_users(), **options))
            home.settings["METRICS_API_BASE_URL"] = simulator.url + "/"
            home.sign_in(simulator)
            return simulator

        yield begin


@pytest.fixture
def start_api(home: Home) -> Iterator[Start]:
    """Like `start`, but with a token of the Analytics API, which has no rate limit by default."""
    with ExitStack() as stack:

        def begin(organization: Organization | None = None, **options: Any) -> Simulator:
            options = {"rate_limit": False, **options}
            simulator = stack.enter_context(Simulator(organization or twelve_users(), **options))
            home.settings |= {
                "ANALYTICS_API_BASE_URL": simulator.url,
                "AUGMENT_API_TOKEN": simulator.token,
                "ANALYTICS_READY_HOUR": "0",  # so that tests do not depend on the hour
            }
            home.settings.setdefault("FETCH_COST", "false")  # tests about costs turn it on
            if not options["rate_limit"]:
                home.settings |= {
                    "ANALYTICS_REQUESTS_PER_MINUTE": "60000",
                    "ANALYTICS_BURST": "1000",
                    "COST_REQUESTS_PER_MINUTE": "60000",
                    "COST_BURST": "1000",
                }
            return simulator

        yield begin


@pytest.fixture
def api(start_api: Start) -> Simulator:
    """A simulator of 12 users and two service accounts, without a rate limit and without faults."""
    return start_api()


@pytest.fixture
def sim(start: Start) -> Simulator:
    """A simulator of 12 users without faults."""
    return start()


@pytest.fixture(scope="session")
def users_csv(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The users' CSV of the last working day, fetched in one answer and without faults."""
    settings = {"SCRAPE_ENDPOINTS": Endpoint.USERS.value}
    home, day = Home(tmp_path_factory.mktemp("expected"), settings), last_working_day()
    with Simulator(twelve_users()) as simulator:
        home.settings["METRICS_API_BASE_URL"] = simulator.url
        home.sign_in(simulator)
        assert home.run(f"{day}").code == 0
    return (home.data / f"metrics_{day:%Y%m%d}.csv").read_bytes()


@pytest.fixture
def elsewhere() -> Iterator[socket.socket]:
    """Another origin on this machine; `accept` finds who connects."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening
