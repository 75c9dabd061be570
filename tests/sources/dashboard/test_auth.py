"""The session: pasted or piped in, stored in a private file, checked."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from conftest import Home, Result, Start, left_after_failure, today
from dashboard_scraper.simulator import Fault, Organization, Simulator, set_cookie
from dashboard_scraper.sources.dashboard.cookie_auth import SESSION_COOKIE
from dashboard_scraper.sources.rest.urls import origin_of
from ports import reserved_port
from sessions import AUTH, FORMS, ONE_DAY, SHAPES, SIGN_IN, assert_no_secret, saved_cookies


def curl(sim: Simulator) -> str:
    """As a browser copies it: many lines, with the session in the last one."""
    return (
        f"curl '{sim.url}/api/user-feature-stats' \\\n  -H 'accept: */*' \\\n"
        f"  -H 'user-agent: Mozilla/5.0' \\\n  -b 'theme=dark; _session={sim.cookie}'\n"
    )


@pytest.fixture
def signed_out(home: Home, sim: Simulator) -> Home:
    """A home of `sim` without a cookie file or its folder."""
    assert sim.url in home.settings["METRICS_API_BASE_URL"]
    home.cookie_file.unlink()
    home.cookie_file.parent.rmdir()
    home.settings["LOG_LEVEL"] = "DEBUG"
    return home


# What is piped in


@pytest.mark.parametrize("form", ["encoded", "decoded", "bare", "bare decoded", "curl"])
def test_piped_session_is_checked_and_stored(form: str, signed_out: Home, sim: Simulator) -> None:
    paste = {
        "encoded": f"_session={sim.cookie}\n",
        "decoded": f"_session={sim.cookie_decoded}\n",
        "bare": sim.cookie,
        "bare decoded": sim.cookie_decoded,
        "curl": curl(sim),
    }[form]
    result = signed_out.run(AUTH, stdin=paste)
    assert (result.code, result.out) == (0, "")
    assert [request.status for request in sim.requests] == [200]
    assert "the dashboard accepts the session" in result.err
    assert saved_cookies(signed_out)[SESSION_COOKIE] in (sim.cookie, sim.cookie_decoded)
    assert_no_secret(sim, result.err)
    assert signed_out.run(*ONE_DAY).code == 0


def test_no_check_stores_without_a_request(signed_out: Home, sim: Simulator) -> None:
    result = signed_out.run(AUTH, "--no-check", stdin=sim.cookie)
    assert (result.code, sim.requests) == (0, [])
    assert "accepts" not in result.err
    assert saved_cookies(signed_out) == {SESSION_COOKIE: sim.cookie}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.slow
def test_refused_session_is_not_stored(shape: str, home: Home, start: Start) -> None:
    sim = start(expired_shape=shape)
    result = home.run(AUTH, stdin="_session=0123456789abcdef0123456789abcdef01234567")
    assert (result.code, sim.count()) == (3, 1)
    assert SIGN_IN in result.err
    assert "accepts" not in result.err
    assert_no_secret(sim, result.err)
    assert "the stored one stays" in result.err
    assert saved_cookies(home) == {SESSION_COOKIE: sim.cookie}
    assert home.run(*ONE_DAY).code == 0


@pytest.mark.parametrize("words", [[AUTH], ONE_DAY], ids=["a wrong paste", "a run"])
def test_first_sign_in_does_not_say_again(words: list[str], signed_out: Home) -> None:
    result = signed_out.run(*words, stdin="0123456789abcdef")
    assert (result.code, "Traceback" in result.err) == (3, False)
    assert SIGN_IN in result.err
    assert not re.search(r"\bagain\b|expired|stored one", result.err)
    assert not signed_out.cookie_file.exists()


@pytest.mark.parametrize(
    ("code", "setting", "value"),
    [(4, "MAX_RETRIES", "0"), (5, "TENANT_MAU_ENDPOINT", "/nothing-here")],
    ids=["no dashboard", "another path"],
)
def test_unchecked_session_is_stored_only_on_request(
    code: int, setting: str, value: str, home: Home, start: Start
) -> None:
    assert start().url
    home.settings[setting] = value
    before = home.cookie_file.read_bytes()
    with reserved_port() as closed:
        if code == 4:
            home.settings["METRICS_API_BASE_URL"] = f"http://127.0.0.1:{closed}/"
        result = home.run(AUTH, stdin="_session=another")
    assert (result.code, "accepts" in result.err) == (code, False)
    assert "--no-check saves it" in result.err
    assert home.cookie_file.read_bytes() == before
    assert home.run(AUTH, "--no-check", stdin="_session=another").code == 0
    assert saved_cookies(home) == {SESSION_COOKIE: "another"}


def test_session_renewed_by_the_check_is_stored(signed_out: Home, sim: Simulator) -> None:
    sim.add_fault(Fault(set_cookie("theme=light; Path=/"), times=1))
    assert signed_out.run(AUTH, stdin=f"_session={sim.cookie}; theme=dark").code == 0
    assert saved_cookies(signed_out) == {SESSION_COOKIE: sim.cookie, "theme": "light"}


@pytest.mark.parametrize(
    ("paste", "reason"),
    [
        (b"", "nothing was pasted"),
        (b"theme=dark", "no _session cookie"),
        (b"\xff\xfe\x00secret", "not text"),
        (b"x" * (1 << 20) + b"y", "too long"),
    ],
    ids=["empty", "another cookie", "no text", "too long"],
)
def test_invalid_paste_leaves_the_stored_session(
    paste: bytes, reason: str, home: Home, sim: Simulator
) -> None:
    before = home.cookie_file.read_bytes()
    result = home.run(AUTH, stdin=paste)
    assert (result.code, sim.requests) == (2, [])
    assert reason in result.err
    assert home.cookie_file.read_bytes() == before


@pytest.mark.slow
def test_closed_standard_input_is_refused(home: Home, sim: Simulator) -> None:
    command = ["sh", "-c", 'exec "$@" <&-', "sh", *home.command(AUTH)]
    done = subprocess.run(
        command, env=home.environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr, sim.requests) == (2, False, [])


# What is pasted on a terminal


@dataclass
class Terminal:
    """`--auth` on a pseudo-terminal; `shown` is all of its output so far."""

    process: subprocess.Popen[bytes]
    master: int
    shown: bytes = b""
    deadline: float = field(default_factory=lambda: time.monotonic() + 60)

    def echo(self) -> bool:
        return bool(termios.tcgetattr(self.master)[3] & termios.ECHO)

    def read(self) -> bool:
        """Read the output so far; False at the end."""
        assert time.monotonic() < self.deadline, self.shown
        try:
            chunk = os.read(self.master, 65536)
        except BlockingIOError:
            time.sleep(0.005)
            return True
        except OSError:  # nobody has the other end open any longer
            return False
        self.shown += chunk
        return bool(chunk)

    def until_asked(self) -> None:
        while b"Session cookie: " not in self.shown or self.echo():
            assert self.read(), self.shown

    def paste(self, text: str) -> None:
        data = text.encode()
        while data:
            try:
                data = data[os.write(self.master, data) :]
            except BlockingIOError:
                assert self.read(), self.shown

    def end(self) -> Result:
        while self.process.poll() is None:
            self.read()
        while not self.echo() and self.read():
            pass
        shown = self.shown.decode()
        return Result(self.process.wait(), "", shown)


@contextmanager
def terminal(home: Home, *words: str) -> Iterator[Terminal]:
    """All three streams of the program are the terminal; Ctrl-C works as in a shell."""
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        home.command(AUTH, *words),
        env=home.environment(),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    signal.signal(signal.SIGINT, before)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(slave)
        os.close(master)


@pytest.mark.parametrize("form", ["long", "curl"])
@pytest.mark.slow
def test_paste_on_a_terminal_is_not_shown(form: str, signed_out: Home, sim: Simulator) -> None:
    long = f"Cookie: theme={'d' * 9000}; _session={sim.cookie}"
    paste = {"long": long, "curl": curl(sim)}[form]
    with terminal(signed_out) as tty:
        tty.until_asked()
        for line in f"{paste}\n".splitlines(keepends=True):
            tty.paste(line)  # a terminal may pass on a paste line by line
            time.sleep(0.02)
        result = tty.end()
        assert tty.echo()
    assert result.code == 0, result.err
    assert saved_cookies(signed_out)[SESSION_COOKIE] == sim.cookie
    assert [request.status for request in sim.requests] == [200]
    assert_no_secret(sim, result.err)
    assert not any(word in result.err for word in ("dddd", "Mozilla", "theme"))
    assert "Open the developer tools" in result.err


@pytest.mark.slow
def test_ctrl_c_at_the_prompt_restores_the_terminal(signed_out: Home, sim: Simulator) -> None:
    with terminal(signed_out) as tty:
        tty.until_asked()
        tty.process.send_signal(signal.SIGINT)
        result = tty.end()
        assert tty.echo()
    assert (result.code, "Traceback" in result.err, sim.requests) == (130, False, [])
    assert not signed_out.cookie_file.exists()


# The file

WATCH = """
import os, runpy, stat, sys
folder, seen, looking = sys.argv.pop(1), set(), False
def look(event, args):
    global looking
    if looking or not os.path.isdir(folder):
        return
    looking = True
    seen.add("folder %o" % stat.S_IMODE(os.stat(folder).st_mode))
    seen.update("file %o" % stat.S_IMODE(entry.stat().st_mode) for entry in os.scandir(folder))
    looking = False
os.umask(0)
sys.addaudithook(look)
try:
    runpy.run_module("dashboard_scraper", run_name="__main__")
finally:
    look(None, None)
    print(*sorted(seen), sep=",")
"""


@pytest.mark.slow
def test_cookie_file_is_private_from_the_start(signed_out: Home, sim: Simulator) -> None:
    # The hook checks the folder before each file operation of the program.
    watched = [str(signed_out.cookie_file.parent), "--home", str(signed_out.path), AUTH]
    done = subprocess.run(
        [sys.executable, "-c", WATCH, *watched],
        env=signed_out.environment(),
        input=sim.cookie,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "file 600,folder 700")


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_readable_cookie_file_is_refused_with_a_fix(mode: int, home: Home, sim: Simulator) -> None:
    home.settings["COOKIE_FILE"] = "it's mine/the cookies.json"
    assert home.run(AUTH, "--no-check", stdin=sim.cookie).code == 0
    file = home.path / home.settings["COOKIE_FILE"]
    file.chmod(mode)
    result = home.run(*ONE_DAY)
    assert (result.code, sim.requests, home.files()) == (2, [], set())
    command = re.search(r"chmod .*$", result.err, re.MULTILINE)
    assert command
    subprocess.run(["sh", "-c", command.group()], check=True, timeout=300)
    assert home.run(*ONE_DAY).code == 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.slow
def test_run_without_session_sends_no_request(form: str, home: Home, sim: Simulator) -> None:
    assert home.run(*FORMS[form]).code == 0
    home.cookie_file.unlink()
    before, requests = home.files(), sim.count()
    result = home.run(*FORMS[form])
    assert (result.code, result.out, sim.count()) == (3, "", requests)
    assert "no cookies found" in result.err
    assert SIGN_IN in result.err
    assert home.files() == left_after_failure(before)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"cookies": 3, "origin": "x"}', b'{"a": 1}'),
        *(b'{"a": "b"}', b'{"_session": ""}', b'{"_session": {"value": "x"}}'),
    ],
)
def test_damaged_cookie_file_is_reported(data: bytes, home: Home, sim: Simulator) -> None:
    home.cookie_file.write_bytes(data)
    result = home.run(*ONE_DAY)
    assert (result.code, sim.requests) == (3, [])
    assert "damaged" in result.err
    assert SIGN_IN in result.err


def test_plain_map_of_cookies_is_converted(home: Home, start: Start) -> None:
    """The format that the first tool for this dashboard wrote."""
    sim = start(rolling=True)
    home.cookie_file.write_text(json.dumps({SESSION_COOKIE: sim.cookie, "theme": "dark"}))
    assert home.run(*ONE_DAY).code == 0
    assert saved_cookies(home) == {SESSION_COOKIE: sim.cookie, "theme": "dark"}
    origin = json.loads(home.cookie_file.read_bytes())["origin"]
    assert origin == origin_of(sim.url)


def test_list_of_cookies_in_the_file_is_refused(home: Home, sim: Simulator) -> None:
    exported = json.dumps([{"name": SESSION_COOKIE, "value": sim.cookie, "domain": "127.0.0.1"}])
    home.cookie_file.write_text(exported)
    result = home.run(*ONE_DAY)
    assert (result.code, sim.requests) == (3, [])
    assert "only --auth reads" in result.err
    assert home.run(AUTH, stdin=home.cookie_file.read_bytes()).code == 0
    assert saved_cookies(home) == {SESSION_COOKIE: sim.cookie}


def test_cookies_of_another_origin_are_not_sent(home: Home, sim: Simulator) -> None:
    with Simulator(Organization(users=2, today=today())) as other:
        home.settings["METRICS_API_BASE_URL"] = other.url
        result = home.run(*ONE_DAY)
        assert (result.code, other.requests, sim.requests) == (3, [], [])
        assert SIGN_IN in result.err
