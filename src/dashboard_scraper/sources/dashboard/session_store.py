"""Where the session is stored: in a private file, or in the operating system's keyring."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from dashboard_scraper.files import explained, flush_folder, remove_leftovers_beside
from dashboard_scraper.secret_files import read_private, write_private

if TYPE_CHECKING:
    from dashboard_scraper.sources.dashboard.settings import DashboardSettings


Replaces = Callable[[bytes | None], bool]
"""Whether what is stored now may be replaced: another process may have stored it since."""


def _anything(_stored: bytes | None) -> bool:
    return True


class SessionStore(Protocol):
    """A place for the bytes of one session; `str()` is its name in messages.

    Each method raises UsageError or OutputFailed if the place cannot be used.
    """

    def exists(self) -> bool:
        """Whether something is stored, readable or not."""

    def read(self) -> bytes | None:
        """What is stored; None if there is nothing."""

    def write(self, data: bytes, replaces: Replaces = _anything) -> None:
        """Replace what is stored, completely or not at all, if `replaces` returns true for it."""

    def delete(self) -> bool:
        """Remove what is stored; returns whether there was anything."""


class FileStore(msgspec.Struct, frozen=True):
    """A file of mode 0600; its folder, if new, gets 0700."""

    path: Path
    allow_readable: bool = False

    def __str__(self) -> str:
        return str(self.path)

    def exists(self) -> bool:
        """Whether there is a file, readable or not."""
        return self.path.exists()

    def read(self) -> bytes | None:
        """The file's content; UsageError if other users can read it."""
        try:
            return read_private(self.path, allow_readable=self.allow_readable)
        except FileNotFoundError:
            return None

    def write(self, data: bytes, replaces: Replaces = _anything) -> None:
        """Replace the file; no other process can write it between `replaces` and the write."""
        write_private(self.path, data, "COOKIE_FILE", lambda: replaces(self.read()))

    def delete(self) -> bool:
        """Remove the file, and what a killed program left of an earlier one."""
        with explained(self.path):
            try:
                self.path.unlink()
            except FileNotFoundError:
                return False
            remove_leftovers_beside([self.path])
            flush_folder(self.path.parent)
        return True


def session_store(settings: DashboardSettings) -> SessionStore:
    """Where these settings store the session; a keyring has one entry for each COOKIE_FILE."""
    if settings.cookie_store == "keyring":
        from dashboard_scraper.sources.dashboard.keyring_store import open_keyring  # noqa: PLC0415

        return open_keyring(settings.cookie_file)
    return FileStore(settings.cookie_file, settings.allow_readable_secrets)
