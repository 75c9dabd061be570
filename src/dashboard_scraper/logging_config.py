"""One log format, on stderr: stdout carries results only."""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import TextIO

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _UtcFormatter(logging.Formatter):
    """Stamps in UTC, as every day and moment of this program; one line a record.

    A line break that came in with foreign text must not look like a record of its own.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        line = super().formatMessage(record)
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to what sys.stderr is at the time: a progress bar takes it over while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def configure_logging(level: str) -> None:
    """Send this package's records of `level` and above to stderr.

    Other libraries stay at WARNING whatever the level, urllib3 at ERROR: what they log of a request
    has its whole URL.
    """
    handler = _StderrHandler()
    handler.setFormatter(_UtcFormatter(_FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    logging.getLogger(__package__).setLevel(level)


class Once:
    """Warnings that are given once a run, whichever thread meets their cause first."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._lock = threading.Lock()
        self._given: set[tuple[str, str]] = set()

    def warn(self, message: str, name: str) -> None:
        """Log the message, in which `%s` stands for the name."""
        with self._lock:
            if (message, name) in self._given:
                return
            self._given.add((message, name))
        self._logger.warning(message, name)
