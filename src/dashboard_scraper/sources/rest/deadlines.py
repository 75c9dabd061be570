"""Connections with limits of time and size for each phase of a response, not only between bytes.

The libraries below limit only the silence between two bytes. A server that sends a header line
every half second, or `100 Continue` for ever, stays within that limit. Here each phase has its own:

    connect   name look-up, TCP, proxy tunnel and TLS       `silence` in total
    head      interim responses, status line and headers    `silence` in total
    body      to the last byte                              `silence` between two bytes

`until` limits all three together. Connecting happens in a separate thread: a name look-up cannot be
interrupted, only abandoned, and the waiting thread still receives signals.
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
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError

from dashboard_scraper.sources.rest.trust import trusting

# Bytes of the status line, all headers and the interim responses before them; usually a few KB.
MAX_HEAD = 1 << 18
# A server that works on a response for a minute may send an interim response every second.
MAX_INTERIM = 100


class TooSlow(TimeoutError):
    """A phase exceeded its time limit; the message says which."""


class MalformedHead(http.client.HTTPException):
    """The head of the response is cut off or is not an answer to a GET; the message says why."""


class Limits:
    """The limits of one attempt: at most `silence` seconds without a byte, and nothing after
    `until`, a monotonic time that may be brought forward.
    """

    def __init__(self, silence: float, until: float) -> None:
        self.silence = silence
        self.until = until

    def left(self) -> float:
        """Seconds until the end; never 0, which would make a socket non-blocking."""
        return max(0.001, self.until - time.monotonic())

    def extend(self, seconds: float) -> None:
        """Do not count seconds in which nobody was reading."""
        self.until += seconds

    def phase(self) -> Limits:
        """The limits of a phase that starts now and may take `silence` seconds in total."""
        return Limits(self.silence, min(self.until, time.monotonic() + self.silence))


_LIMITS: ContextVar[Limits] = ContextVar("limits")


@contextlib.contextmanager
def limited(limits: Limits) -> Iterator[None]:
    """Apply the limits to requests that start within the block."""
    token = _LIMITS.set(limits)
    try:
        yield
    finally:
        _LIMITS.reset(token)


class _TimedReader(io.RawIOBase):
    """A socket's raw stream; no read waits longer than the rest of its phase."""

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
        return TooSlow(f"the headers were not complete within {self._phase.silence:g} s")

    def body_follows(self) -> None:
        """Switch from the limits of the head to those of the body."""
        # http.client takes the end of the connection for the empty line after the headers.
        if self._ended:
            raise MalformedHead("the connection ended within the headers")
        self._phase = self._whole

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """Reads the head of a response within its limits of time and size."""

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
        """The status of the final response. Others may come before it (RFC 9110, 15.2): http.client
        skips only 100, and would take 102 or 103 for the final response.
        """
        for _ in range(MAX_INTERIM):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status == HTTPStatus.SWITCHING_PROTOCOLS:
                raise MalformedHead("HTTP 101, a change of protocol that was not requested")
            if status >= HTTPStatus.OK:
                return version, status, reason
            while self.fp.readline().strip():
                pass
        raise MalformedHead(f"more than {MAX_INTERIM} interim responses")


def _connect_in_time(connect: Callable[[], None], connection: HTTPConnection) -> None:
    limits = _LIMITS.get(None)
    if limits is None:
        connect()
        return
    done = threading.Event()
    abandoned = threading.Event()
    handover = threading.Lock()  # so that a connection in use is never closed
    raised: list[BaseException] = []

    def work() -> None:
        try:
            connect()
        except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
            raised.append(error)
        finally:
            with handover:
                done.set()
                is_late = abandoned.is_set()
            if is_late:
                connection.close()

    context = copy_context()
    threading.Thread(target=context.run, args=(work,), name="connect", daemon=True).start()
    try:
        done.wait(limits.phase().left())
    finally:
        with handover:
            if not done.is_set():
                abandoned.set()
    if abandoned.is_set():
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
    """requests' own adapter, with connections that respect `limited` and share certificates."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> Any:
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        if verify and host["scheme"] == "https":
            pool["ssl_context"] = trusting(DEFAULT_CA_BUNDLE_PATH if verify is True else verify)
        return host, pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
        if conn.proxy is None:  # a proxy connection may use TLS, too, and has no context
            conn.ca_certs = conn.ca_cert_dir = None

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*args, **options)
        if isinstance(manager, urllib3.ProxyManager):
            manager.pool_classes_by_scheme = _POOLS
        return manager
