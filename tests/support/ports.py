"""A port that nobody else gets."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """Bound, but not listening: connections are refused until a program that is given it listens.

    A port that is only chosen may be taken by another test.
    """
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # for that program
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
