"""An S3 server on this machine, and what is in it. A fixture too."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow.fs
import pytest
import requests
from filelock import FileLock

from conftest import Home
from crash_child import until

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
BUCKET = f"figures{WORKER}"
"""Of each worker of the tests its own: temporary folders of two may have the same name."""
SECRET = "made-up-secret-key"


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an S3 server on this machine, with one bucket.

    All workers share it, since its start takes seconds: the first begins it, and the last ends it.
    """
    folder = tmp_path_factory.getbasetemp()
    state = (folder.parent if WORKER else folder) / "object-store.json"
    turn = FileLock(f"{state}.lock")
    with turn:
        found = json.loads(state.read_text()) if state.exists() else _started()
        found["users"] += 1
        state.write_text(json.dumps(found))
    try:
        requests.put(f"{found['url']}/{BUCKET}", timeout=30).raise_for_status()
        yield found["url"]
    finally:
        with turn:
            found = json.loads(state.read_text())
            found["users"] -= 1
            state.write_text(json.dumps(found))
            if not found["users"]:
                state.unlink()
                os.kill(found["pid"], signal.SIGTERM)
                for server in (each for each in _SERVERS if each.pid == found["pid"]):
                    server.wait(30)


_SERVERS: list[subprocess.Popen[bytes]] = []
"""Those that this process has begun, and another may end."""


def _started() -> dict[str, Any]:
    """A server that answers; it ends with a signal to its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", f"{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _SERVERS.append(server)
    until(lambda: _answers(url), 60)
    return {"url": url, "pid": server.pid, "users": 0}


def _answers(url: str) -> bool:
    try:
        requests.get(f"{url}/moto-api/", timeout=30)
    except requests.ConnectionError:
        return False
    return True


def bucket_at(url: str) -> Any:
    host = url.removeprefix("http://")
    options = f"endpoint_override={host}&scheme=http&region=us-east-1"
    place, _ = pyarrow.fs.FileSystem.from_uri(f"s3://made-up-id:{SECRET}@{BUCKET}/?{options}")
    return place


def objects(url: str, prefix: str) -> dict[str, bytes]:
    """The objects by their keys, without the prefix."""
    place, found = bucket_at(url), {}
    for each in place.get_file_info(pyarrow.fs.FileSelector(f"{BUCKET}/{prefix}", recursive=True)):
        if each.is_file:
            with place.open_input_stream(each.path) as stream:
                found[each.path.removeprefix(f"{BUCKET}/{prefix}/")] = stream.read()
    return found


def sign_in_at(home: Home, url: str) -> None:
    home.settings |= {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "made-up-id",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
