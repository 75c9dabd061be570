"""`serve` behind proxies: foreign hosts, and requests that can be parsed in two ways."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest

from conftest import Home
from dashboard_scraper.server.requests import Hosts
from github_requests import USERS, with_a_day
from serving import SECONDS, Served, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(with_a_day(tmp_path_factory.mktemp("served"))) as server:
        yield server


# Hosts

HERE = ("127.0.0.1", 8377)


def allowed(hosts: Hosts, host: str, server: tuple[str, int] = HERE, scheme: str = "http") -> bool:
    return hosts.allows({"server": server, "scheme": scheme}, host.encode())


@pytest.mark.parametrize(
    ("listening", "server", "right", "wrong"),
    [
        ("127.0.0.1", HERE, ["127.0.0.1:8377", "localhost:8377", "LocalHost:8377", "[::1]:8377"],
         ["127.0.0.1", "localhost", "localhost:8378", "evil.example.com:8377", "127.0.0.2:8377"]),
        ("0.0.0.0", ("192.0.2.7", 8377), ["192.0.2.7:8377", "127.0.0.1:8377"],
         ["192.0.2.8:8377", "evil.example.com:8377", "192.0.2.7"]),
        ("::", ("2001:db8::7", 8377), ["[2001:db8::7]:8377", "[2001:db8:0::7]:8377"],
         ["[2001:db8::8]:8377", "2001:db8::7:8377"]),
        ("usage.example.com", ("192.0.2.7", 80), ["usage.example.com", "192.0.2.7:80"],
         ["usage.example.com:8377", "usage.example.com."]),
    ],
)  # fmt: skip
def test_only_own_hosts_are_allowed(
    listening: str, server: tuple[str, int], right: list[str], wrong: list[str]
) -> None:
    hosts = Hosts(listening, [])
    assert [host for host in right if not allowed(hosts, host, server)] == []
    assert [host for host in wrong if allowed(hosts, host, server)] == []


def test_configured_hosts_are_allowed() -> None:
    """With any port, unless the setting has a port."""
    hosts = Hosts("127.0.0.1", ["usage.example.com", "other:9000"])
    for host in (
        "usage.example.com",
        "Usage.Example.com:8377",
        "usage.example.com:1",
        "other:9000",
    ):
        assert allowed(hosts, host), host
    for host in ("other", "other:1", "sub.usage.example.com", "usage.example.com@evil", ""):
        assert not allowed(hosts, host), host


@pytest.mark.slow
def test_foreign_host_is_400_and_not_repeated(served: Served) -> None:
    for path in ("/healthz", USERS, "/"):
        head = f"Host: evil.example.com\r\nAuthorization: Bearer {served.token}\r\n"
        answer = served.raw(f"GET {path} HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"SERVE_HOSTS" in answer
        assert b"evil" not in answer
    assert served.link(USERS).startswith(served.address)


@pytest.mark.slow
def test_configured_host_is_answered(home: Home) -> None:
    there = with_a_day(home.path, SERVE_HOSTS="usage.example.com")
    with serving(there) as server:
        (link,) = server.get(USERS, Host="usage.example.com").json()["download_links"]
    assert link.startswith("http://usage.example.com/")


# What two parsers would read differently

INNER = (
    "GET /user/orgs HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
    "Connection: close\r\n\r\n"
)
AMBIGUOUS = {
    "both lengths": (
        "Host: {host}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "both, the other way": (
        "Host: {host}\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
    ),
    "two lengths": "Host: {host}\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "two lengths in one": "Host: {host}\r\nContent-Length: 0, 5\r\n\r\n",
    "a signed length": "Host: {host}\r\nContent-Length: +0\r\n\r\n",
    "chunked twice": "Host: {host}\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "another coding": "Host: {host}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a blank before the colon": "Host: {host}\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded first line": " Host: {host}\r\n\r\n",
    "a return alone": "Host: {host}\rX: y\r\n\r\n",
    "no host": "X: y\r\n\r\n",
    "two hosts": "Host: {host}\r\nHost: {host}\r\n\r\n",
    "a chunk without an end": (
        "Host: {host}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naXX0\r\n\r\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", AMBIGUOUS)
@pytest.mark.slow
def test_ambiguous_request_closes_connection(case: str, served: Served) -> None:
    words = {"host": served.host, "token": served.token}
    data = f"GET /healthz HTTP/1.1\r\n{AMBIGUOUS[case]}{INNER}".format(**words)
    answer = served.raw(data.encode())
    statuses = re.findall(rb"HTTP/1.1 (\d+) ", answer)
    # The head of the last request is valid, and may be answered before its body has come.
    late = [[b"200"]] if case == "a chunk without an end" else []
    assert statuses in [[b"400"], *late]
    assert b"login" not in answer
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    "head",
    ["Host: {host}\r\nX: a\r\n  b\r\n\r\n", "Host: {host}\nX: y\n\n"],
    ids=["a folded header", "line feeds alone"],
)
@pytest.mark.slow
def test_old_but_unambiguous_requests_are_answered(head: str, served: Served) -> None:
    """RFC 9112 allows both: a fold is a space, and a line may end without a carriage return."""
    data = f"GET /healthz HTTP/1.1\r\n{head}{INNER}".format(host=served.host, token=served.token)
    assert re.findall(rb"HTTP/1.1 (\d+) ", served.raw(data.encode())) == [b"200", b"200"]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.slow
def test_body_closes_connection_after_answer(method: str, served: Served) -> None:
    status = b"200" if method == "GET" else b"404"
    for length, body in (
        ("Content-Length: 3", "abc"),
        ("Content-Length: 99999", "abc"),
        ("Transfer-Encoding: chunked", "0\r\n\r\n"),
    ):
        head = f"{method} /healthz HTTP/1.1\r\nHost: {served.host}\r\n{length}\r\n\r\n{body}"
        data = head + INNER.format(host=served.host, token=served.token)
        with served.connected(data.encode()) as connection:
            connection.settimeout(SECONDS)
            answer = b""
            with contextlib.suppress(OSError):
                while piece := connection.recv(1 << 16):
                    answer += piece
        assert re.findall(rb"HTTP/1.1 (\d+) ", answer) == [status]
