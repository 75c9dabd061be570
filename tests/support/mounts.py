"""Real mounts, in their own folder, like those by which platforms pass secrets to a process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dashboard_scraper.errors import UsageError

ANOTHER_USER = 10001
"""As images set it: neither root nor anybody of this machine."""


def mount(*words: str) -> bool:
    """Mount with these words; returns whether that was possible."""
    with contextlib.suppress(OSError):
        done = subprocess.run(["mount", *words], capture_output=True, timeout=300, check=False)
        return not done.returncode
    return False


@contextlib.contextmanager
def mounted_secrets(files: dict[str, bytes], mode: int, group: int = 0) -> Iterator[Path]:
    """A file system in memory with these files, each behind two links as in Kubernetes, and then
    made read-only. Skips if nothing can be mounted.
    """
    with tempfile.TemporaryDirectory() as name:
        outer = Path(name)
        outer.chmod(0o755)
        folder = outer / "secrets"
        folder.mkdir()
        if not mount("-t", "tmpfs", "-o", "mode=0755,size=1m", "none", str(folder)):
            assert "CI" not in os.environ, "CI provides root, who can mount"
            pytest.skip("mounting needs root, and a mount command")
        try:
            real = folder / "..2026_11_29"
            real.mkdir()
            for file, data in files.items():
                (real / file).write_bytes(data)
                os.chown(real / file, 0, group)
                (real / file).chmod(mode)
                (folder / file).symlink_to(f"..data/{file}")
            (folder / "..data").symlink_to(real.name)
            real.chmod(0o2777)
            folder.chmod(0o3777)
            assert mount("-o", "remount,bind,ro", str(folder))
            yield folder
        finally:
            subprocess.run(["umount", str(folder)], timeout=300, check=True)


def _read(read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except UsageError:
        return UsageError.__name__.encode()


def as_another_user(group: int, read: Callable[[], bytes]) -> bytes:
    """What a process of ANOTHER_USER with only this group reads, or the name UsageError."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([group])
            os.setgid(group)
            os.setuid(ANOTHER_USER)
            os.write(writer, _read(read))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        data = answer.read()
    os.waitpid(child, 0)
    return data
