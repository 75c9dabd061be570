"""Files with secrets: who else can read or replace them, and how platforms mount them."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import Home
from dashboard_scraper.cli.wiring import audience_of
from dashboard_scraper.errors import UsageError
from dashboard_scraper.secret_files import read_private
from dashboard_scraper.server.token_files import read_or_make_token
from dashboard_scraper.settings.config import Settings, load_settings
from dashboard_scraper.simulator import Simulator
from dashboard_scraper.sources.analytics.token_auth import read_token
from dashboard_scraper.sources.dashboard.client import DashboardSource
from mounts import mount
from saved_cookies import save_cookies

Log = pytest.LogCaptureFixture
TEXT = b"0123456789abcdef0123456789abcdef"
SOMEBODY = 12345


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def secret(folder: Path, mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_bytes(TEXT)
    path.chmod(mode)
    return path


@pytest.fixture
def in_memory(open_folder: Path) -> Iterator[Path]:
    """A file system in memory."""
    folder = open_folder / "mount"
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", "mode=0755,size=1m", "none", str(folder)):
        assert "CI" not in os.environ, "where all is to be proved, a file system must be had"
        pytest.skip("mounting needs root, and a mount command")
    yield folder
    subprocess.run(["umount", str(folder)], timeout=300, check=True)


@pytest.fixture
def bound(open_folder: Path) -> Iterator[Path]:
    """A folder of the disk that is mounted elsewhere."""
    (open_folder / "there").mkdir()
    folder = open_folder / "here"
    folder.mkdir()
    if not mount("--bind", str(open_folder / "there"), str(folder)):
        assert "CI" not in os.environ, "where all is to be proved, a file system must be had"
        pytest.skip("mounting needs root, and a mount command")
    yield folder
    subprocess.run(["umount", str(folder)], timeout=300, check=True)


def close(folder: Path) -> None:
    """Make the mount read-only."""
    assert mount("-o", "remount,bind,ro", str(folder))


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o444, 0o600, 0o640, 0o644])
def test_read_only_in_memory_secret_is_accepted(mode: int, in_memory: Path, caplog: Log) -> None:
    """As Kubernetes mounts it: through links, in a folder that everybody may write to."""
    real = in_memory / "..2026"
    real.mkdir()
    secret(real, mode)
    (in_memory / "..data").symlink_to("..2026")
    (in_memory / "token").symlink_to("..data/token")
    real.chmod(0o2777)
    in_memory.chmod(0o3777)
    close(in_memory)
    assert read_private(in_memory / "token") == TEXT
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("mode", "owner", "group", "taken"),
    [
        (0o440, 0, 0, "silently"),  # systemd's access list shows as the bits of root's group
        (0o440, 0, SOMEBODY, "with a warning"),
        (0o444, 0, 0, "with a warning"),
        (0o640, 0, 0, None),
        (0o644, 0, 0, None),
        (0o440, SOMEBODY, 0, None),
        (0o444, SOMEBODY, 0, None),
    ],
)
def test_unwritable_in_memory_secret_is_accepted(
    mode: int, owner: int, group: int, taken: str | None, in_memory: Path, caplog: Log
) -> None:
    """Anybody may create files in a file system in memory, such as /dev/shm."""
    path = secret(in_memory, mode)
    os.chown(path, owner, group)
    if taken is None:
        with pytest.raises(UsageError, match="others can read"):
            read_private(path)
        return
    assert read_private(path) == TEXT
    assert len(caplog.messages) == (taken == "with a warning")


@pytest.mark.parametrize(("mode", "warnings"), [(0o400, 0), (0o440, 0), (0o444, 1), (0o666, 1)])
def test_readable_secret_on_read_only_mount_is_warned_of(
    mode: int, warnings: int, bound: Path, caplog: Log
) -> None:
    """As Docker mounts a file of its host."""
    path = secret(bound, mode)
    close(bound)
    assert read_private(path) == TEXT
    assert len(caplog.messages) == warnings


@pytest.mark.parametrize("mode", [0o440, 0o444])
def test_unwritable_secret_in_closed_folder_is_accepted(
    mode: int, open_folder: Path, caplog: Log
) -> None:
    path = secret(open_folder, mode)
    with pytest.raises(UsageError, match="others can read"):
        read_private(path)
    open_folder.chmod(0o700)
    assert read_private(path) == TEXT
    assert "nobody else can enter its folder" in caplog.text


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_readable_secret_needs_a_setting(mode: int, tmp_path: Path, caplog: Log) -> None:
    """Also in a folder that nobody else can enter, since a copy of the file would be open."""
    path = secret(tmp_path, mode)
    with pytest.raises(UsageError, match=f"mode 0{mode:o}.* chmod 600 {path}$"):
        read_private(path)
    assert caplog.messages == []
    assert read_private(path, allow_readable=True) == TEXT
    assert "ALLOW_READABLE_SECRETS" in caplog.text


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_writable_secret_is_always_refused(mode: int, tmp_path: Path) -> None:
    path = secret(tmp_path, mode)
    with pytest.raises(UsageError, match=r"others can write to .* chmod 600"):
        read_private(path, allow_readable=True)


@pytest.mark.parametrize(
    ("mode", "group", "refused"),
    [
        (0o777, 0, True),
        (0o775, SOMEBODY, True),
        (0o1777, 0, False),  # like /tmp: only its owner can replace a file
        (0o775, 0, False),  # the group named like the user, with umask 002
        (0o755, 0, False),
    ],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to other groups")
def test_writable_folder_of_secret_is_refused(
    mode: int, group: int, refused: bool, tmp_path: Path
) -> None:
    """When reading and when writing, and also behind a link."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    path = secret(folder)
    os.chown(folder, 0, group)
    folder.chmod(mode)
    (tmp_path / "link").symlink_to(path)
    attempts: list[Callable[[], object]] = [
        lambda: read_private(path),
        lambda: read_private(tmp_path / "link"),
        lambda: save_cookies(folder / "cookies.json", {}, "https://app.example.com:443"),
    ]
    for attempt in attempts:
        context = pytest.raises(UsageError, match=f"chmod go-w {folder}$")
        with context if refused else contextlib.nullcontext():
            attempt()
    assert (folder / "cookies.json").exists() is not refused


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_foreign_file_in_sticky_folder_is_refused(tmp_path: Path) -> None:
    path = secret(tmp_path)
    tmp_path.chmod(0o1777)
    os.chown(path, SOMEBODY, 0)
    with pytest.raises(UsageError, match="others can write in"):
        read_private(path)


# The same rule for every secret


def _token(settings: Settings) -> object:
    return read_token(settings)


def _key(settings: Settings) -> object:
    return audience_of(settings)


def _serve_token(settings: Settings) -> object:
    allow = settings.allow_readable_secrets
    return read_or_make_token(settings.serve_token_file, "127.0.0.1", allow_readable=allow)


def _session(settings: Settings) -> object:
    with contextlib.closing(DashboardSource(settings)) as source:
        return source


READERS = {
    "AUGMENT_API_TOKEN_FILE": _token,
    "PSEUDONYM_KEY_FILE": _key,
    "SERVE_TOKEN_FILE": _serve_token,
    "COOKIE_FILE": _session,
}


@pytest.mark.parametrize("name", READERS)
def test_every_secret_file_is_checked(name: str, tmp_path: Path) -> None:
    path = secret(tmp_path)
    if name == "COOKIE_FILE":
        save_cookies(path, {"_session": "x"}, "https://app.augmentcode.com:443")
    path.chmod(0o644)
    for allowed in (False, True):
        overrides = {name.lower(): str(path), "allow_readable_secrets": allowed}
        settings = load_settings(tmp_path, **overrides)
        context = pytest.raises(UsageError, match="chmod 600")
        with contextlib.nullcontext() if allowed else context:
            READERS[name](settings)


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("AUGMENT_API_TOKEN=x", True),
        ("STORE_URL=postgresql://ada:x@db.example.com/usage", True),
        ("STORE_URL=postgresql://db.example.com/usage?user=ada&password=x", True),
        ("HTTPS_PROXY=http://ada:x@proxy.example.com:3128", True),
        ("AWS_SECRET_ACCESS_KEY=x", True),
        ("AUGMENT_API_TOKEN=", False),
        ("STORE_URL=postgresql://ada@db.example.com/usage", False),
        ("HTTPS_PROXY=http://proxy.example.com:3128", False),
        ("AUGMENT_API_TOKEN_FILE=secrets/token", False),
    ],
)
def test_env_file_with_a_secret_in_it_is_such_a_file(
    line: str, refused: bool, tmp_path: Path
) -> None:
    file = tmp_path / ".env"
    file.write_text(f"{line}\n")
    file.chmod(0o644)
    context = pytest.raises(UsageError, match=f"others can read .* chmod 600 {file}$")
    with context if refused else contextlib.nullcontext():
        load_settings(tmp_path)
    file.write_text(f"{line}\nALLOW_READABLE_SECRETS=true\n")
    load_settings(tmp_path)
    file.write_text(f"{line}\n")
    file.chmod(0o600)
    load_settings(tmp_path)


# Writing


@pytest.mark.parametrize("there", [True, False])
def test_no_secret_is_written_through_a_link(there: bool, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    if there:
        other.write_text("of somebody else")
        other.chmod(0o644)
    path = tmp_path / "secrets" / "cookies.json"
    path.parent.mkdir()
    path.symlink_to(other)
    with pytest.raises(UsageError, match=r"is a link to .*COOKIE_FILE"):
        save_cookies(path, {"_session": "x"}, "https://app.example.com:443")
    assert path.is_symlink()
    assert other.exists() is there
    if there:
        assert other.read_text() == "of somebody else"
        assert stat.S_IMODE(other.stat().st_mode) == 0o644
    else:
        with pytest.raises(UsageError, match="SERVE_TOKEN_FILE"):
            read_or_make_token(path, "127.0.0.1")


def test_sign_in_refuses_linked_session_file(home: Home, sim: Simulator) -> None:
    elsewhere = home.path / "elsewhere.json"
    home.cookie_file.rename(elsewhere)
    home.cookie_file.symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    result = home.run("--auth", "--no-check", stdin=f"_session={sim.cookie}")
    assert (result.code, elsewhere.read_bytes()) == (2, before)
    assert "is not written through a link" in result.err
