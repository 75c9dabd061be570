"""An S3 server on this machine, and the objects in it; with a fixture."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow.fs
import pytest
import requests
from filelock import FileLock

from conftest import Home

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
BUCKET = f"figures{WORKER}"
"""Of each worker of the tests its own: temporary folders of two may have the same name."""
SECRET = "made-up-secret-key"


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an S3 server on this machine, with one bucket.

    All workers share it, since starting it takes seconds: the first starts it, and the last ends
    it.
    """
    folder = tmp_path_factory.getbasetemp()
    state = (folder.parent if WORKER else folder) / "object-store.json"
    turn = FileLock(f"{state}.lock")
    with turn:
        found = json.loads(state.read_text()) if state.exists() else _started()
        found["users"] += 1
        state.write_text(json.dumps(found))
    try:
        requests.put(f"{found['url']}/{BUCKET}", timeout=300).raise_for_status()
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


# It chooses a free port itself: a port chosen here may be taken by another test.
_SERVER = """
import signal
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
signal.pause()
"""

_SERVERS: list[subprocess.Popen[bytes]] = []
"""Those that this process has begun, and another may end."""


def _started() -> dict[str, Any]:
    """A server that answers; it ends with a signal to its process."""
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    _SERVERS.append(server)
    assert server.stdout is not None
    port = int(server.stdout.readline())
    server.stdout.close()
    return {"url": f"http://127.0.0.1:{port}", "pid": server.pid, "users": 0}


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
