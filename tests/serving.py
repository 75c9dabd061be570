"""`serve` as a process of its own, and talking to it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests

from conftest import Home

SECONDS = 30


@dataclass(frozen=True)
class Served:
    """A server that listens: where, with which token, and its log so far in a file of the home."""

    home: Home
    address: str
    token: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def log(self) -> str:
        return (self.home.path / "serve.log").read_text()

    def get(self, path: str, method: str = "GET", **headers: str) -> requests.Response:
        """With the token, unless `Authorization` is given."""
        sent = {"Authorization": f"Bearer {self.token}"} | headers
        return requests.request(method, self.address + path, headers=sent, timeout=SECONDS)

    def json(self, path: str) -> Any:
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def link(self, path: str) -> str:
        """The one link of a report's envelope."""
        (link,) = self.json(path)["download_links"]
        assert isinstance(link, str)
        return link

    def report(self, path: str) -> bytes:
        """What is behind the link, which needs no token."""
        answer = requests.get(self.link(path), timeout=SECONDS)
        assert answer.status_code == 200, answer.text
        return answer.content

    def raw(self, data: bytes) -> bytes:
        """What the server says to these bytes until it closes, or is silent for a second."""
        with socket.create_connection(("127.0.0.1", self.port), SECONDS) as connection:
            connection.settimeout(1)
            said = b""
            try:
                connection.sendall(data)
                while piece := connection.recv(1 << 16):
                    said += piece
            except OSError:  # it waits for more, or has hung up
                pass
            return said


@contextmanager
def serving(home: Home, *words: str) -> Iterator[Served]:
    """Start it on a free port; it is told to end afterwards, and must."""
    command = home.command("serve", "--port", "0", "--log-level", "DEBUG", *words)
    with (home.path / "serve.log").open("a") as log:
        process = subprocess.Popen(
            command, env=home.environment(), stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        assert process.stdout
        lines = [process.stdout.readline()]
        if lines[0].startswith("token: "):
            lines.append(process.stdout.readline())
        (address,) = re.findall(r"^(http://\S+)$", lines[-1], re.MULTILINE)
        token = (home.path / "secrets" / "serve-token").read_text().strip()
        yield Served(home, address, token, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)
        if process.stdout:
            process.stdout.close()
