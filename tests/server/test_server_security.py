"""What the server gives nobody: altered links, other paths, its token, a way to end it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from conftest import Home
from dashboard_scraper.server.access import Access, Credentials
from filled_store import SOURCE, put, user
from serving import SECONDS, Served, serving

LAST = datetime.now(UTC).date() - timedelta(2)
DAY_BEFORE = LAST - timedelta(1)
REPORTS = "/enterprises/acme/copilot/metrics/reports"
USERS = f"{REPORTS}/users-1-day?day={LAST}"
PEOPLE = 40
SEATS = "/enterprises/acme/copilot/billing/seats"
ROUTES = [
    "/healthz",
    "/metrics",
    "/user/orgs",
    "/orgs/{}/copilot/billing",
    "/{}s/x/copilot/billing/seats",
    "/enterprises/{}/copilot/billing/seats",
    "/orgs/{}/copilot/metrics/reports/organization-28-day/latest",
    "/enterprises/acme/copilot/metrics/reports/{}",
    "/enterprises/acme/copilot/metrics/reports/{}/latest",
    "/enterprises/acme/copilot/metrics/reports/users-1-day?day={}",
    "/downloads/{}/users-1-day_2026-11-01_2026-11-01.ndjson?expires=9999999999&signature=a",
    "/downloads/enterprise/{}?expires=9999999999&signature=a",
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = Home(tmp_path_factory.mktemp("served"), {"METRICS_SOURCE": SOURCE})
    url = f"sqlite:///{home.data / 'usage.db'}"
    people = [user(f"user{n}@example.com", chat_messages=n + 1) for n in range(PEOPLE)]
    put(url, {LAST: people, DAY_BEFORE: people[:1]})
    home.settings |= {"STORE_URL": url, "ORGANIZATION_ID": "77"}
    with serving(home) as server:
        yield server


def parts_of(link: str) -> tuple[str, str, str]:
    """Path, expires and signature."""
    split = urlsplit(link)
    query = parse_qs(split.query)
    return split.path, query["expires"][0], query["signature"][0]


def altered(path: str, expires: str, signature: str) -> dict[str, str]:
    """The link with one part changed."""

    def to(path: str = path, expires: str = expires, signature: str = signature) -> str:
        return f"{path}?expires={expires}&signature={signature}"

    other = "1" if signature[0] != "1" else "2"
    return {
        "scope": to(path.replace("/enterprise/", "/organization/")),
        "name": to(path.replace("users-1-day", "enterprise-1-day")),
        "first day": to(path.replace(f"{LAST}_", f"{DAY_BEFORE}_")),
        "last day": to(path.replace(f"_{LAST}.", f"_{DAY_BEFORE}.")),
        "ending": to(path.replace("ndjson", "json")),
        "slash": to(path + "/"),
        "two slashes": to(path.replace("/downloads/", "/downloads//")),
        "later": to(expires=str(int(expires) + 1)),
        "leading zero": to(expires="0" + expires),
        "plus": to(expires="%2B" + expires),
        "blank": to(expires=expires + "%20"),
        "other digits": to(expires="%D9%A1" + expires[1:]),
        "for ever": to(expires="9" * 400),
        "no moment": to(expires=""),
        "first digit": to(signature=other + signature[1:]),
        "last digit": to(signature=signature[:-1] + ("1" if signature[-1] != "1" else "2")),
        "capitals": to(signature=signature.upper()),
        "cut": to(signature=signature[:-1]),
        "longer": to(signature=signature + "0"),
        "none": to(signature=""),
        "not ASCII": to(signature="%C3%A9" + signature[1:]),
        "no query": path,
        "of a NUL": to(path + "%00"),
    }


def spelled(path: str, expires: str, signature: str) -> dict[str, str]:
    """The link spelled in another way, or with a part given twice."""
    link = f"{path}?expires={expires}&signature={signature}"
    other = path.replace(f"{LAST}", f"{DAY_BEFORE}")
    return {
        "a letter": link.replace("users", "%75sers"),
        "a slash": link.replace("/downloads/enterprise/", "/downloads%2fenterprise%2f"),
        "a dot": link.replace(".ndjson", "%2endjson"),
        "twice": link.replace("users", "%2575sers"),
        "a question mark": link.replace("?", "%3Fx?"),
        "a hash": link.replace("?", "%23x?"),
        "another file after a question mark": link.replace(path, f"{path}%3F{other}"),
        "another file before it": link.replace(path, f"{other}%3F{path}"),
        "a dot segment": link.replace("/enterprise/", "/enterprise/x/../"),
        "a newline": link.replace("?", "%0a?"),
        "a tab": link.replace("users", "use%09rs"),
        "expires first wrong": link.replace("?", "?expires=1&"),
        "expires last wrong": f"{link}&expires=1",
        "signature first wrong": link.replace("?", "?signature=00&"),
        "signature last wrong": f"{link}&signature=00",
        "other order": f"{path}?signature={signature}&expires={expires}",
        "a semicolon": link.replace("&", ";"),
        "a parameter more": f"{link}&file={other}&scope=organization&report={other}",
        "names in capitals": link.replace("expires", "EXPIRES"),
    }


SAME = tuple(spelled("/downloads/enterprise/a", "1", "ab"))


@pytest.mark.parametrize("change", altered(f"/a/users-1-day_{LAST}_{LAST}.ndjson", "1", "ab"))
@pytest.mark.slow
def test_altered_link_is_refused(served: Served, change: str) -> None:
    path, expires, signature = parts_of(served.link(USERS))
    right = requests.get(f"{served.address}{path}?expires={expires}&signature={signature}")
    assert right.status_code == 200
    answer = requests.get(
        served.address + altered(path, expires, signature)[change], timeout=SECONDS
    )
    assert answer.status_code in (401, 403, 404)  # 401: it leads to no download
    assert b"user0@example.com" not in answer.content


@pytest.mark.parametrize("change", SAME)
@pytest.mark.slow
def test_respelled_link_never_gets_another_report(served: Served, change: str) -> None:
    path, expires, signature = parts_of(served.link(USERS))
    whole = requests.get(served.link(USERS), timeout=SECONDS).content
    answer = requests.get(
        served.address + spelled(path, expires, signature)[change], timeout=SECONDS
    )
    if answer.status_code == 200:
        assert answer.content == whole
    else:
        assert answer.status_code in (401, 403, 404)
        assert b"@example.com" not in answer.content


@pytest.mark.parametrize("host", ["x{}?", "x{}#", "x{}?a=", "user@x{}?", "[::1]{}?", "x:1{}?"])
@pytest.mark.slow
def test_signature_covers_path_whatever_the_host(served: Served, host: str) -> None:
    """If a URL is joined from the host and the path, the host may bring a path of its own."""
    split = urlsplit(served.link(USERS))
    other = split.path.replace(f"{LAST}", f"{DAY_BEFORE}")
    head = f"Host: {host.format(split.path)}\r\nConnection: close\r\n"
    answer = served.raw(f"GET {other}?{split.query} HTTP/1.1\r\n{head}\r\n".encode())
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 403 "))
    assert b"@example.com" not in answer


@pytest.mark.parametrize("opened", ["/healthz", "/metrics", "/downloads/x"])
@pytest.mark.parametrize("host", ["x{}?", "x{}#", "x{}?a=", "user@x{}?", "[::1]{}?", "x:1{}?"])
def test_token_is_required_whatever_the_host(served: Served, opened: str, host: str) -> None:
    head = f"Host: {host.format(opened)}\r\nConnection: close\r\n"
    for path in (SEATS, USERS, "/user/orgs"):
        answer = served.raw(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 401 "))
        assert b"@example.com" not in answer


@pytest.mark.parametrize("host", ["[", "[::1", "x:99999", "x:a", "", " ", "a b", "\xe9", "x/y"])
def test_invalid_host_breaks_nothing(served: Served, host: str) -> None:
    head = f"Host: {host}\r\nAuthorization: Bearer {served.token}\r\nConnection: close\r\n\r\n"
    answer = served.raw(f"GET {USERS} HTTP/1.1\r\n{head}".encode("latin-1"))
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_signature_belongs_to_one_token(served: Served) -> None:
    path, expires, _ = parts_of(served.link(USERS))
    another = Credentials.of_token("another" * 5, "any")
    signature = Access(another).sign(path, int(expires), another.tokens[0])
    url = f"{served.address}{path}?expires={expires}&signature={signature}"
    assert requests.get(url, timeout=SECONDS).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/downloads/../secrets/serve-token",
        "/downloads/enterprise/../../secrets/serve-token",
        "/downloads/enterprise/..%2f..%2fsecrets%2fserve-token",
        "/downloads/%2e%2e/%2e%2e/secrets/serve-token",
        "/downloads/enterprise//etc/passwd",
        "//etc/passwd",
        "/enterprises/../../etc/passwd",
        "/enterprises/..%2f..%2fdata%2fusage.db/copilot/billing/seats",
        "/enterprises/a%00b/copilot/nothing",
        "/.env",
        "/data/usage.db",
    ],
)
@pytest.mark.slow
def test_no_path_leads_to_a_file(served: Served, path: str) -> None:
    head = f"Host: {served.host}\r\nAuthorization: Bearer {served.token}\r\n"
    answer = served.raw(f"GET {path} HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode())
    assert re.match(rb"HTTP/1.1 (200|403|404) ", answer)
    assert served.token.encode() not in answer
    assert b"SQLite" not in answer
    assert b"root:" not in answer
    if b" 200 " in answer[:20]:  # a name of an enterprise is any text: these are its seats
        assert f'"total_seats":{PEOPLE}'.encode() in answer


@pytest.mark.parametrize("route", ROUTES)
def test_no_route_leaves_its_folder(served: Served, route: str) -> None:
    route = route if "{}" in route else route + "/{}"
    before = served.log.count("Traceback")
    for file in ("secrets/serve-token", "data/usage.db", "etc/passwd"):
        for out in ("../../", "..%2f..%2f", "%2e%2e/%2e%2e/", "%2E%2E%5C", "/", "%2f", "%00/"):
            path = route.format(out + file)
            head = f"Host: {served.host}\r\nAuthorization: Bearer {served.token}\r\n"
            last = "Connection: close\r\n\r\n"
            answer = served.raw(f"GET {path} HTTP/1.1\r\n{head}{last}".encode())
            assert re.match(rb"HTTP/1.1 (400|403|404) ", answer), (path, answer[:80])
            assert served.token.encode() not in answer
    assert served.log.count("Traceback") == before


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 1_000_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 100_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=lambda data: repr(data[:40]),
)
@pytest.mark.slow
def test_invalid_request_is_refused(served: Served, data: bytes) -> None:
    """The next request is answered."""
    before = served.log.count("Traceback")
    answer = served.raw(data, 1)
    assert answer == b"" or re.match(rb"HTTP/1.1 4\d\d ", answer), answer[:100]
    assert served.json("/healthz") == {"status": "ok"}
    assert served.log.count("Traceback") == before
    assert max(map(len, served.log.splitlines())) < 1000


def test_pipelined_request_is_answered(served: Served) -> None:
    request = f"GET /healthz HTTP/1.1\r\nHost: {served.host}\r\n\r\n".encode()
    answer = served.raw(request + b"\x00garbage \x01\r\n\r\n" + request)
    assert re.findall(rb"HTTP/1.1 (\d+) ", answer) == [b"200", b"400"]
    last = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+) ", served.raw(request * 2 + last)) == [b"200"] * 3


def test_body_of_get_is_not_the_next_request(served: Served) -> None:
    head = f"HTTP/1.1\r\nHost: {served.host}\r\n"
    inner = f"GET {SEATS} {head}Authorization: Bearer {served.token}\r\n\r\n"
    for length, body in (
        (f"Content-Length: {len(inner)}", inner),
        ("Transfer-Encoding: chunked", f"{len(inner):x}\r\n{inner}\r\n0\r\n\r\n"),
        ("Content-Length: 99999999999", inner),
    ):
        answer = served.raw(f"GET /healthz {head}{length}\r\n\r\n{body}".encode())
        assert re.findall(rb"HTTP/1.1 (\d+) ", answer) == [b"200"]
        assert b"seats" not in answer


def test_path_cannot_forge_log_lines(served: Served) -> None:
    served.get("/x%0d%0a2026-11-24T00:00:00.000Z ERROR made up%1b[31m")
    assert "made up" in served.log
    assert not any(line.startswith("2026-11-24T00:00:00.000Z") for line in served.log.splitlines())
    assert "\x1b" not in served.log


def test_malformed_body_closes_only_its_connection(served: Served) -> None:
    head = f"GET / HTTP/1.1\r\nHost: {served.host}\r\nTransfer-Encoding: chunked\r\n\r\n"
    served.raw(f"{head}zz\r\n".encode(), 1)
    assert served.json("/healthz") == {"status": "ok"}


@pytest.mark.parametrize("name", ["a%0d%0aSet-Cookie:%20x=y", "%E2%82%AC", "%FF", "a%20b"])
@pytest.mark.slow
def test_enterprise_name_cannot_inject_header(served: Served, name: str) -> None:
    answer = served.get(f"/enterprises/{name}/copilot/billing/seats?per_page=10")
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    assert answer.links["last"]["url"].endswith(f"?page={PEOPLE // 10}&per_page=10")


@pytest.mark.parametrize(
    "sent", ["Bearer", "", " ", "Bearer é", "Bearer " + "a" * 10_000, "Digest a=b", "\tBearer x"]
)
@pytest.mark.slow
def test_similar_token_is_refused(served: Served, sent: str) -> None:
    head = f"Host: {served.host}\r\nAuthorization: {sent}\r\nConnection: close\r\n\r\n"
    assert served.raw(f"GET {USERS} HTTP/1.1\r\n{head}".encode()).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("length", [0, 1, 20, -1])
def test_part_of_token_is_refused(served: Served, length: int) -> None:
    answer = served.get(USERS, Authorization=f"Bearer {served.token[:length]}")
    assert answer.status_code == 401


def test_log_has_no_token_and_no_signature(served: Served) -> None:
    path, expires, signature = parts_of(served.link(USERS))
    requests.get(f"{served.address}{path}?expires={expires}&signature={signature}", timeout=SECONDS)
    served.get(f"{REPORTS}/users-1-day?day={served.token}")
    log = served.log
    assert f"GET {path}: 200" in log
    assert served.token not in log
    assert signature not in log


def refused(home: Home, *words: str) -> str:
    """The message of a `serve` that does not start."""
    result = home.run("serve", "--port", "0", *words)
    assert (result.code, result.out) == (2, ""), result.err
    assert "Traceback" not in result.err
    return result.err


@pytest.mark.slow
def test_other_machines_need_existing_token(home: Home) -> None:
    for host in ("0.0.0.0", "::"):
        assert "start once without --host" in refused(home, "--host", host, "--insecure")
    assert not (home.path / "secrets").exists()
    (home.path / "secrets").mkdir()
    (home.path / "secrets" / "serve-token").write_text("0123456789-of-my-own\n")
    (home.path / "secrets" / "serve-token").chmod(0o600)
    with serving(home, "--host", "0.0.0.0", "--insecure") as server:
        assert server.address.startswith("http://0.0.0.0:")
        assert requests.get(f"http://127.0.0.1:{server.port}/healthz", timeout=SECONDS).ok


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        (b"a" * 40, 0o644, "chmod 600"),
        (b"short", 0o600, "at least 20 characters"),
        (b"", 0o600, "at least 20 characters"),
        (b"two words, and many of them", 0o600, "no token"),
        (b"\xff" * 40, 0o600, "no token"),
    ],
)
@pytest.mark.slow
def test_file_without_secret_token_is_refused(
    home: Home, text: bytes, mode: int, reason: str
) -> None:
    file = home.path / "secrets" / "serve-token"
    file.parent.mkdir()
    file.write_bytes(text)
    file.chmod(mode)
    assert reason in refused(home)
    assert file.read_bytes() == text


def test_occupied_address_is_named(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = home.run("serve", "--port", port)
    assert result.code == 2
    assert f"--port {port}" in result.err.splitlines()[-1]
    assert not (home.path / "secrets").exists()


@pytest.mark.parametrize("port", ["-1", "65536", "http", "1.5", ""])
def test_invalid_port_is_refused(home: Home, port: str) -> None:
    assert home.run("serve", f"--port={port}").code == 2


@pytest.mark.slow
def test_sigterm_stops_server_during_download(home: Home) -> None:
    home.settings["METRICS_SOURCE"] = SOURCE
    people = [user(f"user{n}@example.com", chat_messages=n + 1) for n in range(8000)]
    put(f"sqlite:///{home.data / 'usage.db'}", {LAST: people})
    with serving(home) as server, server.slow_reader(server.link(USERS)):
        server.process.kill(signal.SIGTERM)
        assert server.process.wait().code == 143
        assert "timeout graceful shutdown exceeded" in server.log, "else it waits for the client"
        # Not "Traceback": with warnings as errors, a socket that is open at the end has one too.
        assert "Exception in ASGI" not in server.log
        assert "INFO dashboard_scraper.cli.serving: stopped\n" in server.log
        assert "ERROR dashboard_scraper" not in server.log, "a server ends in no other way"
        assert "CancelledError" not in server.log


@pytest.mark.slow
def test_sigint_stops_idle_server_at_once(home: Home) -> None:
    with serving(home) as server:
        assert server.get("/healthz").ok
        server.process.kill(signal.SIGINT)
        assert server.process.wait().code == 130
        assert "Waiting for" not in server.log
        assert "Traceback" not in server.log


@pytest.mark.slow
def test_missing_libraries_name_the_extra(home: Home) -> None:
    """A folder earlier in the path hides one of them, as if it were not installed."""
    (home.path / "hidden").mkdir()
    (home.path / "hidden" / "starlette.py").write_text("raise ModuleNotFoundError(name=__name__)")
    environment = home.environment() | {"PYTHONPATH": str(home.path / "hidden")}
    done = subprocess.run(
        home.command("serve"), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "[serve]" in done.stderr
    assert "install dashboard-scraper" not in done.stderr
