"""Temporary files: how they are named, and how those of killed programs are found and removed.

Each program names its temporary files with a token, and holds a lock on an empty file of the same
token. The system releases the lock when the program ends, however it ends; a program that can take
the lock knows that the token's files are left over. A process id would not do: it says nothing
across containers that share a volume.
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

# Files without locks (written on Windows, or on a file system without locks) count as left over
# once they are this old.
_LEFT_OVER_SECONDS = 24 * 3600


class TemporaryNames:
    """Names for temporary files, in any folder, that no other program removes before `release`."""

    def __init__(self, token: str) -> None:
        """Use the names of another process, which has locked the `token`; see `locked`."""
        self.token = token
        self._lock: tuple[Path, int] | None = None

    @classmethod
    def locked(cls, folder: Path) -> TemporaryNames:
        """Names with a new token, whose lock file is created in `folder`; raises OSError."""
        while True:
            names = cls(secrets.token_hex(_TOKEN_BYTES))
            if not HAVE_FCNTL or names._take(folder / f".{names.token}{_LOCK_SUFFIX}"):
                return names

    def _take(self, path: Path) -> bool:
        """Whether the lock is held, or this file system has no locks."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._lock = path, descriptor
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # some network file systems have no locks
            self.release()
            return True
        if os.fstat(descriptor).st_nlink:
            return True
        # Between creation and lock, another program's cleanup removed it: try a new token.
        self.release()
        return False

    def beside(self, target: Path) -> Path:
        """A name in the target's folder."""
        name = f".{self.token}{secrets.token_hex(_TOKEN_BYTES)}{_TEMPORARY_SUFFIX}"
        return target.with_name(name)

    def remove_files(self, folders: Iterable[Path]) -> None:
        """Remove every file that has one of these names in the folders."""
        for path, token in _found(sorted(set(folders)), _TEMPORARY):
            if token == self.token:
                with contextlib.suppress(OSError):
                    path.unlink()

    def release(self) -> None:
        """Release the lock, once no file has any of these names."""
        if self._lock is not None:
            path, descriptor = self._lock
            self._lock = None
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(descriptor)


def remove_leftovers(folders: Iterable[Path]) -> None:
    """Remove the temporary files in these folders whose programs have ended.

    A file's lock must be in one of the folders too. A file that cannot be removed stays.
    """
    unique = sorted(set(folders))
    with contextlib.ExitStack() as held:
        # Locks before files: a program that starts in between has a token that was not listed.
        locks = [(token, held.enter_context(_left(path))) for path, token in _found(unique, _LOCK)]
        gone = {token for token, is_left in locks if is_left}
        alive = {token for token, is_left in locks if not is_left}
        for path, token in _found(unique, _TEMPORARY):
            with contextlib.suppress(OSError):
                # A new link to an old file is as old as the file, so age is not enough.
                age = time.time() - path.lstat().st_mtime
                if token in gone or (token not in alive and age > _LEFT_OVER_SECONDS):
                    path.unlink()


def _found(folders: Iterable[Path], form: re.Pattern[str]) -> Iterator[tuple[Path, str]]:
    for folder in folders:
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):  # noqa: PTH208 - twice as fast, for years of folders
                if match := form.fullmatch(name):
                    yield folder / name, match[1]


@contextlib.contextmanager
def _left(lock: Path) -> Iterator[bool]:
    """Whether no program holds the lock; if so, hold it here, and remove its file at the end."""
    if not HAVE_FCNTL:
        yield False
        return
    with contextlib.ExitStack() as stack:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # held, removed meanwhile, or another user's
            yield False
            return
        yield True
        with contextlib.suppress(OSError):
            lock.unlink()
