"""Secrets in files: checking who else can read or replace them, and writing them.

A user's secret must have mode 0600, in a folder that nobody else can write to. Secrets that a
platform mounts have other modes, which `chmod` cannot change: Kubernetes gives 0440 to a group of
the process, through links; systemd shows an access list as group bits; Docker gives 0444. These are
recognized by their mount, which is read-only, in memory, or both.
"""

from __future__ import annotations

import logging
import os
import shlex
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Self

import msgspec

from dashboard_scraper.errors import UsageError
from dashboard_scraper.files import make_folder
from dashboard_scraper.publication import write_whole

logger = logging.getLogger(__name__)

# Windows has no such modes, and shows every file as readable by everybody.
_HAS_MODES = os.name != "nt"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_WRITE_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_ROOT = 0
_MOUNTS = Path("/proc/self/mountinfo")
_IN_MEMORY = ("tmpfs", "ramfs")


def read_private(path: Path, *, allow_readable: bool = False) -> bytes:
    """Read a secret; UsageError if others can read or replace it, FileNotFoundError if it is
    missing.

    With `allow_readable`, a secret that others can read is accepted with a warning.
    """
    try:
        with path.open("rb") as file:
            check_private(path, file.fileno(), allow_readable=allow_readable)
            return file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error


def write_private(
    path: Path, data: bytes, setting: str, only_if: Callable[[], bool] = lambda: True
) -> None:
    """Write a secret with mode 0600; a new folder gets 0700. `only_if` as in `write_whole`.

    `setting` is the name of the setting with the path. UsageError if the file is a link, since its
    target would be replaced, or if others can write to the folder.
    """
    make_folder(path.parent, 0o700)
    if path.is_symlink():
        raise UsageError(
            f"{path} is a link to {path.readlink()}, and a secret is not written through a link;"
            f" name the file itself in {setting}, or remove the link"
        )
    if _HAS_MODES:
        _refuse_shared_folder(path, None)
    write_whole(path, data, 0o600, only_if)


def check_private(path: Path, descriptor: int, *, allow_readable: bool) -> None:
    """UsageError if others can read the open file, or replace it; see `read_private`."""
    if not _HAS_MODES:
        return
    state = os.fstat(descriptor)
    if not (stat.S_ISREG(state.st_mode) or stat.S_ISFIFO(state.st_mode)):
        raise UsageError(f"{path} is not a file")
    _refuse_shared_folder(path, state)
    place = _Place.of(descriptor, state)
    mode = stat.S_IMODE(state.st_mode) & ~(_WRITE if place.read_only else 0)
    if not mode & _OTHERS or _is_as_mounted(state, mode, place):
        return
    advice = f"fix it: chmod 600 {shlex.quote(str(path))}"
    if mode & _WRITE_OTHERS:
        raise UsageError(f"others can write to {path}; {advice}")
    reason = _excuse(path, state, mode, place)
    if reason is None and not allow_readable:
        raise UsageError(
            f"others can read {path} (mode {mode:04o}); accept that with a warning by"
            f" ALLOW_READABLE_SECRETS=true, or {advice}"
        )
    reason = reason or "ALLOW_READABLE_SECRETS is true, although others can read it"
    logger.warning("%s has mode %04o, and is accepted since %s", path, mode, reason)


class _Place(msgspec.Struct, frozen=True):
    """The kind of mount that a file is on."""

    read_only: bool
    in_memory: bool

    @classmethod
    def of(cls, descriptor: int, state: os.stat_result) -> Self:
        read_only = bool(os.fstatvfs(descriptor).f_flag & os.ST_RDONLY)
        return cls(read_only, _file_system(state.st_dev) in _IN_MEMORY)


def _file_system(device: int) -> str:
    """The type of the file system on the device; empty if it is unknown."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    for line in mounts.splitlines():
        fields = line.split()
        if fields[2] == wanted:  # proc(5): id, parent, device, ..., "-", type, source, options
            return fields[fields.index("-") + 1]
    return ""


def _is_as_mounted(state: os.stat_result, mode: int, place: _Place) -> bool:
    """Whether the mode is one that platforms give to secrets that only this process may read."""
    if place.read_only and place.in_memory:
        return True
    ours = state.st_uid in (_ROOT, os.geteuid()) and state.st_gid in _own_groups()
    return (place.read_only or place.in_memory) and ours and not mode & (stat.S_IRWXO | _WRITE)


def _own_groups() -> set[int]:
    """This process's groups and root's: systemd's access list shows as bits of root's group."""
    return {_ROOT, os.getegid(), *os.getgroups()}


def _excuse(path: Path, state: os.stat_result, mode: int, place: _Place) -> str | None:
    """Why a file whose mode lets others read it is accepted; None if it is not.

    Accepted are files on a read-only mount; and files that nobody can write to, not even the owner,
    who must be this user or root, if they are in memory or below a folder that no other user can
    enter.
    """
    if place.read_only:
        return "it is on a read-only mount"
    if mode & _WRITE or state.st_uid not in (_ROOT, os.geteuid()):
        return None
    if place.in_memory:
        return "it is in memory, and nobody can write to it"
    if _is_out_of_reach(path):
        return "nobody else can enter its folder, and nobody can write to it"
    return None


def _is_out_of_reach(path: Path) -> bool:
    states = [folder.stat() for folder in Path(os.path.realpath(path)).parents]
    return any(s.st_uid in (_ROOT, os.geteuid()) and not s.st_mode & _OTHERS for s in states)


def _refuse_shared_folder(path: Path, state: os.stat_result | None) -> None:
    """UsageError if others can replace the file; `state` is None if it is not written yet."""
    for folder in dict.fromkeys((path.parent, Path(os.path.realpath(path)).parent)):
        if not _others_can_write(folder):
            continue
        sticky = folder.stat().st_mode & stat.S_ISVTX
        # In a sticky folder, such as /tmp, only its owner can replace a file.
        if sticky and (state is None or state.st_uid in (_ROOT, os.geteuid())):
            continue
        raise UsageError(
            f"others can write in {folder}, and so replace {path.name}; fix it:"
            f" chmod go-w {shlex.quote(str(folder))}"
        )


def _others_can_write(folder: Path) -> bool:
    state = folder.stat()
    if not state.st_mode & _WRITE_OTHERS or os.statvfs(folder).f_flag & os.ST_RDONLY:
        return False
    return bool(state.st_mode & stat.S_IWOTH) or not _is_users_own(state.st_gid)


def _is_users_own(group: int) -> bool:
    """Whether the user is the group's only member. Systems with umask 002 give each user such a
    group, with the same name, so that its write permission lets nobody else in.
    """
    import grp  # noqa: PLC0415 - not on Windows
    import pwd  # noqa: PLC0415

    try:
        entry, user = grp.getgrgid(group), pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False
    return entry.gr_name == user and set(entry.gr_mem) <= {user}
