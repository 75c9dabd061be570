"""`--auth --browser`: a person signs in with a real Chromium, and later runs renew the session."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import browser
from conftest import Home, Result
from dashboard_scraper.browser.finding import find_browser
from dashboard_scraper.browser.profile import locked_profile
from dashboard_scraper.errors import SignInRequired
from dashboard_scraper.simulator import Fault, IdentityProvider, Request, Simulator, reset
from dashboard_scraper.simulator.exchange import Answer
from dashboard_scraper.sources.dashboard import browser_sign_in
from dashboard_scraper.sources.dashboard.cookie_auth import SESSION_COOKIE
from dashboard_scraper.sources.dashboard.renewal import Renewal
from person import PROFILE, Person, fake_browser, give_browser, give_program, sign_in
from sessions import assert_no_secret, saved_cookies
from stored_days import settings_of

SIGN_IN = ("--auth", "--browser")
RENEW = (*SIGN_IN, "--headless")
FORGET = ("--auth", "--forget")
in_chromium = pytest.mark.skipif(not browser.is_there(), reason="no chromium and chromedriver")


@dataclass
class Company:
    """A dashboard behind an identity provider, and a home whose browser a person can use."""

    home: Home
    sim: Simulator
    identity: IdentityProvider

    def signed_in(self) -> Result:
        """The result of the run in which a person signs in."""
        give_browser(self.home, port=True)
        with Person(self.home, sign_in):
            return self.home.run(*SIGN_IN)

    def then_expire(self, answer: Answer, _request: Request) -> Answer:
        """A fault after whose answer the session expires."""
        self.sim.expire()
        return answer

    @property
    def stored(self) -> str:
        return saved_cookies(self.home)["_session"]

    def assert_nothing_secret(self, *logs: str) -> None:
        assert_no_secret(self.sim, *logs)
        sent = {request.cookie or "" for request in self.identity.requests}
        values = {pair.partition("=")[2] for cookies in sent for pair in cookies.split("; ")}
        for secret in (*values - {""}, self.identity.password, self.identity.code):
            assert not any(secret in log for log in logs)


@contextmanager
def company(folder: Path, *, refuses: bool = False) -> Iterator[Company]:
    with (
        IdentityProvider(refuses_automation=refuses) as identity,
        Simulator(identity=identity) as sim,
    ):
        settings = {"METRICS_API_BASE_URL": f"{sim.url}/", "TZ": "UTC", "LOG_LEVEL": "DEBUG"}
        yield Company(Home(folder, settings), sim, identity)


@pytest.fixture
def dashboard(tmp_path: Path) -> Iterator[Company]:
    """A company for tests that need no real browser."""
    with company(tmp_path) as found:
        yield found


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """The files that other users can read, write or enter."""
    return [
        f"{path} {stat.S_IMODE(path.lstat().st_mode):04o}"
        for path in (folder, *folder.rglob("*"))
        if not path.is_symlink() and path.lstat().st_mode & 0o077
    ]


@in_chromium
@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.longest
def test_one_sign_in_lasts_for_later_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person signs in once. Then the session is renewed without anybody, even within a job, until
    the identity provider asks again. An expired cookie is never saved.
    """
    # On a busy machine, a browser takes a while to show a page.
    monkeypatch.setattr(browser_sign_in, "_ALONE_SECONDS", 15.0)
    with company(tmp_path) as at:
        home = at.home
        with umask(0):
            first = at.signed_in()
        assert first.code == 0, first.err
        assert at.stored == at.sim.cookie
        assert (home.path / PROFILE / "Default").is_dir()
        assert open_to_others(home.path / "secrets") == []

        give_browser(home)
        at.sim.expire()
        renewed = home.run(*RENEW)
        assert renewed.code == 0, renewed.err
        assert at.stored == at.sim.cookie

        at.sim.add_fault(Fault(at.then_expire, after=9, times=1))
        home.settings["AUTO_RENEW"] = "true"
        daily = home.run("--last-28-days")
        assert daily.code == 0, daily.err
        assert daily.err.count("AUTO_RENEW opens the browser") == 1
        assert at.stored == at.sim.cookie

        at.sim.expire()
        at.identity.end_sign_ins()
        before = at.stored
        asked = home.run(*RENEW)
        assert asked.code == 3
        assert "stopped at localhost, which seems to ask for something" in asked.err
        assert at.stored == before

        # The profile's cookie still shows the page; only a request reveals that it expired.
        at.sim.linger()
        home.cookie_file.unlink()
        lapsed = home.run(*RENEW)
        assert lapsed.code == 3
        assert "does not accept the session of this page" in lapsed.err
        assert not home.cookie_file.exists()
        at.assert_nothing_secret(first.err, renewed.err, daily.err, asked.err, lapsed.err)

        assert home.run(*FORGET).code == 0
        assert list((home.path / "secrets").iterdir()) == []


@in_chromium
@pytest.mark.slow
def test_provider_that_refuses_programs_is_named(tmp_path: Path) -> None:
    with company(tmp_path, refuses=True) as at:
        give_browser(at.home)
        result = at.home.run(*SIGN_IN)
        assert result.code == 3
        assert "localhost refuses to sign in within a browser that a program has" in result.err
        assert "paste the cookie" in result.err


@in_chromium
@pytest.mark.slow
def test_closed_window_ends_the_wait(tmp_path: Path) -> None:
    with company(tmp_path) as at:
        give_browser(at.home, port=True)
        with Person(at.home, lambda person: person.close_window()):
            result = at.home.run(*SIGN_IN)
        assert result.code == 3
        assert "the browser was closed before there was a session" in result.err
        assert not at.home.cookie_file.exists()


def served(at: Company, *cookies: dict[str, object], seconds: int = 60) -> Path:
    """A browser that shows the dashboard's page and has these cookies; returns its log."""
    page = {"targetInfos": [{"targetId": "1", "type": "page", "url": f"{at.sim.url}/"}]}
    body = f"serve(getTargets={page}, getCookies={{'cookies': {list(cookies)}}})"
    at.home.settings["SIGN_IN_TIMEOUT_SECONDS"] = f"{seconds}"
    return fake_browser(at.home, body).with_name("our-browser.log")


def cookie_of(at: Company, **changes: object) -> dict[str, object]:
    port = int(at.sim.url.rpartition(":")[2])
    good: dict[str, object] = {"name": "_session", "value": at.sim.cookie, "domain": "127.0.0.1"}
    return {**good, "path": "/", "sourceScheme": "NonSecure", "sourcePort": port, **changes}


def test_cookie_of_another_origin_is_not_taken(dashboard: Company) -> None:
    wrong: tuple[dict[str, object], ...] = (
        {"sourcePort": 1},
        {"sourceScheme": "Secure"},
        {"domain": "localhost"},
        {"domain": ".7.0.0.1"},
        {"name": "idp_session"},
    )
    served(dashboard, *(cookie_of(dashboard, **changes) for changes in wrong), seconds=6)
    result = dashboard.home.run(*SIGN_IN)
    assert result.code == 3
    assert "nobody signed in within SIGN_IN_TIMEOUT_SECONDS=6" in result.err
    assert dashboard.sim.requests == []


def test_cookie_is_asked_for_by_url_alone(dashboard: Company) -> None:
    """The program never asks for all cookies, and runs no script in a page."""
    log = served(dashboard, cookie_of(dashboard))
    assert dashboard.home.run(*SIGN_IN).code == 0
    commands = [json.loads(line) for line in log.read_text().splitlines()]
    asked = [command["params"] for command in commands if "Cookies" in command["method"]]
    assert asked == [{"urls": [f"{dashboard.sim.url}/"]}]
    domains = {command["method"].partition(".")[0] for command in commands}
    assert domains == {"Browser", "Network", "Target"}


def test_unproven_session_is_not_saved(dashboard: Company) -> None:
    served(dashboard, cookie_of(dashboard))
    dashboard.sim.add_fault(Fault(reset()))
    dashboard.home.settings["MAX_RETRIES"] = "0"
    result = dashboard.home.run(*SIGN_IN)
    assert result.code == 4
    assert "could not be tried and was not saved" in result.err
    assert not dashboard.home.cookie_file.exists()


FAILING = {
    "crashes": ("receive(); os.kill(os.getpid(), 11)", 2, "ended (exit code -11) before"),
    "says why": (
        "sys.exit(print('[1:2:ERROR:x.cc(1)] Running as root', file=sys.stderr) or 1)",
        2,
        "before it showed a page: Running as root",
    ),
    "crashes later": (
        "send({}, receive()); receive(); os.kill(os.getpid(), 11)",
        3,
        "the browser ended unexpectedly",
    ),
    "is closed": ("send({}, receive()); receive(); sys.exit(0)", 3, "the browser was closed"),
    "shows no page": ("serve(getTargets={'targetInfos': []})", 3, "the browser was closed"),
    "never starts": ("time.sleep(600)", 3, "did not answer within 1 seconds"),
}


@pytest.mark.parametrize(("body", "code", "words"), FAILING.values(), ids=FAILING)
def test_failing_browser_ends_with_words(
    dashboard: Company, body: str, code: int, words: str
) -> None:
    fake_browser(dashboard.home, body)
    dashboard.home.settings["SIGN_IN_TIMEOUT_SECONDS"] = "1" if "sleep" in body else "60"
    result = dashboard.home.run(*SIGN_IN)
    assert result.code == code, result.err
    assert words in result.err


def test_missing_browser_is_a_usage_error(dashboard: Company) -> None:
    home = dashboard.home
    home.settings["PATH"] = str(home.path)
    result = home.run(*SIGN_IN)
    assert result.code == 2
    assert "no browser was found: looked for google-chrome-stable" in result.err
    home.settings["BROWSER_PATH"] = str(home.path)
    assert f"BROWSER_PATH: {home.path} is not a program" in home.run(*SIGN_IN).err


def test_missing_display_is_a_usage_error(dashboard: Company) -> None:
    give_program(dashboard.home, "never started")
    del dashboard.home.settings["DISPLAY"]
    result = dashboard.home.run(*SIGN_IN)
    assert result.code == 2
    assert "there is no display" in result.err
    assert "--headless renews" in result.err


def test_profile_in_use_is_refused(dashboard: Company) -> None:
    served(dashboard, seconds=3)
    home, profile = dashboard.home, dashboard.home.path / PROFILE
    for words in (SIGN_IN, FORGET):
        with locked_profile(profile):
            result = home.run(*words)
        assert result.code == 7
        assert "another process of this program has the browser's profile" in result.err
    ours, lock = os.uname().nodename, profile / "SingletonLock"
    command = [sys.executable, "-c", "print(flush=True); input()", f"--user-data-dir={profile}"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        other.stdout.readline()  # from now on, the system knows its command line
        number = f"{other.pid}"
        for owner, expected in ((f"{ours}-{number}", f"process {number}"), ("x-1", "computer x")):
            lock.symlink_to(owner)
            result = home.run(*SIGN_IN)
            assert result.code == 7
            assert expected in result.err
            lock.unlink()
        other.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="needs the command lines of processes")
def test_lock_of_a_browser_that_was_killed_is_no_lock(tmp_path: Path) -> None:
    """Another process has its process id, as may happen after a restart of the machine."""
    profile = tmp_path / PROFILE
    profile.mkdir(mode=0o700, parents=True)
    (profile / "SingletonLock").symlink_to(f"{os.uname().nodename}-{os.getpid()}")
    with locked_profile(profile):
        assert (profile / "SingletonLock").is_symlink()


def test_open_profile_is_refused(dashboard: Company) -> None:
    served(dashboard)
    profile = dashboard.home.path / PROFILE
    profile.mkdir(parents=True)
    profile.chmod(0o755)
    result = dashboard.home.run(*SIGN_IN)
    assert result.code == 2
    assert "chmod 700" in result.err


def test_forget_removes_what_is_there(dashboard: Company) -> None:
    home = dashboard.home
    result = home.run(*FORGET)
    assert result.code == 0
    assert result.err.count("was not there") == 2
    elsewhere = home.path / "elsewhere"
    elsewhere.mkdir()
    (home.path / PROFILE).parent.mkdir(exist_ok=True)
    (home.path / PROFILE).symlink_to(elsewhere)
    assert home.run(*FORGET).code == 0
    assert elsewhere.is_dir()
    assert not (home.path / PROFILE).is_symlink()


def test_failed_renewal_keeps_the_exit_code(dashboard: Company) -> None:
    """AUTO_RENEW tries once; then a run with an expired session ends with 3, as before."""
    starts = dashboard.home.path / "starts"
    give_program(dashboard.home, f"#!/bin/sh\necho started >> {starts}\nexit 1\n")
    dashboard.home.settings["AUTO_RENEW"] = "true"
    result = dashboard.home.run("--last-28-days", "--source", "dashboard")
    assert result.code == 3
    assert "AUTO_RENEW did not help" in result.err
    assert starts.read_text() == "started\n"


def test_renewal_takes_what_another_process_got_meanwhile(dashboard: Company) -> None:
    """A run and `keep-alive` may notice at the same moment that the session has expired."""
    home, sim = dashboard.home, dashboard.sim
    starts = home.path / "starts"
    give_program(home, f"#!/bin/sh\necho started >> {starts}\nexit 1\n")
    sent = {SESSION_COOKIE: sim.cookie}
    sim.sign_in()
    home.sign_in(sim)
    renewal = Renewal(settings_of(home), allowed=True)
    session = renewal.instead_of(SignInRequired("it is over"), sent)
    assert session.cookies == {SESSION_COOKIE: sim.cookie} != sent
    assert not starts.exists()


def test_profile_is_waited_for(tmp_path: Path) -> None:
    is_held, is_waited_for = threading.Event(), threading.Event()

    def hold() -> None:
        with locked_profile(tmp_path / PROFILE):
            is_held.set()
            is_waited_for.wait(30)

    other = threading.Thread(target=hold, daemon=True)
    other.start()
    assert is_held.wait(30)
    threading.Timer(0.1, is_waited_for.set).start()
    with locked_profile(tmp_path / PROFILE, 60):
        assert is_waited_for.is_set()
    other.join(30)


def test_run_renews_once(dashboard: Company) -> None:
    """The run gets a session that soon expires, but does not start the browser again."""
    dashboard.home.settings["AUTO_RENEW"] = "true"
    log = served(dashboard, cookie_of(dashboard))
    dashboard.sim.add_fault(Fault(dashboard.then_expire, after=5, times=1))
    result = dashboard.home.run("--last-28-days", "--source", "dashboard")
    assert result.code == 3
    assert log.read_text().count("Browser.close") == 1


def test_status_check_renews_nothing(dashboard: Company) -> None:
    dashboard.home.settings["AUTO_RENEW"] = "true"
    log = served(dashboard, cookie_of(dashboard))
    assert dashboard.home.run("--auth", "--no-check", stdin="_session=c2Vzc2lvbg==.x").code == 0
    assert dashboard.home.run("status", "--check", "--source", "dashboard").code == 3
    assert not log.exists()


def test_browser_gets_no_setting_of_ours(dashboard: Company) -> None:
    env = dashboard.home.path / "env"
    give_program(dashboard.home, f"#!/bin/sh\nenv > {env}\n")
    dashboard.home.settings["AUGMENT_API_TOKEN"] = "svc_secret"
    assert dashboard.home.run(*SIGN_IN).code == 2
    assert "svc_secret" not in env.read_text()
    assert "DISPLAY=:none" in env.read_text()


def test_browsers_are_found_on_every_system(tmp_path: Path) -> None:
    places = {
        "linux": ("PATH", "microsoft-edge"),
        "darwin": ("HOME", "Applications/Chromium.app/Contents/MacOS/Chromium"),
        "win32": ("PROGRAMFILES", "Microsoft/Edge/Application/msedge.exe"),
    }
    for system, (variable, name) in places.items():
        program = tmp_path / system / name
        program.parent.mkdir(parents=True)
        program.touch(0o700)
        found = find_browser(None, system, {variable: str(tmp_path / system)})
        assert found == program
