"""Modes of files and folders, files behind links, locks on folders, stale files set aside."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from dashboard_scraper.errors import LockHeld, OutputFailed
from dashboard_scraper.leftovers import HAVE_FCNTL, remove_leftovers

if HAVE_FCNTL:
    import fcntl

logger = logging.getLogger(__name__)

STALE_SUFFIX = ".stale"

PRIVATE = 0o600
"""The mode of a file that only its owner may read."""


def folder_mode(mode: int) -> int:
    """The mode of a folder for files of `mode`: who may read these may list and enter it."""
    return mode | (mode & 0o444) >> 2


def make_folder(folder: Path, mode: int = PRIVATE) -> None:
    """Create a folder and its parents for files of `mode`; an existing one is not changed.

    New folders are flushed to the disk before this returns.
    """
    with explained(folder):
        # os.path.lexists: a broken link is in the way too.
        absent = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
        for path in reversed(absent):
            with contextlib.suppress(FileExistsError):  # another program was faster
                path.mkdir(folder_mode(mode))
                _give_folder_mode(path, folder_mode(mode))
            with contextlib.suppress(
                PermissionError
            ):  # the parent may be writable but not readable
                flush_folder(path.parent)
        if not folder.is_dir():
            raise OutputFailed(f"{folder} is not a folder; move it away")


@contextlib.contextmanager
def new_files_get(mode: int) -> Iterator[None]:
    """Give new files of this process `mode`, also those that libraries create."""
    before = os.umask(0o777 & ~folder_mode(mode))
    try:
        yield
    finally:
        os.umask(before)


def create_file(path: Path, mode: int) -> int:
    """Create a new file with `mode` from its first byte; returns its descriptor."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    _give_mode(descriptor, mode)
    return descriptor


def _give_folder_mode(folder: Path, mode: int) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _give_mode(descriptor, mode)
    finally:
        os.close(descriptor)


def _give_mode(descriptor: int, mode: int) -> None:
    """Set exactly this mode, whatever the umask; a folder's inherited setgid bit stays."""
    if os.name == "nt":  # Windows has no such modes
        return
    given = stat.S_IMODE(os.fstat(descriptor).st_mode)
    # Some file systems have fixed modes, such as FAT on memory cards, and refuse others.
    with contextlib.suppress(PermissionError):
        if given & ~stat.S_ISGID != mode:
            os.fchmod(descriptor, mode | (given & stat.S_ISGID))


def give_mode(path: Path, mode: int) -> None:
    """Give an existing file the mode, if the system has modes and this user may."""
    if os.name != "nt":
        with contextlib.suppress(OSError):
            path.chmod(mode)


def narrow(path: Path, mode: int) -> bool:
    """Remove permissions of a file that `mode` does not have; returns whether it had any."""
    if os.name == "nt":
        return False
    with contextlib.suppress(OSError):  # missing, or another user's
        found = path.stat().st_mode
        now = stat.S_IMODE(found)
        if stat.S_ISREG(found) and now & ~mode:
            path.chmod(now & mode)
            return True
    return False


def remove_leftovers_beside(targets: Iterable[Path]) -> None:
    """Remove the temporary files of killed programs from the folders of `targets`."""
    remove_leftovers(folders_of(targets))


def folders_of(targets: Iterable[Path]) -> set[Path]:
    """The folders in which these files are written."""
    # Hardly any of hundreds of targets is a link, and resolving a path costs ten times as much.
    return {
        behind_links(target).parent if os.path.islink(target) else target.parent  # noqa: PTH114
        for target in targets
    }


def _stale(name: str) -> str:
    return name + STALE_SUFFIX


@contextlib.contextmanager
def undone_on_failure(
    undo: Callable[[BaseException], None], lock: AbstractContextManager[None] | None = None
) -> Iterator[None]:
    """Call `undo` on any error in the block, then raise the error again.

    `lock` is held meanwhile. If another run has it (LockHeld), nothing is undone.
    """
    with contextlib.ExitStack() as held:
        try:
            if lock is not None:
                held.enter_context(lock)
            yield
        except LockHeld:  # the files belong to the run that holds the lock
            raise
        except BaseException as error:
            undo(error)
            raise


@contextlib.contextmanager
def replaced_or_set_aside(
    targets: Iterable[Path],
    lock: AbstractContextManager[None] | None = None,
    stale_name: Callable[[str], str] = _stale,
) -> Iterator[None]:
    """Set the old `targets` aside if the block, which should replace them, fails.

    Otherwise figures of an earlier run would pass for those of the failed one. They are renamed,
    not deleted.
    """
    with undone_on_failure(lambda _: set_aside(targets, stale_name), lock):
        yield


def set_aside(targets: Iterable[Path], stale_name: Callable[[str], str] = _stale) -> None:
    """Rename existing files to `NAME.stale`, or to what `stale_name` returns.

    The folders are flushed before this returns, so that no old name is back after a power cut.
    """
    # os.path.isfile: Path.is_file raises for an impossible name, such as one that is too long.
    existing = [path for path in targets if os.path.isfile(path)]  # noqa: PTH113
    existing = [behind_links(path) for path in existing]
    for target in existing:
        # FileNotFoundError: another program has set it aside meanwhile.
        with explained(target), contextlib.suppress(FileNotFoundError):
            target.replace(target.with_name(stale_name(target.name)))
    for folder in sorted({target.parent for target in existing}):
        with explained(folder):
            flush_folder(folder)
    if existing:
        logger.warning(
            "%d files of an earlier run, such as %s, now end in %s",
            len(existing),
            existing[0],
            STALE_SUFFIX,
        )


def behind_links(target: Path) -> Path:
    """The file that a link points to: this file is replaced, not the link."""
    with explained(target):
        # os.path.realpath: for a loop of links, Path.resolve raises RuntimeError before Python
        # 3.13, and no error since.
        behind = Path(os.path.realpath(target))
        if behind.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return behind


@contextlib.contextmanager
def explained(path: Path | str) -> Iterator[None]:
    """Turn an OSError while `path` is written into OutputFailed."""
    try:
        yield
    except OSError as error:
        raise OutputFailed(f"{path} could not be written: {error.strerror or error}") from error


@contextlib.contextmanager
def turn_in(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder, so that one program at a time renames files in it."""
    if not HAVE_FCNTL:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # some network file systems cannot lock folders
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Flush the folder's names to the disk, so that renames survive a power cut."""
    if os.name == "nt":  # Windows cannot open a folder; NTFS journals renames itself
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
