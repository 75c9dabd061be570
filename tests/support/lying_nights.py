"""Nightly runs against a simulator that lies on one night, and the result of each night."""

from __future__ import annotations

import functools
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from unittest import mock

from sqlalchemy import make_url

from conftest import Home, all_files, content_of
from dashboard_scraper.cli.fetching import backfill_days, fetch_daily
from dashboard_scraper.errors import ScraperError
from dashboard_scraper.exports import formats
from dashboard_scraper.exports.csv_files import CsvFiles
from dashboard_scraper.exports.manifest import MANIFEST
from dashboard_scraper.exports.notes import NOTES
from dashboard_scraper.files import STALE_SUFFIX
from dashboard_scraper.model.dates import Window, last_complete_days
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.report.options import REPORT
from dashboard_scraper.simulator import Fault, Organization, Simulator
from dashboard_scraper.simulator.exchange import Answer, Request
from dashboard_scraper.simulator.lying import Lie, Night
from dashboard_scraper.sources.registry import DASHBOARD, info_of
from dashboard_scraper.store import store_at
from databases import new_database, pooled
from stored_days import settings_of

FIRST = datetime(2025, 3, 12, 3, tzinfo=UTC)  # a Wednesday
DAYS = 7
HISTORY = 28
LYING = 2
_SEED = 1306  # nobody joins or leaves, and weekdays are much like each other
LAST = 5

Files = dict[str, bytes]
Rows = dict[date, list[UserUsage]]

_DAY_IN_NAME = re.compile(r"_metrics_(\d{4}-\d\d-\d\d)\.")
_FAILED = ("failed", "missing", "unpublished")
_MARKS = ("unreconciled", "suspicious", "held")
_BEFORE_THE_WINDOW = "Earlier days that weekly and monthly counts"


def moment(night: int) -> datetime:
    """When a night's run starts; the first night is 1."""
    return FIRST + timedelta(night - 1)


def window(night: int) -> Window:
    """The days that the night's run exports."""
    return last_complete_days(DAYS, moment(night).date())


def _as_of(night: int) -> Organization:
    """The honest figures of a night: each day has grown a little since it was first fetched."""
    found = Organization(8, _SEED, 2, moment(LAST).date())
    for before in range(1, night):
        found.revise(window(before).end)
    return found


_ORGANIZATIONS = {night: _as_of(night) for night in range(1, LAST + 1)}


@dataclass(frozen=True)
class Left:
    """The result of a night: exit code, exported files without the page, rows of the store."""

    code: int
    window: Window
    files: Files
    rows: Rows

    def days_unlike(self, truth: Left) -> set[date]:
        """The days with a file that differs."""
        return {
            date.fromisoformat(match[1])
            for name, content in self.files.items()
            if content != truth.files.get(name) and (match := _DAY_IN_NAME.search(name))
        }

    def others_unlike(self, truth: Left) -> set[str]:
        """Files of several days, and GitHub's reports, that differ; marks do not count."""
        return {
            name
            for name, content in self.files.items()
            if content != truth.files.get(name)
            and name != MANIFEST
            and not _DAY_IN_NAME.search(name)
        }

    def manifest_lines(self) -> list[str]:
        """The manifest in lines, so that a failed comparison shows the difference."""
        return self.files[MANIFEST].decode().splitlines()

    def marked(self, *marks: str) -> set[date]:
        """The days that the manifest does not vouch for, or that have one of the marks."""
        if MANIFEST not in self.files:
            return set()
        manifest = json.loads(self.files[MANIFEST])
        return {
            date.fromisoformat(day["day"])
            for day in manifest["days"]
            if manifest["failed"]
            or day["status"] in _FAILED
            or any(day.get(mark) for mark in marks or _MARKS)
        }


@dataclass(frozen=True)
class Setup:
    """The source of the figures, and their destination: the store, and either every format of an
    export, with editors and costs, or only the CSV files, which have every figure at a third of the
    time.
    """

    source: str
    store: str = "sqlite"
    every_format: bool = False

    @property
    def name(self) -> str:
        every = "-every format" if self.every_format else ""
        return f"{self.source}-{self.store}{every}"

    def sign_in(self, home: Home, simulator: Simulator) -> None:
        """Set up the home to fetch from the source."""
        sign_in(home, simulator, self.source)
        if not self.every_format:
            home.settings |= {"FETCH_COST": "false", "FETCH_EDITOR_LANGUAGE": "false"}

    def run(self, home: Home, night: int) -> int:
        """Run the job of the night; returns its exit code."""
        now = moment(night)
        outputs = formats.OUTPUTS if self.every_format else (CsvFiles,)
        try:
            with mock.patch.object(formats, "OUTPUTS", outputs):
                fetch_daily(settings_of(home), window(night), clock=lambda: now)
        except ScraperError as error:
            return error.exit_code
        return 0


@dataclass(frozen=True)
class Nights:
    """The results of an honest source, night by night.

    `begun` is a home after a month of backfill and the first night; `going_on` continues it, and
    `fresh` has no stored day.
    """

    setup: Setup
    simulator: Simulator
    server: str | None
    fresh: Home
    begun: Home
    going_on: Home
    known: dict[int, Left]

    @functools.cached_property
    def first(self) -> Left:
        """The result of the first night of a new store."""
        return self.run(self.fresh, 1)

    def honest(self, night: int) -> Left:
        """The result of this night, after earlier honest nights."""
        for each in range(max(self.known) + 1, night + 1):
            self.known[each] = self.run(self.going_on, each)
        return self.known[night]

    @contextmanager
    def after_the_first(self, folder: Path) -> Iterator[Home]:
        """A home with a month of honest days."""
        with _own_store(folder, self.server, self.begun) as home:
            yield home

    @contextmanager
    def before_the_first(self, folder: Path) -> Iterator[Home]:
        """A home without any stored day."""
        with _own_store(folder, self.server) as home:
            self.setup.sign_in(home, self.simulator)
            yield home

    def run(self, home: Home, night: int, lie: Lie | None = None) -> Left:
        """Run the night; fails if the lie changed no answer."""
        with self._telling(night, lie):
            code = self.setup.run(home, night)
        return _left(code, home, night, self.setup.source)

    def newest(self, night: int, lie: Lie | None = None) -> DayUsage:
        """The night's newest day, as the source reads it; fails if the lie changed no answer."""
        settings, now = settings_of(self.fresh), moment(night)
        store = store_at(settings.store_url)
        source = info_of(self.setup.source).open(settings, store, lambda: now)
        with self._telling(night, lie), store.locked(), store.opened(), source as opened:
            return opened.fetch_day(window(night).end)

    @contextmanager
    def _telling(self, night: int, lie: Lie | None) -> Iterator[None]:
        self.simulator.speak_for(_ORGANIZATIONS[night])
        altered: list[bool] = []
        if lie:
            for fault in lie.tell(Night(self.simulator, window(night))):
                self.simulator.add_fault(_noted(fault, altered))
        try:
            yield
        finally:
            self.simulator.clear_faults()
            assert any(altered) or not lie, "the lie changed no answer"


def _noted(fault: Fault, altered: list[bool]) -> Fault:
    def effect(answer: Answer, request: Request) -> Answer:
        other = fault.effect(answer, request)
        altered.append(other.body != answer.body)
        return other

    return replace(fault, effect=effect)


def _files(home: Home, night: int) -> Files:
    """The exported files, without the page and those that runs set aside."""
    asked = window(night)
    folder = home.data / f"daily_exports_{asked.start}_to_{asked.end}"
    files = {
        f"{path.relative_to(folder)}": _without_page(content_of(path))
        for path in all_files(folder)
        if path.suffix != STALE_SUFFIX and path.name != REPORT
    }
    return _about_own_days(files) if MANIFEST in files else files


def _about_own_days(files: Files) -> Files:
    """The files, with a manifest that has the notes' text, and neither with what they say of days
    before the window: a day that leaves it while it is in doubt stays so in the store.
    """
    manifest = json.loads(files[MANIFEST])
    manifest.pop("days_before_github_reports", None)
    text = files.pop(NOTES, b"").decode()
    manifest["notes"] = text.partition(_BEFORE_THE_WINDOW)[0].rstrip()
    return {**files, MANIFEST: json.dumps(manifest, indent=2).encode()}


def _without_page(content: bytes) -> bytes:
    """The page shows the hour of the fetch, so its digest in the manifest always differs."""
    return re.sub(rb'"report": \{[^}]*\}', b'"report": {}', content)


def _rows(home: Home, source: str) -> Rows:
    if not home.data.exists():
        return {}
    asked = Window(window(1).start, window(LAST).end)
    with store_at(home.settings["STORE_URL"]).reading() as reader:
        return {day: reader.day(row).users for day, row in reader.ledger(source, asked).items()}


@contextmanager
def honest_nights(setup: Setup, server: str | None, folder: Path) -> Iterator[Nights]:
    """A simulator, and stores with its figures, below the folder or on the server."""
    with ExitStack() as stack:
        simulator = stack.enter_context(Simulator(_ORGANIZATIONS[1], rate_limit=False))
        fresh = stack.enter_context(_own_store(folder / "fresh", server))
        begun = stack.enter_context(_own_store(folder / "begun", server))
        for home in (fresh, begun):
            setup.sign_in(home, simulator)
        before, now = last_complete_days(HISTORY, window(1).start), moment(1)
        backfill_days(settings_of(begun), before, lambda: now)
        known = {1: _left(setup.run(begun, 1), begun, 1, setup.source)}
        going_on = stack.enter_context(_own_store(folder / "going on", server, begun))
        yield Nights(setup, simulator, server, fresh, begun, going_on, known)


def _left(code: int, home: Home, night: int, source: str) -> Left:
    return Left(code, window(night), _files(home, night), _rows(home, source))


def sign_in(home: Home, simulator: Simulator, source: str) -> None:
    """Set up the home to fetch from the source."""
    if source == DASHBOARD:
        home.settings["METRICS_API_BASE_URL"] = f"{simulator.url}/"
        home.sign_in(simulator)
    else:
        home.settings |= {
            "ANALYTICS_API_BASE_URL": simulator.url,
            "AUGMENT_API_TOKEN": simulator.token,
            "ANALYTICS_REQUESTS_PER_MINUTE": "60000",
            "ANALYTICS_BURST": "1000",
            "COST_REQUESTS_PER_MINUTE": "60000",
            "COST_BURST": "1000",
        }


@contextmanager
def _own_store(folder: Path, server: str | None, like: Home | None = None) -> Iterator[Home]:
    """A home with its own store; with `like`, both are copies of that home's.

    A copy is behind the pooler: the pooler keeps connections, and a database with connections
    cannot be copied.
    """
    if like:
        shutil.copytree(like.path, folder, symlinks=True)
    else:
        folder.mkdir()
    home = Home(folder, dict(like.settings if like else {}))
    if server is None:
        home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
        yield home
        return
    template = make_url(like.settings["STORE_URL"]).database if like else "template0"
    with new_database(server, f"{template}") as url:
        home.settings["STORE_URL"] = pooled(url) if like else url
        yield home
