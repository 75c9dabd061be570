"""`.env`: every line is either understood and used, or an error that names the line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest

from conftest import Home
from dashboard_scraper.errors import UsageError
from dashboard_scraper.settings.config import load_settings, setting_names
from dashboard_scraper.settings.library_settings import LIBRARY_SETTINGS
from dashboard_scraper.simulator import Simulator
from dashboard_scraper.sources.rest.route import Route, route_to

SECRET = "QWXYZ89secret"
URL = "https://app.example.com/"
AS_NOBODY = """
import os, sys
from pathlib import Path
from dashboard_scraper.settings.config import load_settings
from dashboard_scraper.errors import UsageError
os.geteuid() or os.setresuid(65534, 65534, 65534)
try:
    load_settings(Path(sys.argv[1]))
except UsageError as error:
    print(error)
"""


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {*setting_names(), *LIBRARY_SETTINGS}
    for name in [name for name in os.environ if name.upper() in names]:
        monkeypatch.delenv(name)


def env(home: Path, text: str | bytes, mode: int = 0o600) -> None:
    (home / ".env").write_bytes(text.encode() if isinstance(text, str) else text)
    (home / ".env").chmod(mode)


def refusal(home: Path) -> str:
    with pytest.raises(UsageError) as caught:
        load_settings(home)
    assert SECRET not in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        f"PSEUDONYM_KEY_FILE: {SECRET}",
        f"PSEUDONYM_KEY_FILE:{SECRET}",
        f"PSEUDONYM_KEY_FILE {SECRET}",
        f"set PSEUDONYM_KEY_FILE={SECRET}",
        f"setx PSEUDONYM_KEY_FILE {SECRET}",
        f"$env:PSEUDONYM_KEY_FILE = '{SECRET}'",
        f"- PSEUDONYM_KEY_FILE={SECRET}",
        f'PSEUDONYM_KEY_FILE="{SECRET}',
        f"PSEUDONYM_KEY_FILE='{SECRET}",
        f'PSEUDONYM_KEY_FILE="{SECRET}" x',
        "PSEUDONYM_KEY_FILE",
        "export PSEUDONYM_KEY_FILE",
        f"={SECRET}",
        f"ENTERPRISE_ID={SECRET} PSEUDONYM_KEY_FILE=key",
        f"ENTERPRISE_ID={SECRET};PSEUDONYM_KEY_FILE=key",
        f'ENTERPRISE_ID="{SECRET}\nPSEUDONYM_KEY_FILE=key"',
        f"{SECRET}",
        f"{SECRET}==",
        f"STORE_UR={SECRET}",
        f"pseudonym_keyfile={SECRET}",
        f"PSEUDONYM-KEY-FILE={SECRET}",
        f"NO_SUCH_NAME={SECRET}",
        "PSEUDONYM_KEY_FILE=${NO_SUCH_NAME}",
        "PSEUDONYM_KEY_FILE=${HOME:?}",
        "EXPORT_DIR=$HOME/usage",
        "LOG_LEVEL=INFO\nPSEUDONYM_KEY_FILE=a\nPSEUDONYM_KEY_FILE=b",
    ],
)
def test_unreadable_line_is_an_error_with_number(line: str, tmp_path: Path) -> None:
    env(tmp_path, f"# a comment\n\nLOOKBACK_DAYS=7\n\n{line}\n")
    number = 7 if line.startswith("LOG_LEVEL") else 5
    assert f"{tmp_path / '.env'}: line {number}" in refusal(tmp_path)


def test_wrong_lines_are_named_up_to_limit(tmp_path: Path) -> None:
    env(tmp_path, "STORE_UR=x\nLOG_LEVEL: x\n" + "NO_SUCH_NAME=x\n" * 40)
    message = refusal(tmp_path)
    assert "line 1: STORE_UR is not a setting; did you mean STORE_URL?" in message
    assert "line 2 is not NAME=VALUE" in message
    assert message.endswith("and 37 more")


def test_bare_secret_is_not_quoted(tmp_path: Path) -> None:
    env(tmp_path, "q0w1x2y3z4abcdef=\n")
    assert "q0w1x2y3z4abcdef" not in refusal(tmp_path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"LOG_LEVEL=INFO\nENTERPRISE_ID=\xff\n", "line 2 is not UTF-8"),
        (b"LOG_LEVEL=INFO\n\nENTERPRISE_ID=a\0b\n", "line 3 has a NUL byte"),
        ("LOG_LEVEL=INFO\n".encode("utf-16"), "line 1 is not UTF-8"),
    ],
    ids=["Latin-1", "NUL", "UTF-16"],
)
def test_a_file_that_is_not_text_is_an_error(data: bytes, words: str, tmp_path: Path) -> None:
    env(tmp_path, data)
    assert words in refusal(tmp_path)


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "link to nothing", "link to itself"])
def test_what_is_not_a_file_is_an_error_at_once(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    path = tmp_path / ".env"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(".env")
    else:
        path.symlink_to("nothing" if kind == "link to nothing" else ".env")
    assert str(path) in refusal(tmp_path)


@pytest.mark.slow
def test_a_file_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    """Also if the folder does not show whether the file exists; root may read everything."""
    env(tmp_path, "LOG_LEVEL=INFO\n", 0)
    for folder in (0o755, 0o000):
        tmp_path.chmod(folder)
        command = [sys.executable, "-c", AS_NOBODY, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert "cannot be read: Permission denied" in done.stdout, done
    tmp_path.chmod(0o700)


def test_values_equal_python_dotenv(tmp_path: Path) -> None:
    lines = (
        "\ufeff# settings",
        "  export LOOKBACK_DAYS = 7   # a week",
        "settle_days='5'",
        'SCRAPE_ENDPOINTS="user-feature-stats,\r\n tenant-feature-stats"',
        "ENTERPRISE_ID=a b#c$NO_SUCH_NAME",
        "ORGANIZATION_ID= # nothing",
        "EXPORT_DIR=${NO_SUCH_NAME:-exports}/${ENTERPRISE_ID}",
        "LOOKBACK_DAYS=7",
    )
    env(tmp_path, "\r\n".join(lines))
    settings = load_settings(tmp_path)
    assert (settings.lookback_days, settings.settle_days) == (7, 5)
    assert len(settings.scrape_endpoints) == 2
    assert (settings.enterprise_id, settings.organization_id) == ("a b#c$NO_SUCH_NAME", None)
    assert settings.export_dir == tmp_path / "exports" / "a b#c$NO_SUCH_NAME"


@pytest.mark.parametrize("text", ["STORE_UR=x\n", "PSEUDONYM_KEY_FILE: secrets/key\n", None])
def test_nothing_is_fetched_and_nothing_written(
    text: str | None, home: Home, sim: Simulator
) -> None:
    """If `text` is None, `.env` is a folder."""
    if text is None:
        (home.path / ".env").mkdir()
    else:
        env(home.path, text)
    result = home.run("10-22-2025")
    assert (result.code, result.out, sim.count(), home.files()) == (2, "", 0, set())
    assert "Traceback" not in result.err


# Settings of the libraries


def route(home: Path, url: str = URL) -> Route:
    return route_to(url, load_settings(home).libraries)


def test_environment_overrides_env_file_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env(tmp_path, "https_proxy=http://file:1\nALL_PROXY=http://file:2\nNO_PROXY=.internal\n")
    assert route(tmp_path).proxies == {"https": "http://file:1", "all": "http://file:2"}
    assert route(tmp_path, "https://api.internal/").proxies == {}
    monkeypatch.setenv("HTTPS_PROXY", "http://environment:1")
    assert route(tmp_path).proxies["https"] == "http://environment:1"
    monkeypatch.setenv("no_proxy", "app.example.com")
    assert route(tmp_path).proxies == {}
    assert route(tmp_path, "https://api.internal/").proxies != {}


def test_no_proxy_applies_to_env_file_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env(tmp_path, "HTTPS_PROXY=http://file:1\n")
    monkeypatch.setenv("NO_PROXY", "app.example.com")
    assert route(tmp_path).proxies == {}


@pytest.fixture
def proxy() -> Iterator[tuple[int, list[bytes]]]:
    """A port that answers nothing, and the first bytes of each connection to it."""
    asked: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(100))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], asked
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_requests_go_through_the_proxy_of_env_file(
    home: Home, sim: Simulator, proxy: tuple[int, list[bytes]]
) -> None:
    port, asked = proxy
    env(home.path, f"HTTP_PROXY=http://127.0.0.1:{port}\nMAX_RETRIES=0\n")
    assert home.run("10-22-2025").code == 4
    assert asked
    assert sim.count() == 0


def test_library_settings_stay_out_of_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "environment")
    before = dict(os.environ)
    env(tmp_path, f"HTTPS_PROXY=http://file:1\nAWS_SECRET_ACCESS_KEY={SECRET}\nAWS_REGION=x\n")
    libraries = load_settings(tmp_path).libraries
    assert dict(os.environ) == before
    with libraries.of_object_stores():
        assert os.environ["AWS_SECRET_ACCESS_KEY"] == SECRET
        assert os.environ["AWS_REGION"] == "environment"
        assert "HTTPS_PROXY" not in os.environ
    assert dict(os.environ) == before


CERTIFICATE = Path(certifi.where())


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_ca_file_is_below_home_and_checked(name: str, tmp_path: Path) -> None:
    env(tmp_path, f"{name}=ca.pem\n")
    with pytest.raises(UsageError, match=f"{name}: .*No such file"):
        route(tmp_path)
    (tmp_path / "ca.pem").write_text("notes")
    with pytest.raises(UsageError, match=f"{name}: .*has no readable certificate"):
        route(tmp_path)
    (tmp_path / "ca.pem").write_bytes(CERTIFICATE.read_bytes())
    assert route(tmp_path).ca == str(tmp_path / "ca.pem")


def test_missing_ca_file_ends_run(home: Home, sim: Simulator) -> None:
    env(home.path, "REQUESTS_CA_BUNDLE=no-such-file.pem\n")
    result = home.run("10-22-2025")
    assert (result.code, sim.count()) == (2, 0)
    assert "REQUESTS_CA_BUNDLE" in result.err


def test_unknown_library_setting_is_an_error(tmp_path: Path) -> None:
    env(tmp_path, "AWS_ACCES_KEY_ID=x\n")
    assert "did you mean AWS_ACCESS_KEY_ID?" in refusal(tmp_path)
