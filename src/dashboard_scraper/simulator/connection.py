"""The sockets: reads requests with http.server, and sends answers as their `Delivery` asks."""

from __future__ import annotations

import itertools
import socket
import ssl
import struct
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

from dashboard_scraper.simulator.exchange import Answer, Delivery, Request

Respond = Callable[[Request], Answer | None]
"""The answer to a request; None to hang up because the simulator stops."""

TlsFiles = tuple[str, str]
"""The paths of a certificate and of its key, both PEM."""

_POLL = 1.0  # seconds until the accepting thread notices that it must stop, if nothing wakes it
_CHUNKED = (Delivery.CUT_CHUNKED, Delivery.CUT_LAST_CHUNK)
_LINGER_RESET = struct.pack("ii", 1, 0)


class Server(ThreadingTCPServer):
    """Serves on a loopback port, with one daemon thread for each connection.

    Not a server of http.server, which looks up the host's name when it binds: that takes seconds.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, respond: Respond, tls: TlsFiles | None) -> None:
        self.respond = respond
        self.stopping = threading.Event()
        self._tls: ssl.SSLContext | None = None
        if tls:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*tls)
        self._live: dict[threading.Thread, socket.socket] = {}
        super().__init__(("127.0.0.1", port), _Handler)
        self.timeout = _POLL
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def start(self) -> None:
        self._accepting.start()

    def stop(self) -> None:
        """End all connections, including hanging ones, and wait for their threads."""
        self.stopping.set()
        with suppress(OSError):  # connecting wakes the accepting thread
            socket.create_connection(("127.0.0.1", self.port), _POLL).close()
        self._accepting.join()
        self.server_close()
        for thread, connection in self._live.items():
            with suppress(OSError):
                # Not SSLSocket.shutdown, which drops the TLS state although a thread may be
                # reading.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            thread.join(timeout=1)
        self._live.clear()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            self.handle_request()

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        """Refuse connections while stopping."""
        return not self.stopping.is_set()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls:
            # The connection's thread does the handshake: a slow client must not block others.
            connection = self._tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        self._live = {known: sock for known, sock in self._live.items() if known.is_alive()}
        self._live[thread] = request
        thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print the traceback, unless a client only hung up: that is not an error."""
        if not isinstance(sys.exc_info()[1], OSError) and not self.stopping.is_set():
            super().handle_error(request, client_address)


class Served(ABC):
    """Answers requests on a loopback port from `start` to `stop`, or within its context."""

    def __init__(self, port: int = 0, tls: TlsFiles | None = None) -> None:
        self._port, self._tls = port, tls
        self._server: Server | None = None

    @abstractmethod
    def _respond(self, request: Request) -> Answer | None: ...

    def start(self) -> Self:
        self._server = Server(self._port, self._respond, self._tls)
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop, ending hanging requests too; may be called twice."""
        server, self._server = self._server, None
        if server:
            self._port = server.port  # so that `url` still names the address, which refuses now
            server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port on which it answers, or answered before it was stopped."""
        return self._server.port if self._server else self._port


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        answer = self.server.respond(self._request())
        if answer is None:
            self.close_connection = True
        else:
            self._send(answer)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_message: object) -> None:
        """Log nothing: standard error belongs to the program that is being tested."""

    def _request(self) -> Request:
        # Not self.path: http.server merges leading slashes, but a path with two must be refused.
        target = self.requestline.split()[1]
        path, _, query = target.partition("?")
        cookies = self.headers.get_all("Cookie")
        return Request(
            method=self.command,
            path=path,
            query=dict(parse_qsl(query, keep_blank_values=True)),
            cookie="; ".join(cookies) if cookies else None,
            authorization=self.headers["Authorization"],
            arrived=time.monotonic(),
            body=self._body(),
            headers={name.lower(): value for name, value in self.headers.items()},
        )

    def _body(self) -> bytes:
        """The body that Content-Length announces; a connection with any other body is closed."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self.close_connection = True
            return b""
        return self.rfile.read(int(length))

    def _send(self, answer: Answer) -> None:
        if answer.delivery is Delivery.RESET:
            self._reset()
            return
        self.close_connection |= answer.delivery is not Delivery.WHOLE
        if not self._send_interim(answer):
            return
        head, body = _parts(answer)
        for piece in self._paced(head, body, answer):
            self.wfile.write(piece)
        if answer.delivery is Delivery.RESET_MID_BODY:
            self._reset()

    def _paced(self, head: bytes, body: bytes, answer: Answer) -> Iterator[bytes]:
        """The pieces in which the answer is sent."""
        if answer.pause:
            for line in head.splitlines(keepends=True):
                yield line
                if self._pause(answer.pause):
                    return
            yield body
        elif answer.drip:
            yield head
            yield from self._dripping(body, answer.drip)
        else:
            yield head + body

    def _send_interim(self, answer: Answer) -> bool:
        """Send the interim answers; False if the simulator stopped meanwhile."""
        status, count = answer.interim
        for _ in itertools.count() if count is None else range(count):
            self.wfile.write(b"HTTP/1.1 %d Interim\r\nX-Note: wait\r\n\r\n" % status)
            if self._pause(answer.pause):
                return False
        return True

    def _pause(self, seconds: float) -> bool:
        """Wait; returns whether the simulator stopped meanwhile, which ends the connection."""
        if seconds and self.server.stopping.wait(seconds):
            self.close_connection = True
        return self.server.stopping.is_set()

    def _dripping(self, body: bytes, pause: float) -> Iterator[bytes]:
        for value in body:
            yield bytes((value,))
            if self.server.stopping.wait(pause):
                self.close_connection = True
                return

    def _reset(self) -> None:
        """Close with RST, like an application that crashes, or a firewall."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        self.close_connection = True
        self.rfile.close()  # it holds the socket, too: the next line alone would not close it
        self.connection.close()


def _parts(answer: Answer) -> tuple[bytes, bytes]:
    """The parts of head and body to send."""
    head, body = _head(answer), answer.body
    if answer.delivery is Delivery.CUT_HEAD:
        return head[: len(head) // 2], b""
    if answer.delivery not in (Delivery.WHOLE, Delivery.CUT_LAST_CHUNK):
        body = body[: len(body) // 2]
    if answer.delivery in _CHUNKED:
        body = b"%x\r\n%b\r\n" % (len(body), body)
    return head, body


def _head(answer: Answer) -> bytes:
    """Status line and headers, with the framing that the delivery requests."""
    framing = [("Content-Length", str(len(answer.body)))]
    version = "HTTP/1.1"
    if answer.delivery in _CHUNKED:
        framing = [("Transfer-Encoding", "chunked")]
    elif answer.delivery is Delivery.CUT_CLOSE:
        framing, version = [("Connection", "close")], "HTTP/1.0"
    reasons = [known.phrase for known in HTTPStatus if known == answer.status]
    lines = [f"{version} {answer.status} {''.join(reasons)}"]
    headers = [("Content-Type", answer.content_type), *framing, *answer.headers]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
