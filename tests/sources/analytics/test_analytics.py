"""The Analytics API as a source: its token, which source is chosen, and the days that it has."""

from __future__ import annotations

import json
import logging
import shlex
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conftest import Home, Result, Start, today, yesterday
from dashboard_scraper.cli.commands.status import print_status
from dashboard_scraper.cli.fetching import fetch_daily, fetch_period
from dashboard_scraper.errors import (
    ContractBroken,
    DaysMissing,
    NotPublished,
    ScraperError,
    SignInRequired,
    UsageError,
)
from dashboard_scraper.model.dates import Window, last_complete_days
from dashboard_scraper.simulator import Fault, Organization, Simulator, redirect, reset, status
from dashboard_scraper.simulator.exchange import Answer, json_answer
from dashboard_scraper.simulator.faults import Effect
from dashboard_scraper.sources.dashboard.cookie_auth import SESSION_COOKIE, save_cookies
from dashboard_scraper.sources.registry import ANALYTICS, DASHBOARD
from dashboard_scraper.sources.rest.urls import origin_of
from dashboard_scraper.store import store_at
from stored_days import NOON, TODAY, backfill, settings_of

USERS, USAGE, DAU = "user-activity", "daily-usage", "dau-count"
WHERE_TO_GET_ONE = "app.augmentcode.com/settings/service-accounts"
DAY = yesterday()
PERIOD = [str(DAY)]
NAMES = {f"metrics_{DAY:%Y%m%d}.csv", f"metrics_{DAY:%Y%m%d}_tenant.csv"}
TOKEN_FILE = "token.txt"
Log = pytest.LogCaptureFixture
Capture = pytest.CaptureFixture[str]


def error_line(result: Result) -> str:
    """The one line that says why the run failed; it is no traceback, and nothing was given out."""
    (line,) = (line for line in result.err.splitlines() if " ERROR " in line)
    assert "Traceback" not in result.err
    assert result.out == ""
    return line


def run_period(home: Home) -> None:
    """The form with one date, in process."""
    fetch_period(settings_of(home), datetime.now(NOON.tzinfo), Window(DAY, DAY), None)


def refused(error: type[ScraperError], run: Callable[[], None]) -> str:
    """What the error says that the run ends with: exactly of this class, so with its exit code."""
    with pytest.raises(error) as caught:
        run()
    assert type(caught.value) is error
    return str(caught.value)


# The token


@pytest.fixture
def token_file(home: Home, api: Simulator) -> Path:
    """The token in a private file of the home, named relative to it, in place of the setting."""
    path = home.path / TOKEN_FILE
    path.write_text(f"{api.token}\n")
    path.chmod(0o600)
    del home.settings["AUGMENT_API_TOKEN"]
    home.settings["AUGMENT_API_TOKEN_FILE"] = TOKEN_FILE
    return path


def test_a_token_is_all_that_a_first_run_needs(home: Home, api: Simulator) -> None:
    result = home.run(*PERIOD)
    assert result.code == 0, result.err
    assert home.files() == NAMES
    assert {request.authorization for request in api.requests} == {f"Bearer {api.token}"}
    assert {request.cookie for request in api.requests} == {None}
    assert [request.endpoint for request in api.requests] == [USERS, USAGE, DAU]


def test_token_file_is_relative_to_the_home(
    home: Home, api: Simulator, token_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert token_file.is_file()
    result = home.run(*PERIOD, cwd=tmp_path_factory.mktemp("elsewhere"))
    assert result.code == 0, result.err
    assert {request.authorization for request in api.requests} == {f"Bearer {api.token}"}


def test_readable_token_file_is_refused_with_a_fix(
    home: Home, api: Simulator, token_file: Path
) -> None:
    token_file.chmod(0o644)
    result = home.run(*PERIOD)
    assert result.code == 2, result.err
    _, _, mend = error_line(result).partition("chmod ")
    assert api.requests == []
    subprocess.run(["chmod", *shlex.split(mend)], check=True)
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    assert home.run(*PERIOD).code == 0


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o610, 0o601])
def test_no_right_of_others_on_the_file_is_borne(
    home: Home, api: Simulator, token_file: Path, mode: int
) -> None:
    token_file.chmod(mode)
    assert "chmod 600" in refused(UsageError, lambda: run_period(home))
    assert api.requests == []


def test_missing_token_file_says_where_to_get_one(
    home: Home, api: Simulator, token_file: Path
) -> None:
    token_file.unlink()
    result = home.run(*PERIOD)
    assert result.code == 3, result.err
    line = error_line(result)
    assert "AUGMENT_API_TOKEN_FILE" in line
    assert str(token_file) in line
    assert WHERE_TO_GET_ONE in line
    assert api.requests == []


def test_token_and_token_file_are_a_usage_error(
    home: Home, api: Simulator, token_file: Path
) -> None:
    home.settings["AUGMENT_API_TOKEN"] = token_file.read_text().strip()
    result = home.run(*PERIOD)
    assert result.code == 2, result.err
    line = error_line(result)
    assert "AUGMENT_API_TOKEN and AUGMENT_API_TOKEN_FILE" in line
    assert api.token not in line
    assert api.requests == []


def test_missing_token_says_where_to_get_one(home: Home, api: Simulator) -> None:
    del home.settings["AUGMENT_API_TOKEN"]
    result = home.run(*PERIOD, "--source", ANALYTICS)
    assert result.code == 3, result.err
    line = error_line(result)
    assert WHERE_TO_GET_ONE in line
    assert "AUGMENT_API_TOKEN_FILE" in line
    assert api.requests == []


NO_TOKENS = {
    "white space alone": " \t ",
    "a space in it": "svc_left right",
    "a tab in it": "svc_left\tright",
    "two lines": "svc_left\nright",
    "no ASCII": "svc_líght",
    "a control character": "svc_left\x7fright",
}


@pytest.mark.parametrize("name", NO_TOKENS)
@pytest.mark.parametrize("in_file", [False, True])
def test_invalid_token_is_refused_and_not_repeated(
    home: Home, api: Simulator, token_file: Path, name: str, in_file: bool
) -> None:
    setting = "AUGMENT_API_TOKEN_FILE" if in_file else "AUGMENT_API_TOKEN"
    if in_file:
        token_file.write_text(NO_TOKENS[name])
    else:
        del home.settings["AUGMENT_API_TOKEN_FILE"]
        home.settings["AUGMENT_API_TOKEN"] = NO_TOKENS[name]
    message = refused(UsageError, lambda: run_period(home))
    assert setting in message
    assert "svc_l" not in message
    assert api.requests == []


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"svc_\x00"])
def test_file_without_a_token_is_refused(
    home: Home, api: Simulator, token_file: Path, content: bytes
) -> None:
    token_file.write_bytes(content)
    assert "AUGMENT_API_TOKEN_FILE" in refused(UsageError, lambda: run_period(home))
    assert api.requests == []


def test_folder_as_token_file_is_a_usage_error(
    home: Home, api: Simulator, token_file: Path
) -> None:
    token_file.unlink()
    token_file.mkdir(mode=0o700)
    assert str(token_file) in refused(UsageError, lambda: run_period(home))
    assert api.requests == []


def test_an_empty_setting_counts_as_none(home: Home, api: Simulator) -> None:
    """As every other setting: a line `AUGMENT_API_TOKEN=` in a template chooses no source."""
    home.settings["AUGMENT_API_TOKEN"] = ""
    result = home.run(*PERIOD)
    assert result.code == 3, result.err
    assert "--auth" in error_line(result), "the dashboard's words"
    assert api.requests == []


def said(code: int, message: str) -> Effect:
    """A refusal in the API's form, with these words."""
    body = {"error": {"code": "InvalidArgument", "message": message}}
    return lambda _answer, _request: json_answer(body, code)


def bytes_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_token_is_in_no_log_and_no_file(home: Home, api: Simulator) -> None:
    """Neither of a run that goes well, nor of those that the server ends."""
    home.settings |= {"MAX_RETRIES": "1", "FETCH_CREDITS": "true"}
    runs = [home.run("--last-28-days", "--log-level", "DEBUG")]
    assert runs[0].code == 0, runs[0].err
    assert "DEBUG" in runs[0].err
    for effect in (status(401), reset(), status(503)):
        api.clear_faults()
        api.add_fault(Fault(effect))
        runs.append(home.run(*PERIOD, "--log-level", "DEBUG"))
    assert [run.code for run in runs] == [0, 3, 4, 4]
    secret = api.token.removeprefix("svc_")
    assert all(secret not in run.out + run.err for run in runs)
    assert (home.data / "usage.db").stat().st_size > 0
    assert secret.encode() not in bytes_below(home.path)


@pytest.mark.parametrize("code", [400, 403, 404])
def test_token_in_a_message_is_redacted(home: Home, api: Simulator, code: int) -> None:
    api.add_fault(Fault(said(code, f"no rights for Bearer {api.token}, sorry")))
    with pytest.raises(ScraperError) as caught:
        run_period(home)
    assert "sorry" in str(caught.value)
    assert api.token not in str(caught.value)


# Which source


@pytest.fixture
def both(home: Home, api: Simulator) -> Simulator:
    """One simulator for which the home has a session and a token."""
    home.settings["METRICS_API_BASE_URL"] = api.url
    save_cookies(home.cookie_file, {SESSION_COOKIE: api.cookie}, origin_of(api.url))
    return api


def sources_asked(sim: Simulator) -> set[str]:
    """The sources whose endpoints were asked."""
    return {
        ANALYTICS if request.path.startswith("/analytics/v0/") else DASHBOARD
        for request in sim.requests
    }


@pytest.mark.parametrize("token", [True, False])
@pytest.mark.parametrize("chosen", [None, "auto", DASHBOARD, ANALYTICS, " Dashboard", "ANALYTICS"])
def test_setting_or_token_chooses_the_source(
    home: Home, both: Simulator, chosen: str | None, token: bool
) -> None:
    if not token:
        del home.settings["AUGMENT_API_TOKEN"]
    if chosen is not None:
        home.settings["METRICS_SOURCE"] = chosen
    words = (chosen or "auto").strip().lower()
    expected = {"auto": ANALYTICS if token else DASHBOARD}.get(words, words)
    if expected == ANALYTICS and not token:
        refused(SignInRequired, lambda: run_period(home))
        assert both.requests == []
        return
    run_period(home)
    assert sources_asked(both) == {expected}
    with store_at(settings_of(home).store_url).reading() as reader:
        assert reader.sources() == [expected]


@pytest.mark.parametrize(
    ("setting", "option", "expected"),
    [
        (ANALYTICS, DASHBOARD, DASHBOARD),
        (DASHBOARD, ANALYTICS, ANALYTICS),
        (DASHBOARD, "auto", ANALYTICS),
    ],
)
def test_the_option_overrides_the_setting(
    home: Home, both: Simulator, setting: str, option: str, expected: str
) -> None:
    home.settings["METRICS_SOURCE"] = setting
    result = home.run("backfill", *PERIOD, "--source", option)
    assert result.code == 0, result.err
    assert sources_asked(both) == {expected}


def test_token_file_chooses_the_source(home: Home, token_file: Path) -> None:
    assert token_file.is_file()
    assert settings_of(home).source == ANALYTICS


def test_unknown_source_is_a_usage_error(home: Home, both: Simulator) -> None:
    home.settings["METRICS_SOURCE"] = "analytic"
    assert "METRICS_SOURCE" in refused(UsageError, lambda: run_period(home))
    assert both.requests == []


# What the server refuses


ANSWERS: dict[int, tuple[type[ScraperError], list[str]]] = {
    400: (UsageError, ["HTTP 400", "simulated status 400"]),
    401: (SignInRequired, ["HTTP 401", WHERE_TO_GET_ONE]),
    403: (SignInRequired, ["HTTP 403", "simulated status 403", "administrator", WHERE_TO_GET_ONE]),
    404: (ContractBroken, ["HTTP 404", "simulated status 404", "ANALYTICS_API_BASE_URL"]),
    405: (ContractBroken, ["HTTP 405"]),
    409: (ContractBroken, ["HTTP 409"]),
    410: (ContractBroken, ["HTTP 410"]),
    422: (ContractBroken, ["HTTP 422"]),
}


@pytest.mark.parametrize("code", ANSWERS)
@pytest.mark.parametrize("endpoint", [USERS, USAGE, DAU])
def test_refusal_of_the_token_says_what_to_do(
    home: Home, api: Simulator, code: int, endpoint: str
) -> None:
    error, words = ANSWERS[code]
    api.add_fault(Fault(status(code), endpoint))
    message = refused(error, lambda: run_period(home))
    assert [word for word in words if word not in message] == []
    assert api.count(endpoint) == 1
    assert api.requests[-1].endpoint == endpoint, "nothing was asked after it"
    assert home.files() == set()


def test_the_exit_codes_are_those_of_the_refusals(home: Home, api: Simulator) -> None:
    codes = []
    for code in (400, 401, 404):
        api.clear_faults()
        api.add_fault(Fault(status(code)))
        codes.append(home.run(*PERIOD).code)
    assert codes == [2, 3, 5]


def test_server_message_is_one_short_line(home: Home, api: Simulator) -> None:
    api.add_fault(Fault(said(400, "start_date\nis\r\nwrong\x1b[31m " + "a" * 100_000)))
    result = home.run(*PERIOD)
    assert result.code == 2, result.err
    line = error_line(result)
    assert "start_date" in line
    assert "wrong" in line
    assert len(line) < 1000
    assert "\x1b" not in result.err
    assert result.err.splitlines() == [line]


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"<html>", b'{"error":"x"}', b"\xff"])
def test_a_refusal_without_words_is_told_too(home: Home, api: Simulator, body: bytes) -> None:
    api.add_fault(Fault(lambda _answer, _request: Answer(400, body)))
    assert "HTTP 400" in refused(UsageError, lambda: run_period(home))


@pytest.fixture
def elsewhere() -> Iterator[socket.socket]:
    """Another origin that listens; who connects is found by `accept`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_token_is_not_sent_to_another_host(
    home: Home, api: Simulator, elsewhere: socket.socket, code: int
) -> None:
    port = elsewhere.getsockname()[1]
    api.add_fault(Fault(redirect(f"http://127.0.0.1:{port}/analytics/v0/{USERS}", code)))
    assert f"HTTP {code}" in refused(ContractBroken, lambda: run_period(home))
    assert api.count() == 1
    with pytest.raises(BlockingIOError):
        elsewhere.accept()


def test_redirect_on_the_same_host_is_refused(home: Home, api: Simulator) -> None:
    api.add_fault(Fault(redirect(f"/analytics/v0/{DAU}"), USERS))
    refused(ContractBroken, lambda: run_period(home))
    assert [request.endpoint for request in api.requests] == [USERS]


@pytest.mark.parametrize("path", ["", "/", "//"])
def test_between_base_and_endpoint_is_one_slash(home: Home, api: Simulator, path: str) -> None:
    home.settings["ANALYTICS_API_BASE_URL"] = api.url + path
    run_period(home)
    assert {request.path for request in api.requests} == {
        f"/analytics/v0/{endpoint}" for endpoint in (USERS, USAGE, DAU)
    }


# `status --check`


def test_check_accepts_a_good_token(home: Home, api: Simulator) -> None:
    result = home.run("status", "--check")
    assert result.code == 0, result.err
    assert "accepts the token" in result.err
    assert len(api.requests) == 1
    assert result.out.startswith("store: ")


def test_check_of_a_bad_token_says_what_to_do(home: Home, api: Simulator) -> None:
    home.settings["AUGMENT_API_TOKEN"] = "svc_of-another-organization"
    result = home.run("status", "--check")
    assert result.code == 3, result.err
    assert WHERE_TO_GET_ONE in result.err
    assert "svc_of-another" not in result.err
    assert len(api.requests) == 1
    assert result.out.startswith("store: "), "what the store knows is told all the same"


def check(home: Home, now: datetime) -> None:
    print_status(settings_of(home), now, as_json=False, max_age=None, check=True)


def test_check_asks_for_a_day_that_is_published(spring: Simulator, home: Home) -> None:
    check(home, BEFORE)
    assert [request.day for request in spring.requests] == [TODAY - timedelta(2)]


# Days that the API does not have


LATER = today() + timedelta(1)
TOO_LATE = {
    "period, today": [f"{today()}"],
    "period, a range to today": [f"{DAY}", f"{today()}"],
    "period, the future": [f"{LATER}"],
    "daily, today": ["--daily", f"{DAY}", f"{today()}"],
    "daily, the future": ["--daily", f"{LATER}", f"{LATER}"],
    "backfill, today": ["backfill", f"{DAY}", f"{today()}"],
    "backfill, the future": ["backfill", f"{LATER}", f"{LATER}"],
}


@pytest.mark.parametrize("name", TOO_LATE)
def test_today_and_future_are_refused(home: Home, api: Simulator, name: str) -> None:
    result = home.run(*TOO_LATE[name])
    assert result.code == 2, result.err
    assert f"in UTC, today is {today()}" in error_line(result)
    assert (api.requests, home.files()) == ([], set())


OLDEST = TODAY - timedelta(730)


@pytest.fixture
def spring(home: Home, start_api: Start) -> Simulator:
    """A simulator whose today is the 10th of March, 2025; the API's own ready hour."""
    home.settings |= {"FETCH_EDITOR_LANGUAGE": "false", "MAX_RETRIES": "0"}
    sim = start_api(Organization(users=12, today=TODAY))
    del home.settings["ANALYTICS_READY_HOUR"]
    return sim


def daily(home: Home, now: datetime, window: Window | None = None) -> None:
    fetch_daily(settings_of(home), window, clock=lambda: now)


def test_day_over_two_years_old_is_refused(home: Home, spring: Simulator) -> None:
    old = OLDEST - timedelta(1)
    runs: list[Callable[[], None]] = [
        lambda: backfill(home, old, old),
        lambda: backfill(home, old, OLDEST),
        lambda: daily(home, NOON, Window(old, OLDEST)),
    ]
    for run in runs:
        message = refused(UsageError, run)
        assert "two years" in message
        assert str(old) in message
        assert str(OLDEST) in message, "the day to begin with"
    assert (spring.requests, home.files()) == ([], set())


def test_period_over_two_years_old_is_refused(home: Home, api: Simulator) -> None:
    result = home.run(f"{today() - timedelta(731)}")
    assert result.code == 2, result.err
    assert "two years" in error_line(result)
    assert (api.requests, home.files()) == ([], set())


def test_a_day_exactly_two_years_old_is_fetched(home: Home, spring: Simulator) -> None:
    backfill(home, OLDEST, OLDEST)
    assert spring.count(USAGE, OLDEST) == 1
    assert {request.status for request in spring.requests} == {200}


def test_period_over_90_days_is_refused(home: Home, api: Simulator) -> None:
    result = home.run(f"{today() - timedelta(91)}", f"{DAY}")
    assert result.code == 2, result.err
    line = error_line(result)
    assert "90 days" in line
    assert "--daily" in line
    home.settings["LOOKBACK_DAYS"] = "91"
    message = refused(
        UsageError,
        lambda: fetch_period(settings_of(home), datetime.now(NOON.tzinfo), None, None),
    )
    assert "LOOKBACK_DAYS" in message
    assert (api.requests, home.files()) == ([], set())


def test_period_of_90_days_costs_one_request_each(home: Home, api: Simulator) -> None:
    window = last_complete_days(90, today())
    fetch_period(settings_of(home), datetime.now(NOON.tzinfo), window, None)
    assert [request.endpoint for request in api.requests] == [USERS, USAGE, DAU]
    assert len(home.files()) == 2


# Before the figures of yesterday are there


BEFORE = datetime(2025, 3, 10, 1, 59, 59, 999_999, tzinfo=NOON.tzinfo)
READY = datetime(2025, 3, 10, 2, tzinfo=NOON.tzinfo)
LAST = TODAY - timedelta(1)
WINDOW = last_complete_days(28, TODAY)
FOLDER = f"daily_exports_{WINDOW.start}_to_{WINDOW.end}"


def manifest(home: Home) -> dict[date, dict[str, Any]]:
    days = json.loads((home.data / FOLDER / "manifest.json").read_bytes())["days"]
    return {date.fromisoformat(entry["day"]): entry for entry in days}


def kept_days(home: Home) -> set[date]:
    with store_at(settings_of(home).store_url).reading() as reader:
        return set(reader.ledger(ANALYTICS))


def asked_days(sim: Simulator) -> set[date]:
    """Every day that some request reached to."""
    days: set[date] = set()
    for request in sim.requests:
        query = request.query
        first = date.fromisoformat(query.get("start_date", query.get("date", "")))
        last = date.fromisoformat(query.get("end_date", query.get("date", "")))
        days |= set(Window(first, last).days())
    return days


def files_of(*days: date) -> set[str]:
    return {
        f"{FOLDER}/{name}"
        for day in days
        for name in (f"augment_metrics_{day}.csv", f"copilot_metrics_{day}.json")
    }


def test_yesterday_is_unpublished_before_the_hour(
    home: Home, spring: Simulator, caplog: Log
) -> None:
    """Neither failed nor empty: exit 6, no request for it, and no sum that would lack it."""
    caplog.set_level(logging.INFO, "dashboard_scraper")
    others = [day for day in WINDOW.days() if day != LAST]
    with pytest.raises(DaysMissing, match=f"1 of 28 days are missing: {LAST}") as caught:
        daily(home, BEFORE)
    assert caught.value.exit_code == 6
    entries = manifest(home)
    assert entries.pop(LAST) | {"reason": ""} == {
        "day": f"{LAST}",
        "status": "unpublished",
        "reason": "",
    }
    assert {entry["status"] for entry in entries.values()} == {"complete"}
    assert kept_days(home) == asked_days(spring) == set(others)
    assert home.files() == {*files_of(*others), f"{FOLDER}/manifest.json", f"{FOLDER}/report.html"}
    assert not any(record.levelno >= logging.ERROR for record in caplog.records)
    assert any(f"{LAST} is not published yet" in text for text in caplog.messages)


def test_yesterday_is_fetched_from_the_hour_on(home: Home, spring: Simulator) -> None:
    with pytest.raises(DaysMissing):
        daily(home, BEFORE)
    daily(home, READY)
    assert spring.count(USERS, LAST) == 1
    assert {entry["status"] for entry in manifest(home).values()} == {"complete"}
    assert kept_days(home) == set(WINDOW.days())
    assert files_of(LAST) < home.files()
    assert f"{FOLDER}/copilot_metrics_aggregated.json" in home.files()


@pytest.mark.parametrize("hour", [0, 5, 23])
def test_the_hour_is_a_setting(home: Home, spring: Simulator, hour: int) -> None:
    home.settings["ANALYTICS_READY_HOUR"] = f"{hour}"
    ready = READY.replace(hour=hour)
    backfill(home, LAST, LAST, ready)
    backfill(home, LAST - timedelta(1), LAST - timedelta(1), ready - timedelta(microseconds=1))
    assert kept_days(home) == {LAST - timedelta(1), LAST}
    tomorrow = ready + timedelta(1) - timedelta(microseconds=1)
    spring.requests.clear()
    if hour:
        with pytest.raises(NotPublished, match=f"{TODAY} is not published yet"):
            backfill(home, TODAY, TODAY, tomorrow)
        assert spring.requests == []


def test_backfill_of_unpublished_day_is_reported(home: Home, spring: Simulator) -> None:
    with pytest.raises(NotPublished, match=f"{LAST} is not published yet") as caught:
        backfill(home, LAST, LAST, BEFORE)
    assert caught.value.exit_code == 6
    assert spring.requests == []
    assert kept_days(home) == set()


def test_backfill_stores_days_before_yesterday(home: Home, spring: Simulator) -> None:
    with pytest.raises(DaysMissing, match=f"1 of 3 days are missing: {LAST}"):
        backfill(home, LAST - timedelta(2), LAST, BEFORE)
    assert kept_days(home) == asked_days(spring) == {LAST - timedelta(2), LAST - timedelta(1)}


def test_period_with_yesterday_is_unpublished(home: Home, spring: Simulator) -> None:
    """A sum that lacks its last day would look like that of the period."""
    window = Window(LAST - timedelta(6), LAST)
    with pytest.raises(NotPublished, match=str(LAST)):
        fetch_period(settings_of(home), BEFORE, window, None)
    assert (spring.requests, home.files()) == ([], set())
    fetch_period(settings_of(home), READY, window, None)
    assert len(home.files()) == 2


def test_status_reports_unpublished_day_as_missing(
    home: Home, spring: Simulator, capsys: Capture
) -> None:
    with pytest.raises(DaysMissing):
        backfill(home, LAST - timedelta(1), LAST, BEFORE)
    assert spring.requests
    capsys.readouterr()
    print_status(settings_of(home), BEFORE, as_json=True, max_age=None, check=False)
    (source,) = msgspec.json.decode(capsys.readouterr().out)["sources"]
    assert (source["source"], source["missing"], source["empty"]) == (ANALYTICS, [f"{LAST}"], [])
    assert source["last_success"] is None
