"""Analytics answers that are not as documented: refused whole, mended, or said aloud; and days
whose users do not add up to the organization's own totals.
"""

from __future__ import annotations

import csv
import json
import logging
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conftest import Home, Start, all_files, content_of, yesterday
from dashboard_scraper.cli.commands.status import print_status
from dashboard_scraper.errors import (
    ContractBroken,
    DaysMissing,
    NotReconciled,
    ScraperError,
    SignInRequired,
    SourceUnavailable,
    UsageError,
)
from dashboard_scraper.exports import github_files
from dashboard_scraper.exports.github_files import report_paths
from dashboard_scraper.exports.notes import NOTES
from dashboard_scraper.model.checks import Difference
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import DETAILED, USER_COUNT, USER_HEADER, Figures
from dashboard_scraper.model.usage import EditorLanguageUsage, UserUsage
from dashboard_scraper.simulator import (
    Fault,
    Organization,
    Request,
    Simulator,
    add_beside,
    add_field,
    alternate_cursors,
    cut_body,
    drip,
    hang,
    html,
    next_elsewhere,
    null_body,
    raw_body,
    redirect,
    remove_field,
    rename_key,
    repeat_cursor,
    repeat_user,
    reset,
    reset_mid_body,
    set_cookie,
    set_value,
    status,
)
from dashboard_scraper.simulator.exchange import Answer
from dashboard_scraper.simulator.faults import Effect
from dashboard_scraper.simulator.fields import analytics_metrics
from dashboard_scraper.sources.analytics.fields import COUNTED, DAYS_FIELD, OPTIONAL
from dashboard_scraper.sources.registry import ANALYTICS
from dashboard_scraper.store import DetailStatus, LedgerDay, store_at
from kept_days import NOON, TODAY, fetch, keep, march, settings_of, sql

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


def edited(change: Callable[[Json], object]) -> Effect:
    """An effect that changes the JSON of an answer in place."""

    def effect(answer: Answer, _request: Request) -> Answer:
        body = msgspec.json.decode(answer.body)
        change(body)
        return replace(answer, body=msgspec.json.encode(body))

    return effect


def put(*path: str | int, value: object) -> Effect:
    """Another value at a place in the answer."""

    def change(body: Json) -> None:
        for step in path[:-1]:
            body = body[step]
        body[path[-1]] = value

    return edited(change)


def without(*path: str | int) -> Effect:
    """An answer without the key or the element at that place."""

    def change(body: Json) -> None:
        for step in path[:-1]:
            body = body[step]
        del body[path[-1]]

    return edited(change)


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


# What is kept, and what was given out


@dataclass(frozen=True)
class Left:
    """What a run left: of each day its row and its users, and the files under their final names."""

    days: dict[date, tuple[LedgerDay, list[UserUsage]]]
    files: dict[str, bytes]


def left_by(home: Home) -> Left:
    """Each day is checked against its row; nothing is in the store of any other day."""
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
    kinds = ("augment_metrics_{}.csv", "copilot_metrics_{}.json")
    return {kind.format(day) for day in days for kind in kinds}


def files_of(*days: date) -> set[str]:
    """With GitHub's reports, which are in a folder of their own."""
    window = {path.name for day in days for path in report_paths(Path(), Window(day, day))}
    return day_files(*days) | {name for name in window if name.startswith(("enter", "users"))}


def manifest(left: Left) -> dict[str, dict[str, Any]]:
    return {entry["day"]: entry for entry in json.loads(left.files[MANIFEST])["days"]}


def assert_whole(left: Left, undisturbed: Left) -> None:
    assert left == undisturbed
    assert left.days.keys() == {SOUND, DAY}
    assert left.files.keys() == {*files_of(SOUND, DAY), MANIFEST, AGGREGATED, REPORT}


def assert_only_the_sound_day(left: Left, undisturbed: Left) -> None:
    """The other day is in no table and has no file; nothing looks like the sum of both."""
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


def asked(sim: Simulator) -> dict[str, int]:
    """How many requests came, by endpoint."""
    return dict(Tally(request.endpoint for request in sim.requests))


def point_to(home: Home, sim: Simulator) -> None:
    """Editors and languages have tests of their own; one thread makes the order certain."""
    home.settings |= {
        "ANALYTICS_API_BASE_URL": sim.url,
        "AUGMENT_API_TOKEN": sim.token,
        "ANALYTICS_REQUESTS_PER_MINUTE": "60000",
        "ANALYTICS_BURST": "1000",
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
    """A simulator for all tests: to start one for each would take longer than the tests."""
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
    """One whose days have three pages of users."""
    point_to(home, large)
    for day in (SOUND, DAY):
        assert 200 < len(large.organization.totals(Window(day, day))) < 300
    return large


def left_undisturbed(path: Path, sim: Simulator) -> Left:
    home = Home(path)
    point_to(home, sim)
    fetch(home, SOUND, DAY)
    return left_by(home)


@pytest.fixture(scope="module")
def undisturbed(small: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Left:
    """What a run leaves without any fault."""
    return left_undisturbed(tmp_path_factory.mktemp("small"), small)


@pytest.fixture(scope="module")
def many_undisturbed(large: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Left:
    return left_undisturbed(tmp_path_factory.mktemp("large"), large)


# Faults of the network and of the server


@pytest.mark.parametrize("endpoint", [USERS, USAGE, DAU])
def test_the_simulators_answers_are_kept_as_they_are(
    home: Home, spring: Simulator, undisturbed: Left, endpoint: str
) -> None:
    """What carries no meaning changes nothing, and two runs leave the same."""
    spring.add_fault(Fault(set_cookie("tracking=1; Path=/"), endpoint))
    spring.add_fault(Fault(add_beside("metadata", "request_id", value="r-7"), endpoint))
    fetch(home, SOUND, DAY)
    assert_whole(left_by(home), undisturbed)
    assert asked(spring) == {USAGE: 1, DAU: 1, USERS: 2}
    assert {request.cookie for request in spring.requests} == {None}


@dataclass(frozen=True)
class Trouble:
    """An effect, the attempts that a request makes against it, the settings for it to be quick."""

    effect: Effect
    attempts: int = 2
    settings: tuple[tuple[str, str], ...] = ()


UNAVAILABLE: dict[str, Trouble] = {
    "429": Trouble(status(429)),
    "429 with a wait of 0": Trouble(status(429, "0")),
    "500": Trouble(status(500)),
    "502": Trouble(status(502)),
    "503": Trouble(status(503)),
    "page of a gateway": Trouble(html(504)),
    "reset": Trouble(reset()),
    "reset mid body": Trouble(reset_mid_body()),
    "cut, by length": Trouble(cut_body("length")),
    "cut, by chunk": Trouble(cut_body("chunked")),
    "cut, by close": Trouble(cut_body("close")),
    "hang": Trouble(hang(30), settings=(("REQUEST_TIMEOUT_SECONDS", "0.15"),)),
    "drip": Trouble(drip(0.02), attempts=1, settings=(("RETRY_BUDGET_SECONDS", "0.4"),)),
}


@pytest.mark.parametrize("name", UNAVAILABLE)
def test_a_day_whose_users_are_not_to_be_had_costs_that_day_alone(
    home: Home, spring: Simulator, undisturbed: Left, name: str
) -> None:
    """It is tried again at the end; its totals too, which may be newer by then."""
    trouble = UNAVAILABLE[name]
    home.settings |= dict(trouble.settings)
    spring.add_fault(Fault(trouble.effect, USERS, DAY))
    error = failure(lambda: fetch(home, SOUND, DAY))
    assert type(error) is DaysMissing
    assert f"1 of 2 days are missing: {DAY}" in str(error)
    assert asked(spring) == {USAGE: 2, DAU: 2, USERS: 1 + 2 * trouble.attempts}
    assert_only_the_sound_day(left_by(home), undisturbed)
    assert USERS in manifest(left_by(home))[f"{DAY}"]["reason"]
    spring.clear_faults()
    fetch(home, SOUND, DAY)
    assert_whole(left_by(home), undisturbed)


@pytest.mark.parametrize("name", UNAVAILABLE)
@pytest.mark.parametrize("endpoint", [USAGE, DAU])
def test_without_the_totals_nothing_is_fetched_and_the_source_is_unavailable(
    home: Home, spring: Simulator, name: str, endpoint: str
) -> None:
    trouble = UNAVAILABLE[name]
    home.settings |= dict(trouble.settings)
    spring.add_fault(Fault(trouble.effect, endpoint))
    error = failure(lambda: fetch(home, SOUND, DAY))
    assert type(error) is SourceUnavailable
    assert endpoint in str(error)
    before = {} if endpoint == USAGE else {USAGE: 1}
    assert asked(spring) == {**before, endpoint: trouble.attempts}
    assert left_by(home) == Left({}, {})


PASSING = ("429", "503", "reset", "reset mid body", "cut, by chunk", "cut, by close")


@pytest.mark.parametrize("name", PASSING)
@pytest.mark.parametrize("endpoint", [USERS, USAGE, DAU])
def test_a_fault_that_passes_costs_one_more_request(
    home: Home, spring: Simulator, undisturbed: Left, name: str, endpoint: str
) -> None:
    spring.add_fault(Fault(UNAVAILABLE[name].effect, endpoint, times=1))
    fetch(home, SOUND, DAY)
    assert_whole(left_by(home), undisturbed)
    assert Tally(asked(spring)) == Tally({USAGE: 1, DAU: 1, USERS: 2}) + Tally([endpoint])


ELSEWHERE = "http://127.0.0.1:9/"
BROKEN: dict[str, Effect] = {
    "page": html(),
    "null": null_body(),
    "empty object": raw_body(b"{}"),
    "bare list": raw_body(b"[]"),
    "broken JSON": raw_body(b'{"users":[}'),
    "more after the JSON": raw_body(b"{}{}"),
    "no UTF-8": raw_body(b'{"users":"\xff"}'),
    "nested without an end": raw_body(b'{"users":' + b"[" * 20_000 + b"]" * 20_000 + b"}"),
    "error with status 200": raw_body(b'{"error":{"code":"Internal","message":"oops"}}'),
    "redirect": redirect(ELSEWHERE),
    "redirect for ever": redirect("/analytics/v0/user-activity", 308),
    "next page elsewhere": next_elsewhere(ELSEWHERE),
    "404": status(404),
    "204": status(204),
    "206": status(206),
    "data that is called a part": lambda answer, _request: replace(answer, status=206),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_day_whose_users_break_the_contract_costs_that_day_alone(
    home: Home, spring: Simulator, undisturbed: Left, name: str
) -> None:
    spring.add_fault(Fault(BROKEN[name], USERS, DAY))
    error = failure(lambda: fetch(home, SOUND, DAY))
    assert type(error) is DaysMissing
    assert asked(spring) == {USAGE: 2, DAU: 2, USERS: 3}
    assert_only_the_sound_day(left_by(home), undisturbed)
    assert USERS in manifest(left_by(home))[f"{DAY}"]["reason"]


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("endpoint", [USAGE, DAU])
def test_totals_that_break_the_contract_end_the_run_after_one_request(
    home: Home, spring: Simulator, name: str, endpoint: str
) -> None:
    spring.add_fault(Fault(BROKEN[name], endpoint))
    error = failure(lambda: fetch(home, SOUND, DAY))
    assert type(error) is ContractBroken
    assert endpoint in str(error)
    assert asked(spring) == ({USAGE: 1} if endpoint == USAGE else {USAGE: 1, DAU: 1})
    assert left_by(home) == Left({}, {})


ENDING: dict[int, type[ScraperError]] = {400: UsageError, 401: SignInRequired, 403: SignInRequired}


@pytest.mark.parametrize("code", ENDING)
@pytest.mark.parametrize("endpoint", [USERS, USAGE, DAU])
def test_what_would_cost_every_day_ends_the_run_at_once(
    home: Home, spring: Simulator, undisturbed: Left, code: int, endpoint: str
) -> None:
    """The day that was kept by then stays; no file of an earlier run passes for one of this."""
    spring.add_fault(Fault(status(code), endpoint, DAY if endpoint == USERS else None))
    folder = home.data / FOLDER
    folder.mkdir(parents=True)
    for name in (MANIFEST, *day_files(DAY)):
        (folder / name).write_text("of an earlier run")
    error = failure(lambda: fetch(home, SOUND, DAY))
    assert type(error) is ENDING[code]
    expected = {USERS: {USAGE: 1, DAU: 1, USERS: 2}, USAGE: {USAGE: 1}, DAU: {USAGE: 1, DAU: 1}}
    assert asked(spring) == expected[endpoint]
    days = {SOUND: undisturbed.days[SOUND]} if endpoint == USERS else {}
    assert left_by(home) == Left(days, {})
    stale = {f"{name}.stale" for name in (MANIFEST, *day_files(DAY))}
    assert {path.name for path in folder.iterdir()} == stale


def test_the_command_ends_with_the_code_of_the_fault(home: Home, start_api: Start) -> None:
    """As a user sees it; the other tests look at the error that the code belongs to."""
    sim = start_api()
    home.settings |= {"MAX_RETRIES": "1", "FETCH_EDITOR_LANGUAGE": "false"}
    window = [f"{yesterday()}"]
    faults = {4: Fault(reset()), 5: Fault(null_body()), 6: Fault(null_body(), USERS, yesterday())}
    for code, fault in faults.items():
        sim.clear_faults()
        sim.add_fault(fault)
        words = ["--last-28-days"] if code == 6 else window
        result = home.run(*words)
        assert result.code == code, result.err
        assert "Traceback" not in result.err


# Answers of another shape, field by field


def refused(home: Home) -> str:
    """What the error says of the one day that was asked for; nothing of it is kept."""
    error = failure(lambda: keep(home, DAY, DAY))
    assert type(error) is ContractBroken
    assert left_by(home) == Left({}, {})
    return str(error)


NO_COUNTS: dict[str, object] = {
    "negative": -1,
    "huge": MOST + 1,
    "beyond 64 bits": 2**70,
    "a fraction": 1.5,
    "a whole fraction": 5.0,
    "a boolean": True,
    "text": "5",
    "null": None,
    "a list": [5],
    "an object": {},
}
COUNTS_OF: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "a metric of a user": (USERS, ("users", 1, "metrics", COUNT)),
    "an optional metric of a user": (USERS, ("users", 1, "metrics", OPTIONAL.name)),
    "a metric of a day": (USAGE, ("daily_usage", 0, "metrics", COUNT)),
    "an optional metric of a day": (USAGE, ("daily_usage", 0, "metrics", OPTIONAL.name)),
    "the users of a day": (DAU, ("daily_active_user_counts", 0, "user_count")),
}


@pytest.mark.parametrize("place", COUNTS_OF)
def test_what_is_no_count_is_refused_by_endpoint_and_field(
    home: Home, spring: Simulator, place: str
) -> None:
    endpoint, path = COUNTS_OF[place]
    for name, value in NO_COUNTS.items():
        spring.clear_faults()
        spring.add_fault(Fault(put(*path, value=value), endpoint))
        message = refused(home)
        assert endpoint in message, name
        assert str(path[0]) in message, name
        assert str(path[-1]) in message, name


@pytest.mark.parametrize("endpoint", [USERS, USAGE])
def test_a_missing_count_is_named_with_its_endpoint(
    home: Home, spring: Simulator, endpoint: str
) -> None:
    key = {USERS: "users", USAGE: "daily_usage"}[endpoint]
    for name in REQUIRED:
        spring.clear_faults()
        spring.add_fault(Fault(without(key, 0, "metrics", name), endpoint))
        message = refused(home)
        assert endpoint in message
        assert name in message


def test_counts_at_their_bounds_are_kept(home: Home, spring: Simulator) -> None:
    """Of each kind, also where the sum of users is far from the organization's."""
    for name, value in {REQUIRED[0]: 0, REQUIRED[1]: MOST}.items():
        spring.add_fault(Fault(put("users", 1, "metrics", name, value=value), USERS))
    with pytest.raises(NotReconciled):
        keep(home, DAY, DAY)
    _, users = left_by(home).days[DAY]
    assert [0, MOST] in [[getattr(u.figures, name) for name in REQUIRED[:2]] for u in users]


def renamed_as_account(body: Json) -> None:
    """The second user has the first one's address for the name of an account."""
    first, second = body["users"][:2]
    second["service_account_name"] = first["user_email"]
    second.pop("user_email", None)


def twice(body: Json, key: str, **changes: object) -> None:
    body[key].append({**body[key][0], **changes})


DATES = {"yesterday's": f"{march(4)}", "a moment": f"{DAY}T00:00:00Z", "no day": "2025-02-30"}
USER = ("users", 1)
SHAPES_OF_USERS: dict[str, tuple[Effect, str]] = {
    "list renamed": (rename_key("users", "members"), "users"),
    "list null": (put("users", value=None), "users"),
    "list an object": (put("users", value={}), "users"),
    "list of numbers": (put("users", value=[1]), "users"),
    "list of nulls": (put("users", value=[None]), "users"),
    "one record a list": (put(*USER, value=[]), "users"),
    "metrics renamed": (rename_key("metrics", "counts"), "metrics"),
    "metrics missing once": (without(*USER, "metrics"), "metrics"),
    "metrics null": (put(*USER, "metrics", value=None), "metrics"),
    "metrics a list": (put(*USER, "metrics", value=[]), "metrics"),
    "days missing": (without(*USER, ACTIVE_DAYS), ACTIVE_DAYS),
    "no identity": (without(*USER, "user_email"), "none of user_email and service_account_name"),
    "null identity": (put(*USER, "user_email", value=None), "none of"),
    "empty identity": (put(*USER, "user_email", value=""), "user_email"),
    "identity a number": (put(*USER, "user_email", value=7), "user_email"),
    "both identities": (
        put(*USER, "service_account_name", value="triage-9"),
        "both of user_email and service_account_name",
    ),
    "a person and an account of one name": (edited(renamed_as_account), "twice"),
    "pagination missing": (without("pagination"), "pagination"),
    "pagination null": (put("pagination", value=None), "pagination"),
    "pagination a list": (put("pagination", value=[]), "pagination"),
    "has_more missing": (without("pagination", "has_more"), "has_more"),
    "has_more null": (put("pagination", "has_more", value=None), "has_more"),
    "has_more a number": (put("pagination", "has_more", value=1), "has_more"),
    "has_more text": (put("pagination", "has_more", value="false"), "has_more"),
    "has_more renamed": (rename_key("has_more", "more"), "has_more"),
    "more without a cursor": (put("pagination", "has_more", value=True), "next_cursor"),
    "more with an empty cursor": (
        put("pagination", value={"has_more": True, "next_cursor": ""}),
        "next_cursor",
    ),
    "more with the cursor renamed": (
        put("pagination", value={"has_more": True, "cursor": "x.100"}),
        "cursor",
    ),
    "cursor a number": (put("pagination", "next_cursor", value=2), "next_cursor"),
    "a page token": (put("next_page_token", value="x"), "next_page_token"),
    "a link to more": (put("next", value="/more"), "next"),
    "a cursor beside": (put("cursor", value="x"), "cursor"),
    "more in the pagination": (put("pagination", "next_page", value=2), "next_page"),
    "count of users missing": (without("metadata", "returned_user_count"), "returned_user_count"),
    "count of users null": (put("metadata", "returned_user_count", value=None), "no number"),
    "count of users negative": (
        put("metadata", "returned_user_count", value=-1),
        "returned_user_count",
    ),
    "count of users text": (put("metadata", "returned_user_count", value="7"), "returned_user"),
    "count of users 0": (put("metadata", "returned_user_count", value=0), "returned_user_count"),
    "a user lost": (without("users", 0), "returned_user_count"),
    "all users lost": (put("users", value=[]), "returned_user_count"),
    "user twice with two figures": (repeat_user(changed=True), "twice"),
    "user twice with another field": (
        edited(lambda body: twice(body, "users", novel=1)),
        "twice",
    ),
}
SHAPES_OF_USAGE: dict[str, tuple[Effect, str]] = {
    "list renamed": (rename_key("daily_usage", "usage"), "daily_usage"),
    "list null": (put("daily_usage", value=None), "daily_usage"),
    "list of nulls": (put("daily_usage", value=[None]), "daily_usage"),
    "metrics missing": (without("daily_usage", 0, "metrics"), "metrics"),
    "date missing": (without("daily_usage", 0, "date"), "date"),
    "date null": (put("daily_usage", 0, "date", value=None), "date"),
    "date a number": (put("daily_usage", 0, "date", value=20250305), "date"),
    "date in short": (put("daily_usage", 0, "date", value="20250305"), "date"),
    "date outside": (put("daily_usage", 0, "date", value=f"{march(6)}"), f"{march(6)}"),
    "day twice with two figures": (repeat_user(changed=True), "twice"),
    "more pages": (put("pagination", value={"has_more": True, "next_cursor": "x.1"}), "pagination"),
    "a cursor": (put("next_cursor", value="x.1"), "next_cursor"),
}
SHAPES_OF_DAU: dict[str, tuple[Effect, str]] = {
    "list renamed": (rename_key("daily_active_user_counts", "days"), "daily_active_user_counts"),
    "list null": (put("daily_active_user_counts", value=None), "daily_active_user_counts"),
    "day missing": (put("daily_active_user_counts", value=[]), f"{DAY} is missing"),
    "count missing": (remove_field("user_count"), "user_count"),
    "count renamed": (rename_key("user_count", "users"), "user_count"),
    "date missing": (remove_field("date"), "date"),
    "date outside": (set_value("date", f"{march(6)}"), f"{march(6)}"),
    "day twice with two figures": (repeat_user(changed=True), "twice"),
    "more pages": (put("pagination", value={"has_more": True, "next_cursor": "x.1"}), "pagination"),
}
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
SHAPES = {
    **{(USERS, name): each for name, each in SHAPES_OF_USERS.items()},
    **{(USAGE, name): each for name, each in SHAPES_OF_USAGE.items()},
    **{(DAU, name): each for name, each in SHAPES_OF_DAU.items()},
}
REQUESTS = {
    USERS: {USAGE: 2, DAU: 2, USERS: 2},  # the day is tried once more
    USAGE: {USAGE: 1},
    DAU: {USAGE: 1, DAU: 1},
}


@pytest.mark.parametrize(("endpoint", "name"), SHAPES, ids=map(" - ".join, SHAPES))
def test_an_answer_of_another_shape_is_refused_by_endpoint_and_field(
    home: Home, spring: Simulator, endpoint: str, name: str
) -> None:
    effect, words = SHAPES[endpoint, name]
    spring.add_fault(Fault(effect, endpoint))
    message = refused(home)
    assert endpoint in message
    assert words in message
    assert asked(spring) == REQUESTS[endpoint]


@pytest.mark.parametrize("endpoint", [USERS, USAGE, DAU])
def test_an_answer_for_other_days_than_asked_for_is_refused(
    home: Home, spring: Simulator, endpoint: str
) -> None:
    for name, (effect, words) in METADATA.items():
        spring.clear_faults()
        spring.add_fault(Fault(effect, endpoint))
        message = refused(home)
        assert endpoint in message, name
        assert words in message, name


ACCEPTED: dict[str, tuple[str, Effect]] = {
    "the other identity is null": (USERS, put(*USER, "service_account_name", value=None)),
    "a cursor after the last page": (USERS, put("pagination", "next_cursor", value="x.1")),
    "no cursor after the last page": (USERS, without("pagination", "next_cursor")),
    "paging fields that are empty": (USERS, edited(lambda b: b.update(next=None, cursor=""))),
    "a user twice with the same figures": (USERS, repeat_user()),
    "a user twice, and counted so": (
        USERS,
        both(
            repeat_user(),
            edited(lambda b: b["metadata"].update(returned_user_count=len(b["users"]))),
        ),
    ),
    "users in another order": (USERS, edited(lambda body: body["users"].reverse())),
    "days in another order": (USAGE, edited(lambda body: body["daily_usage"].reverse())),
    "a day twice with the same figures": (USAGE, repeat_user()),
    "a day of users twice with the same figures": (DAU, repeat_user()),
    "an unknown field of a day": (USAGE, add_field("novel", 1)),
    "an unknown count of a day": (
        USAGE,
        edited(lambda b: b["daily_usage"][0]["metrics"].update(n=1)),
    ),
    "an unknown field of a day of users": (DAU, add_field("novel", 1)),
    "a page that is empty of words": (USAGE, put("pagination", value={"has_more": False})),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_says_the_same_in_another_way_is_kept_the_same(
    home: Home, spring: Simulator, undisturbed: Left, name: str
) -> None:
    endpoint, effect = ACCEPTED[name]
    spring.add_fault(Fault(effect, endpoint))
    fetch(home, SOUND, DAY)
    assert_whole(left_by(home), undisturbed)


# Pages


def paging_failure(home: Home, sim: Simulator, effect: Effect) -> str:
    """The error of a day of three pages; nothing of the pages that were sound is kept."""
    sim.add_fault(Fault(effect, USERS))
    message = refused(home)
    assert USERS in message
    return message


def add_to(path: tuple[str, ...], number: int) -> Callable[[Json], None]:
    def change(body: Json) -> None:
        for step in path[:-1]:
            body = body[step]
        body[path[-1]] += number

    return change


def same_page() -> Effect:
    """The users of the first page stand on every page; the cursors go on."""
    first: dict[str, Json] = {}

    def change(body: Json) -> None:
        first.setdefault("users", body["users"])
        body["users"] = first["users"]
        body["metadata"]["returned_user_count"] = len(first["users"])

    return edited(change)


USER_COUNT_PATH = ("metadata", "returned_user_count")
PAGES: dict[str, tuple[Effect, str, int]] = {
    "cursor to itself": (repeat_cursor(), "circle", 2),
    "cursors to and fro": (alternate_cursors(), "circle", 3),
    "more without a cursor": (
        on_page(2, put("pagination", value={"has_more": True, "next_cursor": None})),
        "next_cursor",
        2,
    ),
    "the same page under another cursor": (same_page(), "a second time", 2),
    "third page of another day": (
        on_page(3, put("metadata", "effective_start_date", value=f"{SOUND}")),
        "metadata",
        3,
    ),
    "third page without users": (on_page(3, put("users", value=[])), "returned_user_count", 3),
    "third page without a list": (on_page(3, without("users")), "users", 3),
    "third page null": (on_page(3, null_body()), "not a JSON object", 3),
    "third page ends early": (on_page(2, put("pagination", "has_more", value=False)), "", 2),
    "user on two pages with two figures": (repeat_user(changed=True), "twice", 2),
    "one user more than was counted": (
        on_page(2, edited(add_to(USER_COUNT_PATH, -1))),
        "returned_user_count",
        3,
    ),
    "one user less than was counted": (
        on_page(2, edited(add_to(USER_COUNT_PATH, 1))),
        "returned_user_count",
        3,
    ),
    "counted on no page": (edited(lambda body: body.pop("metadata")), "metadata", 1),
    "counted wrong in all": (put(*USER_COUNT_PATH, value=450), "returned_user_count", 3),
}


@pytest.mark.parametrize("name", [name for name in PAGES if name != "third page ends early"])
def test_a_fault_of_one_page_refuses_the_day_whole(home: Home, many: Simulator, name: str) -> None:
    effect, words, pages = PAGES[name]
    assert words in paging_failure(home, many, effect)
    assert many.count(USERS) == 2 * pages, "the day is tried once more"


def test_all_users_counted_on_every_page_is_accepted(
    home: Home, many: Simulator, many_undisturbed: Left
) -> None:
    total = len(many.organization.totals(Window(DAY, DAY)))
    many.add_fault(Fault(put(*USER_COUNT_PATH, value=total), USERS, DAY))
    fetch(home, SOUND, DAY)
    assert_whole(left_by(home), many_undisturbed)


def test_a_user_on_two_pages_with_the_same_figures_is_one(
    home: Home, many: Simulator, many_undisturbed: Left
) -> None:
    """Whether the page that has the user again counts it or not."""
    many.add_fault(Fault(repeat_user(), USERS, SOUND))
    many.add_fault(Fault(repeat_user(), USERS, DAY))
    many.add_fault(
        Fault(
            edited(lambda b: b["metadata"].update(returned_user_count=len(b["users"]))), USERS, DAY
        )
    )
    fetch(home, SOUND, DAY)
    assert_whole(left_by(home), many_undisturbed)


def test_a_page_that_is_cut_is_asked_for_again_alone(
    home: Home, many: Simulator, many_undisturbed: Left
) -> None:
    many.add_fault(Fault(on_page(2, cut_body()), USERS, DAY, times=2))
    fetch(home, SOUND, DAY)
    assert_whole(left_by(home), many_undisturbed)
    cursors = [r.query.get("cursor") for r in many.requests if (r.endpoint, r.day) == (USERS, DAY)]
    assert len(cursors) == 4
    assert cursors[1] == cursors[2]


def test_a_list_that_ends_early_is_found_by_the_totals(
    home: Home, many: Simulator, caplog: Log
) -> None:
    """No page is wrong by itself, so the day is kept; but it is told what is lacking."""
    many.add_fault(Fault(PAGES["third page ends early"][0], USERS, DAY))
    with pytest.raises(NotReconciled):
        keep(home, DAY, DAY)
    row, users = left_by(home).days[DAY]
    total = len(many.organization.totals(Window(DAY, DAY)))
    assert len(users) == 200
    assert Difference(USER_COUNT.name, 200, total) in row.unreconciled
    assert f"{DAY} does not add up" in caplog.text
    assert many.count(USERS) == 4


# Fields that are absent, and fields that are not known


def test_an_optional_count_that_is_absent_is_unknown_and_not_compared(
    home: Home, spring: Simulator, caplog: Log
) -> None:
    spring.add_fault(Fault(without("users", 1, "metrics", OPTIONAL.name), USERS, DAY))
    fetch(home, SOUND, DAY)
    left = left_by(home)
    row, users = left.days[DAY]
    assert [user.figures[OPTIONAL] for user in users].count(None) == 1
    assert row.sums[OPTIONAL] is None
    assert row.unreconciled == []
    assert "does not add up" not in caplog.text
    assert spring.count(USERS, DAY) == 1
    rows = list(csv.DictReader(left.files[f"augment_metrics_{DAY}.csv"].decode().splitlines()))
    assert [line[OPTIONAL.title] for line in rows].count("") == 1


def test_without_the_optional_count_anywhere_no_total_of_it_is_kept(
    home: Home, spring: Simulator
) -> None:
    """And its absence is no revision that makes the next night fetch the day again."""
    spring.add_fault(Fault(remove_field(OPTIONAL.name)))
    fetch(home, SOUND, DAY)
    row, users = left_by(home).days[DAY]
    assert {user.figures[OPTIONAL] for user in users} == {None}
    assert row.totals is not None
    assert OPTIONAL.name not in row.totals
    assert row.totals.keys() == {USER_COUNT.name, *REQUIRED}
    assert row.unreconciled == []
    spring.requests.clear()
    fetch(home, SOUND, DAY)
    assert asked(spring) == {USAGE: 1, DAU: 1}


def test_unknown_fields_are_kept_become_columns_and_are_said_once(
    home: Home, spring: Simulator, caplog: Log
) -> None:
    spring.add_fault(Fault(add_field("zeta", 7, record=0), USERS))
    spring.add_fault(Fault(add_field("alpha", {"b": [1], "a": True}, record=1), USERS))
    spring.add_fault(Fault(put("users", 1, "metrics", "novel", value=3), USERS))
    fetch(home, SOUND, DAY)
    left = left_by(home)
    names = ["alpha.a", "alpha.b", "metrics.novel", "zeta"]
    _, users = left.days[DAY]
    extras = [user.extra for user in users if user.extra]
    expected = [{"alpha.a": True, "alpha.b": "[1]", "metrics.novel": 3}, {"zeta": 7}]
    assert sorted(extras, key=len, reverse=True) == expected
    lines = left.files[f"augment_metrics_{DAY}.csv"].decode().splitlines()
    header, *rows = csv.reader(lines)
    assert header == [*USER_HEADER, *names]
    cells = sorted(row[-4:] for row in rows)
    assert cells == [[""] * 4] * (len(rows) - 2) + [["", "", "", "7"], ["true", "[1]", "3", ""]]
    assert caplog.text.count(f"columns of their own: {', '.join(names)} (4)") == 1
    assert {row.unreconciled == [] for row, _ in left.days.values()} == {True}


def test_unknown_fields_of_the_organization_are_left_out_and_said_once(
    home: Home, spring: Simulator, undisturbed: Left, caplog: Log
) -> None:
    for endpoint in (USAGE, DAU):
        spring.add_fault(Fault(add_field("novel", 1), endpoint))
    fetch(home, SOUND, DAY)
    assert_whole(left_by(home), undisturbed)
    assert caplog.text.count("unknown fields of the organization, left out: novel (1)") == 1


# Days that do not close


@pytest.fixture
def told(spring: Simulator, caplog: Log) -> Iterator[Callable[[int], list[str]]]:
    """What was logged at a level."""
    assert spring.requests == []
    caplog.set_level(logging.INFO, "dashboard_scraper")
    yield lambda level: [
        record.getMessage()
        for record in caplog.records
        if record.levelno == level and record.name != github_files.__name__
    ]


Told = Callable[[int], list[str]]


def raised_by(number: int) -> Effect:
    """Every total of the day is so much higher."""

    def change(body: Json) -> None:
        for record in body.get("daily_usage", []):
            record["metrics"] = {name: n + number for name, n in record["metrics"].items()}
        for record in body.get("daily_active_user_counts", []):
            record["user_count"] += number

    return edited(change)


def test_every_metric_and_the_user_count_are_compared(
    home: Home, spring: Simulator, undisturbed: Left
) -> None:
    for endpoint in (USAGE, DAU):
        spring.add_fault(Fault(raised_by(3), endpoint))
    with pytest.raises(NotReconciled):
        fetch(home, SOUND, DAY)
    row, users = left_by(home).days[DAY]
    assert users == undisturbed.days[DAY][1]
    sums = {metric.name: row.sums[metric] for metric in DETAILED}
    assert {each.metric: (each.users, each.tenant) for each in row.unreconciled} == {
        **{name: (count, (count or 0) + 3) for name, count in sums.items()},
        USER_COUNT.name: (len(users), len(users) + 3),
    }
    assert len(row.unreconciled) == len(DETAILED) + 1 == 17


def add_to_count(body: Json) -> None:
    body["users"][1]["metrics"][COUNT] += 1


def lose_a_user(body: Json) -> None:
    """The count of users is that of those who are left, so the page looks whole."""
    body["users"].pop()
    body["metadata"]["returned_user_count"] -= 1


OPEN: dict[str, tuple[str, Effect, str]] = {
    "a metric of a user": (USERS, edited(add_to_count), COUNT),
    "a user": (USERS, edited(lose_a_user), USER_COUNT.name),
    "the totals": (USAGE, raised_by(1), COUNT),
    "the count of users": (DAU, raised_by(1), USER_COUNT.name),
}


@pytest.mark.parametrize("name", OPEN)
def test_a_day_that_does_not_close_is_fetched_once_more_and_kept_with_what_differs(
    home: Home, spring: Simulator, told: Told, capsys: Capture, name: str
) -> None:
    """The differences are in the ledger, the log, the manifest and both forms of `status`."""
    endpoint, effect, metric = OPEN[name]
    spring.add_fault(Fault(effect, endpoint, DAY if endpoint == USERS else None))
    with pytest.raises(NotReconciled):
        fetch(home, SOUND, DAY)
    assert spring.count(USERS, DAY) == 2
    left = left_by(home)
    row, users = left.days[DAY]
    assert row.users == len(users)
    (difference,) = (each for each in row.unreconciled if each.metric == metric)
    assert difference.users != difference.tenant
    entry = manifest(left)[f"{DAY}"]
    assert entry["status"] == "complete"
    assert msgspec.convert(entry["unreconciled"], list[Difference]) == row.unreconciled
    differences = "; ".join(map(str, row.unreconciled))
    assert f"{DAY} does not add up: {differences}; stored as it is" in told(logging.WARNING)
    assert sum(f"{DAY}: " in line and "once more" in line for line in told(logging.INFO)) == 1
    assert left.files.keys() == {*files_of(SOUND, DAY), MANIFEST, AGGREGATED, REPORT, NOTES}
    for as_json in (False, True):
        capsys.readouterr()
        settings = settings_of(home)
        print_status(settings, NOON, as_json=as_json, max_age=None, check=False)
        out = capsys.readouterr().out
        assert all(each.metric in out and f"{each.tenant}" in out for each in row.unreconciled)
    (source,) = json.loads(out)["sources"]
    assert f"{DAY}" in [each["day"] for each in source["unreconciled"]]


@pytest.mark.parametrize("name", OPEN)
def test_a_day_that_closes_the_second_time_is_kept_without_a_warning(
    home: Home, spring: Simulator, undisturbed: Left, told: Told, name: str
) -> None:
    """As where the source was still counting; what it says of the totals is asked anew too."""
    endpoint, effect, _ = OPEN[name]
    days = {USERS: {DAY}}.get(endpoint, {SOUND, DAY})
    spring.add_fault(Fault(effect, endpoint, DAY if endpoint == USERS else None, times=1))
    fetch(home, SOUND, DAY)
    assert_whole(left_by(home), undisturbed)
    assert asked(spring) == {USAGE: 1 + len(days), DAU: 1 + len(days), USERS: 2 + len(days)}
    assert told(logging.WARNING) == []
    assert sum("once more" in line for line in told(logging.INFO)) == len(days)


def test_a_day_fetched_once_more_that_is_broken_then_is_not_kept(
    home: Home, spring: Simulator, undisturbed: Left
) -> None:
    """The first answer was not right, and there is no second one."""
    spring.add_fault(Fault(edited(add_to_count), USERS, DAY, times=1))
    spring.add_fault(Fault(null_body(), USERS, DAY, after=1))
    assert type(failure(lambda: fetch(home, SOUND, DAY))) is DaysMissing
    assert_only_the_sound_day(left_by(home), undisturbed)


# Editors and languages


@pytest.fixture
def detailed(home: Home, spring: Simulator) -> Simulator:
    home.settings["FETCH_EDITOR_LANGUAGE"] = "true"
    return spring


def editors_kept(home: Home, day: date) -> list[EditorLanguageUsage]:
    with store_at(settings_of(home).store_url).reading() as reader:
        return reader.editor_languages(ANALYTICS, day)


def editors_of(organization: Organization, day: date) -> list[EditorLanguageUsage]:
    """What the organization itself says."""
    found = []
    for index, total in organization.totals(Window(day, day)).items():
        member = organization.members[index]
        for part in organization.by_editor(member, total.counts):
            told: dict[str, Any] = dict(analytics_metrics(part.counts))
            figures = Figures(**told)
            found.append(EditorLanguageUsage(member.name, part.editor, part.language, figures))
    return sorted(found, key=lambda usage: (usage.user, usage.editor, usage.language))


def assert_editors(home: Home, sim: Simulator, *days: date) -> None:
    """Those of the days are kept whole, and of the other day nothing is."""
    rows = {day: row.editor_language for day, (row, _) in left_by(home).days.items()}
    for day in (SOUND, DAY):
        expected = editors_of(sim.organization, day) if day in days else []
        assert editors_kept(home, day) == expected
        assert rows.get(day) == (DetailStatus.COMPLETE if day in days else None)


DETAIL_FAULTS: dict[str, tuple[Effect, type[ScraperError], int, set[date]]] = {
    "429": (status(429), SourceUnavailable, 2, set()),
    "503": (status(503), SourceUnavailable, 2, set()),
    "reset": (reset(), SourceUnavailable, 2, set()),
    "cut": (cut_body("close"), SourceUnavailable, 2, set()),
    "400": (status(400), UsageError, 1, set()),
    "401": (status(401), SignInRequired, 1, set()),
    "403": (status(403), SignInRequired, 1, set()),
    "404": (status(404), ContractBroken, 2, {SOUND}),
    "page": (html(), ContractBroken, 2, {SOUND}),
    "null": (null_body(), ContractBroken, 2, {SOUND}),
    "redirect": (redirect(ELSEWHERE), ContractBroken, 2, {SOUND}),
}


@pytest.mark.parametrize("name", DETAIL_FAULTS)
def test_a_fault_of_editors_and_languages_costs_nothing_but_these(
    home: Home, detailed: Simulator, undisturbed: Left, name: str
) -> None:
    """The newest day is asked for first. Users are kept and given out, and the error is told."""
    effect, kind, requests, days = DETAIL_FAULTS[name]
    detailed.add_fault(Fault(effect, EDITORS, DAY))
    error = failure(lambda: fetch(home, SOUND, DAY))
    assert type(error) is kind
    assert f"editors and languages of {DAY} could not be fetched" in str(error)
    assert detailed.count(EDITORS) == requests
    left = left_by(home).files
    for file in (*day_files(SOUND, DAY), AGGREGATED):
        assert left[file] == undisturbed.files[file]
    assert_editors(home, detailed, *days)
    detailed.clear_faults()
    fetch(home, SOUND, DAY)
    assert_editors(home, detailed, SOUND, DAY)


RECORD = ("records", 1)
SHAPES_OF_EDITORS: dict[str, tuple[Effect, str]] = {
    "list renamed": (rename_key("records", "rows"), "records"),
    "list null": (put("records", value=None), "records"),
    "editor missing": (without(*RECORD, "editor"), "editor"),
    "editor null": (put(*RECORD, "editor", value=None), "editor"),
    "editor empty": (put(*RECORD, "editor", value=""), "editor"),
    "language missing": (without(*RECORD, "language"), "language"),
    "language a number": (put(*RECORD, "language", value=3), "language"),
    "no identity": (without(*RECORD, "user_email"), "none of"),
    "both identities": (put(*RECORD, "service_account_name", value="triage-9"), "both of"),
    "metrics missing": (without(*RECORD, "metrics"), "metrics"),
    "metric missing": (without(*RECORD, "metrics", COUNT), COUNT),
    "metric negative": (put(*RECORD, "metrics", COUNT, value=-1), COUNT),
    "metric null": (put(*RECORD, "metrics", COUNT, value=None), COUNT),
    "record twice with two figures": (repeat_user(changed=True), "twice"),
    "pagination missing": (without("pagination"), "pagination"),
    "more without a cursor": (put("pagination", "has_more", value=True), "next_cursor"),
    "a page token": (put("next_page_token", value="x"), "next_page_token"),
    "users counted otherwise": (edited(add_to(USER_COUNT_PATH, 1)), "returned_user_count"),
    "users not counted": (without(*USER_COUNT_PATH), "returned_user_count"),
    "all records lost": (put("records", value=[]), "returned_user_count"),
}


@pytest.mark.parametrize("name", SHAPES_OF_EDITORS)
def test_editors_and_languages_of_another_shape_are_refused_by_endpoint_and_field(
    home: Home, detailed: Simulator, name: str
) -> None:
    effect, words = SHAPES_OF_EDITORS[name]
    detailed.add_fault(Fault(effect, EDITORS))
    error = failure(lambda: keep(home, DAY, DAY))
    assert type(error) is ContractBroken
    assert EDITORS in str(error)
    assert words in str(error)
    assert detailed.count(EDITORS) == 1
    assert left_by(home).days.keys() == {DAY}
    assert_editors(home, detailed)


def add_to_part(body: Json) -> None:
    body["records"][0]["metrics"][COUNT] += 1


def part_of_a_stranger(body: Json) -> None:
    body["records"].append({**body["records"][0], "user_email": "nobody@example.com"})
    body["metadata"]["returned_user_count"] += 1


@pytest.mark.parametrize("change", [add_to_part, part_of_a_stranger])
def test_editors_and_languages_that_do_not_add_up_are_kept_and_said(
    home: Home, detailed: Simulator, told: Told, change: Callable[[Json], None]
) -> None:
    detailed.add_fault(Fault(edited(change), EDITORS, DAY))
    fetch(home, SOUND, DAY)
    assert detailed.count(EDITORS, DAY) == 2
    assert left_by(home).days[DAY][0].editor_language is DetailStatus.UNRECONCILED
    assert left_by(home).days[SOUND][0].editor_language is DetailStatus.COMPLETE
    assert editors_kept(home, DAY) != editors_of(detailed.organization, DAY)
    (warning,) = told(logging.WARNING)
    assert warning.startswith(f"{DAY}: editors and languages do not add up")


def test_editors_and_languages_that_add_up_the_second_time_are_kept_without_a_warning(
    home: Home, detailed: Simulator, told: Told
) -> None:
    detailed.add_fault(Fault(edited(add_to_part), EDITORS, DAY, times=1))
    fetch(home, SOUND, DAY)
    assert_editors(home, detailed, SOUND, DAY)
    assert told(logging.WARNING) == []


# Credits


@pytest.fixture
def credited(home: Home, spring: Simulator) -> Simulator:
    home.settings["FETCH_CREDITS"] = "true"
    return spring


def credits_kept(home: Home, day: date) -> dict[str, float]:
    with store_at(settings_of(home).store_url).reading() as reader:
        return reader.credits_of(ANALYTICS, day)


def credits_of(organization: Organization, day: date) -> dict[str, float]:
    """What the organization itself says."""
    totals = organization.totals(Window(day, day)).items()
    return {organization.members[i].name: total.counts.credits / 100 for i, total in totals}


def assert_credits(home: Home, sim: Simulator, *days: date) -> None:
    rows = {day: row.credits for day, (row, _) in left_by(home).days.items()}
    for day in (SOUND, DAY):
        assert credits_kept(home, day) == (credits_of(sim.organization, day) if day in days else {})
        assert rows.get(day) == (DetailStatus.COMPLETE if day in days else None)


@pytest.mark.parametrize("code", [403, 404])
def test_where_there_are_no_credits_one_line_says_so_and_nothing_fails(
    home: Home, credited: Simulator, undisturbed: Left, told: Told, code: int
) -> None:
    credited.add_fault(Fault(status(code), CREDITS))
    fetch(home, SOUND, DAY)
    assert_whole(left_by(home), undisturbed)
    assert credited.count(CREDITS) == 1
    lines = [*told(logging.INFO), *told(logging.WARNING), *told(logging.ERROR)]
    (line,) = (line for line in lines if "credits" in line)
    assert line in told(logging.INFO)


CREDIT_FAULTS: dict[str, tuple[Effect, type[ScraperError], int]] = {
    "429": (status(429), SourceUnavailable, 2),
    "503": (status(503), SourceUnavailable, 2),
    "reset": (reset(), SourceUnavailable, 2),
    "cut": (cut_body("close"), SourceUnavailable, 2),
    "400": (status(400), UsageError, 1),
    "401": (status(401), SignInRequired, 1),
    "page": (html(), ContractBroken, 1),
    "null": (null_body(), ContractBroken, 1),
    "redirect": (redirect(ELSEWHERE), ContractBroken, 1),
}


@pytest.mark.parametrize("name", CREDIT_FAULTS)
def test_a_fault_of_credits_costs_nothing_but_these(
    home: Home, credited: Simulator, undisturbed: Left, name: str
) -> None:
    effect, kind, requests = CREDIT_FAULTS[name]
    credited.add_fault(Fault(effect, CREDITS))
    error = failure(lambda: fetch(home, SOUND, DAY))
    assert type(error) is kind
    assert f"credits of {WINDOW} could not be fetched" in str(error)
    assert credited.count(CREDITS) == requests
    assert left_by(home) == undisturbed
    credited.clear_faults()
    fetch(home, SOUND, DAY)
    assert_credits(home, credited, SOUND, DAY)


SHAPES_OF_CREDITS: dict[str, tuple[Effect, str]] = {
    "list renamed": (rename_key("records", "rows"), "records"),
    "credits missing": (without(*RECORD, "credits_consumed"), "credits_consumed"),
    **{
        f"credits {value!r}": (
            put(*RECORD, "credits_consumed", value=value),
            "credits_consumed",
        )
        for value in (-0.5, MOST * 2, "1.5", None, True, [1])
    },
    "date missing": (without(*RECORD, "date"), "date"),
    "date outside": (put(*RECORD, "date", value=f"{march(7)}"), f"{march(7)}"),
    "no identity": (without(*RECORD, "user_email"), "none of"),
    "both identities": (put(*RECORD, "service_account_name", value="triage-9"), "both of"),
    "record twice with two figures": (
        edited(lambda body: twice(body, "records", credits_consumed=0.125)),
        "twice",
    ),
    "pagination missing": (without("pagination"), "pagination"),
    "more without a cursor": (put("pagination", "has_more", value=True), "next_cursor"),
    "a page token": (put("next_page_token", value="x"), "next_page_token"),
    "all records lost": (put("records", value=[]), "returned_user_count"),
    "a user lost": (edited(lambda body: body["records"].pop()), "returned_user_count"),
}


@pytest.mark.parametrize("name", SHAPES_OF_CREDITS)
def test_credits_of_another_shape_are_refused_by_endpoint_and_field(
    home: Home, credited: Simulator, name: str
) -> None:
    effect, words = SHAPES_OF_CREDITS[name]
    credited.add_fault(Fault(effect, CREDITS))
    error = failure(lambda: keep(home, DAY, DAY))
    assert type(error) is ContractBroken
    assert CREDITS in str(error)
    assert words in str(error)
    assert left_by(home).days.keys() == {DAY}
    assert_credits(home, credited)


@pytest.mark.parametrize("endpoint", [EDITORS, CREDITS])
def test_details_of_other_days_than_asked_for_are_refused(
    home: Home, detailed: Simulator, endpoint: str
) -> None:
    home.settings["FETCH_CREDITS"] = "true"
    for name, (effect, words) in METADATA.items():
        detailed.clear_faults()
        detailed.add_fault(Fault(effect, endpoint))
        error = failure(lambda: keep(home, DAY, DAY))
        assert type(error) is ContractBroken, name
        assert endpoint in str(error), name
        assert words in str(error), name
    kept = {EDITORS: editors_kept(home, DAY), CREDITS: credits_kept(home, DAY)}
    assert not kept[endpoint]


@pytest.mark.parametrize("credits_consumed", [0, 0.0, 7, 1234.5678])
def test_credits_are_kept_as_they_are_told(
    home: Home, credited: Simulator, credits_consumed: float
) -> None:
    credited.add_fault(Fault(put(*RECORD, "credits_consumed", value=credits_consumed), CREDITS))
    keep(home, DAY, DAY)
    expected = credits_of(credited.organization, DAY)
    changed = [user for user, value in credits_kept(home, DAY).items() if value != expected[user]]
    assert [credits_kept(home, DAY)[user] for user in changed] == [credits_consumed]


def rename_first(field: str) -> Effect:
    """A name with a NUL in place of the first record's, in every record that has it."""

    def change(body: Json) -> None:
        records = next(iter(value for value in body.values() if isinstance(value, list)))
        name = records[0][field]
        for record in records:
            if record.get(field) == name:
                record[field] = f"{name}\0"

    return edited(change)


NAMES_WITH_NUL: dict[str, tuple[str, str]] = {
    "an editor": (EDITORS, "editor"),
    "a language": (EDITORS, "language"),
}


@pytest.mark.parametrize("name", NAMES_WITH_NUL)
def test_a_name_that_no_database_can_keep_is_a_broken_contract_on_each(
    home: Home, store_url: str, detailed: Simulator, name: str
) -> None:
    """PostgreSQL has no place for a NUL; whether it is refused must not hang on the database."""
    assert store_url
    home.settings["FETCH_CREDITS"] = "true"
    endpoint, field = NAMES_WITH_NUL[name]
    detailed.add_fault(Fault(rename_first(field), endpoint))
    error = failure(lambda: keep(home, DAY, DAY))
    assert type(error) is ContractBroken
    assert endpoint in str(error)
