"""`serve` among strangers: too many connections, slow ones, floods of log lines, and guessing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import select
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import requests
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.types import Message

from conftest import Home
from dashboard_scraper.cli.serving import serve
from dashboard_scraper.cli.wiring import audience_of, github_options, report_options, settling_of
from dashboard_scraper.clock import utc_now
from dashboard_scraper.errors import UsageError
from dashboard_scraper.github.kinds import Scope as ReportScope
from dashboard_scraper.github.views import GithubViews
from dashboard_scraper.log_repeats import INTERVAL_SECONDS, Repeats, repeats
from dashboard_scraper.report.view import ReportView
from dashboard_scraper.server.access import Access, Credentials
from dashboard_scraper.server.app import ServerOptions, make_app
from dashboard_scraper.server.connections import LimitedListener, Limits, client_of
from dashboard_scraper.server.guesses import LONGEST_WAIT_SECONDS, Guesses, TooManyGuesses
from dashboard_scraper.settings.config import load_settings
from dashboard_scraper.store import store_at
from dashboard_scraper.store.cache import StoreCache
from filled_store import SOURCE
from github_requests import USERS, with_a_day
from serving import SECONDS, Served, serving

OTHER_ADDRESS = "127.0.0.2"
FILES = 1024
HALF = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


@contextlib.contextmanager
def files_limited(most: int) -> Iterator[None]:
    """Limit how many files this process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    out = ["-out", f"{files[0]}", "-keyout", f"{files[1]}"]
    subprocess.run([*command.split(), *names, *out], check=True, capture_output=True, timeout=300)
    return files


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = with_a_day(tmp_path_factory.mktemp("served"))
    with serving(home, open_files=FILES) as server:
        yield server


@pytest.fixture(scope="module")
def secure(
    tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]
) -> Iterator[Served]:
    files = {"SERVE_TLS_CERT_FILE": f"{certificate[0]}", "SERVE_TLS_KEY_FILE": f"{certificate[1]}"}
    with serving(with_a_day(tmp_path_factory.mktemp("secure"), **files)) as server:
        yield server


class _From(requests.adapters.HTTPAdapter):
    """Requests from another address of this machine."""

    def init_poolmanager(self, *args: object, **options: object) -> None:
        options["source_address"] = (OTHER_ADDRESS, 0)
        super().init_poolmanager(*args, **options)  # type: ignore[arg-type]


def from_elsewhere(served: Served, path: str, token: str | None = None) -> int:
    """The status of a request from `OTHER_ADDRESS`."""
    with requests.Session() as session:
        session.mount("http://", _From())
        headers = {"Authorization": f"Bearer {token or served.token}"}
        return session.get(served.address + path, headers=headers, timeout=SECONDS).status_code


def open_files(served: Served) -> int:
    return len(list(Path(f"/proc/{served.process.pid}/fd").iterdir()))


def is_closed(connection: socket.socket, seconds: float) -> bool:
    """Whether the other end hangs up within this many seconds."""
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        if not select.select([connection], [], [], left)[0]:
            return False
        try:
            if not connection.recv(1 << 16):
                return True
        except OSError:
            return True
    return False


# Connections


def await_connection(listener: socket.socket) -> None:
    """Wait for the server's end: a client may see its connection before the listener does."""
    assert select.select([listener], [], [], SECONDS)[0]


@pytest.mark.slow
@pytest.mark.longest
def test_incomplete_requests_do_not_block_others(served: Served, secure: Served) -> None:
    """1,100 connections from one address, and 2,000 more that open and close. The 1,100 then send
    nothing more, or a byte at a time, or no further request, or not even a handshake.
    """
    before = served.log.count("\n")
    with contextlib.ExitStack() as stack:
        first = [stack.enter_context(served.connected(HALF)) for _ in range(100)]
        request_head = f"GET /healthz HTTP/1.1\r\nHost: {served.host}\r\n\r\n".encode()
        idle = stack.enter_context(served.connected(request_head + b"G"))
        handshake = stack.enter_context(secure.connected(b"\x16\x03"))
        for _ in range(1000):
            with contextlib.suppress(OSError):
                stack.enter_context(served.connected(HALF))
        for _ in range(2000):
            with contextlib.suppress(OSError):
                served.connected(b"G").close()
        assert from_elsewhere(served, "/healthz") == 200
        assert from_elsewhere(served, USERS) == 200
        assert open_files(served) < FILES / 2
        waiting, ends = [first[0], first[-1], idle, handshake], time.monotonic() + 4 * SECONDS
        while waiting:
            with contextlib.suppress(OSError):
                first[0].sendall(b"A")
            waiting = [each for each in waiting if not is_closed(each, 0.1)]
            assert time.monotonic() < ends, "a byte at a time must not be enough"
        assert served.get("/healthz").status_code == 200
    assert served.log.count("\n") - before < 30
    assert "Traceback" not in served.log


def test_listener_survives_lack_of_file_descriptors(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limits = Limits(1000, 1000)
    with LimitedListener(socket.create_server(("127.0.0.1", 0)), limits) as listener:
        listener.setblocking(False)
        address = listener.getsockname()
        with socket.create_connection(address) as waiting, socket.create_connection(address):
            free = socket.socket()
            lowest = free.fileno()
            free.close()
            await_connection(listener)
            with files_limited(lowest), pytest.raises(BlockingIOError):
                listener.accept()
            assert is_closed(waiting, SECONDS)
            await_connection(listener)
            listener.accept()[0].close()
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_limits_follow_open_file_limit() -> None:
    with files_limited(FILES):
        assert Limits.of_this_process() == Limits(512, 128)
    with files_limited(4096):
        assert Limits.of_this_process() == Limits(1000, 250)


def test_ipv6_network_counts_as_one_address() -> None:
    """An IPv4 address written as IPv6 counts as itself."""
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff:1") != client_of("2001:db8:0:1::1")
    assert client_of("::ffff:192.0.2.1") == client_of("192.0.2.1") != client_of("192.0.2.2")
    assert client_of("fe80::1%eth0") == client_of("fe80::2%eth0")


def test_address_is_limited_to_its_share() -> None:
    limits = Limits(100, 2)
    plain = socket.create_server(("::1", 0), family=socket.AF_INET6)
    with LimitedListener(plain, limits) as listener:
        address = listener.getsockname()[:2]
        listener.setblocking(False)
        with contextlib.ExitStack() as stack:
            accepted = []
            for _ in range(2):
                stack.enter_context(socket.create_connection(address))
                await_connection(listener)
                accepted.append(stack.enter_context(listener.accept()[0]))
            stack.enter_context(socket.create_connection(address))
            await_connection(listener)
            with pytest.raises(BlockingIOError):
                listener.accept()
            accepted[0].close()
            stack.enter_context(socket.create_connection(address))
            await_connection(listener)
            stack.enter_context(listener.accept()[0])


# The log


def filtered(lines: Iterator[tuple[float, logging.LogRecord]], made: list[str]) -> Repeats:
    """A filter after these lines, each with its second; messages that pass are added to `made`."""
    now = [0.0]
    counted = Repeats(clock=lambda: now[0])
    root = logging.getLogger("flood")
    handler = logging.Handler()
    handler.emit = lambda record: made.append(record.getMessage())  # type: ignore[method-assign]
    handler.addFilter(counted)
    root.handlers, root.propagate = [handler], False
    for second, record in lines:
        now[0] = second
        root.handle(record)
    return counted


def line(text: str, **extra: str) -> logging.LogRecord:
    record = logging.LogRecord("flood", logging.WARNING, "", 0, "%s", (text,), None)
    vars(record).update(extra)
    return record


@pytest.mark.slow
def test_repeated_line_is_logged_once_and_counted() -> None:
    made: list[str] = []
    flood = ((i / 1000, line("no request")) for i in range(100_000))
    counted = filtered(flood, made)
    assert made == ["no request", "no request: 59,999 more in the last 60 s", "no request"]
    counted.flush(everything=True)
    assert made[3:] == ["no request: 39,999 more in the last 40 s"]


def test_lines_of_group_are_counted_together() -> None:
    made: list[str] = []
    lines = [line(f"GET /{i}: 401", **repeats("refused")) for i in range(1000)]
    lines.append(line("the store failed"))
    counted = filtered(((0.0, each) for each in lines), made)
    counted.flush(everything=True)
    assert made == ["GET /0: 401", "the store failed", "refused: 999 more in the last 0 s"]


def test_number_of_different_lines_is_bounded() -> None:
    made: list[str] = []
    flood = ((0.0, line(f"line {i}")) for i in range(20_000))
    filtered(flood, made).flush(everything=True)
    assert len(made) < 1010
    assert made[-1].startswith("other lines: ")
    assert INTERVAL_SECONDS <= 60


@pytest.mark.slow
def test_bad_requests_do_not_fill_the_log(served: Served) -> None:
    before = served.log.count("\n")
    for number in range(150):
        requests.get(f"{served.address}/x{number}", timeout=SECONDS)
        served.connected(b"nonsense\r\n\r\n").close()
    assert served.log.count("\n") - before < 10


# Guesses


@pytest.mark.slow
def test_guessing_locks_out_nobody(served: Served) -> None:
    """The right token and the right link work, from the guessing address and from others."""
    link = served.link(USERS)
    bad_link = link[:-4] + "0000"
    with requests.Session() as session:
        wrong = {"Authorization": "Bearer wrong"}
        statuses = [
            session.get(served.address + USERS, headers=wrong, timeout=SECONDS).status_code
            for _ in range(26)
        ]
        refused = [session.get(bad_link, timeout=SECONDS).status_code for _ in range(26)]
    assert (set(statuses), set(refused)) == ({401}, {403})
    assert served.get(USERS).status_code == 200
    assert requests.get(link, timeout=SECONDS).status_code == 200
    assert from_elsewhere(served, USERS) == 200


NEVER = 1e-6
"""Turns per second: a wait for one would take days."""


def asked(guesses: Guesses, address: str, *, right: bool) -> bool | int:
    """The answer, or the seconds after which to try again."""
    try:
        return asyncio.run(guesses.check(address, lambda: right))
    except TooManyGuesses as error:
        return error.retry_after


def test_too_many_guesses_raise_time_to_retry() -> None:
    guesses = Guesses(per_address=(3, NEVER))
    assert [asked(guesses, "192.0.2.1", right=False) for _ in range(3)] == [False] * 3
    assert asked(guesses, "192.0.2.1", right=False) > 1000
    assert asked(guesses, "192.0.2.2", right=True) is True


def test_wrong_guesses_delay_next_check() -> None:
    """Even of a right token: otherwise the time of the answer would show who guesses."""
    now = 0.0
    events: list[float | str] = []

    async def sleep(seconds: float) -> None:
        events.append(round(seconds, 3))

    def is_right() -> bool:
        events.append("checked")
        return len(events) > 6

    guesses = Guesses(per_address=(2, 10), clock=lambda: now, sleep=sleep)
    answers = [asyncio.run(guesses.check("192.0.2.1", is_right)) for _ in range(5)]
    assert events == ["checked", "checked", 0.1, "checked", 0.2, "checked", 0.3, "checked"]
    assert answers == [False, False, False, False, True]
    now, events[:] = 0.35, []
    assert asyncio.run(guesses.check("192.0.2.1", is_right)) is False
    assert events == ["checked"]


def test_guess_that_is_given_up_counts() -> None:
    async def hang_up(_seconds: float) -> None:
        raise asyncio.CancelledError

    guesses = Guesses(per_address=(1, 1), clock=lambda: 0.0, sleep=hang_up)
    assert asked(guesses, "192.0.2.1", right=False) is False
    for _ in range(LONGEST_WAIT_SECONDS):
        with pytest.raises(asyncio.CancelledError):
            asked(guesses, "192.0.2.1", right=True)
    assert asked(guesses, "192.0.2.1", right=True) == 1


def test_right_tokens_are_not_counted() -> None:
    guesses = Guesses(per_address=(3, NEVER), in_total=(3, NEVER))
    assert all(asked(guesses, "192.0.2.1", right=True) is True for _ in range(100))


def test_total_limit_exempts_known_addresses() -> None:
    guesses = Guesses(in_total=(5, NEVER))
    assert asked(guesses, "198.51.100.1", right=True) is True
    answers = [asked(guesses, f"192.0.2.{n}", right=False) for n in range(20)]
    assert answers[:5] == [False] * 5
    assert min(answers[5:]) > 1000
    assert asked(guesses, "198.51.100.1", right=True) is True


def app_of(home: Home, guesses: Guesses) -> Starlette:
    """The application that `serve` runs over the home's store, with TOKEN."""
    settings = load_settings(home.path, metrics_source=SOURCE)
    audience = audience_of(settings)
    cache = StoreCache(store_at(settings.store_url))
    views = GithubViews(
        cache,
        SOURCE,
        audience.of(SOURCE),
        github_options(settings),
        settling_of(settings),
        utc_now,
        settings.reconcile_tolerance,
    )
    report = ReportView(cache, settings.covered, audience, report_options(settings), utc_now)
    access = Access(Credentials.of_token(TOKEN, "any"))
    return make_app(views, report, access, ServerOptions(SLUGS), guesses)


TOKEN = "right" * 5
SLUGS: dict[ReportScope, Sequence[str]] = dict.fromkeys(ReportScope, ())
LINK = "/downloads/enterprise/users-1-day"


async def answer_of(
    app: Starlette, path: str, token: str = "", address: str = "192.0.2.1"
) -> tuple[int, Headers]:
    """Status and headers of the answer to a request from an address."""
    place, _, query = path.partition("?")
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"x")] + [(b"authorization", f"Bearer {token}".encode())] * bool(token)
    scope = {
        "type": "http",
        "method": "GET",
        "path": place,
        "query_string": query.encode(),
        "headers": headers,
        "client": (address, 1),
        "server": ("x", 80),
        "scheme": "http",
        "http_version": "1.1",
    }
    await app(scope, receive, send)
    return sent[0]["status"], Headers(raw=sent[0]["headers"])


@pytest.mark.slow
def test_wrong_tokens_and_links_share_one_count(home: Home) -> None:
    """Beyond the limit, both get 429 with the seconds to wait; other addresses are answered."""
    app = app_of(with_a_day(home.path), Guesses(per_address=(4, NEVER)))

    async def ask() -> None:
        for _ in range(2):
            assert (await answer_of(app, USERS, "wrong"))[0] == 401
            assert (await answer_of(app, f"{LINK}?expires=1&signature=0"))[0] == 403
        for path, token in ((USERS, "wrong"), (USERS, TOKEN), (f"{LINK}?signature=0", "")):
            status, headers = await answer_of(app, path, token)
            assert status == 429
            assert int(headers["retry-after"]) > 1000
        assert (await answer_of(app, USERS, TOKEN, OTHER_ADDRESS))[0] == 200

    asyncio.run(ask())


# TLS


def refusal(home: Home, host: str = "127.0.0.1", *, insecure: bool = False, **set_: str) -> str:
    """The message with which the server refuses to start."""
    settings = load_settings(home.path, **set_)
    with pytest.raises(UsageError) as refused:
        serve(settings, host, 0, insecure=insecure)
    return str(refused.value)


@pytest.mark.slow
def test_tls_is_served_and_links_use_https(secure: Served, certificate: tuple[Path, Path]) -> None:
    assert secure.address.startswith("https://127.0.0.1:")
    headers = {"Authorization": f"Bearer {secure.token}"}
    trusted = f"{certificate[0]}"
    answer = requests.get(secure.address + USERS, headers=headers, verify=trusted, timeout=SECONDS)
    (link,) = answer.json()["download_links"]
    assert link.startswith(f"{secure.address}/downloads/")
    assert requests.get(link, verify=trusted, timeout=SECONDS).status_code == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_tls_below_1_2_is_refused(secure: Served, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")  # otherwise this end would not even ask
    context.minimum_version = context.maximum_version = version
    is_old = version is ssl.TLSVersion.TLSv1_1
    refusing = pytest.raises(ssl.SSLError) if is_old else contextlib.nullcontext()
    with socket.create_connection(("127.0.0.1", secure.port), SECONDS) as plain, refusing:
        context.wrap_socket(plain).close()


def test_other_machines_need_tls_or_insecure(home: Home) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", ""):
        message = refusal(home, host)
        assert "SERVE_TLS_CERT_FILE" in message
        assert "--insecure" in message
    result = home.run("serve", "--port", "0", "--host", "0.0.0.0")
    assert (result.code, result.out) == (2, "")
    assert not (home.path / "secrets").exists()


def encrypted(certificate: tuple[Path, Path], folder: Path) -> tuple[Path, Path]:
    key = folder / "encrypted.pem"
    command = f"openssl ec -in {certificate[1]} -out {key} -aes128 -passout pass:secret"
    subprocess.run(command.split(), check=True, capture_output=True, timeout=300)
    key.chmod(0o600)
    return certificate[0], key


def readable(certificate: tuple[Path, Path], folder: Path) -> tuple[Path, Path]:
    key = folder / "key.pem"
    key.write_bytes(certificate[1].read_bytes())
    key.chmod(0o644)
    return certificate[0], key


WRONG_FILES: dict[str, tuple[Callable[[tuple[Path, Path], Path], tuple[Path, Path]], str]] = {
    "no key": (lambda files, folder: (files[0], folder / "none.pem"), "not exist"),
    "no certificate": (lambda files, folder: (folder / "none.pem", files[1]), "not exist"),
    "the other way round": (lambda files, _folder: (files[1], files[1]), "not a certificate"),
    "encrypted": (encrypted, "not encrypted"),
    "others can read it": (readable, "chmod 600"),
}


@pytest.mark.parametrize("case", WRONG_FILES)
@pytest.mark.slow
def test_invalid_certificate_or_key_is_refused(
    case: str, home: Home, certificate: tuple[Path, Path]
) -> None:
    change, complaint = WRONG_FILES[case]
    cert, key = change(certificate, home.path)
    assert complaint in refusal(home, serve_tls_cert_file=f"{cert}", serve_tls_key_file=f"{key}")


@pytest.mark.slow
def test_incomplete_tls_settings_are_refused(home: Home, certificate: tuple[Path, Path]) -> None:
    """`--insecure` with TLS is refused too."""
    cert, key = f"{certificate[0]}", f"{certificate[1]}"
    with pytest.raises(UsageError, match="set both"):
        load_settings(home.path, serve_tls_cert_file=cert)
    message = refusal(home, serve_tls_cert_file=cert, serve_tls_key_file=key, insecure=True)
    assert "--insecure" in message
