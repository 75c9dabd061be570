"""The DevTools protocol over two pipes: JSON messages, each followed by a NUL."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from io import BufferedIOBase
from typing import IO, TypeVar

import msgspec

from dashboard_scraper.decoding import decodable

Result = TypeVar("Result")

_PIECE = 1 << 16
_END_SECONDS = 5.0  # a process that was left behind may still hold the pipe


class Disconnected(Exception):
    """The browser has ended, or was closed."""


class NoAnswer(Exception):
    """The browser is running, but did not answer in time."""


class Refused(Exception):
    """The browser answered a command with an error, such as for a page that is gone."""


class _Error(msgspec.Struct):
    message: str = ""


@decodable
class _Detached(msgspec.Struct, rename="camel"):
    session_id: str = ""


@decodable
class _Message(msgspec.Struct):
    """An answer, which has the `id` of its command, or an event, which has none."""

    id: int | None = None
    method: str = ""
    params: msgspec.Raw = msgspec.Raw(b"{}")
    result: msgspec.Raw = msgspec.Raw(b"{}")
    error: _Error | None = None


class DevTools:
    """Sends commands from one thread, and waits for their answers."""

    def __init__(self, commands: IO[bytes], answers: BufferedIOBase) -> None:
        self._commands = commands
        self._answers = answers
        self._last_id = 0
        self._received: queue.SimpleQueue[_Message | None] = queue.SimpleQueue()
        # Windows cannot wait for a pipe with a time limit, so a separate thread reads from it.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def call(
        self,
        method: str,
        result: type[Result],
        *,
        session: str | None = None,
        seconds: float = 10.0,
        **parameters: object,
    ) -> Result:
        """Send a command, and decode its result; `session` is that of an attached page.

        Raises Disconnected, NoAnswer or Refused.
        """
        self._last_id += 1
        command: dict[str, object] = {"id": self._last_id, "method": method, "params": parameters}
        if session is not None:
            command["sessionId"] = session
        try:
            self._commands.write(msgspec.json.encode(command) + b"\0")
            self._commands.flush()
        except OSError as error:
            raise Disconnected from error
        until = time.monotonic() + seconds
        while True:
            message = self._next(until)
            if message is None:
                raise NoAnswer(f"no answer to {method} within {seconds:g} s")
            if message.id == self._last_id:
                break
            if session is not None and _ends(message, session):
                raise Refused(f"{method}: the page was closed")
        if message.error is not None:
            raise Refused(f"{method}: {message.error.message}")
        return msgspec.json.decode(message.result, type=result)

    def wait(self, seconds: float) -> None:
        """Wait for an event, at most this long; raises Disconnected as soon as the browser ends."""
        self._next(time.monotonic() + seconds)

    def close(self) -> None:
        """Close the pipe from the browser, after the browser has ended."""
        self._reader.join(_END_SECONDS)
        if not self._reader.is_alive():
            self._answers.close()

    def _next(self, until: float) -> _Message | None:
        try:
            message = self._received.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            return None
        if message is None:
            self._received.put(None)  # for the next call
            raise Disconnected
        return message

    def _read(self) -> None:
        rest = b""
        with contextlib.suppress(OSError):
            while piece := self._answers.read1(_PIECE):
                *whole, rest = (rest + piece).split(b"\0")
                for text in whole:
                    self._received.put(msgspec.json.decode(text, type=_Message))
        self._received.put(None)


def _ends(message: _Message, session: str) -> bool:
    """Whether a page's session ended: commands sent to it will never be answered."""
    if message.method != "Target.detachedFromTarget":
        return False
    return msgspec.json.decode(message.params, type=_Detached).session_id == session
