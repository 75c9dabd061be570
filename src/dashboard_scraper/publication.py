"""Atomic writing of files: a file appears completely or not at all.

A file is written beside its target under a temporary name, its size is checked, it is flushed to
the disk and renamed, and then the folder is flushed. So readers of the target see the old file or
the new one, never part of one, even after a crash or a power cut.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

import msgspec

from dashboard_scraper.beside import beside
from dashboard_scraper.errors import OutputFailed
from dashboard_scraper.files import (
    PRIVATE,
    behind_links,
    create_file,
    explained,
    flush_folder,
    remove_leftovers_beside,
    turn_in,
)
from dashboard_scraper.leftovers import HAVE_FCNTL, TemporaryNames
from dashboard_scraper.spans import measured

if HAVE_FCNTL:
    import fcntl

_FLUSHES_AT_ONCE = 4


def _always() -> bool:
    return True


def write_whole(
    target: Path, data: bytes, mode: int = PRIVATE, only_if: Callable[[], bool] = _always
) -> None:
    """Write `data` to `target` atomically; the file has `mode` from its first byte.

    `only_if` is called last, while no other program can rename a file in the folder: if it returns
    false, the target stays.
    """
    remove_leftovers_beside([target])
    with Publication(mode) as publication:
        publication.add(target, data)
        publication.publish(only_if)


class WrittenFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """The name, size in bytes, and checksum of a file that was written.

    Files with the same name and `made_from` have the same bytes; `made_from` is empty if unknown.
    """

    name: str
    size: int
    sha256: str
    made_from: str = ""


class MadeFile(NamedTuple):
    """A file that another process made for a publication, under one of its temporary names."""

    temporary: Path
    written: WrittenFile

    def flush(self) -> None:
        """Flush the file to the disk, and check that it is complete."""
        with explained(self.temporary):
            with self.temporary.open("r+b" if os.name == "nt" else "rb") as file:
                os.fsync(file.fileno())
            _check_size(self.temporary, self.written.size, self.written.name)


class PendingFile:
    """A file of a publication that is still being written."""

    def __init__(self, name: str, target: Path, temporary: Path, file: BinaryIO) -> None:
        """`name` is the file that was asked for; if it is a link, `target` is where it points."""
        self._name = name
        self._target = target
        self._temporary = temporary
        self._file = file
        self._digest = hashlib.sha256()
        self._size = 0
        self.is_finished = False

    def write(self, chunk: bytes) -> None:
        """Append bytes."""
        with explained(self._target):
            self._file.write(chunk)
        self._digest.update(chunk)
        self._size += len(chunk)

    def finish(self, made_from: str = "") -> WrittenFile:
        """Say that the file is complete; the publication will call `flush`."""
        with explained(self._target):
            self._file.flush()
        self.is_finished = True
        return WrittenFile(self._name, self._size, self._digest.hexdigest(), made_from)

    def close(self) -> None:
        """Close the file, unflushed: some file systems report only then that they are full."""
        with explained(self._target):
            self._file.close()

    def flush(self) -> None:
        """Flush the file to the disk, and check that it is complete."""
        with explained(self._target):
            with self._file:
                os.fsync(self._file.fileno())
            _check_size(self._temporary, self._size, self._target)


def _check_size(temporary: Path, size: int, name: Path | str) -> None:
    if temporary.stat().st_size != size:
        raise OutputFailed(f"{name}: only a part of it is on the disk")


class Publication:
    """A set of files that are written first, and then appear together.

    Until `publish`, no target is touched; without it, leaving the context removes the temporary
    files. The renames come last, each atomic: in each folder in the order of `add`, and the folder
    of the last file comes last. So add the file that vouches for the others, such as a manifest, as
    the last one.

    Files are flushed to the disk while the next ones are made, and all before the first rename: so
    an error of the disk may be raised by a later call.
    """

    def __init__(self, mode: int = PRIVATE) -> None:
        """Every file gets `mode`, from its first byte and whatever the umask is."""
        self.mode = mode
        self._prepared: dict[Path, Path] = {}
        self._names: TemporaryNames | None = None
        self._open = contextlib.ExitStack()
        self._pending: list[PendingFile] = []
        self._flushes: deque[Callable[[], None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._flushes:  # if they were closed meanwhile, they might flush another file
            with contextlib.suppress(OutputFailed):
                self._flushes.popleft()()
        with contextlib.suppress(OSError):  # closing flushes an unfinished file, which may fail
            self._open.close()
        for temporary in self._prepared.values():
            # Files that cannot be removed now, as on a disk that has become read-only, are removed
            # by the next run: the error that led here says more.
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        self._prepared.clear()
        if self._names is not None:
            self._names.release()

    def names(self, folder: Path) -> TemporaryNames:
        """The names of its temporary files, for `adopt`; `folder` has one of its files."""
        with explained(folder):
            return self._locked_names(folder)

    def _locked_names(self, folder: Path) -> TemporaryNames:
        if self._names is None:
            self._names = TemporaryNames.locked(folder)
        return self._names

    def add(self, target: Path, data: bytes | Iterable[bytes], made_from: str = "") -> WrittenFile:
        """Write `data` to the disk under a temporary name beside `target`."""
        file = self.begin(target)
        for chunk in [data] if isinstance(data, bytes) else data:
            file.write(chunk)
        return file.finish(made_from)

    def begin(self, target: Path) -> PendingFile:
        """As `add`, but in pieces, so that several files can be written at the same time."""
        self._flush_beside()
        name, target = target.name, behind_links(target)
        temporary = self._temporary_for(target)
        with explained(target):
            file = os.fdopen(create_file(temporary, self.mode), "wb")
        pending = PendingFile(name, target, temporary, self._open.enter_context(file))
        self._pending.append(pending)
        return pending

    def _flush_beside(self) -> None:
        """Begin to flush finished files: a disk can take as long for that as the program takes for
        the content.
        """
        finished = [each for each in self._pending if each.is_finished]
        self._pending = [each for each in self._pending if not each.is_finished]
        for each in finished:
            try:
                self._flushes.append(beside(each.flush))
            except RuntimeError:  # the system allows no more threads
                each.flush()
        while len(self._flushes) > _FLUSHES_AT_ONCE:
            self._flushes.popleft()()

    def adopt(self, target: Path, made: MadeFile) -> None:
        """Add a file that another process made under one of the publication's `names` and then
        flushed.
        """
        target = behind_links(target)
        with explained(target):
            _refuse_irregular(target)
        self._prepared[target] = made.temporary

    def _temporary_for(self, target: Path) -> Path:
        with explained(target):
            _refuse_irregular(target)
            temporary = self._locked_names(target.parent).beside(target)
        self._prepared[target] = temporary  # before the file exists: a signal may come in between
        return temporary

    def take(self, target: Path, source: Path, listed: WrittenFile) -> bool:
        """Add an earlier file under a new name: as a clone or link if possible, else as a copy.

        Returns False if the file is missing, or is not as it was when it was `listed`.
        """
        # Also a file that is in its place already: another program may replace it before `publish`.
        target = behind_links(target)
        temporary = self._temporary_for(target)
        if duplicate(source, temporary, self.mode) and is_unchanged(temporary, listed):
            return True
        del self._prepared[target]
        with explained(target):
            temporary.unlink(missing_ok=True)
        return False

    @measured("publish files")
    def publish(self, only_if: Callable[[], bool] = _always) -> None:
        """Rename every file to its target; the folders are flushed before this returns.

        If `only_if` returns false for a folder, nothing is renamed there. Only one program at a
        time renames files in a folder, and only one at a time publishes a set whose last file is in
        the same folder, so that two sets do not mix. Raises RuntimeError, and renames nothing, if a
        file was begun and not finished.
        """
        if not all(pending.is_finished for pending in self._pending):
            raise RuntimeError("a file is still being written")
        while self._pending:
            self._pending.pop().flush()
        while self._flushes:
            self._flushes.popleft()()
        targets = [*self._prepared]
        if not targets:
            return
        last = targets[-1].parent
        with explained(last), turn_in(last):
            targets.sort(key=lambda path: (path.parent == last, path.parent))
            for folder, group in itertools.groupby(targets, lambda path: path.parent):
                turn = contextlib.nullcontext() if folder == last else turn_in(folder)
                with explained(folder), turn:
                    for target in group if only_if() else ():
                        with explained(target):
                            _rename(self._prepared[target], target)
                        del self._prepared[target]
                    flush_folder(folder)


class PartOfPublication(Publication):
    """Files that this process makes for the publication of another process, which flushes and
    renames them.
    """

    def __init__(self, mode: int, names: TemporaryNames) -> None:
        super().__init__(mode)
        self._names = names
        self._made: list[MadeFile] = []

    def add(self, target: Path, data: bytes | Iterable[bytes], made_from: str = "") -> WrittenFile:
        written = super().add(target, data, made_from)
        self._made.append(MadeFile(self._prepared[behind_links(target)], written))
        return written

    def take(self, target: Path, source: Path, listed: WrittenFile) -> bool:
        is_taken = super().take(target, source, listed)
        if is_taken:
            self._made.append(MadeFile(self._prepared[behind_links(target)], listed))
        return is_taken

    def _flush_beside(self) -> None:
        """Do nothing: a file that is flushed twice would be waited for twice."""

    def hand_over(self) -> list[MadeFile]:
        """The files since the last call; from now on, they belong to the other process."""
        made, self._made = self._made, []
        for pending in self._pending:
            pending.close()
        self._pending.clear()
        self._prepared.clear()
        return made


def _refuse_irregular(target: Path) -> None:
    if target.exists() and not target.is_file():
        raise OutputFailed(f"{target} is not a regular file; choose another name")


def _rename(temporary: Path, target: Path) -> None:
    """Rename; for two links to the same file, a plain rename would leave both names."""
    with contextlib.suppress(FileNotFoundError):
        if temporary.samefile(target):
            temporary.unlink()
            return
    temporary.replace(target)


def duplicate(source: Path, target: Path, mode: int) -> bool:
    """Create `target` with the content of a file, without writing it again if possible: as a clone,
    else as a hard link, else as a copy. Returns False if the source cannot be read.
    """
    try:
        found = source.lstat()
        if not stat.S_ISREG(found.st_mode):  # opening a pipe would block for ever
            return False
        original = source.open("rb")
    except OSError:
        return False
    with original, explained(target):
        if not (_cloned(original, target, mode) or _linked(source, found, target, mode)):
            with os.fdopen(create_file(target, mode), "wb") as file:
                shutil.copyfileobj(original, file)
                file.flush()
                os.fsync(file.fileno())
    return True


_FICLONE = 0x40049409  # from Linux' linux/fs.h; Python has no name for it


def _cloned(original: BinaryIO, target: Path, mode: int) -> bool:
    """Let a new file share the blocks of another until one of them changes: Btrfs and XFS can."""
    if sys.platform != "linux":
        return False
    with os.fdopen(create_file(target, mode), "wb") as file:
        try:
            fcntl.ioctl(file, _FICLONE, original.fileno())
        except OSError:
            target.unlink()
            return False
        os.fsync(file.fileno())
    return True


def _linked(source: Path, found: os.stat_result, target: Path, mode: int) -> bool:
    """Give the file another name. Both names share one mode and owner, so these must be right."""
    if os.name == "nt" or (stat.S_IMODE(found.st_mode), found.st_uid) != (mode, os.geteuid()):
        return False
    try:
        target.hardlink_to(source)
    except OSError:  # the file system has no links, or the file has too many
        return False
    return True


def is_unchanged(path: Path, listed: WrittenFile) -> bool:
    """Whether a file has the listed size and checksum."""
    try:
        if not path.is_file() or path.stat().st_size != listed.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == listed.sha256
    except (OSError, ValueError):  # ValueError: a name with a NUL character, which no file can have
        return False
