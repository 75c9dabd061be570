"""How many connections are open at once, from one address and in all, and how long each may take.

A connection is counted when it is accepted, before TLS, and one too many is closed at once. It then
has `HEAD_SECONDS` for its handshake and again for each whole head of a request, however slowly it
sends, and `ANSWER_SECONDS` to take something of what is on its way to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import ipaddress
import logging
import os
import socket
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from dashboard_scraper.log_repeats import repeats

logger = logging.getLogger(__name__)

HEAD_SECONDS = 10
ANSWER_SECONDS = 60
LARGEST_HEAD = 1 << 14
_MOST_CONNECTIONS = 1000
_FILES_WHERE_UNKNOWN = 1024
# Of all that are open, those of one address; a proxy before this server is one address.
_SHARE_OF_AN_ADDRESS = 4
_REFUSED_AT_A_TIME = 100
_OUT_OF_FILES = (errno.EMFILE, errno.ENFILE)
_PAUSE_SECONDS = 0.05
_IPV6_NETWORK = 64  # what one customer has


@dataclass(frozen=True, slots=True)
class Limits:
    """Connections that are open at a time."""

    in_all: int
    of_an_address: int

    @classmethod
    def of_this_process(cls) -> Limits:
        """Half of the files that it may open: the others are the store's, forty readers' at once.

        Each of those has a database with its log open, or a connection to a server.
        """
        in_all = max(_SHARE_OF_AN_ADDRESS, min(_MOST_CONNECTIONS, _open_files() // 2))
        return cls(in_all, in_all // _SHARE_OF_AN_ADDRESS)


def _open_files() -> int:
    if sys.platform == "win32":
        return _FILES_WHERE_UNKNOWN
    import resource  # noqa: PLC0415 - Windows has none

    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS * 2 if soft == resource.RLIM_INFINITY else soft


def client_of(address: str) -> str:
    """What counts as one address: of IPv6 the network, since a customer has 2^64 addresses."""
    with contextlib.suppress(ValueError):
        parsed = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(parsed, ipaddress.IPv6Address):
            if parsed.ipv4_mapped:
                return str(parsed.ipv4_mapped)
            network = ipaddress.ip_network((parsed, _IPV6_NETWORK), strict=False)
            return str(network)
    return address


class _Counted(socket.socket):
    """An accepted connection that says when it is closed."""

    def __init__(self, accepted: socket.socket, closed: Callable[[], None]) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self._closed_callback: Callable[[], None] | None = closed

    def close(self) -> None:
        """Close it; a second time does nothing."""
        super().close()
        callback, self._closed_callback = self._closed_callback, None
        if callback:
            callback()


class LimitedListener(socket.socket):
    """A listening socket that accepts no more connections than the limits allow."""

    def __init__(self, listener: socket.socket, limits: Limits) -> None:
        super().__init__(listener.family, listener.type, listener.proto, fileno=listener.detach())
        self._limits = limits
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._spare = os.open(os.devnull, os.O_RDONLY)

    def close(self) -> None:
        """Stop listening."""
        super().close()
        spare, self._spare = self._spare, -1
        if spare >= 0:
            os.close(spare)

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection within the limits; BlockingIOError where none waits.

        After a number that were refused, too: whoever is connected already has a turn then.
        """
        for _ in range(_REFUSED_AT_A_TIME):
            connection, address = self._accept_any()
            client = client_of(str(address[0]))
            if reason := self._refused(client):
                connection.close()
                logger.warning(
                    "a connection of %s was closed at once: %s",
                    client,
                    reason,
                    extra=repeats("connections that were closed at once"),
                )
                continue
            return _Counted(connection, functools.partial(self._ended, client)), address
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _accept_any(self) -> tuple[socket.socket, Any]:
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _OUT_OF_FILES:
                raise
            logger.error("no file is left for a connection: %s", error.strerror)  # noqa: TRY400
        self._close_one()
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _close_one(self) -> None:
        """Tell one that waits that it waits in vain: with the file that is spared for this.

        Left where it is, the connection would have the event loop try again without end.
        """
        os.close(self._spare)
        try:
            connection, _address = super().accept()
            connection.close()
        except OSError:
            time.sleep(_PAUSE_SECONDS)
        self._spare = os.open(os.devnull, os.O_RDONLY)

    def _refused(self, client: str) -> str | None:
        """Why there is no room for the client; where there is, it has its place from now on."""
        with self._lock:
            if self._open[client] >= self._limits.of_an_address:
                return f"{self._limits.of_an_address} of one address are open"
            if self._open.total() >= self._limits.in_all:
                return f"{self._limits.in_all} are open in all"
            self._open[client] += 1
        return None

    def _ended(self, client: str) -> None:
        with self._lock:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]


class TimedProtocol(H11Protocol):
    """uvicorn's, which has no time limit for a head, nor for who does not take the answer."""

    _head_timer: asyncio.TimerHandle | None = None
    _answer_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """From now on, the first head is waited for."""
        super().connection_made(transport)
        self._time_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        super().connection_lost(exc)
        for timer in (self._head_timer, self._answer_timer):
            if timer:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """A part of a head gives no more time for its rest."""
        super().data_received(data)
        self._time_head()

    def on_response_complete(self) -> None:
        """The next head is waited for, or the rest of the answer is to be taken."""
        super().on_response_complete()
        self._time_head()
        self._time_answer()

    def pause_writing(self) -> None:
        """More of an answer waits than the connection takes."""
        super().pause_writing()
        self._time_answer()

    def send_400_response(self, msg: str) -> None:
        """What is no request after the answer has begun, as a body's malformed end, has none."""
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self.transport.close()

    def _time_head(self) -> None:
        waiting = self.conn.their_state is h11.IDLE and not self.transport.is_closing()
        if waiting and self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._end_waiting)
        elif not waiting and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_waiting(self) -> None:
        self._head_timer = None
        self.timeout_keep_alive_handler()
        self._time_answer()

    def _time_answer(self) -> None:
        if self._answer_timer is None and (waiting := self.transport.get_write_buffer_size()):
            self._answer_timer = self.loop.call_later(ANSWER_SECONDS, self._end_answer, waiting)

    def _end_answer(self, before: int) -> None:
        self._answer_timer = None
        if self.transport.get_write_buffer_size() >= before:
            self.transport.abort()  # to close it would wait until all is taken
        else:
            self._time_answer()


class ServingLoop(asyncio.SelectorEventLoop):
    """Listens with TLS where there is a context, whose handshake has the time of a head."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__()
        self._context = context

    async def create_server(self, *args: Any, **options: Any) -> asyncio.Server:
        """As asyncio's own."""
        if self._context:
            options |= {"ssl": self._context, "ssl_handshake_timeout": HEAD_SECONDS}
        return await super().create_server(*args, **options)
