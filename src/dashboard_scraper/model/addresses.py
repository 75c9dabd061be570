"""Names of users as they enter: one spelling, which everybody sees, and no more of it than a name.

Sources let white space and characters that nobody sees into addresses, which would be new people.
What `people.person_key` folds beyond that, such as capitals, stays as it came.
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
"""Characters of an address: 64 before the @, 255 after it (RFC 5321, 4.5.3.1)."""
_SHOWN = 40
# Control, format and line separators; and what is invisible, though Unicode calls it a letter or a
# mark: fillers, joiners and the selectors of variants.
_UNSEEN = ("Cc", "Cf", "Zl", "Zp")
_UNSEEN_TOO = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def is_plain(name: str) -> bool:
    """Whether there is nothing to change: visible ASCII without a blank, as almost always."""
    return name.isascii() and name.isprintable() and " " not in name


def cleaned(name: str) -> str:
    """The name in Unicode's form NFC, without white space around it or unseen characters in it."""
    return name if is_plain(name) else unicodedata.normalize("NFC", _seen(name)).strip()


def _seen(name: str) -> str:
    visible = "".join(c for c in name if unicodedata.category(c) not in _UNSEEN)
    return _UNSEEN_TOO.sub("", visible)


def escaped(name: str) -> str:
    """For a message: visible, and not longer than somebody reads."""
    return shortened(ascii(name), _SHOWN)


class Names:
    """The names of users that a run has met. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed: set[str] = set()
        self._unseen: set[str] = set()

    def taken(self, endpoint: str, field: str, name: str) -> str:
        """The name as it is kept; ContractBroken where it cannot be anybody's."""
        if len(name) > LONGEST:
            error = ContractBroken(
                f"{endpoint}: {field}: {escaped(name)} has {len(name):,} characters; a name has at"
                f" most {LONGEST}"
            )
            error.names = (ascii(name)[1:_SHOWN],)
            raise error
        if is_plain(name) and name:
            return name
        clean = cleaned(name)
        if not clean:
            raise ContractBroken(
                f"{endpoint}: {field}: {escaped(name)} is no name: nothing of it can be seen"
            )
        unseen = set(name.strip()) - set(_seen(name.strip()))
        if any(unicodedata.category(c) == "Cc" for c in unseen):  # nobody can say who that is
            raise ContractBroken(
                f"{endpoint}: {field}: {escaped(name)} has control characters in it"
            )
        if unseen:
            with self._lock:
                self._changed.add(clean)
                self._unseen |= unseen
        return clean

    def report(self) -> None:
        """One warning for all that was removed, then forget it."""
        with self._lock:
            changed, self._changed = self._changed, set()
            unseen, self._unseen = sorted(self._unseen), set()
        if changed:
            shown = ", ".join(f"U+{ord(c):04X}" for c in unseen[:5])
            logger.warning(
                "names with characters that nobody sees (%s): %d; taken without these",
                f"{shown}, …" if len(unseen) > 5 else shown,
                len(changed),
            )
