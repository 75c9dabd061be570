"""The session in the operating system's keyring instead of a file."""

from __future__ import annotations

import json
import sys
from base64 import b64decode
from collections.abc import Iterator

import keyring.backend
import keyring.core
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import null
from keyring.backends.chainer import ChainerBackend

from conftest import Home, Start, all_files
from crash_child import Forks
from dashboard_scraper.simulator import Simulator
from dashboard_scraper.sources.dashboard.cookie_auth import SESSION_COOKIE
from dashboard_scraper.sources.dashboard.keyring_store import KeyringStore, open_keyring
from dashboard_scraper.sources.rest.urls import origin_of
from secret_service import SecretService, running_service
from sessions import AUTH, ONE_DAY, SIGN_IN, assert_no_secret

pytestmark = pytest.mark.usefixtures("csv_alone")

LONG = bytes(range(256)) * 6
GONE = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}
WINDOWS_LIMIT = 2560  # bytes of UTF-16 in an entry


@pytest.fixture(autouse=True)
def _library_as_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library finds keyrings once per process, but here each run has its own environment."""
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)
    vars(keyring.backend.get_all_keyring).pop("saved_result", None)


@pytest.fixture
def secret_service(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecretService]:
    """A keyring for the home's runs. It is not shared by all tests: after many changes, GNOME's
    keyring mixes up its entries, and it sometimes crashes.
    """
    with running_service(tmp_path_factory.mktemp("keyring")) as service:
        service.use(home)
        yield service


def stored(service: SecretService, home: Home) -> dict[str, str]:
    """The cookies in the home's entry of the keyring."""
    text = service.secrets()[f"dashboard-scraper: {home.cookie_file}"]
    cookies: dict[str, str] = json.loads(b64decode(text))["cookies"]
    return cookies


@pytest.fixture
def signed_out(home: Home, sim: Simulator, secret_service: SecretService) -> Home:
    """A home of `sim` without a session, whose runs use the keyring."""
    assert sim.url in home.settings["METRICS_API_BASE_URL"]
    assert secret_service.bus == home.settings["DBUS_SESSION_BUS_ADDRESS"]
    home.cookie_file.unlink()
    home.cookie_file.parent.rmdir()
    return home


@pytest.mark.slow
def test_session_lives_in_the_keyring_alone(
    home: Home, start: Start, secret_service: SecretService
) -> None:
    sim = start(rolling=True)
    home.cookie_file.unlink()
    home.settings["LOG_LEVEL"] = "DEBUG"
    result = home.run(AUTH, stdin=f"_session={sim.cookie}; theme=dark")
    assert (result.code, "the session is saved in the keyring" in result.err) == (0, True)
    runs = [home.run(*ONE_DAY), home.run("status", "--check"), home.run("status", "--check")]
    assert [run.code for run in runs] == [0, 0, 0]
    assert stored(secret_service, home) == {"theme": "dark", SESSION_COOKIE: sim.cookie}
    assert not home.cookie_file.exists()
    assert_no_secret(sim, result.err, *(run.err for run in runs))
    assert not any(sim.cookie.encode() in path.read_bytes() for path in all_files(home.path))


def test_session_of_another_site_stays_there(
    signed_out: Home, sim: Simulator, secret_service: SecretService
) -> None:
    assert signed_out.run(AUTH, "--no-check", stdin=sim.cookie).code == 0
    signed_out.settings["METRICS_API_BASE_URL"] = "https://app.example.com/"
    result = signed_out.run(*ONE_DAY)
    assert (result.code, sim.requests) == (3, [])
    assert f"holds a session of {origin_of(sim.url)}, not https://app.example.com:443" in result.err
    assert stored(secret_service, signed_out) == {SESSION_COOKIE: sim.cookie}


def test_empty_keyring_asks_to_sign_in(signed_out: Home) -> None:
    result = signed_out.run(*ONE_DAY)
    assert (result.code, "no cookies found in the keyring" in result.err) == (3, True)
    assert SIGN_IN in result.err


def test_file_is_not_read_beside_the_keyring(signed_out: Home, sim: Simulator) -> None:
    """It may be from another time, and for another account."""
    signed_out.sign_in(sim)
    assert signed_out.run(*ONE_DAY).code == 3


def test_session_in_keyring_configures_dashboard(signed_out: Home, sim: Simulator) -> None:
    words = ["status", "--check", "--source", "all"]
    assert signed_out.run(*words).code == 2
    assert signed_out.run(AUTH, stdin=sim.cookie).code == 0
    assert signed_out.run(*words).code == 0


# Entries


@pytest.fixture
def entry(
    home: Home, secret_service: SecretService, monkeypatch: pytest.MonkeyPatch
) -> KeyringStore:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", secret_service.bus)
    return open_keyring(home.cookie_file)


def mine(service: SecretService, home: Home) -> dict[str, str]:
    return {name: text for name, text in service.secrets().items() if str(home.path) in name}


def test_long_session_fits_every_keyring(
    entry: KeyringStore, home: Home, secret_service: SecretService
) -> None:
    for data in (LONG, b"short", LONG[::-1]):
        entry.write(data)
        assert entry.read() == data
        texts = mine(secret_service, home)
        assert len(texts) == (1 if data == b"short" else 3)
        assert max(len(text.encode("utf-16")) for text in texts.values()) <= WINDOWS_LIMIT
    assert [entry.delete(), entry.exists(), entry.delete()] == [True, False, False]
    assert mine(secret_service, home) == {}


def test_each_home_has_its_own_entry(entry: KeyringStore, home: Home) -> None:
    other = open_keyring(home.path / "other" / "cookies.json")
    entry.write(b"mine")
    other.write(b"theirs")
    assert (entry.read(), other.read()) == (b"mine", b"theirs")
    assert other.delete()
    assert (entry.read(), other.read()) == (b"mine", None)


@pytest.mark.parametrize("part", ["", " ("])
def test_damaged_entry_is_not_sent(
    part: str, entry: KeyringStore, home: Home, secret_service: SecretService, sim: Simulator
) -> None:
    entry.write(LONG if part else b"short")
    name = next(name for name in mine(secret_service, home) if part in name)
    secret_service.put(name, "YW5vdGhl" if part else "another")
    assert entry.read() == b""
    result = home.run(*ONE_DAY)
    assert (result.code, sim.requests) == (3, [])
    assert "is damaged" in result.err


# Possible faults of a keyring


class _Unencrypted(KeyringBackend):
    """Like kinds that the library has but does not recommend; its methods are never called."""

    priority = 0.5

    get_password = set_password = delete_password = None  # type: ignore[assignment]


class _Foreign(_Unencrypted):
    """Like one from keyrings.alt, some of which claim to be recommended."""

    priority = 9
    __module__ = "keyrings.alt.pyfs"


@pytest.mark.parametrize("kind", [null.Keyring, _Unencrypted, _Foreign])
def test_insecure_keyring_is_refused(
    kind: type[KeyringBackend], home: Home, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring.core, "_keyring_backend", kind())
    home.settings["COOKIE_STORE"] = "keyring"
    result = home.run(AUTH, stdin=sim.cookie)
    assert (result.code, sim.requests) == (2, [])
    assert f"{kind.__module__}.{kind.__qualname__} does not protect what it stores" in result.err


def test_first_secure_one_of_several_is_used(entry: KeyringStore, home: Home) -> None:
    """The library also finds the insecure ones above, and asks all in order of priority."""
    assert isinstance(keyring.get_keyring(), ChainerBackend)
    entry.write(b"mine")
    assert open_keyring(home.cookie_file).read() == b"mine"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (GONE, "there is no keyring here, as on servers and in containers"),
        ({"PYTHON_KEYRING_BACKEND": "no_such.Keyring"}, "correct PYTHON_KEYRING_BACKEND"),
    ],
)
def test_missing_keyring_is_said(
    settings: dict[str, str],
    words: str,
    home: Home,
    sim: Simulator,
) -> None:
    home.settings |= {"COOKIE_STORE": "keyring", **settings}
    for run in (home.run(AUTH, stdin=sim.cookie), home.run(*ONE_DAY)):
        assert (run.code, words in run.err, "COOKIE_STORE=file" in run.err) == (2, True, True)
    assert sim.requests == []


@pytest.mark.slow
def test_locked_keyring_is_said(
    home: Home, sim: Simulator, forks: Forks, secret_service: SecretService
) -> None:
    """In a process of its own, since the library leaves a connection open."""
    assert home.run(AUTH, "--no-check", stdin=sim.cookie).code == 0
    secret_service.lock()
    result = forks.run(home, *ONE_DAY)
    assert (result.code, sim.requests) == (2, [])
    assert "the keyring is locked; unlock it" in result.err


def test_missing_library_is_said(
    home: Home, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    home.settings["COOKIE_STORE"] = "keyring"
    result = home.run(*ONE_DAY)
    assert (result.code, sim.requests) == (2, [])
    assert "[keyring]" in result.err
