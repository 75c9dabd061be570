"""The way to the dashboard: base URLs, TLS, proxies, and how a log shows a URL."""

from __future__ import annotations

import base64
import http.client
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import certifi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Home, Start, last_working_day
from dashboard_scraper.simulator import (
    Fault,
    Paging,
    Simulator,
    next_elsewhere,
    set_cookie,
    status,
)
from dashboard_scraper.sources.dashboard.cookie_auth import SESSION_COOKIE
from dashboard_scraper.sources.dashboard.settings import Endpoint
from dashboard_scraper.sources.rest.trust import trusting
from dashboard_scraper.sources.rest.urls import origin_of, redact
from ports import reserved_port
from saved_cookies import save_cookies

PATHS = [f"/api/{endpoint.value}" for endpoint in Endpoint]
DAY = last_working_day()
NAMES = {f"metrics_{DAY:%Y%m%d}.csv", f"metrics_{DAY:%Y%m%d}_tenant.csv"}
HOST = "dashboard.example.com"
USER, PASSWORD = "ada", "hunter2-is-secret"
CREDENTIALS = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def sign_in_at(home: Home, base_url: str, cookie: str) -> None:
    home.settings["METRICS_API_BASE_URL"] = base_url
    save_cookies(home.cookie_file, {SESSION_COOKIE: cookie}, origin_of(base_url))


@pytest.fixture
def closed_port() -> Iterator[int]:
    with reserved_port() as port:
        yield port


def assert_whole(home: Home, *words: str) -> str:
    """The run succeeds and writes both files; returns its log."""
    result = home.run(f"{DAY}", *words)
    assert result.code == 0, result.err
    assert home.files() == NAMES
    return result.err


def assert_failed(home: Home, code: int, *words: str) -> str:
    """The run ends with the code, these words in its error, and no file; returns its log."""
    result = home.run(f"{DAY}", "--log-level", "DEBUG")
    assert result.code == code, result.err
    (error,) = (line for line in result.err.splitlines() if " ERROR " in line)
    assert all(word in error for word in words), error
    assert (result.out, home.files()) == ("", set())
    return result.err


@pytest.mark.parametrize("slashes", ["", "/", "//"])
@pytest.mark.slow
def test_between_base_and_endpoint_is_one_slash(home: Home, sim: Simulator, slashes: str) -> None:
    home.settings["METRICS_API_BASE_URL"] = sim.url + slashes
    assert_whole(home)
    assert [request.path for request in sim.requests] == PATHS


@pytest.mark.parametrize("base", ["/api", "/api/"])
@pytest.mark.parametrize("path", ["user-feature-stats", "/user-feature-stats"])
@pytest.mark.slow
def test_a_base_url_may_have_a_path(home: Home, sim: Simulator, base: str, path: str) -> None:
    home.settings |= {
        "METRICS_API_BASE_URL": sim.url + base,
        "USER_FEATURE_STATS_ENDPOINT": path,
        "SCRAPE_ENDPOINTS": "user-feature-stats",
    }
    assert home.run(f"{DAY}").code == 0
    assert [request.path for request in sim.requests] == PATHS[:1]


def test_dates_are_sent_as_compact_json(home: Home, sim: Simulator) -> None:
    """If there are spaces, the server answers without data."""
    assert home.run("10-01-2025", "2025-10-21").code == 0
    assert [request.query for request in sim.requests] == [
        {
            "startDate": '{"year":2025,"month":10,"day":1}',
            "endDate": '{"year":2025,"month":10,"day":21}',
        }
    ] * 3


def test_refused_connection_is_unavailable(home: Home, closed_port: int) -> None:
    sign_in_at(home, f"http://127.0.0.1:{closed_port}", "x")
    assert_failed(home, 4, "Connection refused", "gave up after 4 attempts")


def test_an_unknown_host_is_an_unavailable_source(home: Home) -> None:
    sign_in_at(home, "http://no-such-host.invalid/", "x")
    assert_failed(home, 4, "no-such-host.invalid", "gave up after 4 attempts")


class Proxy(ThreadingHTTPServer):
    """Forwards requests to `HOST`, and any tunnel, to one simulator; requires `credentials`."""

    daemon_threads = True

    def __init__(self, target: Simulator, credentials: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        address = urlsplit(target.url)
        self.target = (address.hostname or "", address.port or 0)
        self.credentials = credentials
        self.asked: list[str] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _ProxyHandler(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        if not self._allowed():
            return
        url = urlsplit(self.path)
        upstream = http.client.HTTPConnection(*self.server.target)
        headers = {"Cookie": self.headers["Cookie"], "Host": url.netloc}
        upstream.request("GET", f"{url.path}?{url.query}", headers=headers)
        answer = upstream.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", f"{len(body)}")
        self.end_headers()
        self.wfile.write(body)
        upstream.close()

    def do_CONNECT(self) -> None:
        if not self._allowed():
            return
        with socket.create_connection(self.server.target) as upstream:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_pump, args=(upstream, self.connection), daemon=True)
            back.start()
            _pump(self.connection, upstream)
            back.join()
        self.close_connection = True

    def _allowed(self) -> bool:
        self.server.asked.append(self.path)
        wanted = self.server.credentials
        if wanted and self.headers["Proxy-Authorization"] != f"Basic {wanted}":
            self.send_error(407)
            return False
        return True

    def log_message(self, *_message: object) -> None:
        """Silence."""


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxies() -> Iterator[list[Proxy]]:
    """The proxies that a test starts; they end with it."""
    begun: list[Proxy] = []
    yield begun
    for proxy in begun:
        proxy.shutdown()
        proxy.server_close()


def begin(proxies: list[Proxy], target: Simulator, credentials: str | None = None) -> Proxy:
    proxy = Proxy(target, credentials)
    proxies.append(proxy)
    threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True).start()
    return proxy


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_proxy_resolves_the_host(
    home: Home, sim: Simulator, proxies: list[Proxy], variable: str
) -> None:
    proxy = begin(proxies, sim)
    sign_in_at(home, f"http://{HOST}/", sim.cookie)
    home.settings[variable] = f"http://127.0.0.1:{proxy.port}"
    assert_whole(home)
    assert [url.partition("?")[0] for url in proxy.asked] == [f"http://{HOST}{p}" for p in PATHS]
    assert sim.count() == 3


def test_no_proxy_is_honoured(home: Home, sim: Simulator, closed_port: int) -> None:
    home.settings |= {"HTTP_PROXY": f"http://127.0.0.1:{closed_port}", "NO_PROXY": "127.0.0.1"}
    assert_whole(home)
    assert sim.count() == 3


@pytest.mark.slow
def test_proxy_password_is_sent_but_not_logged(
    home: Home, sim: Simulator, proxies: list[Proxy], closed_port: int
) -> None:
    """If it works, if the proxy refuses it, and if there is no proxy at all."""
    proxy = begin(proxies, sim, CREDENTIALS)
    sign_in_at(home, f"http://{HOST}/", sim.cookie)
    logs = []
    home.settings["HTTP_PROXY"] = f"http://{USER}:{PASSWORD}@127.0.0.1:{closed_port}"
    logs.append(assert_failed(home, 4, "Connection refused"))
    home.settings["HTTP_PROXY"] = f"http://{USER}:not-{PASSWORD}@127.0.0.1:{proxy.port}"
    logs.append(assert_failed(home, 2, "407", "proxy"))
    home.settings["HTTP_PROXY"] = f"http://{USER}:{PASSWORD}@127.0.0.1:{proxy.port}"
    logs.append(assert_whole(home, "--log-level", "DEBUG"))
    assert len(proxy.asked) == 4
    for log in logs:
        assert PASSWORD not in log
        assert CREDENTIALS not in log
        assert sim.cookie not in log


@pytest.mark.parametrize("proxy", ["nonsense://127.0.0.1:1", "http://[", "http://127.0.0.1:port"])
def test_malformed_proxy_is_a_usage_error(home: Home, sim: Simulator, proxy: str) -> None:
    home.settings["HTTP_PROXY"] = proxy
    assert_failed(home, 2, "proxy")
    assert sim.count() == 0


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A self-signed certificate, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    files = (f"{folder / 'certificate.pem'}", f"{folder / 'key.pem'}")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST},IP:127.0.0.1"]
    out = ["-out", files[0], "-keyout", files[1]]
    subprocess.run([*command.split(), *names, *out], check=True, capture_output=True, timeout=300)
    return files


@pytest.fixture
def secure(start: Start, certificate: tuple[str, str]) -> Simulator:
    return start(tls=certificate)


def test_untrusted_certificate_is_not_retried(
    home: Home, secure: Simulator, proxies: list[Proxy]
) -> None:
    """Tunnels are counted, as failures before the first byte of a request reach no server."""
    proxy = begin(proxies, secure)
    home.settings["HTTPS_PROXY"] = f"http://127.0.0.1:{proxy.port}"
    assert_failed(home, 4, "certificate verify failed", "REQUESTS_CA_BUNDLE")
    assert (len(proxy.asked), secure.count()) == (1, 0)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_private_ca_is_trusted_where_it_is_named(
    home: Home, secure: Simulator, certificate: tuple[str, str], variable: str
) -> None:
    home.settings[variable] = certificate[0]
    assert_whole(home)
    assert secure.count() == 3


def test_certificate_of_another_host_is_refused(
    home: Home, secure: Simulator, certificate: tuple[str, str], proxies: list[Proxy]
) -> None:
    proxy = begin(proxies, secure)
    sign_in_at(home, "https://elsewhere.example.com/", secure.cookie)
    home.settings |= {
        "REQUESTS_CA_BUNDLE": certificate[0],
        "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}",
    }
    assert_failed(home, 4, "certificate verify failed")
    assert secure.count() == 0


def test_certificates_are_read_again_only_where_they_changed(
    tmp_path: Path, certificate: tuple[str, str]
) -> None:
    """A run that lasts for months, such as `watch`, trusts a new file without a restart."""
    place = tmp_path / "ca.pem"
    place.write_bytes(Path(certificate[0]).read_bytes())
    first = trusting(f"{place}")
    assert trusting(f"{place}") is first
    place.write_bytes(Path(certifi.where()).read_bytes())
    assert len(trusting(f"{place}").get_ca_certs()) > len(first.get_ca_certs()) == 1


def test_tls_goes_through_a_proxys_tunnel(
    home: Home, secure: Simulator, certificate: tuple[str, str], proxies: list[Proxy]
) -> None:
    proxy = begin(proxies, secure, CREDENTIALS)
    sign_in_at(home, f"https://{HOST}/", secure.cookie)
    home.settings |= {
        "REQUESTS_CA_BUNDLE": certificate[0],
        "HTTPS_PROXY": f"http://{USER}:{PASSWORD}@127.0.0.1:{proxy.port}",
    }
    assert PASSWORD not in assert_whole(home, "--log-level", "DEBUG")
    assert proxy.asked == [f"{HOST}:443"]


def test_refused_tunnel_is_reported_with_its_reason(
    home: Home, secure: Simulator, proxies: list[Proxy]
) -> None:
    proxy = begin(proxies, secure, CREDENTIALS)
    home.settings["HTTPS_PROXY"] = f"http://127.0.0.1:{proxy.port}"
    assert_failed(home, 2, "407", "proxy")
    assert secure.count() == 0


def test_missing_ca_file_is_a_usage_error(home: Home, secure: Simulator) -> None:
    home.settings["REQUESTS_CA_BUNDLE"] = f"{home.path / 'missing.pem'}"
    assert_failed(home, 2, "REQUESTS_CA_BUNDLE", "missing.pem")
    assert secure.count() == 0


def test_ca_file_without_certificate_is_a_usage_error(home: Home, secure: Simulator) -> None:
    bundle = home.path / "notes.pem"
    bundle.write_text("no certificate")
    home.settings["REQUESTS_CA_BUNDLE"] = f"{bundle}"
    assert_failed(home, 2, "REQUESTS_CA_BUNDLE")
    assert secure.count() == 0


def cursors_of(sim: Simulator) -> set[str]:
    return {r.query["cursor"] for r in sim.requests if "cursor" in r.query}


@pytest.mark.parametrize("style", ["next", "cursor"])
@pytest.mark.parametrize(
    "effect",
    [None, status(503), set_cookie("a=b\r\nno header at all")],
    ids=["works", "503", "malformed header"],
)
def test_no_cursor_and_no_cookie_is_in_any_log(
    home: Home, start: Start, style: str, effect: object
) -> None:
    """If later pages arrive, fail for good, or have headers about which a library complains."""
    sim = start(paging=Paging(style, page_size=5))  # type: ignore[arg-type]
    if callable(effect):
        sim.add_fault(Fault(effect, after=1))
    log = home.run(f"{DAY}", "--log-level", "DEBUG").err
    cursors = cursors_of(sim)
    assert cursors
    assert "cursor=REDACTED" in log
    assert not [secret for secret in (*cursors, sim.cookie, sim.cookie_decoded) if secret in log]


def test_failure_on_a_later_page_logs_no_cursor(home: Home) -> None:
    """Not even in the traceback at DEBUG: the libraries' own messages contain whole URLs."""
    page = b'{"userFeatureStats":[],"next":"?cursor=opaque-secret"}'

    def answer_once(server: socket.socket) -> None:
        connection, _ = server.accept()
        server.shutdown(socket.SHUT_RDWR)  # refuses others from now on, and keeps the port
        with connection:
            connection.recv(1 << 16)
            head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            connection.sendall(head % len(page) + page)

    server = socket.create_server(("127.0.0.1", 0))
    sign_in_at(home, f"http://127.0.0.1:{server.getsockname()[1]}/", "x")
    thread = threading.Thread(target=answer_once, args=(server,), daemon=True)
    thread.start()
    log = assert_failed(home, 4, "cursor=REDACTED", "Connection refused")
    thread.join()
    server.close()
    assert "opaque-secret" not in log


def test_next_with_a_password_is_refused_unlogged(home: Home, sim: Simulator) -> None:
    url = f"{sim.url.replace('://', f'://{USER}:{PASSWORD}@')}/api?cursor=opaque-secret"
    sim.add_fault(Fault(next_elsewhere(url)))
    log = assert_failed(home, 5, "nothing was sent")
    assert PASSWORD not in log
    assert "opaque-secret" not in log


# Characters that occur in no other part of the URLs below, so that a leak cannot hide.
secrets = st.text("QWXYZ89", min_size=6)
names = st.sampled_from(["cursor", "token", "next_cursor", "sig", "page_token", "key"])
hosts = st.sampled_from([HOST, "127.0.0.1", "[::1]"])
paths = st.sampled_from(["", "/", "/api/a-b", "//api"])


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(["http", "https"]),
    st.none() | st.tuples(secrets, st.none() | secrets),
    hosts,
    st.none() | st.integers(1, 65535),
    paths,
    st.lists(st.tuples(names, secrets)),
    st.none() | secrets,
    st.none() | secrets,
)
@pytest.mark.slow
def test_redacted_url_has_no_user_and_no_value(
    scheme: str,
    auth: tuple[str, str | None] | None,
    host: str,
    port: int | None,
    path: str,
    query: list[tuple[str, str]],
    bare: str | None,
    fragment: str | None,
) -> None:
    """`bare` is a value without a name in the query."""
    user = "" if auth is None else ":".join(part for part in auth if part) + "@"
    place = f"{host}{'' if port is None else f':{port}'}{path}"
    url = f"{scheme}://{user}{place}"
    parts = [part for part in (urlencode(query), bare) if part]
    url += f"?{'&'.join(parts)}" if parts else ""
    url += "" if fragment is None else f"#{fragment}"
    redacted = redact(url)
    every = [*(auth or ()), *(value for _, value in query), bare, fragment]
    assert not [secret for secret in every if secret and secret in redacted]
    assert redacted.startswith(f"{scheme}://{place}")
    assert all(f"{name}=REDACTED" in redacted for name, _ in query)


def test_redacted_url_has_dates_and_page_sizes() -> None:
    url = f"http://{HOST}/api?startDate=2025-10-21&page_size=50&cursor=c1"
    assert redact(url) == url.replace("c1", "REDACTED")


@settings(deadline=None, max_examples=100)
@given(st.text())
@pytest.mark.slow
def test_malformed_url_shows_no_password(rest: str) -> None:
    """A server may write anything into `next`."""
    assert PASSWORD not in redact(f"http://{USER}:{PASSWORD}@{rest}")
