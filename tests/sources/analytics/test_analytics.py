"""The Analytics API as a source: its token, the choice of the source, and the days that it has."""

from __future__ import annotations

import json
import logging
import shlex
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from analytics_runs import error_line, message_of, run_period
from conftest import WEEK_JOB, Home, last_working_day
from dashboard_scraper.errors import (
    ContractBroken,
    ScraperError,
    SignInRequired,
    UsageError,
)
from dashboard_scraper.simulator import Fault, Simulator, redirect, reset, status
from dashboard_scraper.simulator.exchange import Answer, json_answer
from dashboard_scraper.simulator.faults import Effect
from dashboard_scraper.sources.registry import ANALYTICS, DASHBOARD
from dashboard_scraper.store import store_at
from stored_days import settings_of

USERS, USAGE, DAU = "user-activity", "daily-usage", "dau-count"
WHERE_TO_GET_ONE = "app.augmentcode.com/settings/service-accounts"
DAY = last_working_day()
PERIOD = [str(DAY)]
NAMES = {f"metrics_{DAY:%Y%m%d}.csv", f"metrics_{DAY:%Y%m%d}_tenant.csv"}
TOKEN_FILE = "token.txt"
Log = pytest.LogCaptureFixture


# The token


@pytest.fixture
def token_file(home: Home, api: Simulator) -> Path:
    """The token in a private file, named relative to the home, instead of in the setting."""
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
    assert "chmod 600" in message_of(UsageError, lambda: run_period(home))
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
    message = message_of(UsageError, lambda: run_period(home))
    assert setting in message
    assert "svc_l" not in message
    assert api.requests == []


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"svc_\x00"])
def test_file_without_a_token_is_refused(
    home: Home, api: Simulator, token_file: Path, content: bytes
) -> None:
    token_file.write_bytes(content)
    assert "AUGMENT_API_TOKEN_FILE" in message_of(UsageError, lambda: run_period(home))
    assert api.requests == []


def test_folder_as_token_file_is_a_usage_error(
    home: Home, api: Simulator, token_file: Path
) -> None:
    token_file.unlink()
    token_file.mkdir(mode=0o700)
    assert str(token_file) in message_of(UsageError, lambda: run_period(home))
    assert api.requests == []


def test_an_empty_setting_counts_as_none(home: Home, api: Simulator) -> None:
    """As with every setting: a line `AUGMENT_API_TOKEN=` in a template chooses no source."""
    home.settings["AUGMENT_API_TOKEN"] = ""
    result = home.run(*PERIOD)
    assert result.code == 3, result.err
    assert "--auth" in error_line(result), "the dashboard's words"
    assert api.requests == []


def said(code: int, message: str) -> Effect:
    """A refusal in the API's form, with this message."""
    body = {"error": {"code": "InvalidArgument", "message": message}}
    return lambda _answer, _request: json_answer(body, code)


def bytes_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
def test_token_is_in_no_log_and_no_file(home: Home, api: Simulator) -> None:
    """Neither for a run that succeeds, nor for runs that the server ends."""
    home.settings |= {"MAX_RETRIES": "1", "FETCH_CREDITS": "true"}
    runs = [home.run(*WEEK_JOB, "--log-level", "DEBUG")]
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
    """A simulator to which the home has both a session and a token."""
    home.settings["METRICS_API_BASE_URL"] = api.url
    home.sign_in(api)
    return api


def sources_asked(sim: Simulator) -> set[str]:
    """The sources whose endpoints were requested."""
    return {
        ANALYTICS if request.path.startswith("/analytics/v0/") else DASHBOARD
        for request in sim.requests
    }


@pytest.mark.parametrize(
    ("chosen", "token"),
    [
        *((None, True), (None, False), ("auto", True), (" Dashboard", True)),
        *((ANALYTICS, True), ("ANALYTICS", False)),
    ],
)
@pytest.mark.slow
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
        message_of(SignInRequired, lambda: run_period(home))
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
    result = home.run("backfill", *PERIOD, *PERIOD, "--source", option)
    assert result.code == 0, result.err
    assert sources_asked(both) == {expected}


def test_token_file_chooses_the_source(home: Home, token_file: Path) -> None:
    assert token_file.is_file()
    assert settings_of(home).source == ANALYTICS


def test_unknown_source_is_a_usage_error(home: Home, both: Simulator) -> None:
    home.settings["METRICS_SOURCE"] = "analytic"
    assert "METRICS_SOURCE" in message_of(UsageError, lambda: run_period(home))
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


@pytest.mark.parametrize(
    ("endpoint", "code"), [*((USERS, code) for code in ANSWERS), (USAGE, 403), (DAU, 404)]
)
def test_refusal_of_the_token_says_what_to_do(
    home: Home, api: Simulator, code: int, endpoint: str
) -> None:
    error, words = ANSWERS[code]
    api.add_fault(Fault(status(code), endpoint))
    message = message_of(error, lambda: run_period(home))
    assert [word for word in words if word not in message] == []
    assert api.count(endpoint) == 1
    assert api.requests[-1].endpoint == endpoint, "nothing was asked after it"
    assert home.files() == set()


@pytest.mark.slow
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
def test_a_refusal_without_words_is_reported_too(home: Home, api: Simulator, body: bytes) -> None:
    api.add_fault(Fault(lambda _answer, _request: Answer(400, body)))
    assert "HTTP 400" in message_of(UsageError, lambda: run_period(home))


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_token_is_not_sent_to_another_host(
    home: Home, api: Simulator, elsewhere: socket.socket, code: int
) -> None:
    port = elsewhere.getsockname()[1]
    api.add_fault(Fault(redirect(f"http://127.0.0.1:{port}/analytics/v0/{USERS}", code)))
    assert f"HTTP {code}" in message_of(ContractBroken, lambda: run_period(home))
    assert api.count() == 1
    with pytest.raises(BlockingIOError):
        elsewhere.accept()


def test_redirect_on_the_same_host_is_refused(home: Home, api: Simulator) -> None:
    api.add_fault(Fault(redirect(f"/analytics/v0/{DAU}"), USERS))
    message_of(ContractBroken, lambda: run_period(home))
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
    assert result.out.startswith("store: "), "what the store knows is printed all the same"


# The file that Augment's settings page offers


def session_json(token: str, **more: object) -> str:
    session = {"accessToken": token, "tenantURL": "https://d7.api.example.com/", "scopes": ["read"]}
    return json.dumps(session | more, indent=2)


@pytest.mark.parametrize("before", ["", "\ufeff", "\n "])
def test_token_file_may_be_session_json(
    home: Home, api: Simulator, token_file: Path, before: str
) -> None:
    token_file.write_text(before + session_json(api.token), encoding="utf-8")
    run_period(home)
    assert {request.authorization for request in api.requests} == {f"Bearer {api.token}"}


def test_tenant_url_is_only_logged_for_debugging(
    home: Home, api: Simulator, token_file: Path, caplog: Log
) -> None:
    """Without any secret that is in it. The requests show that nothing is sent to it."""
    url = "https://user:pass@d7.api.example.com/?key=secret"
    token_file.write_text(session_json(api.token, tenantURL=url))
    caplog.set_level(logging.DEBUG, "dashboard_scraper")
    run_period(home)
    (record,) = (r for r in caplog.records if "d7.api.example.com" in r.getMessage())
    assert record.levelno == logging.DEBUG
    assert "pass" not in record.getMessage()
    assert "secret" not in record.getMessage()
    assert len(api.requests) == 3


def test_session_json_needs_no_tenant_url(home: Home, api: Simulator, token_file: Path) -> None:
    token_file.write_text(json.dumps({"accessToken": api.token}))
    run_period(home)
    assert len(api.requests) == 3


NO_SESSIONS = {
    "cut": ('{"accessToken": "svc_left', "not a session.json"),
    "no token": ('{"tenantURL": "https://d7.api.example.com/"}', "accessToken"),
    "another name": ('{"access_token": "svc_left"}', "accessToken"),
    "a number": ('{"accessToken": 5}', "accessToken"),
    "an empty token": ('{"accessToken": ""}', "not a token"),
    "a blank in it": ('{"accessToken": "svc_left right"}', "not a token"),
    "http": ('{"accessToken": "svc_left", "tenantURL": "http://d7.example.com/"}', "https://"),
    "no host": ('{"accessToken": "svc_left", "tenantURL": "https://"}', "https://"),
    "another scheme": ('{"accessToken": "svc_left", "tenantURL": "file:///x"}', "https://"),
}


@pytest.mark.parametrize("name", NO_SESSIONS)
def test_other_json_is_refused_with_a_fix(
    home: Home, api: Simulator, token_file: Path, name: str
) -> None:
    content, words = NO_SESSIONS[name]
    token_file.write_text(content)
    message = message_of(UsageError, lambda: run_period(home))
    assert "AUGMENT_API_TOKEN_FILE" in message
    assert words in message
    assert "svc_left" not in message
    assert api.requests == []


def test_json_in_the_token_setting_is_refused(home: Home, api: Simulator) -> None:
    """It has only characters that a token may have."""
    home.settings["AUGMENT_API_TOKEN"] = '{"accessToken":"svc_left"}'
    message = message_of(UsageError, lambda: run_period(home))
    assert "AUGMENT_API_TOKEN_FILE" in message
    assert "svc_left" not in message
    assert api.requests == []
