"""Faults of the network and of the API's server: retried, reported, and never stored in part."""

from __future__ import annotations

from collections import Counter as Tally
from dataclasses import dataclass, replace

import msgspec
import pytest

from analytics_runs import (
    DAU,
    DAY,
    ELSEWHERE,
    FOLDER,
    MANIFEST,
    SOUND,
    USAGE,
    USERS,
    Left,
    asked,
    assert_only_the_sound_day,
    assert_whole,
    day_files,
    failure,
    left_by,
    manifest,
    opened,
    refused,
)
from conftest import WEEK_JOB, Home, Start, yesterday
from dashboard_scraper.errors import (
    ContractBroken,
    DaysMissing,
    ScraperError,
    SignInRequired,
    SourceUnavailable,
    UsageError,
)
from dashboard_scraper.simulator import (
    Fault,
    Simulator,
    add_beside,
    cut_body,
    drip,
    hang,
    html,
    next_elsewhere,
    null_body,
    raw_body,
    redirect,
    reset,
    reset_mid_body,
    set_cookie,
    status,
)
from dashboard_scraper.simulator.faults import Effect
from dashboard_scraper.store.unjudged import NOT_JUDGED
from stored_days import fetch


@pytest.mark.slow
def test_irrelevant_fields_change_nothing(home: Home, spring: Simulator, undisturbed: Left) -> None:
    """Two runs with the same answers leave the same result."""
    for endpoint in (USERS, USAGE, DAU):
        spring.add_fault(Fault(set_cookie("tracking=1; Path=/"), endpoint))
        spring.add_fault(Fault(add_beside("metadata", "request_id", value="r-7"), endpoint))
    fetch(home, SOUND, DAY)
    assert_whole(left_by(home), undisturbed)
    assert asked(spring) == {USAGE: 1, DAU: 1, USERS: 2}
    assert {request.cookie for request in spring.requests} == {None}


@dataclass(frozen=True)
class Trouble:
    """An effect, the number of attempts of a request, and settings that make it quick."""

    effect: Effect
    attempts: int = 2
    settings: tuple[tuple[str, str], ...] = ()


UNAVAILABLE: dict[str, Trouble] = {
    "429": Trouble(status(429)),
    "503": Trouble(status(503)),
    "page of a gateway": Trouble(html(504)),
    "reset": Trouble(reset()),
    "reset mid body": Trouble(reset_mid_body()),
    "cut, by chunk": Trouble(cut_body("chunked")),
    "cut, by close": Trouble(cut_body("close")),
    "hang": Trouble(hang(300), settings=(("REQUEST_TIMEOUT_SECONDS", "1.5"),)),
    "drip": Trouble(drip(0.02), attempts=1, settings=(("RETRY_BUDGET_SECONDS", "1.5"),)),
}


PASSING = ("429", "reset", "reset mid body", "cut, by chunk")
"""In other tests, these are temporary; test_statuses.py and test_bodies.py have more of them."""


@pytest.mark.parametrize("name", ["503", "drip"])
@pytest.mark.slow
def test_unavailable_users_cost_one_day(
    home: Home, spring: Simulator, undisturbed: Left, name: str
) -> None:
    """The day is tried again at the end, with its totals, which may be newer by then."""
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


@pytest.mark.parametrize(
    ("endpoint", "name"),
    [*((USAGE, name) for name in UNAVAILABLE if name not in PASSING), (DAU, "503"), (DAU, "reset")],
)
@pytest.mark.slow
def test_unavailable_totals_end_the_run(
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


@pytest.mark.parametrize(
    ("endpoint", "name"), [*((USERS, name) for name in PASSING), (USAGE, "503"), (DAU, "503")]
)
def test_temporary_fault_costs_one_request(
    home: Home, spring: Simulator, name: str, endpoint: str
) -> None:
    with opened(home) as source:
        expected = source.fetch_day(DAY)
    spring.requests.clear()
    spring.add_fault(Fault(UNAVAILABLE[name].effect, endpoint, times=1))
    with opened(home) as source:
        assert source.fetch_day(DAY) == expected
    assert Tally(asked(spring)) == Tally([USAGE, DAU, USERS, endpoint])


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
def test_broken_users_are_refused(home: Home, spring: Simulator, name: str) -> None:
    spring.add_fault(Fault(BROKEN[name], USERS, DAY))
    with opened(home) as source:
        refused(source)
    assert asked(spring) == {USAGE: 1, DAU: 1, USERS: 1}


@pytest.mark.slow
def test_broken_users_cost_one_day(home: Home, spring: Simulator, undisturbed: Left) -> None:
    spring.add_fault(Fault(BROKEN["null"], USERS, DAY))
    error = failure(lambda: fetch(home, SOUND, DAY))
    assert type(error) is DaysMissing
    assert asked(spring) == {USAGE: 2, DAU: 2, USERS: 3}
    assert_only_the_sound_day(left_by(home), undisturbed)
    assert USERS in manifest(left_by(home))[f"{DAY}"]["reason"]


@pytest.mark.slow
def test_refused_cursor_costs_one_day(home: Home, spring: Simulator, undisturbed: Left) -> None:
    """The source itself sent the cursor: no setting is wrong, and other days are not affected."""
    following = {"has_more": True, "next_cursor": "expired"}
    spring.add_fault(Fault(add_beside("pagination", value=following), USERS, DAY))
    error = failure(lambda: fetch(home, SOUND, DAY))
    assert type(error) is DaysMissing
    assert_only_the_sound_day(left_by(home), undisturbed)
    reason = manifest(left_by(home))[f"{DAY}"]["reason"]
    assert f"{USERS}: the cursor of a page was refused" in reason


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("endpoint", [USAGE, DAU])
def test_broken_totals_are_refused(home: Home, spring: Simulator, name: str, endpoint: str) -> None:
    spring.add_fault(Fault(BROKEN[name], endpoint))
    with opened(home) as source:
        refused(source, endpoint)
    assert asked(spring) == ({USAGE: 1} if endpoint == USAGE else {USAGE: 1, DAU: 1})


@pytest.mark.parametrize(("endpoint", "name"), [(USAGE, "null"), (DAU, "404")])
def test_broken_totals_end_the_run(home: Home, spring: Simulator, name: str, endpoint: str) -> None:
    spring.add_fault(Fault(BROKEN[name], endpoint))
    error = failure(lambda: fetch(home, SOUND, DAY))
    assert type(error) is ContractBroken
    assert endpoint in str(error)
    assert asked(spring) == ({USAGE: 1} if endpoint == USAGE else {USAGE: 1, DAU: 1})
    assert left_by(home) == Left({}, {})


ENDING: dict[int, type[ScraperError]] = {400: UsageError, 401: SignInRequired, 403: SignInRequired}


@pytest.mark.parametrize(
    ("endpoint", "code"), [*((USERS, code) for code in ENDING), (USAGE, 401), (DAU, 403)]
)
def test_fault_of_every_day_ends_the_run(
    home: Home, spring: Simulator, undisturbed: Left, code: int, endpoint: str
) -> None:
    """The day already stored stays, marked as not judged; files of an earlier run are set aside."""
    spring.add_fault(Fault(status(code), endpoint, DAY if endpoint == USERS else None))
    folder = home.data / FOLDER
    folder.mkdir(parents=True)
    for name in (MANIFEST, *day_files(DAY)):
        (folder / name).write_text("of an earlier run")
    error = failure(lambda: fetch(home, SOUND, DAY))
    assert type(error) is ENDING[code]
    expected = {USERS: {USAGE: 1, DAU: 1, USERS: 2}, USAGE: {USAGE: 1}, DAU: {USAGE: 1, DAU: 1}}
    assert asked(spring) == expected[endpoint]
    row, users = undisturbed.days[SOUND]
    stored = {SOUND: (msgspec.structs.replace(row, suspicious=NOT_JUDGED), users)}
    assert left_by(home) == Left(stored if endpoint == USERS else {}, {})
    stale = {f"{name}.stale" for name in (MANIFEST, *day_files(DAY))}
    assert {path.name for path in folder.iterdir()} == stale


@pytest.mark.slow
def test_exit_code_is_that_of_the_fault(home: Home, start_api: Start) -> None:
    """As a user sees it; the other tests check the error to which the code belongs."""
    sim = start_api()
    home.settings |= {"MAX_RETRIES": "1", "FETCH_EDITOR_LANGUAGE": "false"}
    faults = {4: Fault(reset()), 5: Fault(null_body()), 6: Fault(null_body(), USERS, yesterday())}
    for code, fault in faults.items():
        sim.clear_faults()
        sim.add_fault(fault)
        words = WEEK_JOB if code == 6 else (f"{yesterday()}",)
        result = home.run(*words)
        assert result.code == code, result.err
        assert "Traceback" not in result.err
