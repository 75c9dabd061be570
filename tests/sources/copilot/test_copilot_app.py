"""A GitHub App instead of a token: its key signs, and its installation's token is renewed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from conftest import Home
from copilot_runs import DAY, USERS, by_login, fault, opened, truth
from dashboard_scraper.errors import ContractBroken, SignInRequired, UsageError
from dashboard_scraper.simulator import Simulator, raw_body, status
from stored_days import settings_of

TOKENS = "access_tokens"
pytestmark = pytest.mark.slow  # they make a key


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


@pytest.fixture
def key_file(home: Home, github: Simulator, key: RSAPrivateKey) -> Path:
    """From now on, the home signs in as an app, without a token."""
    path = home.path / "secrets" / "app.pem"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(0o600)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    path.write_bytes(pem)
    del home.settings["COPILOT_TOKEN"]
    home.settings |= {
        "COPILOT_APP_ID": github.copilot.app_id,
        "COPILOT_APP_KEY_FILE": str(path),
        "COPILOT_APP_INSTALLATION": github.copilot.installation,
    }
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    github.copilot.app_public_key = public
    return path


@pytest.mark.usefixtures("key_file")
def test_app_reads_with_one_token_for_all_requests(home: Home, github: Simulator) -> None:
    with opened(home) as source:
        usage = source.fetch_day(DAY)
        source.fetch_seats()
    assert {user.user for user in usage.users} == {*by_login(truth(github).usage(DAY))}
    assert github.count(TOKENS) == 1


@pytest.mark.usefixtures("key_file")
def test_token_of_an_app_is_renewed_before_it_expires(home: Home, github: Simulator) -> None:
    """Early enough for a clock that is as far behind as GitHub allows."""
    github.copilot.app_token_life = timedelta(minutes=14)
    with opened(home) as source:
        source.fetch_day(DAY)
    assert github.count(TOKENS) == 2


def refused(home: Home, kind: type[Exception], words: str) -> None:
    with opened(home) as source, pytest.raises(kind, match=words):
        source.fetch_day(DAY)


@pytest.mark.usefixtures("key_file")
def test_app_that_github_does_not_know_needs_signing_in(home: Home, github: Simulator) -> None:
    home.settings["COPILOT_APP_ID"] = "999"
    refused(home, SignInRequired, "signature .HTTP 401.")
    home.settings["COPILOT_APP_ID"] = github.copilot.app_id
    home.settings["COPILOT_APP_INSTALLATION"] = "999"
    refused(home, SignInRequired, "no installation 999")


@pytest.mark.usefixtures("key_file")
def test_revoked_token_of_an_app_needs_no_other_token(home: Home, github: Simulator) -> None:
    fault(github, USERS, status(401))
    refused(home, SignInRequired, "token of the app's installation .*HTTP 401.*run it again$")


@pytest.mark.usefixtures("key_file")
def test_odd_token_of_an_app_is_refused(home: Home, github: Simulator) -> None:
    fault(github, TOKENS, status(500))
    refused(home, Exception, "HTTP 500")
    github.clear_faults()
    fault(github, TOKENS, raw_body(b"{}"))
    refused(home, ContractBroken, TOKENS)


def test_file_without_a_key_is_refused(home: Home, key_file: Path) -> None:
    key_file.write_text("not a key")
    refused(home, UsageError, "is not a private RSA key")
    key_file.unlink()
    with pytest.raises(SignInRequired, match="does not exist"), opened(home):
        pass


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"COPILOT_APP_ID": "1"}, "set all three"),
        ({"COPILOT_ENTERPRISE": "a", "COPILOT_ORGANIZATION": "b"}, "set one of them"),
        ({"COPILOT_ENTERPRISE": "enterprises/acme"}, "write only the name"),
        ({"COPILOT_TOKEN": "a", "COPILOT_TOKEN_FILE": "b"}, "set one of them"),
    ],
)
def test_contradicting_settings_are_refused(
    home: Home, settings: dict[str, str], words: str
) -> None:
    home.settings |= settings
    with pytest.raises(UsageError, match=words):
        settings_of(home)
