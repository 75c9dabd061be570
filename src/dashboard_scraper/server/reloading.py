"""Files that the running server reads again when they have changed, or when it is told to; and
those whose changes it only reports.
"""

from __future__ import annotations

import contextlib
import logging
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from dashboard_scraper.errors import ScraperError

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 1


class Reloaded:
    """Files that belong together, and the function that reads them; the log calls them `name`."""

    def __init__(self, name: str, paths: Sequence[Path], read: Callable[[], None]) -> None:
        self._name = name
        self._paths = paths
        self._read = read
        self._read_at = self._seen = self._state()

    def look(self) -> None:
        """Read them if they have changed, but not while they are changing: half a file, or a
        certificate whose key comes later, would be an error.
        """
        state = self._state()
        is_settled, self._seen = state == self._seen, state
        if is_settled and state != self._read_at:
            self.read()

    def read(self) -> None:
        """Read them; errors are logged, and what was read before stays in force."""
        self._read_at = self._state()
        try:
            self._read()
        except ScraperError as error:
            logger.error(  # noqa: TRY400
                "%s could not be read again, and what was read before stays in force: %s",
                self._name,
                error,
            )
        else:
            logger.info("read %s again", self._name)

    def _state(self) -> tuple[object, ...]:
        return tuple(_stamp(path) for path in self._paths)


class ReadOnce(Reloaded):
    """A file that the server reads only when it starts, since all that it has computed depends on
    the content.
    """

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(name, [path], lambda: None)

    def read(self) -> None:
        """Log if the file has changed: answers still show what it said before."""
        state = self._state()
        if state != self._read_at:
            self._read_at = state
            logger.warning(
                "%s has changed: serve goes on with what it read; restart it to read the file",
                self._name,
            )


def _stamp(path: Path) -> object:
    """A value that changes if the file is replaced or changed; None if it is not a file."""
    with contextlib.suppress(OSError):
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    return None
