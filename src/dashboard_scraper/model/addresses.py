"""Cleaning of user names when they arrive from a source.

Sources let white space and invisible characters into addresses, so that one person would look like
several. Other differences, such as capitals, stay: `people.person_key` ignores them later.
"""

from __future__ import annotations

import logging
import re
import threading
import unicodedata

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.listing import shortened

logger = logging.getLogger(__name__)

LONGEST = 320
"""The most characters of an address: 64 before the @, 255 after it (RFC 5321, 4.5.3.1)."""
_SHOWN = 40
# Control, format and separator characters; and invisible ones that Unicode classes as letters or
# marks: fillers, joiners and variation selectors.
_UNSEEN = ("Cc", "Cf", "Zl", "Zp")
_UNSEEN_TOO = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def is_address(name: str) -> bool:
    """Whether the name of a user, or a person's key, is an address; a name without `@` is a
    service account, a login or an id, which depends on the source (`names.NameKind`).
    """
    return "@" in name


def is_plain(name: str) -> bool:
    """Whether there is nothing to clean, as almost always: visible ASCII without blanks."""
    return name.isascii() and name.isprintable() and " " not in name


def cleaned(name: str) -> str:
    """The name in Unicode's form NFC, without surrounding white space or invisible characters."""
    return name if is_plain(name) else unicodedata.normalize("NFC", _seen(name)).strip()


def _seen(name: str) -> str:
    visible = "".join(c for c in name if unicodedata.category(c) not in _UNSEEN)
    return _UNSEEN_TOO.sub("", visible)


def escaped(name: str) -> str:
    """The name for a message: in ASCII, and shortened."""
    return shortened(ascii(name), _SHOWN)


class Names:
    """Cleans the user names of a run, and reports what was removed. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed: set[str] = set()
        self._unseen: set[str] = set()

    def taken(self, endpoint: str, field: str, name: str) -> str:
        """The name as it is stored; ContractBroken if it cannot be a user's name."""
        if len(name) > LONGEST:
            raise ContractBroken(
                f"{endpoint}: {field}: {escaped(name)} has {len(name):,} characters; a name has at"
                f" most {LONGEST}",
                names=(ascii(name)[1:_SHOWN],),
            )
        if is_plain(name) and name:
            return name
        clean = cleaned(name)
        if not clean:
            raise ContractBroken(
                f"{endpoint}: {field}: {escaped(name)} is not a name: it has no visible character"
            )
        unseen = set(name.strip()) - set(_seen(name.strip()))
        # Control characters are a fault of the source; other characters are people's slips.
        if any(unicodedata.category(c) == "Cc" for c in unseen):
            raise ContractBroken(
                f"{endpoint}: {field}: {escaped(name)} has control characters in it"
            )
        if unseen:
            with self._lock:
                self._changed.add(clean)
                self._unseen |= unseen
        return clean

    def report(self) -> None:
        """Log one warning for everything that was removed since the last report."""
        with self._lock:
            changed, self._changed = self._changed, set()
            unseen, self._unseen = sorted(self._unseen), set()
        if changed:
            shown = ", ".join(f"U+{ord(c):04X}" for c in unseen[:5])
            logger.warning(
                "%d names had invisible characters (%s), which were removed",
                len(changed),
                f"{shown}, …" if len(unseen) > 5 else shown,
            )
