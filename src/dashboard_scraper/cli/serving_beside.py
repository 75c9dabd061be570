"""The server beside another command: `serve` as a process of its own, which ends with this one.

A run that computes does not delay answers then, and the server has its own signals and memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

from dashboard_scraper.cli.output import print_lines
from dashboard_scraper.errors import ScraperError

_PR_SET_PDEATHSIG = 1  # of Linux' sys/prctl.h
# The server gives answers that have begun 5 seconds.
_SECONDS_TO_END = 8


@contextlib.contextmanager
def serving(words: Sequence[str]) -> Iterator[Callable[[], None]]:
    """Run `serve` with these words while entered, once it listens; what it prints is printed.

    The function raises an error with the server's exit code where it has ended, as entering does.
    """
    command = [sys.executable, "-m", "dashboard_scraper", "serve", *words]
    process = subprocess.Popen(  # noqa: S603 - our own program
        command,
        stdout=subprocess.PIPE,
        text=True,
        # Only Linux has this; there are no threads yet.
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
    )
    try:
        _wait_until_it_listens(process)

        def check() -> None:
            if process.poll() is not None:
                raise _ended(process)

        yield check
    finally:
        process.terminate()
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _wait_until_it_listens(process: subprocess.Popen[str]) -> None:
    """Print its lines up to that with its address."""
    for line in process.stdout or ():
        print_lines([line.rstrip("\n")])
        if line.startswith("http"):
            return
    raise _ended(process)


def _ended(process: subprocess.Popen[str]) -> ScraperError:
    """It has logged why already."""
    code = process.wait()
    error = ScraperError(f"serve has ended with exit code {code}")
    error.exit_code = code if code > 0 else ScraperError.exit_code
    return error


def _end_with_parent() -> None:
    """Get SIGTERM when the other process dies, in whichever way."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
