"""`serve` as a process of its own, and requests to it."""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests

from conftest import Home
from crash_child import Run, forks

SECONDS = 60


@dataclass(frozen=True)
class Served:
    """A running server: its address, the token for everything, if there is one, and its log in a
    file of the home.
    """

    home: Home
    address: str
    token: str
    shown: list[str]
    """What it wrote to stdout until it listened."""
    process: Run

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def host(self) -> str:
        """The host as a request names it."""
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """The complete lines: the last line may have been written only in part."""
        lines, end, _ = (self.home.path / "serve.log").read_bytes().rpartition(b"\n")
        return (lines + end).decode()

    def get(self, path: str, method: str = "GET", **headers: str) -> requests.Response:
        """Send a request with the token, unless `Authorization` is given."""
        sent = {"Authorization": f"Bearer {self.token}"} | headers
        return requests.request(method, self.address + path, headers=sent, timeout=SECONDS)

    def json(self, path: str) -> Any:
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def link(self, path: str) -> str:
        """The only link in a report's envelope."""
        (link,) = self.json(path)["download_links"]
        assert isinstance(link, str)
        return link

    def report(self, path: str) -> bytes:
        """The download behind the link, which needs no token."""
        answer = requests.get(self.link(path), timeout=SECONDS)
        assert answer.status_code == 200, answer.text
        return answer.content

    def raw(self, data: bytes, seconds: float = SECONDS) -> bytes:
        """The server's answers to these bytes, until it hangs up or sends nothing for these
        seconds.

        It hangs up after data that is no request, and after a request with `Connection: close`.
        """
        with socket.create_connection(("127.0.0.1", self.port), SECONDS) as connection:
            connection.settimeout(seconds)
            said = b""
            with contextlib.suppress(OSError):  # the server need not read all of it
                connection.sendall(data)
            with contextlib.suppress(OSError):
                while piece := connection.recv(1 << 16):
                    said += piece
            return said

    def connected(self, data: bytes) -> socket.socket:
        """A connection that has sent these bytes."""
        connection = socket.create_connection(("127.0.0.1", self.port), SECONDS)
        connection.sendall(data)
        return connection

    @contextmanager
    def slow_reader(self, link: str) -> Iterator[SlowReader]:
        """A client that has read the beginning of a download and then waits.

        Its receive window is small from the start: otherwise the kernel would buffer megabytes for
        it, and the server would soon be done. More than 5 MB do not fit into all buffers.
        """
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            connection.settimeout(SECONDS)
            connection.connect(("127.0.0.1", self.port))
            path = link.removeprefix(self.address)
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
            response = http.client.HTTPResponse(connection)
            response.begin()
            with response:
                yield SlowReader(connection, response, response.read(1000))


@dataclass(frozen=True)
class SlowReader:
    """A download that has begun."""

    connection: socket.socket
    response: http.client.HTTPResponse
    beginning: bytes

    def all(self) -> bytes:
        """Read the rest quickly; raises `http.client.IncompleteRead` if it was cut off."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        return self.beginning + self.response.read()


@contextmanager
def serving(home: Home, *words: str, open_files: int | None = None) -> Iterator[Served]:
    """Start the server on a free port; afterwards it gets SIGTERM, and must end."""
    words = ("--port", "0", "--log-level", "DEBUG", *words)
    log = home.path / "serve.log"
    process, printed = forks().serve(home, *words, log=log, open_files=open_files)
    try:
        lines = [printed.readline()]
        if lines[0].startswith("token: "):
            lines.append(printed.readline())
        (address,) = re.findall(r"^(https?://\S+)$", lines[-1], re.MULTILINE)
        file = home.settings.get("SERVE_TOKEN_FILE", "secrets/serve-token")
        found = home.path / file
        token = found.read_text().strip() if found.exists() else ""
        yield Served(home, address, token, [line.strip() for line in lines], process)
    finally:
        process.kill(signal.SIGTERM)
        process.wait()
        printed.close()
