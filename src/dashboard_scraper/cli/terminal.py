"""Reads a secret from a terminal: a paste of any length, with any number of lines."""

from __future__ import annotations

import getpass
import os
import select
import sys

from dashboard_scraper.errors import UsageError

try:
    import termios
except ImportError:  # Windows
    HAVE_TERMIOS = False
else:
    HAVE_TERMIOS = True

_PASTE_PAUSE_SECONDS = 0.3
_END_OF_INPUT = b"\x04"
_ERASE = (b"\x7f", b"\x08")


def read_hidden(prompt: str) -> str:
    """Ask on the terminal without echo, until Enter; raises UsageError for input that is not text.

    Not `getpass`: it would cut a line at 4,096 bytes, the limit of a terminal in canonical mode,
    and leave all lines of a paste except the first to the shell, and so to its history.
    """
    if not HAVE_TERMIOS:
        return getpass.getpass(prompt)
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    hidden = termios.tcgetattr(descriptor)
    hidden[3] &= ~(termios.ECHO | termios.ICANON)
    try:
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, hidden)
        # Prompt only after echo is off: somebody may paste as soon as the prompt appears.
        sys.stderr.write(prompt)
        sys.stderr.flush()
        data = _read_until_enter(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)
        sys.stderr.write("\n")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError("the pasted input is not text; copy it again") from None


def _read_until_enter(descriptor: int) -> bytes:
    data = b""
    while True:
        chunk = os.read(descriptor, 65536)
        if chunk in _ERASE:
            data = data[:-1]
            continue
        data += chunk.removesuffix(_END_OF_INPUT)
        if not chunk or chunk.endswith(_END_OF_INPUT):
            return data
        # After a line break inside a paste, more text follows at once; after Enter, none does.
        if data.endswith((b"\n", b"\r")):
            more, _, _ = select.select([descriptor], [], [], _PASTE_PAUSE_SECONDS)
            if not more:
                return data
