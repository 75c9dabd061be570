"""Logging to stderr, for people, files or programs; stdout is for results only."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Final, TextIO

from dashboard_scraper.model.listing import NAMED_AT_MOST, shortened

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
AUTO: Final = "auto"
"""On a terminal only the messages; elsewhere as `text`."""
TEXT: Final = "text"
JSON: Final = "json"
LOG_FORMATS = (AUTO, TEXT, JSON)
_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_MESSAGE = "%(message)s"
# A source's answer quoted in a message must not fill a disk; the beginning says what is wrong.
_LONGEST = 4000
_FIELDS = "named_fields"


def with_fields(fields: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    """The `extra` of a log record whose values LOG_FORMAT=json also writes by name."""
    return {_FIELDS: fields}


class _UtcFormatter(logging.Formatter):
    """Timestamps in UTC, like every day and moment of this program; one line per record.

    Line breaks and control characters in foreign text are escaped, so that they cannot forge a
    record or control a terminal.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        record.message = shortened(record.message, _LONGEST)
        line = super().formatMessage(record)
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


class _TerminalFormatter(_UtcFormatter):
    """Only the message, prefixed with its level unless it is INFO: no time, no logger."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        line = super().formatMessage(record)
        if record.levelno == logging.INFO:
            return line
        return f"{'error' if record.levelno >= logging.ERROR else record.levelname.lower()}: {line}"


class _JsonFormatter(_UtcFormatter):
    """One JSON object per line, in ASCII: other characters and line breaks are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        import json  # noqa: PLC0415 - msgspec cannot escape what is not ASCII

        fields: dict[str, object] = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": shortened(record.getMessage(), _LONGEST),
        }
        fields |= getattr(record, _FIELDS, {})
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Looks up sys.stderr for each record: a progress bar replaces it while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def configure_logging(level: str, log_format: str | None = None) -> None:
    """Send this package's records of `level` and above to stderr.

    Other libraries stay at WARNING whatever the level, urllib3 at ERROR: their messages contain
    whole URLs. Until the settings are read, the format comes from the environment.
    """
    log_format = _format_of_environment() if log_format is None else log_format
    handler = _StderrHandler()
    handler.setFormatter(_formatter(log_format))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    logging.getLogger(__package__).setLevel(level)


def keep_out_of_the_log(library: str) -> None:
    """Let no log record of the library reach this program's handlers: it may contain secrets."""
    its_logger = logging.getLogger(library)
    its_logger.propagate = False
    if not its_logger.handlers:
        its_logger.addHandler(logging.NullHandler())


def _format_of_environment() -> str:
    given = os.environ.get("LOG_FORMAT", "").strip().lower()
    # A wrong value is reported when the settings are read.
    return given if given in LOG_FORMATS else AUTO


def _formatter(log_format: str) -> logging.Formatter:
    if log_format == JSON:
        return _JsonFormatter()
    if log_format == AUTO and sys.stderr is not None and sys.stderr.isatty():
        return _TerminalFormatter(_MESSAGE)
    return _UtcFormatter(_LINE)


def log_uncaught_errors() -> None:
    """With LOG_FORMAT=json, log unexpected errors of any thread as JSON too."""
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if _logs_json():
        found = (kind, error, trace)
        logging.getLogger(__package__).critical("unexpected error", exc_info=found)
    else:
        sys.__excepthook__(kind, error, trace)


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if _logs_json() and args.exc_value is not None:
        _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    else:
        threading.__excepthook__(args)


def _logs_json() -> bool:
    return any(isinstance(each.formatter, _JsonFormatter) for each in logging.getLogger().handlers)


class Once:
    """Logs each message once per run, whichever thread is first.

    The names reported for one message are limited: a source may invent a name for every record.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._lock = threading.Lock()
        self._logged: set[tuple[str, str]] = set()
        self._names: Counter[str] = Counter()

    def warn(self, message: str, name: str) -> None:
        """Log a warning, in which `%s` stands for the name."""
        self._log(logging.WARNING, message, name)

    def info(self, message: str, name: str) -> None:
        """The same for information on which nobody needs to act."""
        self._log(logging.INFO, message, name)

    def _log(self, level: int, message: str, name: str) -> None:
        with self._lock:
            number = self._names[message]
            if number > NAMED_AT_MOST or (message, name) in self._logged:
                return
            self._logged.add((message, name))
            self._names[message] += 1
        if number == NAMED_AT_MOST:
            self._logger.log(level, message, "(and others)")
        else:
            self._logger.log(level, message, name)
