"""Servers that take messages: HTTP for webhooks and heartbeats, SMTP for e-mail."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class HttpSink:
    """What arrived: the path of each GET, and the JSON of each POST. Answers have `status`, and for
    a POST the redirect to `location`, if any.
    """

    port: int = 0
    status: int = 200
    location: str = ""
    paths: list[str] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    on_message: Callable[[], object] = lambda: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def subjects(self) -> list[str]:
        return [message["title"] for message in self.messages]

    def take(self) -> list[dict[str, Any]]:
        """The messages since the last call."""
        taken, self.messages = self.messages, []
        return taken


@contextmanager
def http_sink() -> Iterator[HttpSink]:
    sink = HttpSink()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sink.paths.append(self.path)
            self._answer(200 if sink.location else sink.status)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sink.messages.append(json.loads(body))
            sink.on_message()
            self._answer(sink.status, sink.location)

        def _answer(self, status: int, location: str = "") -> None:
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        sink.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join()


@dataclass
class SmtpSink:
    """The e-mails that arrived."""

    port: int
    mails: list[EmailMessage] = field(default_factory=list)

    async def handle_DATA(  # noqa: N802 - as the library calls it
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"


class _OnSocket(Controller):
    """Uses a socket that already listens: a port that is only chosen may be taken by another test.
    It also waits longer for its first connection than the library's one second.
    """

    def __init__(self, sink: SmtpSink, listening: socket.socket) -> None:
        super().__init__(sink, hostname="127.0.0.1", port=sink.port, ready_timeout=60)
        self._listening = listening

    def _create_server(self) -> Awaitable[asyncio.AbstractServer]:
        return self.loop.create_server(self._factory_invoker, sock=self._listening)

    def _trigger_server(self) -> None:
        with socket.create_connection((self.hostname, self.port), 60) as connection:
            connection.recv(1024)


@contextmanager
def smtp_sink() -> Iterator[SmtpSink]:
    listening = socket.create_server(("127.0.0.1", 0))
    sink = SmtpSink(listening.getsockname()[1])
    controller = _OnSocket(sink, listening)
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()
