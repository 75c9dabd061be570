"""Files that appear whole or not at all.

A file is written beside its target under a temporary name, its size is checked, it is flushed to
the disk and renamed, and then the folder is flushed: whoever reads the target reads an old file or
a new one, never a part.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from dashboard_scraper.errors import LockHeld, OutputFailed

try:
    import fcntl
except ImportError:  # Windows
    HAVE_FCNTL = False
else:
    HAVE_FCNTL = True

logger = logging.getLogger(__name__)

STALE_SUFFIX = ".stale"
_TEMPORARY_SUFFIX = ".tmp"
_HEX_DIGITS = 32
_LEFT_OVER_SECONDS = 24 * 3600


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Create a folder and its parents; only a folder that this call creates gets `mode`."""
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=mode)
        if not folder.is_dir():
            raise OutputFailed(f"{folder} is no folder; move it away")


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of programs that were killed; a younger one may still be written."""
    with explained(folder):
        for path in folder.glob(f".{'[0-9a-f]' * _HEX_DIGITS}{_TEMPORARY_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _LEFT_OVER_SECONDS:
                    path.unlink()


def write_whole(target: Path, data: bytes, mode: int = 0o666) -> None:
    """Replace `target` by `data`; from its first byte the file has `mode` (less the umask)."""
    with Publication() as publication:
        publication.add(target, data, mode)
        publication.publish()


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file as it was written; `size` in bytes."""

    name: str
    size: int
    sha256: str


class Publication:
    """A set of files that are prepared first and then appear together.

    Until `publish` is called, no target is touched; without that call, leaving the context removes
    what was prepared. Each rename is atomic and they come last, in the order of `add`: the file
    that vouches for the others is added last.
    """

    def __init__(self) -> None:
        self._prepared: dict[Path, Path] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        for temporary in self._prepared.values():
            temporary.unlink(missing_ok=True)
        self._prepared.clear()

    def add(self, target: Path, data: bytes | Iterable[bytes], mode: int = 0o666) -> WrittenFile:
        """Write `data` to the disk under a temporary name beside `target`."""
        target = behind_links(target)
        with explained(target):
            if target.exists() and not target.is_file():
                raise OutputFailed(f"{target} is no ordinary file; choose another name")
        temporary = target.with_name(f".{secrets.token_hex(_HEX_DIGITS // 2)}{_TEMPORARY_SUFFIX}")
        self._prepared[target] = temporary  # before it is there: a signal may come between
        digest, size = hashlib.sha256(), 0
        with explained(target):
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with open(descriptor, "wb") as file:  # noqa: PTH123 - from a descriptor with its mode
                for chunk in [data] if isinstance(data, bytes) else data:
                    file.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
                file.flush()
                os.fsync(file.fileno())
            if temporary.stat().st_size != size:
                raise OutputFailed(f"{target}: the disk kept only a part of it")
        return WrittenFile(target.name, size, digest.hexdigest())

    def publish(self) -> None:
        """Give every file its name; the folders are flushed to the disk before this returns.

        One program at a time gives names in a folder: of two sets, one is there in the end.
        """
        for folder, targets in itertools.groupby(list(self._prepared), lambda path: path.parent):
            with explained(folder), _turn_in(folder):
                for target in targets:
                    with explained(target):
                        self._prepared[target].replace(target)
                    del self._prepared[target]
                flush_folder(folder)


def _stale(name: str) -> str:
    return name + STALE_SUFFIX


@contextlib.contextmanager
def replaced_or_set_aside(
    targets: Iterable[Path],
    lock: AbstractContextManager[None] | None = None,
    stale_name: Callable[[str], str] = _stale,
) -> Iterator[None]:
    """Around a run that is to replace `targets`: where it fails, the old ones are set aside.

    Figures of an earlier run must not pass for those of the run that failed, and are not lost.
    `lock` is held meanwhile; where another run has it (LockHeld), its files stay.
    """
    succeeded = False
    with contextlib.ExitStack() as held:
        try:
            if lock is not None:
                held.enter_context(lock)
            yield
            succeeded = True
        except LockHeld:  # the files are those of the run that holds it
            succeeded = True
            raise
        finally:
            if not succeeded:
                set_aside(targets, stale_name)


def set_aside(targets: Iterable[Path], stale_name: Callable[[str], str] = _stale) -> None:
    """Rename the files that exist to `NAME.stale`, or what `stale_name` makes of their names."""
    # os.path: pathlib's is_file raises for a name that no file can have.
    existing = [path for path in targets if os.path.isfile(path)]  # noqa: PTH113
    existing = [behind_links(path) for path in existing]
    for target in existing:
        # Another program may have set it aside meanwhile.
        with explained(target), contextlib.suppress(FileNotFoundError):
            target.replace(target.with_name(stale_name(target.name)))
    if existing:
        logger.warning(
            "%d files of an earlier run, such as %s, now end in %s",
            len(existing),
            existing[0],
            STALE_SUFFIX,
        )


def behind_links(target: Path) -> Path:
    """What a link points to is replaced; the link stays a link."""
    with explained(target):
        # os.path: of links in a circle, Path.resolve raises an error of its own or, from Python
        # 3.13 on, none.
        behind = Path(os.path.realpath(target))
        if behind.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return behind


@contextlib.contextmanager
def explained(path: Path | str) -> Iterator[None]:
    """Turn an OSError while `path` is written to OutputFailed."""
    try:
        yield
    except OSError as error:
        raise OutputFailed(f"{path} could not be written: {error.strerror or error}") from error


@contextlib.contextmanager
def _turn_in(folder: Path) -> Iterator[None]:
    """Wait until no other program gives names in the folder."""
    if not HAVE_FCNTL:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # some network file systems lock no folders
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Keep renames in the folder from getting lost with the power."""
    if os.name == "nt":  # Windows has no descriptor of a folder, and keeps renames in its journal
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
