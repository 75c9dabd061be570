"""Limits open connections, in total and per address, and the time each may take.

A connection is counted when it is accepted, before TLS; above the limit, it is closed at once.
Other connections have `HEAD_SECONDS` for the handshake and again for each complete request head,
however slowly the client sends, and `ANSWER_SECONDS` to read some of a pending answer.
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
from typing import Any

import h11
import msgspec
from uvicorn.protocols.http.h11_impl import H11Protocol

from dashboard_scraper.log_repeats import repeats

logger = logging.getLogger(__name__)

HEAD_SECONDS = 10
ANSWER_SECONDS = 60
LARGEST_HEAD = 1 << 14
_MOST_CONNECTIONS = 1000
_FILES_WHERE_UNKNOWN = 1024
# One address may have a quarter of all connections: a proxy in front is one address, too.
_PARTS_PER_ADDRESS = 4
_REFUSED_AT_A_TIME = 100
_OUT_OF_FILES = (errno.EMFILE, errno.ENFILE)
_PAUSE_SECONDS = 0.05
_IPV6_NETWORK = 64  # the prefix length of one customer's network


class Limits(msgspec.Struct, frozen=True):
    """The most connections that may be open at the same time."""

    in_all: int
    per_address: int

    @classmethod
    def of_this_process(cls) -> Limits:
        """Half of this process's limit of open files; the store needs the rest.

        Up to forty requests read at the same time, each with a database and its write-ahead log
        open, or with a connection to a database server.
        """
        in_all = max(_PARTS_PER_ADDRESS, min(_MOST_CONNECTIONS, _open_files() // 2))
        return cls(in_all, in_all // _PARTS_PER_ADDRESS)


def _open_files() -> int:
    if sys.platform == "win32":
        return _FILES_WHERE_UNKNOWN
    import resource  # noqa: PLC0415 - Windows has none

    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS * 2 if soft == resource.RLIM_INFINITY else soft


def client_of(address: str) -> str:
    """What counts as one address: for IPv6 a whole network, as one customer has 2^64 addresses."""
    with contextlib.suppress(ValueError):
        parsed = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(parsed, ipaddress.IPv6Address):
            if parsed.ipv4_mapped:
                return str(parsed.ipv4_mapped)
            network = ipaddress.ip_network((parsed, _IPV6_NETWORK), strict=False)
            return str(network)
    return address


class _Counted(socket.socket):
    """An accepted connection that calls back when it is closed."""

    def __init__(self, accepted: socket.socket, closed: Callable[[], None]) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self._closed_callback: Callable[[], None] | None = closed

    def close(self) -> None:
        """Close it; may be called twice."""
        super().close()
        callback, self._closed_callback = self._closed_callback, None
        if callback:
            callback()


class LimitedListener(socket.socket):
    """A listening socket that accepts connections up to the limits."""

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
        """The next connection within the limits; BlockingIOError if none is waiting.

        The latter also after refusing a number of connections, to give the event loop time for open
        ones.
        """
        for _ in range(_REFUSED_AT_A_TIME):
            connection, address = self._accept_any()
            client = client_of(str(address[0]))
            if reason := self._refused(client):
                connection.close()
                logger.warning(
                    "a connection from %s was refused: %s",
                    client,
                    reason,
                    extra=repeats("connections that were refused"),
                )
                continue
            # asyncio sets it only if the socket names its protocol, which a listener of
            # create_server does not: a kept-alive client would wait 40 ms for each answer.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _Counted(connection, functools.partial(self._ended, client)), address
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _accept_any(self) -> tuple[socket.socket, Any]:
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _OUT_OF_FILES:
                raise
            logger.error("too many open files for a connection: %s", error.strerror)  # noqa: TRY400
        self._close_one()
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _close_one(self) -> None:
        """Refuse a waiting connection, with the spare file descriptor.

        Left in the backlog, it would make the event loop retry `accept` endlessly.
        """
        os.close(self._spare)
        try:
            connection, _address = super().accept()
            connection.close()
        except OSError:
            time.sleep(_PAUSE_SECONDS)
        self._spare = os.open(os.devnull, os.O_RDONLY)

    def _refused(self, client: str) -> str | None:
        """Why the client is over a limit; if it is not, count its connection."""
        with self._lock:
            if self._open[client] >= self._limits.per_address:
                return f"{self._limits.per_address} from one address are open"
            if self._open.total() >= self._limits.in_all:
                return f"{self._limits.in_all} are open in total"
            self._open[client] += 1
        return None

    def _ended(self, client: str) -> None:
        with self._lock:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]


class TimedProtocol(H11Protocol):
    """Adds time limits that uvicorn lacks: for a request's head, and for reading the answer."""

    _head_timer: asyncio.TimerHandle | None = None
    _answer_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit of the first head."""
        super().connection_made(transport)
        self._time_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the time limits."""
        super().connection_lost(exc)
        for timer in (self._head_timer, self._answer_timer):
            if timer:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Stop the head's time limit only once the head is complete."""
        super().data_received(data)
        self._time_head()

    def on_response_complete(self) -> None:
        """Start the time limits of the next head and of reading the rest of the answer."""
        super().on_response_complete()
        self._time_head()
        self._time_answer()

    def pause_writing(self) -> None:
        """Start the time limit of reading: the client reads more slowly than we write."""
        super().pause_writing()
        self._time_answer()

    def send_400_response(self, msg: str) -> None:
        """Close the connection if it is too late for an error, as after a malformed body."""
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
            self.transport.abort()  # close() would wait until the client has read everything
        else:
            self._time_answer()


class ServingLoop(asyncio.SelectorEventLoop):
    """Listens with TLS if there is a context; the handshake has the same time limit as a head."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__()
        self._context = context

    async def create_server(self, *args: Any, **options: Any) -> asyncio.Server:
        """As asyncio's, with TLS."""
        if self._context:
            options |= {"ssl": self._context, "ssl_handshake_timeout": HEAD_SECONDS}
        return await super().create_server(*args, **options)
