"""An S3 server on this machine, and what is in it. A fixture too."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pyarrow.fs
import pytest
import requests

from conftest import Home

BUCKET = "figures"
SECRET = "made-up-secret-key"


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """The URL of an S3 server on this machine, with one bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", f"{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            try:
                requests.get(f"{url}/moto-api/", timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        requests.put(f"{url}/{BUCKET}", timeout=5).raise_for_status()
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)


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
