"""The log, on stderr, for people, files or programs: stdout carries results only."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Final, TextIO

from dashboard_scraper.model.listing import NAMED_AT_MOST, shortened

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
AUTO: Final = "auto"
"""On a terminal the messages alone, elsewhere as `text`."""
TEXT: Final = "text"
JSON: Final = "json"
LOG_FORMATS = (AUTO, TEXT, JSON)
_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_MESSAGE = "%(message)s"
# What a message says it says at its beginning; no source may fill a disk with one line.
_LONGEST = 4000


class _UtcFormatter(logging.Formatter):
    """Stamps in UTC, as every day and moment of this program; one line a record.

    A line break that came in with foreign text must not look like a record of its own.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        record.message = shortened(record.message, _LONGEST)
        line = super().formatMessage(record)
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


class _TerminalFormatter(_UtcFormatter):
    """The message, after what it is unless it only informs: whoever reads it has just called."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        line = super().formatMessage(record)
        if record.levelno == logging.INFO:
            return line
        return f"{'error' if record.levelno >= logging.ERROR else record.levelname.lower()}: {line}"


class _JsonFormatter(_UtcFormatter):
    """An object a line, in ASCII: what is not is escaped, and so are line breaks."""

    def format(self, record: logging.LogRecord) -> str:
        import json  # noqa: PLC0415 - msgspec's has no escapes for what is not ASCII

        fields = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": shortened(record.getMessage(), _LONGEST),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to what sys.stderr is at the time: a progress bar takes it over while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def configure_logging(level: str, log_format: str | None = None) -> None:
    """Send this package's records of `level` and above to stderr.

    Other libraries stay at WARNING whatever the level, urllib3 at ERROR: what they log of a request
    has its whole URL. Until the settings are read, the format is that of the environment.
    """
    log_format = _format_of_environment() if log_format is None else log_format
    handler = _StderrHandler()
    handler.setFormatter(_formatter(log_format))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    logging.getLogger(__package__).setLevel(level)


def _format_of_environment() -> str:
    given = os.environ.get("LOG_FORMAT", "").strip().lower()
    # What is wrong is told when the settings are read.
    return given if given in LOG_FORMATS else AUTO


def _formatter(log_format: str) -> logging.Formatter:
    if log_format == JSON:
        return _JsonFormatter()
    if log_format == AUTO and sys.stderr is not None and sys.stderr.isatty():
        return _TerminalFormatter(_MESSAGE)
    return _UtcFormatter(_LINE)


def log_uncaught_errors() -> None:
    """Make an error that nobody foresaw, in whichever thread, a line of a log for programs too."""
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if _is_for_programs():
        found = (kind, error, trace)
        logging.getLogger(__package__).critical("unexpected error", exc_info=found)
    else:
        sys.__excepthook__(kind, error, trace)


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if _is_for_programs() and args.exc_value is not None:
        _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    else:
        threading.__excepthook__(args)


def _is_for_programs() -> bool:
    return any(isinstance(each.formatter, _JsonFormatter) for each in logging.getLogger().handlers)


class Once:
    """Warnings that are given once a run, whichever thread meets their cause first.

    Of one message, so many names at most: a source may invent a name for every record.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._lock = threading.Lock()
        self._given: set[tuple[str, str]] = set()
        self._names: Counter[str] = Counter()

    def warn(self, message: str, name: str) -> None:
        """Log the message, in which `%s` stands for the name."""
        with self._lock:
            number = self._names[message]
            if number > NAMED_AT_MOST or (message, name) in self._given:
                return
            self._given.add((message, name))
            self._names[message] += 1
        if number == NAMED_AT_MOST:
            self._logger.warning(message, "(and more, which are not named)")
        else:
            self._logger.warning(message, name)
