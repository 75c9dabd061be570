"""What clients of `serve` need not load twice, and the renewal of a certificate."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from crash_child import until
from filled_store import put, user
from github_requests import LAST, USERS, with_a_day
from serving import SECONDS, Served, serving

PAGE = "/"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(with_a_day(tmp_path_factory.mktemp("caching"))) as server:
        yield server


def store_more(served: Served, messages: int) -> None:
    people = [user("ada@example.com", chat_messages=messages)]
    put(f"sqlite:///{served.home.data / 'usage.db'}", {LAST - timedelta(1): people})


@pytest.mark.slow
def test_page_and_download_are_304_until_a_day_is_stored(served: Served) -> None:
    """Also a download if only other days changed: its tag is for the store, not its content."""
    link = served.link(USERS).removeprefix(served.address)
    for messages, path in enumerate((PAGE, link), start=2):
        whole = served.get(path)
        tag = whole.headers["ETag"]
        assert whole.headers["Cache-Control"] == "private, no-cache"
        for method in ("GET", "HEAD"):
            again = served.get(path, method, **{"If-None-Match": f'"x", {tag}'})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["ETag"] == tag
        assert served.get(path, "HEAD").headers["ETag"] == tag
        assert served.get(path, **{"If-None-Match": '"x"'}).content == whole.content
        store_more(served, messages)
        changed = served.get(path, **{"If-None-Match": tag})
        assert changed.status_code == 200
        assert changed.headers["ETag"] != tag


@pytest.mark.slow
def test_304_needs_a_token_and_a_valid_link(served: Served) -> None:
    sent = {"If-None-Match": served.get(PAGE).headers["ETag"]}
    assert requests.get(served.address, headers=sent, timeout=SECONDS).status_code == 401
    link = served.link(USERS)
    sent = {"If-None-Match": requests.get(link, timeout=SECONDS).headers["ETag"]}
    assert requests.get(f"{link}0", headers=sent, timeout=SECONDS).status_code == 403


def test_errors_and_metrics_are_never_stored(served: Served) -> None:
    for path in ("/metrics", "/healthz", "/nothing", "/users/nobody"):
        answer = served.get(path)
        assert answer.headers["Cache-Control"] == "no-store"
        assert "ETag" not in answer.headers
    assert served.get(PAGE, Authorization="x").headers["Cache-Control"] == "no-store"


# The certificate


def made_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate with this common name, and its key."""
    files = folder / f"{name}.pem", folder / f"{name}-key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    out = ["-subj", f"/CN={name}", "-out", f"{files[0]}", "-keyout", f"{files[1]}"]
    subprocess.run([*command.split(), *out], check=True, capture_output=True, timeout=300)
    return files


def shown(served: Served) -> str:
    """The certificate that a new connection receives."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", served.port), SECONDS) as plain,
        context.wrap_socket(plain) as secured,
    ):
        return ssl.DER_cert_to_PEM_cert(secured.getpeercert(binary_form=True) or b"")


@pytest.mark.slow
def test_renewed_certificate_is_shown_without_restart(tmp_path: Path) -> None:
    """A certificate whose key has not arrived yet changes nothing."""
    old, new = (made_certificate(tmp_path, name) for name in ("old", "new"))
    used = tmp_path / "used.pem", tmp_path / "used-key.pem"
    for source, target in zip(old, used, strict=True):
        shutil.copy(source, target)
    files = {"SERVE_TLS_CERT_FILE": f"{used[0]}", "SERVE_TLS_KEY_FILE": f"{used[1]}"}
    with serving(with_a_day(tmp_path, **files)) as server:
        assert shown(server) == old[0].read_text()
        shutil.copy(new[0], used[0])
        until(lambda: "the certificate could not be read again" in server.log, SECONDS)
        assert shown(server) == old[0].read_text()
        shutil.copy(new[1], used[1])
        until(lambda: shown(server) == new[0].read_text(), SECONDS)
        assert "Traceback" not in server.log
