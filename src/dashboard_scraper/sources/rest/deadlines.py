"""Connections whose answers have time and size limits as a whole, not only from byte to byte.

The libraries below bound the silence between two bytes: a header line every half second, or
`100 Continue` without an end, never trips that. Here each wait is cut at the limit of its phase:

    connect   name look-up, TCP, a proxy's tunnel and TLS   `silence` in all
    head      interim answers, status line and headers      `silence` in all
    body      to the last byte                              `silence` between two bytes, `until`

`until` bounds all three. The first phase runs in a thread of its own: a name look-up cannot be
interrupted, but it can be left behind; and the thread that waits for it still hears signals.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from http import HTTPStatus
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError

# Of a status line with all headers and the interim answers before it; real ones have some KB.
MAX_HEAD = 1 << 18
# Interim answers before the final one; a server that works for a minute may send one a second.
MAX_INTERIM = 100


class TooSlow(TimeoutError):
    """A phase took longer than it may; its text says which."""


class MalformedHead(http.client.HTTPException):
    """What came before the body is cut, or is no answer to a GET; its text says why."""


class Limits:
    """Of one attempt: at most `silence` seconds without a byte, and none after `until`, which is
    monotonic and may be brought forward.
    """

    def __init__(self, silence: float, until: float) -> None:
        self.silence = silence
        self.until = until

    def left(self) -> float:
        """Seconds until the end, never 0: that would mean "do not wait" to a socket."""
        return max(0.001, self.until - time.monotonic())

    def phase(self) -> Limits:
        """Those of a phase that begins now and has `silence` seconds in all."""
        return Limits(self.silence, min(self.until, time.monotonic() + self.silence))


_LIMITS: ContextVar[Limits] = ContextVar("limits")


@contextlib.contextmanager
def limited(limits: Limits) -> Iterator[None]:
    """Requests that begin within are held to the limits."""
    token = _LIMITS.set(limits)
    try:
        yield
    finally:
        _LIMITS.reset(token)


class _TimedReader(io.RawIOBase):
    """A socket's raw stream that waits for each piece no longer than its phase has left."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, limits: Limits) -> None:
        self._raw = raw
        self._sock = sock
        self._whole = limits
        self._phase = limits.phase()
        self._head = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(min(self._phase.silence, self._phase.left()))
        if time.monotonic() >= self._phase.until:
            raise self._too_slow()
        try:
            count = self._raw.readinto(buffer)
        except TimeoutError as error:
            if time.monotonic() >= self._phase.until:
                raise self._too_slow() from error
            raise
        self._ended = count == 0
        if self._phase is not self._whole:
            self._head += count or 0
            if self._head > MAX_HEAD:
                raise MalformedHead(f"the headers are longer than {MAX_HEAD >> 10} KiB")
        return count

    def _too_slow(self) -> TooSlow:
        if self._phase is self._whole:
            return TooSlow("the body came too slowly")
        return TooSlow(f"its headers were not there within {self._phase.silence:g} s")

    def body_follows(self) -> None:
        """The head has been read. Lines that the end of the connection cut look like its end."""
        if self._ended:
            raise MalformedHead("the connection ended within the headers")
        self._phase = self._whole

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """Reads what comes before the body within its time and size."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._timed: _TimedReader | None = None
        limits = _LIMITS.get(None)
        if limits is not None:
            self._timed = _TimedReader(self.fp.detach(), sock, limits)
            self.fp = io.BufferedReader(self._timed)

    def begin(self) -> None:
        super().begin()
        if self._timed is not None:
            self._timed.body_follows()

    def _read_status(self) -> tuple[str, int, str]:
        """The final answer's: any number of interim ones may come before it (RFC 9110, 15.2), of
        which http.client knows only 100.
        """
        for _ in range(MAX_INTERIM):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status == HTTPStatus.SWITCHING_PROTOCOLS:
                raise MalformedHead("HTTP 101, a change of the protocol that nobody asked for")
            if status >= HTTPStatus.OK:
                return version, status, reason
            while self.fp.readline().strip():
                pass
        raise MalformedHead(f"more than {MAX_INTERIM} interim answers")


def _connect_in_time(connect: Callable[[], None], connection: HTTPConnection) -> None:
    limits = _LIMITS.get(None)
    if limits is None:
        connect()
        return
    done = threading.Event()
    left_behind = threading.Event()
    raised: list[BaseException] = []

    def work() -> None:
        try:
            connect()
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            raised.append(error)
        finally:
            done.set()
            if left_behind.is_set():
                connection.close()

    context = copy_context()
    threading.Thread(target=context.run, args=(work,), name="connect", daemon=True).start()
    try:
        in_time = done.wait(limits.phase().left())
    finally:
        left_behind.set()
    if not in_time:
        slow = TooSlow(f"no connection within {limits.silence:g} s")
        raise ConnectTimeoutError(connection, str(slow)) from slow
    if raised:
        raise raised[0]


class _TimedHTTPConnection(HTTPConnection):
    response_class = _Response

    def connect(self) -> None:
        _connect_in_time(super().connect, self)


class _TimedHTTPSConnection(HTTPSConnection):
    response_class = _Response

    def connect(self) -> None:
        _connect_in_time(super().connect, self)


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _TimedHTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _TimedHTTPSConnection


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


class TimedAdapter(HTTPAdapter):
    """requests' own, with connections that keep to `limited`."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*args, **options)
        if isinstance(manager, urllib3.ProxyManager):
            manager.pool_classes_by_scheme = _POOLS
        return manager
