"""Singer's messages, one JSON document per line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, BinaryIO

import msgspec

from dashboard_scraper.errors import OutputFailed
from dashboard_scraper.singer.state import State


class SchemaMessage(msgspec.Struct, tag_field="type", tag="SCHEMA", omit_defaults=True):
    """The form of the records of a stream that follow."""

    stream: str
    schema: dict[str, Any]
    key_properties: list[str]
    bookmark_properties: list[str] = []


class RecordMessage(msgspec.Struct, tag_field="type", tag="RECORD"):
    """A row; it replaces the one with the same key."""

    stream: str
    record: dict[str, Any]
    version: int
    time_extracted: datetime


class ActivateVersionMessage(msgspec.Struct, tag_field="type", tag="ACTIVATE_VERSION"):
    """All rows of the stream with a lower version are gone."""

    stream: str
    version: int


class StateMessage(msgspec.Struct, tag_field="type", tag="STATE"):
    """The state to give to the next run if everything before this message has arrived."""

    value: State


Message = SchemaMessage | RecordMessage | ActivateVersionMessage | StateMessage


class Writer:
    """Writes messages to a target, which reads them at the other end of a pipe."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.written = 0  # bytes
        self._encode = msgspec.json.Encoder().encode_lines

    def write(self, message: Message) -> None:
        """Write a message; OutputFailed if the target has ended."""
        with _explained():
            self.written += self._out.write(self._encode([message]))
            if isinstance(message, StateMessage):
                self._out.flush()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _discard_the_rest()
        if isinstance(error, BrokenPipeError):
            raise OutputFailed(
                "the target has ended before everything was sent; its own messages say why. What it"
                " has not confirmed is sent again by the next run"
            ) from error
        raise OutputFailed(f"the messages could not be written: {error.strerror}") from error


def _discard_the_rest() -> None:
    """Otherwise the interpreter would try again when it ends, and report a failure."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
