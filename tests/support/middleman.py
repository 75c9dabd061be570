"""A gateway between a client and its database that may be down or lose an answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Literal, Self

from sqlalchemy import make_url

COMMIT = b"COMMIT\0"  # not COMMITTED
_SECONDS_TO_COMMIT = 60


class Middleman:
    """Forwards data in both directions once it is `open`.

    `lose` says what to lose at the next COMMIT: the statement or its answer; either way, the
    connection is lost too.
    """

    def __init__(self, url: str) -> None:
        self._server = (make_url(url).host or "", make_url(url).port or 5432)
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = make_url(url).set(host="127.0.0.1", port=port).render_as_string(False)
        self.lose: Literal["answer", "statement"] | None = None
        self.lost = 0
        self.connections = 0
        self._committed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def open(self) -> None:
        """Accept connections; before this, they are refused."""
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                server = socket.create_connection(self._server)
                mute = threading.Event()
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(*pair, mute), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, mute: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if COMMIT in data and self.lose is not None:
                    how, self.lose = self.lose, None
                    self.lost += 1
                    mute.set()
                    if how == "answer":
                        target.sendall(data)
                        self._committed.wait(_SECONDS_TO_COMMIT)
                    break
                if mute.is_set():  # this is the answer to that COMMIT
                    self._committed.set()
                    break
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
