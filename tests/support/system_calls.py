"""A program's system calls, in order, as strace prints them: writes, syncs, renames, links."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

WRITES = ("write", "writev", "pwrite64", "pwritev", "ftruncate")
SYNCS = ("fsync", "fdatasync")
RENAMES = ("rename", "renameat", "renameat2")
FOLDERS = ("mkdir", "mkdirat")
LINKS = ("link", "linkat")
_TRACED = (*WRITES, *SYNCS, *RENAMES, *FOLDERS, *LINKS)

_WHOLE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+)")
_BEGUN = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>")
_ENDED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (-?\d+)")
_DESCRIPTOR = re.compile(r"(\d+)<([^>]*)>")
_NAMED = re.compile(r'"([^"]*)"')


@dataclass(frozen=True)
class Call:
    """A call that succeeded, with the lines of the trace at which it began and ended.

    `paths` are those of the descriptor or of the arguments; `descriptor` is -1 without one.
    """

    name: str
    descriptor: int
    paths: tuple[Path, ...]
    began: int
    ended: int

    def after(self, other: Call) -> bool:
        """Whether this call began after the other had ended."""
        return self.began > other.ended


def trace(
    command: Sequence[str], environment: Mapping[str, str], file: Path, stdin: str = ""
) -> tuple[str, list[Call]]:
    """Run a command that must succeed; returns its standard output and the calls of all threads."""
    strace = shutil.which("strace")
    works = strace and not subprocess.run([strace, "-o", file, "true"], check=False).returncode
    if not works:
        assert "CI" not in os.environ, "CI installs strace, and permits ptrace"
        pytest.skip("no strace, or no permission to trace")
    options = ["-f", "--seccomp-bpf", "-y", "-s", "0", "-e", f"trace={','.join(_TRACED)}"]
    done = subprocess.run(
        ["strace", *options, "-o", file, *command],
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, list(_calls(file.read_text().splitlines()))


def _calls(lines: Sequence[str]) -> Iterator[Call]:
    begun: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines):
        if match := _BEGUN.match(line):
            begun[match[1]] = number, match[3]
        elif match := _ENDED.match(line):
            began, words = begun.pop(match[1])
            if match[4] != "-1":
                yield _call(match[2], words + match[3], began, number)
        elif (match := _WHOLE.match(line)) and match[4] != "-1":
            yield _call(match[2], match[3], number, number)


def _call(name: str, words: str, began: int, ended: int) -> Call:
    if name in WRITES + SYNCS:
        match = _DESCRIPTOR.match(words)
        assert match, words
        return Call(name, int(match[1]), (Path(match[2]),), began, ended)
    paths = tuple(Path(name) for name in _NAMED.findall(words))
    assert all(path.is_absolute() for path in paths), words
    return Call(name, -1, paths, began, ended)
