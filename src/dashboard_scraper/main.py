"""Runs one command and turns its error into an exit code."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from io import TextIOWrapper
from types import FrameType
from typing import NoReturn

from dashboard_scraper.cli.parser import parse
from dashboard_scraper.errors import (
    SIGNALLED,
    OutputFailed,
    ScraperError,
    Stopped,
    Terminated,
    exit_code_of,
)
from dashboard_scraper.logs import configure_logging, log_uncaught_errors

logger = logging.getLogger(__name__)

# SIGHUP comes when a terminal is closed; Windows does not have it.
_ENDING = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
_SECONDS_TO_FINALIZE = 0.01
# Python looks for garbage after creating this many objects, instead of 700. A day of ten thousand
# users makes far more, none of them in cycles: looking for cycles took a quarter of the time to
# store it.
_GARBAGE = 50_000


def main(argv: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    configure_logging("INFO")
    try:
        args = parse(argv)
        configure_logging(args.log_level or "INFO")
        args.run(args)
    except ScraperError as error:
        # No traceback: the message says what to do, and the libraries' messages in a traceback
        # contain whole URLs, with cursors and signatures.
        logger.error("%s", error)  # noqa: TRY400
        return error.exit_code
    except KeyboardInterrupt as interruption:
        logger.error("interrupted")  # noqa: TRY400
        return exit_code_of(interruption)
    return 0


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    """Exit as on Ctrl-C, so that temporary files are removed on the way out.

    Nothing may be logged here: if the signal arrives while a line is being written, logging would
    raise inside the logging module, which swallows the exception, and the signal would be lost.
    """
    raise Terminated(SIGNALLED + number)


def _catch_signals() -> None:
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` wants it
            signal.signal(number, _terminate)
    sys.unraisablehook = _send_again


def _send_again(ignored: sys.UnraisableHookArgs) -> None:
    """Send a signal once more that came while an object was finalized: Python ignores every
    exception there, and the signal would be lost.
    """
    error = ignored.exc_value
    if isinstance(error, (Terminated, KeyboardInterrupt)):
        number = exit_code_of(error) - SIGNALLED
        again = threading.Timer(_SECONDS_TO_FINALIZE, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(ignored)


def _open_missing_streams() -> None:
    """Open all standard streams, also if the process was started without some, as for a job whose
    output nobody wants. Text written to such a stream is lost.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            # A new file gets the lowest free number, which is the missing stream's.
            nowhere = os.open(os.devnull, os.O_RDWR)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(nowhere, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _accept_any_character() -> None:
    """Escape characters that stdout's encoding does not have, as stderr does: the encoding of a
    file on Windows lacks most alphabets, and not every file name is UTF-8.
    """
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _is_all_written() -> bool:
    """Whether the standard streams took all text. Otherwise the interpreter would try once more at
    the end, and exit with a code of its own.
    """
    written = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
            written = False
    return written


def run_tap() -> None:
    """The entry point of `tap-dashboard-scraper`: runners of Singer taps pass no command."""
    run(("tap", *sys.argv[1:]))


def run(words: Sequence[str] | None = None) -> None:
    """The entry point of `python -m dashboard_scraper` and of the installed command."""
    _open_missing_streams()
    _accept_any_character()
    _catch_signals()
    gc.set_threshold(_GARBAGE)
    # Another package's pydantic plugin would see every setting, secrets too; and looking for
    # plugins reads the metadata of all installed packages.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    log_uncaught_errors()
    try:
        code = main(sys.argv[1:] if words is None else words)
    except Terminated as ending:
        if not isinstance(ending, Stopped):
            logger.error("terminated")  # noqa: TRY400
        raise
    finally:
        # Before Python ends, it looks for cycles among all objects, which takes a fifth of the time
        # of a short command; frozen objects are skipped. All that needs closing is closed by now.
        # DuckDB would write an alarming list of all its objects that were not collected by then.
        if "duckdb" not in sys.modules:
            gc.freeze()
    sys.exit(code if _is_all_written() else code or OutputFailed.exit_code)
