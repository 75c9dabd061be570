"""The folder of a browser's profile: private, used by one process at a time, and removable."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from dashboard_scraper.errors import LockHeld, UsageError
from dashboard_scraper.files import explained, make_folder
from dashboard_scraper.leftovers import HAVE_FCNTL

if HAVE_FCNTL:
    import fcntl

_BROWSERS_LOCK = "SingletonLock"
_LOOK_SECONDS = 0.05
_PROCESSES = Path("/proc")


@contextlib.contextmanager
def locked_profile(folder: Path, seconds: float = 0) -> Iterator[None]:
    """Create the profile's folder with mode 0700 if it is missing, and hold its lock.

    Raises LockHeld if another process uses it (after some `seconds` if that is this program's), and
    UsageError if others could read it.
    """
    make_folder(folder, 0o700)
    with _lock(folder, seconds):
        _refuse_running_browser(folder)
        yield


def remove_profile(folder: Path) -> bool:
    """Remove the profile with everything in it; returns whether there was one.

    A link is removed, but not what it points to. Raises LockHeld if the profile is in use.
    """
    if not os.path.lexists(folder):
        return False
    with explained(folder):
        if folder.is_symlink() or not folder.is_dir():
            folder.unlink()
            return True
        with _lock(folder):
            _refuse_running_browser(folder)
            shutil.rmtree(folder)
    return True


@contextlib.contextmanager
def _lock(folder: Path, seconds: float = 0) -> Iterator[None]:
    """The lock of this program's own processes; it ends with the process that holds it."""
    if not HAVE_FCNTL:  # Windows, where the browser itself refuses a profile that is in use
        yield
        return
    descriptor, until = _opened(folder), time.monotonic() + seconds
    try:
        while not _is_locked(descriptor):
            if time.monotonic() >= until:
                raise LockHeld(
                    f"another process of this program has the browser's profile {folder} open; wait"
                    " for it, or end it"
                )
            time.sleep(_LOOK_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _opened(folder: Path) -> int:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise UsageError(
            f"the browser's profile {folder} cannot be used: {error.strerror}; move it away"
        ) from error
    state = os.fstat(descriptor)
    mode = stat.S_IMODE(state.st_mode)
    if state.st_uid != os.geteuid() or mode & 0o077:
        os.close(descriptor)
        raise UsageError(
            f"others can use the browser's profile {folder} (mode {mode:04o}, owner"
            f" {state.st_uid}); fix it: chmod 700 {shlex.quote(str(folder))}, or remove it"
        )
    return descriptor


def _refuse_running_browser(folder: Path) -> None:
    """LockHeld if a browser that this program did not start has the profile open.

    A second browser would only open a window in the first one. Chromium's lock is a link to
    `HOST-PROCESS`, which stays if a browser is killed.
    """
    try:
        owner = str((folder / _BROWSERS_LOCK).readlink())
    except OSError:  # not locked, or Windows, which has another kind of lock
        return
    host, _, process = owner.rpartition("-")
    if host != socket.gethostname():
        raise LockHeld(
            f"the browser's profile {folder} is in use on the computer {host}; where no browser"
            f" runs there any more, delete {folder / _BROWSERS_LOCK}"
        )
    if process.isdecimal() and _may_have_open(int(process), folder):
        raise LockHeld(
            f"a browser (process {process}) has the profile {folder} open; close that browser"
        )


def _may_have_open(process: int, folder: Path) -> bool:
    """Whether the process may be a browser with this profile. After a restart of the machine,
    another process may have its number, so its command line must name the folder, if the system
    shows it.
    """
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    try:
        words = (_PROCESSES / f"{process}" / "cmdline").read_bytes()
    except OSError:  # not Linux, or hidden
        return True
    return os.fsencode(folder) in words
