"""Runs the program in the test's own process, with its own environment and streams.

A child process costs a second of imports; only tests of what a process does (signals, crashes, a
terminal, its exit) need one.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import io
import logging
import os
import runpy
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from unittest import mock

from dashboard_scraper.main import main

_LONGEST_SECONDS = 600
_LOGGERS = ("dashboard_scraper", "urllib3")


def run_main(
    words: Sequence[str], environment: Mapping[str, str], folder: Path, stdin: bytes
) -> tuple[int, str, str]:
    """Exit code, standard output, standard error; an unexpected error fails the test."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    faulthandler.dump_traceback_later(_LONGEST_SECONDS, exit=True, file=2)
    try:
        with _as_in_a_process(environment, folder, stdin, out, err):
            code = _exit_code(words)
    finally:
        faulthandler.cancel_dump_traceback_later()
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return code, texts[0], texts[1]


def as_program(file: str, *words: str) -> None:
    """Run a file as `python FILE WORDS` does; it must not end with an exit code."""
    with mock.patch.object(sys, "argv", [file, *words]):
        runpy.run_path(file, run_name="__main__")


def _exit_code(words: Sequence[str]) -> int:
    try:
        return main(words)
    except SystemExit as ending:
        if isinstance(ending.code, str):
            sys.stderr.write(f"{ending.code}\n")
            return 1
        return ending.code or 0


@contextlib.contextmanager
def _as_in_a_process(
    environment: Mapping[str, str],
    folder: Path,
    stdin: bytes,
    out: io.TextIOWrapper,
    err: io.TextIOWrapper,
) -> Iterator[None]:
    thresholds = gc.get_threshold()
    with (
        mock.patch.dict(os.environ, environment, clear=True),
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8")),
        logging_as_before(),
    ):
        logging.getLogger().handlers = []
        time.tzset()
        try:
            yield
        finally:
            gc.set_threshold(*thresholds)
    time.tzset()


@contextlib.contextmanager
def logging_as_before() -> Iterator[None]:
    """The program sets up the root logger anew; this restores pytest's handlers and levels."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    levels = [(logger, logger.level) for logger in (root, *map(logging.getLogger, _LOGGERS))]
    try:
        yield
    finally:
        root.handlers = handlers
        for logger, level in levels:
            if logger.level != level:  # setting it empties the caches of hundreds of loggers
                logger.setLevel(level)
