"""The server beside another command: `serve` as a separate process, which ends with this one.

So a run that computes does not delay answers, and the server has its own signals and memory.
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

_PR_SET_PDEATHSIG = 1  # from Linux' sys/prctl.h
# The server gives answers that have begun 5 seconds to finish.
_SECONDS_TO_END = 8


@contextlib.contextmanager
def serving(words: Sequence[str]) -> Iterator[Callable[[], None]]:
    """Run `serve` with these words, from when it listens until the block ends; what it prints is
    printed.

    The yielded function raises an error with the server's exit code if it has ended; so does
    entering.
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
    """Print its lines, up to the one with its address."""
    for line in process.stdout or ():
        print_lines([line.rstrip("\n")])
        if line.startswith("http"):
            return
    raise _ended(process)


def _ended(process: subprocess.Popen[str]) -> ScraperError:
    """An error with the server's exit code; the server has already logged why it ended."""
    code = process.wait()
    error = ScraperError(f"serve has ended with exit code {code}")
    error.exit_code = code if code > 0 else ScraperError.exit_code
    return error


def _end_with_parent() -> None:
    """Have the system send SIGTERM when the parent process dies, however it dies."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
