"""Runs against the Analytics API with a fault in its answers, and their results; with fixtures."""

from __future__ import annotations

import contextlib
import json
import logging
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from conftest import Home, Result, all_files, content_of, yesterday
from dashboard_scraper.cli.fetching import fetch_period
from dashboard_scraper.errors import (
    ContractBroken,
    ScraperError,
)
from dashboard_scraper.exports import github_files
from dashboard_scraper.exports.github_files import report_paths
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.simulator import (
    Organization,
    Request,
    Simulator,
)
from dashboard_scraper.simulator.exchange import Answer
from dashboard_scraper.simulator.faults import Effect
from dashboard_scraper.sources.analytics.client import AnalyticsSource
from dashboard_scraper.sources.analytics.fields import COUNTED, DAYS_FIELD, OPTIONAL
from dashboard_scraper.sources.registry import ANALYTICS
from dashboard_scraper.sources.rest.pacing import Pace
from dashboard_scraper.store import LedgerDay, store_at
from effects import in_place, put
from stored_days import NOON, TODAY, fetch, march, settings_of, sql

USERS, USAGE, DAU = "user-activity", "daily-usage", "dau-count"
EDITORS, CREDITS = "daily-user-activity-by-editor-language", "credit-usage-by-user"
SOUND, DAY = march(4), march(5)
WINDOW = Window(SOUND, DAY)
FOLDER = f"daily_exports_{SOUND}_to_{DAY}"
MANIFEST, AGGREGATED = "manifest.json", "copilot_metrics_aggregated.json"
REPORT = "report.html"
Log = pytest.LogCaptureFixture
Capture = pytest.CaptureFixture[str]
Json = Any

REQUIRED = [metric.name for metric in COUNTED if metric is not OPTIONAL]
COUNT = REQUIRED[0]
ACTIVE_DAYS = DAYS_FIELD
MOST = 10**12


def without(*path: str | int) -> Effect:
    """An answer without the key or the element at this place."""

    def change(body: Json) -> None:
        for step in path[:-1]:
            body = body[step]
        del body[path[-1]]

    return in_place(change)


def both(*effects: Effect) -> Effect:
    def effect(answer: Answer, request: Request) -> Answer:
        for each in effects:
            answer = each(answer, request)
        return answer

    return effect


def on_page(number: int, effect: Effect) -> Effect:
    """The effect on one page alone, counted from 1; pages have at most 100 records."""
    return lambda answer, request: (
        effect(answer, request)
        if int(request.query.get("cursor", "0.0").rpartition(".")[2]) == (number - 1) * 100
        else answer
    )


@dataclass(frozen=True)
class Left:
    """What a run left: each day's row and users, and the files under their final names."""

    days: dict[date, tuple[LedgerDay, list[UserUsage]]]
    files: dict[str, bytes]


def left_by(home: Home) -> Left:
    """What runs left in the home. Each day is checked against its row; no table has other days."""
    url = settings_of(home).store_url
    with store_at(url).reading() as reader:
        rows = reader.ledger(ANALYTICS)
        days = {day: (row, reader.day(row).users) for day, row in rows.items()}
    for table in ("user_day", "editor_language_day", "credit_day"):
        found = {date.fromisoformat(row[0]) for row in sql(url, f"SELECT day FROM {table}")}
        assert found <= days.keys(), table
    folder = home.data / FOLDER
    files = [path for path in all_files(folder) if path.suffix != ".stale"]
    return Left(days, {path.name: content_of(path) for path in files})


def day_files(*days: date) -> set[str]:
    kinds = ("augment_metrics_{}.csv", "augment_costs_{}.csv", "copilot_metrics_{}.json")
    return {kind.format(day) for day in days for kind in kinds}


def files_of(*days: date) -> set[str]:
    """The files of these days, with GitHub's reports, which are in a folder of their own."""
    window = {path.name for day in days for path in report_paths(Path(), Window(day, day))}
    return day_files(*days) | {name for name in window if name.startswith(("enter", "users"))}


def manifest(left: Left) -> dict[str, dict[str, Any]]:
    return {entry["day"]: entry for entry in json.loads(left.files[MANIFEST])["days"]}


def assert_whole(left: Left, undisturbed: Left) -> None:
    assert left == undisturbed
    assert left.days.keys() == {SOUND, DAY}
    assert left.files.keys() == {*files_of(SOUND, DAY), MANIFEST, AGGREGATED, REPORT}


def assert_only_the_sound_day(left: Left, undisturbed: Left) -> None:
    """The other day is in no table and has no file; no figure is the sum of both days."""
    assert left.days == {SOUND: undisturbed.days[SOUND]}
    assert left.files.keys() == {*files_of(SOUND), MANIFEST, REPORT}
    for name in files_of(SOUND):
        assert left.files[name] == undisturbed.files[name]
    days = manifest(left)
    assert days[f"{SOUND}"] == manifest(undisturbed)[f"{SOUND}"]
    assert days[f"{DAY}"].keys() == {"day", "status", "reason"}
    assert days[f"{DAY}"]["status"] == "failed"


def failure(run: Callable[[], object]) -> ScraperError | None:
    try:
        run()
    except ScraperError as error:
        return error
    return None


_OF_COSTS = ("cost-analytics", "get-user-budget-overrides")


def asked(sim: Simulator) -> dict[str, int]:
    """How many requests came, by endpoint; without those for costs, which have their own tests."""
    endpoints = (request.endpoint for request in sim.requests)
    return dict(Tally(endpoint for endpoint in endpoints if endpoint not in _OF_COSTS))


def point_to(home: Home, sim: Simulator) -> None:
    """No editors and languages, which have their own tests; one thread makes the order certain."""
    home.settings |= {
        "ANALYTICS_API_BASE_URL": sim.url,
        "AUGMENT_API_TOKEN": sim.token,
        "ANALYTICS_REQUESTS_PER_MINUTE": "60000",
        "ANALYTICS_BURST": "1000",
        "COST_REQUESTS_PER_MINUTE": "60000",
        "COST_BURST": "1000",
        "ANALYTICS_READY_HOUR": "0",
        "RETRY_BACKOFF_SECONDS": "0.01",
        "MAX_RETRIES": "1",
        "MAX_CONCURRENCY": "1",
        "FETCH_EDITOR_LANGUAGE": "false",
    }
    sim.clear_faults()
    sim.requests.clear()


@pytest.fixture(scope="module")
def small() -> Iterator[Simulator]:
    """A simulator for all tests: starting one for each would take longer than the tests."""
    with Simulator(Organization(users=6, today=TODAY, billing="credits"), rate_limit=False) as sim:
        yield sim


@pytest.fixture(scope="module")
def in_dollars() -> Iterator[Simulator]:
    """The same, billed in dollars."""
    with Simulator(Organization(users=6, today=TODAY), rate_limit=False) as sim:
        yield sim


@pytest.fixture(scope="module")
def large() -> Iterator[Simulator]:
    with Simulator(Organization(users=450, today=TODAY), rate_limit=False) as sim:
        yield sim


@pytest.fixture
def spring(home: Home, small: Simulator) -> Simulator:
    """A simulator of six users and two accounts whose today is the 10th of March, 2025."""
    point_to(home, small)
    return small


@pytest.fixture
def many(home: Home, large: Simulator) -> Simulator:
    """A simulator whose days have three pages of users."""
    point_to(home, large)
    for day in (SOUND, DAY):
        assert 200 < len(large.organization.totals(Window(day, day))) < 300
    return large


@pytest.fixture(scope="module")
def undisturbed(small: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Left:
    """What a run without any fault leaves."""
    home = Home(tmp_path_factory.mktemp("small"))
    point_to(home, small)
    fetch(home, SOUND, DAY)
    return left_by(home)


ELSEWHERE = "http://127.0.0.1:9/"


@contextlib.contextmanager
def opened(home: Home) -> Iterator[AnalyticsSource]:
    """The source that the home's runs would open, at NOON."""
    pace = Pace(60_000.0, 1000)
    with contextlib.closing(AnalyticsSource(settings_of(home), pace, pace, lambda: NOON)) as source:
        yield source


def refused(source: AnalyticsSource, endpoint: str = USERS) -> str:
    """The error of a request for the day; a run stores nothing from such an answer."""
    fetch: dict[str, Callable[[date], object]] = {
        EDITORS: source.fetch_editor_languages,
        CREDITS: lambda day: source.fetch_credits(Window(day, day)),
    }
    error = failure(lambda: fetch.get(endpoint, source.fetch_day)(DAY))
    assert type(error) is ContractBroken
    assert endpoint in str(error)
    return str(error)


def twice(body: Json, key: str, **changes: object) -> None:
    body[key].append({**body[key][0], **changes})


DATES = {"yesterday's": f"{march(4)}", "a moment": f"{DAY}T00:00:00Z", "no day": "2025-02-30"}


METADATA: dict[str, tuple[Effect, str]] = {
    "metadata missing": (without("metadata"), "metadata"),
    "metadata null": (put("metadata", value=None), "metadata"),
    "metadata a list": (put("metadata", value=[]), "metadata"),
    **{
        f"{field} {name}": (put("metadata", f"effective_{field}_date", value=value), "metadata")
        for field in ("start", "end")
        for name, value in {**DATES, "null": None, "a number": 20250305}.items()
    },
    "start missing": (without("metadata", "effective_start_date"), "effective_start_date"),
    "end missing": (without("metadata", "effective_end_date"), "effective_end_date"),
}


def add_to(path: tuple[str, ...], number: int) -> Callable[[Json], None]:
    def change(body: Json) -> None:
        for step in path[:-1]:
            body = body[step]
        body[path[-1]] += number

    return change


USER_COUNT_PATH = ("metadata", "returned_user_count")


@pytest.fixture
def logged(spring: Simulator, caplog: Log) -> Iterator[Callable[[int], list[str]]]:
    """A function that returns the messages logged at a level."""
    assert spring.requests == []
    caplog.set_level(logging.INFO, "dashboard_scraper")
    yield lambda level: [
        record.getMessage()
        for record in caplog.records
        if record.levelno == level and record.name != github_files.__name__
    ]


Logged = Callable[[int], list[str]]


def run_period(home: Home) -> None:
    """Fetch yesterday as a period, in this process."""
    day = yesterday()
    fetch_period(settings_of(home), datetime.now(UTC), Window(day, day), None)


def message_of(error: type[ScraperError], run: Callable[[], None]) -> str:
    """The message of the error that ends the run, which must have exactly this class."""
    with pytest.raises(error) as caught:
        run()
    assert type(caught.value) is error
    return str(caught.value)


def error_line(result: Result) -> str:
    """The one line that says why the run failed; it is not a traceback, and nothing was printed."""
    (line,) = (line for line in result.err.splitlines() if " ERROR " in line)
    assert "Traceback" not in result.err
    assert result.out == ""
    return line
