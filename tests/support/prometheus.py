"""A Prometheus with the configuration of deploy/prometheus, in a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import requests

from ports import reserved_port
from serving import Served
from tree import ROOT

FOLDER = ROOT / "deploy" / "prometheus"
SECONDS = 120
_INTERVALS = ("scrape_interval", "scrape_timeout", "evaluation_interval")


@dataclass(frozen=True)
class Prometheus:
    """The server's HTTP API."""

    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def get(self, path: str, **parameters: str) -> Any:
        answer = requests.get(f"{self.address}/api/v1/{path}", params=parameters, timeout=SECONDS)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def query(self, expression: str) -> list[Any]:
        """The samples of an expression now."""
        found: list[Any] = self.get("query", query=expression)["result"]
        return found

    def wait_until_ready(self) -> None:
        """Wait until the server answers."""
        deadline = time.monotonic() + SECONDS
        while True:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            with suppress(requests.ConnectionError):
                if requests.get(f"{self.address}/-/ready", timeout=SECONDS).status_code == 200:
                    return
            time.sleep(0.1)

    def wait_for(self, expression: str) -> None:
        """Wait until the expression has a sample."""
        deadline = time.monotonic() + SECONDS
        while not self.query(expression):
            assert time.monotonic() < deadline, f"{expression} is empty; {self.log.read_text()}"
            time.sleep(0.2)


def _configured(served: Served, folder: Path) -> Path:
    """The files of deploy/prometheus, with another address of `serve`, token, and intervals."""
    shutil.copy(FOLDER / "alerts.yaml", folder)
    settings = msgspec.yaml.decode((FOLDER / "prometheus.yaml").read_text())
    # A scrape that takes longer than the timeout ends every line: a busy machine needs some time.
    settings["global"] = dict.fromkeys(_INTERVALS, "3s")
    (job,) = settings["scrape_configs"]
    (folder / "token").write_text(served.token)
    job["authorization"] = {"credentials_file": "token"}
    job["static_configs"] = [{"targets": [served.host]}]
    file = folder / "prometheus.yaml"
    file.write_bytes(msgspec.yaml.encode(settings))
    return file


@contextmanager
def running(program: Path, served: Served, folder: Path) -> Iterator[Prometheus]:
    """Start the server, and wait until it answers."""
    config, log = _configured(served, folder), folder / "log"
    with reserved_port() as port:
        address = f"127.0.0.1:{port}"
        command = [
            f"{program}",
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
        ]
        with log.open("wb") as written:
            process = subprocess.Popen(command, cwd=folder, stdout=written, stderr=written)
        prometheus = Prometheus(f"http://{address}", process, log)
        try:
            prometheus.wait_until_ready()
            yield prometheus
        finally:
            process.terminate()
            process.wait()
