"""Secrets of sources: where they are read from, and to which requests they are added."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import requests
from pydantic import SecretStr
from requests.auth import AuthBase

from dashboard_scraper.errors import SignInRequired, UsageError
from dashboard_scraper.sources.rest.auth import (
    AllowedRequests,
    BasicKey,
    BearerToken,
    HeaderKey,
    NotAllowed,
)
from dashboard_scraper.sources.rest.key_file import KeyWords, read_key

BASE = "https://api.example.com"
WORDS = KeyWords("TOY_API_KEY", "key", "the Toy API", "ask the toy maker for one")


def key_in(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "key"
    path.write_bytes(data)
    path.chmod(0o600)
    return read_key(WORDS, None, path, allow_readable=False)


@pytest.mark.parametrize("data", [b"key_1", b"key_1\n", b"\xef\xbb\xbf key_1\r\n"])
def test_key_is_read_from_its_file(tmp_path: Path, data: bytes) -> None:
    assert key_in(tmp_path, data) == "key_1"


def test_setting_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "missing"
    assert read_key(WORDS, SecretStr(" key_2 "), file, allow_readable=False) == "key_2"


@pytest.mark.parametrize("data", [b"", b"key 1", b"key_1\nkey_2", b"\xff\xfe", b'{"key": "x"}'])
def test_malformed_key_file_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UsageError, match=r"^TOY_API_KEY_FILE: .*key"):
        key_in(tmp_path, data)


def test_json_in_the_setting_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^TOY_API_KEY: this is JSON, and not a key"):
        read_key(WORDS, SecretStr("{}"), None, allow_readable=False)


def test_missing_key_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(SignInRequired, match="there is no key for the Toy API; ask the toy maker"):
        read_key(WORDS, None, None, allow_readable=False)
    with pytest.raises(SignInRequired, match=r"TOY_API_KEY_FILE: .* does not exist; ask the toy"):
        read_key(WORDS, None, tmp_path / "key", allow_readable=False)


def test_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    key_in(tmp_path, b"key_1")
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        read_key(WORDS, None, tmp_path / "key", allow_readable=False)


SIGNED = {
    "header": (HeaderKey("x-api-key", "k1"), "x-api-key", "k1"),
    "bearer": (BearerToken("k1"), "Authorization", "Bearer k1"),
    "basic": (BasicKey("k1"), "Authorization", f"Basic {base64.b64encode(b'k1:').decode()}"),
}


@pytest.mark.parametrize("kind", SIGNED)
def test_allowed_request_is_signed(kind: str) -> None:
    auth, header, value = SIGNED[kind]
    assert sent("GET", f"{BASE}/v1/usage?day=1", auth).headers[header] == value


def sent(method: str, url: str, auth: AuthBase) -> requests.PreparedRequest:
    allowed = AllowedRequests(f"{BASE}/", "/v1/", {"usage": "GET"}, auth)
    return requests.Request(method, url, auth=allowed).prepare()


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "https://api.example.com.evil.example/v1/usage"),
        ("GET", "http://api.example.com/v1/usage"),
        ("GET", f"{BASE}:8443/v1/usage"),
        ("GET", f"{BASE}/v1/keys"),
        ("POST", f"{BASE}/v1/usage"),
    ],
)
def test_other_host_path_or_method_is_refused(method: str, url: str) -> None:
    with pytest.raises(NotAllowed):
        sent(method, url, HeaderKey("x-api-key", "k1"))


def test_repeated_secret_is_redacted() -> None:
    for auth, _header, value in SIGNED.values():
        assert "k1" not in auth.redacted_in("the key k1")
        secret = value.rpartition(" ")[2]
        assert secret not in auth.redacted_in(f"you sent {value}")
