"""Simulated power cuts: the contents of a disk, rebuilt from a journal of a process's writes.

Everything that was synced is certainly on the disk: a file's bytes by fsync of the file, names and
removals by fsync of their folder. Any part of the rest may be: single sectors of the writes, and
the first changes to names, whose order file systems preserve.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from conftest import Home

_SOURCE = Path(__file__).with_name("write_journal.c")
_HEAD = struct.Struct("=cQQQQ")
_SECTOR = 512
_NOT_DATA = ("-shm", ".lock", ".holder")
"""SQLite's WAL index, which is mapped into memory and can be rebuilt; locks, and their holders."""


class Journal:
    """Records what the runs of a home write; before the first, the home must be empty."""

    def __init__(self, home: Home, folder: Path) -> None:
        self._home = home
        self._file = folder / "journal"
        self._library = folder / "write_journal.so"
        compiler = shutil.which("cc")
        if compiler is None:
            assert "CI" not in os.environ, "CI installs a C compiler"
            pytest.skip("no C compiler")
        options = ["-Wall", "-Werror", "-shared", "-fPIC"]
        libraries = ["-ldl", "-lpthread"]
        subprocess.run(
            [compiler, *options, "-o", self._library, _SOURCE, *libraries], timeout=300, check=True
        )

    def run(self, *words: str) -> str:
        """Run the program, which must succeed; returns its standard output."""
        recorded = {
            "LD_PRELOAD": str(self._library),
            "WRITE_JOURNAL": str(self._file),
            "WRITE_JOURNAL_ROOT": str(self._home.path),
        }
        done = subprocess.run(
            self._home.command(*words),
            env={**self._home.environment(), **recorded},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def steps(self) -> list[Step]:
        """Everything that was recorded, in order."""
        return list(_steps(self._file.read_bytes()))


@dataclass(frozen=True)
class Step:
    """One call: `kind` as in write_journal.c; `number` is an inode, or a descriptor that was
    printed on; `text` the path, the bytes that were written or what was printed.
    """

    kind: str
    number: int
    offset: int
    text: bytes
    other: bytes

    @property
    def path(self) -> Path:
        return Path(os.fsdecode(self.text))

    @property
    def new_path(self) -> Path:
        return Path(os.fsdecode(self.other))


def _steps(data: bytes) -> Iterator[Step]:
    at = 0
    while at < len(data):
        kind, number, offset, size, other_size = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        middle, end = at + size, at + size + other_size
        yield Step(kind.decode(), number, offset, data[at:middle], data[middle:end])
        at = end


_Write = tuple[int, bytes | None]
"""An offset with what was written there, or with None where the file was cut."""


@dataclass
class _File:
    """A file's synced bytes, and the writes since then."""

    synced: bytearray = field(default_factory=bytearray)
    since: list[_Write] = field(default_factory=list)

    def sync(self) -> None:
        """Move all writes to the disk."""
        self.synced, self.since = self.with_all(), []

    def with_all(self) -> bytearray:
        """The contents as the program sees them."""
        return self._with(self.since)

    def with_some(self, chance: Random) -> bytearray:
        """The contents if only some of the writes reached the disk, in whole sectors."""
        share = chance.choice((0, 0.5, 1))
        sectors = (sector for write in self.since for sector in _sectors(*write))
        return self._with(sector for sector in sectors if chance.random() < share)

    def _with(self, writes: Iterable[_Write]) -> bytearray:
        content = self.synced[:]
        for offset, data in writes:
            _write(content, offset, data)
        return content


def _write(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
    content.extend(bytes(max(0, offset - len(content))))
    if data is not None:
        content[offset : offset + len(data)] = data


def _sectors(offset: int, data: bytes | None) -> Iterator[_Write]:
    if data is None:
        yield offset, None
        return
    at = 0
    while at < len(data):
        size = _SECTOR - (offset + at) % _SECTOR
        yield offset + at, data[at : at + size]
        at += size


Names = dict[Path, _File | None]
"""Of files, and (with None) of folders."""
Contents = dict[Path, bytes]
"""Of the files that count."""


class Disk:
    """A disk below `root`, empty at first, to which a journal's steps are applied one by one."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[int, _File] = {}
        self._synced: Names = {root: None}
        self._since: list[tuple[Step, _File | None]] = []

    def do(self, step: Step) -> None:
        """Apply the next step."""
        if step.kind == "C":
            self._files[step.number] = _File()  # the system reuses the number of a removed file
        if step.kind in "CRUD":
            self._since.append((step, self._files.get(step.number)))
        elif step.number in self._files:
            file = self._files[step.number]
            if step.kind == "S":
                file.sync()
            else:
                file.since.append((step.offset, step.text if step.kind == "W" else None))
        elif step.kind == "S":
            here = [change for change in self._since if change[0].path.parent == step.path]
            self._since = [change for change in self._since if change not in here]
            _rename(self._synced, here)

    def now(self) -> Contents:
        """The contents as the program sees them."""
        return self._left(len(self._since), lambda file: file.with_all())

    def after_power_cut(self, chance: Random | None) -> Contents:
        """The contents after a power cut: what was synced, and perhaps some of the rest."""
        if chance is None:
            return self._left(0, lambda file: file.synced)
        return self._left(chance.randint(0, len(self._since)), lambda file: file.with_some(chance))

    def _left(self, changes: int, content_of: Callable[[_File], bytearray]) -> Contents:
        names = dict(self._synced)
        _rename(names, self._since[:changes])
        return {
            path: bytes(content_of(file))
            for path, file in names.items()
            if file is not None
            and not path.name.endswith(_NOT_DATA)
            and all(folder in names for folder in path.parents if self._root in folder.parents)
        }


def _rename(names: Names, changes: Iterable[tuple[Step, _File | None]]) -> None:
    for step, file in changes:
        if step.kind in "CD":
            names[step.path] = file if step.kind == "C" else None
        elif step.path in names:
            moved = names.pop(step.path)
            if step.kind == "R":
                assert step.path.parent == step.new_path.parent
                names[step.new_path] = moved
