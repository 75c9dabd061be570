"""Each documented way in which a platform passes a secret to the program (docs/secrets.md)."""

from __future__ import annotations

import os
import warnings

import pytest

from conftest import Home, Start
from dashboard_scraper.secret_files import read_private
from dashboard_scraper.simulator import Simulator
from dashboard_scraper.sources.dashboard.cookie_auth import SESSION_COOKIE
from mounts import ANOTHER_USER, as_another_user, mounted_secrets
from sessions import AUTH, ONE_DAY

pytestmark = pytest.mark.usefixtures("csv_alone")

Log = pytest.LogCaptureFixture
CHECK = ("status", "--check")
SYSTEMD_ENV = """\
AUGMENT_API_TOKEN_FILE=${CREDENTIALS_DIRECTORY:-/run/credentials/none}/secret_api-token
"""


@pytest.fixture
def token(home: Home, api: Simulator) -> bytes:
    """The token of `api`, which is not in any setting or file yet."""
    home.settings["LOG_LEVEL"] = "WARNING"
    assert home.settings.pop("AUGMENT_API_TOKEN") == api.token
    return api.token.encode() + b"\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
@pytest.mark.parametrize("group", [ANOTHER_USER, ANOTHER_USER + 1])
def test_kubernetes_secret_is_read_by_its_group_alone(group: int, caplog: Log) -> None:
    """With `fsGroup`, a file belongs to root and to that group, which the process is in."""
    with mounted_secrets({"token": b"secret"}, 0o440, ANOTHER_USER) as folder:
        path = folder / "token"
        with warnings.catch_warnings():
            # Python 3.12 and later warn of a fork with threads.
            warnings.simplefilter("ignore", DeprecationWarning)
            read = as_another_user(group, lambda: read_private(path) + b"".join(told(caplog)))
    assert read == (b"secret" if group == ANOTHER_USER else b"UsageError")


def told(caplog: Log) -> list[bytes]:
    return [message.encode() for message in caplog.messages]


def test_mounted_token_works(home: Home, token: bytes) -> None:
    with mounted_secrets({"token": token}, 0o440) as folder:
        home.settings["AUGMENT_API_TOKEN_FILE"] = f"{folder}/token"
        result = home.run(*CHECK)
    assert (result.code, result.err) == (0, "")


def test_systemd_credential_is_named_in_env_file(home: Home, token: bytes) -> None:
    """Run by hand, without systemd's folder, commands that need no token work as well."""
    (home.path / ".env").write_text(SYSTEMD_ENV)
    with mounted_secrets({"secret_api-token": token}, 0o440) as folder:
        home.settings["CREDENTIALS_DIRECTORY"] = f"{folder}"
        assert home.run(*ONE_DAY).code == 0
        result = home.run(*CHECK)
        assert (result.code, result.err) == (0, "")
    del home.settings["CREDENTIALS_DIRECTORY"]
    by_hand = home.run("status")
    assert (by_hand.code, by_hand.err) == (0, "")
    result = home.run(*CHECK)
    assert (result.code, "/run/credentials/none/secret_api-token" in result.err) == (3, True)


def test_mounted_env_file_works(home: Home, token: bytes) -> None:
    """The whole `.env` is a secret, behind a link, and refers to an environment variable."""
    text = b"AUGMENT_API_TOKEN=${TOKEN}\nSTORE_URL=sqlite:///other.db\n"
    home.settings["TOKEN"] = token.decode().strip()
    with mounted_secrets({"env": text}, 0o440) as folder:
        (home.path / ".env").symlink_to(folder / "env")
        result = home.run(*CHECK)
    assert (result.code, result.err) == (0, "")
    assert "other.db" in result.out


@pytest.mark.slow
def test_session_on_read_only_mount_is_used(home: Home, start: Start) -> None:
    """The run uses the renewed session, and warns that the next run cannot."""
    sim = start(rolling=True)
    stored = home.cookie_file.read_bytes()
    with mounted_secrets({"cookies.json": stored}, 0o440) as folder:
        home.settings |= {"COOKIE_FILE": f"{folder}/cookies.json", "MAX_CONCURRENCY": "1"}
        result = home.run(*ONE_DAY)
        assert (result.code, len(result.paths)) == (0, 2)
        assert result.err.count("which could not be stored") == 1
        assert {request.status for request in sim.requests} == {200}
        assert sim.count() > 1
        assert home.run("keep-alive").code == 2, "the file is behind a link"
        for words in ([AUTH], [AUTH, "--no-check"]):
            refused = home.run(*words, stdin=f"{SESSION_COOKIE}={sim.cookie}")
            assert refused.code != 0
            assert f"{folder}/cookies.json" in refused.err
        assert (folder / "cookies.json").read_bytes() == stored
