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
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from dashboard_scraper.errors import LockHeld, OutputFailed
from dashboard_scraper.leftovers import TemporaryNames, remove_leftovers

try:
    import fcntl
except ImportError:  # Windows
    HAVE_FCNTL = False
else:
    HAVE_FCNTL = True

logger = logging.getLogger(__name__)

STALE_SUFFIX = ".stale"

PRIVATE = 0o600
"""The mode of a file that its owner alone may read."""


def folder_mode(mode: int) -> int:
    """The mode of a folder of files of `mode`: who may read these may list and enter it."""
    return mode | (mode & 0o444) >> 2


def make_folder(folder: Path, mode: int = PRIVATE) -> None:
    """Create a folder and its parents for files of `mode`; one that is there stays as it is.

    What is created is on the disk when this returns.
    """
    with explained(folder):
        # os.path: a link that leads nowhere is there too.
        absent = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
        for path in reversed(absent):
            with contextlib.suppress(FileExistsError):  # another program was faster
                path.mkdir(folder_mode(mode))
                _give_folder_mode(path, folder_mode(mode))
            with contextlib.suppress(PermissionError):  # one may write there, and not read
                flush_folder(path.parent)
        if not folder.is_dir():
            raise OutputFailed(f"{folder} is no folder; move it away")


def create_file(path: Path, mode: int) -> int:
    """Create a file that is not there, with `mode` before its first byte; returns a descriptor."""
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
    """The very mode, whatever the umask took from it; that a folder hands on its group stays."""
    if os.name == "nt":  # there are no such modes
        return
    given = stat.S_IMODE(os.fstat(descriptor).st_mode)
    # Some file systems, such as a memory card's, have modes of their own.
    with contextlib.suppress(PermissionError):
        if given & ~stat.S_ISGID != mode:
            os.fchmod(descriptor, mode | (given & stat.S_ISGID))


def narrow(path: Path, mode: int) -> bool:
    """Take from a file what `mode` does not allow; whether there was something to take."""
    if os.name == "nt":
        return False
    with contextlib.suppress(OSError):  # absent, or somebody else's
        found = path.stat().st_mode
        now = stat.S_IMODE(found)
        if stat.S_ISREG(found) and now & ~mode:
            path.chmod(now & mode)
            return True
    return False


def write_whole(target: Path, data: bytes, mode: int = PRIVATE) -> None:
    """Replace `target` by `data`; from its first byte the file has `mode`."""
    remove_leftovers_beside([target])
    with Publication(mode) as publication:
        publication.add(target, data)
        publication.publish()


def remove_leftovers_beside(targets: Iterable[Path]) -> None:
    """Remove the temporary files that killed programs left when they were to write `targets`."""
    remove_leftovers({behind_links(target).parent for target in targets})


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file as it was written; `size` in bytes."""

    name: str
    size: int
    sha256: str


class PendingFile:
    """A file of a publication while it is written."""

    def __init__(self, target: Path, temporary: Path, file: BinaryIO) -> None:
        self._target = target
        self._temporary = temporary
        self._file = file
        self._digest = hashlib.sha256()
        self._size = 0
        self.is_finished = False

    def write(self, chunk: bytes) -> None:
        """The next bytes."""
        with explained(self._target):
            self._file.write(chunk)
        self._digest.update(chunk)
        self._size += len(chunk)

    def finish(self) -> WrittenFile:
        """Have it on the disk, whole."""
        with explained(self._target):
            with self._file:
                self._file.flush()
                os.fsync(self._file.fileno())
            if self._temporary.stat().st_size != self._size:
                raise OutputFailed(f"{self._target}: the disk kept only a part of it")
        self.is_finished = True
        return WrittenFile(self._target.name, self._size, self._digest.hexdigest())


class Publication:
    """A set of files that are prepared first and then appear together.

    Until `publish` is called, no target is touched; without that call, leaving the context removes
    what was prepared. Each rename is atomic and they come last, in the order of `add`: the file
    that vouches for the others is added last.
    """

    def __init__(self, mode: int = PRIVATE) -> None:
        """Every file has `mode`, from its first byte and whatever the umask."""
        self.mode = mode
        self._prepared: dict[Path, Path] = {}
        self._names: TemporaryNames | None = None
        self._open = contextlib.ExitStack()
        self._pending: list[PendingFile] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):  # what was not finished is thrown away
            self._open.close()
        for temporary in self._prepared.values():
            temporary.unlink(missing_ok=True)
        self._prepared.clear()
        if self._names is not None:
            self._names.release()

    def add(self, target: Path, data: bytes | Iterable[bytes]) -> WrittenFile:
        """Write `data` to the disk under a temporary name beside `target`."""
        file = self.begin(target)
        for chunk in [data] if isinstance(data, bytes) else data:
            file.write(chunk)
        return file.finish()

    def begin(self, target: Path) -> PendingFile:
        """The same in pieces: several files may be written side by side."""
        target = behind_links(target)
        with explained(target):
            if target.exists() and not target.is_file():
                raise OutputFailed(f"{target} is no ordinary file; choose another name")
            if self._names is None:
                self._names = TemporaryNames(target.parent)
        temporary = self._names.beside(target)
        self._prepared[target] = temporary  # before it is there: a signal may come between
        with explained(target):
            file = os.fdopen(create_file(temporary, self.mode), "wb")
        pending = PendingFile(target, temporary, self._open.enter_context(file))
        self._pending.append(pending)
        return pending

    def publish(self) -> None:
        """Give every file its name; the folders are flushed to the disk before this returns.

        One program at a time gives names in a folder: of two sets, one is there in the end. A file
        that was begun and not finished is not whole: RuntimeError, and no file gets its name.
        """
        if not all(pending.is_finished for pending in self._pending):
            raise RuntimeError("a file is still being written")
        for folder, targets in itertools.groupby(list(self._prepared), lambda path: path.parent):
            with explained(folder), turn_in(folder):
                for target in targets:
                    with explained(target):
                        self._prepared[target].replace(target)
                    del self._prepared[target]
                flush_folder(folder)


def _stale(name: str) -> str:
    return name + STALE_SUFFIX


@contextlib.contextmanager
def undone_on_failure(
    undo: Callable[[BaseException], None], lock: AbstractContextManager[None] | None = None
) -> Iterator[None]:
    """Around a run: where it fails, `undo` gets the error, which goes on to the caller.

    `lock` is held meanwhile; where another run has it (LockHeld), nothing is undone.
    """
    with contextlib.ExitStack() as held:
        try:
            if lock is not None:
                held.enter_context(lock)
            yield
        except LockHeld:  # the files are those of the run that holds it
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
    """Around a run that is to replace `targets`: where it fails, the old ones are set aside.

    Figures of an earlier run must not pass for those of the run that failed, and are not lost.
    """
    with undone_on_failure(lambda _: set_aside(targets, stale_name), lock):
        yield


def set_aside(targets: Iterable[Path], stale_name: Callable[[str], str] = _stale) -> None:
    """Rename the files that exist to `NAME.stale`, or what `stale_name` makes of their names.

    The new names are on the disk when this returns: a power cut brings no old one back.
    """
    # os.path: pathlib's is_file raises for a name that no file can have.
    existing = [path for path in targets if os.path.isfile(path)]  # noqa: PTH113
    existing = [behind_links(path) for path in existing]
    for target in existing:
        # Another program may have set it aside meanwhile.
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
def turn_in(folder: Path) -> Iterator[None]:
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
