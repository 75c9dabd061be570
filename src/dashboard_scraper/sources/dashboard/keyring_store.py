"""The session in the operating system's keyring, through the library `keyring` (an extra)."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dashboard_scraper.errors import UsageError
from dashboard_scraper.installation import NAME, how_to_install

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

    from dashboard_scraper.sources.dashboard.session_store import Replaces

_SETTING = "COOKIE_STORE=keyring"
_USER = "session"
# Windows accepts 2,560 bytes of UTF-16. Longer sessions are stored in parts.
_LONGEST = 1200
_ATTEMPTS = 3
# In the package keyrings.alt, whose keyrings are unencrypted or ask for a password at each start.
_INSECURE = "keyrings.alt"
# What the libraries behind keyrings raise without translation: modules and classes.
_FOREIGN = (
    ("secretstorage.exceptions", "SecretStorageException"),
    ("jeepney", "DBusErrorResponse"),
    ("dbus", "DBusException"),
    ("pywintypes", "error"),
    ("win32ctypes.pywin32.pywintypes", "error"),
)
_INSTEAD = "or set COOKIE_STORE=file"


class KeyringStore:
    """An entry of a keyring.

    The entry has the session itself, or, for a longer session, the number and checksum of its
    parts. The parts are separate entries, whose names contain the checksum, too: replacing a
    session first writes other parts, so that a reader finds the old session or the new one.
    """

    def __init__(self, keyring: KeyringBackend, name: str) -> None:
        self._keyring = keyring
        self._service = f"{NAME}: {name}"

    def __str__(self) -> str:
        return f"the keyring, as {self._service!r}"

    def exists(self) -> bool:
        """Whether there is an entry, readable or not."""
        return self._get() is not None

    def read(self) -> bytes | None:
        """The session; empty if the entry or a part is damaged."""
        for _ in range(_ATTEMPTS):  # its parts may be replaced while they are read
            head = self._get()
            if head is None:
                return None
            if data := self._decoded(head):
                return data
        return b""

    def write(self, data: bytes, replaces: Replaces = lambda _stored: True) -> None:
        """Replace the session. Keyrings have no locks: between `replaces` and the write, another
        process could write.
        """
        if not replaces(self.read()):
            return
        text = base64.b64encode(data).decode()
        before, head = self._get(), text
        if len(text) > _LONGEST:
            parts = [text[i : i + _LONGEST] for i in range(0, len(text), _LONGEST)]
            head = f"{len(parts)} {_checksum(text)}"
            for name, part in zip(_names_of_parts(head), parts, strict=True):
                self._set(part, name)
        self._set(head)
        if before is not None and before != head:
            self._delete_parts(before)

    def delete(self) -> bool:
        """Remove the entry and its parts."""
        head = self._get()
        if head is None:
            return False
        self._delete_parts(head)  # the entry last: without it, nothing could find the parts
        self._delete()
        return True

    def _decoded(self, head: str) -> bytes:
        names = _names_of_parts(head)
        parts = [self._get(name) for name in names]
        text = "".join(part or "" for part in parts) if names else head
        if names and _checksum(text) != head.partition(" ")[2]:
            return b""
        with contextlib.suppress(binascii.Error, ValueError):
            return base64.b64decode(text, validate=True)
        return b""

    def _delete_parts(self, head: str) -> None:
        for name in _names_of_parts(head):
            if self._get(name) is not None:
                self._delete(name)

    def _get(self, part: str = "") -> str | None:
        with _explained():
            return self._keyring.get_password(self._service + part, _USER)

    def _set(self, text: str, part: str = "") -> None:
        with _explained():
            self._keyring.set_password(self._service + part, _USER, text)

    def _delete(self, part: str = "") -> None:
        with _explained():
            self._keyring.delete_password(self._service + part, _USER)


def open_keyring(cookie_file: Path) -> KeyringStore:
    """The entry for this file, in a keyring that protects what it stores; UsageError if there is no
    such keyring, or if the library is missing.
    """
    try:
        import keyring  # noqa: PLC0415 - an extra
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "keyring":
            raise
        raise UsageError(
            f"{_SETTING} needs a library that is not installed: {how_to_install('keyring')}"
        ) from None
    try:
        found = keyring.get_keyring()
    except OSError as error:  # the address of a D-Bus that has ended
        raise _no_keyring() from error
    except (ImportError, AttributeError, ValueError, RuntimeError) as error:
        # PYTHON_KEYRING_BACKEND, or the library's own file, names a keyring that cannot be used.
        raise UsageError(
            f"{_SETTING}: the keyring that is configured cannot be used ({error}); correct"
            f" PYTHON_KEYRING_BACKEND or keyringrc.cfg, {_INSTEAD}"
        ) from error
    return KeyringStore(_secure(found), str(cookie_file))


def _secure(found: KeyringBackend) -> KeyringBackend:
    """The keyring or, among several, the first that is secure."""
    from keyring.backends.chainer import ChainerBackend  # noqa: PLC0415

    several = found.backends if isinstance(found, ChainerBackend) else [found]
    for keyring in several:
        if _is_secure(keyring):
            return keyring
    kind = type(found)
    if kind.__module__ == "keyring.backends.fail" or isinstance(found, ChainerBackend):
        raise _no_keyring()
    raise UsageError(
        f"{_SETTING}: {kind.__module__}.{kind.__qualname__} does not protect what it stores;"
        f" choose another with PYTHON_KEYRING_BACKEND, {_INSTEAD}"
    )


def _is_secure(keyring: KeyringBackend) -> bool:
    """Whether the library recommends it: the null keyring, for example, has a priority below 1."""
    return keyring.priority >= 1 and not type(keyring).__module__.startswith(_INSECURE)


def _no_keyring() -> UsageError:
    on_linux = (
        " (on a desktop, the session's D-Bus leads to it: cron needs DBUS_SESSION_BUS_ADDRESS)"
    )
    return UsageError(
        f"{_SETTING}: there is no keyring here, as on servers and in containers"
        f"{on_linux if sys.platform == 'linux' else ''}; set COOKIE_STORE=file"
    )


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn what a keyring raises into UsageError."""
    from keyring.errors import KeyringLocked  # noqa: PLC0415

    try:
        yield
    except KeyringLocked as error:
        raise UsageError(
            f"{_SETTING}: the keyring is locked; unlock it, as by logging in to the desktop,"
            f" {_INSTEAD}"
        ) from error
    except _errors() as error:
        raise UsageError(
            f"{_SETTING}: the keyring failed ({type(error).__name__}: {error}); repair it,"
            f" {_INSTEAD}"
        ) from error


def _errors() -> tuple[type[Exception], ...]:
    """What keyrings raise, including the classes of `_FOREIGN` whose modules are imported."""
    from keyring.errors import KeyringError  # noqa: PLC0415

    found = (getattr(sys.modules.get(module), name, None) for module, name in _FOREIGN)
    foreign = [kind for kind in found if isinstance(kind, type) and issubclass(kind, Exception)]
    return (KeyringError, NotImplementedError, OSError, *foreign)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _names_of_parts(head: str) -> list[str]:
    """The endings of the parts' names; empty for a session without parts."""
    number, _, checksum = head.partition(" ")
    if not checksum or not number.isascii() or not number.isdigit():
        return []
    return [f" ({index} of {number}, {checksum})" for index in range(1, int(number) + 1)]
