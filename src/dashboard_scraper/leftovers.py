"""Temporary files: their names, who still writes them, and the removal of those that nobody does.

Beside the temporary files of one program is a file without content that it holds a lock on. The
system lets go of the lock when the program ends, however it ends; who gets the lock then knows that
the files of the same token are left over. This holds across containers, where a process id says
nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    HAVE_FCNTL = False
else:
    HAVE_FCNTL = True

_TOKEN_BYTES = 8
_TEMPORARY_SUFFIX = ".tmp"
_LOCK_SUFFIX = ".lock"
_TOKEN = f"[0-9a-f]{{{2 * _TOKEN_BYTES}}}"
_TEMPORARY = re.compile(rf"\.({_TOKEN}){_TOKEN}{re.escape(_TEMPORARY_SUFFIX)}")
_LOCK = re.compile(rf"\.({_TOKEN}){re.escape(_LOCK_SUFFIX)}")

# What no lock tells of (of a program on Windows, or on a file system without locks) is left over
# when it is that old.
_LEFT_OVER_SECONDS = 24 * 3600


class TemporaryNames:
    """Names for temporary files, in any folder, that nobody removes before `release`."""

    def __init__(self, folder: Path) -> None:
        """The lock's file is in `folder`, and there from the start; raises OSError."""
        self._lock: tuple[Path, int] | None = None
        while True:
            self._token = secrets.token_hex(_TOKEN_BYTES)
            if not HAVE_FCNTL or self._take(folder / f".{self._token}{_LOCK_SUFFIX}"):
                return

    def _take(self, path: Path) -> bool:
        """Whether the lock is held, or cannot be had here at all."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._lock = path, descriptor
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # some network file systems have no locks
            self.release()
            return True
        if os.fstat(descriptor).st_nlink:
            return True
        self.release()  # somebody took it for left over before it was locked
        return False

    def beside(self, target: Path) -> Path:
        """A name in the target's folder."""
        name = f".{self._token}{secrets.token_hex(_TOKEN_BYTES)}{_TEMPORARY_SUFFIX}"
        return target.with_name(name)

    def release(self) -> None:
        """To be called when no file has such a name any more."""
        if self._lock is not None:
            path, descriptor = self._lock
            self._lock = None
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(descriptor)


def remove_leftovers(folders: Iterable[Path]) -> None:
    """Remove temporary files in the folders whose programs are gone.

    The lock of a file has to be in one of the folders too. What cannot be removed stays.
    """
    unique = sorted(set(folders))
    with contextlib.ExitStack() as held:
        # The locks first: a program that begins meanwhile has a token that is not among them.
        gone = {token for path, token in _found(unique, _LOCK) if held.enter_context(_left(path))}
        for path, token in _found(unique, _TEMPORARY):
            with contextlib.suppress(OSError):
                if token in gone or time.time() - path.lstat().st_mtime > _LEFT_OVER_SECONDS:
                    path.unlink()


def _found(folders: Iterable[Path], form: re.Pattern[str]) -> Iterator[tuple[Path, str]]:
    for folder in folders:
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):  # noqa: PTH208 - twice as fast, for years of folders
                if match := form.fullmatch(name):
                    yield folder / name, match[1]


@contextlib.contextmanager
def _left(lock: Path) -> Iterator[bool]:
    """Whether no program holds the lock; it is held until the end, and its file removed then."""
    if not HAVE_FCNTL:
        yield False
        return
    with contextlib.ExitStack() as stack:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # held, gone meanwhile, or somebody else's
            yield False
            return
        yield True
        with contextlib.suppress(OSError):
            lock.unlink()
